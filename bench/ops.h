/* SPDX-License-Identifier: MIT */
/*
 * What a single operation costs, per page: the measuring behind `uffd bench
 * ops`. It prints nothing.
 *
 * Each operation is measured on each kind of memory with several lengths of a
 * call, alone and beside busy threads. A sample does the operation twice over
 * a fresh piece of memory, call after call, and takes the time of the second
 * pass: by then page tables and the like are there. Before each pass the
 * memory is put into the state that the operation wants; after the last, each
 * page is looked at. A sample is disturbed when a thread of it had to wait for
 * its processor, and then taken anew a few times.
 *
 * Samples go round and round over all of these cells, so that what the machine
 * does meanwhile falls on all alike; a cell's figure is the median of its
 * samples.
 */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include <stdbool.h>
#include <stdint.h>

enum ops_op {
	OPS_COPY,
	OPS_ZEROPAGE,
	OPS_MOVE,
	OPS_CONTINUE,
	OPS_WRITEPROTECT,
	OPS_DONTNEED,
	OPS_PROCESS_MADVISE,
	OPS_LIFT,
	OPS_PUNCH,
	OPS_PAGEMAP_SCAN,
	OPS_NR_OP
};

enum ops_memory {
	OPS_PRIVATE,
	OPS_MEMFD_SHARED,
	OPS_HUGETLB_2M,
	OPS_THP,		/* private, in transparent huge pages */
	OPS_NR_MEMORY
};

/* "copy", "private", … Static; NULL if out of range. */
const char *ops_op_name(unsigned op);
const char *ops_memory_name(unsigned memory);

#define OPS_MOST_LENGTHS 8u
#define OPS_MOST_PAGES 16384u	/* in one call */
#define OPS_MOST_ROUNDS 1000u

struct ops_plan {
	uint32_t ops;		/* 1 << enum ops_op */
	uint32_t memories;	/* 1 << enum ops_memory */
	unsigned pages[OPS_MOST_LENGTHS];	/* of one call */
	unsigned nr_pages;
	unsigned busy[2];	/* numbers of busy threads */
	unsigned nr_busy;
	unsigned rounds;
	/* called after each sample; may be NULL */
	void (*progress)(void *arg, unsigned done, unsigned total);
	void *progress_arg;
};

struct ops_row {
	enum ops_op op;
	enum ops_memory memory;
	unsigned pages_per_call;
	unsigned busy;
	double ns_per_page;
};

/* what there is no row for */
struct ops_skip {
	enum ops_op op;
	enum ops_memory memory;
	bool never;		/* no kernel can: it makes no sense there */
	char why[120];
};

struct ops_report {
	struct ops_row *rows;
	unsigned nr_rows;
	struct ops_skip *skips;
	unsigned nr_skips;
	unsigned nr_disturbed;	/* rows that rest on disturbed samples only */
	double clock_ns;	/* one look at the clock; is subtracted */
	char error[160];	/* of a run that failed: one sentence */
};

/* How many processors this process may run on. */
unsigned ops_processors(void);

/*
 * Measure. The calling thread stays on its processor meanwhile, busy threads
 * are on the others that the process may use; plan->busy must be less than
 * ops_processors(). 0, or -errno with ret->error filled. ops_report_free() in
 * either case.
 */
int ops_run(const struct ops_plan *plan, struct ops_report *ret);
void ops_report_free(struct ops_report *report);

/* The figure of a cell, or 0 if there is no such row. */
double ops_find(const struct ops_report *report, enum ops_op op,
		enum ops_memory memory, unsigned pages_per_call,
		unsigned busy);

#endif
