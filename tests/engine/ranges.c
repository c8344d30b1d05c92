/* SPDX-License-Identifier: MIT */
/*
 * Ranges come and go at any time; options are checked; nothing is left behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

#define PAGES 64

static int zeros(void *user, const struct uffd_fault *f,
		 struct uffd_answer *ret)
{
	(void)user;
	(void)f;
	ret->action = LIBUFFD_DO_ZERO;
	return 0;
}

static int ones(void *user, const struct uffd_fault *f, struct uffd_answer *ret)
{
	(void)f;
	ret->action = LIBUFFD_DO_COPY;
	ret->src = user;
	ret->len = (uint64_t)getpagesize();
	return 0;
}

static struct uffd_range_opts range_of(const struct bed *b, unsigned page,
				       unsigned nr)
{
	return (struct uffd_range_opts){
		.sz = sizeof(struct uffd_range_opts),
		.start = (uintptr_t)b->at + page * b->page,
		.len = nr * b->page,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.fault = zeros,
	};
}

static bool open_empty(struct bed *b, enum uffd_engine_kind kind)
{
	struct uffd_engine_opts opts = { .sz = sizeof(opts), .kind = kind };

	*b = (struct bed){ 0 };
	return CHECK(!bed_memory(b, BED_PRIVATE, PAGES)) &&
	       SAME(CALL(uffd_engine_new(&opts, &b->e)), 0);
}

/* ---- adding and removing ----------------------------------------------------------- */

static void borders(void)
{
	struct uffd_range_opts o;
	struct bed b;

	if (open_empty(&b, LIBUFFD_ENGINE_THREAD)) {
		o = range_of(&b, 10, 10);
		SAME(CALL(uffd_engine_add(b.e, &o)), 0);
		SAME(CALL(uffd_engine_add(b.e, &o)), -EEXIST);
		o = range_of(&b, 19, 1);
		SAME(uffd_engine_add(b.e, &o), -EEXIST);
		o = range_of(&b, 0, 11);
		SAME(uffd_engine_add(b.e, &o), -EEXIST);
		o = range_of(&b, 0, 64);
		SAME(uffd_engine_add(b.e, &o), -EEXIST);
		o = range_of(&b, 20, 1);
		SAME(uffd_engine_add(b.e, &o), 0);
		o = range_of(&b, 9, 1);
		SAME(uffd_engine_add(b.e, &o), 0);
		CHECK(bed_zero(&b, 10) && bed_zero(&b, 20) && bed_zero(&b, 9));
		SAME(CALL(uffd_engine_remove(b.e, (uintptr_t)b.at)), -ENOENT);
		SAME(uffd_engine_remove(b.e, o.start + b.page * 2), -ENOENT);
		SAME(CALL(uffd_engine_remove(b.e, o.start)), 0);
		SAME(uffd_engine_remove(b.e, o.start), -ENOENT);
		SAME(uffd_engine_add(b.e, &o), 0);
	}
	bed_close(&b);
}

static void other_engines(void)
{
	struct uffd_engine_opts opts = {
		.sz = sizeof(opts),
		.kind = LIBUFFD_ENGINE_SIGBUS,
	};
	struct uffd_engine *other = NULL;
	struct uffd_range_opts o;
	struct bed b;

	if (open_empty(&b, LIBUFFD_ENGINE_THREAD)) {
		o = range_of(&b, 0, 10);
		SAME(uffd_engine_add(b.e, &o), 0);
		SAME(uffd_engine_new(&opts, &other), 0);
		SAME(uffd_engine_add(other, &o), -EBUSY);
		SAME(uffd_engine_remove(other, o.start), -ENOENT);
		o = range_of(&b, 10, 10);
		SAME(uffd_engine_add(other, &o), 0);
		uffd_engine_free(b.e);
		SAME(uffd_engine_new(&opts, &b.e), 0);
		SAME(uffd_engine_add(b.e, &o), -EBUSY);
		CHECK(bed_zero(&b, 10));
		uffd_engine_free(other);
		SAME(uffd_engine_add(b.e, &o), 0);
		CHECK(bed_zero(&b, 11));
	}
	bed_close(&b);
}

