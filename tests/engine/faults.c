/* SPDX-License-Identifier: MIT */
/*
 * Many threads, many handlers, late answers, signals: each access gets its page
 * exactly once.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

#define PAGES 512
#define THREADS 4

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

/* ---- several threads ------------------------------------------------------------ */

struct reader {
	pthread_t thread;
	const struct bed *b;
	unsigned step, from;
	_Atomic unsigned wrong;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;

	for (unsigned i = 0; i < PAGES; i++)
		if (!bed_holds(r->b, (r->from + i * r->step) % PAGES))
			atomic_fetch_add(&r->wrong, 1);
	return NULL;
}

/* all read all pages, each in an order of its own, or all in the same */
static void read_together(const struct bed *b, bool same_order)
{
	static const unsigned steps[THREADS] = { 1, 3, 511, 77 };
	struct reader r[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		r[i] = (struct reader){
			.b = b,
			.step = same_order ? 1 : steps[i],
			.from = same_order ? 0 : i * 100,
		};
		CHECK(!pthread_create(&r[i].thread, NULL, read_all, &r[i]));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(r[i].thread, NULL);
		SAME(r[i].wrong, 0);
	}
}

static void adds_up(const struct bed *b)
{
	struct uffd_engine_stats st;

	bed_stats(b, &st);
	SAME(st.pages, PAGES);
	CHECK(st.faults >= st.runs);
	CHECK(st.faults >= PAGES || b->widen);
	SAME(st.failures, 0);
}

static void same_pages(enum uffd_engine_kind kind)
{
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_COPY))) {
		read_together(&b, true);
		adds_up(&b);
	}
	bed_close(&b);
}
BOTH(same_pages)

static void own_orders(enum uffd_engine_kind kind)
{
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_COPY))) {
		read_together(&b, false);
		adds_up(&b);
	}
	bed_close(&b);
}
BOTH(own_orders)

static void wide_orders(enum uffd_engine_kind kind)
{
	struct uffd_engine_opts opts = { .kind = kind };
	struct bed b = { .action = LIBUFFD_DO_COPY, .widen = true };

	CHECK(!bed_memory(&b, BED_PRIVATE, PAGES));
	if (SAME(bed_engine(&b, &opts, UFFDIO_REGISTER_MODE_MISSING,
			    32 * b.page), 0)) {
		read_together(&b, false);
		adds_up(&b);
	}
	bed_close(&b);
}
BOTH(wide_orders)

static bool three_handlers(void *data)
{
	(void)data;
	return count_threads_named("uffd-handler") == 3;
}

static void many_handlers(void)
{
	struct uffd_engine_opts opts = {
		.kind = LIBUFFD_ENGINE_THREAD,
		.nr_handlers = 3,
	};
	struct bed b = { .action = LIBUFFD_DO_COPY };

	CHECK(!bed_memory(&b, BED_PRIVATE, PAGES));
	if (SAME(bed_engine(&b, &opts, UFFDIO_REGISTER_MODE_MISSING, 0), 0)) {
		CHECK(soon(three_handlers, NULL));
		read_together(&b, false);
		adds_up(&b);
	}
	bed_close(&b);
	SAME(count_threads_named("uffd-handler"), 0);
}

static void spinning(void)
{
	struct uffd_engine_opts opts = {
		.kind = LIBUFFD_ENGINE_THREAD,
		.spin_us = 50,
	};
	struct bed b = { .action = LIBUFFD_DO_COPY };

	CHECK(!bed_memory(&b, BED_PRIVATE, PAGES));
	if (SAME(bed_engine(&b, &opts, UFFDIO_REGISTER_MODE_MISSING, 0), 0)) {
		read_together(&b, false);
		adds_up(&b);
	}
	bed_close(&b);
}

/* ---- duplicates and runs ----------------------------------------------------------- */

/* the first fault keeps the handler busy until the test opens the gate */
static bool wait_at_gate(struct bed *b, const struct uffd_fault *f,
			 struct uffd_answer *ret)
{
	_Atomic bool *gate = b->hook_data;

	(void)ret;
	if (f->start == (uintptr_t)b->at)
		while (!atomic_load(gate))
			nap_ms(1);
	return false;
}

/* While the handler is busy faults pile up; it then gets them in one read. */
static void pile_up(struct bed *b, const uint64_t *pages, unsigned nr)
{
	struct toucher first, t[16];
	_Atomic bool gate = false;

	b->hook = wait_at_gate;
	b->hook_data = &gate;
	CHECK(touch_begin(&first, b, 0, false));
	CHECK(soon_count(&b->nr_asked, 1));
	for (unsigned i = 0; i < nr; i++) {
		CHECK(touch_begin(&t[i], b, pages[i], i & 1));
		CHECK(soon_waiting(b, i + 2));
	}
	atomic_store(&gate, true);
	touch_end(&first);
	for (unsigned i = 0; i < nr; i++)
		touch_end(&t[i]);
}

