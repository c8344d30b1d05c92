/* SPDX-License-Identifier: MIT */
/*
 * What becomes of pages in limbo that nobody wanted back: their bytes are
 * hashed, written to the store if the hash is not the one they came with, and
 * when all pages of a place are dealt with it is emptied. Many threads settle
 * one place together, a few pages each; until it is emptied its pages can be
 * had back.
 */
#include <errno.h>
#include <string.h>

#include "pager.h"

/* how long what a store refused waits to be tried again */
#define RETRY_NS UINT64_C(50000000)

static struct uffd_store *store_for(struct uffd_region *r, uint64_t page,
				    uint64_t *ret_offset)
{
	*ret_offset = page << r->page_shift;
	if (r->own)
		return r->own;
	*ret_offset += r->offset;
	return r->store;
}

/* Write a page; with the slice's lock, which it gives up meanwhile if the
 * store is slow. */
static int write_page(struct slice *s, uint64_t page, const void *bytes)
{
	struct uffd_region *r = s->region;
	struct uffd_pager *p = r->pager;
	const uint64_t len = page_kept(r, page);
	uint64_t offset, begun = stage_begin(p);
	struct uffd_store *store = store_for(r, page, &offset);
	int err;

	if (r->fast) {
		err = uffd_store_write(store, offset, bytes, len);
	} else {
		page_flag(r, page, PAGE_BUSY);
		lock_drop(&s->lock);
		err = uffd_store_write(store, offset, bytes, len);
		lock_take(&s->lock);
		page_idle(s, page, 1);
	}
	stage_end(p, LIBUFFD_STAGE_WRITE, begun);
	if (err < 0)
		fail(p, r, page, err, true, "write");
	return err;
}

/* What the store holds of this page has this hash now. */
static void wrote(struct uffd_region *r, uint64_t page, struct hash h)
{
	r->hashes[page] = h;
	page_flag(r, page, PAGE_HASHED | (r->own ? PAGE_OWN : 0));
	page_unflag(r, page, PAGE_ZERO);
	count(r->pager, COUNT_WRITTEN, 1);
}

/* Write a page if it is not what the store has. With the lock. */
static int write_changed(struct slice *s, uint64_t page, const void *bytes)
{
	struct uffd_region *r = s->region;
	struct hash h = hash_of(bytes, page_kept(r, page));
	int err;

	if ((page_get(r, page) & PAGE_HASHED) &&
	    hash_same(h, r->hashes[page]))
		return 0;
	err = write_page(s, page, bytes);
	if (err == 0)
		wrote(r, page, h);
	return err;
}

/* the same, of a page that waits in its file */
static int settle_copy(struct slice *s, uint64_t page)
{
	struct uffd_region *r = s->region;
	void *copy = buffer_get(r->pager);
	int err = shared_read(r, page, copy);

	if (err == 0)
		err = write_changed(s, page, copy);
	buffer_put(r->pager, copy);
	return err;
}

/* A file keeps what only its mapping has lost: mapped again it is here. */
static void discarded(struct slice *s, uint64_t page, uint8_t seen)
{
	struct uffd_region *r = s->region;
	struct uffd_pager *p = r->pager;

	if (r->memfd < 0 || shared_map(r, page, 1, false) < 0) {
		page_forget(r, page, seen);
		return;
	}
	page_unflag(r, page, PAGE_LOOSE);
	page_state(r, page, PAGE_HERE);
	place_less(s->place, 1);
	s->nr_here++;
	__atomic_fetch_sub(&p->limbo_used, (int64_t)r->page_size,
			   __ATOMIC_RELAXED);
	queue_add(&p->queue, s);
}

/* One page, with the slice's lock. 1: settled; 0: nothing to do; -errno: it
 * could not be written. */
static int settle_page(struct slice *s, const struct place *pl, uint64_t page)
{
	struct uffd_region *r = s->region;
	uint64_t begun = stage_begin(r->pager);
	uint8_t seen = page_get(r, page);
	int err;

	while (seen & PAGE_BUSY) {
		page_wait(s);
		seen = page_get(r, page);
	}
	if ((seen & PAGE_STATE) != PAGE_LIMBO || r->rdonly)
		return (seen & PAGE_STATE) == PAGE_LIMBO;
	if (seen & PAGE_LOOSE) {
		discarded(s, page, seen);
		return 0;
	}
	err = r->memfd >= 0 ?
		      settle_copy(s, page) :
		      write_changed(s, page, (const void *)(uintptr_t)(
			      pl->start + ((page - slice_first(s))
					   << r->page_shift)));
	if (err < 0)
		return err;
	stage_end(r->pager, LIBUFFD_STAGE_SETTLE, begun);
	return 1;
}

/* ---- emptying a place ------------------------------------------------------ */

/* Its pages can't be had back from now on. With the slice's lock. */
static void leave_limbo(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);

	for (uint64_t i = first; i < end; i++)
		if ((page_get(r, i) & PAGE_STATE) == PAGE_LIMBO)
			page_state(r, i, PAGE_ABSENT);
	s->place = NULL;
}

