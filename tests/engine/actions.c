/* SPDX-License-Identifier: MIT */
/*
 * Every action, by both engines, on the memory that it is for.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

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

#define PAGES 16

/* what a fault function was asked and what came of it, for n single pages */
static void counted(const struct bed *b, unsigned n)
{
	struct uffd_engine_stats st;

	uffd_engine_stats(b->e, &st);
	SAME(st.faults, n);
	SAME(st.runs, n);
	SAME(st.failures, 0);
}

static void copy(enum uffd_engine_kind kind)
{
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_COPY))) {
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		counted(&b, PAGES);
		SAME(bed_asked(&b, 3).kind, LIBUFFD_FAULT_MISSING);
		SAME(bed_asked(&b, 3).start, (uintptr_t)b.at + 3 * b.page);
		SAME(bed_asked(&b, 3).len, b.page);
		SAME(bed_asked(&b, 3).nr, 1);
		SAME(bed_asked(&b, 3).tid, gettid());
		SAME(bed_asked(&b, 3).ahead_start, bed_asked(&b, 3).start);
		SAME(bed_asked(&b, 3).ahead_len, b.page);
	}
	bed_close(&b);
}
BOTH(copy)

static void zero(enum uffd_engine_kind kind)
{
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_ZERO))) {
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_zero(&b, i));
		bed_write(&b, 2, 9);
		SAME(bed_read(&b, 2), 9);
		counted(&b, PAGES);
	}
	bed_close(&b);
}
BOTH(zero)

static void move(enum uffd_engine_kind kind)
{
	struct bed b;

	if (uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_MOVE) != 1)
		SKIP("no UFFDIO_MOVE (6.8)");
	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_MOVE))) {
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		counted(&b, PAGES);
		SAME(b.data[5 * b.page], 0);	/* has gone */
	}
	bed_close(&b);
}
BOTH(move)

/* pages shared with a child can't be moved */
static void move_shared(enum uffd_engine_kind kind)
{
	struct bed b;
	int gate[2];
	pid_t pid;

	if (uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_MOVE) != 1)
		SKIP("no UFFDIO_MOVE (6.8)");
	if (CHECK(pipe(gate) == 0) &&
	    CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_MOVE))) {
		char c;

		pid = fork();
		if (pid == 0) {
			close(gate[1]);
			(void)!read(gate[0], &c, 1);
			_exit(0);
		}
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		counted(&b, PAGES);
		SAME(b.data[5 * b.page], 0);
		close(gate[1]);
		close(gate[0]);
		waitpid(pid, NULL, 0);
	}
	bed_close(&b);
}
BOTH(move_shared)

static bool open_over(struct bed *b, enum uffd_engine_kind kind,
		      enum bed_memory memory, unsigned nr, uint64_t mode,
		      enum uffd_action action)
{
	struct uffd_engine_opts opts = { .kind = kind };
	const char *why;

	*b = (struct bed){ .action = action };
	why = bed_memory(b, memory, nr);
	if (why)
		untried = why;
	return !why && SAME(bed_engine(b, &opts, mode, 0), 0);
}

static void carry_on(enum uffd_engine_kind kind)
{
	struct bed b;

	if (open_over(&b, kind, BED_MEMFD, PAGES, UFFDIO_REGISTER_MODE_MINOR,
		      LIBUFFD_DO_CONTINUE)) {
		memcpy(b.alias, b.data, b.len);
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		counted(&b, PAGES);
		SAME(bed_asked(&b, 0).kind, LIBUFFD_FAULT_MINOR);
	}
	bed_close(&b);
}
BOTH(carry_on)

/* missing pages are copied, cached ones mapped; the engine tells which */
static bool by_kind(struct bed *b, const struct uffd_fault *f,
		    struct uffd_answer *ret)
{
	ret->action = f->kind == LIBUFFD_FAULT_MINOR ? LIBUFFD_DO_CONTINUE :
							LIBUFFD_DO_COPY;
	ret->src = b->data + (f->start - (uintptr_t)b->at);
	return true;
}