static void duplicates(void)
{
	static const uint64_t pages[] = { 5, 5, 5, 5 };
	struct uffd_engine_stats st;
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_COPY))) {
		pile_up(&b, pages, 4);
		SAME(b.nr_asked, 2);
		SAME(bed_asked(&b, 1).nr, 4);
		SAME(bed_asked(&b, 1).len, b.page);
		CHECK(bed_asked(&b, 1).write);
		bed_stats(&b, &st);
		SAME(st.faults, 5);
		SAME(st.runs, 2);
		SAME(st.pages, 2);
		SAME(st.reads, 2);
	}
	bed_close(&b);
}

static void neighbours(void)
{
	static const uint64_t pages[] = { 9, 7, 3, 8, 7 };
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_COPY))) {
		pile_up(&b, pages, 5);
		SAME(b.nr_asked, 3);
		SAME(bed_asked(&b, 1).start, (uintptr_t)b.at + 3 * b.page);
		SAME(bed_asked(&b, 1).len, b.page);
		SAME(bed_asked(&b, 2).start, (uintptr_t)b.at + 7 * b.page);
		SAME(bed_asked(&b, 2).len, 3 * b.page);
		SAME(bed_asked(&b, 2).nr, 4);
	}
	bed_close(&b);
}

/* only a part of the run is answered: the rest is asked for again */
static bool one_page_each(struct bed *b, const struct uffd_fault *f,
			  struct uffd_answer *ret)
{
	wait_at_gate(b, f, ret);
	ret->action = LIBUFFD_DO_COPY;
	ret->len = b->page;
	ret->src = b->data + (f->start - (uintptr_t)b->at);
	return true;
}

static void part_of_a_run(void)
{
	static const uint64_t pages[] = { 7, 8, 9 };
	struct toucher first, t[3];
	_Atomic bool gate = false;
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_COPY))) {
		b.hook = one_page_each;
		b.hook_data = &gate;
		CHECK(touch_begin(&first, &b, 0, false));
		CHECK(soon_count(&b.nr_asked, 1));
		for (unsigned i = 0; i < 3; i++)
			CHECK(touch_begin(&t[i], &b, pages[i], false));
		CHECK(soon_waiting(&b, 4));
		atomic_store(&gate, true);
		touch_end(&first);
		for (unsigned i = 0; i < 3; i++) {
			touch_end(&t[i]);
			SAME(t[i].got, bed_value(pages[i]));
		}
		SAME(b.nr_asked, 4);
	}
	bed_close(&b);
}

/* ---- later -------------------------------------------------------------------------- */

static void later(void)
{
	struct uffd_answer a = { .action = LIBUFFD_DO_COPY };
	struct toucher t[2];
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_LATER))) {
		CHECK(touch_begin(&t[0], &b, 4, false));
		CHECK(touch_begin(&t[1], &b, 9, true));
		CHECK(soon_count(&b.nr_asked, 2));
		/* others are served meanwhile */
		b.action = LIBUFFD_DO_COPY;
		CHECK(bed_holds(&b, 1));
		CHECK(!t[0].done && !t[1].done);
		a.start = (uintptr_t)b.at + 4 * b.page;
		a.len = 6 * b.page;
		a.src = b.data + 4 * b.page;
		SAME(CALL(uffd_engine_resolve(b.e, &a)), 0);
		touch_end(&t[0]);
		touch_end(&t[1]);
		SAME(t[0].got, bed_value(4));
		SAME(t[1].got, 0x5a);
		CHECK(bed_present(&b, 6));
	}
	bed_close(&b);
}

static void resolve(enum uffd_engine_kind kind)
{
	struct uffd_answer a = { .action = LIBUFFD_DO_COPY };
	struct bed b;

	if (CHECK(bed_open(&b, kind, 16, LIBUFFD_DO_ZERO))) {
		a.start = (uintptr_t)b.at + 4 * b.page;
		a.len = 4 * b.page;
		a.src = b.data + 4 * b.page;
		SAME(CALL(uffd_engine_resolve(b.e, &a)), 0);
		SAME(uffd_engine_resolve(b.e, &a), 0);	/* all there */
		for (unsigned i = 4; i < 8; i++)
			CHECK(bed_holds(&b, i));
		SAME(b.nr_asked, 0);
		a.len = 13 * b.page;
		SAME(CALL(uffd_engine_resolve(b.e, &a)), -ENOENT);
		a.start = (uintptr_t)b.data;
		SAME(uffd_engine_resolve(b.e, &a), -ENOENT);
		a.start = (uintptr_t)b.at;
		a.len = b.page / 2;
		SAME(uffd_engine_resolve(b.e, &a), -EINVAL);
		a.len = b.page;
		a.action = LIBUFFD_DO_LATER;
		SAME(uffd_engine_resolve(b.e, &a), -EINVAL);
	}
	bed_close(&b);
}
BOTH(resolve)

/* ---- signals ------------------------------------------------------------------------- */

static _Atomic unsigned nr_signals;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&nr_signals, 1);
}

