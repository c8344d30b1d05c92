/* SPDX-License-Identifier: MIT */
/*
 * zero:?size=1G  Nothing but zeros; forgets what is written.
 */
#include <errno.h>
#include <stdlib.h>

#include "registry.h"
#include "zeros.h"

_Alignas(4096) const char zeros[ZEROS_LEN];

static int zero_open(const struct uffd_store_args *args, void **ret)
{
	uint64_t size = 0;
	int err = uffd_store_key_size(args, "size", &size);
	uint64_t *state;

	if (err)
		return err;
	if (*uffd_store_target(args))
		return uffd_store_refuse(args, -EINVAL,
					 "nothing stands behind the ':' but "
					 "keys, as in zero:?size=1G");
	if (!size)
		return uffd_store_refuse(args, -EINVAL, "it needs a size, as "
					 "in zero:?size=1G");
	state = malloc(sizeof(*state));
	if (!state)
		return -ENOMEM;
	*state = size;
	*ret = state;
	return 0;
}

static void zero_close(void *state)
{
	free(state);
}

static int zero_length(void *state, uint64_t *ret)
{
	*ret = *(const uint64_t *)state;
	return 0;
}

static int zero_read(void *state, uint64_t offset, void *buf, size_t len)
{
	(void)state;
	(void)offset;
	memset(buf, 0, len);
	return 0;
}

static int zero_write(void *state, uint64_t offset, const void *buf, size_t len)
{
	(void)state;
	(void)offset;
	(void)buf;
	(void)len;
	return 0;
}

static int zero_discard(void *state, uint64_t offset, uint64_t len)
{
	(void)state;
	(void)offset;
	(void)len;
	return 0;
}

static int zero_extents(void *state, uint64_t offset, uint64_t len,
			struct uffd_extent *ret, unsigned cap)
{
	(void)state;
	(void)cap;
	*ret = (struct uffd_extent){
		.offset = offset,
		.len = len,
		.flags = LIBUFFD_EXTENT_HOLE | LIBUFFD_EXTENT_ZERO,
	};
	return 1;
}

static int zero_map(void *state, uint64_t offset, size_t len, const void **ret)
{
	(void)state;
	(void)offset;
	if (len > ZEROS_LEN)
		return -EOPNOTSUPP;
	*ret = zeros;
	return 0;
}

const struct uffd_store_ops zero_ops = {
	.sz = sizeof(zero_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE,
	.name = "zero",
	.what = "nothing but zeros; forgets what is written",
	.keys = (const struct uffd_store_key_info[]){
		{ "size", "bytes; required" },
		{ NULL, NULL },
	},
	.open = zero_open,
	.close = zero_close,
	.length = zero_length,
	.read = zero_read,
	.write = zero_write,
	.discard = zero_discard,
	.extents = zero_extents,
	.map = zero_map,
};
