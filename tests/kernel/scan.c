/* SPDX-License-Identifier: MIT */
/*
 * PAGEMAP_SCAN and the walk over it.
 */
#include "fixture.h"

#define WRITTEN PAGE_IS_WRITTEN
#define ARM PM_SCAN_WP_MATCHING

/* memory whose writes are tracked, nothing armed yet */
static struct area tracked(const struct memory *m, unsigned nr)
{
	struct area a = map_area(m, nr);

	watch(open_uffd(UFFD_FEATURE_WP_ASYNC), &a, WP);
	return a;
}

/* which of the first 64 pages have all of the mask, as bits */
static uint64_t found(const struct area *a, uint64_t mask, uint64_t flags,
		      unsigned cap)
{
	struct uffd_page_region vec[512];
	struct uffd_scan s;
	uint64_t bits = 0;
	int fd = uffd_pagemap_open(0), ret;

	CHECK(fd >= 0);
	uffd_scan_begin(&s, fd, a->at, a->at + a->len, mask, flags, vec, cap);
	while ((ret = uffd_scan_next(&s)) == 1)
		for (unsigned i = 0; i < s.nr; i++)
			for (uint64_t at = vec[i].start; at < vec[i].end;
			     at += a->page) {
				uint64_t bit = UINT64_C(1)
					       << (at - a->at) / a->page;

				CHECK(!(bits & bit)); /* never twice */
				bits |= bit;
			}
	SAME(ret, 0);
	SAME(s.start, s.end);
	close(fd);
	return bits;
}

static void bad_requests(const struct memory *m)
{
	struct uffd_page_region vec[1];
	struct uffd_scan_arg arg = { 0 };
	struct uffd_scan s;
	char *p = map_anon(4096);
	int fd = uffd_pagemap_open(0);

	(void)m;
	arg.start = (uintptr_t)p + 1;
	arg.end = (uintptr_t)p + 4096;
	SAME(uffd_pagemap_scan(fd, &arg), -EINVAL);
	arg.start--;
	arg.flags = 1 << 20;
	SAME(uffd_pagemap_scan(fd, &arg), -EINVAL);
	arg.flags = 0;
	arg.category_mask = UINT64_C(1) << 60;
	SAME(uffd_pagemap_scan(fd, &arg), -EINVAL);
	arg.category_mask = 0;
	arg.vec_len = 1;
	CHECK(uffd_pagemap_scan(fd, &arg) < 0);
	SAME(uffd_pagemap_scan(-1, &arg), -EBADF);
	uffd_scan_begin(&s, fd, arg.start, arg.end, WRITTEN, 0, NULL, 1);
	SAME(uffd_scan_next(&s), -EINVAL);
	uffd_scan_begin(&s, fd, arg.start, arg.end, WRITTEN, 0, vec, 0);
	SAME(uffd_scan_next(&s), -EINVAL);
	SAME(uffd_pagemap_open(-1), -EINVAL);
	SAME(uffd_pagemap_open(0x3fffffff), -ENOENT);
}

/* Arming memory that can't be is an error, never a silent nothing. */
static void not_tracked(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct uffd_page_region vec[4];
	struct uffd_scan_arg arg = {
		.flags = PM_SCAN_WP_MATCHING,
		.start = a.at,
		.end = a.at + a.len,
		.vec = (uintptr_t)vec,
		.vec_len = 4,
		.category_mask = WRITTEN,
		.return_mask = WRITTEN,
	};
	struct uffd_scan s;
	int fd = uffd_pagemap_open(0);

	memset(a.p, 'a', a.len);
	/* the kernel's own way: nothing found, nothing said */
	SAME(uffd_pagemap_scan(fd, &arg), 0);
	uffd_scan_begin(&s, fd, a.at, a.at + a.len, WRITTEN, ARM, vec, 4);
	SAME(uffd_scan_next(&s), -EPERM);
	SAME(s.start, a.at);
}

/* What was armed before it is met is told first. */
static void tracked_in_part(const struct memory *m)
{
	struct area a = map_area(m, 4);
	struct area half = a;
	struct uffd_page_region vec[4];
	struct uffd_scan s;
	int fd = uffd_pagemap_open(0);

	half.len = 2 * a.page;
	watch(open_uffd(UFFD_FEATURE_WP_ASYNC), &half, WP);
	memset(a.p, 'a', a.len);
	uffd_scan_begin(&s, fd, a.at, a.at + a.len, WRITTEN, ARM, vec, 4);
	SAME(uffd_scan_next(&s), 1);
	SAME(s.nr, 1);
	SAME(vec[0].start, a.at);
	SAME(vec[0].end, a.at + half.len);
	SAME(uffd_scan_next(&s), -EPERM);
	SAME(s.start, a.at + half.len);
	close(fd);
	/* nothing of it is left to be told */
	SAME(found(&half, WRITTEN, ARM, 4), 0);
}

static void get_and_rearm(const struct memory *m)
{
	struct area a = tracked(m, 4);

	memset(a.p, 'a', 2 * a.page);
	/* the first time everything counts as written, holes as well, but on
	 * hugetlb only from their first access on */
	SAME(found(&a, WRITTEN, ARM, 512), m->is & HUGETLB ? 3 : 15);
	SAME(found(&a, WRITTEN, ARM, 512), 0);
	page_of(&a, 1)[9] = 'b';
	page_of(&a, 3)[9] = 'b';
	SAME(found(&a, WRITTEN, 0, 512), 10);
	SAME(found(&a, WRITTEN, ARM, 512), 10);
	SAME(found(&a, WRITTEN, ARM, 512), 0);
	SAME(page_of(&a, 3)[9], 'b');
}

