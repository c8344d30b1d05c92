/* SPDX-License-Identifier: MIT */
/*
 * The queue of slices that hold pages, oldest first.
 */
#include <stddef.h>

#include "pager.h"

void queue_init(struct queue *q)
{
	q->head.next = q->head.prev = &q->head;
}

/* Also looked at without the lock, by who has the slice's. */
static void set_next(struct slice *s, struct slice *next)
{
	__atomic_store_n(&s->next, next, __ATOMIC_RELAXED);
}

bool queue_has(const struct slice *s)
{
	return __atomic_load_n(&s->next, __ATOMIC_RELAXED);
}

void queue_add(struct queue *q, struct slice *s)
{
	lock_take(&q->lock);
	if (!s->next) {
		s->prev = q->head.prev;
		set_next(s, &q->head);
		set_next(s->prev, s);
		q->head.prev = s;
	}
	lock_drop(&q->lock);
}

static void unlink_slice(struct slice *s)
{
	set_next(s->prev, s->next);
	s->next->prev = s->prev;
	set_next(s, NULL);
	s->prev = NULL;
}

void queue_remove(struct queue *q, struct slice *s)
{
	lock_take(&q->lock);
	if (s->next)
		unlink_slice(s);
	lock_drop(&q->lock);
}

/* Only tried, since whoever holds a slice may want the queue. A slice that is
 * busy is passed over; out of the queue and locked it can't go away. */
struct slice *queue_take(struct queue *q)
{
	struct slice *s;

	lock_take(&q->lock);
	for (s = q->head.next; s != &q->head; s = s->next)
		if (lock_try(&s->lock))
			break;
	if (s == &q->head)
		s = NULL;
	else
		unlink_slice(s);
	lock_drop(&q->lock);
	return s;
}
