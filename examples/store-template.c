/* SPDX-License-Identifier: MIT */
/*
 * A store of one's own, to begin with: template:?size=1G holds the number of
 * each 8 bytes, 0, 1, 2, …, and can't be written.
 *
 *	cc -shared -fPIC -o uffd-store-template.so store-template.c -luffd
 *	LIBUFFD_STORE_PATH=. your-program template:?size=1G
 */
#include <errno.h>
#include <stdlib.h>
#include <uffd/store.h>

static int template_open(const struct uffd_store_args *args, void **ret)
{
	uint64_t *size = calloc(1, sizeof(*size));
	int err = size ? uffd_store_key_size(args, "size", size) : -ENOMEM;

	if (!err && !*size)
		err = uffd_store_refuse(args, -EINVAL, "it needs a size");
	if (err)
		free(size);
	else
		*ret = size;
	return err;
}

static int template_length(void *state, uint64_t *ret)
{
	*ret = *(uint64_t *)state;
	return 0;
}

/* all of it or an error; never past the end: libuffd sees to that */
static int template_read(void *state, uint64_t offset, void *buf, size_t len)
{
	unsigned char *to = buf;

	(void)state;
	for (size_t i = 0; i < len; i++, offset++)
		to[i] = (unsigned char)(offset / 8 >> offset % 8 * 8);
	return 0;
}

static const struct uffd_store_ops template_ops = {
	.sz = sizeof(template_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE,
	.name = "template",
	.what = "the number of each 8 bytes",
	.keys = (const struct uffd_store_key_info[]){
		{ "size", "bytes; required" },
		{ NULL, NULL },
	},
	.open = template_open,
	.close = free,
	.length = template_length,
	.read = template_read,
};

LIBUFFD_STORE_PLUGIN(template_ops)
