/* SPDX-License-Identifier: MIT */
/*
 * With the `thread` engine the handler, which reads the descriptor, must never
 * wait: for a store, for room, or for a slice that is being lifted (the lift
 * waits for the handler to read its event). What it would have to wait for is
 * done here: faults that were parked, and making room.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "pager.h"
#include "quiet.h"

bool worker_park(struct uffd_pager *p, const struct bring *b)
{
	bool room;

	if (!p->has_worker)
		return false;
	lock_take(&p->parked_lock);
	room = p->parked_nr < NR_PARKED;
	if (room) {
		uint32_t at = (p->parked_first + p->parked_nr++) % NR_PARKED;

		p->parked[at] = *b;
		p->parked[at].reader = false;
	}
	lock_drop(&p->parked_lock);
	if (room)
		worker_kick(p);
	return room;
}

static bool unpark(struct uffd_pager *p, struct bring *ret)
{
	bool some;

	lock_take(&p->parked_lock);
	some = p->parked_nr > 0;
	if (some) {
		*ret = p->parked[p->parked_first];
		p->parked_first = (p->parked_first + 1) % NR_PARKED;
		p->parked_nr--;
		p->serving = ret->region;
	}
	lock_drop(&p->parked_lock);
	return some;
}

void worker_kick(struct uffd_pager *p)
{
	if (__atomic_load_n(&p->asleep, __ATOMIC_SEQ_CST))
		word_wake(&p->kick);
	else
		__atomic_fetch_add(&p->kick, 1, __ATOMIC_SEQ_CST);
}

/* Faults first; then room, until there is more than enough, so that one wake
 * is worth many pages. */
static bool work(struct uffd_pager *p)
{
	struct bring b;

	if (unpark(p, &b)) {
		if (b.region)
			fault_serve(&b);
		lock_take(&p->parked_lock);
		p->serving = NULL;
		lock_drop(&p->parked_lock);
		return true;
	}
	if (!room_below(p))
		return room_work(p);
	return false;
}

void worker_forget(const struct uffd_region *r)
{
	struct uffd_pager *p = r->pager;
	unsigned tries = 0;
	bool serving;

	do {
		lock_take(&p->parked_lock);
		for (uint32_t i = 0; i < p->parked_nr; i++) {
			struct bring *b = &p->parked[(p->parked_first + i) %
						     NR_PARKED];

			if (b->region == r)
				b->region = NULL;
		}
		serving = p->serving == r;
		lock_drop(&p->parked_lock);
		if (serving)
			word_pause(&tries);
	} while (serving);
}

static void *worker_main(void *arg)
{
	struct uffd_pager *p = arg;

	prctl(PR_SET_NAME, "uffd-pager");
	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		uint32_t seen = __atomic_load_n(&p->kick, __ATOMIC_SEQ_CST);

		if (work(p))
			continue;
		__atomic_store_n(&p->asleep, 1, __ATOMIC_SEQ_CST);
		if (seen == __atomic_load_n(&p->kick, __ATOMIC_SEQ_CST))
			word_wait_ms(&p->kick, seen, 100);
		__atomic_store_n(&p->asleep, 0, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

int worker_start(struct uffd_pager *p)
{
	struct quiet q;
	int err;

	p->parked = calloc(NR_PARKED, sizeof(*p->parked));
	if (!p->parked)
		return -ENOMEM;
	quiet_begin(&q);
	err = pthread_create(&p->worker, NULL, worker_main, p);
	quiet_end(&q);
	p->has_worker = err == 0;
	return -err;
}

void worker_stop(struct uffd_pager *p)
{
	if (p->has_worker) {
		__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
		word_wake(&p->kick);
		pthread_join(p->worker, NULL);
		p->has_worker = false;
	}
	free(p->parked);
	p->parked = NULL;
}
