/* SPDX-License-Identifier: MIT */
/*
 * What the core adds to every store: its end, its zeros, its lock, its
 * counters, and one answer for each request.
 */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <uffd/store.h>

#include "../seam/promise.h"
#include "serial.h"

static struct uffd_store *must_open(const char *uri, unsigned flags)
{
	struct uffd_store *s = NULL;
	struct uffd_reason why;

	if (uffd_store_open(uri, flags, &why, &s)) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	return s;
}

/* ---- a store that a test answers for --------------------------------------------------- */

/* what the scripted store does; open is not given anything to hold it */
static struct {
	int extents;
	struct uffd_extent list[4];
	int discards;
	int answer;
	struct uffd_io *held[8];	/* submitted, not yet answered */
	unsigned nr_held;
	int submit;
	bool now;			/* answer in submit */
} script;

static int script_open(const struct uffd_store_args *args, void **ret)
{
	(void)args;
	*ret = &script;
	return 0;
}

static void script_close(void *state)
{
	(void)state;
}

static int script_length(void *state, uint64_t *ret)
{
	(void)state;
	*ret = 10000;
	return 0;
}

static int script_read(void *state, uint64_t offset, void *buf, size_t len)
{
	(void)state;
	SAME(offset + len <= 10000, true);
	CHECK(len > 0);
	memset(buf, 'r', len);
	return script.answer;
}

static int script_write(void *state, uint64_t offset, const void *buf,
			size_t len)
{
	(void)state;
	(void)buf;
	CHECK(offset + len <= 10000 && len > 0);
	return script.answer;
}

static int script_discard(void *state, uint64_t offset, uint64_t len)
{
	(void)state;
	CHECK(offset + len <= 10000 && len > 0);
	script.discards++;
	return script.answer;
}

static int script_extents(void *state, uint64_t offset, uint64_t len,
			  struct uffd_extent *ret, unsigned cap)
{
	(void)state;
	(void)offset;
	(void)len;
	for (int i = 0; i < script.extents && (unsigned)i < cap; i++)
		ret[i] = script.list[i];
	return script.extents;
}

static int script_submit(void *state, struct uffd_io *io)
{
	(void)state;
	CHECK(io->op == LIBUFFD_IO_FLUSH || io->offset + io->len <= 10000);
	if (script.submit)
		return script.submit;
	if (script.now)
		io->done(io, script.answer);
	else
		script.held[script.nr_held++] = io;
	return 0;
}

static int script_fd(void *state)
{
	(void)state;
	return -1;
}

static int script_dispatch(void *state)
{
	(void)state;
	while (script.nr_held) {
		struct uffd_io *io = script.held[--script.nr_held];

		io->done(io, script.answer);
	}
	return 0;
}

static const struct uffd_store_ops script_ops = {
	.sz = sizeof(script_ops),
	.api = LIBUFFD_STORE_API,
	.name = "script",
	.also = (const char *const[]){ "script+x", "script+y", NULL },
	.open = script_open,
	.close = script_close,
	.length = script_length,
	.read = script_read,
	.write = script_write,
	.discard = script_discard,
	.extents = script_extents,
	.submit = script_submit,
	.fd = script_fd,
	.dispatch = script_dispatch,
};

/* ---- the end ------------------------------------------------------------------------------ */

static void end(void)
{
	struct uffd_store *s = must_open("script:", 0);
	char buf[64];

	memset(&script, 0, sizeof(script));
	memset(buf, 'x', sizeof(buf));
	SAME(CALL(uffd_store_read(s, 9990, buf, 20)), 0);
	CHECK(!memcmp(buf, "rrrrrrrrrr\0\0\0\0\0\0\0\0\0\0x", 21));
	memset(buf, 'x', sizeof(buf));
	SAME(uffd_store_read(s, 10000, buf, 2), 0);
	CHECK(!memcmp(buf, "\0\0x", 3));
	SAME(uffd_store_read(s, UINT64_MAX, buf, 20), 0);
	SAME(uffd_store_read(s, 0, buf, 0), 0);
	SAME(uffd_store_write(s, 9990, buf, 10), 0);
	SAME(uffd_store_write(s, 9990, buf, 11), -EINVAL);
	SAME(uffd_store_write(s, UINT64_MAX, buf, 2), -EINVAL);
	SAME(uffd_store_write(s, 10000, buf, 0), 0);
	SAME(uffd_store_discard(s, 9990, 1ull << 60), 0);
	SAME(script.discards, 1);
	SAME(uffd_store_discard(s, 10000, 1), 0);
	SAME(script.discards, 1);
	uffd_store_close(s);
}

