/* SPDX-License-Identifier: MIT */
/*
 * The memory store: what takes nothing, what is given back, what it may use
 * in a signal handler.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <uffd/store.h>

#include "../../lib/store/slab.h"
#include "../seam/promise.h"
#include "rnd.h"

#define PAGE 4096u

static struct uffd_store *must_open(const char *uri)
{
	struct uffd_store *s = NULL;
	struct uffd_reason why;
	int err = uffd_store_open(uri, 0, &why, &s);

	if (err && err != -EOPNOTSUPP)
		printf("# %s\n", why.text);
	CHECK(s || err == -EOPNOTSUPP);
	return s;
}

static struct uffd_store_stats stats(struct uffd_store *s)
{
	struct uffd_store_stats st;

	uffd_store_stats(s, &st);
	return st;
}

static void write_page(struct uffd_store *s, uint64_t page, const void *from)
{
	SAME(CALL(uffd_store_write(s, page * PAGE, from, PAGE)), 0);
}

static void is_page(struct uffd_store *s, uint64_t page, const void *want)
{
	char buf[PAGE];

	SAME(CALL(uffd_store_read(s, page * PAGE, buf, PAGE)), 0);
	CHECK(!memcmp(buf, want, PAGE));
}

static void noise(struct rnd *r, void *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((char *)to)[i] = (char)(rnd_next(r) >> 11);
}

/* len bytes of noise, then one byte over and over: packs to about len */
static void mixture(struct rnd *r, char *to, size_t len)
{
	memset(to, (int)rnd_next(r), PAGE);
	noise(r, to, len);
}

static const char *const packed[] = {
	"memory:?size=64M&compress=lz4",
	"memory:?size=64M&compress=zstd",
};

/* for each that is built in */
static void each(void (*try)(struct uffd_store *s))
{
	for (unsigned i = 0; i < NR(packed); i++) {
		struct uffd_store *s = must_open(packed[i]);

		if (!s)
			continue;
		try(s);
		uffd_store_close(s);
	}
}

/* ---- what pages take ----------------------------------------------------------------------- */

static void try_nothing(struct uffd_store *s)
{
	struct rnd r = { 1 };
	char page[PAGE];
	uint64_t before = stats(s).memory_bytes;

	memset(page, 0, PAGE);
	for (unsigned i = 0; i < 1000; i++)
		write_page(s, i, page);
	SAME(stats(s).held_bytes, 0);
	memset(page, 0x77, PAGE);
	for (unsigned i = 0; i < 1000; i++)
		write_page(s, i, page);
	SAME(stats(s).held_bytes, 1000 * PAGE);
	SAME(stats(s).packed_bytes, 0);
	SAME(stats(s).memory_bytes, before);
	is_page(s, 999, page);
	/* nearly the same all over is not the same */
	page[PAGE - 9] ^= 1;
	write_page(s, 5, page);
	is_page(s, 5, page);
	page[PAGE - 9] ^= 1;
	is_page(s, 6, page);
	/* 8 bytes over and over that are not 4 over and over */
	for (unsigned i = 0; i < PAGE; i += 8)
		memcpy(page + i, "abcdefgh", 8);
	write_page(s, 7, page);
	is_page(s, 7, page);
	noise(&r, page, PAGE);
	write_page(s, 8, page);
	is_page(s, 8, page);
	memset(page, 0, PAGE);
	for (unsigned i = 0; i < 1000; i++)
		write_page(s, i, page);
	SAME(stats(s).held_bytes, 0);
	SAME(stats(s).packed_bytes, 0);
}

static void nothing(void)
{
	each(try_nothing);
}

static void try_whole(struct uffd_store *s)
{
	struct rnd r = { 2 };
	char page[PAGE];

	noise(&r, page, PAGE);
	write_page(s, 0, page);
	is_page(s, 0, page);
	SAME(stats(s).packed_bytes, PAGE);
	write_page(s, 1, page);
	SAME(stats(s).packed_bytes, 2 * PAGE);
	mixture(&r, page, 2000);
	write_page(s, 1, page);
	is_page(s, 1, page);
	CHECK(stats(s).packed_bytes > PAGE + 2000);
	CHECK(stats(s).packed_bytes < PAGE + 2200);
	SAME(stats(s).held_bytes, 2 * PAGE);
	SAME(uffd_store_discard(s, 0, PAGE), 0);
	CHECK(stats(s).packed_bytes < 2200);
	SAME(stats(s).held_bytes, PAGE);
}

static void whole(void)
{
	each(try_whole);
}

/* ---- what is given back ----------------------------------------------------------------------- */

#define NR_PAGES 8192u

