/* SPDX-License-Identifier: MIT */
/*
 * Reading /proc/PID/pagemap itself: one page, or a range where the kernel has
 * no PAGEMAP_SCAN (before 6.7).
 */
#include "memory.h"
#include "track.h"

#define PM_UFFD_WP (UINT64_C(1) << 57)
#define PM_SWAP (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

/* addresses given to process_vm_readv at a time */
#define POPULATE 64

bool is_dead(const struct uffd_track *t)
{
	uint64_t entry;

	/* the end of the file, at any address, once its memory is gone */
	return sys_pread(t->pagemap, &entry, sizeof(entry), 0) == 0;
}

static uint64_t entry_at(int pagemap, uint64_t page_size, uint64_t addr)
{
	uint64_t entry;
	ssize_t n = sys_pread(pagemap, &entry, sizeof(entry),
			      addr / page_size * sizeof(entry));

	return n == sizeof(entry) ? entry : 0;
}

bool pagemap_protected(int pagemap, uint64_t page_size, uint64_t addr)
{
	return entry_at(pagemap, page_size, addr) & PM_UFFD_WP;
}

/* The marker of a hole does not show on hugetlb before 6.7: a hole that has
 * made a write wait is protected. */
bool pagemap_open(const struct uffd_track *t, uint64_t addr)
{
	const uint64_t entry = entry_at(t->pagemap, t->page_size, addr);

	return entry & (PM_PRESENT | PM_SWAP) && !(entry & PM_UFFD_WP);
}

/* The part of a range that lies in one mapping, from `from` on, into
 * look.piece; empty when there is none. */
static int find_piece(struct uffd_track *t, const struct range *r,
		      uint64_t from)
{
	struct mapping *piece = &t->look.piece;
	int n;

	if (from >= piece->start && from < piece->end)
		return 0;
	n = maps_find(&t->maps, t->pid, from, piece);
	if (n < 0)
		return n;
	if (n == 0 || piece->start >= r->end)
		*piece = (struct mapping){ .start = r->end, .end = r->end };
	return 0;
}

static void found(struct look *look, uint64_t start, uint64_t end)
{
	if (look->nr && look->vec[look->nr - 1].end == start)
		look->vec[look->nr - 1].end = end;
	else
		look->vec[look->nr++] =
			(struct uffd_page_region){ .start = start, .end = end };
}

/*
 * Holes count as written, being what a discard leaves; but not those that can
 * be armed without showing it (hugetlb), or can't be armed at all (private
 * memory that nobody can read, where the zero page can't be mapped): they
 * would be found again and again.
 */
static bool is_written(const struct uffd_track *t, const struct range *r,
		       uint64_t entry)
{
	if (entry & PM_UFFD_WP)
		return false;
	if (entry & (PM_PRESENT | PM_SWAP))
		return true;
	return r->page_size == t->page_size &&
	       (t->marks_holes || t->look.piece.readable);
}

/* Read entries from `at` on, and pick out the pages without protection. */
static int find_in(struct uffd_track *t, const struct range *r, uint64_t at,
		   uint64_t end)
{
	const uint64_t size = t->page_size;
	const uint64_t nr = min_u64((end - at) / size, ENTRIES);
	const ssize_t n = sys_pread(t->pagemap, t->look.entries, nr * 8,
				    at / size * 8);

	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	for (size_t i = 0; i < (size_t)n / 8; i++, at += size) {
		if (t->look.nr == VEC_SYNC)
			break;
		if (is_written(t, r, t->look.entries[i]))
			found(&t->look, at, at + size);
	}
	t->look.at = at;
	return 0;
}

int pagemap_find(struct uffd_track *t, const struct range *r, uint64_t from)
{
	int ret = find_piece(t, r, from);

	if (ret < 0)
		return ret;
	from = max_u64(from, t->look.piece.start);
	if (from >= r->end) {
		t->look.at = r->end;
		return 0;
	}
	return find_in(t, r, from, min_u64(t->look.piece.end, r->end));
}

/* A hole becomes the zero page. Pages that can't be read can't be written to
 * either, and are passed over. */
void pagemap_touch(const struct uffd_track *t, uint64_t start, uint64_t end)
{
	char bytes[POPULATE];
	struct iovec to = { .iov_base = bytes };
	struct iovec from[POPULATE];

	while (start < end) {
		unsigned nr = 0;
		ssize_t n;

		for (uint64_t at = start; at < end && nr < POPULATE;
		     at += t->page_size)
			from[nr++] = (struct iovec){
				.iov_base = (void *)(uintptr_t)at,
				.iov_len = 1,
			};
		to.iov_len = nr;
		n = sys_process_vm_readv(t->pid ? t->pid : t->owner, &to, from,
					 nr);
		start += (uint64_t)(n > 0 ? n : 1) * t->page_size;
	}
}

void pagemap_fill_holes(const struct uffd_track *t, uint64_t start,
			uint64_t end)
{
	if (!t->marks_holes && t->look.piece.anonymous)
		pagemap_touch(t, start, end);
}

int pagemap_populate(struct uffd_track *t, uint64_t start, uint64_t end)
{
	struct mapping m;
	int n;

	if (t->marks_holes)
		return 0;
	n = maps_open(&t->maps, t->pid);
	if (n < 0)
		return n;
	while ((n = maps_next(&t->maps, &m)) == 1 && m.start < end)
		if (m.anonymous && m.end > start)
			pagemap_touch(t, max_u64(m.start, start),
				      min_u64(m.end, end));
	maps_close(&t->maps);
	return n < 0 ? n : 0;
}
