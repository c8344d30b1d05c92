/* SPDX-License-Identifier: MIT */
/*
 * Three textbook policies, to have something to hold a pager's choice against.
 *
 * Frames stand in a ring, linked both ways; the hand points at the one that is
 * replaced next. FIFO replaces it and moves on. CLOCK passes over, once, those
 * that were used since the hand came by. LRU takes a frame that is used out of
 * the ring and puts it behind the hand, where it is reached last.
 */
#include <errno.h>
#include <stdlib.h>

#include "paging-parts.h"

#define NOWHERE UINT32_MAX

struct frame {
	uint32_t page;
	uint32_t before, after;
	bool used;
};

struct paging_keeper {
	enum paging_policy policy;
	struct frame *frames;
	uint32_t *where;	/* each page's frame, or NOWHERE */
	uint32_t nr;
	uint32_t hand;
};

static void prepare(struct paging_keeper *k, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		k->where[i] = NOWHERE;
	for (uint32_t i = 0; i < k->nr; i++) {
		k->frames[i].page = NOWHERE;
		k->frames[i].after = i + 1 == k->nr ? 0 : i + 1;
		k->frames[i].before = i ? i - 1 : k->nr - 1;
	}
}

int paging_keeper_new(enum paging_policy policy, uint64_t pages,
		      uint64_t frames, struct paging_keeper **ret)
{
	struct paging_keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->policy = policy;
	k->nr = (uint32_t)frames;
	k->frames = calloc(frames, sizeof(*k->frames));
	k->where = malloc(pages * sizeof(*k->where));
	if (!k->frames || !k->where) {
		paging_keeper_free(k);
		return -ENOMEM;
	}
	prepare(k, pages);
	*ret = k;
	return 0;
}

void paging_keeper_free(struct paging_keeper *k)
{
	if (!k)
		return;
	free(k->frames);
	free(k->where);
	free(k);
}

/* Put a frame just behind the hand. */
static void put_last(struct paging_keeper *k, uint32_t i)
{
	struct frame *f = k->frames;

	if (i == k->hand) {
		k->hand = f[i].after;
		return;
	}
	f[f[i].before].after = f[i].after;
	f[f[i].after].before = f[i].before;
	f[i].after = k->hand;
	f[i].before = f[k->hand].before;
	f[f[i].before].after = i;
	f[k->hand].before = i;
}

static void use(struct paging_keeper *k, uint32_t i)
{
	k->frames[i].used = true;
	if (k->policy == PAGING_LRU)
		put_last(k, i);
}

static void pass_over_used(struct paging_keeper *k)
{
	while (k->frames[k->hand].used) {
		k->frames[k->hand].used = false;
		k->hand = k->frames[k->hand].after;
	}
}

static void replace(struct paging_keeper *k, uint64_t page)
{
	struct frame *f;

	if (k->policy == PAGING_CLOCK)
		pass_over_used(k);
	f = &k->frames[k->hand];
	if (f->page != NOWHERE)
		k->where[f->page] = NOWHERE;
	f->page = (uint32_t)page;
	f->used = true;
	k->where[page] = k->hand;
	k->hand = f->after;
}

bool paging_keeper_access(struct paging_keeper *k, uint64_t page)
{
	if (k->where[page] != NOWHERE) {
		use(k, k->where[page]);
		return true;
	}
	replace(k, page);
	return false;
}