static void bad_ranges(void)
{
	struct uffd_range_opts good, o;
	struct bed b;

	if (open_empty(&b, LIBUFFD_ENGINE_THREAD)) {
		good = range_of(&b, 0, 4);
#define BAD(field, value) \
	do { \
		o = good; \
		o.field = (value); \
		SAME(CALL(uffd_engine_add(b.e, &o)), -EINVAL); \
	} while (0)
		BAD(sz, 4);
		BAD(start, good.start + 1);
		BAD(len, 0);
		BAD(len, 100);
		BAD(len, UINT64_MAX & ~(b.page - 1));
		BAD(mode, 0);
		BAD(mode, UINT64_C(1) << 40);
		BAD(page_size, b.page - 1);
		BAD(page_size, b.page / 2);
		BAD(flags, 1);
		BAD(reserved, 1);
		BAD(fault, NULL);
		SAME(uffd_engine_add(b.e, NULL), -EINVAL);
		SAME(uffd_engine_add(b.e, &good), 0);
	}
	bed_close(&b);
}

/* what is longer than what this library knows must be zero there */
static void longer_options(void)
{
	struct {
		struct uffd_range_opts o;
		uint64_t more;
	} longer;
	struct bed b;

	if (open_empty(&b, LIBUFFD_ENGINE_THREAD)) {
		longer.o = range_of(&b, 0, 4);
		longer.o.sz = sizeof(longer);
		longer.more = 1;
		SAME(uffd_engine_add(b.e, &longer.o), -EINVAL);
		longer.more = 0;
		SAME(uffd_engine_add(b.e, &longer.o), 0);
	}
	bed_close(&b);
}

static void thousands(void)
{
	struct bed b = { 0 };
	struct uffd_engine_opts opts = {
		.sz = sizeof(opts),
		.kind = LIBUFFD_ENGINE_THREAD,
	};
	const unsigned nr = 3000;
	unsigned wrong = 0;

	CHECK(!bed_memory(&b, BED_PRIVATE, 2 * nr));
	SAME(uffd_engine_new(&opts, &b.e), 0);
	for (unsigned k = 0; k < nr; k++) {
		unsigned i = k * 7 % nr;
		struct uffd_range_opts o = range_of(&b, 2 * i, 1);

		o.fault = ones;
		o.user = b.data + 2 * i * b.page;
		wrong += uffd_engine_add(b.e, &o) != 0;
	}
	for (unsigned i = 0; i < nr; i += 13)
		wrong += !bed_holds(&b, 2 * i) || !bed_zero(&b, 2 * i + 1);
	for (unsigned i = 0; i < nr; i++)
		wrong += uffd_engine_remove(b.e, (uintptr_t)b.at +
						 2 * i * b.page) != 0;
	SAME(wrong, 0);
	bed_close(&b);
}

/* ---- while others fault ------------------------------------------------------------ */

struct coming {
	struct bed b;
	_Atomic bool stop;
	_Atomic unsigned wrong;
	_Atomic unsigned rounds;
};

/* the first half is served all the time, by a thread that never stops */
static void *go_on(void *arg)
{
	struct coming *c = arg;

	while (!atomic_load(&c->stop)) {
		for (unsigned i = 0; i < PAGES / 2; i++)
			if (bed_read(&c->b, i) != 0)
				atomic_fetch_add(&c->wrong, 1);
		madvise(c->b.at, c->b.len / 2, MADV_DONTNEED);
		atomic_fetch_add(&c->rounds, 1);
	}
	return NULL;
}

static void come_and_go(enum uffd_engine_kind kind)
{
	struct coming c = { .stop = false };
	struct uffd_range_opts half, o;
	pthread_t t;

	if (open_empty(&c.b, kind)) {
		half = range_of(&c.b, 0, PAGES / 2);
		SAME(uffd_engine_add(c.b.e, &half), 0);
		CHECK(!pthread_create(&t, NULL, go_on, &c));
		for (unsigned i = 0; i < 200; i++) {
			o = range_of(&c.b, PAGES / 2, PAGES / 2);
			SAME(uffd_engine_add(c.b.e, &o), 0);
			CHECK(bed_zero(&c.b, PAGES / 2 + i % 32));
			SAME(uffd_engine_remove(c.b.e, o.start), 0);
			madvise(c.b.at + c.b.len / 2, c.b.len / 2,
				MADV_DONTNEED);
		}
		CHECK(soon_count(&c.rounds, 2));
		atomic_store(&c.stop, true);
		pthread_join(t, NULL);
		SAME(c.wrong, 0);
	}
	bed_close(&c.b);
}

static void come_and_go_thread(void)
{
	come_and_go(LIBUFFD_ENGINE_THREAD);
}

