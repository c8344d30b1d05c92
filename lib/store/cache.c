/* SPDX-License-Identifier: MIT */
/*
 * cache?size=1G:URI  Pages that were read from or written to URI are kept in
 * memory. Writes go through: what is durable below is durable.
 */
#include "cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "registry.h"
#include "zeros.h"

struct cache {
	struct filter base;
	struct pages pages;
	_Atomic uint64_t hits, misses;
};

static void cache_close(void *state)
{
	struct cache *c = state;

	filter_end(&c->base);
	pages_end(&c->pages);
	free(c);
}

static void cache_came(struct child *child, int err);

static int cache_open(const struct uffd_store_args *args, void **ret)
{
	struct cache *c = calloc(1, sizeof(*c));
	uint64_t size = 0;
	int err;

	if (!c)
		return -ENOMEM;
	err = filter_init(&c->base, args, false, cache_came);
	if (!err)
		err = uffd_store_key_size(args, "size", &size);
	if (!err && size < STORE_PAGE)
		err = uffd_store_refuse(args, -EINVAL, "it needs a size, 4096 "
					"at least, as in cache?size=64M:URI");
	if (!err && size > INT64_MAX / 2)
		err = uffd_store_refuse(args, -EINVAL, "size is too large");
	if (!err && !pages_init(&c->pages, size))
		err = -ENOMEM;
	if (err)
		cache_close(c);
	else
		*ret = c;
	return err;
}

/* ---- reading ------------------------------------------------------------------------------ */

static bool copy(struct cache *c, uint64_t offset, void *to, size_t n,
		 uint32_t *age)
{
	bool hit = pages_copy(&c->pages, offset / STORE_PAGE,
			      offset % STORE_PAGE, to, n, age);

	atomic_fetch_add_explicit(hit ? &c->hits : &c->misses, 1,
				  memory_order_relaxed);
	return hit;
}

/* keep what lies in whole pages of [offset, +len); ages of the first ones */
static void keep(struct cache *c, uint64_t offset, const char *from, size_t len,
		 const uint32_t *ages)
{
	for (unsigned i = 0; i < NR_NOTES && len >= STORE_PAGE; i++) {
		pages_keep(&c->pages, offset / STORE_PAGE, ages[i], from);
		offset += STORE_PAGE;
		from += STORE_PAGE;
		len -= STORE_PAGE;
	}
}

/* A part of a page that is not here: read all of it, so that it is. */
static int read_part(struct cache *c, uint64_t offset, char *to, size_t n,
		     uint32_t age)
{
	_Alignas(STORE_PAGE) char page[STORE_PAGE];
	uint64_t in = offset % STORE_PAGE;
	int err = uffd_store_read(c->base.next, offset - in, page, STORE_PAGE);

	if (err)
		return err;
	pages_keep(&c->pages, offset / STORE_PAGE, age, page);
	memcpy(to, page + in, n);
	return 0;
}

/*
 * Whole pages from here on that are not, the first of them known: read them at
 * once. A page that turns out to be here ends the run, and lies in its place
 * already. Returns the bytes that are done, or an error.
 */
static ssize_t read_run(struct cache *c, uint64_t offset, char *to, size_t len,
			uint32_t age)
{
	uint32_t ages[NR_NOTES] = { age };
	size_t run = STORE_PAGE;
	bool hit = false;
	int err;

	while (!hit && run / STORE_PAGE < NR_NOTES && len - run >= STORE_PAGE) {
		hit = copy(c, offset + run, to + run, STORE_PAGE,
			   &ages[run / STORE_PAGE]);
		run += STORE_PAGE;
	}
	len = run;
	if (hit)
		run -= STORE_PAGE;
	err = uffd_store_read(c->base.next, offset, to, run);
	if (err)
		return err;
	keep(c, offset, to, run, ages);
	return (ssize_t)len;
}

