/* SPDX-License-Identifier: MIT */
/*
 * MOVE: whole pages from one place to another.
 */
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixture.h"

#define PAGE 4096u
#define HUGE_LEN (2u << 20)

#define NEEDS 0, 0, UFFD_FEATURE_MOVE
#define HOLES UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES

/* nr pages to move to, registered and empty, and nr full ones */
struct pair {
	uint64_t dst, src;
	char *d, *s;
	int fd;
};

static struct pair pair(unsigned nr)
{
	struct pair p = { .fd = open_uffd(0) };

	p.d = map_anon(nr * PAGE);
	p.s = map_anon(nr * PAGE);
	memset(p.s, 's', nr * PAGE);
	p.dst = (uintptr_t)p.d;
	p.src = (uintptr_t)p.s;
	SAME(uffd_register(p.fd, p.dst, nr * PAGE, MISSING, NULL), 0);
	return p;
}

static int64_t move(const struct pair *p, unsigned from, unsigned nr)
{
	return uffd_move(p->fd, p->dst + from * PAGE, p->src + from * PAGE,
			 nr * PAGE, 0);
}

static void bad_requests(const struct memory *m)
{
	struct pair p = pair(2);

	(void)m;
	SAME(uffd_move(p.fd, p.dst, p.src, 0, 0), -EINVAL);
	SAME(uffd_move(p.fd, p.dst + 1, p.src, PAGE, 0), -EINVAL);
	SAME(uffd_move(p.fd, p.dst, p.src + 1, PAGE, 0), -EINVAL);
	SAME(uffd_move(p.fd, p.dst, p.src, PAGE, 1 << 20), -EINVAL);
}

static void not_anonymous(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0);

	SAME(uffd_register(fd, a.at, a.page, MISSING, NULL), 0);
	memset(page_of(&a, 1), 's', a.page);
	SAME(uffd_move(fd, a.at, at_page(&a, 1), a.page, 0), -EINVAL);
}

static void source_hole(const struct memory *m)
{
	struct pair p = pair(2);
	struct touch t;

	(void)m;
	SAME(uffd_drop(p.src, PAGE), 0);
	SAME(move(&p, 0, 1), -ENOENT);
	SAME(uffd_move(p.fd, p.dst, p.src, 2 * PAGE, HOLES), 2 * PAGE);
	SAME(p.d[PAGE], 's');
	/* where there was nothing, nothing came */
	touch_read(&t, p.d);
	SAME(next_event(p.fd).addr, p.dst);
	SAME(uffd_zeropage(p.fd, p.dst, PAGE, 0), PAGE);
	touched(&t);
}

static void source_unmapped(const struct memory *m)
{
	struct pair p = pair(1);

	(void)m;
	munmap(p.s, PAGE);
	SAME(move(&p, 0, 1), -ENOENT);
}

static void goal_exists(const struct memory *m)
{
	struct pair p = pair(2);

	(void)m;
	SAME(uffd_copy(p.fd, p.dst + PAGE, bytes_of('d', PAGE), PAGE, 0),
	     PAGE);
	SAME(move(&p, 0, 2), PAGE);
	SAME(move(&p, 1, 1), -EEXIST);
	CHECK(all_are(p.d, 's', PAGE));
	CHECK(all_are(p.d + PAGE, 'd', PAGE));
	CHECK(all_are(p.s + PAGE, 's', PAGE));
}

/* Of all that fills, MOVE alone asks whose the goal is. */
static void not_the_owner(const struct memory *m)
{
	struct pair p = pair(1);
	int other = open_uffd(0);

	(void)m;
	CHECK(uffd_move(other, p.dst, p.src, PAGE, 0) < 0);
	SAME(p.s[0], 's');
	SAME(uffd_unregister(p.fd, p.dst, PAGE), 0);
	CHECK(move(&p, 0, 1) < 0);
	SAME(p.s[0], 's');
}

static void move_in_child(void *data)
{
	SAME(move(data, 0, 1), -EINVAL);
}

