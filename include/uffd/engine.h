/* SPDX-License-Identifier: MIT */
/*
 * Engines: who resolves a fault.
 *
 * An engine owns a userfaultfd, takes its faults, asks you what belongs there,
 * and puts it there. You write one function, "which bytes belong at this
 * address?"; batching, duplicates, partial progress, vanishing mappings,
 * waking and placement are the engine's.
 *
 *   thread  A handler thread answers. Every kind of access waits for its page,
 *           system calls included. Waking another processor costs ten times
 *           the fault itself in a virtual machine, so the handler follows the
 *           thread that faults to its processor where this machine's wake-ups
 *           are dear, and stays beside it where they are cheap.
 *   sigbus  The faulting thread answers itself, in a SIGBUS handler: the lowest
 *           latency, and it scales with threads. System calls on missing
 *           memory fail with EFAULT.
 *
 * CAVEATS
 *
 * - Your fault function runs while a thread of the program is stopped at an
 *   arbitrary instruction, perhaps inside malloc or with a lock held (thread),
 *   or on top of it in a signal handler (sigbus). Let it use only memory that
 *   is resident and outside of all ranges, no malloc, no stdio, and no lock
 *   that a faulting thread may hold.
 * - Close-on-fork: a child process does not inherit the ranges; pages missing
 *   at the time of the fork read as zeros in the child. Use MADV_DONTFORK, or
 *   fork before.
 * - A child may free the engine that it inherited, which gives back memory and
 *   descriptor; adding and removing ranges is the parent's (-ESRCH).
 * - Freeing an engine, or removing a range, leaves pages that are still missing
 *   to the kernel: they become zeros.
 * - A page of huge pages that the function can't supply is asked for again with
 *   `sigbus`; any other stays poisoned until it is discarded or filled.
 */
#ifndef UFFD_ENGINE_H
#define UFFD_ENGINE_H

#include <uffd/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uffd_engine;		/* opaque */

/* ---- the question and the answer ---------------------------------------------- */

/* A run of neighbouring pages that threads wait for, all of one kind. */
struct uffd_fault {
	enum uffd_event_kind kind;	/* LIBUFFD_FAULT_* */
	bool write;		/* at least one of the accesses is a write */
	uint32_t tid;		/* who faults first in it */
	uint32_t nr;		/* messages behind this run, duplicates too */
	uint64_t start;		/* of the run; aligned to the page size */
	uint64_t len;		/* of the run, bytes; one page or more */
	uint64_t ahead_start;	/* the run widened by what a sequential reader */
	uint64_t ahead_len;	/* will want next, within its range; the same
				 * as start and len when access looks random */
};

enum uffd_action {
	LIBUFFD_DO_COPY = 1,	/* copy from src (len bytes) */
	LIBUFFD_DO_ZERO,	/* zeros */
	LIBUFFD_DO_MOVE,	/* move the pages at src; private anonymous only.
				 * Those that can't be moved are copied, and
				 * dropped at src unless EVENT_REMOVE is on */
	LIBUFFD_DO_CONTINUE,	/* map what the page cache has (minor faults) */
	LIBUFFD_DO_UNPROTECT,	/* let the write go on (wp faults) */
	LIBUFFD_DO_POISON,	/* there is no such page: SIGBUS at this page */
	LIBUFFD_DO_WAKE,	/* resolved already by other means: only wake */
	LIBUFFD_DO_NOTHING,	/* resolved and woken by the function itself */
	LIBUFFD_DO_LATER,	/* `thread` only: not yet; uffd_engine_resolve()
				 * will be called for it from any thread */
};

struct uffd_answer {
	enum uffd_action action;
	const void *src;	/* COPY, MOVE; must stay as it is until the
				 * function is called again in this thread */
	uint64_t start;		/* preset to the fault's; may be widened, up to */
	uint64_t len;		/* the borders of the range */
	uint64_t mode;		/* UFFDIO_*_MODE_*, passed on; DONTWAKE is
				 * the engine's own business and is ignored */
};