static void missing_and_minor(enum uffd_engine_kind kind)
{
	struct bed b;

	if (open_over(&b, kind, BED_MEMFD, PAGES,
		      UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_MISSING,
		      LIBUFFD_DO_COPY)) {
		b.hook = by_kind;
		memcpy(b.alias, b.data, b.len / 2);
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		counted(&b, PAGES);
		SAME(bed_asked(&b, 0).kind, LIBUFFD_FAULT_MINOR);
		SAME(bed_asked(&b, PAGES - 1).kind, LIBUFFD_FAULT_MISSING);
	}
	bed_close(&b);
}
BOTH(missing_and_minor)

static void unprotect(enum uffd_engine_kind kind)
{
	struct bed b;

	if (open_over(&b, kind, BED_PRIVATE, PAGES, UFFDIO_REGISTER_MODE_WP,
		      LIBUFFD_DO_UNPROTECT)) {
		memcpy(b.at, b.data, b.len);
		SAME(uffd_writeprotect(uffd_engine_fd(b.e), (uintptr_t)b.at,
				       b.len, UFFDIO_WRITEPROTECT_MODE_WP),
		     b.len);
		CHECK(bed_holds(&b, 1));
		SAME(b.nr_asked, 0);
		for (unsigned i = 0; i < PAGES; i++)
			bed_write(&b, i, 77);
		SAME(bed_read(&b, 4), 77);
		counted(&b, PAGES);
		SAME(bed_asked(&b, 0).kind, LIBUFFD_FAULT_WP);
		CHECK(bed_asked(&b, 0).write);
	}
	bed_close(&b);
}
BOTH(unprotect)

/* the whole of a page's life: missing, filled protected, written */
static bool protect_then_free(struct bed *b, const struct uffd_fault *f,
			      struct uffd_answer *ret)
{
	if (f->kind == LIBUFFD_FAULT_WP) {
		ret->action = LIBUFFD_DO_UNPROTECT;
		return true;
	}
	ret->action = LIBUFFD_DO_COPY;
	ret->src = b->data + (f->start - (uintptr_t)b->at);
	ret->mode = UFFDIO_COPY_MODE_WP;
	return true;
}

static void missing_and_wp(enum uffd_engine_kind kind)
{
	struct bed b;

	if (open_over(&b, kind, BED_PRIVATE, PAGES,
		      UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING,
		      LIBUFFD_DO_COPY)) {
		b.hook = protect_then_free;
		CHECK(bed_holds(&b, 1));
		bed_write(&b, 1, 3);
		SAME(bed_read(&b, 1), 3);
		bed_write(&b, 2, 4);	/* both at once */
		SAME(bed_read(&b, 2), 4);
		counted(&b, 4);
		SAME(bed_asked(&b, 0).kind, LIBUFFD_FAULT_MISSING);
		SAME(bed_asked(&b, 1).kind, LIBUFFD_FAULT_WP);
	}
	bed_close(&b);
}
BOTH(missing_and_wp)

/* where a write-protect marker stands, ZEROPAGE alone would fail */
static void zero_on_marker(enum uffd_engine_kind kind)
{
	struct bed b;
	struct uffd_engine_opts opts = {
		.kind = kind,
		.need = UFFD_FEATURE_WP_UNPOPULATED,
	};
	int err;

	b = (struct bed){ .action = LIBUFFD_DO_ZERO };
	CHECK(!bed_memory(&b, BED_PRIVATE, PAGES));
	err = bed_engine(&b, &opts,
			 UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING,
			 0);
	if (err == -EOPNOTSUPP) {
		untried = "no UFFD_FEATURE_WP_UNPOPULATED (6.4)";
	} else if (SAME(err, 0)) {
		SAME(uffd_writeprotect(uffd_engine_fd(b.e), (uintptr_t)b.at,
				       b.len, UFFDIO_WRITEPROTECT_MODE_WP),
		     b.len);
		CHECK(bed_zero(&b, 1));
		bed_write(&b, 2, 5);
		SAME(bed_read(&b, 2), 5);
		SAME(b.nr_failed, 0);
	}
	bed_close(&b);
}
BOTH(zero_on_marker)