static void try_back(struct uffd_store *s)
{
	struct rnd r = { 3 };
	char page[PAGE];
	uint64_t most;

	for (unsigned i = 0; i < NR_PAGES; i++) {
		mixture(&r, page, 2000);
		write_page(s, i, page);
	}
	most = stats(s).memory_bytes;
	CHECK(most < stats(s).packed_bytes * 12 / 10 + (8 << 20));
	/* all but each 16th: gaps everywhere */
	for (unsigned i = 0; i < NR_PAGES; i++)
		if (i % 16)
			uffd_store_discard(s, i * (uint64_t)PAGE, PAGE);
	printf("# %llu of %llu bytes kept for %llu\n",
	       (unsigned long long)stats(s).memory_bytes,
	       (unsigned long long)most,
	       (unsigned long long)stats(s).packed_bytes);
	SAME(stats(s).held_bytes, NR_PAGES / 16 * PAGE);
	CHECK(stats(s).memory_bytes < stats(s).packed_bytes * 3 / 2 + (8 << 20));
	uffd_store_discard(s, 0, NR_PAGES * (uint64_t)PAGE);
	SAME(stats(s).packed_bytes, 0);
	CHECK(stats(s).memory_bytes < 8 << 20);
}

static void back(void)
{
	each(try_back);
}

/* sizes wander: what one size has too much goes to the others */
static void try_wander(struct uffd_store *s)
{
	struct rnd r = { 4 };
	char page[PAGE];

	for (unsigned len = 200; len < 3600; len += 400) {
		for (unsigned i = 0; i < NR_PAGES; i++) {
			uint64_t n = rnd_below(&r, NR_PAGES);

			mixture(&r, page, len);
			write_page(s, n, page);
			if (i % 512 == 0)
				is_page(s, n, page);
		}
		if (!CHECK(stats(s).memory_bytes <
			   stats(s).packed_bytes * 5 / 4 + (12 << 20)))
			printf("# len %u: %llu for %llu\n", len,
			       (unsigned long long)stats(s).memory_bytes,
			       (unsigned long long)stats(s).packed_bytes);
	}
}

static void wander(void)
{
	each(try_wander);
}

/* the same by several threads, with every page compared */
struct mover {
	struct uffd_store *store;
	unsigned nr;
	long bad;
};

#define NR_MOVERS 3u

/* what a page holds is known by its number and the round it was written in */
static void content(struct mover *m, uint64_t n, uint32_t round, char *page)
{
	static const unsigned lens[] = { 300, 1500, 2500, 4096 };
	struct rnd r = { n << 32 | round };

	memset(page, 0, PAGE);
	if (round)
		mixture(&r, page, lens[(round + m->nr) % 4]);
}

#define NR_OWN 1500u
#ifdef __SANITIZE_THREAD__
#define NR_ROUNDS 10u
#else
#define NR_ROUNDS 40u
#endif

/* Each round writes all, in one size, then discards most: objects of the
 * others must move. */
static void *move_about(void *data)
{
	struct mover *m = data;
	static _Thread_local uint32_t rounds[NR_OWN];
	struct rnd r = { m->nr };
	char page[PAGE], got[PAGE];

	for (uint32_t i = 0; i < NR_ROUNDS * NR_OWN; i++) {
		uint32_t round = i / NR_OWN + 1;
		uint32_t k = (uint32_t)rnd_below(&r, NR_OWN);
		uint64_t n = (uint64_t)k * NR_MOVERS + m->nr;

		content(m, n, rounds[k], page);
		m->bad += uffd_store_read(m->store, n * PAGE, got, PAGE) != 0;
		m->bad += memcmp(page, got, PAGE) != 0;
		rounds[k] = i % NR_OWN < NR_OWN / 2 ? round : 0;
		content(m, n, rounds[k], page);
		m->bad += rounds[k] ?
			uffd_store_write(m->store, n * PAGE, page, PAGE) :
			uffd_store_discard(m->store, n * PAGE, PAGE);
	}
	return NULL;
}

static void try_threads(struct uffd_store *s)
{
	struct mover movers[NR_MOVERS];
	pthread_t threads[NR_MOVERS];

	for (unsigned i = 0; i < NR_MOVERS; i++) {
		movers[i] = (struct mover){ .store = s, .nr = i };
		pthread_create(&threads[i], NULL, move_about, &movers[i]);
	}
	for (unsigned i = 0; i < NR_MOVERS; i++) {
		pthread_join(threads[i], NULL);
		SAME(movers[i].bad, 0);
	}
	uffd_store_discard(s, 0, uffd_store_length(s));
	SAME(stats(s).held_bytes, 0);
	SAME(stats(s).packed_bytes, 0);
}

static void threads(void)
{
	each(try_threads);
}