static void come_and_go_sigbus(void)
{
	come_and_go(LIBUFFD_ENGINE_SIGBUS);
}

/* removal returns only when no fault function runs for the range */
struct gate {
	_Atomic unsigned inside;
	_Atomic bool open;
	_Atomic bool removed;
};

static int slow(void *user, const struct uffd_fault *f, struct uffd_answer *ret)
{
	struct gate *g = user;

	(void)f;
	atomic_fetch_add(&g->inside, 1);
	while (!atomic_load(&g->open))
		nap_ms(1);
	if (atomic_load(&g->removed))
		abort();
	ret->action = LIBUFFD_DO_ZERO;
	return 0;
}

struct removing {
	struct bed b;
	struct gate g;
};

static void *remove_it(void *arg)
{
	struct removing *r = arg;

	SAME(uffd_engine_remove(r->b.e, (uintptr_t)r->b.at), 0);
	atomic_store(&r->g.removed, true);
	return NULL;
}

static void removal_waits(enum uffd_engine_kind kind)
{
	struct removing r = { .g = { .inside = 0 } };
	struct uffd_range_opts o;
	struct toucher t;
	pthread_t remover;

	if (open_empty(&r.b, kind)) {
		o = range_of(&r.b, 0, 4);
		o.fault = slow;
		o.user = &r.g;
		SAME(uffd_engine_add(r.b.e, &o), 0);
		CHECK(touch_begin(&t, &r.b, 1, false));
		CHECK(soon_count(&r.g.inside, 1));
		CHECK(!pthread_create(&remover, NULL, remove_it, &r));
		nap_ms(30);
		CHECK(!r.g.removed);
		/* the table is free meanwhile */
		o = range_of(&r.b, 8, 4);
		SAME(uffd_engine_add(r.b.e, &o), 0);
		atomic_store(&r.g.open, true);
		pthread_join(remover, NULL);
		touch_end(&t);
		SAME(t.got, 0);
	}
	bed_close(&r.b);
}

static void removal_waits_thread(void)
{
	removal_waits(LIBUFFD_ENGINE_THREAD);
}

static void removal_waits_sigbus(void)
{
	removal_waits(LIBUFFD_ENGINE_SIGBUS);
}

/* who waits for a page that nobody brings goes on with zeros */
static void removal_wakes(void)
{
	struct toucher t;
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 4, LIBUFFD_DO_LATER))) {
		CHECK(touch_begin(&t, &b, 1, false));
		CHECK(soon_count(&b.nr_asked, 1));
		SAME(uffd_engine_remove(b.e, (uintptr_t)b.at), 0);
		touch_end(&t);
		SAME(t.got, 0);
	}
	bed_close(&b);
}

/* ---- fork ------------------------------------------------------------------------------ */

static void child_frees(enum uffd_engine_kind kind)
{
	struct bed b;
	int status = -1;
	pid_t pid;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_COPY))) {
		CHECK(bed_holds(&b, 1));
		pid = fork();
		if (pid == 0) {
			struct uffd_range_opts o = range_of(&b, 0, 1);
			bool good = bed_holds(&b, 1) && bed_zero(&b, 2) &&
				    uffd_engine_add(b.e, &o) == -ESRCH &&
				    uffd_engine_remove(b.e, o.start) == -ESRCH;

			uffd_engine_free(b.e);
			_exit(!good);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		SAME(status, 0);
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
	}
	bed_close(&b);
}

static void child_frees_thread(void)
{
	child_frees(LIBUFFD_ENGINE_THREAD);
}

static void child_frees_sigbus(void)
{
	child_frees(LIBUFFD_ENGINE_SIGBUS);
}

static const struct promise promises[] = {
	{ "ranges are found by their borders", borders },
	{ "a range belongs to one engine", other_engines },
	{ "bad options of a range are refused", bad_ranges },
	{ "unknown bytes in options must be zero", longer_options },
	{ "there may be thousands of ranges", thousands },
	{ "thread: ranges come and go while others fault", come_and_go_thread },
	{ "sigbus: ranges come and go while others fault", come_and_go_sigbus },
	{ "thread: removal waits for the fault function",
	  removal_waits_thread },
	{ "sigbus: removal waits for the fault function",
	  removal_waits_sigbus },
	{ "removal lets go who waits", removal_wakes },
	{ "thread: a child that frees its copy hurts nobody",
	  child_frees_thread },
	{ "sigbus: a child that frees its copy hurts nobody",
	  child_frees_sigbus },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
