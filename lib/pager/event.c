/* SPDX-License-Identifier: MIT */
/*
 * What the program does to its regions by itself. This runs in the thread that
 * reads the descriptor, for which every lifter waits: it takes no lock and
 * only leaves marks on pages, for whoever has the lock next.
 */
#include <sched.h>
#include <unistd.h>

#include "pager.h"

/*
 * Waking a thread on another processor that sleeps costs ten times the lift in
 * a virtual machine. With `sigbus` the reader has nothing else to do, and is
 * put where the lifter is; with `thread` it belongs to the threads that fault,
 * and the worker, which lifts, goes to it.
 */
void reader_meet(struct uffd_pager *p)
{
	const bool signal = p->kind == LIBUFFD_ENGINE_SIGBUS;
	pid_t who = signal ? __atomic_load_n(&p->reader, __ATOMIC_RELAXED) : 0;
	int there = __atomic_load_n(&p->reader_cpu, __ATOMIC_RELAXED);
	int here = sched_getcpu();
	cpu_set_t cpus;

	if (here < 0 || here >= CPU_SETSIZE || here == there ||
	    (signal && !who) || there < 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(signal ? here : there, &cpus);
	if (sched_setaffinity(who, sizeof(cpus), &cpus) == 0 && signal)
		__atomic_store_n(&p->reader_cpu, here, __ATOMIC_RELAXED);
}

/* our own lifting */
static bool in_limbo(const struct uffd_pager *p, uint64_t addr)
{
	for (unsigned i = 0; i < POOL_SHARED * NR_POOLS; i++) {
		const struct pool *pool = &p->pools[i / NR_POOLS][i % NR_POOLS];

		if (__atomic_load_n(&pool->all, __ATOMIC_ACQUIRE) &&
		    addr - pool->start < pool->place_len * pool->nr)
			return true;
	}
	return false;
}

/* What holds memory no longer is counted off here; its state becomes BROKEN,
 * for which nobody will ever ask again. */
static void unmapped(struct uffd_region *r, uint64_t page)
{
	uint8_t was = __atomic_fetch_or(&r->states[page],
					PAGE_LOOSE | PAGE_BROKEN,
					__ATOMIC_ACQ_REL);

	if ((was & PAGE_STATE) == PAGE_HERE)
		room_give(r->pager, r->page_size);
}

static void mark(struct uffd_region *r, uint64_t start, uint64_t end, bool gone)
{
	const uint64_t first = (start - r->start) >> r->page_shift;
	const uint64_t stop = (end - r->start + r->page_size - 1) >>
			      r->page_shift;

	for (uint64_t i = first; i < stop; i++) {
		if (gone)
			unmapped(r, i);
		else if (page_get(r, i)) /* else nothing was ever there */
			page_flag(r, i, PAGE_LOOSE);
	}
	for (uint64_t i = first >> r->slice_shift;
	     i <= (stop - 1) >> r->slice_shift; i++) {
		struct slice *s = &r->slices[i];

		__atomic_store_n(gone ? &s->holed : &s->pocked, 1,
				 __ATOMIC_RELEASE);
		__atomic_store_n(&s->torn, TORN_NEW, __ATOMIC_RELEASE);
	}
}

/*
 * The pager's own taking away of a shared slice raises the same events, one for
 * each mapping that it is split into. If one of the program's is taken for ours
 * because it came at the same time, ours is taken for the program's: then pages
 * are looked for in the file for nothing.
 */
static bool is_ours(struct uffd_region *r, uint64_t start, uint64_t len)
{
	struct slice *s;

	if (r->memfd < 0)
		return false;
	s = slice_of(r, (start - r->start) >> r->page_shift);
	if (__atomic_load_n(&s->dropping, __ATOMIC_ACQUIRE) < len)
		return false;
	__atomic_fetch_sub(&s->dropping, len, __ATOMIC_ACQ_REL);
	return true;
}

static void mark_all(struct uffd_pager *p, uint64_t start, uint64_t len,
		     bool gone)
{
	struct uffd_region *r = __atomic_load_n(&p->regions, __ATOMIC_ACQUIRE);

	for (; r; r = __atomic_load_n(&r->next, __ATOMIC_ACQUIRE)) {
		uint64_t from = start > r->start ? start : r->start;
		uint64_t to = start + len < r->start + r->len ?
				      start + len :
				      r->start + r->len;

		if (from < to && (gone || !is_ours(r, start, len)))
			mark(r, from, to, gone);
	}
}

void on_event(void *user, const struct uffd_event *event)
{
	struct uffd_pager *p = user;

	if (!p->reader)
		__atomic_store_n(&p->reader, gettid(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&p->in_event, 1, __ATOMIC_SEQ_CST);
	switch (event->kind) {
	case LIBUFFD_EVENT_REMOVE:
		if (!in_limbo(p, event->start))
			mark_all(p, event->start, event->len, false);
		break;
	case LIBUFFD_EVENT_UNMAP:
		if (!in_limbo(p, event->start))
			mark_all(p, event->start, event->len, true);
		break;
	case LIBUFFD_EVENT_REMAP:
		if (!in_limbo(p, event->to))
			mark_all(p, event->start, event->len, true);
		break;
	default:
		break;
	}
	__atomic_fetch_add(&p->in_event, 1, __ATOMIC_SEQ_CST);
}
