/* SPDX-License-Identifier: MIT */
/*
 * Pins: ranges that stay where they are. They are few, so a plain list does;
 * it is looked at only for slices that have any.
 */
#include <errno.h>
#include <stdlib.h>

#include "pager.h"

struct pin {
	struct uffd_region *region;
	uint64_t first, nr;	/* pages */
};

bool pin_holds(struct uffd_pager *p, const struct uffd_region *r, uint64_t page)
{
	bool held = false;

	lock_take(&p->pins_lock);
	for (uint32_t i = 0; i < p->nr_pins && !held; i++)
		held = p->pins_list[i].region == r &&
		       page - p->pins_list[i].first < p->pins_list[i].nr;
	lock_drop(&p->pins_lock);
	return held;
}

static int pin_grow(struct uffd_pager *p)
{
	uint32_t cap = p->cap_pins ? p->cap_pins * 2 : 64;
	struct pin *list = realloc(p->pins_list, cap * sizeof(*list));

	if (!list)
		return -ENOMEM;
	p->pins_list = list;
	p->cap_pins = cap;
	return 0;
}

/* may allocate: not for the fault's way */
static int list_add(struct uffd_pager *p, const struct pin *pin)
{
	int err = 0;

	lock_take(&p->pins_lock);
	if (p->nr_pins == p->cap_pins)
		err = pin_grow(p);
	if (err == 0)
		p->pins_list[p->nr_pins++] = *pin;
	lock_drop(&p->pins_lock);
	return err;
}

static bool list_remove(struct uffd_pager *p, const struct pin *pin)
{
	bool found = false;

	lock_take(&p->pins_lock);
	for (uint32_t i = 0; i < p->nr_pins && !found; i++) {
		const struct pin *at = &p->pins_list[i];

		found = at->region == pin->region && at->first == pin->first &&
			at->nr == pin->nr;
		if (found)
			p->pins_list[i] = p->pins_list[--p->nr_pins];
	}
	lock_drop(&p->pins_lock);
	return found;
}

/* Tell the slices of [first, +nr) how many pins they have. */
static void tell_slices(struct uffd_region *r, uint64_t first, uint64_t nr,
			int by)
{
	const uint64_t last = (first + nr - 1) >> r->slice_shift;

	for (uint64_t i = first >> r->slice_shift; i <= last; i++) {
		lock_take(&r->slices[i].lock);
		r->slices[i].nr_pins += (uint32_t)by;
		lock_drop(&r->slices[i].lock);
	}
}

/* Count them against the budget; an eighth of it is for everything else. */
static int pins_count(struct uffd_pager *p, int64_t bytes)
{
	int64_t most = p->budget - p->budget / 8;

	if (__atomic_add_fetch(&p->pinned, bytes, __ATOMIC_RELAXED) <= most)
		return 0;
	__atomic_fetch_sub(&p->pinned, bytes, __ATOMIC_RELAXED);
	return -ENOMEM;
}

int pin_add(struct uffd_region *r, uint64_t first, uint64_t nr)
{
	const struct pin pin = { r, first, nr };
	const int64_t bytes = (int64_t)(nr << r->page_shift);
	int err = pins_count(r->pager, bytes);

	if (err < 0)
		return err;
	err = list_add(r->pager, &pin);
	if (err == 0)
		tell_slices(r, first, nr, 1);
	else
		__atomic_fetch_sub(&r->pager->pinned, bytes, __ATOMIC_RELAXED);
	return err;
}

void pin_remove(struct uffd_region *r, uint64_t first, uint64_t nr)
{
	const struct pin pin = { r, first, nr };

	if (!list_remove(r->pager, &pin))
		return;
	tell_slices(r, first, nr, -1);
	__atomic_fetch_sub(&r->pager->pinned, (int64_t)(nr << r->page_shift),
			   __ATOMIC_RELAXED);
}

void pin_remove_all(struct uffd_region *r)
{
	struct uffd_pager *p = r->pager;
	int64_t bytes = 0;

	lock_take(&p->pins_lock);
	for (uint32_t i = 0; i < p->nr_pins;) {
		if (p->pins_list[i].region != r) {
			i++;
			continue;
		}
		bytes += (int64_t)(p->pins_list[i].nr << r->page_shift);
		p->pins_list[i] = p->pins_list[--p->nr_pins];
	}
	lock_drop(&p->pins_lock);
	__atomic_fetch_sub(&p->pinned, bytes, __ATOMIC_RELAXED);
}
