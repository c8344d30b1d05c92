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

void queue_add(struct queue *q, struct slice *s)
{
	lock_take(&q->lock);
	if (!s->next) {
		s->prev = q->head.prev;
		s->next = &q->head;
		s->prev->next = s;
		q->head.prev = s;
	}
	lock_drop(&q->lock);
}

static void unlink_slice(struct slice *s)
{
	s->prev->next = s->next;
	s->next->prev = s->prev;
	s->next = s->prev = NULL;
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