static void huge(enum uffd_engine_kind kind)
{
	struct bed b;

	if (open_over(&b, kind, BED_HUGE, 2, UFFDIO_REGISTER_MODE_MISSING,
		      LIBUFFD_DO_COPY)) {
		CHECK(bed_holds(&b, 1));
		SAME(bed_asked(&b, 0).start, (uintptr_t)b.at + b.page);
		SAME(bed_asked(&b, 0).len, b.page);
		b.action = LIBUFFD_DO_ZERO;
		CHECK(bed_zero(&b, 0));
		counted(&b, 2);
	}
	bed_close(&b);
}
BOTH(huge)

static void huge_minor(enum uffd_engine_kind kind)
{
	struct bed b;

	if (open_over(&b, kind, BED_HUGE, 1, UFFDIO_REGISTER_MODE_MINOR,
		      LIBUFFD_DO_CONTINUE)) {
		memcpy(b.alias, b.data, b.len);
		CHECK(bed_holds(&b, 0));
		SAME(bed_asked(&b, 0).kind, LIBUFFD_FAULT_MINOR);
	}
	bed_close(&b);
}
BOTH(huge_minor)

/* the function fills the page by itself, and asks only to wake, or not even */
static bool fills_itself(struct bed *b, const struct uffd_fault *f,
			 struct uffd_answer *ret)
{
	bool wakes = b->action == LIBUFFD_DO_NOTHING;

	SAME(uffd_copy(uffd_engine_fd(b->e), f->start,
		       b->data + (f->start - (uintptr_t)b->at), f->len,
		       wakes ? 0 : UFFDIO_COPY_MODE_DONTWAKE),
	     f->len);
	ret->action = b->action;
	return true;
}

static void only_wake(enum uffd_engine_kind kind)
{
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_WAKE))) {
		b.hook = fills_itself;
		CHECK(bed_holds(&b, 1));
		b.action = LIBUFFD_DO_NOTHING;
		CHECK(bed_holds(&b, 2));
		counted(&b, 2);
	}
	bed_close(&b);
}
BOTH(only_wake)

/* ---- pages that can't be supplied --------------------------------------------------- */

static sigjmp_buf out;

static void jump(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

static bool dies(const struct bed *b, uint64_t page)
{
	if (sigsetjmp(out, 1))
		return true;
	bed_read(b, page);
	return false;
}

/* In a process of its own, whose SIGBUS handler is there before any engine. */
static int touch_poisoned(enum uffd_engine_kind kind, int error)
{
	struct bed b;

	signal(SIGBUS, jump);
	if (!bed_open(&b, kind, PAGES, LIBUFFD_DO_POISON))
		return 1;
	b.error = error;
	CHECK(dies(&b, 3));
	CHECK(dies(&b, 3));
	SAME(b.nr_asked, 1);
	SAME(b.nr_failed, error != 0);
	if (error) {
		SAME(bed_failed(&b, 0).error, error);
		SAME(bed_failed(&b, 0).addr, (uintptr_t)b.at + 3 * b.page);
	}
	/* its neighbour is as good as ever */
	b.error = 0;
	b.action = LIBUFFD_DO_COPY;
	CHECK(bed_holds(&b, 4));
	bed_close(&b);
	return broken > 0;
}

static void poison_again(enum uffd_engine_kind kind, const char *error)
{
	if (uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_POISON) != 1)
		SKIP("no UFFDIO_POISON (6.6)");
	SAME(run_again(kind == LIBUFFD_ENGINE_THREAD ? "thread" : "sigbus",
		       error), 0);
}

static void poison(enum uffd_engine_kind kind)
{
	poison_again(kind, "0");
}
BOTH(poison)

static void cannot(enum uffd_engine_kind kind)
{
	poison_again(kind, "5");
}
BOTH(cannot)

/* ---- widening ----------------------------------------------------------------------- */

