/* SPDX-License-Identifier: MIT */
/*
 * What a look reports, and what it does not.
 */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cases.h"

static void nothing(struct ctx *c)
{
	SAME(look(c->t, &c->p), 0);
	SAME(look(c->t, &c->p), 0);
}

static void once(struct ctx *c)
{
	for (unsigned i = 0; i < PAGES; i++) {
		poke(&c->p, i);
		SAME(look(c->t, &c->p), P(i));
		SAME(look(c->t, &c->p), 0);
	}
	poke_all(&c->p);
	poke_all(&c->p);
	SAME(look(c->t, &c->p), ALL);
	SAME(look(c->t, &c->p), 0);
}

static void reads(struct ctx *c)
{
	for (unsigned i = 0; i < PAGES; i += 2)
		peek(&c->p, i); /* never touched before */
	SAME(look(c->t, &c->p), 0);
	poke(&c->p, 1);
	poke(&c->p, 2);
	SAME(look(c->t, &c->p), P(1) | P(2));
	for (unsigned i = 0; i < PAGES; i++)
		peek(&c->p, i);
	SAME(look(c->t, &c->p), 0);
}

static void before_start(struct ctx *c)
{
	uffd_track_stop(c->t);
	poke_all(&c->p);
	SAME(uffd_track_start(c->t), 0);
	SAME(look(c->t, &c->p), 0);
	poke(&c->p, 7);
	SAME(look(c->t, &c->p), P(7));
}

static void merged(struct ctx *c)
{
	struct uffd_written w[PAGES];
	unsigned nr;

	poke(&c->p, 9);
	poke(&c->p, 3);
	poke(&c->p, 4);
	poke(&c->p, 2);
	poke(&c->p, 15);
	SAME(uffd_track_collect(c->t, w, PAGES, &nr), 0);
	if (!SAME(nr, 3))
		return;
	SAME(w[0].start, addr(&c->p, 2));
	SAME(w[0].len, 3 * c->p.page);
	SAME(w[1].start, addr(&c->p, 9));
	SAME(w[1].len, c->p.page);
	SAME(w[2].start, addr(&c->p, 15));
	SAME(w[2].len, c->p.page);
}

static void small_array(struct ctx *c)
{
	const uint64_t odd = P(1) | P(3) | P(5) | P(6) | P(7) | P(11) | P(15);
	struct uffd_written w;
	unsigned nr, i;

	for (unsigned cap = 1; cap <= 7; cap++) {
		for (i = 0; i < PAGES; i++)
			if (odd & P(i))
				poke(&c->p, i);
		SAME(look_by(c->t, &c->p, cap), odd);
	}
	/* what is written between two calls of one look is not lost either */
	poke(&c->p, 2);
	poke(&c->p, 8);
	SAME(uffd_track_collect(c->t, &w, 1, &nr), 1);
	SAME(nr, 1);
	SAME(w.start, addr(&c->p, 2));
	poke(&c->p, 2);
	SAME(look(c->t, &c->p), P(8));
	SAME(look(c->t, &c->p), P(2));
}

static void system_calls(struct ctx *c)
{
	struct iovec from = { .iov_base = &(char){ 'x' }, .iov_len = 1 };
	struct iovec to = { .iov_base = at(&c->p, 6), .iov_len = 1 };
	int pipe_fds[2];

	if (!SAME(pipe(pipe_fds), 0))
		return;
	SAME(write(pipe_fds[1], "x", 1), 1);
	SAME(read(pipe_fds[0], at(&c->p, 5), 1), 1);
	SAME(process_vm_writev(getpid(), &from, 1, &to, 1, 0), 1);
	SAME(look(c->t, &c->p), P(5) | P(6));
	SAME(write(pipe_fds[1], at(&c->p, 5), 1), 1); /* reads memory */
	SAME(look(c->t, &c->p), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void marked(struct ctx *c)
{
	SAME(uffd_track_mark(c->t, addr(&c->p, 2), 2 * c->p.page), 0);
	SAME(look(c->t, &c->p), P(2) | P(3));
	poke(&c->p, 3);
	SAME(look(c->t, &c->p), P(3));
	SAME(look(c->t, &c->p), 0);
}

static void again(struct ctx *c)
{
	for (int i = 0; i < 3; i++) {
		SAME(uffd_track_epoch(c->t), 1);
		poke(&c->p, 1);
		SAME(look(c->t, &c->p), P(1));
		SAME(uffd_track_epoch(c->t), 2);
		poke(&c->p, 2);
		SAME(uffd_track_stop(c->t), 0);
		SAME(uffd_track_stop(c->t), 0);
		SAME(uffd_track_epoch(c->t), 0);
		poke(&c->p, 3);
		SAME(uffd_track_start(c->t), 0);
		SAME(uffd_track_start(c->t), -EALREADY);
	}
	SAME(look(c->t, &c->p), 0);
}

static void ranges(struct ctx *c)
{
	const uint64_t page = c->p.page;

	SAME(uffd_track_remove(c->t, (uintptr_t)c->p.m), 0);
	poke_all(&c->p);
	SAME(look(c->t, &c->p), 0);
	/* backwards, so that the table must sort them */
	SAME(uffd_track_add(c->t, addr(&c->p, 10), 2 * page), 0);
	SAME(uffd_track_add(c->t, addr(&c->p, 4), 4 * page), 0);
	SAME(uffd_track_add(c->t, addr(&c->p, 8), 2 * page), 0);
	poke_all(&c->p);
	SAME(look(c->t, &c->p), 0xff0);
	SAME(uffd_track_remove(c->t, addr(&c->p, 8)), 0);
	SAME(uffd_track_remove(c->t, addr(&c->p, 8)), -ENOENT);
	SAME(uffd_track_remove(c->t, addr(&c->p, 5)), -ENOENT);
	poke_all(&c->p);
	SAME(look(c->t, &c->p), 0xcf0);
}

static void automatic(struct ctx *c)
{
	struct uffd_track *t;

	SAME(uffd_track_new(NULL, &t), 0);
	SAME(uffd_track_method(t), first_method());
	SAME(uffd_track_method(c->t), c->method);
	uffd_track_free(t);
}

static void counted(struct ctx *c)
{
	struct uffd_track_stats s;

	poke(&c->p, 2);
	poke(&c->p, 3);
	poke(&c->p, 9);
	look(c->t, &c->p);
	look(c->t, &c->p);
	uffd_track_stats(c->t, &s);
	SAME(s.looks, 2);
	SAME(s.ranges, 2);
	SAME(s.bytes, 3 * c->p.page);
	SAME(s.faults, c->method == LIBUFFD_TRACK_SYNC ? 3 : 0);
	SAME(s.events, 0);
	SAME(s.held, 0);
}

static const struct many many[] = {
	{ "nothing written, nothing reported", nothing },
	{ "each page that was written is reported once", once },
	{ "reading is no write, also of pages never touched", reads },
	{ "what was written before the start is not reported", before_start },
	{ "ranges are sorted, neighbours are one", merged },
	{ "an array too small loses nothing, gives nothing twice",
	  small_array },
	{ "what system calls write is seen", system_calls },
	{ "what is marked counts as written", marked },
	{ "stop forgets, and start begins with epoch 1", again },
	{ "ranges come and go while it runs", ranges },
	{ "AUTO takes the best method there is", automatic },
	{ "statistics count what was reported", counted },
};

int main(void)
{
	return keep_many(many, NR(many));
}
