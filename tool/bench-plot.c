/* SPDX-License-Identifier: MIT */
/*
 * The distributions as a picture, by gnuplot: which latency (logarithmic) is
 * not exceeded by which share of the accesses. The share is drawn so that each
 * further nine (90 %, 99 %, 99.9 %) gets the same room: tails are what matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-show.h"

#define POINTS 240

extern char **environ;

/* Start gnuplot between two descriptors. */
static int start(pid_t *ret, int in, int out, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	err = posix_spawnp(ret, "gnuplot", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

static bool went_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool bench_have_gnuplot(void)
{
	char *const argv[] = { "gnuplot", "--version", NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;
	int err;

	if (null < 0)
		return false;
	err = start(&pid, null, null, argv);
	close(null);
	return err == 0 && went_well(pid);
}

/* ---- the script ---------------------------------------------------------- */

/* Bright enough for dark backgrounds and dark enough for white. */
static const char *colour_of(const char *mode)
{
	static const char *const colours[][2] = {
		{ "classic", "#c0392b" }, { "thread", "#2471a3" },
		{ "sigbus", "#1e8449" },  { "kernel", "#7f8c8d" },
		{ "sigsegv", "#ca6f1e" },
	};

	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (strcmp(mode, colours[i][0]) == 0)
			return colours[i][1];
	return "#000000";
}

static void write_head(FILE *f, const struct bench_result *r,
		       const char *format)
{
	const struct bench_plan *p = r->plan;
	double most = (double)p->pages;

	if (strcmp(format, "svg") == 0)
		fputs("set terminal svg size 860,480 font 'sans-serif,14' "
		      "background '#ffffff'\n", f);
	else
		fputs("set terminal pngcairo size 1290,720 font 'Sans,15' "
		      "background '#ffffff'\n", f);
	fprintf(f, "set title 'Latency of a page fault: %lu pages of %s "
		"memory, %s, %s, %s'\n", p->pages,
		uffd_memory_name(p->memory), bench_fault_name(p->fault),
		p->write ? "write" : "read", bench_order_name(p->order));
	fputs("set logscale xy\n"
	      "set grid xtics ytics lc rgb '#dddddd' lt 1\n"
	      "set border 3 lc rgb '#555555'\n"
	      "set tics nomirror\n"
	      "set mytics 10\n"
	      "set key left top reverse Left samplen 2 opaque\n"
	      "set ylabel 'latency'\n"
	      "set xlabel 'share of the accesses that took no longer'\n"
	      "set ytics ('10 ns' 10, '100 ns' 100, '1 µs' 1e3, '10 µs' 1e4, "
	      "'100 µs' 1e5, '1 ms' 1e6, '10 ms' 1e7, '100 ms' 1e8)\n"
	      "set xtics ('0 %%' 1, '50 %%' 2, '90 %%' 10, '99 %%' 100, "
	      "'99.9 %%' 1e3, '99.99 %%' 1e4, '99.999 %%' 1e5)\n", f);
	fprintf(f, "set xrange [1:%g]\n", fmax(most, 10));
}

/* x = 1 / (1 - share), from 1 to the number of accesses */
static void write_curve(FILE *f, unsigned i, const struct bench_figure *fig)
{
	double decades = log10((double)fig->count);

	fprintf(f, "$m%u << END\n", i);
	for (unsigned k = 0; k <= POINTS; k++) {
		double x = pow(10, decades * k / POINTS);

		fprintf(f, "%.6g %lu\n", x,
			bench_percentile(fig->sorted, fig->count, 1 - 1 / x));
	}
	fprintf(f, "%lu %lu\n", fig->count, fig->max_ns);
	fputs("END\n", f);
}

static void write_script(FILE *f, const struct bench_result *r,
			 const char *format)
{
	write_head(f, r, format);
	for (unsigned i = 0; i < r->plan->nr_modes; i++)
		write_curve(f, i, &r->figures[i]);
	fputs("plot ", f);
	for (unsigned i = 0; i < r->plan->nr_modes; i++)
		fprintf(f, "%s$m%u with lines lw 2.5 lc rgb '%s' title "
			"'%s (mean %.1f µs)'", i ? ", " : "", i,
			colour_of(r->rows[i].mode->name),
			r->rows[i].mode->name, r->figures[i].mean_ns / 1000);
	fputc('\n', f);
}

int bench_plot(const struct bench_result *r, const char *format, int out)
{
	char *const argv[] = { "gnuplot", "-", NULL };
	int ends[2];
	pid_t pid;
	FILE *f;
	int err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	err = start(&pid, ends[0], out, argv);
	close(ends[0]);
	if (err) {
		close(ends[1]);
		return err;
	}
	f = fdopen(ends[1], "w");
	if (f) {
		write_script(f, r, format);
		fclose(f);
	} else {
		close(ends[1]);
	}
	return went_well(pid) && f ? 0 : -EIO;
}
