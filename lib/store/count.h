/* SPDX-License-Identifier: MIT */
/*
 * Counters that threads don't fight over: a few of each, in cache lines of
 * their own, and a thread always takes the same.
 */
#ifndef LIB_STORE_COUNT_H
#define LIB_STORE_COUNT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

enum count {
	COUNT_READS,
	COUNT_READ_BYTES,
	COUNT_WRITES,
	COUNT_WRITE_BYTES,
	COUNT_DISCARDS,
	COUNT_FLUSHES,
	COUNT_ERRORS,
	NR_COUNTS,
};

#define NR_COUNT_LINES 8

struct counts {
	struct {
		_Alignas(64) _Atomic uint64_t n[NR_COUNTS];
	} line[NR_COUNT_LINES];
};

/* A number from 0 to below nr (a power of two), the same for a thread each
 * time, and different for most threads. errno is where a thread has its own. */
static inline unsigned thread_number(unsigned nr)
{
	uint64_t mine = (uintptr_t)&errno >> 6;

	return (unsigned)(mine * 0x9e3779b97f4a7c15u >> 40) & (nr - 1);
}

static inline void count_add(struct counts *c, enum count which, uint64_t n)
{
	atomic_fetch_add_explicit(
		&c->line[thread_number(NR_COUNT_LINES)].n[which], n,
		memory_order_relaxed);
}

static inline uint64_t count_sum(const struct counts *c, enum count which)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NR_COUNT_LINES; i++)
		sum += atomic_load_explicit(&c->line[i].n[which],
					    memory_order_relaxed);
	return sum;
}

#endif
