/* SPDX-License-Identifier: MIT */
/*
 * Many requests at a time.
 *
 *	caller's io ──submit──► a request of ours ──► the store's submit
 *	                         (cut at the end,          ┆
 *	     done ◄── the turn ◄── exactly one answer) ◄── its done
 *
 * A store answers from inside its submit or dispatch, perhaps with its lock
 * held, perhaps three stores deep. Answers therefore wait in a list of this
 * thread until it has left all stores: its turn. Only then are the callers'
 * functions called; what they submit, and what is answered meanwhile, joins
 * the same list, so that a chain of requests needs no stack.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../public.h"
#include "check.h"
#include "flight.h"
#include "now.h"

#define NR_REQUESTS 512
/* how long a store may say nothing while it is closed */
#define SILENCE_MS 30000

struct request {
	struct uffd_io io;	/* what the store sees */
	struct uffd_io *theirs;
	struct uffd_store *store;
	_Atomic bool flying;
};

struct flight {
	struct uffd_store *store;
	struct lock lock;		/* of the ring below */
	uint32_t head, tail;
	/* free ones, first in, first out: an answer that comes twice should
	 * meet a request that rests */
	struct request *ring[NR_REQUESTS];
	struct request requests[NR_REQUESTS];
	_Atomic unsigned nr;		/* in flight */
	_Atomic uint64_t answers;
};

/* What this thread has to hand on once it has left all stores. Nothing but
 * the thread itself could hold it. */
struct turn {
	unsigned depth;		/* of stores, and of the handing on */
	struct uffd_io *first, *last;
	const struct uffd_store *counted;	/* whose answers dispatch */
	int count;				/* counts, and how many */
	const struct uffd_store *entered;	/* for check.c */
};

static __thread struct turn turn __attribute__((tls_model("initial-exec")));

const struct uffd_store **flight_entered(void)
{
	return &turn.entered;
}

/* store[0]: the next in the list, store[1]: the answer, store[2]: whose */
static void turn_add(struct uffd_store *s, struct uffd_io *io, int err)
{
	io->store[0] = 0;
	io->store[1] = (uint64_t)(int64_t)err;
	io->store[2] = (uintptr_t)s;
	if (turn.first)
		turn.last->store[0] = (uintptr_t)io;
	else
		turn.first = io;
	turn.last = io;
}

static void turn_begin(void)
{
	turn.depth++;
}

static void turn_end(void)
{
	struct uffd_io *io;

	while (turn.depth == 1 && (io = turn.first)) {
		turn.first = (struct uffd_io *)(uintptr_t)io->store[0];
		if ((uintptr_t)turn.counted == io->store[2])
			turn.count++;
		/* held meanwhile: io may be gone, and a fault inside done may
		 * come to us in this thread */
		io->done(io, (int)(int64_t)io->store[1]);
	}
	turn.depth--;
}

static void count_answer(struct uffd_store *s, const struct uffd_io *io,
			 int err)
{
	static const struct {
		enum count ops, bytes;
	} which[] = {
		[LIBUFFD_IO_READ] = { COUNT_READS, COUNT_READ_BYTES },
		[LIBUFFD_IO_WRITE] = { COUNT_WRITES, COUNT_WRITE_BYTES },
		[LIBUFFD_IO_FLUSH] = { COUNT_FLUSHES, NR_COUNTS },
	};

	if (io->op >= LIBUFFD_IO_READ && io->op <= LIBUFFD_IO_FLUSH) {
		count_add(&s->counts, which[io->op].ops, 1);
		if (!err && io->op != LIBUFFD_IO_FLUSH)
			count_add(&s->counts, which[io->op].bytes, io->len);
	}
	if (err)
		count_add(&s->counts, COUNT_ERRORS, 1);
}

static void answer(struct uffd_store *s, struct uffd_io *io, int err)
{
	if (err > 0) {
		check_broken(s, "answered %d: it must be 0 or a negative errno",
			     err);
		err = -EIO;
	}
	count_answer(s, io, err);
	turn_add(s, io, err);
}

/* ---- our requests ---------------------------------------------------------- */

static struct request *request_take(struct flight *f)
{
	struct request *r = NULL;

	lock_take(&f->lock);
	if (f->head != f->tail)
		r = f->ring[f->head++ % NR_REQUESTS];
	lock_drop(&f->lock);
	return r;
}

static void request_drop(struct flight *f, struct request *r)
{
	lock_take(&f->lock);
	f->ring[f->tail++ % NR_REQUESTS] = r;
	lock_drop(&f->lock);
}

/* what the store's done is */
static void request_done(struct uffd_io *io, int err)
{
	struct request *r = (struct request *)io;
	struct uffd_store *s = r->store;
	struct uffd_io *theirs = r->theirs;

	if (!atomic_exchange(&r->flying, false)) {
		check_broken(s, "answered a request at offset %llu twice",
			     (unsigned long long)io->offset);
		return;
	}
	request_drop(s->flight, r);
	atomic_fetch_add(&s->flight->answers, 1);
	turn_begin();
	answer(s, theirs, err);
	atomic_fetch_sub(&s->flight->nr, 1);
	turn_end();
}

