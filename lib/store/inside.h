/* SPDX-License-Identifier: MIT */
/* What an open store is, for the files of the store core. */
#ifndef LIB_STORE_INSIDE_H
#define LIB_STORE_INSIDE_H

#include <uffd/store.h>

#include "count.h"
#include "flight.h"
#include "../lock.h"

struct uffd_store {
	struct uffd_store_ops ops;	/* what its table lacks is NULL */
	void *state;
	struct uffd_store *next;	/* the one behind it, ours to close */
	uint64_t length;
	unsigned can;
	bool serial;			/* one call at a time: lock is held */
	struct lock lock;
	struct flight *flight;		/* NULL: it can't submit */
	struct counts counts;
	struct lock claims_lock;
	struct store_claim *claims;	/* claim.h */
	char *uri;
};

/* The bytes of [offset, +len) that are not past the end. */
static inline size_t store_within(const struct uffd_store *s, uint64_t offset,
				  uint64_t len)
{
	uint64_t left = offset < s->length ? s->length - offset : 0;

	return len < left ? len : left;
}

/* Why this store can't be written there, or 0. */
static inline int store_no_write(const struct uffd_store *s, uint64_t offset,
				 uint64_t len)
{
	if (!(s->can & LIBUFFD_STORE_CAN_WRITE))
		return -EROFS;
	return store_within(s, offset, len) < len ? -EINVAL : 0;
}

static inline void store_enter(struct uffd_store *s)
{
	if (s->serial)
		lock_take(&s->lock);
}

static inline void store_leave(struct uffd_store *s)
{
	if (s->serial)
		lock_drop(&s->lock);
}

#endif
