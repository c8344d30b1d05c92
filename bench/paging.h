/* SPDX-License-Identifier: MIT */
/*
 * Paging compared: the same accesses to the same data, in a region that is
 * larger than the memory it may have, on several systems.
 *
 *	system x engine x store   a contestant, in a process of its own
 *	pattern x op x threads    a case
 *	turn                      one contestant, one round of one case
 *
 * A round gives every contestant its turn, in an order that rotates, so that
 * whatever disturbs the machine meanwhile disturbs all of them alike. Figures
 * are medians over the rounds.
 *
 *	paging-data.c      what the pages hold, and whether they still do
 *	paging-trace.c     which page is next
 *	paging-latency.c   how long accesses took
 *	paging-policy.c    what LRU, CLOCK and FIFO would have kept
 *	paging-limit.c, paging-zram.c, paging-file.c   what a contestant needs
 *	paging-pager.c, paging-mmap.c, paging-swap.c, paging-classic.c,
 *	paging-read.c      the systems
 *	paging-work.c      a contestant's process
 *	paging-child.c     its end in the process that measures
 *	paging-run.c       rounds
 *	paging-figure.c    what it comes to
 *
 * Nothing here prints.
 */
#ifndef BENCH_PAGING_H
#define BENCH_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGING_PAGE 4096u
#define PAGING_STRIDE 16u		/* pages */
#define PAGING_MOST_THREADS 64u
#define PAGING_MOST_COUNTS 8u		/* numbers of threads in one run */
#define PAGING_MOST_ROUNDS 1000u
#define PAGING_MOST_SECONDS 3600u
#define PAGING_SMALLEST (1u << 20)	/* of a region */
#define PAGING_WHY_LEN 256

enum paging_pattern {
	PAGING_SEQUENTIAL,
	PAGING_RANDOM,
	PAGING_STRIDED,
	PAGING_HOT,
	PAGING_NR_PATTERN
};

enum paging_op {
	PAGING_READ,
	PAGING_WRITE,		/* read-modify-write */
	PAGING_MIXED,		/* half and half */
	PAGING_NR_OP
};

enum paging_which {
	PAGING_LIBUFFD,
	PAGING_MMAP,
	PAGING_SWAP_ZRAM,
	PAGING_CLASSIC,
	PAGING_READ2,
	PAGING_NR_SYSTEM
};

enum paging_engine {
	PAGING_SIGBUS,
	PAGING_THREAD,
	PAGING_NR_ENGINE
};

enum paging_store {
	PAGING_MEMORY,
	PAGING_MEMORY_LZ4,
	PAGING_FILE,
	PAGING_NR_STORE
};

/* "random", "write", "libuffd", "sigbus", "memory-lz4", … Static; NULL when
 * out of range. */
const char *paging_pattern_name(unsigned pattern);
const char *paging_op_name(unsigned op);
const char *paging_system_name(unsigned system);
const char *paging_engine_name(unsigned engine);
const char *paging_store_name(unsigned store);
/* One line about a system, for people. */
const char *paging_system_what(unsigned system);

struct paging_case {
	enum paging_pattern pattern;
	enum paging_op op;
	unsigned threads;
};

struct paging_plan {
	uint64_t size;			/* of the region */
	unsigned budget_pct;		/* of it, that may be resident */
	uint32_t systems;		/* 1 << enum paging_which */
	uint32_t engines;		/* libuffd: 1 << enum paging_engine */
	uint32_t stores;		/* libuffd: 1 << enum paging_store */
	uint32_t patterns;
	uint32_t ops;
	unsigned threads[PAGING_MOST_COUNTS];
	unsigned nr_threads;
	unsigned rounds;
	uint64_t accesses;		/* in a turn, all threads; 0: 100,000, or
					 * one pass in order */
	unsigned seconds;		/* a turn ends then at the latest */
	uint64_t seed;
	bool hits;			/* simulate LRU, CLOCK and FIFO */
	const char *dir;		/* where files go */
	/* called after each step; may be NULL */
	void (*progress)(void *arg, unsigned done, unsigned total);
	void *progress_arg;
};

/* 256 MiB, 20 %, every system, random read-modify-write, one thread. */
void paging_plan_init(struct paging_plan *plan);

uint64_t paging_pages(const struct paging_plan *plan);
uint64_t paging_budget(const struct paging_plan *plan);

/* Can it be measured? If not: false, and one line that names the option. */
bool paging_plan_check(const struct paging_plan *plan,
		       char why[PAGING_WHY_LEN]);

struct paging_rates {
	double hits;		/* the contestant's: accesses without a fault,
				 * or with one answered from limbo */
	double lru, clock, fifo;	/* the same accesses, simulated */
};

struct paging_row {
	enum paging_which system;
	int engine;		/* enum paging_engine, or -1 */
	int store_kind;		/* enum paging_store, or -1 */
	char store[24];		/* its name, "zram-lz4" too */
	struct paging_case at;
	double ns_per_access;	/* that a thread waits; median of the rounds */
	double mb_per_s;	/* 10^6 bytes of pages touched, all threads */
	uint64_t accesses;	/* all rounds, as are these: */
	uint64_t faults;
	uint64_t soft_faults;	/* libuffd: of those, from limbo */
	uint64_t read_bytes;	/* from the store */
	uint64_t written_bytes;
	uint64_t resident_max;	/* bytes */
	uint64_t p50_ns, p99_ns, max_ns;	/* accesses that fault */
	double vs_zram;		/* this time / that of swap-zram; 0: none */
	double vs_mmap;
	struct paging_rates rates;
};

/* a contestant without rows, or with too few */
struct paging_gap {
	char name[48];
	bool broken;		/* it should have worked */
	char why[PAGING_WHY_LEN];
};

struct paging_report {
	struct paging_row *rows;
	unsigned nr_rows;
	struct paging_gap *gaps;
	unsigned nr_gaps;
	char error[PAGING_WHY_LEN];
};

/*
 * Measure. 0; -EINTR: SIGINT, SIGTERM or SIGHUP came (they are blocked, and
 * ret->error names it); or another -errno and one line in ret->error. In each
 * case nothing is left behind. paging_report_free() afterwards. Blocks these
 * signals in the calling thread, which must be the only one.
 */
int paging_run(const struct paging_plan *plan, struct paging_report *ret);
void paging_report_free(struct paging_report *report);

#endif
