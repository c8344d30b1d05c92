/* SPDX-License-Identifier: MIT */
/*
 * Regions of shared memory (a memory file, also of huge pages): limbo is the
 * file itself. To lift a slice is to take its mappings away; CONTINUE maps a
 * page again, which is the cheapest of all ways back; what is left is read
 * out, and its hole punched.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../engine/hand.h"
#include "pager.h"

/* Pinned pages stay; what the program has unmapped may be something else by
 * now. */
static bool may_drop(const struct slice *s, uint64_t page)
{
	const struct uffd_region *r = s->region;
	const uint8_t gone = PAGE_BROKEN | PAGE_LOOSE;

	return (page_get(r, page) & (PAGE_STATE | PAGE_LOOSE)) != gone &&
	       !(s->nr_pins && pin_holds(r->pager, r, page));
}

static int drop_mapped(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);
	uint64_t stop;
	int err = 0;

	for (uint64_t i = first; i < end && !err; i = stop + 1) {
		stop = i;
		while (stop < end && may_drop(s, stop))
			stop++;
		if (stop > i)
			err = uffd_drop(page_addr(r, i),
					(stop - i) << r->page_shift);
	}
	return err;
}

/*
 * The events of this are told from one that the program causes by how many
 * bytes of them are to come, which the reader counts off. What is left of the
 * last time was the program's.
 */
int shared_lift(struct slice *s, struct place *pl)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), nr = slice_nr(s);
	uint64_t mapped = 0;
	int err;

	engine_wait_for_events(r->pager->engine);
	for (uint64_t i = first; i < first + nr; i++)
		mapped += may_drop(s, i);
	if (r->pager->removes_seen)
		__atomic_store_n(&s->dropping, mapped << r->page_shift,
				 __ATOMIC_RELEASE);
	err = drop_mapped(s);
	if (err < 0) {
		/* part of it is not mapped, which we have yet to hear */
		__atomic_store_n(&s->dropping, 0, __ATOMIC_RELEASE);
		return err;
	}
	for (uint64_t i = first; i < first + nr; i++) {
		if ((page_get(r, i) & PAGE_STATE) != PAGE_HERE ||
		    !may_drop(s, i))
			continue;
		page_state(r, i, PAGE_LIMBO);
		pl->nr++;
	}
	return pl->nr ? 0 : s->nr_here ? -EBUSY : -ENOENT;
}

int shared_read(const struct uffd_region *r, uint64_t page, void *buffer)
{
	uint64_t done = 0;

	while (done < r->page_size) {
		ssize_t n = pread(r->memfd, (uint8_t *)buffer + done,
				  r->page_size - done,
				  (off_t)((page << r->page_shift) + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0)
			done += (uint64_t)n;
	}
	return 0;
}

int shared_map(const struct uffd_region *r, uint64_t page, uint64_t nr,
	       bool reader)
{
	const int fd = r->pager->fd;
	const uint64_t unit = r->page_size < LIBUFFD_PAGE_MOST ? 4096 :
								r->page_size;
	const uint64_t len = nr << r->page_shift;
	uint64_t done = 0;
	unsigned tries = 0;

	while (done < len) {
		int64_t n = uffd_continue(fd, page_addr(r, page) + done,
					  len - done, 0);

		if (n > 0) {
			done += (uint64_t)n;
		} else if (n == -EEXIST) {
			uffd_wake(fd, page_addr(r, page) + done, unit);
			done += unit;
		} else if (n == -EAGAIN || n == -EINPROGRESS) {
			if (reader)
				return -EWOULDBLOCK;
			word_pause(&tries);
		} else {
			return (int)n;
		}
	}
	return 0;
}

void shared_punch(struct slice *s)
{
	struct uffd_region *r = s->region;
	const uint64_t first = slice_first(s), end = first + slice_nr(s);
	uint64_t stop;

	for (uint64_t i = first; i < end; i = stop + 1) {
		for (stop = i; stop < end; stop++)
			if ((page_get(r, stop) & PAGE_STATE) != PAGE_LIMBO)
				break;
		if (stop > i)
			uffd_punch(r->memfd, i << r->page_shift,
				   (stop - i) << r->page_shift);
	}
}

void shared_free(struct slice *s, uint64_t page)
{
	struct uffd_region *r = s->region;

	uffd_punch(r->memfd, page << r->page_shift, r->page_size);
	place_less(s->place, 1);
	__atomic_fetch_sub(&r->pager->limbo_used, (int64_t)r->page_size,
			   __ATOMIC_RELAXED);
	room_give(r->pager, r->page_size);
}