/* Take away what a place holds. */
static void empty(struct uffd_pager *p, struct place *pl)
{
	struct slice *s = pl->slice;
	struct uffd_region *r = s->region;
	const uint64_t len = slice_nr(s) << r->page_shift;
	const bool shared = r->memfd >= 0;
	uint64_t bytes;

	lock_take(&s->lock);
	bytes = (uint64_t)pl->nr << r->page_shift;
	if (shared)
		shared_punch(s);
	leave_limbo(s);
	lock_drop(&s->lock);
	/* the slice, and its region, may be gone from here on */
	if (!shared)
		uffd_drop(pl->start, len);
	__atomic_fetch_sub(&p->limbo_used, (int64_t)bytes, __ATOMIC_RELAXED);
	room_give(p, bytes);
	place_put(p, pl);
}

/* With the limbo's lock; looked at without it. */
static void stuck_count(struct uffd_pager *p, int by)
{
	__atomic_fetch_add(&p->nr_stuck, (uint32_t)by, __ATOMIC_RELAXED);
}

/* All its pages were tried: empty it, or let it wait for its store. */
static void finish(struct uffd_pager *p, struct place *pl)
{
	if (!pl->stuck) {
		empty(p, pl);
		return;
	}
	pl->retry_at = pager_now() + RETRY_NS;
	lock_take(&p->limbo_lock);
	pl->next = p->stuck;
	p->stuck = pl;
	stuck_count(p, 1);
	lock_drop(&p->limbo_lock);
}

void unstick(struct uffd_pager *p, bool now)
{
	const uint64_t t = pager_now();
	struct place *pl, **at;

	if (!__atomic_load_n(&p->nr_stuck, __ATOMIC_RELAXED))
		return;
	lock_take(&p->limbo_lock);
	at = &p->stuck;
	while ((pl = *at)) {
		if (!now && pl->retry_at > t) {
			at = &pl->next;
			continue;
		}
		*at = pl->next;
		stuck_count(p, -1);
		pl->cursor = pl->stuck = 0;
		pl->next = NULL;
		if (p->limbo)
			p->limbo_last->next = pl;
		else
			p->limbo = pl;
		p->limbo_last = pl;
	}
	lock_drop(&p->limbo_lock);
}

/* ---- a share of the work ------------------------------------------------------ */

struct share {
	struct place *pl;
	uint64_t first, end;	/* pages, from the slice's first */
};

/* Take a share of the oldest place: so many pages as should hold `want` that
 * are there. */
static bool share_take(struct uffd_pager *p, unsigned want, struct share *ret)
{
	struct place *pl;
	uint64_t nr, all, there;

	lock_take(&p->limbo_lock);
	pl = p->limbo;
	if (!pl) {
		lock_drop(&p->limbo_lock);
		return false;
	}
	all = slice_nr(pl->slice);
	there = __atomic_load_n(&pl->nr, __ATOMIC_RELAXED);
	nr = want * all / (there ? there : 1) + 1;
	if (nr > all - pl->cursor)
		nr = all - pl->cursor;
	*ret = (struct share){ pl, pl->cursor, pl->cursor + nr };
	pl->cursor += (uint32_t)nr;
	pl->busy++;
	if (pl->cursor == all)
		p->limbo = pl->next;
	lock_drop(&p->limbo_lock);
	return true;
}

/* true: the place is done, and nobody else is at work in it */
static bool share_end(struct uffd_pager *p, struct place *pl, unsigned stuck)
{
	bool last;

	lock_take(&p->limbo_lock);
	pl->stuck += stuck;
	pl->busy--;
	last = !pl->busy && pl->cursor == slice_nr(pl->slice);
	lock_drop(&p->limbo_lock);
	return last;
}

static unsigned settle_pages(struct place *pl, uint64_t first, uint64_t end,
			     unsigned *stuck, int *error)
{
	struct slice *s = pl->slice;
	unsigned did = 0;

	lock_take(&s->lock);
	for (uint64_t i = first; i < end; i++) {
		int ret = settle_page(s, pl, slice_first(s) + i);

		if (ret < 0) {
			*error = ret;
			(*stuck)++;
		} else {
			did += (unsigned)ret;
		}
	}
	lock_drop(&s->lock);
	count(s->region->pager, COUNT_SETTLED, did);
	return did;
}

unsigned settle_some(struct uffd_pager *p, unsigned want)
{
	unsigned stuck = 0, did;
	struct share share;
	int error = 0;

	if (!share_take(p, want, &share))
		return 0;
	did = settle_pages(share.pl, share.first, share.end, &stuck, &error);
	if (share_end(p, share.pl, stuck))
		finish(p, share.pl);
	return did + 1;
}

/* ---- all of one slice ------------------------------------------------------------ */

