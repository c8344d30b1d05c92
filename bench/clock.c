/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"

#define READINGS 1000
#define TRIES 21

double bench_clock_cost(void)
{
	double ns[TRIES];

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t start = bench_now();

		for (unsigned k = 0; k < READINGS - 1; k++)
			bench_now();
		ns[i] = (double)(bench_now() - start) / READINGS;
	}
	return bench_median(ns, TRIES);
}
