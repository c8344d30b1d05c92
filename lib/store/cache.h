/* SPDX-License-Identifier: MIT */
/*
 * Pages kept in memory. A page can be in one of the six places of its set,
 * and no other; a set is one cache line with a lock of its own:
 *
 *	| lock, age, writers, hand, marks | page, page, page, page, page, page |
 *
 * Who reads a page from below keeps it only if nobody has begun or ended to
 * write into the set meanwhile: what he has read may be older than what is
 * below by now.
 */
#ifndef LIB_STORE_CACHE_H
#define LIB_STORE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lock.h"

#define WAYS 6u

struct set {
	_Alignas(64) struct lock lock;
	uint32_t age;		/* grows when a write begins and ends */
	uint16_t writers;
	uint8_t hand;		/* where the search for a victim goes on */
	uint8_t marks;		/* a bit for each place: used since it passed */
	bool mixed;		/* several write, or did until just now */
	uint64_t pages[WAYS];	/* number of the page and 1, or 0 */
};

struct pages {
	struct set *sets;
	char *bytes;
	uint64_t nr_sets;
	_Atomic uint64_t nr_used;	/* places that were ever filled */
};

/* Room for this many bytes, rounded down; at least one set. */
bool pages_init(struct pages *p, uint64_t size);
void pages_end(struct pages *p);

/* Copy n bytes from a place in a page, if it is here. If not, *age is what
 * pages_keep wants. */
bool pages_copy(struct pages *p, uint64_t page, size_t in, void *to, size_t n,
		uint32_t *age);

/* A page was read from below. */
void pages_keep(struct pages *p, uint64_t page, uint32_t age, const void *from);

/* [offset, +len) is about to be written below; has been, from these bytes; or
 * nobody knows what is there now (from is NULL). */
void pages_begin(struct pages *p, uint64_t offset, uint64_t len);
void pages_end_write(struct pages *p, uint64_t offset, uint64_t len,
		     const void *from);

#endif
