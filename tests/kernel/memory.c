/* SPDX-License-Identifier: MIT */
/*
 * Kinds of memory, and looking at it.
 */
#include <linux/magic.h>
#include <sys/vfs.h>

#include "fixture.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#define MFD_2M (21u << 26)
#define HUGE_PAGE (UINT64_C(2) << 20)

static const struct memory kinds[NR_MEMORY] = {
	{ "private", ANON },
	{ "shared", SHARED },
	{ "memfd", MEMFD },
	{ "memfd-private", MEMFD_PRIVATE },
	{ "hugetlb", HUGE },
	{ "hugetlb-private", HUGE_PRIVATE },
};

const struct memory *memory_kind(unsigned n)
{
	return n < NR_MEMORY ? &kinds[n] : NULL;
}

/* the file behind an area, or -1 */
static int open_file(const struct area *a)
{
	unsigned flags = a->is & HUGETLB ? MFD_HUGETLB | MFD_2M : 0;
	int fd;

	if (!(a->is & WITH_FILE))
		return -1;
	fd = memfd_create("area", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	if (fd < 0 && (a->is & HUGETLB))
		skip("no huge pages of 2 MiB in this kernel");
	CHECK(fd >= 0);
	CHECK(ftruncate(fd, (off_t)a->len) == 0);
	return fd;
}

struct area map_area(const struct memory *m, unsigned nr)
{
	struct area a = { .is = m->is };
	int flags = a.is & TO_ALL ? MAP_SHARED : MAP_PRIVATE;
	void *p;

	a.page = a.is & HUGETLB ? HUGE_PAGE : (uint64_t)getpagesize();
	a.len = nr * a.page;
	a.fd = open_file(&a);
	if (a.fd < 0)
		flags |= MAP_ANONYMOUS;
	p = mmap(NULL, a.len, PROT_READ | PROT_WRITE, flags, a.fd, 0);
	if (p == MAP_FAILED && (a.is & HUGETLB))
		skip("%u huge pages are not free", nr);
	CHECK(p != MAP_FAILED);
	/* a small page is never part of a huge one by chance */
	if (!(a.is & HUGETLB))
		madvise(p, a.len, MADV_NOHUGEPAGE);
	a.p = p;
	a.at = (uintptr_t)p;
	return a;
}

char *map_alias(const struct area *a)
{
	void *p;

	if (a->fd >= 0)
		p = mmap(NULL, a->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			 a->fd, 0);
	else /* an old length of 0 asks for a second mapping */
		p = mremap(a->p, 0, a->len, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	return p;
}

char *map_anon(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

char *bytes_of(char c, size_t nr)
{
	char *p = map_anon(nr);

	memset(p, c, nr);
	return p;
}

char *place_for(const struct area *a)
{
	char *p = mmap(NULL, a->len + a->page, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p + (a->page - (uintptr_t)p % a->page) % a->page;
}

void need_regular(int file)
{
	struct statfs fs;

	CHECK(fstatfs(file, &fs) == 0);
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		skip("no file system on a disk here");
}

bool all_are(const char *p, char c, size_t len)
{
	return p[0] == c && memcmp(p, p + 1, len - 1) == 0;
}

bool pagemap_bit(const void *p, unsigned bit)
{
	const uint64_t page = (uintptr_t)p / (uint64_t)getpagesize();
	uint64_t entry = 0;
	int fd = uffd_pagemap_open(0);

	CHECK(fd >= 0);
	SAME(pread(fd, &entry, sizeof(entry), (off_t)(page * sizeof(entry))),
	     sizeof(entry));
	close(fd);
	return entry >> bit & 1;
}
