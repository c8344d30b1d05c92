/* SPDX-License-Identifier: MIT */
/*
 * The parts of the paging benchmark that know nothing of processes: what pages
 * hold, which page is next, how long it took, what a policy would have kept.
 */
#ifndef BENCH_PAGING_PARTS_H
#define BENCH_PAGING_PARTS_H

#include "paging.h"

/* ---- numbers ----------------------------------------------------------- */

/* Any number into one that looks random (splitmix64). */
static inline uint64_t paging_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* A number below n, from a random one. */
static inline uint64_t paging_below(uint64_t random, uint64_t n)
{
	return (uint64_t)((unsigned __int128)random * n >> 64);
}

/* ---- what a page holds (paging-data.c) --------------------------------- */

/*
 *	0     2048 random bytes
 *	2048  zeros, and in a cache line of them that differs from page to page
 *	      (or all accesses would meet in a few sets of the cache) a mark
 *	4096
 */
struct paging_mark {
	uint64_t tag;		/* which page it is */
	uint64_t count;		/* times it was written */
};

static inline uint64_t paging_tag(uint64_t seed, uint64_t page)
{
	return paging_mix(seed ^ page << 20);
}

static inline struct paging_mark *paging_mark_of(void *memory, uint64_t tag)
{
	return (struct paging_mark *)((char *)memory + PAGING_PAGE / 2 +
				      tag % 32 * 64);
}

/* The page before anything was written to it. */
void paging_fill(uint64_t seed, uint64_t page, void *ret);

/* Is it that page, written so many times? */
bool paging_intact(uint64_t seed, uint64_t page, uint64_t count,
		   const void *memory);

/* ---- which page is next (paging-trace.c) ------------------------------- */

/* what all traces of a run share; read-only */
struct paging_ground {
	uint64_t pages;
	uint64_t seed;
	uint32_t *shuffled;	/* the pages in random order: the first tenth
				 * is the hot set */
};

/* 0 or -ENOMEM. */
int paging_ground_init(struct paging_ground *g, uint64_t pages, uint64_t seed);
void paging_ground_finish(struct paging_ground *g);

/* One thread's way through one turn. The same arguments, the same way. */
struct paging_trace {
	const struct paging_ground *ground;
	struct paging_case at;
	uint64_t state;		/* of the random numbers */
	uint64_t first, nr;	/* its part, when in order */
	uint64_t next;		/* in this part */
	uint64_t hot;		/* pages in the hot set */
};

void paging_trace_init(struct paging_trace *t, const struct paging_ground *g,
		       const struct paging_case *at, unsigned turn,
		       unsigned thread);

/* The page, and whether it is to be written. */
uint64_t paging_trace_next(struct paging_trace *t, bool *ret_write);

/* ---- how long it took (paging-latency.c) ------------------------------- */

/* Counts per time; 32 steps an octave, so right to 3 %. */
#define PAGING_STEPS 32u
#define PAGING_BUCKETS (PAGING_STEPS * 60)

struct paging_latency {
	uint64_t max;
	uint64_t count;
	uint32_t buckets[PAGING_BUCKETS];
};

void paging_latency_add(struct paging_latency *l, uint64_t ns);
void paging_latency_merge(struct paging_latency *to,
			  const struct paging_latency *from);

/* Of the n slowest: the time that a share of them (0 to 1) did not exceed.
 * 0 when n is 0. */
uint64_t paging_latency_slowest(const struct paging_latency *l, uint64_t n,
				double share);

/* ---- what a policy would have kept (paging-policy.c) ------------------- */

enum paging_policy { PAGING_LRU, PAGING_CLOCK, PAGING_FIFO, PAGING_NR_POLICY };

struct paging_keeper;

/* A memory of so many frames, empty, for pages below nr. 0 or -ENOMEM. */
int paging_keeper_new(enum paging_policy policy, uint64_t pages,
		      uint64_t frames, struct paging_keeper **ret);
void paging_keeper_free(struct paging_keeper *k);

/* Access a page: was it there? It is now. */
bool paging_keeper_access(struct paging_keeper *k, uint64_t page);

#endif
