/* SPDX-License-Identifier: MIT */
/*
 * What a program can ask for a range of a region.
 */
#include <errno.h>
#include <time.h>

#include "../public.h"
#include "quiet.h"
#include "region.h"

/* pages of [offset, +len), those only touched included */
struct pages {
	uint64_t first, end;
};

static int pages_of(const struct uffd_region *r, uint64_t offset, uint64_t len,
		    struct pages *ret)
{
	if (offset > r->len || len > r->len - offset)
		return -EINVAL;
	ret->first = offset >> r->page_shift;
	ret->end = (offset + len + r->page_size - 1) >> r->page_shift;
	return 0;
}

int each_slice(struct uffd_region *r, uint64_t offset, uint64_t len,
	       slice_fn *fn)
{
	struct pages pages;
	int err = pages_of(r, offset, len, &pages);
	uint64_t last;

	if (err < 0 || pages.first == pages.end)
		return err;
	last = (pages.end - 1) >> r->slice_shift;
	/* all of them at once, not one after another */
	for (uint64_t i = pages.first >> r->slice_shift; i <= last; i++)
		torn_begin(&r->slices[i]);
	for (uint64_t i = pages.first >> r->slice_shift;
	     i <= last && err == 0; i++)
		err = fn(&r->slices[i]);
	return err;
}

/* ---- in ---------------------------------------------------------------------------- */

static bool is_here(const struct uffd_region *r, uint64_t page)
{
	return (page_get(r, page) & (PAGE_STATE | PAGE_LOOSE)) == PAGE_HERE;
}

static int bring_all(struct uffd_region *r, struct pages pages, bool hint)
{
	struct bring b = {
		.region = r,
		.ahead = pages.first,
		.ahead_nr = pages.end - pages.first,
		.hint = hint,
	};

	for (b.page = pages.first; b.page < pages.end; b.page++) {
		int err = is_here(r, b.page) ? 0 : page_bring(&b);

		if (err < 0)
			return err;
		if (!hint && (b.page & 63) == 63)
			room_pace(r->pager, 64);
	}
	return 0;
}

PUBLIC int uffd_touch(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct pages pages;
	struct quiet q;
	int err = pages_of(r, offset, len, &pages);

	if (err < 0)
		return err;
	quiet_begin(&q);
	err = bring_all(r, pages, false);
	quiet_end(&q);
	return err;
}

PUBLIC int uffd_prefetch(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct pages pages;
	struct quiet q;
	int err = pages_of(r, offset, len, &pages);

	if (err < 0)
		return err;
	if (!r->fast && r->store) {
		uffd_store_prefetch(r->store, r->offset + offset, len);
		return 0;
	}
	quiet_begin(&q);
	bring_all(r, pages, true);
	quiet_end(&q);
	return 0;
}

PUBLIC int uffd_pin(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct pages pages;
	struct quiet q;
	int err = pages_of(r, offset, len, &pages);

	if (err < 0 || pages.first == pages.end)
		return err;
	quiet_begin(&q);
	/* first the pin, so that what comes stays */
	err = pin_add(r, pages.first, pages.end - pages.first);
	if (err == 0) {
		err = bring_all(r, pages, false);
		if (err < 0)
			pin_remove(r, pages.first, pages.end - pages.first);
	}
	quiet_end(&q);
	return err;
}

PUBLIC void uffd_unpin(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct pages pages;
	struct quiet q;

	if (pages_of(r, offset, len, &pages) < 0 || pages.first == pages.end)
		return;
	quiet_begin(&q);
	pin_remove(r, pages.first, pages.end - pages.first);
	quiet_end(&q);
}

/* ---- out ------------------------------------------------------------------------------- */

static void moment(void)
{
	const struct timespec t = { .tv_nsec = 1000000 };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/*
 * Lift a slice by itself, whatever is in the way: an older place of it, all
 * places taken, or pages just discarded. 0: it is in limbo, or holds nothing.
 */
static int lift_now(struct slice *s, int (*done)(struct slice *s))
{
	struct uffd_pager *p = s->region->pager;
	unsigned tries = 0;
	int err;

	do {
		err = done(s);
		if (err < 0)
			return err;
		lock_take(&s->lock);
		err = s->nr_here ? lift(s) : -ENOENT;
		lock_drop(&s->lock);
		if (err == -ENOSPC && !settle_some(p, 64))
			word_pause(&tries);
		if (err == -EAGAIN)
			moment();
	} while (err == -ENOSPC || err == -EAGAIN);
	return err == -ENOENT ? 0 : err;
}

static bool has_pins(struct slice *s)
{
	bool some;

	lock_take(&s->lock);
	some = s->nr_pins;
	lock_drop(&s->lock);
	return some;
}

static bool pins_stayed(struct slice *s)
{
	bool some;

	lock_take(&s->lock);
	some = s->nr_pins && s->nr_here;
	lock_drop(&s->lock);
	return some;
}

/* -EBUSY: pinned pages have stayed */
int evict_slice(struct slice *s)
{
	int err = lift_now(s, settle_slice);

	if (err < 0)
		return err;
	err = settle_slice(s);
	return err == 0 && pins_stayed(s) ? -EBUSY : err;
}

/* pages that could not be lifted are written from where they are */
static int clean_rest(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);
	int err = 0;

	if (r->rdonly)
		return 0;
	lock_take(&s->lock);
	for (uint64_t i = first; i < end && s->nr_here && err == 0; i++)
		if (is_here(r, i) && (r->by_move || pin_holds(r->pager, r, i)))
			err = clean_in_place(s, i);
	lock_drop(&s->lock);
	return err;
}