static void other_process(const struct memory *m)
{
	struct pair p = pair(1);

	(void)m;
	SAME(end_of(start_child(move_in_child, &p)), 0);
}

static void nothing(void *data)
{
	(void)data;
}

/* Shared by a fork, even of a child long gone: until it is written again. */
static void forked(const struct memory *m)
{
	struct pair p = pair(1);

	(void)m;
	SAME(end_of(start_child(nothing, NULL)), 0);
	SAME(move(&p, 0, 1), -EBUSY);
	p.s[1] = 't';
	SAME(move(&p, 0, 1), PAGE);
	SAME(p.d[1], 't');
}

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_register 427
#endif
#define REGISTER_BUFFERS 0

/* Pin a range for as long as the process lives. */
static void pin(char *p, size_t len)
{
	struct iovec buffer = { p, len };
	uint64_t params[30] = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, params);

	if (ring < 0)
		skip("no io_uring here, to pin pages: %s", strerror(errno));
	if (syscall(SYS_io_uring_register, ring, REGISTER_BUFFERS, &buffer, 1))
		skip("io_uring can't pin pages here: %s", strerror(errno));
}

static void pinned(const struct memory *m)
{
	struct pair p = pair(2);

	(void)m;
	pin(p.s, PAGE);
	SAME(move(&p, 0, 1), -EBUSY);
	SAME(move(&p, 1, 1), PAGE);
	CHECK(all_are(p.s, 's', PAGE));
}

