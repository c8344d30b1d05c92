/* SPDX-License-Identifier: MIT */
/*
 * Bringing pages into a region: from limbo, from a store, or as zeros.
 *
 * Room is taken before the slice's lock, since making room takes locks of
 * other slices. A slow store is asked without the lock, its pages BUSY; one
 * that answers at once (memory) is asked under it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "../engine/hand.h"
#include "pager.h"

/* the most that is read at a time, but for one page that is larger */
#define AHEAD_MOST (512u << 10)

/* a request on its way through this file */
struct way {
	const struct bring *b;
	struct uffd_region *r;
	struct uffd_pager *p;
	struct slice *s;
	uint64_t room;		/* bytes taken and not used yet */
};

static bool is_here(const struct uffd_region *r, uint64_t page)
{
	return (page_get(r, page) & PAGE_STATE) == PAGE_HERE;
}

static bool is_zero(const struct uffd_region *r, uint8_t seen)
{
	return (seen & PAGE_ZERO) || (!(seen & PAGE_OWN) && !r->store);
}

static void *limbo_bytes(const struct slice *s, uint64_t page)
{
	return (void *)(uintptr_t)(s->place->start +
		((page - slice_first(s)) << s->region->page_shift));
}

/* ---- into the region --------------------------------------------------------- */

static int64_t put(const struct way *w, uint64_t addr, const void *bytes,
		   uint64_t len)
{
	if (bytes)
		return uffd_copy(w->p->fd, addr, bytes, len, 0);
	if (w->b->write || w->r->page_size > LIBUFFD_PAGE_SMALL)
		return uffd_copy(w->p->fd, addr, w->p->zeros, len, 0);
	return uffd_zeropage(w->p->fd, addr, len, 0);
}

static int install_small(const struct way *w, uint64_t addr, const void *bytes,
			 uint64_t len, uint64_t *done)
{
	unsigned tries = 0;

	while (*done < len) {
		int64_t n = put(w, addr + *done,
				bytes ? (const uint8_t *)bytes + *done : NULL,
				len - *done);

		if (n > 0) {
			*done += (uint64_t)n;
		} else if (n == -EEXIST) {
			/* part of a page larger than the machine's */
			uffd_wake(w->p->fd, addr + *done, 4096);
			*done += 4096;
		} else if (n == -EAGAIN || n == -EINPROGRESS) {
			if (w->b->reader)
				return -EWOULDBLOCK;
			word_pause(&tries);
		} else {
			return (int)n;
		}
	}
	return 0;
}

/*
 * Put bytes at pages [page, +nr); NULL: zeros, nr is 1. Whoever reads the
 * descriptor must not wait for the layout to settle, since it is he who
 * settles it: then some of them may be there all the same. *done gets the
 * bytes that are.
 */
static int install(const struct way *w, uint64_t page, uint64_t nr,
		   const void *bytes, uint64_t *done)
{
	const uint64_t addr = page_addr(w->r, page);
	const uint64_t len = nr << w->r->page_shift;
	const uint64_t begun = stage_begin(w->p);
	int err = -EOPNOTSUPP;

	*done = 0;
	if (w->r->huge) {
		err = huge_install(w->p, addr, bytes, w->b->reader);
		*done = err == 0 ? len : 0;
	}
	if (err == -EOPNOTSUPP)
		err = install_small(w, addr, bytes, len, done);
	if (err == 0)
		stage_end(w->p, LIBUFFD_STAGE_INSTALL, begun);
	return err;
}

/* Pages are in the region now. With the lock. */
static void arrived(struct way *w, uint64_t page, uint64_t nr)
{
	for (uint64_t i = page; i < page + nr; i++) {
		page_state(w->r, i, PAGE_HERE);
		if (i != w->b->page)
			page_flag(w->r, i, PAGE_AHEAD);
	}
	w->s->nr_here += (uint32_t)nr;
	w->room -= nr << w->r->page_shift;
	if (!queue_has(w->s))
		queue_add(&w->p->queue, w->s);
}