/*
 * What belongs at this address? Fill *ret and return 0. A negative errno says
 * that the page can't be supplied: it is poisoned (its threads get SIGBUS;
 * where the kernel has no POISON the process is left waiting) and reported to
 * `failed`. Called by handler threads (several at once if there are several)
 * or in the faulting thread; see CAVEATS. Must not wait for long in `thread`:
 * answer LIBUFFD_DO_LATER instead.
 */
typedef int uffd_fault_fn(void *user, const struct uffd_fault *fault,
			  struct uffd_answer *ret);

/* ---- making one ------------------------------------------------------------------ */

enum uffd_engine_kind {
	LIBUFFD_ENGINE_THREAD = 1,
	LIBUFFD_ENGINE_SIGBUS,
};

/* where handler threads run */
enum uffd_place {
	LIBUFFD_PLACE_AUTO,	/* by what waking costs here; keeps checking */
	LIBUFFD_PLACE_SAME,	/* on the processor of the thread that faults */
	LIBUFFD_PLACE_APART,	/* on any other processor than that */
	LIBUFFD_PLACE_CPUS,	/* on the processors given, one after another */
	LIBUFFD_PLACE_NONE,	/* wherever the scheduler likes */
};

/* Something that the engine could not do; only reported, never fatal. */
struct uffd_failure {
	int error;		/* negative errno */
	uint64_t addr;		/* page, or 0 if it is not about one */
	const char *what;	/* "copy", "read", "fault function", …; static */
};

struct uffd_engine_opts {
	size_t sz;		/* sizeof(struct uffd_engine_opts) */
	uint32_t kind;		/* LIBUFFD_ENGINE_* */
	uint32_t place;		/* LIBUFFD_PLACE_*; thread only */
	uint32_t nr_handlers;	/* threads; 0 means 1 */
	uint32_t spin_us;	/* look for messages this long before sleeping;
				 * burns a processor; 0 is the default */
	const uint32_t *cpus;	/* for LIBUFFD_PLACE_CPUS; read at once */
	uint32_t nr_cpus;
	uint32_t open_flags;	/* LIBUFFD_OPEN_* */
	uint64_t need;		/* UFFD_FEATURE_* beyond what the engine needs */
	uint64_t want;
	/* events (if asked for in need or want): called in order, in the
	 * thread that reads them, which with sigbus is one of the engine's own
	 * as well. Fault functions may be running in other threads meanwhile.
	 * Must not block, and above all not on a lock held around something
	 * that itself raises an event (uffd_lift, uffd_drop): that waits until
	 * this thread has read it. NULL: ignored, fork descriptors closed. A
	 * fork_fd becomes the function's. */
	void (*event)(void *user, const struct uffd_event *event);
	/* failures; in any thread, in signal context with sigbus. May be NULL */
	void (*failed)(void *user, const struct uffd_failure *failure);
	void *user;		/* for event and failed */
};

/*
 * Make an engine. The first one of a process with LIBUFFD_PLACE_AUTO measures
 * for about 2 ms what waking costs. sigbus: the first one installs a handler
 * for SIGBUS (SA_SIGINFO, SA_NODEFER, SA_ONSTACK), which passes on what is not
 * its own to the handler it found; install yours before, or call
 * uffd_engine_sigbus() from it. Signals are blocked in handler threads.
 *
 * Errors: those of uffd_open; -EINVAL (bad options: a processor that does not
 * exist, unknown bytes not zero); -EAGAIN (no thread); -ENOMEM.
 * *ret only on success; free it with uffd_engine_free.
 */
int uffd_engine_new(const struct uffd_engine_opts *opts,
		    struct uffd_engine **ret);

/* Stop the handlers, unregister all ranges, close the descriptor. NULL is
 * fine. No thread may fault in its ranges, or use it, any more. The signal
 * handler stays installed and passes on. */
void uffd_engine_free(struct uffd_engine *e);