struct flight *flight_new(struct uffd_store *s)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->store = s;
	f->tail = NR_REQUESTS;
	for (unsigned i = 0; i < NR_REQUESTS; i++) {
		f->requests[i].store = s;
		f->ring[i] = &f->requests[i];
	}
	return f;
}

void flight_free(struct flight *f)
{
	free(f);
}

bool flight_end(struct flight *f)
{
	struct pollfd pfd = {
		.fd = f->store->ops.fd(f->store->state),
		.events = POLLIN,
	};
	uint64_t answers;

	while (atomic_load(&f->nr)) {
		answers = atomic_load(&f->answers);
		if (poll(&pfd, 1, SILENCE_MS) == 0 &&
		    answers == atomic_load(&f->answers))
			return false;
		uffd_store_dispatch(f->store);
	}
	return true;
}

void flight_cancel(struct flight *f)
{
	turn_begin();
	for (unsigned i = 0; i < NR_REQUESTS; i++) {
		struct request *r = &f->requests[i];

		if (!atomic_exchange(&r->flying, false))
			continue;
		check_broken(f->store,
			     "never answered a request at offset %llu",
			     (unsigned long long)r->io.offset);
		answer(f->store, r->theirs, -ECANCELED);
	}
	turn_end();
}

/* ---- submit and dispatch ----------------------------------------------------- */

static int refuse(const struct uffd_store *s, const struct uffd_io *io)
{
	if (io->op < LIBUFFD_IO_READ || io->op > LIBUFFD_IO_FLUSH ||
	    (io->flags & ~LIBUFFD_IO_AHEAD))
		return -EINVAL;
	return io->op == LIBUFFD_IO_WRITE ?
		       store_no_write(s, io->offset, io->len) : 0;
}

static int do_now(struct uffd_store *s, const struct uffd_io *io)
{
	switch (io->op) {
	case LIBUFFD_IO_READ:
		return store_read_now(s, io->offset, io->buf, io->len);
	case LIBUFFD_IO_WRITE:
		return store_write_now(s, io->offset, io->buf, io->len);
	default:
		return store_flush_now(s);
	}
}

static int ask_submit(struct uffd_store *s, struct uffd_io *io)
{
	const struct uffd_store *before;
	int saved = errno;
	int err;

	store_enter(s);
	before = check_enter(s);
	err = s->ops.submit(s->state, io);
	check_leave(s, before, err);
	store_leave(s);
	errno = saved;
	return err > 0 ? -EIO : err;
}

/* hand it to the store; -EAGAIN is the caller's to know, all else is answered
 */
static int start(struct uffd_store *s, struct uffd_io *io)
{
	struct request *r = request_take(s->flight);
	size_t have = io->len;
	int err;

	if (!r)
		return -EAGAIN;
	if (io->op == LIBUFFD_IO_READ) { /* zeros past the end are ours */
		have = store_within(s, io->offset, io->len);
		memset((char *)io->buf + have, 0, io->len - have);
	}
	r->io = (struct uffd_io){
		.op = io->op,
		.flags = io->flags,
		.offset = io->offset,
		.len = have,
		.buf = io->buf,
		.done = request_done,
	};
	r->theirs = io;
	atomic_store(&r->flying, true);
	atomic_fetch_add(&s->flight->nr, 1);
	err = ask_submit(s, &r->io);
	if (!err)
		return 0;
	if (!atomic_exchange(&r->flying, false)) {
		check_broken(s, "answered a request that it refused");
		return 0;
	}
	atomic_fetch_sub(&s->flight->nr, 1);
	request_drop(s->flight, r);
	if (err != -EAGAIN)
		answer(s, io, err);
	return err == -EAGAIN ? err : 0;
}

/* nothing to do for the store: no bytes, or none before the end */
static bool is_empty(const struct uffd_store *s, const struct uffd_io *io)
{
	return io->op != LIBUFFD_IO_FLUSH &&
	       store_within(s, io->offset, io->len) == 0;
}

PUBLIC int uffd_store_submit(struct uffd_store *s, struct uffd_io *io)
{
	int err = refuse(s, io);
	int ret = 0;

	turn_begin();
	if (err)
		answer(s, io, err);
	else if (!s->flight || is_empty(s, io))
		answer(s, io, do_now(s, io));
	else
		ret = start(s, io);
	turn_end();
	return ret;
}

PUBLIC int uffd_store_fd(const struct uffd_store *s)
{
	return s->flight ? s->ops.fd(s->state) : -1;
}

static void ask_dispatch(struct uffd_store *s)
{
	const struct uffd_store *before;
	int saved = errno;

	store_enter(s);
	before = check_enter(s);
	s->ops.dispatch(s->state);
	check_leave(s, before, 0);
	store_leave(s);
	errno = saved;
}

PUBLIC int uffd_store_dispatch(struct uffd_store *s)
{
	const struct uffd_store *counted = turn.counted;
	int before = turn.count, count;

	if (!s->flight)
		return 0;
	turn.counted = s;
	turn.count = 0;
	turn_begin();
	ask_dispatch(s);
	turn_end();
	count = turn.count;
	turn.counted = counted;
	turn.count = before;
	return count;
}