static void answers(void)
{
	struct uffd_store *s = must_open("script:", 0);
	struct uffd_store_stats st;
	char buf[8];

	memset(&script, 0, sizeof(script));
	script.answer = -ENODATA;
	SAME(CALL(uffd_store_read(s, 0, buf, 8)), -ENODATA);
	SAME(CALL(uffd_store_write(s, 0, buf, 8)), -ENODATA);
	SAME(CALL(uffd_store_discard(s, 0, 8)), -ENODATA);
	script.answer = 8; /* a count, as careless stores return */
	SAME(uffd_store_read(s, 0, buf, 8), -EIO);
	script.answer = -EOPNOTSUPP; /* no discarding: zeros fail as well */
	SAME(uffd_store_discard(s, 0, 8), -EOPNOTSUPP);
	uffd_store_stats(s, &st);
	SAME(st.errors, 5);
	SAME(st.reads, 2);
	SAME(st.read_bytes, 0);
	SAME(st.writes, 1);
	SAME(st.discards, 2);
	uffd_store_close(s);
}

static void read_only(void)
{
	struct uffd_store *s = must_open("script:", LIBUFFD_STORE_RDONLY);
	char buf[8] = "";

	memset(&script, 0, sizeof(script));
	SAME(uffd_store_write(s, 0, buf, 8), -EROFS);
	SAME(uffd_store_write(s, 20000, buf, 8), -EROFS);
	SAME(uffd_store_discard(s, 0, 8), -EROFS);
	SAME(uffd_store_can(s) & LIBUFFD_STORE_CAN_WRITE, 0);
	SAME(uffd_store_can(s) & LIBUFFD_STORE_CAN_DISCARD, 0);
	uffd_store_close(s);
}

static void extents(void)
{
	struct uffd_store *s = must_open("script:", 0);
	const uint32_t hole = LIBUFFD_EXTENT_HOLE | LIBUFFD_EXTENT_ZERO;
	struct uffd_extent got[8];

	memset(&script, 0, sizeof(script));
	SAME(uffd_store_extents(s, 0, 0, got, 8), -EINVAL);
	SAME(uffd_store_extents(s, 0, 1, got, 0), -EINVAL);
	SAME(uffd_store_extents(s, 2, UINT64_MAX, got, 8), -EINVAL);
	/* knows nothing: data, and past the end a hole */
	SAME(uffd_store_extents(s, 9000, 2000, got, 8), 2);
	CHECK(got[0].offset == 9000 && got[0].len == 1000 && !got[0].flags);
	CHECK(got[1].offset == 10000 && got[1].len == 1000 &&
	      got[1].flags == hole);
	SAME(uffd_store_extents(s, 9000, 2000, got, 1), 1);
	SAME(uffd_store_extents(s, 10000, 5, got, 8), 1);
	CHECK(got[0].flags == hole && got[0].len == 5);
	/* neighbours become one, too much is cut, a hole joins the end */
	script.extents = 4;
	script.list[0] = (struct uffd_extent){ 0, 100, 0, 7 };
	script.list[1] = (struct uffd_extent){ 100, 100, 0, 0 };
	script.list[2] = (struct uffd_extent){ 200, 300, hole, 0 };
	script.list[3] = (struct uffd_extent){ 500, 90000, hole, 0 };
	SAME(uffd_store_extents(s, 0, 20000, got, 8), 2);
	CHECK(got[0].len == 200 && !got[0].flags && !got[0].reserved);
	CHECK(got[1].offset == 200 && got[1].len == 19800);
	/* nonsense is not handed on */
	script.list[1].offset = 101;
	SAME(uffd_store_extents(s, 0, 20000, got, 8), -EIO);
	script.extents = -EOPNOTSUPP;
	SAME(uffd_store_extents(s, 0, 10, got, 8), 1);
	script.extents = -EIO;
	SAME(uffd_store_extents(s, 0, 10, got, 8), -EIO);
	uffd_store_close(s);
}

static void names(void)
{
	struct uffd_store *s = must_open("script+y:", 0);

	CHECK(!strcmp(uffd_store_uri(s), "script+y:"));
	SAME(uffd_store_length(s), 10000);
	uffd_store_close(s);
	uffd_store_close(NULL);
}

