/* SPDX-License-Identifier: MIT */
/*
 * delay?ms=5:URI  Each request to URI takes longer; others don't wait for it.
 */
#include <errno.h>
#include <stdlib.h>

#include "filter.h"
#include "registry.h"

/* a store that says nothing for longer is taken for dead when it is closed */
#define DELAY_MAX_MS 20000u

struct delay {
	struct filter base;
	uint64_t read_ns, write_ns;
};

static int take_time(const struct uffd_store_args *args, const char *name,
		     uint64_t unit_ns, uint64_t *ret)
{
	uint64_t n = 0;
	int err = uffd_store_key_count(args, name, &n);

	if (err || !uffd_store_key(args, name))
		return err;
	if (n > DELAY_MAX_MS * UINT64_C(1000000) / unit_ns)
		return uffd_store_refuse(args, -EINVAL,
					 "%s=%llu: 20 seconds are the most",
					 name, (unsigned long long)n);
	*ret = n * unit_ns;
	return 0;
}

static int take_times(const struct uffd_store_args *args, struct delay *d)
{
	uint64_t both = 0;
	int err = take_time(args, "us", 1000, &both);

	if (!err)
		err = take_time(args, "ms", 1000000, &both);
	d->read_ns = d->write_ns = both;
	if (!err)
		err = take_time(args, "read_ms", 1000000, &d->read_ns);
	if (!err)
		err = take_time(args, "write_ms", 1000000, &d->write_ns);
	if (!err && !d->read_ns && !d->write_ns)
		err = uffd_store_refuse(args, -EINVAL, "it needs a time, as in "
					"delay?ms=5:URI");
	return err;
}

static void delay_came(struct child *c, int err)
{
	filter_answer(c, err);
}

static void delay_close(void *state)
{
	struct delay *d = state;

	filter_end(&d->base);
	free(d);
}

static int delay_open(const struct uffd_store_args *args, void **ret)
{
	struct delay *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	err = filter_init(&d->base, args, true, delay_came);
	if (!err)
		err = take_times(args, d);
	if (err)
		delay_close(d);
	else
		*ret = d;
	return err;
}

static void wait_for(uint64_t ns)
{
	if (ns)
		filter_sleep_until(filter_now_ns() + ns);
}

static int delay_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct delay *d = state;

	wait_for(d->read_ns);
	return uffd_store_read(d->base.next, offset, buf, len);
}

static int delay_write(void *state, uint64_t offset, const void *buf,
		       size_t len)
{
	struct delay *d = state;

	wait_for(d->write_ns);
	return uffd_store_write(d->base.next, offset, buf, len);
}

static int delay_flush(void *state)
{
	struct delay *d = state;

	wait_for(d->write_ns);
	return filter_flush(state);
}

static int delay_discard(void *state, uint64_t offset, uint64_t len)
{
	struct delay *d = state;

	wait_for(d->write_ns);
	return filter_discard(state, offset, len);
}

static int delay_submit(void *state, struct uffd_io *io)
{
	struct delay *d = state;
	uint64_t ns = io->op == LIBUFFD_IO_READ ? d->read_ns : d->write_ns;
	struct child *c = filter_child(&d->base, io);

	if (!c)
		return -EAGAIN;
	if (!ns)
		return filter_send(c);
	filter_send_at(c, filter_now_ns() + ns);
	return 0;
}

const struct uffd_store_ops delay_ops = {
	.sz = sizeof(delay_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE |
		 LIBUFFD_STORE_STACKS,
	.name = "delay",
	.what = "each request takes longer",
	.keys = (const struct uffd_store_key_info[]){
		{ "ms", "milliseconds, of each request" },
		{ "us", "microseconds, of each request" },
		{ "read_ms", "milliseconds, of reads" },
		{ "write_ms", "milliseconds, of writes, discards, flushes" },
		{ NULL, NULL },
	},
	.open = delay_open,
	.close = delay_close,
	.length = filter_length,
	.read = delay_read,
	.write = delay_write,
	.flush = delay_flush,
	.discard = delay_discard,
	.extents = filter_extents,
	.prefetch = filter_prefetch,
	.submit = delay_submit,
	.fd = filter_fd,
	.dispatch = filter_dispatch,
	.stats = filter_stats,
	.can = filter_can,
};
