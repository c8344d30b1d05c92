/* SPDX-License-Identifier: MIT */
/*
 * A store for those that stand before another: below: holds 1 MiB, counts, and
 * fails when it is told to.
 */
#ifndef TESTS_STORE_BELOW_H
#define TESTS_STORE_BELOW_H

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <uffd/store.h>

#include "../seam/promise.h"

#define PAGE 4096u
#define LEN (1u << 20)

/* open is given nothing to hold it */
static struct below {
	char bytes[LEN];
	atomic_uint reads, writes, flushes, discards;
	atomic_int fail;	/* so many requests fail */
	int error;
	atomic_uint longest;	/* bytes of a read */
	pthread_mutex_t lock;	/* of the bytes */
} below = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int below_open(const struct uffd_store_args *args, void **ret)
{
	(void)args;
	memset(&below, 0, offsetof(struct below, lock));
	below.error = -EIO;
	*ret = &below;
	return 0;
}

static void below_close(void *state)
{
	(void)state;
}

static int below_length(void *state, uint64_t *ret)
{
	(void)state;
	*ret = LEN;
	return 0;
}

static int below_fate(void)
{
	int left = atomic_load(&below.fail);

	while (left > 0)
		if (atomic_compare_exchange_weak(&below.fail, &left, left - 1))
			return below.error;
	return 0;
}

static int below_read(void *state, uint64_t offset, void *buf, size_t len)
{
	(void)state;
	below.reads++;
	if (len > below.longest)
		below.longest = (unsigned)len;
	pthread_mutex_lock(&below.lock);
	memcpy(buf, below.bytes + offset, len);
	pthread_mutex_unlock(&below.lock);
	return below_fate();
}

static int below_write(void *state, uint64_t offset, const void *buf,
		       size_t len)
{
	int err = below_fate();

	(void)state;
	pthread_mutex_lock(&below.lock);
	if (!err)
		memcpy(below.bytes + offset, buf, len);
	pthread_mutex_unlock(&below.lock);
	if (below.writes++ % 3 == 0)
		sched_yield();
	return err;
}

static int below_flush(void *state)
{
	(void)state;
	below.flushes++;
	return below_fate();
}

static int below_discard(void *state, uint64_t offset, uint64_t len)
{
	(void)state;
	below.discards++;
	memset(below.bytes + offset, 0, len);
	return below_fate();
}

static int below_map(void *state, uint64_t offset, size_t len, const void **ret)
{
	(void)state;
	(void)len;
	*ret = below.bytes + offset;
	return 0;
}

static const struct uffd_store_ops below_ops = {
	.sz = sizeof(below_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL,
	.name = "below",
	.open = below_open,
	.close = below_close,
	.length = below_length,
	.read = below_read,
	.write = below_write,
	.flush = below_flush,
	.discard = below_discard,
	.map = below_map,
};

static inline struct uffd_store *must_open(const char *uri)
{
	struct uffd_store *s = NULL;
	struct uffd_reason why;

	if (uffd_store_open(uri, 0, &why, &s)) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	return s;
}

static inline struct uffd_store_stats stats(struct uffd_store *s)
{
	struct uffd_store_stats st;

	uffd_store_stats(s, &st);
	return st;
}

struct order {
	unsigned nr;
	char seen[32];	/* the names of requests, as they are done */
	int error;
};

struct named {
	struct uffd_io io;
	struct order *order;
	char name;
	char buf[64];
};

static inline void named_done(struct uffd_io *io, int error)
{
	struct named *n = (struct named *)io;

	n->order->seen[n->order->nr++] = n->name;
	n->order->error = error;
}

static inline void submit(struct uffd_store *s, struct order *order, struct named *n,
		   char name, enum uffd_io_op op)
{
	*n = (struct named){
		.io = { .op = op, .buf = n->buf, .len = 64,
			.done = named_done },
		.order = order,
		.name = name,
	};
	SAME(CALL(uffd_store_submit(s, &n->io)), 0);
}

static inline void land(struct uffd_store *s, const struct order *order, unsigned nr)
{
	struct pollfd pfd = { uffd_store_fd(s), POLLIN, 0 };

	while (order->nr < nr && poll(&pfd, 1, 20000) > 0)
		CALL(uffd_store_dispatch(s));
	SAME(order->nr, nr);
}

#endif