/* what decides about moving: objects in use, and those that were */
static bool stay(void *data, uint32_t owner, uint64_t from, uint64_t to)
{
	(void)data;
	(void)owner;
	(void)from;
	(void)to;
	return false;
}

static void gaps(void)
{
	static struct slabs slabs;
	struct slab_class *c = &slabs.classes[31];
	static uint64_t places[1000];

	CHECK(slabs_init(&slabs, 64 << 20, false));
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			places[i] = slab_alloc(&slabs, 31, i);
			CHECK(places[i] != SLAB_NO_PLACE);
			memset(slab_object(&slabs, places[i]), (int)i, 2048);
		}
		SAME(c->used, 1000);
		for (uint32_t i = 0; i < 1000; i++) {
			const char *at = slab_object(&slabs, places[i]);

			CHECK(at[0] == (char)i && at[2047] == (char)i);
			slab_free(&slabs, 31, places[i]);
			slab_tidy(&slabs, 31, stay, NULL); /* in vain */
		}
		SAME(c->used, 0);
		CHECK(c->free <= c->per_slab);
		CHECK(c->nr_slabs <= 2);
	}
	CHECK(slabs.memory <= 17 * SLAB_LEN);
	slabs_end(&slabs);
}

/* ---- as they are ------------------------------------------------------------------------------ */

static atomic_uint nr_dropped; /* the wrapped function has no argument for it */

int __real_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice)
{
	nr_dropped += advice == MADV_DONTNEED;
	return __real_madvise(at, len, advice);
}

static void plain(void)
{
	struct uffd_store *s = must_open("memory:?size=8M");
	const void *at, *again;
	char page[PAGE];

	memset(page, 7, PAGE);
	for (unsigned i = 0; i < 2048; i++)
		write_page(s, i, page);
	SAME(stats(s).held_bytes, 8 << 20);
	SAME(uffd_store_map(s, PAGE, 2 * PAGE, &at), 0);
	CHECK(!memcmp(at, page, PAGE));
	SAME(uffd_store_map(s, 5 * PAGE, PAGE, &again), 0);
	SAME((const char *)again - (const char *)at, 4 * PAGE);
	/* few pages: no shootdown for each of them */
	nr_dropped = 0;
	for (unsigned i = 0; i < 200; i++)
		uffd_store_discard(s, i * PAGE, PAGE);
	SAME(nr_dropped, 0);
	SAME(stats(s).held_bytes, (2048 - 200) * PAGE);
	SAME(stats(s).memory_bytes, 8 << 20);
	memset(page, 0, PAGE);
	is_page(s, 199, page);
	SAME(uffd_store_map(s, 0, PAGE, &at), 0);
	CHECK(!memcmp(at, page, PAGE));
	SAME(uffd_store_map(s, 199 * PAGE, 2 * PAGE, &at), -EOPNOTSUPP);
	/* a part of a stale page: the rest is zeros */
	SAME(uffd_store_write(s, 100 * PAGE + 9, "x", 1), 0);
	page[9] = 'x';
	is_page(s, 100, page);
	/* many: the memory goes back */
	SAME(uffd_store_discard(s, 0, 8 << 20), 0);
	SAME(stats(s).memory_bytes, 0);
	CHECK(nr_dropped > 0 && nr_dropped < 10);
	memset(page, 0, PAGE);
	is_page(s, 100, page);
	uffd_store_close(s);
}

/* a sanitizer's own tables don't let it have so much */
#ifdef __SANITIZE_THREAD__
#define LARGE "16G"
#define FAR (1ull << 21)
#else
#define LARGE "1T"
#define FAR (1ull << 27)
#endif

