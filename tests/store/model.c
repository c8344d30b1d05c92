/* SPDX-License-Identifier: MIT */
/*
 * Every store, and stacks of them, against a plain array: random reads,
 * writes, discards, flushes, extents and maps at random places of random
 * lengths, here and now and in flight, by one thread and by several. Threads
 * share the store and even pages, but no byte.
 *
 *	model [--seed N] [--steps N]
 */
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <uffd/store.h>

#include "../seam/promise.h"
#include "dir.h"
#include "rnd.h"
#include "serial.h"

#define SIZE (48 * 4096 + 1234)
#define NR_THREADS 3
#define NR_IOS 6
#define LEN_MAX (5 * 4096)

/* %s is a directory */
static const char *const uris[] = {
	"memory:?size=197842",
	"memory:?size=197842&huge=on",
	"memory:?size=197842&compress=lz4",
	"memory:?size=197842&compress=zstd&level=3",
	"serial:?size=197842",
	"file:%s/auto?size=197842",
	"file:%s/off?size=197842&direct=off",
	"file:%s/dense?size=197842&offset=8192&sparse=off",
	"file:%s/odd?size=197842&offset=777",
	"delay?us=50:memory:?size=197842&compress=lz4",
	"delay?us=30:file:%s/delay?size=197842",
	"retry?times=100&backoff_ms=0:error?rate=0.2&seed=3:"
	"file:%s/retry?size=197842",
	"retry?times=100&backoff_ms=0:error?rate=0.2:serial:?size=197842",
	"cache?size=4K:memory:?size=197842",
	"cache?size=64K:file:%s/cache?size=197842",
	"cache?size=1M:serial:?size=197842",
	"cache?size=100K:retry?times=100&backoff_ms=0:error?rate=0.1:"
	"delay?us=20:cache?size=30K:file:%s/all?size=197842&direct=off",
};

struct worker {
	struct uffd_store *store;
	struct rnd rnd;
	char *model;		/* of all bytes; only ours are used */
	uint64_t begin, end;	/* ours */
	unsigned steps;
	char trouble[200];	/* "" if all is well */
};

struct flying {
	struct uffd_io io;
	_Alignas(4096) char buf[LEN_MAX + 64];
	atomic_int done;	/* calls of done */
	int error;
};

