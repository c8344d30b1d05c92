/* SPDX-License-Identifier: MIT */
/*
 * A run under way, for paging-run.c and paging-figure.c.
 */
#ifndef BENCH_PAGING_RUN_H
#define BENCH_PAGING_RUN_H

#include "paging-inner.h"

/* what a contestant did in a turn */
struct paging_turn {
	struct paging_case at;
	unsigned number;	/* of the turn: with `at`, its way */
	bool warm_up;
	struct paging_counts counts;
	uint64_t wall_ns, busy_ns;
	uint64_t accesses;
	uint64_t done[PAGING_MOST_THREADS];
};

struct paging_entry {
	struct paging_child child;
	char name[48];
	bool out;		/* it could not begin, or go on */
	bool broken;		/* and should have */
	char why[PAGING_WHY_LEN];
	struct paging_turn *log;
	unsigned nr_log;
	struct paging_latency latency;	/* of the case at hand */
};

struct paging_run {
	const struct paging_plan *plan;
	struct paging_stage stage;
	struct paging_entry *entries;
	unsigned nr_entries;
	unsigned turn;		/* number of the next one */
	unsigned steps, all_steps;
	struct paging_report *report;
};

/* The rows of a case that is over; 0 or -ENOMEM. */
int paging_rows_add(struct paging_run *run, const struct paging_case *at);

/* Who has no rows, or should not have; 0 or -ENOMEM. */
int paging_gaps_add(struct paging_run *run);

#endif
