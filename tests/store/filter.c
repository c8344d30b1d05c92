/* SPDX-License-Identifier: MIT */
/*
 * The stores that stand before another: delay, error, retry, cache.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <uffd/store.h>

#include "../seam/promise.h"
#include "rnd.h"

#define PAGE 4096u
#define LEN (1u << 20)

/* ---- what stands behind ---------------------------------------------------------------- */

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

/* ---- tools --------------------------------------------------------------------------------- */

static struct uffd_store *must_open(const char *uri)
{
	struct uffd_store *s = NULL;
	struct uffd_reason why;

	if (uffd_store_open(uri, 0, &why, &s)) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	return s;
}

static struct uffd_store_stats stats(struct uffd_store *s)
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

static void named_done(struct uffd_io *io, int error)
{
	struct named *n = (struct named *)io;

	n->order->seen[n->order->nr++] = n->name;
	n->order->error = error;
}

static void submit(struct uffd_store *s, struct order *order, struct named *n,
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

static void land(struct uffd_store *s, const struct order *order, unsigned nr)
{
	struct pollfd pfd = { uffd_store_fd(s), POLLIN, 0 };

	while (order->nr < nr && poll(&pfd, 1, 20000) > 0)
		CALL(uffd_store_dispatch(s));
	SAME(order->nr, nr);
}

/* ---- delay ----------------------------------------------------------------------------------- */

static void delays(void)
{
	struct uffd_store *s = must_open("delay?read_ms=200&write_ms=50:below:");
	struct order order = { 0 };
	struct named n[5];

	CHECK(uffd_store_can(s) & LIBUFFD_STORE_CAN_SUBMIT);
	submit(s, &order, &n[0], 'r', LIBUFFD_IO_READ);
	submit(s, &order, &n[1], 'w', LIBUFFD_IO_WRITE);
	submit(s, &order, &n[2], 'x', LIBUFFD_IO_WRITE);
	submit(s, &order, &n[3], 'f', LIBUFFD_IO_FLUSH);
	submit(s, &order, &n[4], 's', LIBUFFD_IO_READ);
	SAME(order.nr, 0);
	land(s, &order, 5);
	CHECK(!strcmp(order.seen, "wxfrs"));
	uffd_store_close(s);
	/* only what is meant to waits */
	s = must_open("delay?read_ms=5:below:");
	order = (struct order){ 0 };
	submit(s, &order, &n[0], 'r', LIBUFFD_IO_READ);
	submit(s, &order, &n[1], 'w', LIBUFFD_IO_WRITE);
	CHECK(!strcmp(order.seen, "w"));
	uffd_store_close(s);
	CHECK(!strcmp(order.seen, "wr"));
}

/* ---- error ------------------------------------------------------------------------------------ */

/* how 1,000 reads go: a word of dots and crosses */
static unsigned outcome(const char *uri, char *ret)
{
	struct uffd_store *s = must_open(uri);
	unsigned nr = 0;
	char buf[8];

	for (unsigned i = 0; i < 1000; i++) {
		bool good = !CALL(uffd_store_read(s, 0, buf, 8));

		ret[i] = good ? '.' : 'x';
		nr += !good;
	}
	ret[1000] = '\0';
	uffd_store_close(s);
	return nr;
}

static void chance(void)
{
	char a[1001], b[1001];
	unsigned nr = outcome("error?rate=0.1&seed=5:below:", a);

	CHECK(nr > 50 && nr < 200);
	SAME(outcome("error?rate=0.1&seed=5:below:", b), nr);
	CHECK(!strcmp(a, b));
	outcome("error?rate=0.1&seed=6:below:", b);
	CHECK(strcmp(a, b));
	SAME(outcome("error?rate=0:below:", a), 0);
	SAME(outcome("error?rate=1:below:", a), 1000);
	SAME(outcome("error?write_rate=1:below:", a), 0);
	SAME(outcome("error?read_rate=1&rate=0:below:", a), 1000);
	SAME(outcome("error?rate=1&after=990:below:", a), 10);
	CHECK(!strchr(a, 'x') || strchr(a, 'x') - a == 990);
}

static void kinds(void)
{
	struct uffd_store *s = must_open("error?rate=1&errno=ENOSPC:below:");
	struct order order = { 0 };
	struct named n;
	char buf[8] = "";

	SAME(uffd_store_read(s, 0, buf, 8), -ENOSPC);
	SAME(uffd_store_write(s, 0, buf, 8), -ENOSPC);
	SAME(uffd_store_flush(s), -ENOSPC);
	SAME(uffd_store_discard(s, 0, 8), -ENOSPC);
	submit(s, &order, &n, 'r', LIBUFFD_IO_READ);
	SAME(order.error, -ENOSPC);
	uffd_store_close(s);
	s = must_open("error?rate=1&errno=61:below:");
	SAME(uffd_store_read(s, 0, buf, 8), -61);
	uffd_store_close(s);
	/* in flight, where the next one can */
	s = must_open("error?write_rate=1:delay?ms=1:below:");
	order = (struct order){ 0 };
	submit(s, &order, &n, 'w', LIBUFFD_IO_WRITE);
	land(s, &order, 1);
	SAME(order.error, -EIO);
	uffd_store_close(s);
}

static unsigned bits_set(const char *buf, size_t len)
{
	unsigned nr = 0;

	for (size_t i = 0; i < len; i++)
		nr += (unsigned)__builtin_popcount(buf[i] & 0xff);
	return nr;
}

static void corrupts(void)
{
	struct uffd_store *s = must_open("error?corrupt=1:below:");
	struct order order = { 0 };
	struct named n;
	char buf[PAGE];

	for (unsigned i = 0; i < 20; i++) {
		SAME(uffd_store_read(s, 0, buf, PAGE), 0);
		SAME(bits_set(buf, PAGE), 1);
	}
	memset(buf, 0, PAGE);
	SAME(uffd_store_write(s, 0, buf, PAGE), 0);
	SAME(bits_set(below.bytes, LEN), 0);
	uffd_store_close(s);
	s = must_open("error?corrupt=1:delay?ms=1:below:");
	submit(s, &order, &n, 'r', LIBUFFD_IO_READ);
	land(s, &order, 1);
	SAME(order.error, 0);
	SAME(bits_set(n.buf, 64), 1);
	uffd_store_close(s);
}

/* ---- retry ------------------------------------------------------------------------------------- */

static void retries(void)
{
	struct uffd_store *s = must_open("retry?times=3&backoff_ms=1:below:");
	char buf[8] = "";

	below.fail = 3;
	SAME(CALL(uffd_store_read(s, 0, buf, 8)), 0);
	SAME(below.reads, 4);
	SAME(stats(s).retries, 3);
	SAME(stats(s).errors, 0);
	below.fail = 4;
	SAME(uffd_store_write(s, 0, buf, 8), -EIO);
	SAME(below.writes, 4);
	SAME(below.fail, 0);
	below.fail = 1;
	SAME(uffd_store_flush(s), 0);
	SAME(below.flushes, 2);
	below.fail = 1;
	SAME(uffd_store_discard(s, 0, 8), 0);
	SAME(below.discards, 2);
	uffd_store_close(s);
}

static void no_retries(void)
{
	static const int finals[] = { -ENOSPC, -EROFS, -EINVAL, -EOPNOTSUPP };
	struct uffd_store *s = must_open("retry?times=3&backoff_ms=0:below:");
	char buf[8] = "";

	for (unsigned i = 0; i < NR(finals); i++) {
		below.error = finals[i];
		below.fail = 1;
		SAME(uffd_store_write(s, 0, buf, 8), finals[i]);
		SAME(below.writes, i + 1);
	}
	uffd_store_close(s);
	/* the first pause would be over after the deadline */
	s = must_open("retry?deadline_ms=10&backoff_ms=20000:below:");
	below.fail = 1;
	SAME(uffd_store_read(s, 0, buf, 8), -EIO);
	SAME(below.reads, 1);
	uffd_store_close(s);
	/* as often as there is time, and then the error */
	s = must_open("retry?times=1000000&deadline_ms=30&backoff_ms=1:below:");
	below.fail = 1000000;
	SAME(uffd_store_read(s, 0, buf, 8), -EIO);
	CHECK(below.reads > 1 && below.reads < 40);
	uffd_store_close(s);
}

static void retries_in_flight(void)
{
	struct uffd_store *s = must_open("retry?times=2&backoff_ms=5:below:");
	struct order order = { 0 };
	struct named n[3];

	below.fail = 2;
	submit(s, &order, &n[0], 'a', LIBUFFD_IO_READ);
	submit(s, &order, &n[1], 'b', LIBUFFD_IO_READ);
	SAME(order.nr, 0);
	submit(s, &order, &n[2], 'c', LIBUFFD_IO_READ);
	CHECK(!strcmp(order.seen, "c")); /* it waits for nobody */
	land(s, &order, 3);
	SAME(order.error, 0);
	SAME(below.reads, 5);
	below.fail = 100;
	order = (struct order){ 0 };
	submit(s, &order, &n[0], 'a', LIBUFFD_IO_WRITE);
	land(s, &order, 1);
	SAME(order.error, -EIO);
	SAME(below.writes, 3);
	uffd_store_close(s);
}

/* ---- cache --------------------------------------------------------------------------------------- */

static void cached(void)
{
	struct uffd_store *s = must_open("cache?size=256K:below:");
	char buf[64 * PAGE];

	memset(below.bytes, 1, LEN);
	SAME(CALL(uffd_store_read(s, 0, buf, 16 * PAGE)), 0);
	SAME(below.reads, 1); /* neighbours at once */
	SAME(below.longest, 16 * PAGE);
	SAME(stats(s).misses, 16);
	memset(below.bytes, 2, LEN); /* behind its back */
	SAME(uffd_store_read(s, 0, buf, 16 * PAGE), 0);
	SAME(buf[5 * PAGE], 1);
	SAME(below.reads, 1);
	SAME(stats(s).hits, 16);
	SAME(stats(s).memory_bytes >> 16, 1); /* 16 pages and small change */
	/* a part brings all of its page */
	SAME(uffd_store_read(s, 100 * PAGE + 5, buf, 10), 0);
	SAME(uffd_store_read(s, 100 * PAGE + 4000, buf, 96), 0);
	SAME(below.reads, 2);
	/* more than fits: still right, and no more memory than said */
	for (unsigned i = 0; i < LEN; i += sizeof(buf))
		SAME(uffd_store_read(s, i, buf, sizeof(buf)), 0);
	CHECK(stats(s).memory_bytes <= (256 << 10) + 4096);
	uffd_store_close(s);
}

static void written(void)
{
	struct uffd_store *s = must_open("cache?size=256K:below:");
	char buf[PAGE];

	memset(buf, 7, PAGE);
	SAME(uffd_store_write(s, PAGE, buf, PAGE), 0);
	SAME(below.bytes[PAGE], 7);
	SAME(uffd_store_read(s, PAGE, buf, PAGE), 0);
	SAME(below.reads, 0);
	SAME(uffd_store_write(s, PAGE + 10, "abc", 3), 0);
	SAME(below.bytes[PAGE + 10], 'a');
	SAME(uffd_store_read(s, PAGE + 9, buf, 5), 0);
	CHECK(!memcmp(buf, "\7abc\7", 5));
	SAME(below.reads, 0);
	/* nobody knows what a failed write has left */
	below.fail = 1;
	SAME(uffd_store_write(s, PAGE, buf, PAGE), -EIO);
	SAME(uffd_store_read(s, PAGE, buf, PAGE), 0);
	SAME(below.reads, 1);
	SAME(buf[10], 'a');
	SAME(uffd_store_discard(s, 0, LEN), 0);
	SAME(uffd_store_read(s, PAGE, buf, PAGE), 0);
	SAME(buf[10], 0);
	SAME(uffd_store_flush(s), 0);
	SAME(below.flushes, 1);
	uffd_store_close(s);
}

static void failed_reads(void)
{
	struct uffd_store *s = must_open("cache?size=256K:below:");
	char buf[PAGE];

	memset(below.bytes, 9, LEN);
	below.fail = 2;
	SAME(uffd_store_read(s, 0, buf, PAGE), -EIO);
	SAME(uffd_store_read(s, 3, buf, 5), -EIO);
	SAME(uffd_store_read(s, 0, buf, PAGE), 0);
	SAME(buf[3], 9);
	uffd_store_close(s);
}

static void cached_in_flight(void)
{
	struct uffd_store *s = must_open("cache?size=256K:delay?ms=2:below:");
	struct order order = { 0 };
	struct named n[3];
	char buf[PAGE];

	SAME(uffd_store_read(s, 0, buf, PAGE), 0);
	submit(s, &order, &n[0], 'h', LIBUFFD_IO_READ);
	CHECK(!strcmp(order.seen, "h")); /* it is here */
	memset(n[1].buf, 5, 64);
	n[1].io.offset = 0;
	submit(s, &order, &n[1], 'w', LIBUFFD_IO_WRITE);
	land(s, &order, 2);
	SAME(order.error, 0);
	SAME(uffd_store_read(s, 0, buf, 64), 0);
	CHECK(!memcmp(buf, below.bytes, 64));
	uffd_store_close(s);
}

/* versions in pages: what is read is never older than what was written before
 */
#define NR_VERSIONS 24u

struct version {
	struct uffd_store *store;
	atomic_ulong written[NR_VERSIONS];
	atomic_bool stop;
	atomic_ulong bad;
};

static void *write_versions(void *data)
{
	struct version *v = data;
	uint64_t page[PAGE / 8];
	struct rnd r = { 11 };

	for (uint64_t n = 1; n < 20000; n++) {
		unsigned i = (unsigned)rnd_below(&r, NR_VERSIONS);

		for (unsigned k = 0; k < PAGE / 8; k++)
			page[k] = n;
		v->bad += uffd_store_write(v->store, i * PAGE, page, PAGE) != 0;
		atomic_store(&v->written[i], n);
	}
	atomic_store(&v->stop, true);
	return NULL;
}

static void *read_versions(void *data)
{
	struct version *v = data;
	uint64_t page[PAGE / 8];
	struct rnd r = { 12 };

	while (!atomic_load(&v->stop)) {
		unsigned i = (unsigned)rnd_below(&r, NR_VERSIONS);
		uint64_t least = atomic_load(&v->written[i]);

		v->bad += uffd_store_read(v->store, i * PAGE, page, PAGE) != 0;
		v->bad += page[0] < least;
	}
	return NULL;
}

/* bytes of a page may be of two versions for who reads while it is written,
 * and a plain store that copies them at the same time is a race by itself:
 * the packed one locks its pages */
static void versions(void)
{
	static struct version v;
	pthread_t threads[2];

	if (uffd_store_open("cache?size=64K:memory:?size=1M&compress=lz4", 0,
			    NULL, &v.store) &&
	    uffd_store_open("cache?size=64K:serial:", 0, NULL, &v.store)) {
		printf("# not tried: needs lz4\n");
		return;
	}
	pthread_create(&threads[0], NULL, write_versions, &v);
	pthread_create(&threads[1], NULL, read_versions, &v);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	SAME(v.bad, 0);
	uffd_store_close(v.store);
}

/* two write the same page: what stays in memory is what stays below */
struct rival {
	struct uffd_store *store;
	pthread_barrier_t *barrier;
	char fill;
	unsigned bad;
};

static void *write_against(void *data)
{
	struct rival *r = data;
	char page[PAGE], got[PAGE];

	for (unsigned i = 0; i < 3000; i++) {
		memset(page, r->fill, PAGE);
		pthread_barrier_wait(r->barrier);
		r->bad += uffd_store_write(r->store, 0, page, PAGE) != 0;
		pthread_barrier_wait(r->barrier);
		r->bad += uffd_store_read(r->store, 0, got, PAGE) != 0;
		r->bad += memcmp(got, below.bytes, PAGE) != 0;
	}
	return NULL;
}

static void rivals(void)
{
	struct uffd_store *s = must_open("cache?size=64K:below:");
	pthread_barrier_t barrier;
	struct rival rivals[2] = {
		{ .store = s, .barrier = &barrier, .fill = 1 },
		{ .store = s, .barrier = &barrier, .fill = 2 },
	};
	pthread_t threads[2];

	pthread_barrier_init(&barrier, NULL, 2);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, write_against, &rivals[i]);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		SAME(rivals[i].bad, 0);
	}
	pthread_barrier_destroy(&barrier);
	uffd_store_close(s);
}

