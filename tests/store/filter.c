/* SPDX-License-Identifier: MIT */
/*
 * The stores that stand before another: delay, error, retry.
 */
#include "below.h"

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
	{ "what they don't do themselves is the next one's", hand_on },
};

int main(void)
{
	if (uffd_store_add(&below_ops))
		return 1;
	return keep_all(promises, NR(promises));
}