static void widened(enum uffd_engine_kind kind)
{
	struct uffd_engine_opts opts = { .kind = kind };
	struct uffd_engine_stats st;
	struct bed b = { .action = LIBUFFD_DO_COPY, .widen = true };

	CHECK(!bed_memory(&b, BED_PRIVATE, 256));
	if (SAME(bed_engine(&b, &opts, UFFDIO_REGISTER_MODE_MISSING,
			    64 * b.page), 0)) {
		for (unsigned i = 0; i < 256; i++)
			CHECK(bed_holds(&b, i));
		bed_stats(&b, &st);
		CHECK(st.runs < 20);
		SAME(st.pages, 256);
		SAME(st.existed, 0);
	}
	bed_close(&b);
}
BOTH(widened)

/* pages that are there already, in front and behind, and the border */
static bool three_wide(struct bed *b, const struct uffd_fault *f,
		       struct uffd_answer *ret)
{
	ret->action = LIBUFFD_DO_COPY;
	ret->start = f->start - b->page;
	ret->len = 3 * b->page;
	ret->src = b->data + (ret->start - (uintptr_t)b->at);
	return true;
}

static void over_existing(enum uffd_engine_kind kind)
{
	struct uffd_engine_stats st;
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_COPY))) {
		CHECK(bed_holds(&b, 4));
		CHECK(bed_holds(&b, 6));
		bed_write(&b, 4, 99);
		b.hook = three_wide;
		CHECK(bed_holds(&b, 5));
		SAME(bed_read(&b, 4), 99);
		bed_stats(&b, &st);
		SAME(st.pages, 3);
		SAME(st.existed, 2);
	}
	bed_close(&b);
}
BOTH(over_existing)

/* a range that mprotect has split into several mappings */
static bool all_of_it(struct bed *b, const struct uffd_fault *f,
		      struct uffd_answer *ret)
{
	(void)f;
	ret->action = LIBUFFD_DO_COPY;
	ret->start = (uintptr_t)b->at;
	ret->len = b->len;
	ret->src = b->data;
	return true;
}

static void over_splits(enum uffd_engine_kind kind)
{
	struct bed b;

	if (CHECK(bed_open(&b, kind, PAGES, LIBUFFD_DO_COPY))) {
		CHECK(!mprotect(b.at + 5 * b.page, 3 * b.page, PROT_READ));
		b.hook = all_of_it;
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&b, i));
		SAME(b.nr_asked, 1);
	}
	bed_close(&b);
}
BOTH(over_splits)

static const struct promise promises[] = {
	BOTH_PROMISES("COPY brings the bytes, page by page", copy),
	BOTH_PROMISES("ZERO brings zeros that can be written", zero),
	BOTH_PROMISES("MOVE takes the source's pages", move),
	BOTH_PROMISES("MOVE of pages shared by a fork still works",
		      move_shared),
	BOTH_PROMISES("CONTINUE maps what the page cache has", carry_on),
	BOTH_PROMISES("missing and minor faults are told apart",
		      missing_and_minor),
	BOTH_PROMISES("UNPROTECT lets a write go on", unprotect),
	BOTH_PROMISES("missing and wp faults are told apart", missing_and_wp),
	BOTH_PROMISES("ZERO works where a marker stands", zero_on_marker),
	BOTH_PROMISES("huge pages are copied and zeroed whole", huge),
	BOTH_PROMISES("huge pages of the page cache are mapped", huge_minor),
	BOTH_PROMISES("WAKE and NOTHING leave the filling to the function",
		      only_wake),
	BOTH_PROMISES("POISON means SIGBUS, each time", poison),
	BOTH_PROMISES("a failed function means SIGBUS, and is told", cannot),
	BOTH_PROMISES("a sequential reader is read ahead for", widened),
	BOTH_PROMISES("widened answers pass over pages that are there",
		      over_existing),
	BOTH_PROMISES("an answer may cover mappings that were split",
		      over_splits),
};

int main(int argc, char **argv)
{
	if (argc == 3)
		return touch_poisoned(strcmp(argv[1], "thread") ?
					      LIBUFFD_ENGINE_SIGBUS :
					      LIBUFFD_ENGINE_THREAD,
				      -atoi(argv[2]));
	return keep_all(promises, NR(promises));
}
