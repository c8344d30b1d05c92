/* SPDX-License-Identifier: MIT */
/*
 * `uffd bench`: look whether all can be done, measure, tell.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench-options.h"
#include "bench-show.h"
#include "output.h"
#include "progress.h"
#include "say.h"
#include "verb.h"

/* ---- before -------------------------------------------------------------- */

static bool can_write(const char *program, const char *option, const char *path)
{
	int err = path ? output_check(path) : 0;

	if (err)
		say_error(program, "%s: '%s' can't be written: %s", option,
			  path, strerror(-err));
	return !err;
}

/* All that would spoil a minute of measuring at its end. */
static bool ready(const char *program, const struct bench_options *o)
{
	char why[BENCH_WHY_LEN];

	if (fcntl(STDOUT_FILENO, F_GETFD) < 0) {
		say_error(program, "standard output is closed");
		return false;
	}
	if (!can_write(program, "--raw", o->raw) ||
	    !can_write(program, "--plot", o->plot))
		return false;
	if (o->plot && !bench_have_gnuplot()) {
		say_error(program, "--plot needs gnuplot, which is not there: "
			  "apt-get install gnuplot-nox");
		return false;
	}
	if (!bench_plan_check(&o->plan, why)) {
		say_error(program, "%s", why);
		return false;
	}
	return true;
}

/* ---- after --------------------------------------------------------------- */

static int show(const char *program, const struct bench_options *o,
		const struct bench_result *r)
{
	switch (o->format) {
	case BENCH_JSON:
		if (bench_show_json(stdout, r) < 0)
			return say_error(program, "--json: out of memory");
		break;
	case BENCH_CSV:
		bench_show_csv(stdout, r);
		break;
	default:
		bench_show_table(stdout, r);
		bench_show_histogram(stdout, r);
		bench_show_advice(stdout, r);
	}
	fflush(stdout);
	return 0;
}

static int not_written(const char *program, const char *option,
		       const char *path, int err)
{
	return say_error(program, "%s: '%s' was not written: %s", option, path,
			 strerror(-err));
}

static int write_raw(const char *program, const struct bench_options *o,
		     const struct bench_result *r)
{
	struct output out;
	int err;

	if (!o->raw)
		return 0;
	err = output_begin(&out, o->raw);
	if (!err) {
		bench_show_raw(out.file, r);
		err = output_end(&out, 0);
	}
	return err ? not_written(program, "--raw", o->raw, err) : 0;
}

static int write_plot(const char *program, const struct bench_options *o,
		      const struct bench_result *r)
{
	struct output out;
	int err;

	if (!o->plot)
		return 0;
	err = output_begin(&out, o->plot);
	if (!err) {
		err = bench_plot(r, strrchr(o->plot, '.') + 1,
				 fileno(out.file));
		err = output_end(&out, err);
	}
	return err ? not_written(program, "--plot", o->plot, err) : 0;
}

static int tell(const char *program, const struct bench_options *o,
		const struct bench_row *rows, double clock_ns)
{
	struct bench_result r = { .plan = &o->plan, .rows = rows,
				  .clock_ns = clock_ns };
	struct bench_figure *figures;
	int status;

	if (bench_figures_new(&o->plan, rows, &figures) < 0)
		return say_error(program, "out of memory");
	r.figures = figures;
	status = show(program, o, &r);
	status |= write_raw(program, o, &r);
	status |= write_plot(program, o, &r);
	bench_figures_free(&o->plan, figures);
	return status;
}

/* ---- the verb ------------------------------------------------------------ */

static void progress(void *user, unsigned done, unsigned total)
{
	(void)user;
	progress_draw(done, total);
}

static int measure(const char *program, const struct bench_options *o)
{
	const struct bench_plan *p = &o->plan;
	double clock_ns = bench_clock_cost();
	char why[BENCH_WHY_LEN];
	struct bench_row *rows;
	int err, status;

	if (bench_rows_new(p, &rows) < 0)
		return say_error(program, "out of memory");
	progress_draw(0, p->rounds * p->nr_modes);
	err = bench_measure(p, rows, progress, NULL, why);
	progress_clear();
	status = err ? say_error(program, "%s", why) :
		       tell(program, o, rows, clock_ns);
	bench_rows_free(p, rows);
	return status;
}

int bench_run(int argc, char **argv)
{
	char ops[] = "uffd bench ops", paging[] = "uffd bench paging";
	struct bench_options o;

	if (argc > 1 && strcmp(argv[1], "ops") == 0) {
		argv[1] = ops;
		return bench_ops(argc - 1, argv + 1);
	}
	if (argc > 1 && strcmp(argv[1], "paging") == 0) {
		argv[1] = paging;
		return bench_paging(argc - 1, argv + 1);
	}
	switch (bench_options_parse(argc, argv, &o)) {
	case BENCH_BAD:
		return 1;
	case BENCH_TOLD:
		return finish_output(argv[0], 0);
	case BENCH_GO:
		break;
	}
	if (!ready(argv[0], &o))
		return 1;
	return finish_output(argv[0], measure(argv[0], &o));
}
