/* SPDX-License-Identifier: MIT */
/*
 * Keeping the faulting thread where it is.
 *
 * A handler that shares its processor with the thread that faults saves two
 * wake-ups of a sleeping processor a fault. But when it wakes that thread the
 * scheduler sees a busy processor (the handler's) and an idle one, and sends
 * the thread to the idle one: what was saved is lost, and the thread is
 * somewhere else. Only a processor that runs nothing but idle-class threads
 * counts as idle. So the handler becomes SCHED_IDLE while faults come in quick
 * succession.
 *
 * An idle-class thread starves behind a busy one. So a guard, an ordinary
 * thread, makes it one and looks every few milliseconds; when the handler has
 * done nothing since its last look, for want of faults or of a turn, it makes
 * it an ordinary one again, and if it was starved it stays one for a while.
 *
 *   off ──(hot)──► on, guard awake ──(nothing done for a tick)──► off
 */
#include <linux/futex.h>
#include <sys/prctl.h>
#include <time.h>

#include "engine.h"

#define TICK_NS 4000000
#define HOT_NS 200000		/* from fault to fault, at most */
#define HOT_FAULTS 8		/* in a row */
#define BAN_NS UINT64_C(200000000)
#define LONGEST_BAN_NS UINT64_C(10000000000)

static void set_policy(uint32_t tid, int policy)
{
	const struct sched_param none = { 0 };

	sched_setscheduler((pid_t)tid, policy, &none);
}

static void wait_while_off(struct stay *s)
{
	syscall(SYS_futex, &s->on, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void wake_guard(struct stay *s)
{
	syscall(SYS_futex, &s->on, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Is there something it should have done? */
static bool starved(struct handler *h)
{
	struct uffd_fdinfo info;

	if (atomic_load_explicit(&h->busy, memory_order_relaxed))
		return true;
	return uffd_fdinfo(0, h->e->fd, &info) == 0 && info.pending > 0;
}

/*
 * One stay, from its beginning to its end; returns whether the handler was
 * starved. Only the guard makes it idle-class, so that it never is without
 * somebody who looks after it.
 */
static bool guard(struct stay *s, struct handler *h)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	uint32_t before = atomic_load(&h->rounds), now;

	set_policy(atomic_load(&h->tid), SCHED_IDLE);
	while (atomic_load(&s->on) && !atomic_load(&s->stop)) {
		nanosleep(&tick, NULL);
		now = atomic_load(&h->rounds);
		if (now == before)
			break;
		before = now;
	}
	set_policy(atomic_load(&h->tid), SCHED_OTHER);
	return atomic_exchange(&s->on, 0) && !atomic_load(&s->stop) &&
	       starved(h);
}

static void *guard_main(void *arg)
{
	struct uffd_engine *e = arg;
	struct stay *s = &e->stay;
	uint64_t ban = BAN_NS;

	prctl(PR_SET_NAME, "uffd-guard");
	while (!atomic_load(&s->stop)) {
		uint64_t begin;

		wait_while_off(s);
		if (!atomic_load(&s->on))
			continue;
		begin = now_ns();
		if (!guard(s, &e->handlers[0])) {
			ban = BAN_NS;
			continue;
		}
		if (now_ns() - begin > ban)
			ban = BAN_NS;
		atomic_store(&s->not_before_ns, now_ns() + ban);
		if (ban < LONGEST_BAN_NS)
			ban *= 2;
	}
	return NULL;
}

void stay_note(struct handler *h, uint64_t since_ns)
{
	struct stay *s = &h->e->stay;

	if (atomic_load_explicit(&s->on, memory_order_relaxed))
		return;
	s->hot = since_ns < HOT_NS ? s->hot + 1 : 0;
	if (s->hot < HOT_FAULTS || now_ns() < atomic_load(&s->not_before_ns))
		return;
	s->hot = 0;
	atomic_store(&s->on, 1);
	wake_guard(s);
}

void stay_leave(struct handler *h)
{
	struct stay *s = &h->e->stay;

	s->hot = 0;
	if (atomic_exchange(&s->on, 0))
		set_policy(0, SCHED_OTHER);
}

int stay_init(struct uffd_engine *e)
{
	struct stay *s = &e->stay;
	sigset_t all, before;
	int err;

	if (!s->able)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&s->thread, NULL, guard_main, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->started = !err;
	return -err;
}

void stay_finish(struct uffd_engine *e)
{
	struct stay *s = &e->stay;

	if (!s->started)
		return;
	atomic_store(&s->stop, 1);
	atomic_store(&s->on, 1);
	wake_guard(s);
	pthread_join(s->thread, NULL);
	s->started = false;
}
