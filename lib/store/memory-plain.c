/* SPDX-License-Identifier: MIT */
/*
 * Pages as they are, each at its place in one large mapping. What a page is:
 *
 *	EMPTY  reads as zeros; the kernel has no memory for it
 *	DATA   what was written
 *	STALE  reads as zeros; memory of its former bytes is still there
 *
 * Giving memory back interrupts every processor that runs this process, so it
 * is done for many pages: when half of a chunk is stale, or by long discards.
 * A page changes what it is under its chunk's lock; bytes of a page with data
 * are copied without.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../lock.h"
#include "memory.h"
#include "span.h"
#include "zeros.h"

enum { EMPTY, DATA, STALE };

#define CHUNK 512u		/* pages */
#define NR_LOCKS 64u

struct plain {
	char *bytes;
	size_t bytes_len;
	_Atomic uint8_t *what;		/* of each page */
	_Atomic uint16_t *stale;	/* how many, of each chunk */
	uint64_t nr_pages;
	_Atomic uint64_t nr_data;
	_Atomic uint64_t nr_stale;
	struct {
		_Alignas(64) struct lock lock;
	} locks[NR_LOCKS];
};

static uint64_t nr_chunks(const struct plain *p)
{
	return (p->nr_pages + CHUNK - 1) / CHUNK;
}

static struct lock *lock_of(struct plain *p, uint64_t page)
{
	return &p->locks[page / CHUNK % NR_LOCKS].lock;
}

static uint8_t what_is(const struct plain *p, uint64_t page)
{
	return atomic_load_explicit(&p->what[page], memory_order_acquire);
}

/* the chunk's lock is held */
static void becomes(struct plain *p, uint64_t page, uint8_t what)
{
	uint8_t was = what_is(p, page);

	atomic_fetch_add(&p->nr_data, (uint64_t)((what == DATA) -
						 (was == DATA)));
	atomic_fetch_add(&p->nr_stale, (uint64_t)((what == STALE) -
						  (was == STALE)));
	p->stale[page / CHUNK] += (what == STALE) - (was == STALE);
	atomic_store_explicit(&p->what[page], what, memory_order_release);
}

static void plain_close(void *state)
{
	struct plain *p = state;

	span_unmap(p->bytes, p->bytes_len);
	span_unmap((void *)(uintptr_t)p->what, p->nr_pages);
	span_unmap((void *)(uintptr_t)p->stale, nr_chunks(p) * 2);
	free(p);
}

static int plain_open(const struct memory_opts *opts, void **ret)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct plain *p = aligned_alloc(_Alignof(struct plain), sizeof(*p));

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->nr_pages = (opts->size + STORE_PAGE - 1) / STORE_PAGE;
	p->bytes_len = p->nr_pages * STORE_PAGE;
	p->bytes = span_map(p->bytes_len, rw);
	p->what = span_map(p->nr_pages, rw);
	p->stale = span_map(nr_chunks(p) * 2, rw);
	if (!p->bytes || !p->what || !p->stale) {
		plain_close(p);
		return -ENOMEM;
	}
	if (opts->huge) /* where there are none, small ones do */
		madvise(p->bytes, p->bytes_len, MADV_HUGEPAGE);
	*ret = p;
	return 0;
}

/* bytes of the page that offset lies in, from there on, at most len */
static size_t in_page(uint64_t offset, size_t len)
{
	size_t n = STORE_PAGE - offset % STORE_PAGE;

	return n < len ? n : len;
}

static int plain_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct plain *p = state;
	char *to = buf;

	while (len) {
		size_t n = in_page(offset, len);

		if (what_is(p, offset / STORE_PAGE) == DATA)
			memcpy(to, p->bytes + offset, n);
		else
			memset(to, 0, n);
		offset += n;
		to += n;
		len -= n;
	}
	return 0;
}

/* give the memory of stale pages in this chunk back; its lock is held */
static void sweep(struct plain *p, uint64_t chunk)
{
	uint64_t page = chunk * CHUNK, end = page + CHUNK;

	if (end > p->nr_pages)
		end = p->nr_pages;
	while (page < end) {
		uint64_t from = page;

		while (page < end && what_is(p, page) == STALE)
			becomes(p, page++, EMPTY);
		if (page > from)
			madvise(p->bytes + from * STORE_PAGE,
				(page - from) * STORE_PAGE, MADV_DONTNEED);
		else
			page++;
	}
}

