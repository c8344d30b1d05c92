/* SPDX-License-Identifier: MIT */
/* Plug-ins that can't be used; which one is up to BAD. */
#include <errno.h>
#include <stdlib.h>
#include <uffd/store.h>

#define BAD_API 1	/* of another version */
#define BAD_NAME 2	/* answers to another name */
#define BAD_TABLE 3	/* lacks what is required */
#define BAD_SHORT 4	/* its table ends too early */
#define BAD_NULL 5	/* gives no table */
#define BAD_SYMBOL 6	/* has no such function */

static int bad_open(const struct uffd_store_args *args, void **ret)
{
	(void)args;
	(void)ret;
	return -EIO;
}

static int bad_length(void *state, uint64_t *ret)
{
	(void)state;
	(void)ret;
	return -EIO;
}

#if BAD != BAD_TABLE
static int bad_read(void *state, uint64_t offset, void *buf, size_t len)
{
	(void)state;
	(void)offset;
	(void)buf;
	(void)len;
	return -EIO;
}
#endif

extern const struct uffd_store_ops bad_ops;
const struct uffd_store_ops bad_ops = {
	.sz = BAD == BAD_SHORT ? 24 : sizeof(bad_ops),
	.api = LIBUFFD_STORE_API + (BAD == BAD_API),
	.name = BAD == BAD_NAME ? "other" : NAME,
	.open = bad_open,
	.close = free,
	.length = bad_length,
#if BAD != BAD_TABLE
	.read = bad_read,
#endif
};

#if BAD == BAD_NULL
const struct uffd_store_ops *uffd_store_plugin(void)
{
	return NULL;
}
#elif BAD != BAD_SYMBOL
LIBUFFD_STORE_PLUGIN(bad_ops)
#endif
