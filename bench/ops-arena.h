/* SPDX-License-Identifier: MIT */
/*
 * The memory that one sample works on:
 *
 *	region	what the operation is done to, registered as it wants; page i
 *		lies at i * stride pages
 *	source	as many pages next to each other: where COPY and MOVE take
 *		theirs from
 *	place	where lifted pages go; as long as the region
 *
 * All three begin on a border of 2 MiB. Every page that is written carries a
 * stamp at both ends, made of its number and of the pass, so that no page
 * passes for another or for one of before.
 */
#ifndef BENCH_OPS_ARENA_H
#define BENCH_OPS_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ops.h"

struct ops_shape {
	enum ops_memory memory;
	uint64_t features;	/* UFFD_FEATURE_* that must be on */
	uint64_t modes;		/* UFFDIO_REGISTER_MODE_*; 0: not registered */
	unsigned per_call;	/* pages of one call */
	unsigned calls;
	bool scattered;		/* no two pages next to each other */
};

struct ops_arena {
	struct ops_shape shape;
	uint64_t page;		/* its size */
	unsigned nr;		/* of pages in use: per_call * calls */
	unsigned stride;
	uint64_t len;		/* of region, of place and of the file */
	uint64_t region;
	uint64_t source;
	uint64_t place;
	int uffd;
	int memfd;		/* -1: private memory */
	int pagemap;
	uint64_t pass;		/* makes the stamps differ */
	uint64_t found;		/* bytes that scanning reported */
	struct iovec *ranges;	/* every page of the region */
};

/* 0 or -errno; -ENOMEM also where no huge page is left. */
int ops_arena_open(struct ops_arena *a, const struct ops_shape *shape);
void ops_arena_close(struct ops_arena *a);

/* bytes of a page of this memory, as operations count them */
uint64_t ops_page_size(enum ops_memory memory);

static inline uint64_t ops_page_at(const struct ops_arena *a, unsigned i)
{
	return a->region + (uint64_t)i * a->stride * a->page;
}

static inline uint64_t ops_call_len(const struct ops_arena *a)
{
	return a->shape.per_call * a->page;
}

/* where call i of a contiguous operation begins, from the start of each */
static inline uint64_t ops_call_off(const struct ops_arena *a, unsigned i)
{
	return i * ops_call_len(a);
}

/* ---- getting it ready: 0 or -errno ---- */

/* No page anywhere, neither in region and place nor in the file. */
int ops_arena_empty(struct ops_arena *a);
/* Write this pass's stamps to the source's pages. */
int ops_arena_stamp_source(struct ops_arena *a);
/* The same, and bring them into the empty region, by COPY or (huge) MOVE. */
int ops_arena_fill(struct ops_arena *a);
/* Write the stamps into the region itself, which must not be registered for
 * missing pages. */
int ops_arena_stamp(struct ops_arena *a);
/* Write the stamps into the page cache, leaving nothing mapped. */
int ops_arena_cache(struct ops_arena *a);

/* ---- looking at it: 0, -EBADMSG if it is not so, or -errno ---- */

/* Every page of the region is there and carries its stamp. */
int ops_arena_holds(const struct ops_arena *a);
/* ... and is write-protected as well. */
int ops_arena_holds_protected(const struct ops_arena *a);
/* Every page is there and zero. */
int ops_arena_holds_zeros(const struct ops_arena *a);
/* No page of the region is there. */
int ops_arena_is_gone(const struct ops_arena *a);
/* No page of the region is there, and the place holds them all. */
int ops_arena_is_lifted(const struct ops_arena *a);
/* No page is in the file. */
int ops_arena_is_punched(const struct ops_arena *a);

#endif
