/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing an arena, and bringing its pages into a state.
 */
#include "ops-arena.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uffd/kernel.h>

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#define HUGE_PAGE (UINT64_C(2) << 20)
#define HUGE_2M (21u << MAP_HUGE_SHIFT)

/* Scattered pages: small ones lie in eight page tables, huge ones have a
 * hole between them. */
#define STRIDE_SMALL 8u
#define STRIDE_HUGE 2u

uint64_t ops_page_size(enum ops_memory memory)
{
	return memory == OPS_HUGETLB_2M ? HUGE_PAGE : (uint64_t)getpagesize();
}

static uint64_t round_up(uint64_t n)
{
	return (n + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

/* Map len bytes on a border of 2 MiB; addresses are set aside by whole huge
 * pages, and unmap() gives back as many. */
static int map(uint64_t len, int prot, int flags, int fd, uint64_t *ret)
{
	const uint64_t room = round_up(len) + HUGE_PAGE;
	uint64_t at, begin;
	void *p;

	p = mmap(NULL, room, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	at = (uintptr_t)p;
	begin = round_up(at);
	if (begin > at)
		munmap(p, begin - at);
	munmap((void *)(uintptr_t)(begin + round_up(len)),
	       at + room - begin - round_up(len));
	p = mmap((void *)(uintptr_t)begin, len, prot, flags | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED) {
		int err = -errno;

		munmap((void *)(uintptr_t)begin, round_up(len));
		return err;
	}
	*ret = begin;
	return 0;
}

static void unmap(uint64_t at, uint64_t len)
{
	if (at)
		munmap((void *)(uintptr_t)at, round_up(len));
}

static int advise(uint64_t at, uint64_t len, int advice)
{
	/* a kernel without transparent huge pages needs no advice on them */
	if (madvise((void *)(uintptr_t)at, len, advice) < 0 && errno != EINVAL)
		return -errno;
	return 0;
}

/* Memory of ours whose pages are small, or huge, but never as it comes. */
static int map_private(uint64_t len, bool huge, uint64_t *ret)
{
	int err = map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, ret);

	if (err == 0)
		err = advise(*ret, len,
			     huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return err;
}

static int map_file(const struct ops_arena *a, int flags, uint64_t *ret)
{
	int err = map(a->len, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		      a->memfd, ret);

	if (err == 0 && a->shape.memory != OPS_HUGETLB_2M)
		err = advise(*ret, a->len, MADV_NOHUGEPAGE);
	return err;
}

static int open_file(struct ops_arena *a)
{
	unsigned flags = MFD_CLOEXEC;

	if (a->shape.memory == OPS_HUGETLB_2M)
		flags |= MFD_HUGETLB | HUGE_2M;
	a->memfd = memfd_create("uffd-bench-ops", flags);
	if (a->memfd < 0 || ftruncate(a->memfd, (off_t)a->len) < 0)
		return -errno;
	/* half of a scattered region stays empty: reserve nothing for it */
	return map_file(a, a->shape.scattered ? MAP_NORESERVE : 0, &a->region);
}

static int open_region(struct ops_arena *a)
{
	switch (a->shape.memory) {
	case OPS_PRIVATE:
		return map_private(a->len, false, &a->region);
	case OPS_THP:
		return map_private(a->len, true, &a->region);
	default:
		return open_file(a);
	}
}

static int open_rest(struct ops_arena *a)
{
	bool huge = a->shape.memory == OPS_THP ||
		    a->shape.memory == OPS_HUGETLB_2M;
	int err = map_private(a->nr * a->page, huge, &a->source);

	if (err == 0)
		err = map(a->len, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			  &a->place);
	if (err < 0)
		return err;
	a->ranges = calloc(a->nr, sizeof(a->ranges[0]));
	if (!a->ranges)
		return -ENOMEM;
	for (unsigned i = 0; i < a->nr; i++) {
		a->ranges[i].iov_base = (void *)(uintptr_t)ops_page_at(a, i);
		a->ranges[i].iov_len = a->page;
	}
	a->pagemap = uffd_pagemap_open(0);
	return a->pagemap < 0 ? a->pagemap : 0;
}

/*
 * SIGBUS, where it can be had: nobody here answers faults, so an access gone
 * wrong had better end the program than wait for ever.
 */
static int open_uffd(struct ops_arena *a)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = a->shape.features,
		.want = UFFD_FEATURE_SIGBUS,
	};

	a->uffd = uffd_open(&opts, NULL);
	if (a->uffd < 0 || !a->shape.modes)
		return a->uffd < 0 ? a->uffd : 0;
	return uffd_register(a->uffd, a->region, a->len, a->shape.modes, NULL);
}

static unsigned stride_of(const struct ops_shape *shape)
{
	if (!shape->scattered)
		return 1;
	return shape->memory == OPS_HUGETLB_2M ? STRIDE_HUGE : STRIDE_SMALL;
}

int ops_arena_open(struct ops_arena *a, const struct ops_shape *shape)
{
	int err;

	*a = (struct ops_arena){
		.shape = *shape,
		.page = ops_page_size(shape->memory),
		.nr = shape->per_call * shape->calls,
		.stride = stride_of(shape),
		.uffd = -1,
		.memfd = -1,
		.pagemap = -1,
	};
	a->len = a->nr * a->stride * a->page;
	err = open_region(a);
	if (err == 0)
		err = open_rest(a);
	if (err == 0)
		err = open_uffd(a);
	if (err < 0)
		ops_arena_close(a);
	return err;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void ops_arena_close(struct ops_arena *a)
{
	close_fd(a->uffd);
	close_fd(a->pagemap);
	unmap(a->region, a->len);
	unmap(a->place, a->len);
	unmap(a->source, a->nr * a->page);
	close_fd(a->memfd);
	free(a->ranges);
}

int ops_arena_empty(struct ops_arena *a)
{
	int err;

	if (a->memfd >= 0)
		return uffd_punch(a->memfd, 0, a->len);
	err = uffd_drop(a->region, a->len);
	return err < 0 ? err : uffd_drop(a->place, a->len);
}
