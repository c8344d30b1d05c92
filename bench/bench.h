/* SPDX-License-Identifier: MIT */
/*
 * What a page fault costs: each page of an area is touched once, each access is
 * timed, and what it found is checked.
 *
 * A run is made of rounds; in a round every mode has its turn, in an order that
 * rotates from round to round, on its share of the pages, so that whatever
 * disturbs the machine meanwhile disturbs all of them alike.
 *
 *	bench_plan   what shall be measured       (plan.c)
 *	bench_mode   who resolves the faults      (classic.c, engine.c, ...)
 *	bench_measure    measures a plan into rows    (run.c)
 *	bench_figure what a row comes to          (figure.c)
 *
 * Nothing here prints.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uffd/engine.h>
#include <uffd/kernel.h>

#define BENCH_MOST_MODES 5
#define BENCH_MOST_CPUS 1024
#define BENCH_MOST_THREADS 256
#define BENCH_MOST_ROUNDS 1000
#define BENCH_MOST_BATCH 512

/* ---- the plan ------------------------------------------------------------ */

enum bench_order {
	BENCH_SEQUENTIAL,
	BENCH_RANDOM,
	BENCH_STRIDED,
	BENCH_BACKWARD,
	BENCH_NR_ORDERS
};

enum bench_fault {
	BENCH_MISSING,		/* no page */
	BENCH_MINOR,		/* in the page cache, not mapped */
	BENCH_WP,		/* there, write-protected */
	BENCH_NR_FAULTS
};

struct bench_mode;

struct bench_plan {
	const struct bench_mode *modes[BENCH_MOST_MODES];
	unsigned nr_modes;
	enum uffd_memory memory;
	enum bench_order order;
	enum bench_fault fault;
	bool write;
	uint64_t pages;		/* for each mode, over all rounds */
	uint64_t page_size;
	uint64_t stride;	/* pages; BENCH_STRIDED */
	uint64_t seed;
	unsigned rounds;
	unsigned threads;	/* that fault */
	unsigned handlers;	/* `thread` only, as are place and spin_us */
	unsigned batch;		/* pages a fault, at most; `thread`, `sigbus` */
	unsigned spin_us;
	enum uffd_place place;
	uint32_t cpus[BENCH_MOST_CPUS];
	unsigned nr_cpus;
};

/* ---- who resolves the faults --------------------------------------------- */

struct bench_scene;		/* scene.h: one round of one mode */

struct bench_mode {
	const char *name;
	const char *what;	/* one line for --help */
	bool ahead;		/* does `batch` concern it? */
	/* Why it can't do the plan, or NULL. May be NULL. */
	const char *(*refuse)(const struct bench_plan *p);
	/* Threads that resolve faults, and so need pages to copy from. */
	unsigned (*resolvers)(const struct bench_plan *p);
	/* Arm the area, which is filled as the fault wants it. 0 or -errno;
	 * *what then says what failed (static). */
	int (*begin)(struct bench_scene *s, const char **what);
	/* Undo begin. No thread touches the area any more. */
	void (*end)(struct bench_scene *s);
};

/* All modes, ending with NULL; the order in which they are shown. */
extern const struct bench_mode *const bench_modes[BENCH_MOST_MODES + 1];

const char *bench_order_name(enum bench_order order);
const char *bench_fault_name(enum bench_fault fault);
const char *bench_place_name(enum uffd_place place);

/* 100,000 pages, private, sequential, written, missing, 5 rounds, all modes. */
void bench_plan_init(struct bench_plan *p);

bool bench_is_huge(enum uffd_memory memory);

/* The size of a page of this kind of memory. */
uint64_t bench_page_size(enum uffd_memory memory);

/* Pages of a round, counted from 0. */
uint64_t bench_share(const struct bench_plan *p, unsigned round);
/* Pages of all the rounds before it. */
uint64_t bench_share_start(const struct bench_plan *p, unsigned round);

/* Huge pages that nobody has or has reserved. */
uint64_t bench_free_huge(uint64_t page_size);

/* One line about what is wrong; what is accepted is part of it. */
#define BENCH_WHY_LEN 320

/* Can it be measured, here? If not: false, and the reason in why. */
bool bench_plan_check(const struct bench_plan *p, char why[BENCH_WHY_LEN]);

/* ---- running it ---------------------------------------------------------- */

/* what one round of one mode took */
struct bench_spent {
	uint64_t wall_ns;
	uint64_t cpu_ns;	/* user and system, all threads */
	uint64_t switches;	/* context switches of all threads */
};

struct bench_row {
	const struct bench_mode *mode;
	uint64_t *ns;		/* a latency for each page, round after round */
	struct bench_spent *spent;	/* for each round */
	struct uffd_engine_stats stats;	/* the last round's; engines only */
};

/* Rows for the modes of a plan. *ret only on success: 0 or -ENOMEM. */
int bench_rows_new(const struct bench_plan *p, struct bench_row **ret);
void bench_rows_free(const struct bench_plan *p, struct bench_row *rows);

/* Called when a step is done; there are rounds times modes of them. */
typedef void bench_progress(void *user, unsigned done, unsigned total);

/*
 * Measure. 0; or -errno, and one line in why that names the mode: what could
 * not be done, or a page whose content was wrong (-EILSEQ). Not from several
 * threads at once: `sigsegv` has a signal handler of the process.
 */
int bench_measure(const struct bench_plan *p, struct bench_row *rows,
	      bench_progress *progress, void *user, char why[BENCH_WHY_LEN]);

/* What reading the clock adds to each latency, in ns. */
double bench_clock_cost(void);

/* ---- what it comes to ---------------------------------------------------- */

struct bench_figure {
	uint64_t *sorted;	/* all latencies, ns */
	uint64_t count;
	double mean_ns;		/* median over the rounds of a round's mean */
	double mean_all_ns;	/* mean of all latencies */
	uint64_t min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
	double pages_per_s;	/* medians over the rounds, these three */
	double cpu_ns_per_fault;
	double switches_per_fault;
	double vs_classic;	/* classic's mean / this mean; 0: no such row */
	double vs_kernel;	/* this mean / kernel's mean; 0: no such row */
};

/* One for each row. *ret only on success: 0 or -ENOMEM. */
int bench_figures_new(const struct bench_plan *p, const struct bench_row *rows,
		      struct bench_figure **ret);
void bench_figures_free(const struct bench_plan *p,
			struct bench_figure *figures);

/* The smallest of the n sorted values that is not below a share (0 to 1). */
uint64_t bench_percentile(const uint64_t *sorted, uint64_t n, double share);
double bench_median(double *values, unsigned n);

/* Row of the mode with this name, or -1. */
int bench_row_of(const struct bench_plan *p, const char *mode);

#endif
