/* SPDX-License-Identifier: MIT */
/*
 * What a process does to its own address space, told as it happens: REMAP,
 * REMOVE, UNMAP, and what the kernel answers meanwhile. (FORK: fork.c.)
 */
#include <sys/ioctl.h>

#include "fixture.h"

#define LAYOUT (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
		UFFD_FEATURE_EVENT_UNMAP)

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* something done to an area by a thread, which will wait for the reader */
struct deed {
	struct area a;
	int fd;
	int advice;
	char *to;
	int err;
	struct actor actor;
};

static struct deed filled(const struct memory *m, unsigned nr,
			  uint64_t features)
{
	struct deed d = { .a = map_area(m, nr), .fd = open_uffd(features) };

	memset(d.a.p, 'a', d.a.len);
	watch(d.fd, &d.a, MISSING);
	return d;
}

static void do_advise(void *data)
{
	struct deed *d = data;

	d->err = madvise(d->a.p, d->a.len, d->advice) ? errno : 0;
}

static void do_unmap(void *data)
{
	struct deed *d = data;

	d->err = munmap(d->a.p, d->a.len) ? errno : 0;
}

static void do_map_over(void *data)
{
	struct deed *d = data;
	void *p = mmap(d->a.p, d->a.len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	d->err = p == MAP_FAILED ? errno : 0;
}

static void do_move(void *data)
{
	struct deed *d = data;
	void *p = mremap(d->a.p, d->a.len, d->a.len,
			 MREMAP_MAYMOVE | MREMAP_FIXED, d->to);

	d->err = p == MAP_FAILED ? errno : 0;
}

static void done(struct deed *d)
{
	finish(&d->actor);
	SAME(d->err, 0);
}

static void range_is(const struct uffd_event *ev, enum uffd_event_kind kind,
		     const struct area *a)
{
	SAME(ev->kind, kind);
	SAME(ev->start, a->at);
	SAME(ev->len, a->len);
	SAME(ev->fork_fd, -1);
}

/* ---- REMOVE ------------------------------------------------------------- */

static void removes(const struct memory *m, int advice)
{
	struct deed d = filled(m, 2, UFFD_FEATURE_EVENT_REMOVE);
	struct uffd_event ev;

	d.advice = advice;
	start(&d.actor, do_advise, &d);
	ev = next_event(d.fd);
	range_is(&ev, LIBUFFD_EVENT_REMOVE, &d.a);
	done(&d);
}

static void dontneed(const struct memory *m)
{
	removes(m, MADV_DONTNEED);
}

static void dontneed_locked(const struct memory *m)
{
	char *p = map_anon(4096);

	if (madvise(p, 4096, MADV_DONTNEED_LOCKED) < 0)
		skip("no MADV_DONTNEED_LOCKED in this kernel");
	removes(m, MADV_DONTNEED_LOCKED);
}

static void freed(const struct memory *m)
{
	removes(m, MADV_FREE);
}

static void removed(const struct memory *m)
{
	removes(m, MADV_REMOVE);
}

/* after it the page is missing, if it was a private one */
static void missing_after(const struct memory *m)
{
	struct deed d = filled(m, 1, UFFD_FEATURE_EVENT_REMOVE);
	struct touch t;

	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	next_event(d.fd);
	done(&d);
	touch_read(&t, d.a.p);
	SAME(next_event(d.fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(copy_when_quiet(d.fd, d.a.at, bytes_of('b', d.a.page), d.a.page),
	     d.a.page);
	SAME(touched(&t), 'b');
}

/* one message for each mapping in the range */
static void one_each(const struct memory *m)
{
	struct deed d = filled(m, 3, UFFD_FEATURE_EVENT_REMOVE);

	CHECK(mprotect(page_of(&d.a, 1), d.a.page, PROT_READ) == 0);
	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	for (unsigned i = 0; i < 3; i++) {
		struct uffd_event ev = next_event(d.fd);

		SAME(ev.kind, LIBUFFD_EVENT_REMOVE);
		SAME(ev.start, at_page(&d.a, i));
		SAME(ev.len, d.a.page);
	}
	done(&d);
}

/* ---- UNMAP -------------------------------------------------------------- */

static void unmaps(const struct memory *m)
{
	struct deed d = filled(m, 2, UFFD_FEATURE_EVENT_UNMAP);
	struct uffd_event ev;

	start(&d.actor, do_unmap, &d);
	ev = next_event(d.fd);
	range_is(&ev, LIBUFFD_EVENT_UNMAP, &d.a);
	done(&d);
}

static void maps_over(const struct memory *m)
{
	struct deed d = filled(m, 2, UFFD_FEATURE_EVENT_UNMAP);
	struct uffd_event ev;

	start(&d.actor, do_map_over, &d);
	ev = next_event(d.fd);
	range_is(&ev, LIBUFFD_EVENT_UNMAP, &d.a);
	done(&d);
	/* what is there now is not ours */
	SAME(d.a.p[0], 0);
	CHECK(silent(d.fd));
}

/* ---- REMAP -------------------------------------------------------------- */

static void moves(const struct memory *m)
{
	struct deed d = filled(m, 2, LAYOUT);
	struct area there = d.a;
	struct uffd_event ev;
	struct touch t;

	d.to = place_for(&d.a);
	there.p = d.to;
	there.at = (uintptr_t)d.to;
	/* its old place is the move's to unmap, and what was at the new one
	 * is not registered: two messages */
	start(&d.actor, do_move, &d);
	ev = next_event(d.fd);
	range_is(&ev, LIBUFFD_EVENT_REMAP, &d.a);
	SAME(ev.to, there.at);
	ev = next_event(d.fd);
	range_is(&ev, LIBUFFD_EVENT_UNMAP, &d.a);
	done(&d);
	CHECK(all_are(there.p, 'a', there.len));
	/* the registration has come along; in the page cache it is still */
	if (!(m->is & (ANON | HUGE_PRIVATE)))
		return;
	d.a = there;
	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	SAME(next_event(d.fd).kind, LIBUFFD_EVENT_REMOVE);
	done(&d);
	touch_read(&t, there.p);
	SAME(next_event(d.fd).addr, there.at);
	SAME(copy_when_quiet(d.fd, there.at, bytes_of('b', there.page),
			     there.page), there.page);
	SAME(touched(&t), 'b');
}

static void moves_away(const struct memory *m)
{
	struct deed d = filled(m, 1, 0);

	d.to = place_for(&d.a);
	start(&d.actor, do_move, &d);
	done(&d);
	CHECK(silent(d.fd));
	SAME(uffd_copy(d.fd, (uintptr_t)d.to, bytes_of('b', d.a.page),
		       d.a.page, 0), -ENOENT);
	SAME(d.to[0], 'a');
}

static void grows_in_place(const struct memory *m)
{
	struct area a = map_area(m, 4);
	struct touch t;
	int fd = open_uffd(LAYOUT);

	munmap(page_of(&a, 1), 3 * a.page);
	SAME(uffd_register(fd, a.at, a.page, MISSING, NULL), 0);
	CHECK(mremap(a.p, a.page, 2 * a.page, 0) == a.p);
	CHECK(silent(fd));
	touch_read(&t, page_of(&a, 1));
	SAME(next_event(fd).addr, at_page(&a, 1));
	SAME(uffd_zeropage(fd, at_page(&a, 1), a.page, 0), a.page);
	touched(&t);
}

static void do_lift(void *data)
{
	struct deed *d = data;
	int64_t n = uffd_lift(d->a.at, (uintptr_t)d->to, d->a.len);

	d->err = n == (int64_t)d->a.len ? 0 : (int)n;
}

/* both the old and the new place are registered then */
static void lifts(const struct memory *m)
{
	struct deed d = filled(m, 2, LAYOUT);
	struct uffd_event ev;
	struct touch t;

	d.to = place_for(&d.a);
	start(&d.actor, do_lift, &d);
	ev = next_event(d.fd);
	range_is(&ev, LIBUFFD_EVENT_REMAP, &d.a);
	SAME(ev.to, (uintptr_t)d.to);
	done(&d);
	CHECK(silent(d.fd));
	CHECK(all_are(d.to, 'a', d.a.len));
	SAME(copy_when_quiet(d.fd, (uintptr_t)d.to, bytes_of('x', d.a.page),
			     d.a.page), -EEXIST);
	touch_read(&t, d.a.p);
	SAME(next_event(d.fd).addr, d.a.at);
	SAME(uffd_copy(d.fd, d.a.at, bytes_of('b', d.a.page), d.a.page, 0),
	     d.a.page);
	SAME(touched(&t), 'b');
}

/* ---- no message --------------------------------------------------------- */

static void nothing_to_tell(const struct memory *m)
{
	struct deed d = filled(m, 2, LAYOUT);
	struct touch t;

	CHECK(mprotect(d.a.p, d.a.len, PROT_READ) == 0);
	CHECK(mprotect(d.a.p, d.a.len, PROT_READ | PROT_WRITE) == 0);
	madvise(d.a.p, d.a.len, MADV_COLD);
	madvise(d.a.p, d.a.len, MADV_PAGEOUT);
	CHECK(silent(d.fd));
	if (d.a.fd >= 0) {
		SAME(uffd_punch(d.a.fd, 0, d.a.page), 0);
		CHECK(ftruncate(d.a.fd, (off_t)d.a.page) == 0);
		CHECK(silent(d.fd));
	}
	/* the hole is seen by who touches it, where he sees the file */
	if (!(m->is & (MEMFD | HUGE)))
		return;
	touch_read(&t, d.a.p);
	SAME(next_event(d.fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(d.fd, d.a.at, bytes_of('b', d.a.page), d.a.page, 0),
	     d.a.page);
	SAME(touched(&t), 'b');
}

static void disabled(const struct memory *m)
{
	struct deed d = filled(m, 2, 0);

	SAME(uffd_drop(d.a.at, d.a.len), 0);
	munmap(d.a.p, d.a.len);
	CHECK(silent(d.fd));
}

/* ---- while it waits ----------------------------------------------------- */

/* An event is queued: every request is EINPROGRESS, a nonsensical one too, and
 * the same request is itself again when it is over. */
static void in_progress(const struct memory *m)
{
	struct deed d = filled(m, 2, UFFD_FEATURE_EVENT_REMOVE);
	char *other = map_anon(2 * 4096), *src = bytes_of('x', d.a.page);
	struct uffd_progress p;
	uint64_t at = (uintptr_t)other;
	struct pollfd ready = { .fd = d.fd, .events = POLLIN };

	SAME(uffd_register(d.fd, at, 2 * 4096, MISSING | WP, NULL), 0);
	SAME(uffd_changing(d.fd), 0);
	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	SAME(uffd_changing(d.fd), 1);
	SAME(uffd_copy(d.fd, at, src, 4096, 0), -EINPROGRESS);
	SAME(uffd_copy(d.fd, 1, NULL, 3, 77), -EINPROGRESS);
	SAME(uffd_zeropage(d.fd, at, 4096, 0), -EINPROGRESS);
	if (kernel_has(UFFD_FEATURE_MINOR_SHMEM))
		SAME(uffd_continue(d.fd, at, 4096, 0), -EINPROGRESS);
	SAME(uffd_writeprotect(d.fd, at, 4096, 1), -EINPROGRESS);
	SAME(uffd_copy_all(d.fd, at, src, 4096, 0, 4096, &p), -EINPROGRESS);
	SAME(p.done, 0);
	SAME(uffd_wake(d.fd, at, 4096), 0);
	SAME(next_event(d.fd).kind, LIBUFFD_EVENT_REMOVE);
	done(&d);
	SAME(uffd_changing(d.fd), 0);
	SAME(uffd_copy(d.fd, at, src, 4096, 0), 4096);
	SAME(uffd_copy(d.fd, 1, NULL, 3, 77), -EINVAL);
}

static void in_progress_newer(const struct memory *m)
{
	struct deed d = filled(m, 1, UFFD_FEATURE_EVENT_REMOVE);
	struct pollfd ready = { .fd = d.fd, .events = POLLIN };

	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	SAME(uffd_poison(d.fd, d.a.at, d.a.page, 0), -EINPROGRESS);
	SAME(uffd_move(d.fd, d.a.at, d.a.at, d.a.page, 0), -EINPROGRESS);
	SAME(next_event(d.fd).kind, LIBUFFD_EVENT_REMOVE);
	done(&d);
}

/* The kernel hands out a fault before an event that came first; the library
 * turns it round within what it has read. */
static void events_first(const struct memory *m)
{
	struct deed d = filled(m, 1, UFFD_FEATURE_EVENT_REMOVE);
	struct pollfd ready = { .fd = d.fd, .events = POLLIN };
	struct area other = map_area(m, 1);
	struct uffd_msg msgs[8];
	struct uffd_batch b;
	struct uffd_event ev;
	struct touch t;

	watch(d.fd, &other, MISSING);
	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	touch_read(&t, other.p);
	await_waiters(d.fd, 1);
	SAME(uffd_batch_init(&b, msgs, NR(msgs)), 0);
	SAME(uffd_batch_read(d.fd, &b), 2);
	CHECK(uffd_batch_next(&b, &ev));
	SAME(ev.kind, LIBUFFD_EVENT_REMOVE);
	CHECK(uffd_batch_next(&b, &ev));
	SAME(ev.kind, LIBUFFD_FAULT_MISSING);
	CHECK(!uffd_batch_next(&b, &ev));
	uffd_batch_finish(&b);
	done(&d);
	SAME(copy_when_quiet(d.fd, other.at, bytes_of('o', other.page),
			     other.page), other.page);
	SAME(touched(&t), 'o');
}

static void close_releases(const struct memory *m)
{
	struct deed d = filled(m, 1, UFFD_FEATURE_EVENT_REMOVE);
	struct pollfd ready = { .fd = d.fd, .events = POLLIN };

	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	close(d.fd);
	done(&d);
	SAME(d.a.p[0], m->is & TO_ALL ? 'a' : 0);
}

static void do_nothing(int sig)
{
	(void)sig;
}

/* A signal does not end the wait for the reader, and the call does not fail. */
static void signals_wait(const struct memory *m)
{
	struct deed d = filled(m, 1, UFFD_FEATURE_EVENT_REMOVE);
	struct pollfd ready = { .fd = d.fd, .events = POLLIN };
	const struct sigaction nothing = { .sa_handler = do_nothing };

	CHECK(sigaction(SIGUSR1, &nothing, NULL) == 0);
	d.advice = MADV_DONTNEED;
	start(&d.actor, do_advise, &d);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	pthread_kill(d.actor.thread, SIGUSR1);
	CHECK(falls_asleep(&d.actor));
	SAME(next_event(d.fd).kind, LIBUFFD_EVENT_REMOVE);
	done(&d);
}

static void drop_alone(void *data)
{
	struct deed *d = data;

	uffd_drop(d->a.at, d->a.len);
}

/* Whoever is the only reader must never cause an event: it would wait for
 * itself for ever. But it can be killed. */
static void waits_for_itself(void *data)
{
	struct deed d = filled(data, 1, UFFD_FEATURE_EVENT_REMOVE);

	drop_alone(&d);
}

static void killable(const struct memory *m)
{
	struct memory copy = *m;
	pid_t child = start_child(waits_for_itself, &copy);
	int status, pidfd = uffd_pidfd_open(child);

	SAME(uffd_pidfd_wait(pidfd, 50), 0);
	kill(child, SIGKILL);
	status = end_of(child);
	CHECK(WIFSIGNALED(status));
	SAME(WTERMSIG(status), SIGKILL);
}

static const struct promise promises[] = {
	{ "not enabled, nothing is told", disabled, ALL, NEED_DROP, 0 },
	{ "mprotect, cooling, punching and truncating tell nothing",
	  nothing_to_tell, ALL, 0, 0 },
	{ "MADV_DONTNEED tells REMOVE", dontneed, ALL, NEED_DROP, 0 },
	{ "MADV_DONTNEED_LOCKED tells REMOVE", dontneed_locked, SMALL, 0, 0 },
	{ "MADV_FREE tells REMOVE", freed, ANON, 0, 0 },
	{ "MADV_REMOVE tells REMOVE", removed, TO_ALL & ~ANON, 0, 0 },
	{ "each mapping in the range tells its own", one_each, ALL, NEED_DROP,
	  0 },
	{ "a removed page is missing", missing_after, ANON | HUGE_PRIVATE,
	  NEED_DROP, 0 },
	{ "munmap tells UNMAP", unmaps, ALL, 0, 0 },
	{ "mmap over it tells UNMAP", maps_over, SMALL, 0, 0 },
	{ "mremap tells REMAP, then UNMAP, and the registration follows", moves,
	  ALL, NEED_DROP | NEED_MREMAP, 0 },
	{ "without EVENT_REMAP the registration is lost, silently", moves_away,
	  ALL, NEED_MREMAP, 0 },
	{ "what grows in place is registered, silently", grows_in_place,
	  ANON | MEMFD, 0, 0 },
	{ "lifting tells REMAP; both places are registered then", lifts, ANON,
	  NEED_LIFT, 0 },
	{ "while an event waits, every request is EINPROGRESS", in_progress,
	  ALL, NEED_DROP, 0 },
	{ "while an event waits, MOVE and POISON are EINPROGRESS, too",
	  in_progress_newer, ALL, NEED_DROP,
	  UFFD_FEATURE_MOVE | UFFD_FEATURE_POISON },
	{ "the library hands out events before faults", events_first, ALL,
	  NEED_DROP, 0 },
	{ "closing lets go who waits for a reader", close_releases, ALL,
	  NEED_DROP, 0 },
	{ "a signal does not cut short the wait for a reader", signals_wait,
	  ALL, NEED_DROP, 0 },
	{ "who waits for itself can be killed", killable, ALL, NEED_DROP, 0 },
};

MAIN(promises)
