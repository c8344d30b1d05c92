/* SPDX-License-Identifier: MIT */
/*
 * Taking the pages of a slice out of the program's sight: all in one step by
 * mremap(MREMAP_DONTUNMAP), or, where pinned pages have to be found out, run by
 * run with UFFDIO_MOVE. All under the slice's lock.
 */
#include <errno.h>
#include <sys/mman.h>

#include "pager.h"

/* How long pages that were discarded may still be there before that means that
 * they stay: a call that was told to go on may have to wait for a processor. */
#define DISCARD_NS UINT64_C(200000000)
/* and how often to look */
#define LOOK_NS UINT64_C(1000000)

void torn_begin(struct slice *s)
{
	const uint64_t now = pager_now();
	uint32_t torn = __atomic_load_n(&s->torn, __ATOMIC_ACQUIRE);

	if (torn != TORN_NEW || uffd_changing(s->region->pager->fd) == 1)
		return;
	__atomic_store_n(&s->torn_look, now, __ATOMIC_RELAXED);
	__atomic_store_n(&s->torn_until, now + DISCARD_NS, __ATOMIC_RELAXED);
	__atomic_compare_exchange_n(&s->torn, &torn, TORN_OVER, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Are all that were discarded gone? With the lock. */
static bool all_gone(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);

	for (uint64_t i = first; i < end; i++)
		if ((page_get(r, i) & (PAGE_STATE | PAGE_LOOSE)) ==
			    (PAGE_HERE | PAGE_LOOSE) &&
		    page_there(r, i))
			return false;
	return true;
}

/* With the lock: are the calls over, so that what is there says something? */
static bool torn_end(struct slice *s)
{
	const uint64_t now = pager_now();
	uint32_t torn = TORN_OVER;

	torn_begin(s);
	if (__atomic_load_n(&s->torn, __ATOMIC_ACQUIRE) != TORN_OVER)
		return false;
	if (now < __atomic_load_n(&s->torn_until, __ATOMIC_RELAXED)) {
		if (now < __atomic_load_n(&s->torn_look, __ATOMIC_RELAXED))
			return false;
		__atomic_store_n(&s->torn_look, now + LOOK_NS,
				 __ATOMIC_RELAXED);
		if (!all_gone(s))
			return false;
	}
	return __atomic_compare_exchange_n(&s->torn, &torn, TORN_NOT, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Is there anything of a page that should be here? A file keeps what only its
 * mapping has lost; but it has to be mapped to find out. */
static bool is_left(struct uffd_region *r, uint64_t page)
{
	return page_there(r, page) ||
	       (r->memfd >= 0 && shared_map(r, page, 1, false) != -EFAULT);
}

/*
 * The program has discarded pages of this slice, and is done. Those that are
 * gone are forgotten; what is still there is there to stay (MADV_FREE, written
 * again).
 */
static void mend(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s);
	const uint64_t end = first + slice_nr(s);
	uint32_t here = 0;

	for (uint64_t i = first; i < end; i++) {
		uint8_t seen = page_get(r, i);

		if (seen & PAGE_LOOSE) {
			if ((seen & PAGE_STATE) == PAGE_HERE && is_left(r, i))
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

/* Those that did not get to the place were not there any more. */
static void forget_lost(struct slice *s, const struct place *pl, uint64_t first,
			uint64_t end)
{
	struct uffd_region *r = s->region;

	for (uint64_t i = first; i < end; i++)
		if ((page_get(r, i) & PAGE_STATE) == PAGE_LIMBO &&
		    !bytes_there(r->pager, place_of(pl, i), r->page_size))
			page_forget(r, i, page_get(r, i));
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
	if (done.gone)
		forget_lost(s, pl, first, end);
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
	/* where the program discards, pages may go at any time */
	if (__atomic_load_n(&s->pocked, __ATOMIC_ACQUIRE))
		forget_lost(s, pl, first, end);
	return pl->nr ? 0 : err ? err : -EBUSY;
}

static int64_t move_all(int fd, uint64_t to, uint64_t from, uint64_t len,
			uint64_t mode)
{
	unsigned tries = 0;
	int64_t n;

	while (true) {
		n = uffd_move(fd, to, from, len, mode);
		if (n != -EINPROGRESS && n != -EAGAIN)
			return n;
		word_pause(&tries);
	}
}

/* Pages [first, end) to the place: the bytes of those that got there whole, or
 * -errno. */
static int64_t move_run(struct slice *s, struct place *pl, uint64_t first,
			uint64_t end)
{
	struct uffd_region *r = s->region;
	const int fd = r->pager->fd;
	const uint64_t from = page_addr(r, first), to = place_of(pl, first);
	/* of a page that is larger than the machine's part may be discarded */
	const uint64_t mode = UFFDIO_MOVE_MODE_DONTWAKE |
			      (r->page_size > 4096 ?
				       UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0);
	uint64_t whole, back;
	int64_t n = move_all(fd, to, from, (end - first) << r->page_shift,
			     mode);

	if (n <= 0)
		return n;
	/* part of a page that did not get there whole goes back */
	whole = (uint64_t)n & ~(r->page_size - 1);
	for (back = whole; back < (uint64_t)n;) {
		int64_t m = move_all(fd, from + back, to + back,
				     (uint64_t)n - back, mode);

		if (m <= 0)
			break;
		back += (uint64_t)m;
	}
	return (int64_t)whole;
}

/* MOVE takes no page that may not be written. Nobody who pins it to write to it
 * gets it then, so it is lifted; its place is to be as the others are. */
static int64_t lift_page(struct slice *s, struct place *pl, uint64_t page)
{
	struct uffd_region *r = s->region;
	const uint64_t to = place_of(pl, page);
	struct uffd_progress done;

	uffd_lift_all(page_addr(r, page), to, r->page_size, &done);
	if (!done.filled)
		return -EBUSY;
	mprotect((void *)(uintptr_t)to, r->page_size, PROT_READ | PROT_WRITE);
	uffd_register(r->pager->fd, to, r->page_size,
		      UFFDIO_REGISTER_MODE_MISSING, NULL);
	return (int64_t)r->page_size;
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
		n = move_run(s, pl, i, stop);
		/* not in one mapping, or not with the same rights: one by one */
		if (n < 0 && stop - i > 1)
			n = move_run(s, pl, i, i + 1);
		if (n == -EINVAL)
			n = lift_page(s, pl, i);
		if (n >= (int64_t)r->page_size) {
			stop = i + ((uint64_t)n >> r->page_shift);
			pl->nr += into_limbo(r, i, stop);
			i = stop;
			continue;
		}
		/* discarded by the program, since it was said to be here */
		if (n == -ENOENT && !page_present(r->pager, page_addr(r, i)))
			page_forget(r, i, page_get(r, i));
		i++;
	}
	if (r->page_size > 4096 && __atomic_load_n(&s->pocked, __ATOMIC_ACQUIRE))
		forget_lost(s, pl, first, end);
	return pl->nr ? 0 : s->nr_here ? -EBUSY : -ENOENT;
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
		if (!torn_end(s))
			return -EAGAIN;
		mend(s);
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