static bool take_out(struct place **list, struct place *pl)
{
	for (; *list; list = &(*list)->next)
		if (*list == pl) {
			*list = pl->next;
			return true;
		}
	return false;
}

static bool take_out_stuck(struct uffd_pager *p, struct place *pl)
{
	bool was = take_out(&p->stuck, pl);

	if (was)
		stuck_count(p, -1);
	return was;
}

/* Take the slice's place for ourselves, with nobody else at work in it; NULL:
 * it has none (any more). */
static struct place *place_seize(struct slice *s)
{
	struct uffd_pager *p = s->region->pager;
	unsigned tries = 0;

	for (;;) {
		struct place *pl;
		bool ours;

		lock_take(&s->lock);
		pl = s->place;
		lock_drop(&s->lock);
		if (!pl)
			return NULL;
		lock_take(&p->limbo_lock);
		/* it may be another slice's by now, or being emptied */
		ours = __atomic_load_n(&pl->slice, __ATOMIC_RELAXED) == s &&
		       !pl->busy &&
		       (take_out(&p->limbo, pl) || take_out_stuck(p, pl));
		if (ours && !p->limbo)
			p->limbo_last = NULL;
		else if (ours)
			for (p->limbo_last = p->limbo; p->limbo_last->next;)
				p->limbo_last = p->limbo_last->next;
		lock_drop(&p->limbo_lock);
		if (ours)
			return pl;
		word_pause(&tries);
	}
}

/* Settle all of a place that was seized; true: nothing stuck. */
static bool settle_all(struct place *pl, int *error)
{
	unsigned stuck = 0;

	settle_pages(pl, 0, slice_nr(pl->slice), &stuck, error);
	pl->stuck = stuck;
	pl->cursor = (uint32_t)slice_nr(pl->slice);
	return !stuck;
}

int settle_slice(struct slice *s)
{
	struct uffd_pager *p = s->region->pager;
	struct place *pl = place_seize(s);
	int error = 0;

	if (!pl)
		return 0;
	settle_all(pl, &error);
	finish(p, pl);
	return error;
}

static int64_t back_at_once(struct uffd_region *r, const struct place *pl,
			    uint64_t first, uint64_t end)
{
	const uint64_t len = (end - first) << r->page_shift;
	const uint64_t at = first - slice_first(pl->slice);

	if (r->memfd < 0)
		return uffd_move(r->pager->fd, page_addr(r, first),
				 pl->start + (at << r->page_shift), len, 0);
	return shared_map(r, first, end - first, false) == 0 ? (int64_t)len :
								-EBUSY;
}

/* Pages of limbo that nobody has fetched go back where they were, run by run;
 * where they can't, they stay and are emptied out. With the lock. */
static void put_back(struct slice *s, struct place *pl)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);
	uint64_t i = first, stop, moved = 0;
	unsigned tries = 0;

	while (i < end) {
		int64_t n;

		for (stop = i; stop < end; stop++)
			if ((page_get(r, stop) & (PAGE_STATE | PAGE_LOOSE)) !=
			    PAGE_LIMBO)
				break;
		if (stop == i) {
			i++;
			continue;
		}
		n = back_at_once(r, pl, i, stop);
		if (n == -EAGAIN || n == -EINPROGRESS) {
			word_pause(&tries);
			continue;
		}
		if (n < (int64_t)r->page_size)
			n = 0;
		for (stop = i + ((uint64_t)n >> r->page_shift); i < stop;
		     i++, moved++)
			page_state(r, i, PAGE_HERE);
		if (!n)
			i++;
	}
	s->nr_here += (uint32_t)moved;
	place_less(pl, (uint32_t)moved);
	__atomic_fetch_sub(&r->pager->limbo_used,
			   (int64_t)(moved << r->page_shift),
			   __ATOMIC_RELAXED);
	if (s->nr_here)
		queue_add(&r->pager->queue, s);
}

int clean_slice(struct slice *s)
{
	struct uffd_pager *p = s->region->pager;
	struct place *pl = place_seize(s);
	int error = 0;

	if (!pl)
		return 0;
	if (settle_all(pl, &error) && !s->region->rdonly) {
		lock_take(&s->lock);
		put_back(s, pl);
		lock_drop(&s->lock);
	}
	finish(p, pl);
	return error;
}

/* A page that is pinned, and so can't be lifted: written from where it is, by
 * way of a copy, so that what is hashed is what is written. With the lock. */
int clean_in_place(struct slice *s, uint64_t page)
{
	struct uffd_region *r = s->region;
	void *copy = buffer_get(r->pager);
	int err;

	memcpy(copy, (const void *)(uintptr_t)page_addr(r, page),
	       r->page_size);
	err = write_changed(s, page, copy);
	buffer_put(r->pager, copy);
	return err;
}

void abandon_place(struct slice *s)
{
	struct place *pl = place_seize(s);

	if (pl)
		empty(s->region->pager, pl);
}