/* ---- one thread at a time ----------------------------------------------------------------- */

static void *visit(void *data)
{
	char buf[4096];
	long bad = 0;

	for (int i = 0; i < 5000; i++) {
		errno = 5;
		bad += uffd_store_read(data, 0, buf, sizeof(buf)) != 0;
		bad += uffd_store_write(data, 4096, buf, sizeof(buf)) != 0;
		bad += errno != 5;
	}
	return (void *)bad;
}

static void serial(void)
{
	struct uffd_store *s = must_open("serial:?size=8K", 0);
	pthread_t threads[3];
	void *bad;

	SAME(uffd_store_can(s), LIBUFFD_STORE_CAN_WRITE);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, visit, s);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], &bad);
		SAME((long)bad, 0);
	}
	uffd_store_close(s);
}

/* ---- requests ------------------------------------------------------------------------------ */

struct seen {
	unsigned nr;
	int error;
	pthread_t thread;
};

static void seen_done(struct uffd_io *io, int error)
{
	struct seen *seen = io->user;

	seen->nr++;
	seen->error = error;
	seen->thread = pthread_self();
}

static struct uffd_io request(enum uffd_io_op op, uint64_t offset, void *buf,
			      size_t len, struct seen *seen)
{
	*seen = (struct seen){ 0 };
	return (struct uffd_io){
		.op = op,
		.offset = offset,
		.len = len,
		.buf = buf,
		.done = seen_done,
		.user = seen,
	};
}

static void once(struct uffd_store *s, struct uffd_io *io, int error)
{
	struct seen *seen = io->user;

	SAME(CALL(uffd_store_submit(s, io)), 0);
	SAME(seen->nr, 1);
	SAME(seen->error, error);
	seen->nr = 0;
}

static void refused(void)
{
	struct uffd_store *s = must_open("script:", 0);
	char buf[32] = "";
	struct seen seen;
	struct uffd_io io = request(LIBUFFD_IO_READ, 0, buf, 8, &seen);

	memset(&script, 0, sizeof(script));
	io.op = 0;
	once(s, &io, -EINVAL);
	io.op = LIBUFFD_IO_FLUSH + 1;
	once(s, &io, -EINVAL);
	io.op = LIBUFFD_IO_READ;
	io.flags = ~LIBUFFD_IO_AHEAD;
	once(s, &io, -EINVAL);
	io = request(LIBUFFD_IO_WRITE, 9999, buf, 2, &seen);
	once(s, &io, -EINVAL);
	io = request(LIBUFFD_IO_READ, 20000, memset(buf, 'x', 4), 4, &seen);
	once(s, &io, 0);
	CHECK(!memcmp(buf, "\0\0\0\0", 4));
	script.submit = -ENETDOWN;
	io = request(LIBUFFD_IO_READ, 0, buf, 4, &seen);
	once(s, &io, -ENETDOWN);
	script.submit = -EAGAIN;
	SAME(uffd_store_submit(s, &io), -EAGAIN);
	SAME(seen.nr, 0);
	SAME(uffd_store_dispatch(s), 0);
	uffd_store_close(s);
}

static void in_flight(void)
{
	struct uffd_store *s = must_open("script:", 0);
	struct uffd_store_stats st;
	char buf[3][32];
	struct seen seen[3];
	struct uffd_io io[3] = {
		request(LIBUFFD_IO_READ, 9996, buf[0], 8, &seen[0]),
		request(LIBUFFD_IO_WRITE, 0, buf[1], 8, &seen[1]),
		request(LIBUFFD_IO_FLUSH, 0, NULL, 0, &seen[2]),
	};

	memset(&script, 0, sizeof(script));
	memset(buf, 'x', sizeof(buf));
	CHECK(uffd_store_can(s) & LIBUFFD_STORE_CAN_SUBMIT);
	for (unsigned i = 0; i < 3; i++)
		SAME(CALL(uffd_store_submit(s, &io[i])), 0);
	SAME(script.nr_held, 3);
	CHECK(!memcmp(buf[0] + 4, "\0\0\0\0x", 5));
	for (unsigned i = 0; i < 3; i++)
		SAME(seen[i].nr, 0);
	SAME(CALL(uffd_store_dispatch(s)), 3);
	SAME(uffd_store_dispatch(s), 0);
	for (unsigned i = 0; i < 3; i++)
		SAME(seen[i].nr, 1);
	uffd_store_stats(s, &st);
	CHECK(st.reads == 1 && st.writes == 1 && st.flushes == 1);
	CHECK(st.read_bytes == 8 && st.write_bytes == 8 && !st.errors);
	uffd_store_close(s);
}

