/* SPDX-License-Identifier: MIT */
/*
 * The results of `uffd bench`, in all their forms.
 */
#ifndef TOOL_BENCH_SHOW_H
#define TOOL_BENCH_SHOW_H

#include <stdio.h>

#include "bench/bench.h"

struct bench_result {
	const struct bench_plan *plan;
	const struct bench_row *rows;
	const struct bench_figure *figures;
	double clock_ns;
};

/* One row of what every machine-readable form tells. */
struct bench_field {
	const char *name;
	double value;
	bool whole;		/* a whole number */
	bool there;		/* false: no such row to compare with */
};
#define BENCH_NR_FIELDS 14
void bench_fields(const struct bench_figure *f,
		  struct bench_field ret[BENCH_NR_FIELDS]);

void bench_show_table(FILE *out, const struct bench_result *r);
void bench_show_histogram(FILE *out, const struct bench_result *r);
void bench_show_advice(FILE *out, const struct bench_result *r);
void bench_show_csv(FILE *out, const struct bench_result *r);
/* false where the build has no JSON */
bool bench_have_json(void);
/* 0 or -ENOMEM */
int bench_show_json(FILE *out, const struct bench_result *r);
void bench_show_raw(FILE *out, const struct bench_result *r);

/* Is there a gnuplot to run? */
bool bench_have_gnuplot(void);
/* Draw into a descriptor; format is "svg" or "png". 0 or -errno; -EIO: gnuplot
 * failed, having said why on standard error. */
int bench_plot(const struct bench_result *r, const char *format, int out);

#endif
