/* SPDX-License-Identifier: MIT */
/*
 * retry?times=5&deadline_ms=2000:URI  Requests that fail are tried again,
 * after a pause that doubles each time, until there were enough or it is too
 * late. What another try can't mend is not tried.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "filter.h"
#include "registry.h"

#define MS UINT64_C(1000000)
#define PAUSE_MAX_NS (1000 * MS)
#define TIMES_MAX 1000000u
#define DEADLINE_MAX_MS (24 * 3600 * 1000u)

struct retry {
	struct filter base;
	uint64_t times;		/* tries after the first */
	uint64_t deadline_ns;
	uint64_t pause_ns;	/* before the first of them */
	_Atomic uint64_t retries;
};

static int take_opts(const struct uffd_store_args *args, struct retry *r)
{
	uint64_t times = 5, deadline_ms = 2000, backoff_ms = 10;
	int err = uffd_store_key_count(args, "times", &times);

	if (!err)
		err = uffd_store_key_count(args, "deadline_ms", &deadline_ms);
	if (!err)
		err = uffd_store_key_count(args, "backoff_ms", &backoff_ms);
	if (err)
		return err;
	if (times > TIMES_MAX)
		return uffd_store_refuse(args, -EINVAL,
					 "times can be %u, not more", TIMES_MAX);
	if (deadline_ms > DEADLINE_MAX_MS || backoff_ms > DEADLINE_MAX_MS)
		return uffd_store_refuse(args, -EINVAL, "deadline_ms and "
					 "backoff_ms can be a day, %u, not "
					 "more", DEADLINE_MAX_MS);
	r->times = times;
	r->deadline_ns = deadline_ms * MS;
	r->pause_ns = backoff_ms * MS;
	return 0;
}

/* another try would fail as well, or must not be made */
static bool is_final(int err)
{
	switch (err) {
	case 0:
	case -EINVAL:
	case -EROFS:
	case -ENOSPC:	/* nothing is lost: who asked decides */
	case -EDQUOT:
	case -EOPNOTSUPP:
	case -ECANCELED:
	case -EFAULT:
		return true;
	default:
		return false;
	}
}

/* When the next try is made, after this many; 0: it is not. */
static uint64_t next_try(struct retry *r, int err, uint64_t began_ns,
			 uint32_t tries)
{
	uint64_t pause_ns = r->pause_ns;
	uint64_t due_ns;

	if (is_final(err) || tries >= r->times)
		return 0;
	for (uint32_t i = 0; i < tries && pause_ns < PAUSE_MAX_NS; i++)
		pause_ns *= 2;
	if (pause_ns > PAUSE_MAX_NS)
		pause_ns = PAUSE_MAX_NS;
	due_ns = filter_now_ns() + pause_ns;
	if (due_ns > began_ns + r->deadline_ns)
		return 0;
	atomic_fetch_add(&r->retries, 1);
	return due_ns;
}

/* ---- here and now ---------------------------------------------------------------------------- */

/* Evaluate call, and again as long as it should be. */
#define TRY(r, call) \
	__extension__({ \
		uint64_t began_ns_ = filter_now_ns(), due_ns_; \
		int err_ = (call); \
		for (uint32_t tries_ = 0; \
		     (due_ns_ = next_try(r, err_, began_ns_, tries_)); \
		     tries_++) { \
			filter_sleep_until(due_ns_); \
			err_ = (call); \
		} \
		err_; \
	})

static int retry_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct retry *r = state;

	return TRY(r, uffd_store_read(r->base.next, offset, buf, len));
}

static int retry_write(void *state, uint64_t offset, const void *buf,
		       size_t len)
{
	struct retry *r = state;

	return TRY(r, uffd_store_write(r->base.next, offset, buf, len));
}

static int retry_flush(void *state)
{
	struct retry *r = state;

	return TRY(r, uffd_store_flush(r->base.next));
}

static int retry_discard(void *state, uint64_t offset, uint64_t len)
{
	struct retry *r = state;

	return TRY(r, uffd_store_discard(r->base.next, offset, len));
}

/* ---- in flight --------------------------------------------------------------------------------- */

static void retry_came(struct child *c, int err)
{
	struct retry *r = (struct retry *)c->filter;
	uint64_t due_ns = next_try(r, err, c->began_ns, c->tries);

	if (!due_ns) {
		filter_answer(c, err);
		return;
	}
	c->tries++;
	filter_send_at(c, due_ns);
}

static int retry_submit(void *state, struct uffd_io *io)
{
	struct retry *r = state;
	struct child *c = filter_child(&r->base, io);

	if (!c)
		return -EAGAIN;
	c->began_ns = filter_now_ns();
	return filter_send(c);
}

static void retry_stats(void *state, struct uffd_store_stats *ret)
{
	struct retry *r = state;

	filter_stats(state, ret);
	ret->retries += atomic_load(&r->retries);
}

static void retry_close(void *state)
{
	struct retry *r = state;

	filter_end(&r->base);
	free(r);
}

static int retry_open(const struct uffd_store_args *args, void **ret)
{
	struct retry *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = filter_init(&r->base, args, true, retry_came);
	if (!err)
		err = take_opts(args, r);
	if (err)
		retry_close(r);
	else
		*ret = r;
	return err;
}

const struct uffd_store_ops retry_ops = {
	.sz = sizeof(retry_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE |
		 LIBUFFD_STORE_STACKS,
	.name = "retry",
	.what = "requests that fail are tried again",
	.keys = (const struct uffd_store_key_info[]){
		{ "times", "tries after the first (5)" },
		{ "deadline_ms", "no try begins later than this (2000)" },
		{ "backoff_ms", "the first pause; each is twice as long, up "
				"to a second (10)" },
		{ NULL, NULL },
	},
	.open = retry_open,
	.close = retry_close,
	.length = filter_length,
	.read = retry_read,
	.write = retry_write,
	.flush = retry_flush,
	.discard = retry_discard,
	.extents = filter_extents,
	.prefetch = filter_prefetch,
	.submit = retry_submit,
	.fd = filter_fd,
	.dispatch = filter_dispatch,
	.map = filter_map,
	.stats = retry_stats,
	.can = filter_can,
};
