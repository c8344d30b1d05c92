/* SPDX-License-Identifier: MIT */
/*
 * error?rate=0.01&seed=7:URI  Some requests to URI fail, and some reads come
 * back with a bit turned over. What happens to the nth request depends on the
 * seed and n alone.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "number.h"
#include "registry.h"

struct error {
	struct filter base;
	double read_rate, write_rate, corrupt;
	uint64_t seed;
	uint64_t after;		/* the first ones go well */
	int error;		/* negative */
	_Atomic uint64_t n;	/* requests so far */
};

static const struct {
	const char *name;
	int error;
} names[] = {
	{ "EIO", -EIO },	     { "ENOSPC", -ENOSPC },
	{ "ETIMEDOUT", -ETIMEDOUT }, { "ENOMEM", -ENOMEM },
	{ "EAGAIN", -EAGAIN },	     { "ENODATA", -ENODATA },
	{ "ECONNRESET", -ECONNRESET }, { "EDQUOT", -EDQUOT },
	{ "EROFS", -EROFS },	     { "EINTR", -EINTR },
};

static int take_errno(const struct uffd_store_args *args, struct error *e)
{
	const char *value = uffd_store_key(args, "errno");
	uint64_t n;

	e->error = -EIO;
	if (!value)
		return 0;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(value, names[i].name))
			return e->error = names[i].error, 0;
	if (!number_count(value, &n) || n < 1 || n > 4095)
		return uffd_store_refuse(args, -EINVAL, "errno=%.60s: it must "
					 "be a number, or EIO, ENOSPC, "
					 "ETIMEDOUT, ENOMEM, EAGAIN, ENODATA, "
					 "ECONNRESET, EDQUOT, EROFS or EINTR",
					 value);
	e->error = -(int)n;
	return 0;
}

static int take_rates(const struct uffd_store_args *args, struct error *e)
{
	double both = 0;
	int err = uffd_store_key_fraction(args, "rate", &both);

	e->read_rate = e->write_rate = both;
	if (!err)
		err = uffd_store_key_fraction(args, "read_rate", &e->read_rate);
	if (!err)
		err = uffd_store_key_fraction(args, "write_rate",
					      &e->write_rate);
	if (!err)
		err = uffd_store_key_fraction(args, "corrupt", &e->corrupt);
	if (!err)
		err = uffd_store_key_count(args, "seed", &e->seed);
	if (!err)
		err = uffd_store_key_count(args, "after", &e->after);
	return err ? err : take_errno(args, e);
}

/* ---- chance -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static bool falls(uint64_t chance, double rate)
{
	return (double)(chance >> 11) * 0x1p-53 < rate;
}

/* What happens to a request: 0 or an error, and the bit to turn over, or
 * UINT64_MAX. */
static int fate(struct error *e, bool read, size_t len, uint64_t *bit)
{
	uint64_t n = atomic_fetch_add(&e->n, 1);
	uint64_t chance = mix(mix(e->seed) + n);

	*bit = UINT64_MAX;
	if (n < e->after)
		return 0;
	if (falls(chance, read ? e->read_rate : e->write_rate))
		return e->error;
	chance = mix(chance);
	if (read && len && falls(chance, e->corrupt))
		*bit = mix(chance) % (len * UINT64_C(8));
	return 0;
}

static void turn_over(void *buf, uint64_t bit)
{
	if (bit != UINT64_MAX)
		((unsigned char *)buf)[bit / 8] ^= (unsigned char)(1 << bit % 8);
}

/* ---- the store's functions ------------------------------------------------------------------ */

static void error_close(void *state)
{
	struct error *e = state;

	filter_end(&e->base);
	free(e);
}

static void note_bit(struct child *c, uint64_t bit)
{
	memcpy(c->notes, &bit, sizeof(bit));
}

static void error_came(struct child *c, int err)
{
	uint64_t bit;

	memcpy(&bit, c->notes, sizeof(bit));
	if (!err && c->io.op == LIBUFFD_IO_READ)
		turn_over(c->io.buf, bit);
	filter_answer(c, err);
}

static int error_open(const struct uffd_store_args *args, void **ret)
{
	struct error *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	err = filter_init(&e->base, args, false, error_came);
	if (!err)
		err = take_rates(args, e);
	if (err)
		error_close(e);
	else
		*ret = e;
	return err;
}

static int error_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct error *e = state;
	uint64_t bit;
	int err = fate(e, true, len, &bit);

	if (!err)
		err = uffd_store_read(e->base.next, offset, buf, len);
	if (!err)
		turn_over(buf, bit);
	return err;
}

static int error_write(void *state, uint64_t offset, const void *buf,
		       size_t len)
{
	struct error *e = state;
	uint64_t bit;
	int err = fate(e, false, len, &bit);

	return err ? err : uffd_store_write(e->base.next, offset, buf, len);
}

static int error_flush(void *state)
{
	uint64_t bit;
	int err = fate(state, false, 0, &bit);

	return err ? err : filter_flush(state);
}

static int error_discard(void *state, uint64_t offset, uint64_t len)
{
	uint64_t bit;
	int err = fate(state, false, 0, &bit);

	return err ? err : filter_discard(state, offset, len);
}

static int error_submit(void *state, struct uffd_io *io)
{
	struct error *e = state;
	struct child *c = filter_child(&e->base, io);
	uint64_t bit;
	int err;

	if (!c)
		return -EAGAIN;
	err = fate(e, io->op == LIBUFFD_IO_READ, io->len, &bit);
	note_bit(c, bit);
	if (err) {
		filter_answer(c, err);
		return 0;
	}
	err = filter_send(c);
	if (err)
		filter_forget(c);
	return err;
}

const struct uffd_store_ops error_ops = {
	.sz = sizeof(error_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE |
		 LIBUFFD_STORE_STACKS,
	.name = "error",
	.what = "some requests fail",
	.keys = (const struct uffd_store_key_info[]){
		{ "rate", "the part of requests that fails, 0 to 1 (0)" },
		{ "read_rate", "the same for reads" },
		{ "write_rate", "the same for writes, discards, flushes" },
		{ "corrupt", "the part of reads with a bit turned over (0)" },
		{ "errno", "what they fail with: EIO, ENOSPC, a number (EIO)" },
		{ "after", "how many requests go well before (0)" },
		{ "seed", "of the chance (0)" },
		{ NULL, NULL },
	},
	.open = error_open,
	.close = error_close,
	.length = filter_length,
	.read = error_read,
	.write = error_write,
	.flush = error_flush,
	.discard = error_discard,
	.extents = filter_extents,
	.prefetch = filter_prefetch,
	.submit = error_submit,
	.fd = filter_fd,
	.dispatch = filter_dispatch,
	.stats = filter_stats,
	.can = filter_can,
};
