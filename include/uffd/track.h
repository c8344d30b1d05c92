/* SPDX-License-Identifier: MIT */
/*
 * Write tracking: which pages were written since the last look, and a call
 * before the first write to a page goes on.
 *
 * CAVEATS, before anything else
 *
 * - What is tracked is a mapping, not the memory behind it. A write to shared
 *   memory through another mapping (of this or another process), write(2) to
 *   the file behind it, and a device that goes on writing into pages pinned
 *   before the look (direct I/O in flight, buffers registered with io_uring,
 *   RDMA) are NOT seen. Track each mapping, and uffd_track_mark() what a
 *   device has written. What system calls write to tracked memory is seen.
 * - A page counts as written when it was written to (the same bytes count,
 *   too), and, in private anonymous memory, when it was discarded. What the
 *   kernel keeps protected over the hole, it does NOT see: discarding hugetlb,
 *   private mappings of files, and shared memory (MADV_REMOVE, punching a
 *   hole, truncating its file). Mark that as well. (Before 6.7 a page of
 *   hugetlb that was written and then discarded is not reported.)
 * - A write that is just taking place while its page is looked at may be
 *   reported by that look or by the next; in the rare case that its thread is
 *   interrupted between its fault and its store, by both. None is ever lost.
 * - Memory that a look itself writes to (the array handed to it, its stack) is
 *   found written by the next one, if it is tracked.
 * - LIBUFFD_TRACK_SYNC: a write waits until the tracker's thread has let it
 *   go. So that thread must never wait for a writer: see uffd_write_fn. The
 *   stacks of threads that call into the tracker must not be tracked.
 * - A child process is not tracked and must not use its parent's tracker (all
 *   calls but uffd_track_free answer -ECHILD there). The parent goes on being
 *   tracked; a fork itself counts as no write. Before 6.4 a child that writes
 *   to private hugetlb which its parent tracks, hangs in the kernel until it
 *   is killed: keep it from children there (MADV_DONTFORK).
 *
 * Functions return 0 or a count, or a negative errno; errno is left alone.
 * Addresses are uint64_t, for they may be another process's. Any function may
 * be called from any thread, at the same time as others, unless its comment
 * says otherwise; none from a signal handler. All of it since 0.1.
 */
#ifndef UFFD_TRACK_H
#define UFFD_TRACK_H

#include <uffd/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uffd_track;		/* a tracker; opaque */

enum uffd_track_method {
	LIBUFFD_TRACK_AUTO,	/* ASYNC if it can be had, else SYNC; with a
				 * write function: SYNC */
	LIBUFFD_TRACK_ASYNC,	/* the kernel notes the write and lets it go on
				 * at once (WP_ASYNC and PAGEMAP_SCAN, 6.7): no
				 * message, no thread. Any kind of memory. */
	LIBUFFD_TRACK_SYNC,	/* a thread of the tracker lets each first write
				 * go on (5.14; shared memory and hugetlb 5.19);
				 * no regular files */
};

/* ---- write events ------------------------------------------------------------ */

/* The first write to a page in an epoch; it has not happened yet. */
struct uffd_write {
	uint64_t addr;		/* the page; aligned to len */
	uint64_t len;		/* its size: the system's, or a huge page's */
	uint64_t epoch;		/* the one under way at this page; its look
				 * reports the page if the write is let go
				 * before it */
	uint32_t tid;		/* thread that writes, in its pid namespace; 0
				 * where the kernel doesn't tell (given fds) */
	uint32_t reserved;
};

/* what a write function may answer, beside a negative errno */
#define LIBUFFD_WRITE_GO 0	/* let it go on now */
#define LIBUFFD_WRITE_HOLD 1	/* uffd_track_release() will let it go on */

/*
 * Called before the first write to a page goes on: once a page and epoch,
 * however many threads wait to write to it. The page still holds its old
 * content and may be read (by process_vm_readv(2) in another process). Only
 * system calls that write to memory and the writes themselves wait, reads go
 * on.
 *
 * It runs in the tracker's thread, one call at a time, while a thread is
 * stopped at an arbitrary instruction, perhaps inside malloc or with a lock
 * held. So it must not write to tracked memory, allocate memory, use stdio, or
 * take a lock that a writer may hold: it would wait for ever. Of the tracker's
 * functions it may call uffd_track_release(), uffd_track_mark(),
 * uffd_track_epoch() and uffd_track_stats(); the others answer -EDEADLK.
 *
 * Any number of pages may be held at a time, and released in any order and
 * from any thread, even before HOLD was returned.
 *
 * A negative errno says that the old content could not be saved. The write
 * goes on all the same (a program is never stopped for its log), and the first
 * such error is kept for uffd_track_failed().
 */
