/* SPDX-License-Identifier: MIT */
/*
 * Pagers: regions larger than memory, with a budget, on any store.
 *
 * A region is memory whose pages come from a store when they are touched and
 * go back to it when the pager needs their room. Many regions share one
 * pager's budget. To the program a region is just memory.
 *
 * CAVEATS
 *
 * - Pinned pages. Pages leave a region by mremap(2), which takes pages that a
 *   device is writing into as well (direct I/O in flight, io_uring registered
 *   buffers, RDMA): the device then writes where the program no longer looks.
 *   So struct uffd_pager_opts.pins has no default. With LIBUFFD_PINS_CALLED
 *   you hold such ranges by uffd_pin() for as long as the device may use them;
 *   with LIBUFFD_PINS_CHECKED pages leave one by one by UFFDIO_MOVE, which can
 *   tell, and pinned ones stay where they are: for programs that nobody knows,
 *   dearer where several threads run. (Not of pages that mprotect(2) has made
 *   read-only since they were pinned: those it can't tell.)
 * - With the `sigbus` engine a system call on a page that is not there fails
 *   with EFAULT. uffd_touch() or uffd_pin() the buffer first, or use `thread`.
 * - A page that its store can't supply is never zeros: its access fails with
 *   SIGBUS, and the `failed` function hears of it.
 * - Durable is what uffd_sync() has returned for, no more.
 * - Do not write to a store by other ways while it is mapped.
 *
 * Everything here may be called from any thread, but not from a signal
 * handler, a store, or the `failed` function. Lengths are bytes; addresses
 * are the region's own. Returns 0 or a count, or a negative errno.
 * Since 0.1.
 */
#ifndef UFFD_PAGER_H
#define UFFD_PAGER_H

#include <uffd/engine.h>
#include <uffd/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uffd_pager;		/* opaque */
struct uffd_region;		/* opaque */

/* ---- a pager ---------------------------------------------------------------------- */

/* how pages that someone else uses are kept in place; see CAVEATS */
enum uffd_pins {
	LIBUFFD_PINS_CALLED = 1,	/* uffd_pin() is called for them */
	LIBUFFD_PINS_CHECKED,		/* the pager finds out (6.8) */
};

/* what could not be done for a page; only reported */
struct uffd_page_failure {
	int error;			/* negative errno; -EBADMSG: the store
					 * gave other bytes than it was given */
	struct uffd_region *region;
	uint64_t offset;		/* of the page in its region */
	uint64_t addr;			/* the page */
	bool write_back;		/* writing it: it stays in memory, and is
					 * tried again; else reading: poisoned */
	const char *what;		/* "read", "hash", "write", …; static */
};

/* the smallest budget: eight pages of 4 KiB */
#define LIBUFFD_BUDGET_MIN (32u << 10)

struct uffd_pager_opts {
	size_t sz;		/* sizeof(struct uffd_pager_opts) */
	uint64_t budget;	/* bytes that may be resident, at most */
	uint32_t engine;	/* LIBUFFD_ENGINE_THREAD or _SIGBUS */
	uint32_t pins;		/* LIBUFFD_PINS_*; no default */
	uint32_t place;		/* LIBUFFD_PLACE_*, not _CPUS; for `thread` */
	uint32_t spin_us;	/* as in struct uffd_engine_opts */
	uint32_t deadline_ms;	/* how long a read that fails is tried again
				 * before the page is given up; 0: not at all */
	uint32_t reserved;	/* 0 */
	/* failures; any thread, in a signal handler with sigbus. May be NULL */
	void (*failed)(void *user, const struct uffd_page_failure *failure);
	void *user;
};

/*
 * Make a pager. reason, if not NULL, gets a line that says what is wrong.
 * -EINVAL: a bad option (a budget below the minimum, no choice of pins).
 * -EOPNOTSUPP: this kernel can't (pins: no UFFDIO_MOVE). The errors of
 * uffd_engine_new.
 */
int uffd_pager_new(const struct uffd_pager_opts *opts,
		   struct uffd_reason *reason, struct uffd_pager **ret);

/* Free all its regions (see uffd_region_free), and the pager. NULL is fine. */
void uffd_pager_free(struct uffd_pager *p);

/* Change the budget; when it shrinks, returns after pages have left. -EINVAL
 * below the minimum; -EBUSY: pins or a failing store hold too much; the new
 * budget counts then all the same. */
int uffd_pager_set_budget(struct uffd_pager *p, uint64_t budget);

/* ---- regions ---------------------------------------------------------------------- */

/* flags of struct uffd_region_opts */
#define LIBUFFD_REGION_RDONLY (1u << 0)	/* mapped without the right to write */
/* What is written never reaches the store: changed pages go to memory of the
 * pager's own, compressed, and are lost with the region. */
#define LIBUFFD_REGION_PRIVATE (1u << 1)

struct uffd_region_opts {
	size_t sz;		/* sizeof(struct uffd_region_opts) */
	struct uffd_store *store;	/* stays yours; outlives the region.
				 * NULL: zeros, and LIBUFFD_REGION_PRIVATE */
	uint64_t offset;	/* in the store; aligned to the page size */
	uint64_t len;		/* rounded up to the page size; 0: all the store
				 * from offset on */
	uint64_t page_size;	/* what is filled at a time: 0 or 4 KiB, 16 KiB,
				 * 64 KiB, 2 MiB; at most a quarter of the
				 * budget */
	uint32_t flags;		/* LIBUFFD_REGION_* */
	uint32_t memory;	/* enum uffd_memory: LIBUFFD_MEM_PRIVATE; or
				 * LIBUFFD_MEM_MEMFD_SHARED, whose pages are
				 * one memory file that the pager alone maps
				 * (5.14); or LIBUFFD_MEM_HUGETLB_2M, the same
				 * of huge pages, page_size 2 MiB (5.18) */
	uint64_t ahead_max;	/* the most bytes read ahead; 0: as the pager
				 * likes; 1: none */
};

