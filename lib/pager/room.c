/* SPDX-License-Identifier: MIT */
/*
 * The budget. `used` counts what regions and limbo hold, and what is being
 * filled; it is raised before a page comes and lowered after pages went, so
 * it is never less than what is resident.
 */
#include <errno.h>
#include <time.h>

#include "pager.h"

/* limbo's share of the budget: the second chance of what was lifted */
#define LIMBO_PART 8
/* begin to make room when so little is left */
#define HEADROOM_PART 32
#define HEADROOM_MOST (INT64_C(2) << 20)
/* what one fault does for those that come */
#define PACE 2u

bool room_take(struct uffd_pager *p, uint64_t len)
{
	int64_t budget = __atomic_load_n(&p->budget, __ATOMIC_RELAXED);
	int64_t used = __atomic_add_fetch(&p->used, (int64_t)len,
					  __ATOMIC_RELAXED);

	if (used <= budget)
		return true;
	room_give(p, len);
	return false;
}

void room_give(struct uffd_pager *p, uint64_t len)
{
	__atomic_fetch_sub(&p->used, (int64_t)len, __ATOMIC_RELAXED);
}

static int64_t headroom(int64_t budget)
{
	int64_t room = budget / HEADROOM_PART;

	return room < HEADROOM_MOST ? room : HEADROOM_MOST;
}

bool room_tight(const struct uffd_pager *p)
{
	int64_t budget = __atomic_load_n(&p->budget, __ATOMIC_RELAXED);

	return __atomic_load_n(&p->used, __ATOMIC_RELAXED) >
	       budget - headroom(budget);
}

static bool limbo_short(const struct uffd_pager *p)
{
	return __atomic_load_n(&p->limbo_used, __ATOMIC_RELAXED) <
	       __atomic_load_n(&p->budget, __ATOMIC_RELAXED) / LIMBO_PART;
}

/* At most one slice is lifted, or one place emptied, by one fault. */
void room_pace(struct uffd_pager *p, unsigned pages)
{
	if (!room_tight(p))
		return;
	unstick(p, false);
	if (limbo_short(p) && lift_oldest(p) == 0)
		return;
	settle_some(p, pages * PACE);
}

bool room_below(const struct uffd_pager *p)
{
	int64_t budget = __atomic_load_n(&p->budget, __ATOMIC_RELAXED);

	return __atomic_load_n(&p->used, __ATOMIC_RELAXED) <=
	       budget - 2 * headroom(budget);
}

bool room_work(struct uffd_pager *p)
{
	unstick(p, false);
	if (limbo_short(p) && lift_oldest(p) == 0)
		return true;
	return settle_some(p, 8) || lift_oldest(p) == 0;
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* Nothing but pins in the way? */
static bool all_pinned(const struct uffd_pager *p, uint64_t len)
{
	int64_t left = __atomic_load_n(&p->budget, __ATOMIC_RELAXED) -
		       __atomic_load_n(&p->pinned, __ATOMIC_RELAXED);

	return left < (int64_t)len;
}

int room_make(struct uffd_pager *p, uint64_t len)
{
	unsigned idle = 0, tries = 0;

	if (room_take(p, len))
		return 0;
	count(p, COUNT_WAITS, 1);
	for (;;) {
		if (settle_some(p, 8) || lift_oldest(p) == 0) {
			idle = 0;
		} else if (++idle < 16) {
			/* others are at it, or fill */
			word_pause(&tries);
		} else {
			if (all_pinned(p, len))
				return -ENOMEM;
			unstick(p, false);
			sleep_ms(1);
		}
		if (room_take(p, len))
			return 0;
	}
}

int room_shrink(struct uffd_pager *p)
{
	unsigned idle = 0;

	while (__atomic_load_n(&p->used, __ATOMIC_RELAXED) >
	       __atomic_load_n(&p->budget, __ATOMIC_RELAXED)) {
		if (settle_some(p, 64) || lift_oldest(p) == 0)
			idle = 0;
		else if (++idle == 100)
			return -EBUSY;
		else
			sleep_ms(1);
	}
	return 0;
}
