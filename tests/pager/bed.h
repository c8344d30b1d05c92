/* SPDX-License-Identifier: MIT */
/*
 * A test bed: a pager, a store or none, and a region, all small; what failed is
 * written down; and pages whose content tells which page they are.
 */
#ifndef TESTS_PAGER_BED_H
#define TESTS_PAGER_BED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uffd/pager.h>

#define PAGE 4096u
#define MEMORY "memory:?size=4M&compress=none"
#define LZ4 "memory:?size=4M&compress=lz4"

struct bed_want {
	uint32_t engine;	/* 0: sigbus */
	uint32_t pins;		/* 0: called */
	const char *uri;	/* NULL: anonymous */
	uint64_t budget;	/* in pages; 0: 64 */
	uint64_t pages;		/* 0: 512 */
	uint64_t page_size;
	uint64_t ahead_max;
	uint32_t flags;
	uint32_t memory;
	uint32_t deadline_ms;
	struct uffd_store *store;	/* instead of a URI; the caller's */
};

struct bed {
	struct uffd_pager *p;
	struct uffd_store *store;
	bool own_store;
	struct uffd_region *r;
	uint8_t *mem;
	uint64_t pages;

	/* the failures that were told, by any thread */
	_Atomic unsigned nr_failed, nr_failed_writes;
	_Atomic int error;		/* of the last */
	_Atomic uint64_t offset;
	_Atomic(struct uffd_region *) region;
	_Atomic(const char *) what;
};

/* false, and a line that says why: it can't be had */
bool bed_open(struct bed *b, const struct bed_want *want);
/* What bed_open leaves out for tests that make their regions themselves. */
bool bed_pager(struct bed *b, const struct bed_want *want);
int bed_region(struct bed *b, const struct bed_want *want,
	       struct uffd_store *store, struct uffd_region **ret);
void bed_close(struct bed *b);

/* ---- what pages hold ------------------------------------------------------- */

/* Another content for each page and version; version 0 is zeros. */
void stamp(void *at, uint64_t page, unsigned version);
/* Reads all of it. */
bool stamped(const void *at, uint64_t page, unsigned version);
/* The version that it is all of; -1: none below `most`, torn or foreign. */
int stamp_version(const void *at, uint64_t page, unsigned most);

static inline uint8_t *bed_page(const struct bed *b, uint64_t page)
{
	return b->mem + page * PAGE;
}

/* all pages, and more often through the budget than it is wide */
void bed_stamp_all(const struct bed *b, unsigned version);
bool bed_stamped_all(const struct bed *b, unsigned version);

/* ---- SIGBUS ------------------------------------------------------------------ */

/* Before the first pager: SIGBUS that no pager wants ends in dies(). */
void dies_begin(void);
/* Does reading this byte end in SIGBUS? */
bool dies(const void *at);

/* ---- around -------------------------------------------------------------------- */

unsigned count_entries(const char *dir);
void nap_ms(unsigned ms);
uint64_t xorshift(uint64_t *state);
/* a random page of [0, nr) */
static inline uint64_t any_page(uint64_t *state, uint64_t nr)
{
	return xorshift(state) % nr;
}
/* Huge pages for a test: a few more in the pool, if it will; and back. */
bool huge_reserve(long nr);
void huge_return(long nr);
bool under_tsan(void);
bool under_asan(void);

/* Pages of a region paged in and out by another thread until it is told to
 * stop; it reads only. */
struct pusher {
	const struct bed *b;
	uint64_t first, nr;	/* pages */
	atomic_bool stop;
	unsigned long rounds;
	pthread_t thread;
};
void pusher_start(struct pusher *p, const struct bed *b, uint64_t first,
		  uint64_t nr);
void pusher_stop(struct pusher *p);

#endif
