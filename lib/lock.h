/* SPDX-License-Identifier: MIT */
/*
 * A small lock for signal handlers: one word, no allocation, errno left alone.
 * Its holders do a few microseconds' work; who waits looks a little while,
 * then sleeps, as the holder may have lost its processor.
 *
 *	0  free
 *	1  held
 *	2  held, and somebody may sleep
 */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
	_Atomic uint32_t word;
};

/* the two that meet another thread */
void lock_wait(struct lock *lock);
void lock_wake(struct lock *lock);

static inline bool lock_try(struct lock *lock)
{
	uint32_t free = 0;

	return atomic_compare_exchange_strong_explicit(
		&lock->word, &free, 1, memory_order_acquire,
		memory_order_relaxed);
}

static inline void lock_take(struct lock *lock)
{
	if (!lock_try(lock))
		lock_wait(lock);
}

static inline void lock_drop(struct lock *lock)
{
	if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2)
		lock_wake(lock);
}

#endif
