/* SPDX-License-Identifier: MIT */
/*
 * Protecting pages by hand: all of a range when it begins to be tracked (a
 * scan would leave out hugetlb pages that are not there yet), and, for SYNC,
 * what a look has found.
 */
#include <errno.h>

#include "track.h"

/* The address space is locked for the time of one. Counted from address 0, so
 * that no huge page lies in two. */
#define STEP (UINT64_C(1) << 30)

static int protect(struct uffd_track *t, uint64_t start, uint64_t len)
{
	int64_t n;

	while ((n = uffd_writeprotect(t->fd, start, len,
				      UFFDIO_WRITEPROTECT_MODE_WP)) ==
		       -EINPROGRESS ||
	       n == -EAGAIN)
		stand_back(t);
	return n < 0 ? (int)n : 0;
}

/* Protect what may in part be unmapped, or not registered yet. */
int arm_part(struct uffd_track *t, const struct range *r, uint64_t start,
	     uint64_t end)
{
	struct uffd_progress p;
	int ret = protect(t, start, end - start);

	if (ret == -EINVAL) /* mapped anew, with another page size */
		return -EOPNOTSUPP;
	if (ret != -ENOENT)
		return ret;
	ret = range_heal(t, r);
	if (ret == 0)
		ret = protect(t, start, end - start);
	if (ret != -ENOENT)
		return ret;
	ret = uffd_writeprotect_all(t->fd, start, end - start,
				    UFFDIO_WRITEPROTECT_MODE_WP, r->page_size,
				    &p);
	/* not armed, it will be reported once more; better than not at all */
	return ret == -EINPROGRESS || ret == -EAGAIN ? 0 : ret;
}

static int arm_step(struct uffd_track *t, const struct range *r,
		    uint64_t start, uint64_t end)
{
	int ret = pagemap_populate(t, start, end);

	return ret < 0 ? ret : arm_part(t, r, start, end);
}

int range_arm(struct uffd_track *t, const struct range *r)
{
	int ret = range_register(t, r);
	uint64_t at = r->start, end;

	for (; ret == 0 && at < r->end; at = end) {
		end = min_u64((at / STEP + 1) * STEP, r->end);
		pthread_mutex_lock(&t->lock);
		ret = arm_step(t, r, at, end);
		pthread_mutex_unlock(&t->lock);
	}
	return ret;
}