static int cache_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct cache *c = state;
	char *to = buf;

	while (len) {
		size_t n = STORE_PAGE - offset % STORE_PAGE;
		ssize_t done;
		uint32_t age;

		if (n > len)
			n = len;
		if (copy(c, offset, to, n, &age))
			done = (ssize_t)n;
		else if (n == STORE_PAGE)
			done = read_run(c, offset, to, len, age);
		else
			done = read_part(c, offset, to, n, age) ?: (ssize_t)n;
		if (done < 0)
			return (int)done;
		offset += (size_t)done;
		to += done;
		len -= (size_t)done;
	}
	return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int cache_write(void *state, uint64_t offset, const void *buf,
		       size_t len)
{
	struct cache *c = state;
	int err;

	pages_begin(&c->pages, offset, len);
	err = uffd_store_write(c->base.next, offset, buf, len);
	pages_end_write(&c->pages, offset, len, err ? NULL : buf);
	return err;
}

static int cache_discard(void *state, uint64_t offset, uint64_t len)
{
	struct cache *c = state;
	int err;

	pages_begin(&c->pages, offset, len);
	err = uffd_store_discard(c->base.next, offset, len);
	pages_end_write(&c->pages, offset, len, NULL);
	return err;
}

/* ---- in flight ------------------------------------------------------------------------------- */

static void cache_came(struct child *child, int err)
{
	struct cache *c = (struct cache *)child->filter;
	const struct uffd_io *io = &child->io;

	if (io->op == LIBUFFD_IO_WRITE)
		pages_end_write(&c->pages, io->offset, io->len,
				err ? NULL : io->buf);
	else if (io->op == LIBUFFD_IO_READ && !err &&
		 io->offset % STORE_PAGE == 0)
		keep(c, io->offset, io->buf, io->len, child->notes);
	filter_answer(child, err);
}

/* All of it from memory, or none; what is copied in vain is read over. The
 * ages of its first pages are noted. */
static bool copy_all(struct cache *c, const struct uffd_io *io, uint32_t *ages)
{
	uint64_t at = io->offset, end = at + io->len;
	char *to = io->buf;
	bool all = true;

	for (unsigned i = 0; at < end; i++) {
		size_t n = STORE_PAGE - at % STORE_PAGE;

		if (n > end - at)
			n = end - at;
		if (i == NR_NOTES) /* few are that long */
			return false;
		all &= copy(c, at, to, n, &ages[i]);
		at += n;
		to += n;
	}
	return all;
}

static int cache_submit(void *state, struct uffd_io *io)
{
	struct cache *c = state;
	struct child *child = filter_child(&c->base, io);
	int err;

	if (!child)
		return -EAGAIN;
	if (io->op == LIBUFFD_IO_READ && copy_all(c, io, child->notes)) {
		filter_answer(child, 0);
		return 0;
	}
	if (io->op == LIBUFFD_IO_WRITE)
		pages_begin(&c->pages, io->offset, io->len);
	err = filter_send(child);
	if (!err)
		return 0;
	if (io->op == LIBUFFD_IO_WRITE)
		pages_end_write(&c->pages, io->offset, io->len, NULL);
	filter_forget(child);
	return err;
}

static void cache_stats(void *state, struct uffd_store_stats *ret)
{
	struct cache *c = state;

	filter_stats(state, ret);
	ret->hits += atomic_load(&c->hits);
	ret->misses += atomic_load(&c->misses);
	ret->memory_bytes += atomic_load(&c->pages.nr_used) * STORE_PAGE +
			     c->pages.nr_sets * sizeof(struct set);
}

const struct uffd_store_ops cache_ops = {
	.sz = sizeof(cache_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE |
		 LIBUFFD_STORE_STACKS,
	.name = "cache",
	.what = "pages are kept in memory; writes go through",
	.keys = (const struct uffd_store_key_info[]){
		{ "size", "bytes of pages to keep; required" },
		{ NULL, NULL },
	},
	.open = cache_open,
	.close = cache_close,
	.length = filter_length,
	.read = cache_read,
	.write = cache_write,
	.flush = filter_flush,
	.discard = cache_discard,
	.extents = filter_extents,
	.prefetch = filter_prefetch,
	.submit = cache_submit,
	.fd = filter_fd,
	.dispatch = filter_dispatch,
	.stats = cache_stats,
	.can = filter_can,
};