/* ---- what they hand on -------------------------------------------------------------------------------- */

static void hand_on(void)
{
	struct uffd_store *s = must_open("retry:error?rate=0:below:");
	const void *at;

	SAME(uffd_store_length(s), LEN);
	SAME(uffd_store_map(s, 0, 8, &at), -EOPNOTSUPP); /* error has none */
	CHECK(!(uffd_store_can(s) & LIBUFFD_STORE_IS_SIGNAL_SAFE));
	CHECK(uffd_store_can(s) & LIBUFFD_STORE_IS_PARALLEL);
	CHECK(!(uffd_store_can(s) & LIBUFFD_STORE_CAN_EXTENTS));
	uffd_store_close(s);
	s = must_open("retry:below:");
	SAME(uffd_store_map(s, 8, 8, &at), 0);
	CHECK(at == below.bytes + 8);
	uffd_store_close(s);
	s = must_open("cache?size=4K:error?rate=0:memory:?size=1M");
	CHECK(uffd_store_can(s) & LIBUFFD_STORE_IS_SIGNAL_SAFE);
	CHECK(uffd_store_can(s) & LIBUFFD_STORE_CAN_EXTENTS);
	SAME(uffd_store_fd(s), -1);
	SAME(uffd_store_write(s, 0, "x", 1), 0);
	SAME(stats(s).held_bytes, PAGE);
	uffd_store_close(s);
}

static const struct promise promises[] = {
	{ "delayed requests come in their time and hold up no other", delays },
	{ "what fails depends on the seed alone", chance },
	{ "requests fail with the errno that was asked for", kinds },
	{ "corrupt turns over one bit, of reads alone", corrupts },
	{ "what fails is tried again, so often and no more", retries },
	{ "what can't be mended or is too late is not", no_retries },
	{ "a request that is tried again holds up no other",
	  retries_in_flight },
	{ "what was read is read from memory", cached },
	{ "writes go through, and are read from memory", written },
	{ "a read that failed leaves nothing behind", failed_reads },
	{ "requests in flight are kept as well", cached_in_flight },
	{ "what is read is never older than what was written", versions },
	{ "what several write at once stays as it is below", rivals },
	{ "what they don't do themselves is the next one's", hand_on },
};

int main(void)
{
	if (uffd_store_add(&below_ops))
		return 1;
	return keep_all(promises, NR(promises));
}
