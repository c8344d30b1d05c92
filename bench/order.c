/* SPDX-License-Identifier: MIT */
#include "scene.h"

static void shuffle(uint32_t *order, uint32_t nr, uint64_t seed)
{
	for (uint32_t i = nr; i > 1; i--) {
		/* The bias of a remainder is below 2^-32 here. */
		uint32_t k = (uint32_t)(bench_mark(seed, i) / 2 % i);
		uint32_t swap = order[i - 1];

		order[i - 1] = order[k];
		order[k] = swap;
	}
}

/* 0, stride, 2 stride, ...; then 1, 1 + stride, ... */
static void stride(uint32_t *order, uint32_t nr, uint64_t step)
{
	uint32_t n = 0;

	for (uint64_t first = 0; first < step && first < nr; first++)
		for (uint64_t page = first; page < nr; page += step)
			order[n++] = (uint32_t)page;
}

void bench_arrange(const struct bench_plan *p, uint32_t *order, uint32_t nr,
		   uint64_t seed)
{
	for (uint32_t i = 0; i < nr; i++)
		order[i] = p->order == BENCH_BACKWARD ? nr - 1 - i : i;
	if (p->order == BENCH_RANDOM)
		shuffle(order, nr, seed);
	else if (p->order == BENCH_STRIDED)
		stride(order, nr, p->stride);
}
