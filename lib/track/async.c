/* SPDX-License-Identifier: MIT */
/*
 * LIBUFFD_TRACK_ASYNC: the kernel takes the protection away by itself, and
 * PAGEMAP_SCAN finds the pages without it and protects them again, both under
 * the page table's lock, so no write falls in between.
 *
 * The scan stops with EPERM at memory that is not registered, and then it does
 * not say how many regions it has found, and armed, before that. They are in
 * the vector all the same: so that has no valid region in it when it goes in.
 */
#include <errno.h>

#include "track.h"

/* mappings may come and go while we look; but not that often */
#define HEALS 16

static void forget_vec(struct look *look)
{
	for (unsigned i = 0; i < VEC_ASYNC; i++)
		look->vec[i].end = 0;
}

static unsigned count_vec(const struct look *look)
{
	unsigned nr = 0;

	while (nr < VEC_ASYNC && look->vec[nr].end)
		nr++;
	return nr;
}

/*
 * Masks are exactly this one category: with more, kernels up to 6.18 pass over
 * pages that were discarded.
 */
static int scan(struct uffd_track *t, uint64_t from, uint64_t end,
		uint64_t *ret_walked)
{
	struct look *look = &t->look;
	struct uffd_scan_arg arg = {
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = from,
		.end = end,
		.vec = (uintptr_t)look->vec,
		.vec_len = VEC_ASYNC,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n;

	forget_vec(look);
	n = uffd_pagemap_scan(t->pagemap, &arg);
	look->nr = n < 0 ? count_vec(look) : (unsigned)n;
	/* what failed has not come as far as it says */
	*ret_walked = n < 0 ? from : arg.walk_end;
	if (look->nr)
		*ret_walked = max_u64(*ret_walked, look->vec[look->nr - 1].end);
	return n < 0 ? n : 0;
}

int async_step(struct uffd_track *t, const struct range *r)
{
	struct look *look = &t->look;

	for (int i = 0; i < HEALS; i++) {
		uint64_t from = max_u64(look->at, r->start), walked;
		int ret = scan(t, from, r->end, &walked);

		look->at = walked;
		if (ret == -EINTR || look->nr)
			return 0; /* an error will come back */
		if (ret == 0)
			return walked > from ? 0 : -EIO;
		if (ret == -EPERM)
			ret = range_heal(t, r);
		if (ret < 0)
			return ret;
	}
	return -EAGAIN;
}
