/* SPDX-License-Identifier: MIT */
/* Chance that can be had again by its seed. */
#ifndef TESTS_STORE_RND_H
#define TESTS_STORE_RND_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct rnd {
	uint64_t state;
};

static inline uint64_t rnd_next(struct rnd *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* 0 to below n */
static inline uint64_t rnd_below(struct rnd *r, uint64_t n)
{
	return rnd_next(r) % n;
}

/* Bytes as programs have them: zeros, one byte over and over, some that pack
 * by half, and noise. */
static inline void rnd_fill(struct rnd *r, void *buf, size_t len)
{
	uint64_t kind = rnd_below(r, 5);
	unsigned char *p = buf;

	memset(p, kind == 0 ? 0 : (int)rnd_next(r), len);
	if (kind < 2)
		return;
	for (size_t i = 0; i < len; i++)
		if (kind == 2 || (i & 64))
			p[i] = (unsigned char)(rnd_next(r) >> 17);
}

/* the seed: of `--seed N`, or of the clock; is printed */
static inline uint64_t rnd_seed(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL);

	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 10);
	printf("# --seed %llu\n", (unsigned long long)seed);
	return seed;
}

#endif
