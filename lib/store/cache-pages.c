/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cache.h"
#include "span.h"
#include "zeros.h"

#define NOWHERE WAYS

bool pages_init(struct pages *p, uint64_t size)
{
	const int rw = PROT_READ | PROT_WRITE;

	p->nr_sets = size / (WAYS * STORE_PAGE);
	if (!p->nr_sets)
		p->nr_sets = 1;
	p->sets = span_map(p->nr_sets * sizeof(struct set), rw);
	p->bytes = span_map(p->nr_sets * WAYS * STORE_PAGE, rw);
	return p->sets && p->bytes;
}

void pages_end(struct pages *p)
{
	span_unmap(p->sets, p->nr_sets * sizeof(struct set));
	span_unmap(p->bytes, p->nr_sets * WAYS * STORE_PAGE);
}

/* Neighbours lie in different sets, and far pages don't meet in patterns. */
static struct set *set_of(struct pages *p, uint64_t page)
{
	uint64_t hash = page * 0x9e3779b97f4a7c15u;

	return &p->sets[(uint64_t)((unsigned __int128)hash * p->nr_sets >> 64)];
}

static char *place(struct pages *p, const struct set *set, unsigned way)
{
	uint64_t nr = (uint64_t)(set - p->sets) * WAYS + way;

	return p->bytes + nr * STORE_PAGE;
}

static unsigned find(const struct set *set, uint64_t page)
{
	for (unsigned way = 0; way < WAYS; way++)
		if (set->pages[way] == page + 1)
			return way;
	return NOWHERE;
}

bool pages_copy(struct pages *p, uint64_t page, size_t in, void *to, size_t n,
		uint32_t *age)
{
	struct set *set = set_of(p, page);
	unsigned way;

	lock_take(&set->lock);
	way = find(set, page);
	if (way != NOWHERE) {
		set->marks |= (uint8_t)(1 << way);
		memcpy(to, place(p, set, way) + in, n);
	}
	*age = set->age;
	lock_drop(&set->lock);
	return way != NOWHERE;
}

/* the clock: the first free or unmarked one, and marks go as the hand passes */
static unsigned choose(struct pages *p, struct set *set)
{
	unsigned way;

	for (;;) {
		way = set->hand;
		set->hand = (uint8_t)((way + 1) % WAYS);
		if (!set->pages[way] || !(set->marks & 1 << way))
			break;
		set->marks &= (uint8_t)~(1 << way);
	}
	if (!set->pages[way]) /* perhaps again, after an unknown write */
		atomic_fetch_add(&p->nr_used, 1);
	return way;
}

/* the lock is held */
static void put(struct pages *p, struct set *set, uint64_t page,
		const void *from)
{
	unsigned way = find(set, page);

	if (way == NOWHERE)
		way = choose(p, set);
	set->pages[way] = page + 1;
	memcpy(place(p, set, way), from, STORE_PAGE);
}

void pages_keep(struct pages *p, uint64_t page, uint32_t age, const void *from)
{
	struct set *set = set_of(p, page);

	lock_take(&set->lock);
	if (!set->writers && set->age == age)
		put(p, set, page, from);
	lock_drop(&set->lock);
}

static void forget(struct pages *p, struct set *set, unsigned way)
{
	if (way == NOWHERE)
		return;
	set->pages[way] = 0;
	set->marks &= (uint8_t)~(1 << way);
	atomic_fetch_sub(&p->nr_used, 1);
}

static uint64_t last_page(uint64_t offset, uint64_t len)
{
	return (offset + len - 1) / STORE_PAGE;
}

/* more pages than there are sets: each set once is as good, and shorter */
static bool is_wide(const struct pages *p, uint64_t offset, uint64_t len)
{
	return last_page(offset, len) - offset / STORE_PAGE >= p->nr_sets;
}

static void begin_set(struct set *set)
{
	lock_take(&set->lock);
	set->mixed |= set->writers++ > 0;
	set->age++;
	lock_drop(&set->lock);
}

void pages_begin(struct pages *p, uint64_t offset, uint64_t len)
{
	if (is_wide(p, offset, len)) {
		for (uint64_t i = 0; i < p->nr_sets; i++)
			begin_set(&p->sets[i]);
		return;
	}
	for (uint64_t page = offset / STORE_PAGE; page <= last_page(offset, len);
	     page++)
		begin_set(set_of(p, page));
}

static void end_set(struct set *set)
{
	if (--set->writers == 0)
		set->mixed = false;
	set->age++;
}

/* all that a set has of a wide range goes */
static void end_wide(struct pages *p, struct set *set, uint64_t offset,
		     uint64_t len)
{
	lock_take(&set->lock);
	for (unsigned way = 0; way < WAYS; way++) {
		uint64_t page = set->pages[way] - 1;

		if (set->pages[way] && page >= offset / STORE_PAGE &&
		    page <= last_page(offset, len))
			forget(p, set, way);
	}
	end_set(set);
	lock_drop(&set->lock);
}

/*
 * n bytes at a place in a page were written, from these bytes, or from NULL.
 * If others wrote meanwhile, nobody knows whose bytes are below.
 */
static void end_page(struct pages *p, uint64_t page, size_t in, size_t n,
		     const char *from)
{
	struct set *set = set_of(p, page);
	unsigned way;

	lock_take(&set->lock);
	way = find(set, page);
	if (!from || set->mixed)
		forget(p, set, way);
	else if (n == STORE_PAGE)
		put(p, set, page, from);
	else if (way != NOWHERE)
		memcpy(place(p, set, way) + in, from, n);
	end_set(set);
	lock_drop(&set->lock);
}

void pages_end_write(struct pages *p, uint64_t offset, uint64_t len,
		     const void *from)
{
	const char *bytes = from;

	if (is_wide(p, offset, len)) {
		for (uint64_t i = 0; i < p->nr_sets; i++)
			end_wide(p, &p->sets[i], offset, len);
		return;
	}
	while (len) {
		size_t in = offset % STORE_PAGE, n = STORE_PAGE - in;

		if (n > len)
			n = len;
		end_page(p, offset / STORE_PAGE, in, n, bytes);
		bytes = bytes ? bytes + n : NULL;
		offset += n;
		len -= n;
	}
}