static void resolves(const struct memory *m)
{
	struct pair p = pair(2);
	struct touch t;

	(void)m;
	touch_read(&t, p.d + PAGE);
	SAME(next_event(p.fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_move(p.fd, p.dst, p.src, 2 * PAGE,
		       UFFDIO_MOVE_MODE_DONTWAKE), 2 * PAGE);
	SAME(waiters(p.fd), 1);
	SAME(uffd_wake(p.fd, p.dst, 2 * PAGE), 0);
	SAME(touched(&t), 's');
	CHECK(all_are(p.d, 's', 2 * PAGE));
	CHECK(all_are(p.s, 0, 2 * PAGE));
	memset(p.d, 'w', 2 * PAGE);
	CHECK(silent(p.fd));
}

/* What a registered source loses is missing there. */
static void there_and_back(const struct memory *m)
{
	struct pair p = pair(1);
	struct touch t;

	(void)m;
	SAME(uffd_register(p.fd, p.src, PAGE, MISSING, NULL), 0);
	SAME(move(&p, 0, 1), PAGE);
	touch_read(&t, p.s);
	SAME(next_event(p.fd).addr, p.src);
	SAME(uffd_move(p.fd, p.src, p.dst, PAGE, 0), PAGE);
	SAME(touched(&t), 's');
}

static void zero_page(const struct memory *m)
{
	struct pair p = pair(1);

	(void)m;
	SAME(uffd_drop(p.src, PAGE), 0);
	SAME(p.s[0], 0);	/* read: now the shared page of zeros */
	SAME(move(&p, 0, 1), PAGE);
	CHECK(all_are(p.d, 0, PAGE));
}

static void split_sides(const struct memory *m)
{
	struct pair p = pair(6);
	struct uffd_progress done;

	(void)m;
	/* a border in each: locked pages are a mapping of their own */
	CHECK(madvise(p.s + 2 * PAGE, PAGE, MADV_DONTFORK) == 0);
	CHECK(madvise(p.d + 4 * PAGE, PAGE, MADV_DONTFORK) == 0);
	CHECK(move(&p, 0, 6) < 0);
	SAME(uffd_move_all(p.fd, p.dst, p.src, 6 * PAGE, 0, PAGE, &done), 0);
	SAME(done.filled, 6 * PAGE);
	CHECK(all_are(p.d, 's', 6 * PAGE));
}

static void stops_at_hole(const struct memory *m)
{
	struct pair p = pair(3);
	struct uffd_progress done;

	(void)m;
	SAME(uffd_drop(p.src + PAGE, PAGE), 0);
	SAME(uffd_move_all(p.fd, p.dst, p.src, 3 * PAGE, 0, PAGE, &done),
	     -ENOENT);
	SAME(done.done, PAGE);
	SAME(p.s[2 * PAGE], 's');
}

/* ---- huge --------------------------------------------------------------- */

static char *map_huge(void)
{
	char *p = map_anon(2 * HUGE_LEN);
	uint64_t at = ((uintptr_t)p + HUGE_LEN - 1) & ~(uint64_t)(HUGE_LEN - 1);

	p += at - (uintptr_t)p;
	madvise(p, HUGE_LEN, MADV_HUGEPAGE);
	return p;
}

static bool is_huge(char *p)
{
	struct uffd_page_region region;
	struct uffd_scan_arg arg = {
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + HUGE_LEN,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};
	int fd = uffd_pagemap_open(0);
	int n = uffd_pagemap_scan(fd, &arg);

	close(fd);
	return n == 1 && region.end - region.start == HUGE_LEN;
}

static struct pair huge_pair(void)
{
	struct pair p = { .fd = open_uffd(0) };

	p.d = map_huge();
	p.s = map_huge();
	p.dst = (uintptr_t)p.d;
	p.src = (uintptr_t)p.s;
	memset(p.s, 's', HUGE_LEN);
	if (!is_huge(p.s))
		skip("no transparent huge page came");
	SAME(uffd_register(p.fd, p.dst, HUGE_LEN, MISSING, NULL), 0);
	return p;
}

static void huge_whole(const struct memory *m)
{
	struct pair p = huge_pair();

	(void)m;
	SAME(uffd_move(p.fd, p.dst, p.src, HUGE_LEN, 0), HUGE_LEN);
	CHECK(is_huge(p.d));
	CHECK(all_are(p.d, 's', HUGE_LEN));
}

static void huge_split(const struct memory *m)
{
	struct pair p = huge_pair();

	(void)m;
	SAME(uffd_move(p.fd, p.dst + PAGE, p.src + PAGE, 3 * PAGE, 0),
	     3 * PAGE);
	CHECK(all_are(p.d + PAGE, 's', 3 * PAGE));
	CHECK(all_are(p.s + PAGE, 0, 3 * PAGE));
	CHECK(all_are(p.s + 4 * PAGE, 's', HUGE_LEN - 4 * PAGE));
}

static const struct promise promises[] = {
	{ "MOVE refuses bad requests", bad_requests, NEEDS },
	{ "MOVE of other than private anonymous memory is EINVAL",
	  not_anonymous, CACHED, 0, UFFD_FEATURE_MOVE },
	{ "a hole in the source is ENOENT, or allowed and then missing still",
	  source_hole, NEEDS },
	{ "a source not mapped is ENOENT", source_unmapped, NEEDS },
	{ "MOVE stops before a page that is there, then says EEXIST",
	  goal_exists, NEEDS },
	{ "MOVE needs a goal registered with this very descriptor",
	  not_the_owner, NEEDS },
	{ "MOVE from another process is EINVAL", other_process, NEEDS },
	{ "a page shared by a fork is EBUSY until it is written", forked,
	  NEEDS },
	{ "a pinned page is EBUSY", pinned, NEEDS },
	{ "MOVE resolves, empties its source, and wakes as it is told",
	  resolves, NEEDS },
	{ "what a registered source lost is missing, and can come back",
	  there_and_back, NEEDS },
	{ "the page of zeros moves", zero_page, NEEDS },
	{ "uffd_move_all goes over borders on both sides", split_sides,
	  NEEDS },
	{ "uffd_move_all stops at a hole in the source", stops_at_hole,
	  NEEDS },
	{ "a huge page moves whole", huge_whole, NEEDS },
	{ "a part of a huge page moves as small ones", huge_split, NEEDS },
};

MAIN(promises)