typedef int uffd_write_fn(void *user, const struct uffd_write *write);

/* ---- making a tracker ----------------------------------------------------------- */

/* flags of struct uffd_track_opts */
/* Track the process `pid` by its descriptor `uffd`. */
#define LIBUFFD_TRACK_GIVEN (1u << 0)
/* SYNC: keep the tracker's thread on processor `cpu`. Without this it follows
 * the thread that writes, if that is of this process and if waking another
 * processor is dear here (in a virtual machine; measured once in a process, in
 * about 2 ms). */
#define LIBUFFD_TRACK_ON_CPU (1u << 1)

struct uffd_track_opts {
	size_t sz;		/* sizeof(struct uffd_track_opts) */
	uint32_t method;	/* LIBUFFD_TRACK_AUTO, ASYNC or SYNC */
	uint32_t flags;		/* LIBUFFD_TRACK_GIVEN, ... */
	uint32_t open_flags;	/* LIBUFFD_OPEN_*, unless GIVEN. SYNC insists on
				 * faults of system calls unless USER_ONLY is
				 * asked for: they would fail with EFAULT */
	uint32_t cpu;		/* with LIBUFFD_TRACK_ON_CPU */
	int32_t uffd;		/* with GIVEN: made in the process `pid`, handed
				 * over or got by uffd_pidfd_getfd(); stays
				 * yours, and open until uffd_track_free */
	int32_t pid;		/* with GIVEN; you must be allowed to ptrace it */
	uffd_write_fn *write;	/* SYNC: write events, or NULL */
	void *user;		/* for write */
};

/*
 * Make a tracker. opts may be NULL: all defaults, this process.
 *
 * A GIVEN descriptor must be non-blocking. If nobody has asked it for features
 * yet, the tracker does; otherwise what was asked for decides: ASYNC needs
 * WP_ASYNC, SYNC must not have it. With SYNC nobody else may read it; with
 * ASYNC whoever asked for events must go on reading them.
 *
 * Errors: -EINVAL (bad opts, unknown bytes not zero, a write function with
 * ASYNC, a processor that is not there); -EOPNOTSUPP (this kernel, or the
 * given descriptor, can't do the method); -ESRCH, -EACCES, -EPERM (the
 * process, or its pagemap, can't be had); those of uffd_open; -EAGAIN (no
 * thread); -ENOMEM. *ret only on success; free it with uffd_track_free.
 */
int uffd_track_new(const struct uffd_track_opts *opts, struct uffd_track **ret);

/*
 * Stop, let held writes go on, forget everything. NULL is fine. Not from the
 * write function, nor while another thread uses it. In a child process it
 * frees the child's copy, and the parent's goes on.
 */
void uffd_track_free(struct uffd_track *t);

/* LIBUFFD_TRACK_ASYNC or LIBUFFD_TRACK_SYNC: what is used. */
enum uffd_track_method uffd_track_method(const struct uffd_track *t);

/* The descriptor: the tracker's (or yours, if GIVEN). Don't read or close it. */
int uffd_track_fd(const struct uffd_track *t);

/* ---- ranges ----------------------------------------------------------------------- */

/*
 * Track [start, +len) from now on, or from uffd_track_start on. It may span
 * mappings of different kinds (SYNC: of one page size); all of it must be
 * mapped now. While the tracker runs, what was written before is not reported.
 *
 * Later changes of the mappings, each at the latest by the next look:
 *   munmap	nothing is reported for it
 *   mmap	in a place of the range: tracked from the look that finds it,
 *		which reports all of it (SYNC, range of huge pages: in pieces
 *		of their size)
 *   mremap	away: what stays mapped here is reported, the new place is not
 *		tracked unless it lies in a range, then as mmap; grown in place:
 *		add what is new
 *   mprotect	changes nothing; a write that it forbids is a SIGSEGV as ever
 *   madvise	a discard: see CAVEATS. Of a page that is held: its writer waits
 *		on, others don't, for there is no old content any more
 *
 * Errors: -EINVAL (empty, not aligned, no such addresses; SYNC: different page
 * sizes); -EFAULT (not all of it is mapped); -EEXIST (overlaps a range of this
 * tracker); -EBUSY (overlaps what another descriptor has registered: another
 * tracker, an engine, a pager); -EOPNOTSUPP (a kind of memory that this method
 * can't track, such as a device's, or a range that cuts a huge page); -EPERM
 * (a shared mapping that can't be made writable); -ENOMEM; -ESRCH (the process
 * is dead); -EDEADLK (called by the write function, or the tracker's own
 * memory); -ECHILD. Nothing is changed then.
 */
