/* SPDX-License-Identifier: MIT */
/*
 * What is asked of a store here and now: cut at its end, zeros past it,
 * serialised where it needs that, counted.
 */
#include <errno.h>
#include <string.h>

#include "../public.h"
#include "check.h"
#include "inside.h"
#include "now.h"
#include "zeros.h"

/* A store's answer as it is handed on: none but 0 and negative ones. errno is
 * the program's, and plug-ins are careless. */
#define ASK(s, call) \
	__extension__({ \
		int saved_errno_ = errno, answer_; \
		store_enter(s); \
		const struct uffd_store *before_ = check_enter(s); \
		answer_ = (call); \
		check_leave(s, before_, answer_); \
		store_leave(s); \
		errno = saved_errno_; \
		answer_ > 0 ? -EIO : answer_; \
	})

static int counted(struct uffd_store *s, enum count which, int err)
{
	count_add(&s->counts, which, 1);
	if (err)
		count_add(&s->counts, COUNT_ERRORS, 1);
	return err;
}

int store_read_now(struct uffd_store *s, uint64_t offset, void *buf, size_t len)
{
	size_t have = store_within(s, offset, len);
	int err = 0;

	if (have)
		err = ASK(s, check_read(s, offset, buf, have));
	if (!err)
		memset((char *)buf + have, 0, len - have);
	return err;
}

PUBLIC int uffd_store_read(struct uffd_store *s, uint64_t offset, void *buf,
			   size_t len)
{
	int err = store_read_now(s, offset, buf, len);

	count_add(&s->counts, COUNT_READ_BYTES, err ? 0 : len);
	return counted(s, COUNT_READS, err);
}

int store_write_now(struct uffd_store *s, uint64_t offset, const void *buf,
		    size_t len)
{
	int err = store_no_write(s, offset, len);

	if (err || len == 0)
		return err;
	return ASK(s, check_write(s, offset, buf, len));
}

PUBLIC int uffd_store_write(struct uffd_store *s, uint64_t offset,
			    const void *buf, size_t len)
{
	int err = store_write_now(s, offset, buf, len);

	count_add(&s->counts, COUNT_WRITE_BYTES, err ? 0 : len);
	return counted(s, COUNT_WRITES, err);
}

int store_flush_now(struct uffd_store *s)
{
	return s->ops.flush ? ASK(s, s->ops.flush(s->state)) : 0;
}

PUBLIC int uffd_store_flush(struct uffd_store *s)
{
	return counted(s, COUNT_FLUSHES, store_flush_now(s));
}

static int write_zeros(struct uffd_store *s, uint64_t offset, uint64_t len)
{
	int err = 0;

	while (len && !err) {
		/* after the first, all are aligned */
		size_t n = ZEROS_LEN - offset % ZEROS_LEN;

		if (n > len)
			n = len;
		err = store_write_now(s, offset, zeros, n);
		offset += n;
		len -= n;
	}
	return err;
}

PUBLIC int uffd_store_discard(struct uffd_store *s, uint64_t offset,
			      uint64_t len)
{
	int err = store_no_write(s, 0, 0);

	len = store_within(s, offset, len);
	if (!err && len) {
		err = -EOPNOTSUPP;
		if (s->can & LIBUFFD_STORE_CAN_DISCARD)
			err = ASK(s, s->ops.discard(s->state, offset, len));
		if (err == -EOPNOTSUPP)
			err = write_zeros(s, offset, len);
	}
	return counted(s, COUNT_DISCARDS, err);
}

PUBLIC void uffd_store_prefetch(struct uffd_store *s, uint64_t offset,
				uint64_t len)
{
	int saved = errno;

	len = store_within(s, offset, len);
	if (!len || !s->ops.prefetch)
		return;
	store_enter(s);
	s->ops.prefetch(s->state, offset, len);
	store_leave(s);
	errno = saved;
}

PUBLIC int uffd_store_map(struct uffd_store *s, uint64_t offset, size_t len,
			  const void **ret)
{
	if (!(s->can & LIBUFFD_STORE_CAN_MAP) || !len ||
	    store_within(s, offset, len) < len)
		return -EOPNOTSUPP;
	return ASK(s, s->ops.map(s->state, offset, len, ret));
}

/* Put an extent behind the n that are there; neighbours become one. */
static unsigned append(struct uffd_extent *list, unsigned n, unsigned cap,
		       const struct uffd_extent *more)
{
	if (n && list[n - 1].flags == more->flags) {
		list[n - 1].len += more->len;
		return n;
	}
	if (n < cap)
		list[n++] = *more;
	return n;
}

/*
 * What a store has said of [offset, +len), in list itself: each must begin
 * where the last one ended; what is too much is cut. Returns how many, or -EIO
 * for nonsense.
 */
static int tidy(struct uffd_extent *list, unsigned nr, uint64_t offset,
		uint64_t len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr && len; i++) {
		struct uffd_extent e = list[i];

		if (e.offset != offset || !e.len)
			return -EIO;
		if (e.len > len)
			e.len = len;
		e.reserved = 0;
		offset += e.len;
		len -= e.len;
		n = append(list, n, i + 1, &e);
	}
	return (int)n;
}

/* within the end */
static int ask_extents(struct uffd_store *s, uint64_t offset, uint64_t len,
		       struct uffd_extent *ret, unsigned cap)
{
	int saved = errno;
	int n = 0;

	if (s->can & LIBUFFD_STORE_CAN_EXTENTS) {
		store_enter(s);
		n = s->ops.extents(s->state, offset, len, ret, cap);
		store_leave(s);
		errno = saved;
		if (n > 0)
			n = (unsigned)n > cap ? -EIO :
						tidy(ret, n, offset, len);
	}
	if (n == 0 || n == -EOPNOTSUPP) {
		ret[0] = (struct uffd_extent){ .offset = offset, .len = len };
		n = 1;
	}
	return n;
}

PUBLIC int uffd_store_extents(struct uffd_store *s, uint64_t offset,
			      uint64_t len, struct uffd_extent *ret,
			      unsigned cap)
{
	uint64_t have = store_within(s, offset, len);
	struct uffd_extent past = {
		.offset = offset + have,
		.len = len - have,
		.flags = LIBUFFD_EXTENT_HOLE | LIBUFFD_EXTENT_ZERO,
	};
	int n = 0;

	if (!len || !cap || offset > UINT64_MAX - len)
		return -EINVAL;
	if (cap > INT32_MAX)
		cap = INT32_MAX;
	if (have)
		n = ask_extents(s, offset, have, ret, cap);
	if (n < 0 || !past.len)
		return n;
	if (n == 0 || ret[n - 1].offset + ret[n - 1].len == past.offset)
		n = (int)append(ret, (unsigned)n, cap, &past);
	return n;
}
