/* SPDX-License-Identifier: MIT */
/*
 * A region against a plain copy of it: several threads do whatever can be done
 * with a region, on budgets far too small, and every byte read is compared.
 *
 *	pager-model [--seed N] [--steps N] [CASE...]
 *
 * Each page belongs to one thread, which alone reads, writes and discards it,
 * so that it knows what must be there; touching, evicting, syncing, fetching
 * and pinning is done to anybody's pages. The seed is printed; the same seed
 * makes the same choices.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <uffd/pager.h>

#include "bed.h"

struct kind {
	const char *name;
	uint32_t engine;
	uint32_t pins;
	const char *store;	/* URI, or NULL: anonymous; %s: a scratch file */
	uint32_t flags;
	uint64_t page_size;
	uint64_t budget;
	uint64_t pages;		/* of 4096 bytes */
	unsigned threads;
	uint32_t memory;
};

#define SIGBUS_ LIBUFFD_ENGINE_SIGBUS
#define THREAD_ LIBUFFD_ENGINE_THREAD
#define CALLED LIBUFFD_PINS_CALLED
#define CHECKED LIBUFFD_PINS_CHECKED
#define PLAIN "memory:?size=16M&compress=none"
#define PACKED "memory:?size=16M&compress=lz4"
#define TINY (8 * PAGE)
/* what the cases with hugetlb need */
#define NR_HUGE 14