/* ---- from limbo ---------------------------------------------------------------- */

static int come_back(struct way *w, uint64_t page)
{
	uint64_t done;
	int err;

	if (w->r->memfd >= 0)
		err = shared_map(w->r, page, 1, w->b->reader);
	else
		err = install(w, page, 1, limbo_bytes(w->s, page), &done);
	if (err < 0)
		return err;
	if (w->r->memfd >= 0) {
		/* the same page, not a copy: it only changes sides */
		place_less(w->s->place, 1);
		w->room += w->r->page_size;
		__atomic_fetch_sub(&w->p->limbo_used,
				   (int64_t)w->r->page_size, __ATOMIC_RELAXED);
		page_unflag(w->r, page, PAGE_LOOSE);
	}
	arrived(w, page, 1);
	count(w->p, COUNT_SOFT, 1);
	return 0;
}

/* ---- zeros ------------------------------------------------------------------------ */

static int come_as_zeros(struct way *w, uint64_t page)
{
	uint64_t done;
	int err = install(w, page, 1, NULL, &done);

	if (err < 0)
		return err;
	w->r->hashes[page] = w->p->zero_hash[w->r->page_shift];
	page_flag(w->r, page, PAGE_ZERO | PAGE_HASHED);
	arrived(w, page, 1);
	count(w->p, COUNT_ZERO, 1);
	return 0;
}

/* ---- from a store -------------------------------------------------------------------- */

/* can this page come along with the one at hand? */
static bool goes_along(const struct uffd_region *r, uint64_t page, uint8_t like)
{
	uint8_t seen = page_get(r, page);

	return (seen & PAGE_STATE) == PAGE_ABSENT &&
	       !(seen & (PAGE_BUSY | PAGE_LOOSE | PAGE_ZERO)) &&
	       (seen & PAGE_OWN) == (like & PAGE_OWN);
}

/*
 * The run of pages to read: the page wanted, and neighbours in the window as
 * far as they are in the same store and slice, there is room, and a buffer
 * holds them.
 */
static void run_around(struct way *w, uint8_t seen, uint64_t *ret_first,
		       uint64_t *ret_nr)
{
	const struct bring *b = w->b;
	const uint64_t low = slice_first(w->s);
	const uint64_t high = low + slice_nr(w->s);
	uint64_t begin = b->ahead > low ? b->ahead : low;
	uint64_t end = b->ahead + b->ahead_nr < high ? b->ahead + b->ahead_nr :
							high;
	uint64_t most = AHEAD_MOST >> w->r->page_shift;
	uint64_t first = b->page, nr = 1;

	while (nr < most && first + nr < end &&
	       goes_along(w->r, first + nr, seen) &&
	       room_take(w->p, w->r->page_size)) {
		w->room += w->r->page_size;
		nr++;
	}
	while (nr < most && first > begin &&
	       goes_along(w->r, first - 1, seen) &&
	       room_take(w->p, w->r->page_size)) {
		w->room += w->r->page_size;
		first--;
		nr++;
	}
	*ret_first = first;
	*ret_nr = nr;
}

/* A pause before the next try, longer each time; false: the deadline is over. */
static bool pause_before(unsigned *ms, uint64_t until)
{
	struct timespec t = { .tv_nsec = (long)*ms * 1000000 };

	if (pager_now() + (uint64_t)t.tv_nsec > until)
		return false;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
	if (*ms < 128)
		*ms *= 2;
	return true;
}

/* The bytes of a run: in place where the store has them in memory, else read
 * into buffer. */
static int read_run(struct way *w, uint8_t seen, uint64_t first, uint64_t nr,
		    void *buffer, const void **ret)
{
	const bool own = seen & PAGE_OWN;
	struct uffd_store *store = own ? w->r->own : w->r->store;
	const uint64_t offset = (first << w->r->page_shift) +
				(own ? 0 : w->r->offset);
	const uint64_t len = nr << w->r->page_shift;

	if (w->r->fast && uffd_store_map(store, offset, len, ret) == 0)
		return 0;
	*ret = buffer;
	return uffd_store_read(store, offset, buffer, len);
}

