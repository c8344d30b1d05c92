/* SPDX-License-Identifier: MIT */
/*
 * Writing the pages of an arena, and looking at what became of them.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uffd/kernel.h>

#include "ops-arena.h"

/* bits of /proc/PID/pagemap */
#define PM_UFFD_WP (UINT64_C(1) << 57)
#define PM_SWAP (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

#define HUGE_PAGE (UINT64_C(2) << 20)

static uint64_t stamp_of(const struct ops_arena *a, unsigned i)
{
	return (a->pass << 32 | (i + 1)) * UINT64_C(0x9e3779b97f4a7c15);
}

static volatile uint64_t *first_word(uint64_t page)
{
	return (volatile uint64_t *)(uintptr_t)page;
}

static volatile uint64_t *last_word(const struct ops_arena *a, uint64_t page)
{
	return (volatile uint64_t *)(uintptr_t)(page + a->page) - 1;
}

static void stamp(const struct ops_arena *a, uint64_t page, unsigned i)
{
	*first_word(page) = stamp_of(a, i);
	*last_word(a, page) = stamp_of(a, i);
}

/*
 * Is all of it in huge pages? The mask is asked for every page, so one region
 * that ends early tells of a small one.
 */
static int all_huge(const struct ops_arena *a, uint64_t start)
{
	const uint64_t end = start + a->nr * a->page;
	struct uffd_page_region vec[8];
	struct uffd_scan scan;
	uint64_t huge = 0;
	int ret;

	uffd_scan_begin(&scan, a->pagemap, start, end, PAGE_IS_HUGE, 0, vec, 8);
	while ((ret = uffd_scan_next(&scan)) == 1)
		for (unsigned i = 0; i < scan.nr; i++)
			huge += vec[i].end - vec[i].start;
	if (ret < 0)
		return ret;
	return huge == end - start ? 0 : -ENOMEM;
}

/* small pages of a source of huge ones: all must be there, and differ */
static void touch_all(uint64_t at, uint64_t len)
{
	for (uint64_t off = 0; off < len; off += (uint64_t)getpagesize())
		*first_word(at + off) = off;
}

int ops_arena_stamp_source(struct ops_arena *a)
{
	if (a->shape.memory == OPS_HUGETLB_2M && a->pass == 1)
		touch_all(a->source, a->nr * a->page);
	for (unsigned i = 0; i < a->nr; i++)
		stamp(a, a->source + i * a->page, i);
	return a->shape.memory == OPS_THP ? all_huge(a, a->source) : 0;
}

static int64_t fill_one(const struct ops_arena *a, unsigned i)
{
	return uffd_copy(a->uffd, ops_page_at(a, i),
			 (const void *)(uintptr_t)(a->source + i * a->page),
			 a->page, 0);
}

/* A page that misses is never given as a huge one, but may be moved in. */
static int64_t fill_huge(const struct ops_arena *a, uint64_t off)
{
	return uffd_move(a->uffd, a->region + off, a->source + off, HUGE_PAGE,
			 0);
}

static int whole(int64_t n, uint64_t len)
{
	if (n < 0)
		return (int)n;
	return (uint64_t)n == len ? 0 : -EAGAIN;
}

int ops_arena_fill(struct ops_arena *a)
{
	int err = ops_arena_stamp_source(a);

	if (a->shape.memory == OPS_THP) {
		for (uint64_t off = 0; off < a->len && err == 0;
		     off += HUGE_PAGE)
			err = whole(fill_huge(a, off), HUGE_PAGE);
		return err < 0 ? err : all_huge(a, a->region);
	}
	for (unsigned i = 0; i < a->nr && err == 0; i++)
		err = whole(fill_one(a, i), a->page);
	return err;
}

int ops_arena_stamp(struct ops_arena *a)
{
	for (unsigned i = 0; i < a->nr; i++)
		stamp(a, ops_page_at(a, i), i);
	return a->shape.memory == OPS_THP ? all_huge(a, a->region) : 0;
}

int ops_arena_cache(struct ops_arena *a)
{
	void *alias = mmap(NULL, a->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			   a->memfd, 0);

	if (alias == MAP_FAILED)
		return -errno;
	/* refused on hugetlb, where it is not needed */
	madvise(alias, a->len, MADV_NOHUGEPAGE);
	for (unsigned i = 0; i < a->nr; i++)
		stamp(a, (uintptr_t)alias + i * a->stride * a->page, i);
	munmap(alias, a->len);
	return uffd_drop(a->region, a->len);
}

/* ---- looking ------------------------------------------------------------- */

static int bits_of(const struct ops_arena *a, uint64_t addr, uint64_t *ret)
{
	const uint64_t number = addr / (uint64_t)getpagesize();
	ssize_t n = pread(a->pagemap, ret, sizeof(*ret),
			  (off_t)(number * sizeof(*ret)));

	if (n < 0)
		return -errno;
	return n == sizeof(*ret) ? 0 : -EIO;
}

/* 1 it is there, 0 it is not, or -errno. Only a page that is may be read. */
static int is_there(const struct ops_arena *a, uint64_t page)
{
	uint64_t bits;
	int err = bits_of(a, page, &bits);

	return err < 0 ? err : (bits & (PM_PRESENT | PM_SWAP)) != 0;
}

static int holds(const struct ops_arena *a, uint64_t page, uint64_t word)
{
	int there = is_there(a, page);

	if (there < 0)
		return there;
	if (!there || *first_word(page) != word || *last_word(a, page) != word)
		return -EBADMSG;
	return 0;
}

int ops_arena_holds(const struct ops_arena *a)
{
	int err = 0;

	for (unsigned i = 0; i < a->nr && err == 0; i++)
		err = holds(a, ops_page_at(a, i), stamp_of(a, i));
	return err;
}

int ops_arena_holds_protected(const struct ops_arena *a)
{
	uint64_t bits;
	int err = ops_arena_holds(a);

	for (unsigned i = 0; i < a->nr && err == 0; i++) {
		err = bits_of(a, ops_page_at(a, i), &bits);
		if (err == 0 && !(bits & PM_UFFD_WP))
			err = -EBADMSG;
	}
	return err;
}

int ops_arena_holds_zeros(const struct ops_arena *a)
{
	int err = 0;

	for (unsigned i = 0; i < a->nr && err == 0; i++)
		err = holds(a, ops_page_at(a, i), 0);
	return err;
}

int ops_arena_is_gone(const struct ops_arena *a)
{
	for (unsigned i = 0; i < a->nr; i++) {
		int there = is_there(a, ops_page_at(a, i));

		if (there)
			return there < 0 ? there : -EBADMSG;
	}
	return 0;
}

int ops_arena_is_lifted(const struct ops_arena *a)
{
	int err = ops_arena_is_gone(a);

	for (unsigned i = 0; i < a->nr && err == 0; i++)
		err = holds(a, ops_page_at(a, i) - a->region + a->place,
			    stamp_of(a, i));
	return err;
}

int ops_arena_is_punched(const struct ops_arena *a)
{
	struct stat st;

	if (fstat(a->memfd, &st) < 0)
		return -errno;
	return st.st_blocks == 0 ? 0 : -EBADMSG;
}