static void trouble(struct worker *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void trouble(struct worker *w, const char *format, ...)
{
	va_list args;

	if (w->trouble[0])
		return;
	va_start(args, format);
	vsnprintf(w->trouble, sizeof(w->trouble), format, args);
	va_end(args);
}

/* a part of what is ours; now and then all of a page, or several */
static void pick(struct worker *w, uint64_t *offset, size_t *len)
{
	uint64_t span = w->end - w->begin, room;

	*offset = w->begin + rnd_below(&w->rnd, span);
	if (rnd_below(&w->rnd, 2) && (*offset & ~4095ull) >= w->begin)
		*offset &= ~4095ull;
	room = w->end - *offset;
	if (room > LEN_MAX)
		room = LEN_MAX;
	*len = 1 + rnd_below(&w->rnd, room);
	if (rnd_below(&w->rnd, 2) && *len > 4096)
		*len &= ~4095ull;
}

/* mostly aligned to a page, sometimes not at all */
static char *shift(struct worker *w, char *buf)
{
	return rnd_below(&w->rnd, 3) ? buf : buf + rnd_below(&w->rnd, 64);
}

static void compare(struct worker *w, const char *what, uint64_t offset,
		    const void *buf, size_t len)
{
	const char *got = buf;

	for (size_t i = 0; i < len; i++) {
		if (got[i] == w->model[offset + i])
			continue;
		trouble(w, "%s of %zu at %llu: byte %zu is %#x, not %#x", what,
			len, (unsigned long long)offset, i, got[i] & 0xff,
			w->model[offset + i] & 0xff);
		return;
	}
}

static void must(struct worker *w, const char *what, int err)
{
	if (err < 0)
		trouble(w, "%s: %s", what, strerror(-err));
}

static void do_read(struct worker *w, char *buf)
{
	uint64_t offset;
	size_t len;

	pick(w, &offset, &len);
	buf = shift(w, buf);
	memset(buf, 0xee, len);
	must(w, "read", uffd_store_read(w->store, offset, buf, len));
	compare(w, "read", offset, buf, len);
}

static void do_write(struct worker *w, char *buf)
{
	uint64_t offset;
	size_t len;

	pick(w, &offset, &len);
	buf = shift(w, buf);
	rnd_fill(&w->rnd, buf, len);
	memcpy(w->model + offset, buf, len);
	must(w, "write", uffd_store_write(w->store, offset, buf, len));
}

static void do_discard(struct worker *w)
{
	uint64_t offset;
	size_t len;

	pick(w, &offset, &len);
	memset(w->model + offset, 0, len);
	must(w, "discard", uffd_store_discard(w->store, offset, len));
}

/* what is said to be zeros must be */
static void do_extents(struct worker *w)
{
	static const char none[SIZE];
	struct uffd_extent list[4];
	uint64_t offset, at;
	size_t len;
	int n;

	pick(w, &offset, &len);
	n = uffd_store_extents(w->store, offset, len, list, 4);
	must(w, "extents", n);
	if (n == 0)
		trouble(w, "no extents");
	at = offset;
	for (int i = 0; i < n; i++) {
		if (list[i].offset != at || !list[i].len)
			trouble(w, "extent %d begins elsewhere", i);
		at += list[i].len;
		if (at > offset + len)
			trouble(w, "extent %d is too long", i);
		else if (list[i].flags & LIBUFFD_EXTENT_ZERO)
			compare(w, "zero extent", list[i].offset, none,
				list[i].len);
	}
}

static void do_map(struct worker *w)
{
	uint64_t offset;
	const void *at;
	size_t len;
	int err;

	pick(w, &offset, &len);
	err = uffd_store_map(w->store, offset, len, &at);
	if (err == 0)
		compare(w, "map", offset, at, len);
	else if (err != -EOPNOTSUPP)
		must(w, "map", err);
}

/* ---- in flight ---------------------------------------------------------------------- */

static void flying_done(struct uffd_io *io, int error)
{
	struct flying *f = io->user;

	f->error = error;
	atomic_fetch_add(&f->done, 1);
}

/* the next of some requests that don't meet each other */
static void prepare(struct worker *w, struct flying *f, uint64_t begin,
		    uint64_t end)
{
	uint64_t room = end - begin < LEN_MAX ? end - begin : LEN_MAX;
	unsigned what = (unsigned)rnd_below(&w->rnd, 9);

	memset(&f->io, 0, sizeof(f->io));
	f->io.op = what == 0 ? LIBUFFD_IO_FLUSH :
		   what < 5 ? LIBUFFD_IO_READ : LIBUFFD_IO_WRITE;
	f->io.flags = rnd_below(&w->rnd, 2) ? LIBUFFD_IO_AHEAD : 0;
	f->io.offset = begin;
	f->io.len = 1 + rnd_below(&w->rnd, room);
	f->io.buf = shift(w, f->buf);
	f->io.done = flying_done;
	f->io.user = f;
	atomic_store(&f->done, 0);
	if (f->io.op == LIBUFFD_IO_READ)
		memset(f->io.buf, 0xdd, f->io.len);
	if (f->io.op != LIBUFFD_IO_WRITE)
		return;
	rnd_fill(&w->rnd, f->io.buf, f->io.len);
	memcpy(w->model + begin, f->io.buf, f->io.len);
}

static void wait_a_little(struct worker *w)
{
	struct pollfd pfd = { uffd_store_fd(w->store), POLLIN, 0 };

	/* another thread may have taken what we wait for */
	poll(&pfd, 1, 5);
	must(w, "dispatch", uffd_store_dispatch(w->store));
}

static void land(struct worker *w, struct flying *f)
{
	while (!atomic_load(&f->done))
		wait_a_little(w);
	if (atomic_load(&f->done) != 1)
		trouble(w, "answered %d times", atomic_load(&f->done));
	must(w, "request", f->error);
	if (f->io.op == LIBUFFD_IO_READ)
		compare(w, "request", f->io.offset, f->io.buf, f->io.len);
}

static void do_flight(struct worker *w, struct flying *flying)
{
	uint64_t at = w->begin, part = (w->end - w->begin) / NR_IOS;
	unsigned nr = 1 + (unsigned)rnd_below(&w->rnd, NR_IOS);

	for (unsigned i = 0; i < nr; i++, at += part) {
		uint64_t begin = at + rnd_below(&w->rnd, part / 2);
		int err;

		if (rnd_below(&w->rnd, 2) && (begin & ~4095ull) >= at)
			begin &= ~4095ull;
		prepare(w, &flying[i], begin, at + part);
		while ((err = uffd_store_submit(w->store, &flying[i].io)) ==
		       -EAGAIN)
			wait_a_little(w);
		must(w, "submit", err);
	}
	for (unsigned i = 0; i < nr; i++)
		land(w, &flying[i]);
}

/* ---- one thread, and several ------------------------------------------------------------ */

static void step(struct worker *w, char *buf, struct flying *flying)
{
	switch (rnd_below(&w->rnd, 12)) {
	case 0:
	case 1:
	case 2:
		do_read(w, buf);
		break;
	case 3:
	case 4:
	case 5:
		do_write(w, buf);
		break;
	case 6:
		do_discard(w);
		break;
	case 7:
		do_extents(w);
		break;
	case 8:
		do_map(w);
		break;
	case 9:
		if (rnd_below(&w->rnd, 8) == 0)
			must(w, "flush", uffd_store_flush(w->store));
		uffd_store_prefetch(w->store, w->begin, w->end - w->begin);
		break;
	default:
		do_flight(w, flying);
	}
}

static void *work(void *data)
{
	struct worker *w = data;
	struct flying *flying = aligned_alloc(4096, NR_IOS * sizeof(*flying));
	char *buf = aligned_alloc(4096, LEN_MAX + 4096);

	for (unsigned i = 0; i < w->steps && !w->trouble[0]; i++)
		step(w, buf, flying);
	free(flying);
	free(buf);
	return NULL;
}

/* all of it once more, past the end too */
static void check_all(struct worker *w)
{
	static char buf[SIZE + 5000];

	memset(buf, 0xcc, sizeof(buf));
	must(w, "read", uffd_store_read(w->store, 0, buf, sizeof(buf)));
	compare(w, "all", 0, buf, SIZE);
	for (size_t i = SIZE; i < sizeof(buf); i++)
		if (buf[i])
			trouble(w, "no zero past the end");
}

static bool run(struct uffd_store *store, char *model, unsigned nr,
		uint64_t seed, unsigned steps)
{
	struct worker workers[NR_THREADS];
	pthread_t threads[NR_THREADS];
	bool good = true;

	for (unsigned i = 0; i < nr; i++) {
		workers[i] = (struct worker){
			.store = store,
			.rnd = { seed + i },
			.model = model,
			.begin = (uint64_t)SIZE * i / nr,
			.end = (uint64_t)SIZE * (i + 1) / nr,
			.steps = steps,
		};
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			abort();
	}
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	check_all(&workers[0]);
	for (unsigned i = 0; i < nr; i++) {
		if (!workers[i].trouble[0])
			continue;
		printf("# thread %u of %u: %s\n", i, nr, workers[i].trouble);
		good = false;
	}
	return good;
}

static const char *try_uri(const char *uri, const char *dir, uint64_t seed,
			   unsigned steps, bool *good)
{
	static char model[SIZE];
	struct uffd_reason why;
	struct uffd_store *store;
	char text[PATH_MAX];
	int err;

	*good = true;
	snprintf(text, sizeof(text), uri, dir);
	err = uffd_store_open(text, strstr(uri, "file:") ?
			      LIBUFFD_STORE_CREATE : 0, &why, &store);
	if (err == -EOPNOTSUPP)
		return strstr(uri, "zstd") ? "no zstd" : "no lz4";
	if (err) {
		printf("# %s\n", why.text);
		*good = false;
		return NULL;
	}
	memset(model, 0, sizeof(model));
	*good = uffd_store_length(store) == SIZE &&
		run(store, model, 1, seed, steps) &&
		run(store, model, NR_THREADS, seed + 100, steps);
	uffd_store_close(store);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t seed = rnd_seed(argc, argv);
	unsigned steps = 400, bad = 0;
	struct dir dir;

	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--steps"))
			steps = (unsigned)strtoul(argv[i + 1], NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	dir_make(&dir);
	if (uffd_store_add(&serial_ops))
		abort();
	printf("1..%zu\n", NR(uris));
	for (unsigned i = 0; i < NR(uris); i++) {
		bool good;
		const char *skip = try_uri(uris[i], dir.path, seed, steps,
					   &good);

		bad += !good;
		printf("%sok %u - %.60s is like an array%s%s\n",
		       good ? "" : "not ", i + 1, uris[i],
		       skip ? " # SKIP " : "", skip ? skip : "");
	}
	dir_remove(&dir);
	return bad > 0;
}
