/* SPDX-License-Identifier: MIT */
/*
 * Signals that land on threads that page, whose handlers use the same memory;
 * and threads that come and go meanwhile.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

static const uint32_t engines[] = {
	LIBUFFD_ENGINE_SIGBUS,
	LIBUFFD_ENGINE_THREAD,
};

/* A signal handler has no argument: what it may touch. */
static struct {
	const struct bed *_Atomic b;
	_Atomic unsigned calls, bad;
} touched;

static _Thread_local uint64_t handler_dice;

/* any page, also the one whose fault was interrupted */
static void touch_some(int sig)
{
	const struct bed *b = touched.b;
	int saved = errno;

	(void)sig;
	if (!handler_dice)
		handler_dice = (uint64_t)(uintptr_t)&handler_dice | 1;
	for (unsigned i = 0; b && i < 4; i++) {
		uint64_t page = any_page(&handler_dice, b->pages);

		if (!stamped(bed_page(b, page), page, 1))
			touched.bad++;
		stamp(bed_page(b, page), page, 1);
	}
	touched.calls++;
	errno = saved;
}

struct user {
	struct bed *b;
	uint64_t dice;
	unsigned steps;
	unsigned bad;
	atomic_bool done;
	pthread_t thread;
};

/* all that takes locks of the pager, with the signals coming down on it */
static void use(struct user *u, unsigned n)
{
	const uint64_t page = any_page(&u->dice, u->b->pages - 8);
	struct uffd_region *r = u->b->r;

	switch (n % 16) {
	case 0:
		u->bad += uffd_touch(r, page * PAGE, 8 * PAGE) != 0;
		break;
	case 1:
		uffd_evict(r, page * PAGE, 8 * PAGE);
		break;
	case 2:
		u->bad += uffd_sync(r, page * PAGE, 8 * PAGE) != 0;
		break;
	case 3:
		u->bad += uffd_prefetch(r, page * PAGE, 8 * PAGE) != 0;
		break;
	case 4:
		if (uffd_pin(r, page * PAGE, 2 * PAGE) == 0)
			uffd_unpin(r, page * PAGE, 2 * PAGE);
		break;
	default:
		u->bad += !stamped(bed_page(u->b, page), page, 1);
		stamp(bed_page(u->b, page), page, 1);
		break;
	}
}

static void *use_all(void *arg)
{
	struct user *u = arg;

	for (unsigned n = 0; n < u->steps; n++)
		use(u, n);
	u->done = true;
	return NULL;
}

static void start(struct user *u, struct bed *b, unsigned n, unsigned steps)
{
	*u = (struct user){ .b = b, .dice = n * 1000 + 7, .steps = steps };
	pthread_create(&u->thread, NULL, use_all, u);
}

static bool open_it(struct bed *b, uint32_t engine)
{
	if (!CHECK(bed_open(b, &(struct bed_want){ .engine = engine,
						   .uri = LZ4 })))
		return false;
	bed_stamp_all(b, 1);
	touched.calls = touched.bad = 0;
	touched.b = b;
	return true;
}

static void close_it(struct bed *b)
{
	touched.b = NULL;
	SAME(touched.bad, 0);
	CHECK(bed_stamped_all(b, 1));
	bed_close(b);
}

/* The thread sanitizer blocks SIGBUS in other handlers. */
static bool blind(uint32_t engine)
{
	return under_tsan() && engine == LIBUFFD_ENGINE_SIGBUS;
}

/* Handlers of one thread write the pages that another looks at, but always the
 * same bytes. */
static void sent(void)
{
	struct sigaction act = { .sa_handler = touch_some,
				 .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &act, NULL);
	for (unsigned i = 0; i < NR(engines); i++) {
		struct user u[2];
		struct bed b;

		if (blind(engines[i]))
			continue;
		if (!open_it(&b, engines[i]))
			return;
		for (unsigned n = 0; n < NR(u); n++)
			start(&u[n], &b, n, 2000);
		while (!u[0].done || !u[1].done) {
			for (unsigned n = 0; n < NR(u); n++)
				if (!u[n].done)
					pthread_kill(u[n].thread, SIGUSR1);
			nap_ms(2);
		}
		for (unsigned n = 0; n < NR(u); n++) {
			pthread_join(u[n].thread, NULL);
			SAME(u[n].bad, 0);
		}
		CHECK(touched.calls > 0);
		close_it(&b);
	}
}

static void by_timer(void)
{
	struct sigaction act = { .sa_handler = touch_some,
				 .sa_flags = SA_RESTART };
	const struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };

	sigaction(SIGALRM, &act, NULL);
	for (unsigned i = 0; i < NR(engines); i++) {
		struct user u[2];
		struct bed b;

		if (blind(engines[i]))
			continue;
		if (!open_it(&b, engines[i]))
			return;
		setitimer(ITIMER_REAL, &often, NULL);
		for (unsigned n = 0; n < NR(u); n++)
			start(&u[n], &b, n, 2000);
		for (unsigned n = 0; n < NR(u); n++) {
			pthread_join(u[n].thread, NULL);
			SAME(u[n].bad, 0);
		}
		setitimer(ITIMER_REAL, &never, NULL);
		CHECK(touched.calls > 0);
		close_it(&b);
	}
}

/* what a program has blocked stays blocked, and errno is left alone */
static void mask_and_errno(void)
{
	sigset_t usr2, before, after;

	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	for (unsigned i = 0; i < NR(engines); i++) {
		struct bed b;

		if (!open_it(&b, engines[i]))
			return;
		pthread_sigmask(SIG_BLOCK, &usr2, &before);
		errno = ERRNO_BEFORE;
		for (uint64_t p = 0; p < b.pages; p++)
			(void)*(volatile uint8_t *)bed_page(&b, p);
		SAME(errno, ERRNO_BEFORE);
		CALL(uffd_touch(b.r, 0, 8 * PAGE));
		CALL(uffd_evict(b.r, 0, 8 * PAGE));
		pthread_sigmask(SIG_SETMASK, &before, &after);
		CHECK(sigismember(&after, SIGUSR2));
		CHECK(!sigismember(&after, SIGUSR1));
		close_it(&b);
	}
}

/* threads that live for a few faults each */
static void short_lives(void)
{
	for (unsigned i = 0; i < NR(engines); i++) {
		struct pusher push;
		struct bed b;

		if (!open_it(&b, engines[i]))
			return;
		pusher_start(&push, &b, 0, b.pages);
		for (unsigned n = 0; n < 150; n++) {
			struct user u[3];

			for (unsigned k = 0; k < NR(u); k++)
				start(&u[k], &b, n * 3 + k, 6);
			for (unsigned k = 0; k < NR(u); k++) {
				pthread_join(u[k].thread, NULL);
				SAME(u[k].bad, 0);
			}
		}
		pusher_stop(&push);
		close_it(&b);
	}
}

static const struct promise promises[] = {
	{ "handlers of signals that are sent may use the region", sent },
	{ "so may those of a timer", by_timer },
	{ "mask and errno are left alone", mask_and_errno },
	{ "threads may live for a few faults", short_lives },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
