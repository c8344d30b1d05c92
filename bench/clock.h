/* SPDX-License-Identifier: MIT */
/*
 * The clock. CLOCK_MONOTONIC reads the time-stamp counter without a system
 * call; reading the counter ourselves, with the fences that keep an access
 * from slipping out from between two readings, costs the same and would have
 * to be calibrated.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
