/* SPDX-License-Identifier: MIT */
/*
 * Events: in their order, before the faults that came with them, and nothing
 * waits for ever while the layout changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

#define PAGES 64
#define EVENTS \
	(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
	 UFFD_FEATURE_EVENT_UNMAP)

#define BOTH(name) \
	static void name##_thread(void) \
	{ \
		name(LIBUFFD_ENGINE_THREAD); \
	} \
	static void name##_sigbus(void) \
	{ \
		name(LIBUFFD_ENGINE_SIGBUS); \
	}
#define BOTH_PROMISES(text, name) \
	{ "thread: " text, name##_thread }, { "sigbus: " text, name##_sigbus }

static bool open_with(struct bed *b, enum uffd_engine_kind kind, uint64_t need,
		      unsigned nr_handlers)
{
	struct uffd_engine_opts opts = {
		.kind = kind,
		.need = need,
		.nr_handlers = nr_handlers,
	};
	int err;

	*b = (struct bed){ .action = LIBUFFD_DO_COPY };
	CHECK(!bed_memory(b, BED_PRIVATE, PAGES));
	err = bed_engine(b, &opts, UFFDIO_REGISTER_MODE_MISSING, 0);
	if (err == -EPERM || err == -EOPNOTSUPP) {
		untried = "these events can't be had here";
		return false;
	}
	return SAME(err, 0);
}

static void in_order_with(enum uffd_engine_kind kind, unsigned nr_handlers)
{
	struct bed b;

	if (open_with(&b, kind, EVENTS, nr_handlers)) {
		for (unsigned i = 0; i < 40; i++) {
			CHECK(bed_holds(&b, i));
			SAME(uffd_drop((uintptr_t)b.at + i * b.page, b.page),
			     0);
			CHECK(bed_holds(&b, i));
		}
		CHECK(soon_count(&b.nr_events, 40));
		for (unsigned i = 0; i < 40; i++) {
			SAME(bed_event(&b, i).kind, LIBUFFD_EVENT_REMOVE);
			SAME(bed_event(&b, i).start, (uintptr_t)b.at + i * b.page);
			SAME(bed_event(&b, i).len, b.page);
		}
	}
	bed_close(&b);
}

static void in_order(enum uffd_engine_kind kind)
{
	in_order_with(kind, 1);
}
BOTH(in_order)

static void in_order_of_three(void)
{
	in_order_with(LIBUFFD_ENGINE_THREAD, 3);
}

/* the engine's own comings and goings raise events that somebody must read */
static void all_kinds(enum uffd_engine_kind kind)
{
	struct bed b;
	uint8_t *to = mmap(NULL, 4096 * 4, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (open_with(&b, kind, EVENTS, 1)) {
		CHECK(bed_holds(&b, 8));
		CHECK(mremap(b.at + 8 * b.page, b.page, b.page,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		SAME(to[0], bed_value(8));
		CHECK(soon_count(&b.nr_events, 2));
		SAME(bed_event(&b, 0).kind, LIBUFFD_EVENT_REMAP);
		SAME(bed_event(&b, 0).to, (uintptr_t)to);
		SAME(bed_event(&b, 1).kind, LIBUFFD_EVENT_UNMAP);
		SAME(bed_event(&b, 1).start, (uintptr_t)b.at + 8 * b.page);
		CHECK(munmap(b.at + 16 * b.page, b.page) == 0);
		CHECK(soon_count(&b.nr_events, 3));
		CHECK(bed_holds(&b, 15));
	}
	bed_close(&b);
	munmap(to, 4096 * 4);
}
BOTH(all_kinds)

static void forks(enum uffd_engine_kind kind)
{
	unsigned before = count_entries("/proc/self/fd");
	struct bed b;
	int status;

	if (open_with(&b, kind, UFFD_FEATURE_EVENT_FORK, 1)) {
		unsigned open = count_entries("/proc/self/fd");
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(soon_count(&b.nr_events, 1));
		SAME(bed_event(&b, 0).kind, LIBUFFD_EVENT_FORK);
		CHECK(bed_event(&b, 0).fork_fd >= 0);
		SAME(count_entries("/proc/self/fd"), open);
	}
	bed_close(&b);
	SAME(count_entries("/proc/self/fd"), before);
}
BOTH(forks)

/* nobody wants the events: descriptors in them are closed all the same */
static void forks_unheard(void)
{
	struct uffd_engine_opts opts = {
		.sz = sizeof(opts),
		.kind = LIBUFFD_ENGINE_THREAD,
		.need = UFFD_FEATURE_EVENT_FORK,
	};
	struct uffd_range_opts range = {
		.sz = sizeof(range),
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	unsigned before = count_entries("/proc/self/fd");
	struct bed b;
	int err, status;

	if (!CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 4, LIBUFFD_DO_ZERO)))
		return;
	bed_close(&b);
	b = (struct bed){ 0 };
	CHECK(!bed_memory(&b, BED_PRIVATE, 4));
	err = uffd_engine_new(&opts, &b.e);
	if (err == -EPERM) {
		untried = "FORK events need CAP_SYS_PTRACE";
	} else if (SAME(err, 0)) {
		range.start = (uintptr_t)b.at;
		range.len = b.len;
		range.fault = (uffd_fault_fn *)abort;
		SAME(uffd_engine_add(b.e, &range), 0);
		for (unsigned i = 0; i < 3; i++) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(0);
			CHECK(waitpid(pid, &status, 0) == pid);
		}
	}
	bed_close(&b);
	SAME(count_entries("/proc/self/fd"), before);
}

/* ---- while the layout changes -------------------------------------------------------- */

struct dropper {
	pthread_t thread;
	const struct bed *b;
	_Atomic bool stop;
	_Atomic unsigned rounds;
};

/* Discards and uses again, as a program does: one that did nothing but discard
 * would leave no moment at which anything can be filled. */
static void *drop_on(void *arg)
{
	struct dropper *d = arg;

	while (!atomic_load(&d->stop)) {
		uffd_drop((uintptr_t)d->b->at, d->b->len / 2);
		for (unsigned i = 0; i < PAGES / 2; i += 3)
			bed_read(d->b, i);
		atomic_fetch_add(&d->rounds, 1);
	}
	return NULL;
}

/* one thread discards all the time, two others read: fills meet changes */
static void meet(enum uffd_engine_kind kind, unsigned nr_handlers)
{
	struct dropper d = { .stop = false };
	struct toucher t;
	struct bed b;
	unsigned wrong = 0;

	if (open_with(&b, kind, UFFD_FEATURE_EVENT_REMOVE, nr_handlers)) {
		d.b = &b;
		CHECK(!pthread_create(&d.thread, NULL, drop_on, &d));
		for (unsigned k = 0; k < 20; k++) {
			CHECK(touch_begin(&t, &b, k, true));
			for (unsigned i = 0; i < PAGES; i++)
				wrong += bed_read(&b, i) != bed_value(i) &&
					 bed_read(&b, i) != 0x5a;
			touch_end(&t);
		}
		CHECK(soon_count(&d.rounds, 3));
		atomic_store(&d.stop, true);
		pthread_join(d.thread, NULL);
		SAME(wrong, 0);
		SAME(b.nr_failed, 0);
	}
	bed_close(&b);
}

static void changes(enum uffd_engine_kind kind)
{
	meet(kind, 1);
}
BOTH(changes)

static void changes_with_three(void)
{
	meet(LIBUFFD_ENGINE_THREAD, 3);
}

/* A fault function (of a sigbus engine) may itself discard: the event that it
 * raises is read by the engine's own thread. */
static bool drop_neighbour(struct bed *b, const struct uffd_fault *f,
			   struct uffd_answer *ret)
{
	(void)f;
	(void)ret;
	uffd_drop((uintptr_t)b->at, b->page);
	return false;
}

static void function_drops(void)
{
	struct bed b;

	if (open_with(&b, LIBUFFD_ENGINE_SIGBUS, UFFD_FEATURE_EVENT_REMOVE,
		      1)) {
		b.hook = drop_neighbour;
		for (unsigned i = 1; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		CHECK(soon_count(&b.nr_events, 1));
	}
	bed_close(&b);
}

/* no descriptor is left: the event waits, and is told, and nothing is lost */
static void without_events_no_reader(void)
{
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_SIGBUS, 4, LIBUFFD_DO_COPY)))
		SAME(count_threads_named("uffd-handler"), 0);
	bed_close(&b);
}

static const struct promise promises[] = {
	BOTH_PROMISES("events come in their order", in_order),
	{ "several handlers keep that order", in_order_of_three },
	BOTH_PROMISES("remaps and unmaps are told", all_kinds),
	BOTH_PROMISES("a child's descriptor is the function's", forks),
	{ "a child's descriptor that nobody wants is closed", forks_unheard },
	BOTH_PROMISES("fills that meet changes come through", changes),
	{ "several handlers come through as well", changes_with_three },
	{ "sigbus: a fault function may discard", function_drops },
	{ "sigbus: without events there is no thread",
	  without_events_no_reader },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