static const struct kind kinds[] = {
	{ "sigbus, anonymous, 8 pages, one thread", SIGBUS_, CALLED, NULL, 0,
	  PAGE, TINY, 64, 1 },
	{ "sigbus, anonymous, 8 pages, three threads", SIGBUS_, CALLED, NULL, 0,
	  PAGE, TINY, 64, 3 },
	{ "sigbus, plain memory, 64 pages", SIGBUS_, CALLED, PLAIN, 0, PAGE,
	  64 * PAGE, 512, 2 },
	{ "sigbus, lz4, 1 MiB of 8 MiB", SIGBUS_, CALLED, PACKED, 0, PAGE,
	  1 << 20, 2048, 3 },
	{ "sigbus, lz4, pins checked", SIGBUS_, CHECKED, PACKED, 0, PAGE,
	  64 * PAGE, 512, 2 },
	{ "sigbus, anonymous, pages of 16 KiB", SIGBUS_, CALLED, NULL, 0,
	  16384, 64 * PAGE, 512, 2 },
	{ "sigbus, private over memory", SIGBUS_, CALLED, PACKED,
	  LIBUFFD_REGION_PRIVATE, PAGE, 64 * PAGE, 512, 2 },
	{ "sigbus, file", SIGBUS_, CALLED, "file:%s", 0, PAGE, 64 * PAGE, 512,
	  2 },
	{ "thread, anonymous, 8 pages, one thread", THREAD_, CALLED, NULL, 0,
	  PAGE, TINY, 64, 1 },
	{ "thread, anonymous, 8 pages, three threads", THREAD_, CALLED, NULL, 0,
	  PAGE, TINY, 64, 3 },
	{ "thread, lz4, 1 MiB of 8 MiB", THREAD_, CALLED, PACKED, 0, PAGE,
	  1 << 20, 2048, 3 },
	{ "thread, plain memory, pins checked", THREAD_, CHECKED, PLAIN, 0,
	  PAGE, 64 * PAGE, 512, 2 },
	{ "thread, anonymous, pages of 64 KiB", THREAD_, CALLED, NULL, 0, 65536,
	  1 << 20, 2048, 2 },
	{ "thread, file", THREAD_, CALLED, "file:%s", 0, PAGE, 64 * PAGE, 512,
	  2 },
	{ "sigbus, memory file over lz4", SIGBUS_, CALLED, PACKED, 0, PAGE,
	  64 * PAGE, 512, 3, LIBUFFD_MEM_MEMFD_SHARED },
	{ "thread, memory file over lz4", THREAD_, CALLED, PACKED, 0, PAGE,
	  64 * PAGE, 512, 2, LIBUFFD_MEM_MEMFD_SHARED },
	{ "thread, memory file, private, 16 KiB", THREAD_, CALLED, PLAIN,
	  LIBUFFD_REGION_PRIVATE, 16384, 64 * PAGE, 512, 2,
	  LIBUFFD_MEM_MEMFD_SHARED },
	{ "sigbus, anonymous, pages of 2 MiB", SIGBUS_, CALLED, NULL, 0,
	  2 << 20, 8 << 20, 4096, 2 },
	{ "thread, anonymous, pages of 2 MiB", THREAD_, CALLED, NULL, 0,
	  2 << 20, 8 << 20, 4096, 2 },
	{ "sigbus, hugetlb", SIGBUS_, CALLED, PACKED, 0, 2 << 20, 8 << 20, 4096,
	  2, LIBUFFD_MEM_HUGETLB_2M },
	{ "thread, hugetlb", THREAD_, CALLED, PACKED, 0, 2 << 20, 8 << 20, 4096,
	  2, LIBUFFD_MEM_HUGETLB_2M },
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

struct world {
	const struct kind *kind;
	struct uffd_region *region;
	uint8_t *mem;
	uint8_t *copy;
	uint64_t steps;
	atomic_uint bad;
};

struct actor {
	struct world *w;
	uint64_t dice;
	unsigned me;
	pthread_t thread;
};

static uint64_t roll(struct actor *a, uint64_t sides)
{
	/* xorshift64*, Vigna 2014 */
	a->dice ^= a->dice >> 12;
	a->dice ^= a->dice << 25;
	a->dice ^= a->dice >> 27;
	return (a->dice * UINT64_C(2685821657736338717) >> 11) % sides;
}

static void complain(struct actor *a, const char *what, uint64_t page)
{
	if (atomic_fetch_add(&a->w->bad, 1) < 5)
		printf("# thread %u, page %llu: %s\n", a->me,
		       (unsigned long long)page, what);
}

static void expect(struct actor *a, int got, int want, const char *what)
{
	if (got != want && atomic_fetch_add(&a->w->bad, 1) < 5)
		printf("# thread %u: %s: %d, not %d\n", a->me, what, got, want);
}

/* a page of mine, counted in 4096 bytes; discarding needs whole units, which
 * belong to one thread as well */
static uint64_t my_page(struct actor *a)
{
	const struct kind *k = a->w->kind;
	const uint64_t unit = k->page_size / PAGE;
	const uint64_t units = k->pages / unit;
	uint64_t u = roll(a, units / k->threads) * k->threads + a->me;

	return u * unit + roll(a, unit);
}

static void read_page(struct actor *a)
{
	const uint64_t page = my_page(a);
	const volatile uint8_t *mem = a->w->mem + page * PAGE;
	const uint8_t *copy = a->w->copy + page * PAGE;

	for (unsigned i = 0; i < PAGE; i += 1 + (unsigned)roll(a, 256))
		if (mem[i] != copy[i]) {
			complain(a, "holds another byte", page);
			return;
		}
}

static void write_page(struct actor *a)
{
	const uint64_t page = my_page(a);
	const uint64_t from = roll(a, PAGE), len = roll(a, PAGE - from) + 1;
	const int byte = (int)roll(a, 256);
	uint8_t *mem = a->w->mem + page * PAGE;
	uint8_t *copy = a->w->copy + page * PAGE;

	if (roll(a, 4) == 0) {
		for (uint64_t i = from; i < from + len; i++)
			copy[i] = (uint8_t)roll(a, 256);
		memcpy(mem + from, copy + from, len);
	} else {
		memset(mem + from, byte, len);
		memset(copy + from, byte, len);
	}
}

static void discard_page(struct actor *a)
{
	const uint64_t size = a->w->kind->page_size;
	const uint64_t at = my_page(a) * PAGE / size * size;
	int err = uffd_discard(a->w->region, at, size);

	/* somebody else may have pinned it */
	if (err != -EBUSY)
		expect(a, err, 0, "discard");
	if (err == 0)
		memset(a->w->copy + at, 0, size);
}

static void pin_page(struct actor *a)
{
	const uint64_t at = my_page(a) * PAGE;
	int err = uffd_pin(a->w->region, at, PAGE);

	if (err == 0) {
		read_page(a);
		uffd_unpin(a->w->region, at, PAGE);
	} else {
		expect(a, err, -ENOMEM, "pin");
	}
}

/* anybody's pages */
static void range_call(struct actor *a)
{
	const uint64_t len = a->w->kind->pages * PAGE;
	const uint64_t at = roll(a, len), most = len - at;
	const uint64_t n = roll(a, most < 16 * PAGE ? most : 16 * PAGE);
	int err;

	switch (roll(a, 4)) {
	case 0:
		expect(a, uffd_touch(a->w->region, at, n), 0, "touch");
		break;
	case 1:
		err = uffd_evict(a->w->region, at, n);
		if (err != -EBUSY)
			expect(a, err, 0, "evict");
		break;
	case 2:
		expect(a, uffd_sync(a->w->region, at, n), 0, "sync");
		break;
	default:
		expect(a, uffd_prefetch(a->w->region, at, n), 0, "prefetch");
		break;
	}
}

static void step(struct actor *a)
{
	const uint64_t what = roll(a, 1000);

	if (what < 450)
		read_page(a);
	else if (what < 930)
		write_page(a);
	else if (what < 950)
		discard_page(a);
	else if (what < 960)
		pin_page(a);
	else
		range_call(a);
}

static void *act(void *arg)
{
	struct actor *a = arg;

	for (uint64_t i = 0; i < a->w->steps && !a->w->bad; i++)
		step(a);
	return NULL;
}

/* what the store holds in the end */
static void compare_store(struct world *w, struct uffd_store *store)
{
	const uint64_t len = w->kind->pages * PAGE;
	uint8_t *bytes = malloc(len);

	if (uffd_store_read(store, 0, bytes, len) < 0 ||
	    memcmp(bytes, w->copy, len) != 0) {
		printf("# the store holds something else in the end\n");
		w->bad++;
	}
	free(bytes);
}

static void compare_all(struct world *w)
{
	const uint64_t len = w->kind->pages * PAGE;

	for (uint64_t i = 0; i < len && !w->bad; i++)
		if (((volatile uint8_t *)w->mem)[i] != w->copy[i]) {
			printf("# byte %llu is another in the end\n",
			       (unsigned long long)i);
			w->bad++;
		}
}

static void run_actors(struct world *w, uint64_t seed)
{
	struct actor actors[8];

	for (unsigned i = 0; i < w->kind->threads; i++) {
		actors[i] = (struct actor){
			.w = w,
			.dice = seed * 2654435761u + i * 7919 + 1,
			.me = i,
		};
		pthread_create(&actors[i].thread, NULL, act, &actors[i]);
	}
	for (unsigned i = 0; i < w->kind->threads; i++)
		pthread_join(actors[i].thread, NULL);
}

static void failed(void *user, const struct uffd_page_failure *f)
{
	(void)user;
	(void)f;
}

static int open_pager(const struct kind *k, struct uffd_pager **ret)
{
	const struct uffd_pager_opts opts = {
		.sz = sizeof(opts),
		.budget = k->budget,
		.engine = k->engine,
		.pins = k->pins,
		.place = LIBUFFD_PLACE_AUTO,
		.failed = failed,
	};
	struct uffd_reason reason;
	int err = uffd_pager_new(&opts, &reason, ret);

	if (err < 0)
		printf("# no pager: %s\n", reason.text);
	return err;
}

static int open_region(const struct kind *k, struct uffd_pager *p,
		       struct uffd_store *store, struct uffd_region **ret)
{
	const struct uffd_region_opts opts = {
		.sz = sizeof(opts),
		.store = store,
		.len = k->pages * PAGE,
		.page_size = k->page_size,
		.flags = k->flags,
		.memory = k->memory,
	};
	struct uffd_reason reason;
	int err = uffd_region_new(p, &opts, &reason, ret);

	if (err < 0)
		printf("# no region: %s\n", reason.text);
	return err;
}

static int open_store(const struct kind *k, const char *file,
		      struct uffd_store **ret)
{
	struct uffd_reason reason;
	char uri[256];
	int err;

	*ret = NULL;
	if (!k->store)
		return 0;
	snprintf(uri, sizeof(uri), k->store, file);
	err = uffd_store_open(uri, 0, &reason, ret);
	if (err < 0)
		printf("# no store: %s\n", reason.text);
	return err;
}

static void play(struct world *w, struct uffd_pager *p,
		 struct uffd_store *store, uint64_t seed)
{
	struct uffd_pager_stats s;

	run_actors(w, seed);
	compare_all(w);
	uffd_pager_stats(p, &s);
	printf("# %llu faults, %llu soft, %llu read, %llu lifts, %llu written, "
	       "%llu waits, %llu failures\n",
	       (unsigned long long)s.faults, (unsigned long long)s.soft_faults,
	       (unsigned long long)s.read_pages, (unsigned long long)s.lifts,
	       (unsigned long long)s.written_pages,
	       (unsigned long long)s.waits, (unsigned long long)s.failures);
	if (uffd_region_free(w->region) < 0) {
		printf("# the region can't be freed\n");
		w->bad++;
	}
	if (store && !w->kind->flags)
		compare_store(w, store);
}

static bool run(const struct kind *k, uint64_t seed, uint64_t steps,
		const char *file)
{
	struct world w = { .kind = k, .steps = steps };
	struct uffd_store *store = NULL;
	struct uffd_pager *p = NULL;

	/* a huge page is five hundred times the work */
	if (k->page_size > 65536)
		w.steps /= 16;
	w.copy = calloc(k->pages, PAGE);
	if (truncate(file, 0) < 0 || truncate(file, (off_t)k->pages * PAGE) < 0)
		w.bad++;
	if (w.bad || open_store(k, file, &store) < 0 || open_pager(k, &p) < 0 ||
	    open_region(k, p, store, &w.region) < 0) {
		w.bad++;
	} else {
		w.mem = uffd_region_start(w.region);
		play(&w, p, store, seed);
	}
	uffd_pager_free(p);
	uffd_store_close(store);
	free(w.copy);
	return !w.bad;
}

static bool chosen(int argc, char **argv, const char *name)
{
	if (argc == 0)
		return true;
	for (int i = 0; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL), steps = 4000;
	char file[] = "/tmp/uffd-model.XXXXXX";
	int failures = 0, fd, opt = 1;

	for (; opt + 1 < argc && argv[opt][0] == '-'; opt += 2) {
		if (strcmp(argv[opt], "--seed") == 0)
			seed = strtoull(argv[opt + 1], NULL, 10);
		else if (strcmp(argv[opt], "--steps") == 0)
			steps = strtoull(argv[opt + 1], NULL, 10);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = mkstemp(file);
	printf("# --seed %llu --steps %llu\n1..%zu\n", (unsigned long long)seed,
	       (unsigned long long)steps, NR(kinds));
	for (size_t i = 0; i < NR(kinds); i++) {
		const struct kind *k = &kinds[i];
		const char *skip = chosen(argc - opt, argv + opt, k->name) ?
					   NULL : "not asked for";
		bool huge = !skip && k->memory == LIBUFFD_MEM_HUGETLB_2M;
		bool good = true;

		if (huge && !huge_reserve(NR_HUGE))
			skip = "no huge pages of 2 MiB are to be had";
		if (!skip)
			good = run(k, seed, steps, file);
		if (huge && !skip)
			huge_return(NR_HUGE);
		failures += !good;
		printf("%sok %zu - %s%s%s\n", good ? "" : "not ", i + 1, k->name,
		       skip ? " # SKIP " : "", skip ? skip : "");
	}
	unlink(file);
	close(fd);
	return failures > 0;
}