static void sparse(void)
{
	struct uffd_store *s = must_open("memory:?size=" LARGE);
	struct uffd_extent e[4];
	char page[PAGE];

	memset(page, 1, PAGE);
	write_page(s, FAR, page);
	is_page(s, FAR, page);
	SAME(uffd_store_extents(s, FAR * PAGE, 1 << 20, e, 4), 2);
	CHECK(e[0].len == PAGE && !e[0].flags && e[1].flags);
	uffd_store_close(s);
	s = must_open("memory:?size=" LARGE "&compress=lz4");
	if (!s)
		return;
	write_page(s, FAR, page);
	is_page(s, FAR, page);
	uffd_store_close(s);
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void limit(void)
{
	struct uffd_store *s = must_open("memory:?size=8M&compress=lz4&"
					 "limit=40960");
	struct rnd r = { 5 };
	char pages[11][PAGE];

	if (!s)
		return;
	for (unsigned i = 0; i < 11; i++) {
		noise(&r, pages[i], PAGE);
		SAME(uffd_store_write(s, i * PAGE, pages[i], PAGE),
		     i < 10 ? 0 : -ENOSPC);
	}
	SAME(stats(s).packed_bytes, 40960);
	/* nothing is lost, and there is room again after a discard */
	mixture(&r, pages[10], 1000);
	SAME(uffd_store_write(s, 10 * PAGE, pages[10], PAGE), -ENOSPC);
	memset(pages[10], 0, PAGE);
	is_page(s, 10, pages[10]);
	for (unsigned i = 0; i < 10; i++)
		is_page(s, i, pages[i]);
	SAME(uffd_store_discard(s, 0, PAGE), 0);
	SAME(uffd_store_write(s, 10 * PAGE, pages[0], PAGE), 0);
	is_page(s, 10, pages[0]);
	uffd_store_close(s);
}

/* ---- in a signal handler --------------------------------------------------------------------------- */

#define STACK (64u << 10)
#define STACK_MAX (16u << 10)	/* what is ours of it */

static struct {
	struct uffd_store *store;
	char page[PAGE], got[PAGE];
	int bad;
} at_signal; /* a handler has no argument for it */

static void handler(int sig)
{
	struct uffd_store *s = at_signal.store;

	(void)sig;
	at_signal.bad |= uffd_store_write(s, PAGE, at_signal.page, PAGE);
	at_signal.bad |= uffd_store_write(s, 3 * PAGE + 5, at_signal.page, 99);
	at_signal.bad |= uffd_store_read(s, PAGE, at_signal.got, PAGE);
	at_signal.bad |= memcmp(at_signal.page, at_signal.got, PAGE);
	at_signal.bad |= uffd_store_read(s, 3 * PAGE + 5, at_signal.got, 99);
	at_signal.bad |= memcmp(at_signal.page, at_signal.got, 99);
	at_signal.bad |= uffd_store_discard(s, 2 * PAGE, 3 * PAGE + 9);
}

static void try_signal(struct uffd_store *s)
{
	unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rnd r = { 6 };
	unsigned untouched = 0;

	memset(stack, 0x5c, STACK);
	at_signal.store = s;
	CHECK(uffd_store_can(s) & LIBUFFD_STORE_IS_SIGNAL_SAFE);
	for (unsigned len = 0; len <= PAGE; len += 512) {
		mixture(&r, at_signal.page, len);
		raise(SIGUSR1);
	}
	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = STACK }, NULL);
	for (unsigned len = 0; len <= PAGE; len += 512) {
		mixture(&r, at_signal.page, len);
		raise(SIGUSR1);
	}
	SAME(at_signal.bad, 0);
	while (stack[untouched] == 0x5c)
		untouched++;
	printf("# %s: %u bytes of stack\n", uffd_store_uri(s),
	       STACK - untouched);
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	munmap(stack, STACK);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	CHECK(STACK - untouched < STACK_MAX + 4096); /* the frame's own */
#endif
}

static void signals(void)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	static const char *const uris[] = {
		"memory:?size=1M",
		"memory:?size=1M&compress=lz4",
		"memory:?size=1M&compress=zstd",
		"memory:?size=1M&compress=zstd&level=19",
		"cache?size=64K:memory:?size=1M&compress=zstd",
	};

	sigfillset(&sa.sa_mask);
	sigaction(SIGUSR1, &sa, NULL);
	for (unsigned i = 0; i < NR(uris); i++) {
		struct uffd_store *s = must_open(uris[i]);

		if (!s)
			continue;
		try_signal(s);
		uffd_store_close(s);
	}
}

static void levels(void)
{
	char uri[80], page[PAGE];
	struct rnd r = { 7 };

	for (int level = 1; level <= 19; level++) {
		struct uffd_store *s;

		snprintf(uri, sizeof(uri),
			 "memory:?size=1M&compress=zstd&level=%d", level);
		s = must_open(uri);
		if (!s)
			return;
		mixture(&r, page, 1500);
		write_page(s, 1, page);
		is_page(s, 1, page);
		CHECK(stats(s).packed_bytes < 2000);
		uffd_store_close(s);
	}
}

static const struct promise promises[] = {
	{ "zeros, and one word over and over, take nothing", nothing },
	{ "what does not pack is kept as it is, bytes are counted", whole },
	{ "what is discarded goes back to the system", back },
	{ "gaps are bounded when sizes wander", wander },
	{ "gaps are counted, also when nothing can be moved", gaps },
	{ "objects move under several threads, and no byte is lost", threads },
	{ "plain pages can be mapped, and are dropped many at a time", plain },
	{ "a large store takes what is in it", sparse },
	{ "a limit is kept, and nothing is lost by it", limit },
	{ "a signal handler on a small stack may use it", signals },
	{ "every level of zstd works", levels },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