/*
 * Map a store, or part of one. -EINVAL: bad options, or the store ends before
 * offset + len (rounded down to a page). -EROFS: the store can't be written
 * and neither RDONLY nor PRIVATE is asked for. -EBUSY: this part of the store is
 * mapped writable already, by any pager. -EOPNOTSUPP: with `sigbus`, a store
 * that may not be called in a signal handler; with LIBUFFD_PINS_CHECKED, a
 * memory file, of which nobody can tell who has pinned what. -ENOMEM.
 */
int uffd_region_new(struct uffd_pager *p, const struct uffd_region_opts *opts,
		    struct uffd_reason *reason, struct uffd_region **ret);

/*
 * Write back what changed (without a flush: see uffd_sync), unmap the region
 * and free it. Nobody may touch it any more. 0, or the error of a page that
 * could not be written; then the region is still there: mend the store and
 * call again, or uffd_region_abandon().
 */
int uffd_region_free(struct uffd_region *r);

/* The same without writing anything back. NULL is fine. */
void uffd_region_abandon(struct uffd_region *r);

/*
 * Where it is, and how long. Private memory filled 2 MiB at a time becomes a
 * transparent huge page each time, where the kernel has one and UFFDIO_MOVE
 * (6.8). A child does not inherit regions: touching one after a fork is a
 * SIGSEGV there.
 */
void *uffd_region_start(const struct uffd_region *r);
uint64_t uffd_region_len(const struct uffd_region *r);

/* ---- ranges of a region --------------------------------------------------------- */

/*
 * Have the pages of a range here, in this thread, without faults. What is here
 * already costs next to nothing. No promise that they stay: see uffd_pin().
 * The error of the first page that can't be had.
 */
int uffd_touch(struct uffd_region *r, uint64_t offset, uint64_t len);

/* Have them here soon, if there is room without pushing out what was used
 * since. A hint: returns at once where the store can work by itself. */
int uffd_prefetch(struct uffd_region *r, uint64_t offset, uint64_t len);

/* Take the pages of a range out, and with them their neighbours: whole slices
 * leave. What changed is written back. -EBUSY: part of it is pinned and
 * stayed. */
int uffd_evict(struct uffd_region *r, uint64_t offset, uint64_t len);

/*
 * Write back what changed in a range and have the store make it durable. What
 * was written before the call is in the store when it returns 0; what is
 * written meanwhile may or may not be.
 */
int uffd_sync(struct uffd_region *r, uint64_t offset, uint64_t len);

/* Let whole pages read as zeros from now on, here and in the store. */
int uffd_discard(struct uffd_region *r, uint64_t offset, uint64_t len);

/*
 * Have the pages of a range here and keep them in place until uffd_unpin(),
 * for devices and system calls. Pins add up, and count against the budget:
 * -ENOMEM when less than an eighth of it would be left. uffd_unpin takes back
 * exactly one range that was pinned.
 */
int uffd_pin(struct uffd_region *r, uint64_t offset, uint64_t len);
void uffd_unpin(struct uffd_region *r, uint64_t offset, uint64_t len);

/* ---- what it did ------------------------------------------------------------------ */

/* Times in powers of two: buckets[n] counts those of 2^n to 2^(n+1) - 1 ns. */
#define LIBUFFD_HIST_BUCKETS 40
struct uffd_hist {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t buckets[LIBUFFD_HIST_BUCKETS];
};
/* The time that a fraction (0 to 1) of them did not exceed, within its bucket
 * by straight line; 0 when there are none. */
uint64_t uffd_hist_quantile(const struct uffd_hist *h, double fraction);

struct uffd_pager_stats {
	uint64_t budget;
	uint64_t resident_bytes;	/* regions and limbo together */
	uint64_t limbo_bytes;		/* of that: in limbo */
	uint64_t metadata_bytes;	/* kept for pages, beside the budget;
					 * resident where pages were used */
	uint64_t faults;		/* accesses that had to be answered */
	uint64_t soft_faults;		/* of those: answered from limbo */
	uint64_t zero_faults;		/* of those: the page never existed */
	uint64_t read_pages;		/* from stores, readahead included */
	uint64_t ahead_pages;		/* of those: read ahead */
	uint64_t lifts;			/* slices lifted */
	uint64_t lifted_pages;
	uint64_t settled_pages;		/* left limbo for good ... */
	uint64_t written_pages;		/* ... and these had changed */
	uint64_t failures;
	uint64_t waits;			/* times a thread found no room and had
					 * to make some by itself */
};
void uffd_pager_stats(const struct uffd_pager *p, struct uffd_pager_stats *ret);

/* the stages of a page's way */
enum uffd_stage {
	LIBUFFD_STAGE_FAULT,	/* from its start to its wake */
	LIBUFFD_STAGE_READ,	/* the store's read */
	LIBUFFD_STAGE_INSTALL,	/* COPY and its like */
	LIBUFFD_STAGE_LIFT,
	LIBUFFD_STAGE_SETTLE,	/* hash, and write if changed, of one page */
	LIBUFFD_STAGE_WRITE,	/* the store's write */
	LIBUFFD_NR_STAGE
};
/* Switch times on or off; off costs nothing and is how it begins. */
void uffd_pager_time(struct uffd_pager *p, bool on);
void uffd_pager_hist(const struct uffd_pager *p, enum uffd_stage stage,
		     struct uffd_hist *ret);

#ifdef __cplusplus
}
#endif

#endif /* UFFD_PAGER_H */
