/* SPDX-License-Identifier: MIT */
/*
 * How `uffd bench ops` shows what it has measured.
 */
#ifndef TOOL_BENCH_OPS_H
#define TOOL_BENCH_OPS_H

#include <stdbool.h>

#include "bench/ops.h"

/* For people, at 80 columns. all: tell also what makes no sense. */
void ops_show_table(const struct ops_plan *plan,
		    const struct ops_report *report, bool all);

/* op,memory,pages_per_call,busy,ns_per_page, and what is left out on standard
 * error. */
void ops_show_csv(const char *program, const struct ops_report *report,
		  bool all);

/* Was JSON built in? */
bool ops_can_json(void);

/* One object. 0, or 1 after one line. */
int ops_show_json(const char *program, const struct ops_report *report);

#endif