/* ---- ranges ------------------------------------------------------------------------ */

struct uffd_range_opts {
	size_t sz;		/* sizeof(struct uffd_range_opts) */
	uint64_t start;		/* aligned to page_size */
	uint64_t len;
	uint64_t mode;		/* UFFDIO_REGISTER_MODE_* */
	uint64_t page_size;	/* 0: the system's; or a huge page size */
	uint64_t ahead_max;	/* the most bytes to suggest to a sequential
				 * reader, itself included; 0: none */
	uint32_t flags;		/* 0 */
	uint32_t reserved;	/* 0 */
	uffd_fault_fn *fault;
	void *user;		/* for fault */
};

/*
 * Serve a mapped range from now on. Any thread, at any time, while others
 * fault. -EEXIST: overlaps a range of this engine; -EBUSY: another descriptor
 * has it; -EINVAL; -EPERM; -ENOMEM.
 */
int uffd_engine_add(struct uffd_engine *e, const struct uffd_range_opts *opts);

/*
 * Stop serving the range that begins at start (exactly one that was added).
 * Returns when no fault function runs for it any more. -ENOENT.
 */
int uffd_engine_remove(struct uffd_engine *e, uint64_t start);

/* Carry out an answer now: for LIBUFFD_DO_LATER, and for filling ahead of any
 * fault. Never blocks. Any thread, not the fault function. -ENOENT: not within one
 * range. -EINPROGRESS, -EAGAIN: `thread` will see the fault again by itself
 * (for LATER: call again). Otherwise what the operation says. */
int uffd_engine_resolve(struct uffd_engine *e,
			const struct uffd_answer *answer);

/* The descriptor; the engine's, don't close it and don't read it. */
int uffd_engine_fd(const struct uffd_engine *e);
/* How it was opened. */
const struct uffd_opened *uffd_engine_opened(const struct uffd_engine *e);

/*
 * For programs with a SIGBUS handler of their own, installed after ours: true
 * if the fault was in a range of a sigbus engine and is resolved; return from
 * your handler then. Async-signal-safe.
 */
bool uffd_engine_sigbus(int sig, void *siginfo, void *ucontext);

/* ---- what it did -------------------------------------------------------------------- */

struct uffd_engine_stats {
	uint64_t faults;	/* messages or signals */
	uint64_t runs;		/* fault function calls */
	uint64_t pages;		/* installed, readahead included */
	uint64_t existed;	/* found there already, woken */
	uint64_t retries;	/* put back because the layout was changing */
	uint64_t reads;		/* read(2) calls that brought something */
	uint64_t followed;	/* times a handler moved to another processor */
	uint64_t failures;
	uint32_t place;		/* where handlers are now: SAME, APART, … */
	uint32_t reserved;
};

/* Counters since the start; any thread; each one exact, not one moment's. What
 * a thread was woken by is perhaps not counted when it looks. */
void uffd_engine_stats(const struct uffd_engine *e,
		       struct uffd_engine_stats *ret);

/* ---- what this machine charges --------------------------------------------------------- */

/* Medians in nanoseconds; 0: could not be measured here. */
struct uffd_costs {
	uint64_t clock_ns;	/* one clock_gettime(CLOCK_MONOTONIC) */
	uint64_t fault_ns;	/* the kernel's own anonymous write fault */
	uint64_t signal_ns;	/* a SIGSEGV to a handler and back */
	uint64_t wake_same_ns;	/* one thread wakes another, same processor */
	uint64_t wake_other_ns;	/* the same, on another, sleeping processor */
	uint64_t shootdown_ns;	/* dropping one page while another thread of the
				 * process runs, less the same alone */
};

/* Measure all of it, in well under a second. Starts threads and ends them;
 * leaves signal handlers as they were. 0 or -errno. Not while other threads
 * of the process rely on SIGSEGV. */
int uffd_costs(struct uffd_costs *ret);

#ifdef __cplusplus
}
#endif

#endif /* UFFD_ENGINE_H */
