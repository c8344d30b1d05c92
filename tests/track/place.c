/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "place.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

#define SMALL 4096ul
#define HUGE (2ul << 20)
/* two places of hugetlb at a time, shared ones allocated as well */
#define HUGE_PAGES (3 * PAGES)

const char *kind_name(enum kind kind)
{
	static const char *const names[] = {
		[PRIVATE] = "private",
		[PRIVATE_THP] = "private with THP",
		[SHARED] = "shared",
		[MEMFD] = "memfd",
		[MEMFD_PRIVATE] = "memfd, private",
		[HUGE_PRIVATE] = "hugetlb, private",
		[HUGE_SHARED] = "hugetlb",
		[DISK] = "file",
		[DISK_PRIVATE] = "file, private",
	};

	return names[kind];
}

const char *method_name(enum uffd_track_method method)
{
	return method == LIBUFFD_TRACK_ASYNC ? "async" : "sync";
}

enum uffd_track_method first_method(void)
{
	uint64_t features = 0;

	uffd_features(&features);
	return features & UFFD_FEATURE_WP_ASYNC ? LIBUFFD_TRACK_ASYNC :
						  LIBUFFD_TRACK_SYNC;
}

bool child_may_write_huge(void)
{
	uint64_t features = 0;

	uffd_features(&features);
	return features & UFFD_FEATURE_WP_UNPOPULATED; /* came with 6.4, too */
}

bool huge_holes_show(void)
{
	return first_method() == LIBUFFD_TRACK_ASYNC;
}

bool is_anonymous(enum kind kind)
{
	return kind == PRIVATE || kind == PRIVATE_THP;
}

bool is_huge(enum kind kind)
{
	return kind == HUGE_PRIVATE || kind == HUGE_SHARED;
}

bool has_file(enum kind kind)
{
	return kind != PRIVATE && kind != PRIVATE_THP && kind != SHARED;
}

bool is_private(enum kind kind)
{
	return is_anonymous(kind) || kind == MEMFD_PRIVATE ||
	       kind == HUGE_PRIVATE || kind == DISK_PRIVATE;
}

static int open_disk(const char **why)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };

	for (unsigned i = 0; i < NR(dirs); i++) {
		int fd = dirs[i] ? open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC,
					0600) :
				   -1;

		if (fd >= 0)
			return fd;
	}
	*why = "no directory for a temporary file";
	return -1;
}

static int open_file(struct place *p)
{
	if (p->kind == DISK || p->kind == DISK_PRIVATE)
		return open_disk(&p->why);
	return memfd_create("libuffd-test",
			    MFD_CLOEXEC |
				    (is_huge(p->kind) ? MFD_HUGETLB : 0u));
}

/* THP wants its 2 MiB aligned; so all do */
static char *map(struct place *p)
{
	const int flags = (is_private(p->kind) ? MAP_PRIVATE : MAP_SHARED) |
			  (p->fd < 0 ? MAP_ANONYMOUS : 0);
	char *room = mmap(NULL, p->len + HUGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *want = (char *)(((uintptr_t)room + HUGE - 1) & -HUGE);

	munmap(room, p->len + HUGE);
	return mmap(want, p->len, PROT_READ | PROT_WRITE, flags, p->fd, 0);
}

bool place_open(struct place *p, enum kind kind)
{
	return place_open_nr(p, kind, PAGES);
}

bool place_open_nr(struct place *p, enum kind kind, unsigned nr)
{
	*p = (struct place){ .kind = kind, .fd = -1 };
	p->page = is_huge(kind) ? HUGE : SMALL;
	p->len = nr * p->page;
	if (has_file(kind)) {
		p->fd = open_file(p);
		if (p->fd < 0 || ftruncate(p->fd, (off_t)p->len) < 0) {
			p->why = p->why ? p->why : "no such file can be made";
			return false;
		}
	}
	p->m = map(p);
	if (p->m == MAP_FAILED) {
		p->why = is_huge(kind) ? "no free huge pages" : "no memory";
		close(p->fd);
		return false;
	}
	madvise(p->m, p->len,
		kind == PRIVATE_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return true;
}

void place_close(struct place *p)
{
	munmap(p->m, p->len);
	if (p->fd >= 0)
		close(p->fd);
}

char *place_alias(const struct place *p)
{
	char *m = p->fd < 0 ? MAP_FAILED :
			      mmap(NULL, p->len, PROT_READ | PROT_WRITE,
				   MAP_SHARED, p->fd, 0);

	return m == MAP_FAILED ? NULL : m;
}

void poke(const struct place *p, unsigned page)
{
	volatile char *c = at(p, page) + page % 512 * 7;

	*c = (char)(*c + 1);
}

void peek(const struct place *p, unsigned page)
{
	(void)*(volatile char *)(at(p, page) + page % 512 * 7);
}

void poke_all(const struct place *p)
{
	for (unsigned i = 0; i < PAGES; i++)
		poke(p, i);
}

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static void huge_add(long pages)
{
	FILE *pool = fopen(POOL, "r+");
	long now;

	if (!pool)
		return;
	flock(fileno(pool), LOCK_EX); /* other tests do the same */
	if (fscanf(pool, "%ld", &now) == 1) {
		rewind(pool);
		fprintf(pool, "%ld\n", now + pages);
	}
	fclose(pool);
}

void huge_begin(void)
{
	huge_add(HUGE_PAGES);
}

void huge_end(void)
{
	huge_add(-HUGE_PAGES);
}
