/* SPDX-License-Identifier: MIT */
/*
 * Ways through the region. Random ones go everywhere in every thread; in order,
 * each thread has a part of its own.
 */
#include <errno.h>
#include <stdlib.h>

#include "paging-parts.h"

int paging_ground_init(struct paging_ground *g, uint64_t pages, uint64_t seed)
{
	g->pages = pages;
	g->seed = seed;
	g->shuffled = malloc(pages * sizeof(*g->shuffled));
	if (!g->shuffled)
		return -ENOMEM;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t k = paging_below(paging_mix(seed + i), i + 1);

		g->shuffled[i] = g->shuffled[k];
		g->shuffled[k] = (uint32_t)i;
	}
	return 0;
}

void paging_ground_finish(struct paging_ground *g)
{
	free(g->shuffled);
	g->shuffled = NULL;
}

void paging_trace_init(struct paging_trace *t, const struct paging_ground *g,
		       const struct paging_case *at, unsigned turn,
		       unsigned thread)
{
	const uint64_t first = g->pages * thread / at->threads;

	*t = (struct paging_trace){
		.ground = g,
		.at = *at,
		.state = paging_mix(g->seed ^ (uint64_t)turn << 32 ^
				    (uint64_t)thread << 16),
		.first = first,
		.nr = g->pages * (thread + 1) / at->threads - first,
		.hot = g->pages / 10 ? g->pages / 10 : 1,
	};
}

static uint64_t random_number(struct paging_trace *t)
{
	t->state += UINT64_C(0x9e3779b97f4a7c15);
	return paging_mix(t->state);
}

/* 0, 16, 32, ...; then 1, 17, ... */
static uint64_t strided(const struct paging_trace *t, uint64_t nth)
{
	const uint64_t step = t->nr < PAGING_STRIDE ? t->nr : PAGING_STRIDE;
	const uint64_t full = t->nr / step, longer = t->nr % step;
	/* the first `longer` columns have a page more than the others */
	const uint64_t in_longer = longer * (full + 1);
	uint64_t column, row;

	if (nth < in_longer) {
		column = nth / (full + 1);
		row = nth % (full + 1);
	} else {
		column = longer + (nth - in_longer) / full;
		row = (nth - in_longer) % full;
	}
	return row * step + column;
}

static uint64_t hot(const struct paging_trace *t, uint64_t random)
{
	const uint64_t pages = t->ground->pages;

	/* One random number for both: its low bits choose the set. */
	if ((random & 0xffff) < 0xffff * 9 / 10 || t->hot == pages)
		return t->ground->shuffled[paging_below(random, t->hot)];
	return t->ground->shuffled[t->hot + paging_below(random,
							 pages - t->hot)];
}

static uint64_t in_order(struct paging_trace *t)
{
	const uint64_t nth = t->next;

	t->next = nth + 1 == t->nr ? 0 : nth + 1;
	return t->first + (t->at.pattern == PAGING_STRIDED ? strided(t, nth) :
							    nth);
}

uint64_t paging_trace_next(struct paging_trace *t, bool *ret_write)
{
	const uint64_t random = random_number(t);

	*ret_write = t->at.op == PAGING_WRITE ||
		     (t->at.op == PAGING_MIXED && (random >> 16 & 1));
	switch (t->at.pattern) {
	case PAGING_RANDOM:
		return paging_below(random, t->ground->pages);
	case PAGING_HOT:
		return hot(t, random);
	default:
		return in_order(t);
	}
}
