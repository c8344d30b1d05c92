/* SPDX-License-Identifier: MIT */
/*
 * LIBUFFD_TRACK_SYNC, and hugetlb with either method (a scan that arms does
 * not find all of it): the page tables are read first, then what was found
 * written is protected again. A write between the two is to a page that is
 * being reported anyway, and a page that was not found is not touched.
 */
#include <errno.h>

#include "memory.h"
#include "track.h"

/* Find what is written, without arming it: that is for WP_ASYNC alone. */
static int scan(struct uffd_track *t, const struct range *r, uint64_t from)
{
	struct look *look = &t->look;
	struct uffd_scan s;
	int ret;

	uffd_scan_begin(&s, t->pagemap, from, r->end, PAGE_IS_WRITTEN, 0,
			look->vec, VEC_SYNC);
	ret = uffd_scan_next(&s);
	look->nr = s.nr;
	look->at = s.start;
	return ret < 0 ? ret : 0;
}

/*
 * A page of hugetlb that was written and then discarded is not said to be
 * written: it is not said to be anything, where one that is protected, and not
 * there, counts as swapped. So get all pages, and pick.
 */
static bool is_written(const struct uffd_page_region *v)
{
	return v->categories & PAGE_IS_WRITTEN ||
	       !(v->categories & (PAGE_IS_PRESENT | PAGE_IS_SWAPPED));
}

static int scan_huge(struct uffd_track *t, const struct range *r, uint64_t from)
{
	struct look *look = &t->look;
	struct uffd_scan_arg arg = {
		.start = from,
		.end = r->end,
		.vec = (uintptr_t)look->vec,
		.vec_len = VEC_SYNC,
		.return_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT |
			       PAGE_IS_SWAPPED,
	};
	int n = uffd_pagemap_scan(t->pagemap, &arg);

	for (int i = 0; i < n; i++)
		if (is_written(&look->vec[i]))
			look->vec[look->nr++] = look->vec[i];
	if (n >= 0)
		look->at = arg.walk_end;
	return n < 0 && n != -EINTR ? n : 0;
}

static int find(struct uffd_track *t, const struct range *r, uint64_t from)
{
	if (!t->has_scan)
		return pagemap_find(t, r, from);
	return r->huge ? scan_huge(t, r, from) : scan(t, r, from);
}

/*
 * An armed range is out of our hands, so those behind one that fails are left
 * for the next step, and only those before it are given out.
 */
static int arm_found(struct uffd_track *t, const struct range *r)
{
	struct look *look = &t->look;

	for (unsigned i = 0; i < look->nr; i++) {
		const uint64_t start = look->vec[i].start;
		const uint64_t end = look->vec[i].end;
		int ret;

		pagemap_fill_holes(t, start, end);
		ret = arm_part(t, r, start, end);
		if (ret < 0) {
			look->at = look->vec[i].start;
			look->nr = i;
			return ret;
		}
	}
	return 0;
}

int sync_step(struct uffd_track *t, const struct range *r)
{
	const uint64_t from = max_u64(t->look.at, r->start);
	int ret;

	pthread_mutex_lock(&t->lock);
	ret = find(t, r, from);
	if (ret == 0)
		ret = arm_found(t, r);
	pthread_mutex_unlock(&t->lock);
	return ret;
}

/*
 * Without PAGEMAP_SCAN the protection must show in /proc/PID/pagemap, which
 * came later (5.14) than the protection: try it.
 */
static int try_page(int fd, int pagemap, uint64_t page, uint64_t size)
{
	int64_t n;
	int ret = uffd_register(fd, page, size, UFFDIO_REGISTER_MODE_WP, NULL);

	if (ret < 0)
		return ret;
	*(volatile char *)(uintptr_t)page = 1;
	n = uffd_writeprotect(fd, page, size, UFFDIO_WRITEPROTECT_MODE_WP);
	return n < 0 ? (int)n : pagemap_protected(pagemap, size, page);
}

int sync_sees(uint64_t size)
{
	const struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		.flags = LIBUFFD_OPEN_USER_ONLY,
	};
	void *page = memory_map(size);
	int pagemap = uffd_pagemap_open(0);
	int fd = uffd_open(&opts, NULL);
	int ret = -ENOMEM;

	if (fd < 0 || pagemap < 0)
		ret = fd < 0 ? fd : pagemap;
	else if (page)
		ret = try_page(fd, pagemap, (uintptr_t)page, size);
	if (pagemap >= 0)
		sys_close(pagemap);
	if (fd >= 0)
		sys_close(fd);
	memory_unmap(page, size);
	return ret;
}
