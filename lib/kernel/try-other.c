/* SPDX-License-Identifier: MIT */
/*
 * Trying asynchronous write-protection and lifting.
 */
#include "sys.h"
#include "try.h"

/* How many bytes of the page were written since the last time? 0 or the page
 * size, or -errno. */
static int64_t written(int pagemap, const struct scratch *s)
{
	struct uffd_page_region vec[1];
	struct uffd_scan scan;
	int ret;

	uffd_scan_begin(&scan, pagemap, s->start, s->start + s->page_size,
			PAGE_IS_WRITTEN, PM_SCAN_WP_MATCHING, vec, 1);
	ret = uffd_scan_next(&scan);
	if (ret <= 0)
		return ret;
	return (int64_t)(vec[0].end - vec[0].start);
}

/* arm, find it clean, write, find it written, find it clean again */
static int arm_and_look(int pagemap, const struct scratch *s)
{
	int64_t armed = written(pagemap, s);
	int64_t clean = armed < 0 ? armed : written(pagemap, s);
	int64_t dirty, again;
	int ret;

	if (clean < 0)
		return try_verdict(clean);
	ret = scratch_poke(s->start, TRY_MARK + 1);
	if (ret < 0)
		return try_verdict(ret);
	dirty = written(pagemap, s);
	again = dirty < 0 ? dirty : written(pagemap, s);
	if (again < 0)
		return try_verdict(again);
	return clean == 0 && (uint64_t)dirty == s->page_size && again == 0 &&
	       scratch_peek(s->start) == TRY_MARK + 1;
}

int try_wp_async(const struct scratch *s)
{
	/* SIGBUS: should a write ask after all, it fails and does not wait */
	int fd = try_open(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_SIGBUS);
	int pagemap, ret;

	if (fd < 0)
		return try_verdict(fd);
	ret = scratch_mark(s, s->start);
	if (ret == 0)
		ret = uffd_register(fd, s->start, s->page_size,
				    UFFDIO_REGISTER_MODE_WP, NULL);
	if (ret < 0) {
		sys_close(fd);
		return try_verdict(ret);
	}
	pagemap = uffd_pagemap_open(0);
	if (pagemap >= 0) {
		ret = arm_and_look(pagemap, s);
		sys_close(pagemap);
	} else {
		ret = pagemap;
	}
	sys_close(fd);
	return ret;
}

int try_lift(const struct scratch *s)
{
	uint64_t to;
	int64_t n;
	int ret = scratch_mark(s, s->start);

	if (ret == 0)
		ret = scratch_reserve(s->page_size, s->page_size, &to);
	if (ret < 0)
		return ret;
	n = uffd_lift(s->start, to, s->page_size);
	if (n < 0)
		ret = try_verdict(n);
	else
		ret = scratch_holds(s, to, TRY_MARK);
	/* private pages leave a hole; shared ones are still in their file */
	if (ret == 1 && (s->memory == LIBUFFD_MEM_PRIVATE ||
			 s->memory == LIBUFFD_MEM_MEMFD_PRIVATE))
		ret = scratch_holds(s, s->start, 0);
	sys_munmap(to, s->page_size);
	return ret;
}
