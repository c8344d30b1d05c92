/* SPDX-License-Identifier: MIT */
/*
 * What a person reads: two blocks of columns, because 80 are too few for all,
 * and what follows from them.
 */
#include <string.h>
#include <sys/utsname.h>

#include "bench-show.h"

/* "100,000" */
static void grouped(char text[32], uint64_t n)
{
	char digits[24];
	size_t len, at = 0;

	len = (size_t)snprintf(digits, sizeof(digits), "%lu", n);
	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
}

/* Microseconds, with three digits that mean something. */
static void micro(FILE *out, int width, double ns)
{
	double us = ns / 1000;

	fprintf(out, "%*.*f", width, us < 10 ? 2 : us < 1000 ? 1 : 0, us);
}

static void ratio(FILE *out, int width, double x)
{
	if (x > 0)
		fprintf(out, "%*.*f", width, x < 10 ? 2 : 1, x);
	else
		fprintf(out, "%*s", width, "-");
}

/* ---- what was measured --------------------------------------------------- */

static void page_size(char text[32], uint64_t bytes)
{
	static const struct {
		unsigned shift;
		const char *unit;
	} units[] = { { 30, "GiB" }, { 20, "MiB" }, { 10, "KiB" } };

	for (unsigned i = 0; i < 3; i++) {
		if (bytes >> units[i].shift == 0)
			continue;
		snprintf(text, 32, "%lu %s", bytes >> units[i].shift,
			 units[i].unit);
		return;
	}
}

static void what_differs(FILE *out, const struct bench_plan *p)
{
	if (p->order == BENCH_STRIDED)
		fprintf(out, ":%lu", p->stride);
	if (p->threads > 1)
		fprintf(out, ", %u threads", p->threads);
	if (p->handlers > 1)
		fprintf(out, ", %u handlers", p->handlers);
	if (p->batch > 1)
		fprintf(out, ", up to %u pages a fault", p->batch);
	if (p->place != LIBUFFD_PLACE_AUTO)
		fprintf(out, ", placed: %s", bench_place_name(p->place));
	for (unsigned i = 0; i < p->nr_cpus; i++)
		fprintf(out, "%c%u", i ? ',' : ' ', p->cpus[i]);
	if (p->spin_us)
		fprintf(out, ", spinning %u us", p->spin_us);
}

static void show_head(FILE *out, const struct bench_result *r)
{
	const struct bench_plan *p = r->plan;
	struct utsname uts;
	char size[32], pages[32];

	uname(&uts);
	page_size(size, p->page_size);
	grouped(pages, p->pages);
	fprintf(out, "%s, Linux %s\n", uts.nodename, uts.release);
	fprintf(out, "%s pages (%s) of %s memory, each %s once; fault: %s\n",
		pages, size, uffd_memory_name(p->memory),
		p->write ? "written" : "read", bench_fault_name(p->fault));
	fprintf(out, "order: %s", bench_order_name(p->order));
	what_differs(out, p);
	fprintf(out, "; %u round%s, interleaved\n", p->rounds,
		p->rounds > 1 ? "s" : "");
	fprintf(out, "reading the clock costs %.0f ns and is part of each "
		"latency\n", r->clock_ns);
}

/* ---- the two blocks ------------------------------------------------------ */

static void show_latencies(FILE *out, const struct bench_result *r)
{
	fprintf(out, "\nlatency of an access, us\n");
	fprintf(out, "%-8s%12s%8s%8s%8s%8s%8s%8s%10s\n", "mode", "count",
		"mean", "min", "p50", "p90", "p99", "p99.9", "max");
	for (unsigned i = 0; i < r->plan->nr_modes; i++) {
		const struct bench_figure *f = &r->figures[i];
		char count[32];

		grouped(count, f->count);
		fprintf(out, "%-8s%12s", r->rows[i].mode->name, count);
		micro(out, 8, f->mean_ns);
		micro(out, 8, (double)f->min_ns);
		micro(out, 8, (double)f->p50_ns);
		micro(out, 8, (double)f->p90_ns);
		micro(out, 8, (double)f->p99_ns);
		micro(out, 8, (double)f->p999_ns);
		micro(out, 10, (double)f->max_ns);
		fputc('\n', out);
	}
}

static void show_costs(FILE *out, const struct bench_result *r)
{
	fprintf(out, "\n%-8s%12s%14s%12s%16s%16s\n", "", "pages per",
		"processor", "context", "times faster", "times the");
	fprintf(out, "%-8s%12s%14s%12s%16s%16s\n", "mode", "second",
		"us a page", "switches", "than classic", "kernel's own");
	for (unsigned i = 0; i < r->plan->nr_modes; i++) {
		const struct bench_figure *f = &r->figures[i];
		char rate[32];

		grouped(rate, (uint64_t)(f->pages_per_s + 0.5));
		fprintf(out, "%-8s%12s", r->rows[i].mode->name, rate);
		micro(out, 14, f->cpu_ns_per_fault);
		fprintf(out, "%12.2f", f->switches_per_fault);
		ratio(out, 16, f->vs_classic);
		ratio(out, 16, f->vs_kernel);
		fputc('\n', out);
	}
}

void bench_show_table(FILE *out, const struct bench_result *r)
{
	show_head(out, r);
	show_latencies(out, r);
	show_costs(out, r);
}

/* ---- what follows -------------------------------------------------------- */

static void compared(FILE *out, const struct bench_figure *f)
{
	if (f->vs_classic > 0)
		fprintf(out, "%.1f times faster than classic", f->vs_classic);
	else if (f->vs_kernel > 0)
		fprintf(out, "%.1f times the kernel's own fault", f->vs_kernel);
	else
		fprintf(out, "%.1f us", f->mean_ns / 1000);
}

static void advise_both(FILE *out, const struct bench_figure *thread,
			const struct bench_figure *sigbus)
{
	bool signal_wins = sigbus->mean_ns < thread->mean_ns;

	fprintf(out, "\nWhat follows here: `%s`, ",
		signal_wins ? "sigbus" : "thread");
	compared(out, signal_wins ? sigbus : thread);
	if (signal_wins) {
		fputs(";\nwhere system calls touch missing pages `thread`, ",
		      out);
		compared(out, thread);
		fputs(".\n", out);
	} else {
		fputs(",\nand system calls may touch missing pages, too; "
		      "`sigbus` gains nothing.\n", out);
	}
}

void bench_show_advice(FILE *out, const struct bench_result *r)
{
	int thread = bench_row_of(r->plan, "thread");
	int sigbus = bench_row_of(r->plan, "sigbus");
	int one = thread >= 0 ? thread : sigbus;

	if (thread >= 0 && sigbus >= 0) {
		advise_both(out, &r->figures[thread], &r->figures[sigbus]);
	} else if (one >= 0 && r->plan->nr_modes > 1) {
		fprintf(out, "\nWhat follows here: `%s`, ",
			r->rows[one].mode->name);
		compared(out, &r->figures[one]);
		fprintf(out, ".\n");
	}
}
