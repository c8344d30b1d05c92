/* SPDX-License-Identifier: MIT */
/*
 * Inside uffd_costs(): one function for each thing that is measured. They run
 * in a thread of their own, which is pinned to cpus->here and has all signals
 * blocked. All return 0 or -errno; a cost that can't be measured here is 0 and
 * no failure.
 */
#ifndef LIB_ENGINE_COSTS_H
#define LIB_ENGINE_COSTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* processors that the caller may run on */
struct cost_cpus {
	unsigned here;
	unsigned other;
	bool has_other;
};

static inline uint64_t cost_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t cost_less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The median of nr > 0 samples; sorts them. */
uint64_t cost_median(uint64_t *samples, unsigned nr);

/* Start a thread on one processor, all signals blocked. */
int cost_thread(pthread_t *ret, unsigned cpu, void *(*run)(void *), void *arg);

/* costs-alone.c */
uint64_t cost_of_clock(void);
int cost_of_fault(uint64_t clock_ns, uint64_t *ret);

/* costs-signal.c */
int cost_of_signal(uint64_t clock_ns, uint64_t *ret);

/* costs-wake.c; asleep: let the other processor fall asleep each time */
int cost_of_wake(unsigned cpu, bool asleep, uint64_t *ret);

/* costs-shootdown.c */
int cost_of_shootdown(unsigned other, uint64_t *ret);

#endif
