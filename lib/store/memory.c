/* SPDX-License-Identifier: MIT */
/*
 * memory:?size=1G&compress=lz4  Memory of this process; zram in user space.
 *
 * Everything after open works in signal handlers: no malloc, small locks, a
 * small stack.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "memory.h"
#include "registry.h"
#include "zeros.h"

/* what four bytes can number, less a bit (see slab.h) */
#define SIZE_MAX_PACKED (UINT64_C(8) << 40)

struct memory {
	const struct memory_kind *kind;
	void *state;
	uint64_t size;
};

static int take_packer(const struct uffd_store_args *args,
		       struct memory_opts *opts)
{
	static const char *const words[] = { "none", "lz4", "zstd", NULL };
	unsigned which = 0;
	int err = args_word(args, "compress", words, &which);

	if (err)
		return err;
	opts->packer = which == 1 ? packer_lz4() :
		       which == 2 ? packer_zstd() : NULL;
	if (which && !opts->packer)
		return uffd_store_refuse(args, -EOPNOTSUPP,
					 "compress=%s is not built in",
					 words[which]);
	return 0;
}

static int take_level(const struct uffd_store_args *args,
		      struct memory_opts *opts)
{
	uint64_t level = opts->packer ? (uint64_t)opts->packer->level : 0;
	int err = uffd_store_key_count(args, "level", &level);

	if (err || !uffd_store_key(args, "level"))
		return opts->level = (int)level, err;
	if (!opts->packer || !opts->packer->level_max)
		return uffd_store_refuse(args, -EINVAL,
					 "level goes with compress=zstd");
	if (level < 1 || level > (uint64_t)opts->packer->level_max)
		return uffd_store_refuse(args, -EINVAL,
					 "level must be from 1 to %d",
					 opts->packer->level_max);
	opts->level = (int)level;
	return 0;
}

static int take_sizes(const struct uffd_store_args *args,
		      struct memory_opts *opts)
{
	int err = uffd_store_key_size(args, "size", &opts->size);

	if (!err)
		err = uffd_store_key_size(args, "limit", &opts->limit);
	if (err)
		return err;
	if (!opts->size)
		return uffd_store_refuse(args, -EINVAL, "it needs a size, as "
					 "in memory:?size=1G");
	if (opts->size > SIZE_MAX_PACKED)
		return uffd_store_refuse(args, -EINVAL, "size can be 8T, not "
					 "more");
	if (opts->limit && !opts->packer)
		return uffd_store_refuse(args, -EINVAL,
					 "limit goes with compress=lz4 or zstd");
	return 0;
}

static int take_opts(const struct uffd_store_args *args,
		     struct memory_opts *opts)
{
	static const char *const words[] = { "off", "on", NULL };
	unsigned huge = 0;
	int err = take_packer(args, opts);

	if (!err)
		err = take_level(args, opts);
	if (!err)
		err = take_sizes(args, opts);
	if (!err)
		err = args_word(args, "huge", words, &huge);
	opts->huge = huge;
	if (!err && *uffd_store_target(args))
		return uffd_store_refuse(args, -EINVAL,
					 "nothing stands behind the ':' but "
					 "keys, as in memory:?size=1G");
	return err;
}

static int memory_open(const struct uffd_store_args *args, void **ret)
{
	struct memory_opts opts = { 0 };
	int err = take_opts(args, &opts);
	struct memory *m;

	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->size = opts.size;
	m->kind = opts.packer ? &memory_packed : &memory_plain;
	err = m->kind->open(&opts, &m->state);
	if (err)
		free(m);
	else
		*ret = m;
	return err;
}

static void memory_close(void *state)
{
	struct memory *m = state;

	m->kind->close(m->state);
	free(m);
}

static int memory_length(void *state, uint64_t *ret)
{
	*ret = ((struct memory *)state)->size;
	return 0;
}

static int memory_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct memory *m = state;

	return m->kind->read(m->state, offset, buf, len);
}

static int memory_write(void *state, uint64_t offset, const void *buf,
			size_t len)
{
	struct memory *m = state;

	return m->kind->write(m->state, offset, buf, len);
}

/* whole pages go; of others, the part is written */
static int memory_discard(void *state, uint64_t offset, uint64_t len)
{
	struct memory *m = state;
	int err = 0;

	while (len && !err) {
		uint64_t in = offset % STORE_PAGE;
		uint64_t n = STORE_PAGE - in < len ? STORE_PAGE - in : len;

		if (n == STORE_PAGE || (!in && offset + n == m->size)) {
			n = n < STORE_PAGE ? n : len - len % STORE_PAGE;
			m->kind->discard(m->state, offset, n);
		} else {
			err = m->kind->write(m->state, offset, zeros, n);
		}
		offset += n;
		len -= n;
	}
	return err;
}

static int memory_extents(void *state, uint64_t offset, uint64_t len,
			  struct uffd_extent *ret, unsigned cap)
{
	struct memory *m = state;
	unsigned n = 0;

	while (n < cap && len) {
		uint64_t got = len;
		uint32_t flags = m->kind->extent(m->state, offset, &got);

		ret[n++] = (struct uffd_extent){ offset, got, flags, 0 };
		offset += got;
		len -= got;
	}
	return (int)n;
}

static int memory_map(void *state, uint64_t offset, size_t len,
		      const void **ret)
{
	struct memory *m = state;

	return m->kind->map(m->state, offset, len, ret);
}

static void memory_stats(void *state, struct uffd_store_stats *ret)
{
	struct memory *m = state;

	m->kind->stats(m->state, ret);
}

static unsigned memory_can(void *state, unsigned suggested)
{
	struct memory *m = state;

	return m->kind->map ? suggested : suggested & ~LIBUFFD_STORE_CAN_MAP;
}

const struct uffd_store_ops memory_ops = {
	.sz = sizeof(memory_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE,
	.name = "memory",
	.what = "memory of this process, compressed or not",
	.keys = (const struct uffd_store_key_info[]){
		{ "size", "bytes; required" },
		{ "compress", "none, lz4 or zstd (none)" },
		{ "level", "how hard zstd tries, from 1 (1)" },
		{ "limit", "most bytes that compressed pages may take (any)" },
		{ "huge", "on: ask for huge pages (off)" },
		{ NULL, NULL },
	},
	.open = memory_open,
	.close = memory_close,
	.length = memory_length,
	.read = memory_read,
	.write = memory_write,
	.discard = memory_discard,
	.extents = memory_extents,
	.map = memory_map,
	.stats = memory_stats,
	.can = memory_can,
};