int uffd_track_add(struct uffd_track *t, uint64_t start, uint64_t len);

/* Stop tracking the range that begins at start (exactly one that was added).
 * Held writes in it go on; what no look has reported is forgotten. A write
 * function may still be running for one of its pages. -ENOENT, -EDEADLK,
 * -ECHILD. */
int uffd_track_remove(struct uffd_track *t, uint64_t start);

/* ---- epochs ------------------------------------------------------------------------ */

/*
 * Begin epoch 1: what is written from now on is reported. -EALREADY: it runs.
 * Other errors as of uffd_track_add, and then it doesn't run. Pages never
 * touched stay so (SYNC before 6.4: private ones get the zero page mapped),
 * but their page tables are made: 2 MiB for each GiB.
 */
int uffd_track_start(struct uffd_track *t);

/* Addresses of pages that were written. */
struct uffd_written {
	uint64_t start;
	uint64_t len;		/* bytes, in whole pages */
};

/*
 * Look: which pages were written in this epoch? Fills up to cap ranges, sorted
 * by address, neighbours merged, *ret_nr of them, and tracks these pages anew
 * in the same step. Returns
 *
 *	1	there may be more: call again, the look goes on where it stopped
 *	0	the look is over, and with it the epoch; the next one has begun
 *	-errno	it stopped; *ret_nr ranges are good all the same. Nothing is
 *		lost: when the cause is gone, call again and it goes on.
 *
 * The content of a reported page is to be read after this returned; a write
 * after that is reported again next time. A range added behind the place where
 * a look is, is seen by the next look.
 *
 * Cheapest while no other thread of the process runs: else each 2 MiB (SYNC:
 * each range reported) with a written page costs an interruption of all
 * processors that run it, 17 us a time in a virtual machine. A program that
 * has a moment of rest should look then, and a tool may stop the process.
 *
 * Errors: -EINVAL (it doesn't run; cap is 0); -EBUSY, -EOPNOTSUPP, -EPERM
 * (something was mapped into a range that can't be tracked: remove the range);
 * -ESRCH; -ENOMEM; -EDEADLK; -ECHILD. One look at a time; others wait.
 */
int uffd_track_collect(struct uffd_track *t, struct uffd_written *ranges,
		       unsigned cap, unsigned *ret_nr);

/* Stop tracking: writes cost nothing any more, held ones go on. What no look
 * has reported is forgotten; ranges stay, for the next start. 0, also when it
 * doesn't run, or -EDEADLK, -ECHILD. */
int uffd_track_stop(struct uffd_track *t);

/* The epoch under way, 1 the first; 0 when it doesn't run. */
uint64_t uffd_track_epoch(const struct uffd_track *t);

/*
 * Count [start, +len) as written in this epoch: for what a device, or another
 * mapping, has written. Whole pages, within one range; no event. -ENOENT: not
 * within one range; -EINVAL: not aligned, or it doesn't run; -ESRCH; -ECHILD.
 */
int uffd_track_mark(struct uffd_track *t, uint64_t start, uint64_t len);

/* ---- write events, once more --------------------------------------------------------- */

/*
 * Let the writes to the held pages of [start, +len) go on; pages not held are
 * passed over. Any thread, the write function included. Returns how many pages
 * were let go; -EINVAL: not aligned; -ECHILD.
 */
int64_t uffd_track_release(struct uffd_track *t, uint64_t start, uint64_t len);

/* The first error of the write function since the last call of this, and in
 * *ret_addr, unless NULL, its page. 0: none. */
int uffd_track_failed(struct uffd_track *t, uint64_t *ret_addr);

/* ---- what it did ------------------------------------------------------------------------ */

struct uffd_track_stats {
	uint64_t looks;		/* finished */
	uint64_t ranges;	/* reported */
	uint64_t bytes;		/* reported */
	uint64_t faults;	/* SYNC: messages of first writes, duplicates
				 * included */
	uint64_t events;	/* write function calls */
	uint64_t held;		/* pages held now */
	uint64_t failures;	/* write functions that failed */
};

/* Counters since it was made; each one exact, not one moment's. */
void uffd_track_stats(const struct uffd_track *t, struct uffd_track_stats *ret);

#ifdef __cplusplus
}
#endif

#endif /* UFFD_TRACK_H */
