/* SPDX-License-Identifier: MIT */
/*
 * What it costs to wake a thread: from before the call that wakes it to its
 * first look at the clock. An eventfd wakes a reader the way that a
 * userfaultfd does.
 */
#include <stdatomic.h>

#include "../kernel/sys.h"
#include "costs.h"

#define NR_WAKES 48
/* until a processor with nothing to do has really gone to sleep: in a virtual
 * machine it first looks around for a fifth of a millisecond */
#define NAP_NS 500000

struct wake {
	int ask;		/* eventfds */
	int answer;
	uint64_t asked;
	atomic_bool stop;
	unsigned nr;
	uint64_t samples[NR_WAKES];
};

static int wait_for(int fd)
{
	uint64_t value;
	ssize_t n;

	do {
		n = sys_read(fd, &value, sizeof(value));
	} while (n == -EINTR);
	return n < 0 ? (int)n : 0;
}

static int signal_to(int fd)
{
	const uint64_t one = 1;
	ssize_t n = sys_write(fd, &one, sizeof(one));

	return n < 0 ? (int)n : 0;
}

static void *sleeper(void *arg)
{
	struct wake *w = arg;

	while (wait_for(w->ask) == 0 && w->nr < NR_WAKES) {
		const uint64_t now = cost_now();

		if (atomic_load(&w->stop))
			break;
		w->samples[w->nr++] = cost_less(now, w->asked);
		signal_to(w->answer);
	}
	return NULL;
}

static int wake_once(struct wake *w, bool asleep)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	int err;

	if (asleep)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	w->asked = cost_now();
	err = signal_to(w->ask);
	return err < 0 ? err : wait_for(w->answer);
}

static int wake_often(struct wake *w, unsigned cpu, bool asleep)
{
	pthread_t thread;
	int err = cost_thread(&thread, cpu, sleeper, w);

	if (err < 0)
		return err;
	for (unsigned i = 0; i < NR_WAKES && err == 0; i++)
		err = wake_once(w, asleep);
	atomic_store(&w->stop, true);
	signal_to(w->ask);
	pthread_join(thread, NULL);
	return err;
}

int cost_of_wake(unsigned cpu, bool asleep, uint64_t *ret)
{
	struct wake w = { 0 };
	int err;

	w.ask = sys_eventfd(0, EFD_CLOEXEC);
	if (w.ask < 0)
		return w.ask;
	w.answer = sys_eventfd(0, EFD_CLOEXEC);
	if (w.answer < 0) {
		sys_close(w.ask);
		return w.answer;
	}
	err = wake_often(&w, cpu, asleep);
	if (err == 0)
		*ret = cost_median(w.samples, w.nr);
	sys_close(w.ask);
	sys_close(w.answer);
	return err;
}
