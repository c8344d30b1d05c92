/* SPDX-License-Identifier: MIT */
/*
 * Taking the pages of a slice out of the program's sight: all in one step by
 * mremap(MREMAP_DONTUNMAP), or, where pinned pages have to be found out, run by
 * run with UFFDIO_MOVE. All under the slice's lock.
 */
#include <errno.h>
#include <sched.h>

#include "pager.h"

/*
 * The program has discarded pages of this slice. Those that are gone are
 * forgotten; for the others the call that discards them may still be on its
 * way, so the slice is not lifted now. At its next turn, much later, what is
 * still there is there to stay (MADV_FREE, written again).
 */
static void mend(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s);
	const uint64_t end = first + slice_nr(s);
	uint32_t here = 0;

	__atomic_store_n(&s->torn, 0, __ATOMIC_SEQ_CST);
	for (uint64_t i = first; i < end; i++) {
		uint8_t seen = page_get(r, i);

		if (seen & PAGE_LOOSE) {
			if ((seen & PAGE_STATE) == PAGE_HERE &&
			    page_present(r->pager, page_addr(r, i)))
				page_unflag(r, i, PAGE_LOOSE);
			else if ((seen & PAGE_STATE) != PAGE_BROKEN)
				page_forget(r, i, seen);
		}
		here += (page_get(r, i) & PAGE_STATE) == PAGE_HERE;
	}
	/* pages that were unmapped have been counted off without us */
	s->nr_here = here;
}

/* HERE to LIMBO for pages [first, end); how many */
static uint32_t into_limbo(struct uffd_region *r, uint64_t first, uint64_t end)
{
	uint32_t nr = 0;

	for (uint64_t i = first; i < end; i++) {
		if ((page_get(r, i) & PAGE_STATE) != PAGE_HERE)
			continue;
		page_state(r, i, PAGE_LIMBO);
		nr++;
	}
	return nr;
}

static bool may_go(const struct slice *s, uint64_t page)
{
	const struct uffd_region *r = s->region;

	return (page_get(r, page) & PAGE_STATE) == PAGE_HERE &&
	       !(s->nr_pins && pin_holds(r->pager, r, page));
}

/* The end of the run of pages that may go and begins at page. */
static uint64_t run_end(const struct slice *s, uint64_t page, uint64_t end)
{
	while (page < end && may_go(s, page))
		page++;
	return page;
}

static uint64_t place_of(const struct place *pl, uint64_t page)
{
	const struct uffd_region *r = pl->slice->region;

	return pl->start + ((page - slice_first(pl->slice)) << r->page_shift);
}

/*
 * Lift pages [first, end). The place is registered with us afterwards if the
 * descriptor has events on, and then freeing its pages would be an event as
 * well: take it out. Where part of it turns out not to be mapped, pages there
 * did not get to the place.
 */
static int lift_run(struct slice *s, struct place *pl, uint64_t first,
		    uint64_t end)
{
	struct uffd_region *r = s->region;
	const uint64_t to = place_of(pl, first);
	struct uffd_progress done;
	int err = uffd_lift_all(page_addr(r, first), to,
				(end - first) << r->page_shift, &done);

	if (!done.filled)
		return err;
	uffd_unregister(r->pager->fd, to, done.done);
	end = first + (done.done >> r->page_shift);
	pl->nr += into_limbo(r, first, end);
	for (uint64_t i = first; i < end && done.gone; i++)
		if ((page_get(r, i) & PAGE_STATE) == PAGE_LIMBO &&
		    !page_present(r->pager, place_of(pl, i)))
			page_forget(r, i, page_get(r, i));
	return err;
}

/* All in one step; but pinned pages stay, and what the program has unmapped may
 * be something else by now, so around those each run goes by itself. */
static int by_lifting(struct slice *s, struct place *pl)
{
	const uint64_t first = slice_first(s), end = first + slice_nr(s);
	uint64_t stop;
	int err = 0;

	if (!s->nr_pins && !__atomic_load_n(&s->holed, __ATOMIC_ACQUIRE))
		err = lift_run(s, pl, first, end);
	else
		for (uint64_t i = first; i < end && !err; i = stop + 1) {
			stop = run_end(s, i, end);
			if (stop > i)
				err = lift_run(s, pl, i, stop);
		}
	return pl->nr ? 0 : err ? err : -EBUSY;
}

/* Pages that someone has pinned, or that a fork shares, stay (EBUSY). */
static int by_moving(struct slice *s, struct place *pl)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);
	uint64_t i = first;

	while (i < end) {
		uint64_t stop = run_end(s, i, end);
		int64_t n;

		if (stop == i) {
			i++;
			continue;
		}
		n = uffd_move(r->pager->fd, place_of(pl, i), page_addr(r, i),
			      (stop - i) << r->page_shift,
			      UFFDIO_MOVE_MODE_DONTWAKE);
		if (n == -EINPROGRESS || n == -EAGAIN) {
			sched_yield();
			continue;
		}
		if (n >= (int64_t)r->page_size) {
			stop = i + ((uint64_t)n >> r->page_shift);
			pl->nr += into_limbo(r, i, stop);
			i = stop;
		} else {
			i++;
		}
	}
	return pl->nr ? 0 : -EBUSY;
}

static void limbo_add(struct uffd_pager *p, struct place *pl)
{
	lock_take(&p->limbo_lock);
	pl->next = NULL;
	if (p->limbo)
		p->limbo_last->next = pl;
	else
		p->limbo = pl;
	p->limbo_last = pl;
	lock_drop(&p->limbo_lock);
}

int lift(struct slice *s)
{
	struct uffd_region *r = s->region;
	struct uffd_pager *p = r->pager;
	uint64_t begun;
	struct place *pl;
	int err;

	if (s->place)
		return -EBUSY;
	if (__atomic_load_n(&s->torn, __ATOMIC_ACQUIRE)) {
		mend(s);
		return -EAGAIN;
	}
	if (!s->nr_here)
		return -ENOENT;
	pl = place_get(p, s);
	if (!pl)
		return -ENOSPC;

	reader_meet(p);
	begun = stage_begin(p);
	err = r->memfd >= 0 ? shared_lift(s, pl) :
	      r->by_move    ? by_moving(s, pl) :
			      by_lifting(s, pl);
	stage_end(p, LIBUFFD_STAGE_LIFT, begun);
	if (err < 0) {
		place_put(p, pl);
		return err;
	}
	s->nr_here -= pl->nr;
	s->place = pl;
	__atomic_fetch_add(&p->limbo_used, (int64_t)pl->nr << r->page_shift,
			   __ATOMIC_RELAXED);
	count(p, COUNT_LIFTS, 1);
	count(p, COUNT_LIFTED, pl->nr);
	limbo_add(p, pl);
	return 0;
}

/* How many slices to look at before saying that none can be lifted. */
#define LOOKS 64

int lift_oldest(struct uffd_pager *p)
{
	int err = -ENOENT;

	for (int i = 0; i < LOOKS; i++) {
		struct slice *s = queue_take(&p->queue);

		if (!s)
			return err;
		err = lift(s);
		if (s->nr_here)
			queue_add(&p->queue, s);
		lock_drop(&s->lock);
		if (err == 0 || err == -ENOSPC)
			return err;
	}
	return err;
}