static int sync_slice(struct slice *s)
{
	int err = lift_now(s, clean_slice);

	/* what is in place gets written by clean_rest */
	if (err == 0 || err == -EBUSY)
		err = clean_slice(s);
	return err < 0 ? err : s->region->by_move || has_pins(s) ?
			       clean_rest(s) : 0;
}

/* for good: nothing of it may stay in limbo */
int clean_out(struct slice *s)
{
	int err = evict_slice(s);

	return err == -EBUSY ? clean_rest(s) : err;
}

PUBLIC int uffd_evict(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct quiet q;
	int err;

	quiet_begin(&q);
	err = each_slice(r, offset, len, evict_slice);
	quiet_end(&q);
	return err;
}

PUBLIC int uffd_sync(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct quiet q;
	int err;

	quiet_begin(&q);
	err = each_slice(r, offset, len, sync_slice);
	if (err == 0 && r->store && !r->own && !r->rdonly)
		err = uffd_store_flush(r->store);
	quiet_end(&q);
	return err;
}

/* ---- away ------------------------------------------------------------------------------ */

static uint8_t zeros_of(uint8_t seen)
{
	/* what was unmapped can't be mended, and need not be */
	const bool poisoned = (seen & (PAGE_STATE | PAGE_LOOSE)) == PAGE_BROKEN;

	return PAGE_ZERO | (poisoned ? PAGE_BROKEN : PAGE_ABSENT);
}

/* Make the pages of one slice zeros, where they are not in the region. -EAGAIN:
 * some are. What is poisoned stays so until zeros are put over it. */
static int zero_pages(struct slice *s, struct pages pages)
{
	struct uffd_region *r = s->region;
	int err = 0;

	lock_take(&s->lock);
	for (uint64_t i = pages.first; i < pages.end; i++) {
		uint8_t seen = page_get(r, i);

		while (seen & PAGE_BUSY) {
			page_wait(s);
			seen = page_get(r, i);
		}
		if ((seen & PAGE_STATE) == PAGE_HERE) {
			err = -EAGAIN;
			continue;
		}
		if ((seen & PAGE_STATE) == PAGE_LIMBO && r->memfd >= 0)
			shared_free(s, i);
		while (!page_turn(r, i, &seen, zeros_of(seen)))
			;
	}
	lock_drop(&s->lock);
	return err;
}

/* Only a page can take the place of a poison marker. */
static int mend_poisoned(struct uffd_region *r, struct pages pages)
{
	struct bring b = { .region = r, .write = true };
	int err = 0;

	for (uint64_t i = pages.first; i < pages.end && !err; i++) {
		if ((page_get(r, i) & (PAGE_STATE | PAGE_ZERO)) !=
		    (PAGE_BROKEN | PAGE_ZERO))
			continue;
		b.page = b.ahead = i;
		b.ahead_nr = 1;
		err = page_bring(&b);
	}
	return err;
}

static int discard_slice(struct slice *s, struct pages pages)
{
	int err = zero_pages(s, pages);

	if (err < 0) {
		err = lift_now(s, settle_slice);
		if (err < 0)
			return err;
		err = zero_pages(s, pages);
	}
	return err < 0 ? -EBUSY : mend_poisoned(s->region, pages);
}

static int discard_pages(struct uffd_region *r, struct pages pages)
{
	int err = 0;

	while (pages.first < pages.end && err == 0) {
		struct slice *s = slice_of(r, pages.first);
		uint64_t stop = slice_first(s) + slice_nr(s);
		struct pages here = {
			pages.first,
			stop < pages.end ? stop : pages.end,
		};

		err = discard_slice(s, here);
		pages.first = here.end;
	}
	return err;
}

static int discard_stored(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	const uint64_t there = r->store ? uffd_store_length(r->store) : 0;

	if (r->own)
		return uffd_store_discard(r->own, offset, len);
	offset += r->offset;
	if (len > there - offset)
		len = there - offset;
	return uffd_store_discard(r->store, offset, len);
}

/* First here, where a page that is zeros need not be asked for; what is stored
 * can then go without anybody seeing it half gone. */
PUBLIC int uffd_discard(struct uffd_region *r, uint64_t offset, uint64_t len)
{
	struct pages pages;
	struct quiet q;
	int err = pages_of(r, offset, len, &pages);

	if (err < 0 || offset % r->page_size || len % r->page_size)
		return -EINVAL;
	if (r->rdonly)
		return -EROFS;
	if (!len)
		return 0;
	quiet_begin(&q);
	err = discard_pages(r, pages);
	if (err == 0)
		err = discard_stored(r, offset, len);
	quiet_end(&q);
	return err;
}
