/* SPDX-License-Identifier: MIT */
/*
 * The ranges of a tracker: taking memory in, and letting it go again.
 */
#include <string.h>

#include "../public.h"
#include "memory.h"
#include "track.h"

/* no page is larger on any processor */
#define PAGE_MOST (UINT64_C(16) << 30)

struct range *range_after(const struct uffd_track *t, uint64_t addr)
{
	unsigned low = 0, high = t->nr_ranges;

	while (low < high) {
		const unsigned mid = (low + high) / 2;

		if (t->ranges[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low < t->nr_ranges ? &t->ranges[low] : NULL;
}

struct range *range_at(const struct uffd_track *t, uint64_t addr)
{
	struct range *r = range_after(t, addr);

	return r && r->start <= addr ? r : NULL;
}

/* ---- what may be tracked ------------------------------------------------- */

/*
 * Does a look see this mapping? It passes over those that have no pages of the
 * kernel's (a device's), and registering them does not fail. A look for any
 * kind of page finds the first one of all others.
 */
static bool is_seen(const struct uffd_track *t, const struct mapping *m)
{
	struct uffd_page_region region;
	struct uffd_scan_arg arg = {
		.start = m->start,
		.end = m->start + t->page_size,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
	};

	return t->method == LIBUFFD_TRACK_SYNC || m->anonymous ||
	       uffd_pagemap_scan(t->pagemap, &arg) != 0;
}

bool is_hugetlb(const struct uffd_track *t, uint64_t start, uint64_t end)
{
	uint64_t ioctls = 0;

	/* registered already, so nothing happens; but hugetlb, and only that,
	 * has no ZEROPAGE */
	return uffd_register(t->fd, start, end - start,
			     UFFDIO_REGISTER_MODE_WP, &ioctls) == 0 &&
	       ioctls & 1ull << _UFFDIO_WRITEPROTECT &&
	       !(ioctls & 1ull << _UFFDIO_ZEROPAGE);
}

/*
 * The size of the pages of a mapping just registered: of hugetlb, the kernel
 * refuses what is not a multiple of it. (Asking others in the same way would
 * split transparent huge pages.) 0: none found.
 */
static uint64_t size_of(const struct uffd_track *t, uint64_t start,
			uint64_t end)
{
	uint64_t size = t->page_size;

	if (!is_hugetlb(t, start, end))
		return size;
	while (size <= end - start && size <= PAGE_MOST) {
		if (uffd_writeprotect(t->fd, start, size, 0) != -EINVAL)
			return size;
		size *= 2;
	}
	return 0;
}

/* Go through the mappings in a range: fn for each part of it. Returns the
 * bytes that are mapped, or -errno. */
static int64_t each_mapping(struct uffd_track *t, struct range *r,
			    int (*fn)(const struct uffd_track *t,
				      struct range *r,
				      const struct mapping *m))
{
	int64_t mapped = 0;
	struct mapping m;
	int n = maps_open(&t->maps, t->pid);

	if (n < 0)
		return n;
	while ((n = maps_next(&t->maps, &m)) == 1 && m.start < r->end) {
		if (m.end <= r->start)
			continue;
		m.start = max_u64(m.start, r->start);
		m.end = min_u64(m.end, r->end);
		mapped += (int64_t)(m.end - m.start);
		n = fn(t, r, &m);
		if (n < 0)
			break;
	}
	maps_close(&t->maps);
	return n < 0 ? n : mapped;
}

static int check_seen(const struct uffd_track *t, struct range *r,
		      const struct mapping *m)
{
	(void)r;
	return is_seen(t, m) ? 0 : -EOPNOTSUPP;
}

/* SYNC: the first mapping's is the range's. */
static int find_size(const struct uffd_track *t, struct range *r,
		     const struct mapping *m)
{
	const uint64_t size = size_of(t, m->start, m->end);

	if (m->start <= r->start)
		r->page_size = size;
	return size && size == r->page_size ? 0 : -EINVAL;
}

/* Whoever waits there goes on, also where nothing is mapped any more. */
static void unregister_range(const struct uffd_track *t, const struct range *r)
{
	const uint64_t len = r->end - r->start;

	if (uffd_unregister(t->fd, r->start, len) < 0)
		uffd_wake(t->fd, r->start, len);
}

int range_register(const struct uffd_track *t, const struct range *r)
{
	int ret = uffd_register(t->fd, r->start, r->end - r->start,
				UFFDIO_REGISTER_MODE_WP, NULL);

	if (ret == -EINVAL)
		return -EOPNOTSUPP;
	if (ret == -ENOMEM && t->pid && is_dead(t))
		return -ESRCH;
	if (ret == -ENOMEM) /* that may have been half of it */
		unregister_range(t, r);
	return ret;
}

static int find_sizes(struct uffd_track *t, struct range *r)
{
	int64_t ret = 0;

	r->page_size = t->page_size;
	r->huge = is_hugetlb(t, r->start, r->end);
	if (t->method == LIBUFFD_TRACK_SYNC)
		ret = each_mapping(t, r, find_size);
	return ret < 0 ? (int)ret : 0;
}

int range_heal(struct uffd_track *t, const struct range *r)
{
	struct range copy = *r;
	int64_t mapped = each_mapping(t, &copy, check_seen);

	return mapped <= 0 ? (int)mapped : range_register(t, r);
}

void range_disarm(struct uffd_track *t, struct range *r)
{
	unregister_range(t, r);
	held_forget(t, r);
}

/* ---- the table ------------------------------------------------------------- */

static size_t table_bytes(unsigned cap)
{
	return cap * sizeof(struct range);
}

static int make_room(struct uffd_track *t)
{
	const unsigned cap = t->cap_ranges ? 2 * t->cap_ranges : 64;
	struct range *table;

	if (t->nr_ranges < t->cap_ranges)
		return 0;
	table = memory_map(table_bytes(cap));
	if (!table)
		return -ENOMEM;
	if (t->nr_ranges)
		memcpy(table, t->ranges, table_bytes(t->nr_ranges));
	memory_unmap(t->ranges, table_bytes(t->cap_ranges));
	t->ranges = table;
	t->cap_ranges = cap;
	return 0;
}

static int insert(struct uffd_track *t, const struct range *r)
{
	struct range *after;
	size_t nr_behind;
	int ret;

	pthread_mutex_lock(&t->lock);
	ret = make_room(t);
	if (ret == 0) {
		after = range_after(t, r->start);
		if (!after)
			after = t->ranges + t->nr_ranges;
		nr_behind = (size_t)(t->ranges + t->nr_ranges - after);
		memmove(after + 1, after, nr_behind * sizeof(*after));
		*after = *r;
		t->nr_ranges++;
	}
	pthread_mutex_unlock(&t->lock);
	return ret;
}

/* Take a range out of the table and let its memory go. */
static void take_out(struct uffd_track *t, struct range *r)
{
	const size_t nr_behind = (size_t)(t->ranges + t->nr_ranges - r - 1);

	pthread_mutex_lock(&t->lock);
	unregister_range(t, r);
	held_free(t, r);
	memmove(r, r + 1, nr_behind * sizeof(*r));
	t->nr_ranges--;
	pthread_mutex_unlock(&t->lock);
}

/* In a child process the descriptor reaches into the parent's memory, and the
 * lock may be held by a thread that is not there. */
void ranges_free(struct uffd_track *t)
{
	for (unsigned i = 0; i < t->nr_ranges; i++) {
		if (t->owner == getpid())
			unregister_range(t, &t->ranges[i]);
		held_free(t, &t->ranges[i]);
	}
	memory_unmap(t->ranges, table_bytes(t->cap_ranges));
}

/* ---- what users call --------------------------------------------------------- */

/* SYNC: the thread would wait for itself. */
static bool is_our_own(const struct uffd_track *t, const struct range *r)
{
	const uint64_t start = (uintptr_t)t;

	return t->method == LIBUFFD_TRACK_SYNC && !t->pid &&
	       start < r->end && r->start < start + t->bytes;
}

static int check_range(struct uffd_track *t, struct range *r)
{
	const struct range *after = range_after(t, r->start);
	int64_t mapped;

	if (after && after->start < r->end)
		return -EEXIST;
	if (is_our_own(t, r))
		return -EDEADLK;
	if (t->pid && is_dead(t))
		return -ESRCH;
	mapped = each_mapping(t, r, check_seen);
	if (mapped < 0)
		return (int)mapped;
	return (uint64_t)mapped == r->end - r->start ? 0 : -EFAULT;
}

/* It is in the table before it is armed: the thread must know it by the time
 * that the first write is caught. */
static int take_in(struct uffd_track *t, struct range *r)
{
	int ret = find_sizes(t, r);

	if (ret == 0)
		ret = held_new(t, r);
	if (ret == 0)
		ret = insert(t, r);
	if (ret < 0) {
		held_free(t, r);
		unregister_range(t, r);
		return ret;
	}
	if (t->epoch)
		ret = range_arm(t, r);
	if (ret < 0)
		take_out(t, range_at(t, r->start));
	return ret;
}

static int add(struct uffd_track *t, struct range *r)
{
	int ret = check_range(t, r);

	if (ret == 0)
		ret = range_register(t, r);
	return ret < 0 ? ret : take_in(t, r);
}

PUBLIC int uffd_track_add(struct uffd_track *t, uint64_t start, uint64_t len)
{
	struct range r = { .start = start, .end = start + len };
	int ret = may_call(t);

	if (ret < 0)
		return ret;
	if (!len || (start | len) % t->page_size || r.end < start)
		return -EINVAL;
	pthread_mutex_lock(&t->api);
	ret = add(t, &r);
	pthread_mutex_unlock(&t->api);
	return ret;
}

PUBLIC int uffd_track_remove(struct uffd_track *t, uint64_t start)
{
	struct range *r;
	int ret = may_call(t);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&t->api);
	r = range_at(t, start);
	if (r && r->start == start)
		take_out(t, r);
	else
		ret = -ENOENT;
	pthread_mutex_unlock(&t->api);
	return ret;
}
