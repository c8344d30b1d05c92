/* SPDX-License-Identifier: MIT */
/*
 * What the engine asks: somebody waits for these pages.
 */
#include <errno.h>
#include <sched.h>

#include "pager.h"
#include "quiet.h"

/* A page that can't be had: its threads get SIGBUS. */
static void poison(struct uffd_region *r, uint64_t page)
{
	int fd = r->pager->fd;

	uffd_poison(fd, page_addr(r, page), r->page_size, 0);
	uffd_wake(fd, page_addr(r, page), r->page_size);
}

/* what has been discarded since may be zeros again */
static bool gave_up(const struct uffd_region *r, uint64_t page)
{
	return (page_get(r, page) & (PAGE_STATE | PAGE_LOOSE | PAGE_ZERO)) ==
	       PAGE_BROKEN;
}

/* For the worker, too, which may wait. */
void fault_serve(const struct bring *b)
{
	struct uffd_region *r = b->region;
	const uint64_t begun = stage_begin(r->pager);
	int err = page_bring(b);

	if (err == -EWOULDBLOCK) {
		/* no room to park it: let its thread ask again */
		if (!worker_park(r->pager, b))
			uffd_wake(r->pager->fd, page_addr(r, b->page),
				  r->page_size);
		return;
	}
	stage_end(r->pager, LIBUFFD_STAGE_FAULT, begun);
	if (err == -ENOENT || err == -ESRCH) /* not mapped any more */
		uffd_wake(r->pager->fd, page_addr(r, b->page), r->page_size);
	else if (err < 0) {
		fail(r->pager, r, b->page, err, false,
		     err == -EBADMSG ? "hash" : "read");
		poison(r, b->page);
	}
}

static int answer(void *user, const struct uffd_fault *f,
		  struct uffd_answer *ret)
{
	struct uffd_region *r = user;
	struct uffd_pager *p = r->pager;
	const bool signal = p->kind == LIBUFFD_ENGINE_SIGBUS;
	const uint64_t first = (f->start - r->start) >> r->page_shift;
	const uint64_t nr = (f->len + r->page_size - 1) >> r->page_shift;
	struct bring b = {
		.region = r,
		.ahead = (f->ahead_start - r->start) >> r->page_shift,
		.ahead_nr = f->ahead_len >> r->page_shift,
		.faulted = true,
		.write = f->write,
		.reader = !signal,
	};

	ret->action = LIBUFFD_DO_NOTHING;
	/* it is poisoned, and still somebody comes: he is to have his SIGBUS */
	if (signal && gave_up(r, first))
		return -EIO;
	count(p, COUNT_FAULTS, nr);
	if (!signal)
		__atomic_store_n(&p->reader_cpu, sched_getcpu(),
				 __ATOMIC_RELAXED);
	for (uint64_t i = 0; i < nr; i++) {
		b.page = first + i;
		fault_serve(&b);
	}
	if (signal)
		room_pace(p, (unsigned)nr);
	else if (room_tight(p))
		worker_kick(p);
	return 0;
}

/* In a signal handler other signals may still come; handlers have them blocked
 * already. */
int on_fault(void *user, const struct uffd_fault *f, struct uffd_answer *ret)
{
	struct uffd_region *r = user;
	struct quiet q;
	int err;

	if (r->pager->kind != LIBUFFD_ENGINE_SIGBUS)
		return answer(user, f, ret);
	quiet_begin(&q);
	err = answer(user, f, ret);
	quiet_end(&q);
	return err;
}