/* [page, end), within one chunk, reads as zeros from now on */
static void drop(struct plain *p, uint64_t page, uint64_t end)
{
	uint64_t chunk = page / CHUNK;

	lock_take(lock_of(p, page));
	for (; page < end; page++)
		if (what_is(p, page) == DATA)
			becomes(p, page, STALE);
	if (p->stale[chunk] >= CHUNK / 2)
		sweep(p, chunk);
	lock_drop(lock_of(p, chunk * CHUNK));
}

/* a page that had no data is about to get some; all of it, or the rest must
 * be zeros */
static void claim(struct plain *p, uint64_t page, bool all)
{
	lock_take(lock_of(p, page));
	if (what_is(p, page) == STALE && !all)
		memset(p->bytes + page * STORE_PAGE, 0, STORE_PAGE);
	if (what_is(p, page) != DATA)
		becomes(p, page, DATA);
	lock_drop(lock_of(p, page));
}

static int plain_write(void *state, uint64_t offset, const void *buf,
		       size_t len)
{
	struct plain *p = state;
	const char *from = buf;
	uint64_t same;

	while (len) {
		size_t n = in_page(offset, len);
		uint64_t page = offset / STORE_PAGE;

		if (n == STORE_PAGE && page_is_same(from, &same) && !same) {
			if (what_is(p, page) == DATA)
				drop(p, page, page + 1);
		} else {
			if (what_is(p, page) != DATA)
				claim(p, page, n == STORE_PAGE);
			memcpy(p->bytes + offset, from, n);
		}
		offset += n;
		from += n;
		len -= n;
	}
	return 0;
}

static void plain_discard(void *state, uint64_t offset, uint64_t len)
{
	struct plain *p = state;
	uint64_t page = offset / STORE_PAGE;
	uint64_t end = (offset + len + STORE_PAGE - 1) / STORE_PAGE;

	while (page < end) {
		uint64_t next = (page / CHUNK + 1) * CHUNK;

		if (next > end)
			next = end;
		drop(p, page, next);
		page = next;
	}
}

/* how far one call looks, so that it takes no more than a millisecond */
#define EXTENT_MAX (UINT64_C(1) << 30)

static uint32_t plain_extent(void *state, uint64_t offset, uint64_t *len)
{
	struct plain *p = state;
	uint64_t end = offset + (*len < EXTENT_MAX ? *len : EXTENT_MAX);
	uint64_t page = offset / STORE_PAGE;
	bool data = what_is(p, page) == DATA;

	while (page * STORE_PAGE < end && (what_is(p, page) == DATA) == data)
		page++;
	if (page * STORE_PAGE < end)
		end = page * STORE_PAGE;
	*len = end - offset;
	return data ? 0 : LIBUFFD_EXTENT_HOLE | LIBUFFD_EXTENT_ZERO;
}

static int plain_map(void *state, uint64_t offset, size_t len, const void **ret)
{
	struct plain *p = state;
	uint64_t page = offset / STORE_PAGE;
	uint64_t nr = (offset + len - 1) / STORE_PAGE - page + 1;
	uint64_t nr_data = 0;

	for (uint64_t i = 0; i < nr; i++)
		nr_data += what_is(p, page + i) == DATA;
	if (nr_data == nr)
		*ret = p->bytes + offset;
	else if (nr_data == 0 && len <= ZEROS_LEN)
		*ret = zeros;
	else
		return -EOPNOTSUPP;
	return 0;
}

static void plain_stats(void *state, struct uffd_store_stats *ret)
{
	struct plain *p = state;
	uint64_t held = atomic_load(&p->nr_data) * STORE_PAGE;

	ret->held_bytes += held;
	ret->packed_bytes += held;
	ret->memory_bytes += held + atomic_load(&p->nr_stale) * STORE_PAGE;
}

const struct memory_kind memory_plain = {
	.open = plain_open,
	.close = plain_close,
	.read = plain_read,
	.write = plain_write,
	.discard = plain_discard,
	.extent = plain_extent,
	.map = plain_map,
	.stats = plain_stats,
};