/* The same page by page, into hash[]: 0, or -EBADMSG if a page is not what it
 * was when it left. */
static int check_run(struct way *w, uint64_t first, uint64_t nr,
		     const void *bytes)
{
	for (uint64_t i = 0; i < nr; i++) {
		struct hash h = hash_of((const uint8_t *)bytes +
					(i << w->r->page_shift),
					page_kept(w->r, first + i));
		uint8_t seen = page_get(w->r, first + i);

		if (!(seen & PAGE_HASHED))
			w->r->hashes[first + i] = h;
		else if (!hash_same(h, w->r->hashes[first + i]))
			return -EBADMSG;
	}
	for (uint64_t i = first; i < first + nr; i++)
		page_flag(w->r, i, PAGE_HASHED);
	return 0;
}

/* Read and check, again and again until the deadline. */
static int fetch(struct way *w, uint8_t seen, uint64_t first, uint64_t nr,
		 void *buffer, const void **ret)
{
	const uint64_t until = pager_now() +
			       (uint64_t)w->p->deadline_ms * 1000000;
	const uint64_t begun = stage_begin(w->p);
	unsigned ms = 1;
	int err;

	for (;;) {
		err = read_run(w, seen, first, nr, buffer, ret);
		if (err == 0)
			err = check_run(w, first, nr, *ret);
		if (err == 0)
			break;
		if (w->b->reader)
			return -EWOULDBLOCK;
		if (w->b->hint || !pause_before(&ms, until))
			return err;
	}
	stage_end(w->p, LIBUFFD_STAGE_READ, begun);
	return 0;
}

static void busy(struct way *w, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first; i < first + nr; i++)
		page_flag(w->r, i, PAGE_BUSY);
	lock_drop(&w->s->lock);
}

static void idle(struct way *w, uint64_t first, uint64_t nr)
{
	lock_take(&w->s->lock);
	page_idle(w->s, first, nr);
}

/* Those that got there are here: they may be written to at once. */
static int install_some(struct way *w, uint64_t first, uint64_t nr,
			const void *bytes)
{
	uint64_t done;
	int err = install(w, first, nr, bytes, &done);

	done >>= w->r->page_shift;
	if (done)
		arrived(w, first, done);
	count(w->p, COUNT_READ, done);
	return err;
}

/*
 * A run that is not in one mapping, since the program has given part of it
 * other rights or unmapped it: each page by itself. Only the page that was asked
 * for matters.
 */
static int install_run(struct way *w, uint64_t first, uint64_t nr,
		       const void *bytes)
{
	int err = install_some(w, first, nr, bytes), ret = err;

	if (err != -ENOENT || nr == 1)
		return err;
	for (uint64_t i = 0; i < nr; i++) {
		if (is_here(w->r, first + i))
			continue;
		err = install_some(w, first + i, 1, (const uint8_t *)bytes +
				   (i << w->r->page_shift));
		if (first + i == w->b->page)
			ret = err;
	}
	return ret;
}

static int come_from_store(struct way *w, uint8_t seen)
{
	const bool slow = !w->r->fast;
	uint64_t first, nr;
	const void *bytes;
	void *buffer;
	int err;

	if (slow && w->b->reader)
		return -EWOULDBLOCK;
	run_around(w, seen, &first, &nr);
	if (slow)
		busy(w, first, nr);
	buffer = buffer_get(w->p);
	err = fetch(w, seen, first, nr, buffer, &bytes);
	if (err < 0 && err != -EWOULDBLOCK && nr > 1) {
		/* one bad page must not take its neighbours with it */
		if (slow)
			idle(w, first, nr);
		first = w->b->page;
		nr = 1;
		if (slow)
			busy(w, first, nr);
		err = fetch(w, seen, first, nr, buffer, &bytes);
	}
	if (slow)
		idle(w, first, nr);
	if (err == 0)
		err = install_run(w, first, nr, bytes);
	buffer_put(w->p, buffer);
	if (err < 0)
		return err;
	count(w->p, COUNT_AHEAD, nr - 1);
	return 0;
}

