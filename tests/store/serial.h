/* SPDX-License-Identifier: MIT */
/*
 * A store that only one thread may be in at a time: serial:?size=N. It knows
 * nothing but open, close, length, read and write, and notices a second
 * visitor.
 */
#ifndef TESTS_STORE_SERIAL_H
#define TESTS_STORE_SERIAL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uffd/store.h>

struct serial {
	uint64_t size;
	atomic_int inside;
	char bytes[];
};

static inline int serial_open(const struct uffd_store_args *args, void **ret)
{
	uint64_t size = 0;
	int err = uffd_store_key_size(args, "size", &size);
	struct serial *s = err ? NULL : calloc(1, sizeof(*s) + size);

	if (!s)
		return err ? err : -ENOMEM;
	s->size = size;
	*ret = s;
	return 0;
}

static inline int serial_length(void *state, uint64_t *ret)
{
	*ret = ((struct serial *)state)->size;
	return 0;
}

static inline int serial_copy(struct serial *s, void *to, const void *from,
			      size_t len)
{
	bool alone = atomic_fetch_add(&s->inside, 1) == 0;

	memcpy(to, from, len);
	atomic_fetch_sub(&s->inside, 1);
	errno = 1234; /* as careless code does */
	return alone ? 0 : -EBUSY;
}

static inline int serial_read(void *state, uint64_t offset, void *buf,
			      size_t len)
{
	struct serial *s = state;

	return serial_copy(s, buf, s->bytes + offset, len);
}

static inline int serial_write(void *state, uint64_t offset, const void *buf,
			       size_t len)
{
	struct serial *s = state;

	return serial_copy(s, s->bytes + offset, buf, len);
}

static const struct uffd_store_ops serial_ops = {
	.sz = sizeof(serial_ops),
	.api = LIBUFFD_STORE_API,
	.name = "serial",
	.what = "one thread at a time",
	.keys = (const struct uffd_store_key_info[]){
		{ "size", "bytes" },
		{ NULL, NULL },
	},
	.open = serial_open,
	.close = free,
	.length = serial_length,
	.read = serial_read,
	.write = serial_write,
};

#endif
