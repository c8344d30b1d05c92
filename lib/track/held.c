/* SPDX-License-Identifier: MIT */
/*
 * Pages whose writers wait: one bit each.
 */
#include <string.h>

#include "../public.h"
#include "memory.h"
#include "track.h"

static uint64_t nr_pages(const struct range *r)
{
	return (r->end - r->start) / r->page_size;
}

static size_t bitmap_bytes(const struct range *r)
{
	return (nr_pages(r) + 63) / 64 * 8;
}

int held_new(const struct uffd_track *t, struct range *r)
{
	r->held = t->write ? memory_map(bitmap_bytes(r)) : NULL;
	return t->write && !r->held ? -ENOMEM : 0;
}

static uint64_t nr_held(const struct range *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < bitmap_bytes(r) / 8; i++)
		n += (uint64_t)__builtin_popcountll(r->held[i]);
	return n;
}

void held_forget(struct uffd_track *t, struct range *r)
{
	if (!r->held)
		return;
	count(&t->stats.held, -nr_held(r));
	memset(r->held, 0, bitmap_bytes(r));
}

void held_free(struct uffd_track *t, struct range *r)
{
	if (!r->held)
		return;
	count(&t->stats.held, -nr_held(r));
	memory_unmap(r->held, bitmap_bytes(r));
	r->held = NULL;
}

static bool bit(const struct range *r, uint64_t page)
{
	return r->held[page / 64] >> page % 64 & 1;
}

bool held_is(const struct range *r, uint64_t addr)
{
	return r->held && bit(r, (addr - r->start) / r->page_size);
}

void held_set(struct uffd_track *t, struct range *r, uint64_t addr)
{
	const uint64_t page = (addr - r->start) / r->page_size;

	r->held[page / 64] |= UINT64_C(1) << page % 64;
	count(&t->stats.held, 1);
}

/* The first page from `page` on, before `end`, whose bit is `want`; or end. */
static uint64_t next(const struct range *r, uint64_t page, uint64_t end,
		     bool want)
{
	const uint64_t boring = want ? 0 : UINT64_MAX;

	while (page < end) {
		if (page % 64 == 0 && end - page >= 64 &&
		    r->held[page / 64] == boring)
			page += 64;
		else if (bit(r, page) == want)
			break;
		else
			page++;
	}
	return page;
}

static void clear(struct range *r, uint64_t page, uint64_t end)
{
	for (; page < end; page++)
		r->held[page / 64] &= ~(UINT64_C(1) << page % 64);
}

/*
 * Let the first run of held pages in [*at, end) of this range go, and move
 * *at behind it. How many pages; 0: there is none, and *at is the end.
 */
static uint64_t release_run(struct uffd_track *t, struct range *r, uint64_t *at,
			    uint64_t end)
{
	const uint64_t from = (max_u64(*at, r->start) - r->start) /
			      r->page_size;
	const uint64_t to = (min_u64(end, r->end) - r->start + r->page_size -
			     1) / r->page_size;
	const uint64_t first = r->held ? next(r, from, to, true) : to;
	const uint64_t last = r->held ? next(r, first, to, false) : to;
	const uint64_t nr = last - first;

	*at = r->start + last * r->page_size;
	if (nr == 0)
		return 0;
	clear(r, first, last);
	count(&t->stats.held, -nr);
	let_go(t, r->start + first * r->page_size, nr * r->page_size,
	       r->page_size);
	return nr;
}

PUBLIC int64_t uffd_track_release(struct uffd_track *t, uint64_t start,
				  uint64_t len)
{
	const uint64_t end = start + len;
	uint64_t at = start;
	struct range *r;
	int64_t nr = 0;

	if ((start | len) % t->page_size || end < start)
		return -EINVAL;
	if (may_call(t) == -ECHILD)
		return -ECHILD;
	pthread_mutex_lock(&t->lock);
	while ((r = range_after(t, at)) && r->start < end && at < end)
		nr += (int64_t)release_run(t, r, &at, end);
	pthread_mutex_unlock(&t->lock);
	return nr;
}