/* ---- one page, whatever its state -------------------------------------------------------- */

/* With the lock: wait until the page is nobody's but ours. */
static int come_to(struct way *w, uint8_t *ret)
{
	const uint64_t page = w->b->page;

	/* has it been discarded? Nothing was ever there: it does not matter */
	if (!w->b->reader && page_get(w->r, page))
		engine_wait_for_events(w->p->engine);
	*ret = page_get(w->r, page);
	while (*ret & PAGE_BUSY) {
		if (w->b->reader || w->b->hint)
			return -EWOULDBLOCK;
		page_wait(w->s);
		*ret = page_get(w->r, page);
	}
	return 0;
}

/* Is a page that should be here? Its state now. Of what was discarded in part
 * the rest is left as it is. */
static uint8_t look(struct way *w, uint64_t page, uint8_t seen)
{
	if (page_there(w->r, page) == w->r->page_size)
		return seen;
	/* a file keeps what only its mapping has lost */
	if (w->r->memfd >= 0 &&
	    shared_map(w->r, page, 1, w->b->reader) != -EFAULT)
		return seen;
	return page_forget(w->r, page, seen);
}

static int come(struct way *w)
{
	const uint64_t page = w->b->page;
	uint8_t seen;
	int err = come_to(w, &seen);

	if (err < 0)
		return err;
	/* a thread waits at a page that is said to be here: it came meanwhile,
	 * or the program has discarded it */
	if ((seen & PAGE_STATE) == PAGE_HERE &&
	    (w->b->faulted || (seen & PAGE_LOOSE)))
		seen = look(w, page, seen);
	if ((seen & PAGE_STATE) == PAGE_LIMBO && w->r->memfd >= 0) {
		/* discarded or not, the file knows */
		err = come_back(w, page);
		if (err != -EFAULT)
			return err;
		seen = page_forget(w->r, page, seen);
	}
	if ((seen & PAGE_LOOSE) && (seen & PAGE_STATE) != PAGE_HERE)
		seen = page_forget(w->r, page, seen);

	switch (seen & PAGE_STATE) {
	case PAGE_HERE:
		if (w->b->faulted)
			uffd_wake(w->p->fd, page_addr(w->r, page),
				  w->r->page_size);
		return 0;
	case PAGE_LIMBO:
		return come_back(w, page);
	default:
		return is_zero(w->r, seen) ? come_as_zeros(w, page) :
					     come_from_store(w, seen);
	}
}

static int enter(struct way *w)
{
	if (!w->b->reader) {
		lock_take(&w->s->lock);
		return 0;
	}
	return lock_try(&w->s->lock) ? 0 : -EWOULDBLOCK;
}

int page_bring(const struct bring *b)
{
	struct way w = {
		.b = b,
		.r = b->region,
		.p = b->region->pager,
		.s = slice_of(b->region, b->page),
		.room = b->region->page_size,
	};
	int err = 0;

	if (b->reader && !w.r->at_once)
		return -EWOULDBLOCK;
	if (!room_take(w.p, w.room))
		err = b->reader || b->hint ? -EWOULDBLOCK :
					     room_make(w.p, w.room);
	if (err < 0)
		return err;
	err = enter(&w);
	if (err == 0) {
		err = come(&w);
		/* nobody else has to live with it: who faults tries anew */
		if (err < 0 && err != -EWOULDBLOCK && b->faulted)
			page_state(w.r, b->page, PAGE_BROKEN);
		lock_drop(&w.s->lock);
	}
	if (w.room)
		room_give(w.p, w.room);
	return err;
}
