/* SPDX-License-Identifier: MIT */
/*
 * Faults that can't be served yet: while an event of the process is on its
 * way, nothing can be filled anywhere. They wait here; meanwhile the handler
 * goes on reading, so that the event does get through, and lets others run.
 */
#include <time.h>

#include "engine.h"

#define YIELDS 8		/* before sleeping */
#define SHORTEST_NS 20000
#define LONGEST_NS 1000000

void park_put(struct handler *h, const struct uffd_fault *f)
{
	struct park *p = &h->park;

	if (p->nr == NR_PARKED) {
		/* no room: awake, they fault again, and the kernel queues */
		uffd_wake(h->e->fd, f->start, f->len);
		return;
	}
	p->runs[p->nr++] = (struct parked){
		.start = f->start,
		.len = f->len,
		.tid = f->tid,
		.kind = f->kind,
		.write = f->write,
	};
}

void park_pause(struct park *p)
{
	struct timespec moment = { .tv_nsec = SHORTEST_NS };

	if (p->tries++ < YIELDS) {
		sched_yield();
		return;
	}
	for (unsigned i = YIELDS; i < p->tries && moment.tv_nsec < LONGEST_NS;
	     i++)
		moment.tv_nsec *= 2;
	nanosleep(&moment, NULL);
}

/* Serve one of them; what is left of it goes back. */
static void retry_one(struct handler *h, const struct parked *was)
{
	struct range *r = table_get(h->e->table, was->start);
	struct uffd_fault f = {
		.kind = was->kind,
		.write = was->write,
		.tid = was->tid,
		.nr = 1,
		.start = was->start,
		.len = was->len,
	};

	if (!r || was->start + was->len > r->start + r->len) {
		uffd_wake(h->e->fd, was->start, was->len);
	} else if (serve(r, &f, f.tid) == SERVE_AGAIN) {
		park_put(h, &f);
		if (f.len == was->len) {
			range_put(r);
			return;
		}
	}
	h->park.tries = 0;
	if (r)
		range_put(r);
}

void park_retry(struct handler *h)
{
	struct park *p = &h->park;
	unsigned nr = p->nr;

	park_pause(p);
	/* what must wait on is put back, never beyond the one in hand */
	p->nr = 0;
	for (unsigned i = 0; i < nr; i++) {
		struct parked was = p->runs[i];

		retry_one(h, &was);
	}
	if (p->nr == 0)
		p->tries = 0;
}