static void too_many(void)
{
	struct uffd_store *s = must_open("delay?ms=100:zero:?size=1M", 0);
	static struct uffd_io io[2048];
	static char buf[16];
	struct seen seen = { 0 };
	unsigned nr = 0;

	for (; nr < 2048; nr++) {
		io[nr] = (struct uffd_io){
			.op = LIBUFFD_IO_READ,
			.buf = buf,
			.len = 16,
			.done = seen_done,
			.user = &seen,
		};
		if (uffd_store_submit(s, &io[nr]) == -EAGAIN)
			break;
	}
	CHECK(nr >= 64 && nr < 2048);
	SAME(seen.nr, 0);
	uffd_store_close(s);
	SAME(seen.nr, nr);
	SAME(seen.error, 0);
}

/* each done submits the next: a chain longer than any stack */
struct chain {
	struct uffd_store *store;
	struct uffd_io io;
	unsigned left;
	char buf[8];
	char *deepest;
};

static void chain_done(struct uffd_io *io, int error)
{
	struct chain *c = io->user;
	char here;

	if (error || c->left == 0)
		return;
	if (!c->deepest || &here < c->deepest)
		c->deepest = &here;
	c->left--;
	if (uffd_store_submit(c->store, io))
		c->left = 0;
}

static void chained(const char *uri)
{
	struct uffd_store *s = must_open(uri, 0);
	struct chain c = { .store = s, .left = 200000 };
	char here;

	c.io = (struct uffd_io){ .op = LIBUFFD_IO_READ, .buf = c.buf,
				 .len = 8, .done = chain_done, .user = &c };
	SAME(uffd_store_submit(s, &c.io), 0);
	SAME(c.left, 0);
	CHECK(&here - c.deepest < 16384);
	uffd_store_close(s);
}

static void chains(void)
{
	memset(&script, 0, sizeof(script));
	script.now = true;
	chained("zero:?size=8");
	chained("script:");
	chained("retry:error?rate=0:script:");
}

/* a done that frees the request, while others are handed on */
static void free_done(struct uffd_io *io, int error)
{
	(*(unsigned *)io->user) += error == 0;
	free(io);
}

static void freed(void)
{
	struct uffd_store *s = must_open("script:", 0);
	unsigned nr = 0;

	memset(&script, 0, sizeof(script));
	for (unsigned i = 0; i < 8; i++) {
		struct uffd_io *io = calloc(1, sizeof(*io));

		io->op = LIBUFFD_IO_FLUSH;
		io->done = free_done;
		io->user = &nr;
		SAME(uffd_store_submit(s, io), 0);
	}
	SAME(uffd_store_dispatch(s), 8);
	SAME(nr, 8);
	uffd_store_close(s);
}

static void twice(void)
{
	struct uffd_store *s = must_open("script:", 0);
	struct seen seen;
	char buf[8];
	struct uffd_io io = request(LIBUFFD_IO_READ, 0, buf, 8, &seen);
	struct uffd_io *theirs;

	memset(&script, 0, sizeof(script));
	SAME(uffd_store_submit(s, &io), 0);
	theirs = script.held[0];
	SAME(uffd_store_dispatch(s), 1);
	theirs->done(theirs, 0);
	SAME(seen.nr, 1);
	uffd_store_close(s);
}

static const struct promise promises[] = {
	{ "past the end are zeros to read, and nothing to write", end },
	{ "errors are handed on, counts are not, errno stays", answers },
	{ "opened read-only nothing is written", read_only },
	{ "extents are in order, merged, within what was asked", extents },
	{ "a store answers to all its names", names },
	{ "a store that is not parallel has one visitor at a time", serial },
	{ "bad requests are answered, too many are not taken", refused },
	{ "requests in flight are answered once, in dispatch", in_flight },
	{ "closing waits for what is in flight", too_many },
	{ "a chain of requests needs no stack", chains },
	{ "a done function may free its request", freed },
	{ "a second answer is not handed on", twice },
};

int main(void)
{
	if (uffd_store_add(&serial_ops) || uffd_store_add(&script_ops))
		return 1;
	return keep_all(promises, NR(promises));
}