static void signals(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct uffd_answer a = { .action = LIBUFFD_DO_COPY };
	struct toucher t;
	struct bed b;

	if (under_tsan())
		SKIP("the thread sanitizer delays signals to system calls");
	sigaction(SIGUSR1, &act, NULL);
	atomic_store(&nr_signals, 0);
	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_LATER))) {
		CHECK(touch_begin(&t, &b, 4, false));
		CHECK(soon_count(&b.nr_asked, 1));
		for (unsigned i = 0; i < 5; i++) {
			pthread_kill(t.thread, SIGUSR1);
			CHECK(soon_count(&nr_signals, i + 1));
			/* each makes it fault again */
			CHECK(soon_count(&b.nr_asked, i + 2));
		}
		a.start = (uintptr_t)b.at + 4 * b.page;
		a.len = b.page;
		a.src = b.data + 4 * b.page;
		SAME(uffd_engine_resolve(b.e, &a), 0);
		touch_end(&t);
		SAME(t.got, bed_value(4));
	}
	bed_close(&b);
	signal(SIGUSR1, SIG_DFL);
}

/* handlers don't get the program's signals */
static void signals_blocked(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct bed b;
	sigset_t usr1;

	sigaction(SIGUSR1, &act, NULL);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	atomic_store(&nr_signals, 0);
	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_COPY))) {
		pthread_sigmask(SIG_BLOCK, &usr1, NULL);
		kill(getpid(), SIGUSR1);
		nap_ms(20);
		SAME(nr_signals, 0);
		pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
		CHECK(soon_count(&nr_signals, 1));
	}
	bed_close(&b);
	signal(SIGUSR1, SIG_DFL);
}

/* a system call on missing memory waits as well */
static void system_calls(void)
{
	struct bed b;
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_THREAD, 16, LIBUFFD_DO_COPY))) {
		uint8_t got = 0;

		if (uffd_engine_opened(b.e)->kernel_faults) {
			SAME(write(pipes[1], b.at + 3 * b.page, 1), 1);
			SAME(read(pipes[0], &got, 1), 1);
			SAME(got, bed_value(3));
		} else {
			untried = "only user-mode faults may be handled here";
		}
	}
	bed_close(&b);
	close(pipes[0]);
	close(pipes[1]);
}

/* with sigbus they fail instead */
static void system_calls_fail(void)
{
	struct bed b;
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_SIGBUS, 16, LIBUFFD_DO_COPY))) {
		SAME(write(pipes[1], b.at + 3 * b.page, 1), -1);
		SAME(errno, EFAULT);
		CHECK(bed_holds(&b, 3));
	}
	bed_close(&b);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- what can't be believed -------------------------------------------------------- */

static long free_huge_pages(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/"
			"free_hugepages", "re");
	long nr = -1;

	if (f) {
		if (fscanf(f, "%ld", &nr) != 1)
			nr = -1;
		fclose(f);
	}
	return nr;
}

/* "There already" is what hugetlb says when its pool is empty. */
static void empty_pool(void)
{
	if (free_huge_pages() != 0)
		SKIP("needs a pool of huge pages (2 MiB) that is empty");
	if (uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_POISON) != 1)
		SKIP("no UFFDIO_POISON (6.6)");
	SAME(run_again("empty-pool", ""), 0);
}

static const struct promise promises[] = {
	BOTH_PROMISES("threads in step get every page once", same_pages),
	BOTH_PROMISES("threads in orders of their own do", own_orders),
	BOTH_PROMISES("and when read ahead for", wide_orders),
	{ "several handlers share the work, and end", many_handlers },
	{ "a spinning handler serves as well", spinning },
	{ "faults of one page are one question", duplicates },
	{ "neighbours are one run, in one question", neighbours },
	{ "what an answer leaves of a run is asked for again", part_of_a_run },
	{ "a late answer comes from any thread", later },
	BOTH_PROMISES("pages can be filled ahead of any fault", resolve),
	{ "signals to waiting threads lose nothing", signals },
	{ "handlers get no signals of the program", signals_blocked },
	{ "thread: system calls wait for their pages", system_calls },
	{ "sigbus: system calls fail with EFAULT", system_calls_fail },
	{ "an empty pool of huge pages ends in SIGBUS", empty_pool },
};

/* In a process of its own: SIGBUS is its end, and good if it was told. */
static struct bed exhausted;

static void on_bus(int sig)
{
	(void)sig;
	_exit(exhausted.nr_failed != 1 ||
	      bed_failed(&exhausted, 0).error != -ENOMEM);
}

static int exhaust(void)
{
	struct uffd_engine_opts opts = { .kind = LIBUFFD_ENGINE_THREAD };
	struct bed *b = &exhausted;

	signal(SIGBUS, on_bus);
	b->action = LIBUFFD_DO_COPY;
	if (!CHECK(!bed_memory(b, BED_PRIVATE, 512)))
		return 2;
	b->page = b->len;
	b->at = mmap(NULL, b->len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE,
		     -1, 0);
	if (!CHECK(b->at != MAP_FAILED) ||
	    !SAME(bed_engine(b, &opts, UFFDIO_REGISTER_MODE_MISSING, 0), 0))
		return 2;
	bed_read(b, 0);
	return 3;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "empty-pool") == 0)
		return exhaust();
	return keep_all(promises, NR(promises));
}