static void reading_is_no_writing(const struct memory *m)
{
	struct area a = tracked(m, 2);

	a.p[0] = 'a';
	found(&a, WRITTEN, ARM, 512);
	CHECK(a.p[0] == 'a');
	CHECK((m->is & HUGETLB) || a.p[a.page] == 0);
	SAME(found(&a, WRITTEN, ARM, 512), 0);
}

static void dropped_is_written(const struct memory *m)
{
	struct area a = tracked(m, 2);

	memset(a.p, 'a', a.len);
	found(&a, WRITTEN, ARM, 512);
	SAME(uffd_drop(a.at, a.page), 0);
	SAME(found(&a, WRITTEN, ARM, 512), 1);
	SAME(found(&a, WRITTEN, ARM, 512), 0);
}

static void scattered(const struct memory *m, unsigned cap)
{
	struct area a = tracked(m, m->is & HUGETLB ? 5 : 64);
	uint64_t want = 0;

	memset(a.p, 'a', a.len);
	found(&a, WRITTEN, ARM, cap);
	for (unsigned i = 0; i < a.len / a.page; i += 2) {
		page_of(&a, i)[0] = 'b';
		want |= UINT64_C(1) << i;
	}
	SAME(found(&a, WRITTEN, ARM, cap), want);
	SAME(found(&a, WRITTEN, ARM, cap), 0);
}

static void small_vector(const struct memory *m)
{
	scattered(m, 1);
	scattered(m, 7);
}

static void large_vector(const struct memory *m)
{
	scattered(m, 100000);
}

static void present(const struct memory *m)
{
	struct area a = map_area(m, 3);

	CHECK(page_of(&a, 1)[0] == 0);
	SAME(found(&a, PAGE_IS_PRESENT, 0, 512), 2);
	page_of(&a, 2)[0] = 1;
	SAME(found(&a, PAGE_IS_PRESENT, 0, 512), 6);
	SAME(found(&a, PAGE_IS_FILE, 0, 512), m->is == ANON ? 0 :
	     m->is & TO_ALL ? 6 : found(&a, PAGE_IS_FILE, 0, 512));
}

static void other_process(void *data)
{
	(void)data;
	pause();
}

static void of_another(const struct memory *m)
{
	struct area a = map_area(m, 2);
	struct uffd_page_region vec[2];
	struct uffd_scan s;
	pid_t child;
	int fd;

	memset(a.p, 'a', a.page);
	child = start_child(other_process, NULL);
	fd = uffd_pagemap_open(child);
	CHECK(fd >= 0);
	uffd_scan_begin(&s, fd, a.at, a.at + a.len, PAGE_IS_PRESENT, 0, vec,
			2);
	SAME(uffd_scan_next(&s), 1);
	SAME(s.nr, 1);
	SAME(vec[0].start, a.at);
	SAME(vec[0].end, a.at + a.page);
	kill(child, SIGKILL);
	end_of(child);
}

/* where a huge page does not fit into what may be reported, it is left whole */
static void max_pages(const struct memory *m)
{
	struct area a = tracked(m, 2);
	struct uffd_page_region region;
	struct uffd_scan_arg arg = {
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = a.at,
		.end = a.at + a.len,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.max_pages = a.page / 4096,
		.category_mask = WRITTEN,
		.return_mask = WRITTEN,
	};

	memset(a.p, 'a', a.len);
	SAME(uffd_pagemap_scan(uffd_pagemap_open(0), &arg), 1);
	SAME(region.start, a.at);
	SAME(region.end, a.at + a.page);
	SAME(arg.walk_end, a.at + a.page);
}

static void close_ends_it(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct uffd_page_region vec[4];
	struct uffd_scan s;
	int fd = open_uffd(UFFD_FEATURE_WP_ASYNC);

	watch(fd, &a, WP);
	found(&a, WRITTEN, ARM, 512);
	close(fd);
	uffd_scan_begin(&s, uffd_pagemap_open(0), a.at, a.at + a.len, WRITTEN,
			ARM, vec, 4);
	SAME(uffd_scan_next(&s), -EPERM);
}

#define NEEDS ALL, NEED_SCAN | NEED_WP, UFFD_FEATURE_WP_ASYNC

static const struct promise promises[] = {
	{ "PAGEMAP_SCAN and its walk refuse bad requests", bad_requests, 0,
	  NEED_SCAN, 0 },
	{ "arming what is not registered for WP_ASYNC is EPERM", not_tracked,
	  ALL, NEED_SCAN, 0 },
	{ "a walk into memory that is not registered loses nothing",
	  tracked_in_part, NEEDS },
	{ "closing the descriptor ends the tracking", close_ends_it, NEEDS },
	{ "get and re-arm gives each written page once", get_and_rearm,
	  NEEDS },
	{ "reading is no writing", reading_is_no_writing, NEEDS },
	{ "a dropped page counts as written", dropped_is_written, ANON,
	  NEED_SCAN | NEED_WP, UFFD_FEATURE_WP_ASYNC },
	{ "a small vector loses nothing and repeats nothing", small_vector,
	  NEEDS },
	{ "a large vector loses nothing and repeats nothing", large_vector,
	  NEEDS },
	{ "a page count is kept to, huge pages stay whole", max_pages, NEEDS },
	{ "pages present are found", present, ALL, NEED_SCAN, 0 },
	{ "another process can be looked at", of_another, ANON, NEED_SCAN,
	  0 },
};

MAIN(promises)
