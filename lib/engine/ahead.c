/* SPDX-License-Identifier: MIT */
/*
 * What will this thread want next?
 *
 * Each thread has a stream for each range (as far as the slots go): where it
 * faulted last, and, once its steps look regular, the edge at which it will
 * fault again when it has used up what was suggested:
 *
 *        suggested: window
 *	├────────────────────────┤
 *	▲ fault                  ▲ edge: a fault here doubles the window
 *
 * A neighbour of the last page makes a stream at once; steps of two to four
 * pages must be seen twice. Such a reader gets all the pages between as well:
 * installing a page costs less than a fault. Whoever faults elsewhere pays a
 * few comparisons. The slots are shared without a lock: what two threads mix
 * up in one is at worst a bad suggestion.
 */
#include "engine.h"

#define LONGEST_STEP 4		/* pages, to count as a stream */

#define GET(what) atomic_load_explicit(&(what), memory_order_relaxed)
#define SET(what, value) \
	atomic_store_explicit(&(what), (value), memory_order_relaxed)

static struct stream *stream_of(struct stream *streams, uint64_t owner)
{
	struct stream *s = &streams[(owner * 0x9e3779b97f4a7c15u) >> 58];

	if (GET(s->owner) != owner) {
		SET(s->owner, owner);
		SET(s->last, 0);
		SET(s->step, 0);
		SET(s->edge, 0);
		SET(s->window, 0);
	}
	return s;
}

/* Is a step of so many bytes the beginning of a stream? Small ones at once,
 * wider ones when they come twice. */
static bool regular(const struct range *r, int64_t step, int64_t before)
{
	const int64_t page = (int64_t)r->page_size;

	if (step == page || step == -page)
		return true;
	return step == before && step != 0 && step <= LONGEST_STEP * page &&
	       step >= -LONGEST_STEP * page;
}

/* the next window: twice the last, a whole number of steps, not above max */
static int64_t grow(int64_t window, int64_t step, uint64_t max)
{
	int64_t size = step < 0 ? -step : step;
	int64_t now = window < 0 ? -window : window;
	int64_t next = now ? now * 2 : size * 2;

	if ((uint64_t)next > max)
		next = (int64_t)max / size * size;
	return step < 0 ? -next : next;
}

/* Widen by a window, up or down, as far as the range goes. */
static void widen(const struct range *r, struct uffd_fault *f, int64_t window)
{
	const uint64_t end = f->start + f->len;
	uint64_t room;

	if (window > 0) {
		room = r->start + r->len - f->start;
		f->ahead_len = (uint64_t)window < room ? (uint64_t)window :
							 room;
		if (f->ahead_len < f->len)
			f->ahead_len = f->len;
	} else {
		room = end - r->start;
		f->ahead_len = (uint64_t)-window < room ? (uint64_t)-window :
							  room;
		if (f->ahead_len < f->len)
			f->ahead_len = f->len;
		f->ahead_start = end - f->ahead_len;
	}
}

void ahead_suggest(struct stream *streams, uintptr_t thread,
		   const struct range *r, struct uffd_fault *f)
{
	struct stream *s;
	uint64_t end = f->start + f->len;
	int64_t step, before, window;

	f->ahead_start = f->start;
	f->ahead_len = f->len;
	if (r->ahead_max < 2 * r->page_size)
		return;
	s = stream_of(streams, thread ^ (uint64_t)(uintptr_t)r << 1);
	step = (int64_t)(f->start - GET(s->last));
	before = GET(s->step);
	window = GET(s->window);

	/* (before is 0 when another thread has just taken the slot over) */
	if (before && GET(s->edge) &&
	    GET(s->edge) == (window < 0 ? end : f->start)) {
		step = before;
	} else if (GET(s->last) && regular(r, step, before)) {
		window = 0;
	} else {
		SET(s->last, f->start);
		SET(s->step, step);
		return;
	}
	window = grow(window, step, r->ahead_max);
	if (window == 0)
		return;
	widen(r, f, window);
	SET(s->window, window);
	SET(s->edge, window < 0 ? f->ahead_start :
				  f->ahead_start + f->ahead_len);
	SET(s->last, window < 0 ? f->ahead_start : f->start);
	SET(s->step, step);
}
