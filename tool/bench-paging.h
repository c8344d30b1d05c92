/* SPDX-License-Identifier: MIT */
/*
 * The parts of `uffd bench paging`: its options, and how it shows what it has
 * measured.
 */
#ifndef TOOL_BENCH_PAGING_H
#define TOOL_BENCH_PAGING_H

#include <stdbool.h>

#include "bench/paging.h"

enum paging_format { PAGING_TABLE, PAGING_JSON, PAGING_CSV };

struct paging_options {
	struct paging_plan plan;
	enum paging_format format;
};

enum paging_parsed {
	PAGING_GO,
	PAGING_BAD,		/* one line was said on standard error */
	PAGING_TOLD,		/* --help and the like: printed, done */
};

enum paging_parsed paging_options_parse(int argc, char **argv,
					struct paging_options *ret);

/* For people, at 80 columns. */
void paging_show_table(const struct paging_plan *plan,
		       const struct paging_report *report);

/* A line for each row, one with the names before. */
void paging_show_csv(const struct paging_plan *plan,
		     const struct paging_report *report);

/* Was JSON built in? */
bool paging_can_json(void);

/* One object. 0, or 1 after one line. */
int paging_show_json(const char *program, const struct paging_plan *plan,
		     const struct paging_report *report);

#endif
