/* SPDX-License-Identifier: MIT */
/*
 * The memory whose pages are touched, and the pages to copy from.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scene.h"

/* memfd_create: the page size as a power of two lies this high */
#define HUGE_SHIFT 26

static bool is_memfd(enum uffd_memory memory)
{
	return memory != LIBUFFD_MEM_PRIVATE && memory != LIBUFFD_MEM_SHARED;
}

static bool is_private(enum uffd_memory memory)
{
	return memory == LIBUFFD_MEM_PRIVATE ||
	       memory == LIBUFFD_MEM_MEMFD_PRIVATE;
}

static int open_memfd(enum uffd_memory memory, uint64_t page_size, uint64_t len)
{
	unsigned flags = MFD_CLOEXEC;
	int fd;

	if (bench_is_huge(memory))
		flags |= MFD_HUGETLB |
			 (unsigned)__builtin_ctzll(page_size) << HUGE_SHIFT;
	fd = memfd_create("uffd-bench", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int bench_area_open(struct bench_area *a, enum uffd_memory memory, uint64_t nr,
		    uint64_t page_size)
{
	int flags = is_private(memory) ? MAP_PRIVATE : MAP_SHARED;

	*a = (struct bench_area){ .nr = nr, .page_size = page_size,
				  .len = nr * page_size, .memfd = -1 };
	if (is_memfd(memory)) {
		a->memfd = open_memfd(memory, page_size, a->len);
		if (a->memfd < 0)
			return a->memfd;
	} else {
		flags |= MAP_ANONYMOUS;
	}
	/* Huge pages are reserved: without, an empty pool kills by SIGBUS. */
	if (!bench_is_huge(memory))
		flags |= MAP_NORESERVE;
	a->start = mmap(NULL, a->len, PROT_READ | PROT_WRITE, flags, a->memfd,
			0);
	if (a->start == MAP_FAILED) {
		int err = -errno;

		a->start = NULL;
		bench_area_close(a);
		return err;
	}
	/* The kernel alone would give 2 MiB for the first touch of it, and the
	 * other 511 would cost nothing. Fails on hugetlb, where it is moot. */
	madvise(a->start, a->len, MADV_NOHUGEPAGE);
	return 0;
}

void bench_area_close(struct bench_area *a)
{
	if (a->start)
		munmap(a->start, a->len);
	if (a->memfd >= 0)
		close(a->memfd);
	a->start = NULL;
	a->memfd = -1;
}

static void stamp_all(const struct bench_area *a, char *at, uint64_t key)
{
	for (uint64_t i = 0; i < a->nr; i++)
		bench_stamp(at + i * a->page_size, a->page_size,
			    bench_mark(key, i));
}

/* Into the file, behind the mapping's back. */
static int fill_file(const struct bench_area *a, uint64_t key)
{
	char *alias = mmap(NULL, a->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			   a->memfd, 0);

	if (alias == MAP_FAILED)
		return -errno;
	stamp_all(a, alias, key);
	munmap(alias, a->len);
	return 0;
}

int bench_area_fill(const struct bench_area *a, enum bench_fault fault,
		    uint64_t key)
{
	if (fault == BENCH_MISSING)
		return 0;
	if (fault == BENCH_MINOR && a->memfd >= 0)
		return fill_file(a, key);
	stamp_all(a, a->start, key);
	if (fault == BENCH_MINOR)
		return uffd_drop((uintptr_t)a->start, a->len);
	return 0;
}

/* ---- pages to copy from -------------------------------------------------- */

int bench_sources_open(struct bench_sources *s, unsigned nr, unsigned pages,
		       uint64_t page_size)
{
	*s = (struct bench_sources){ .nr = nr, .pages = pages,
				     .page_size = page_size };
	if (nr == 0)
		return 0;
	s->slots = calloc(nr, sizeof(*s->slots));
	if (!s->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < nr; i++) {
		char *at = mmap(NULL, pages * page_size,
				PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED) {
			bench_sources_close(s);
			return -ENOMEM;
		}
		s->slots[i].pages = at;
		/* Resident: nobody may fault while he resolves a fault. */
		memset(at, 0xa5, pages * page_size);
	}
	return 0;
}

void bench_sources_close(struct bench_sources *s)
{
	for (unsigned i = 0; s->slots && i < s->nr; i++)
		if (s->slots[i].pages)
			munmap(s->slots[i].pages, s->pages * s->page_size);
	free(s->slots);
	s->slots = NULL;
}

char *bench_source(struct bench_sources *s)
{
	void *me = __builtin_thread_pointer();

	for (unsigned i = 0; i < s->nr; i++) {
		void *owner = NULL;

		if (atomic_load(&s->slots[i].owner) == me ||
		    atomic_compare_exchange_strong(&s->slots[i].owner, &owner,
						   me))
			return s->slots[i].pages;
	}
	return NULL;
}
