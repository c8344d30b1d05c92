/* SPDX-License-Identifier: MIT */
/*
 * States of pages, and what they hold as a hash.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <unistd.h>

#include "pager.h"

struct hash hash_of(const void *bytes, uint64_t len)
{
	XXH128_hash_t h = XXH3_128bits(bytes, len);

	return (struct hash){ h.low64, h.high64 };
}

bool hash_same(struct hash a, struct hash b)
{
	return a.low == b.low && a.high == b.high;
}

void page_idle(struct slice *s, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first; i < first + nr; i++)
		page_unflag(s->region, i, PAGE_BUSY);
	if (s->waiters)
		word_wake(&s->turn);
	else
		__atomic_fetch_add(&s->turn, 1, __ATOMIC_RELEASE);
}

void page_wait(struct slice *s)
{
	uint32_t seen = __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE);

	s->waiters++;
	lock_drop(&s->lock);
	word_wait(&s->turn, seen);
	lock_take(&s->lock);
	s->waiters--;
}

uint64_t page_kept(const struct uffd_region *r, uint64_t page)
{
	uint64_t left;

	if (r->own || !r->store)
		return r->page_size;
	left = uffd_store_length(r->store) - r->offset -
	       (page << r->page_shift);
	return left < r->page_size ? left : r->page_size;
}

/* /proc/PID/pagemap: 8 bytes a page; bit 63 present, bit 62 swapped out. */
bool page_present(const struct uffd_pager *p, uint64_t addr)
{
	const uint64_t nr = addr / (uint64_t)getpagesize();
	uint64_t entry = 0;

	if (pread(p->pagemap, &entry, sizeof(entry),
		  (off_t)(nr * sizeof(entry))) != (ssize_t)sizeof(entry))
		return true;
	return entry >> 62;
}

uint64_t bytes_there(const struct uffd_pager *p, uint64_t addr, uint64_t len)
{
	uint64_t there = 0;

	for (uint64_t at = addr; at < addr + len; at += 4096)
		if (page_present(p, at))
			there += 4096;
	return there;
}

uint64_t page_there(const struct uffd_region *r, uint64_t page)
{
	return bytes_there(r->pager, page_addr(r, page), r->page_size);
}

/*
 * What does the page hold, now that the program has discarded it? Anonymous
 * memory: zeros. A private region: what the store had. Else: what the store
 * has. But what only a store holds of a memory file stays as it is: nobody can
 * tell MADV_REMOVE from MADV_DONTNEED, which discards nothing there.
 */
uint8_t page_forget(struct uffd_region *r, uint64_t page, uint8_t seen)
{
	struct slice *s = slice_of(r, page);
	uint8_t was, now;

	if (r->memfd >= 0 && (seen & PAGE_STATE) == PAGE_ABSENT) {
		page_unflag(r, page, PAGE_LOOSE);
		return page_get(r, page);
	}
	do {
		was = seen;
		now = r->own ? PAGE_ABSENT :
			       (was & (PAGE_HASHED | PAGE_ZERO));
		now |= was & PAGE_BUSY;
	} while (!page_turn(r, page, &seen, now));
	if ((was & PAGE_STATE) == PAGE_HERE) {
		s->nr_here--;
		room_give(r->pager, r->page_size);
	}
	if ((was & PAGE_STATE) == PAGE_LIMBO && r->memfd >= 0)
		shared_free(s, page);
	return now;
}
