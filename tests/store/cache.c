/* SPDX-License-Identifier: MIT */
/*
 * The cache: what is read from memory is what is below.
 */
#include "below.h"
#include "rnd.h"

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

static const struct promise promises[] = {
	{ "what was read is read from memory", cached },
	{ "writes go through, and are read from memory", written },
	{ "a read that failed leaves nothing behind", failed_reads },
	{ "requests in flight are kept as well", cached_in_flight },
	{ "what is read is never older than what was written", versions },
	{ "what several write at once stays as it is below", rivals },
};

int main(void)
{
	if (uffd_store_add(&below_ops))
		return 1;
	return keep_all(promises, NR(promises));
}
