/* SPDX-License-Identifier: MIT */
/*
 * Inside a tracker.
 *
 * What is written is not kept in any list of ours: the page tables know it, by
 * the write-protection that a write takes away. So whatever happens to the
 * memory (discarded, moved, mapped anew) can't make us forget a write.
 *
 * One page in an epoch (SYNC; with ASYNC the kernel goes from the first state
 * straight to the last):
 *
 *	armed ───write──► caught ──HOLD──► held ──release──► written
 *	  ▲                  └──────────────GO─────────────────► │
 *	  └──────────────────────── look ────────────────────────┘
 *
 * "caught" and "held" are one bit, in range.held; the difference is whether
 * the write function has returned.
 *
 * Two locks, taken in this order:
 *	api	serialises what users call: ranges, looks, start and stop. Held
 *		while a user's array is written to, so the tracker's thread
 *		never takes it.
 *	lock	between the tracker's thread and the others: ranges, held bits,
 *		where the look is. Nobody touches memory of the user's while
 *		holding it: that would wait for the thread, and it for us.
 * All memory of a tracker is mapped, not malloc'ed: the heap may be tracked.
 */
#ifndef LIB_TRACK_TRACK_H
#define LIB_TRACK_TRACK_H

#include <pthread.h>
#include <stdbool.h>
#include <uffd/track.h>

#include "follow.h"
#include "maps.h"

/* regions of one step of a look; the most that a scan is asked for */
#define VEC_ASYNC 512
/* fewer, since each may cost an interruption of other processors, and writers
 * wait for the lock meanwhile */
#define VEC_SYNC 64

/* messages of one read(2) */
#define BATCH 64

/* entries of /proc/PID/pagemap read at a time */
#define ENTRIES 1024

struct range {
	uint64_t start;
	uint64_t end;
	uint64_t page_size;	/* SYNC; the system's with ASYNC */
	bool huge;		/* there is hugetlb in it */
	uint64_t *held;		/* one bit a page, with a write function */
};

/* a look under way */
struct look {
	bool begun;
	uint64_t at;		/* before this all is looked at, and armed */
	struct uffd_page_region vec[VEC_ASYNC];
	unsigned nr, next;	/* of vec: found, given out */
	struct uffd_written last;	/* found, but may grow yet; len 0: none */
	struct mapping piece;	/* pagemap only: the mapping it is in */
	uint64_t entries[ENTRIES];
};

struct uffd_track {
	uint64_t bytes;		/* mapped for this struct and the stack */
	uint64_t page_size;	/* the system's */
	enum uffd_track_method method;
	pid_t owner;		/* the process that made it */
	pid_t pid;		/* whose memory; 0: the owner's */
	int fd;
	bool fd_is_ours;
	int pagemap;
	bool has_scan;		/* PAGEMAP_SCAN */
	bool marks_holes;	/* WP on holes (WP_UNPOPULATED) */

	pthread_mutex_t api;
	pthread_mutex_t lock;
	struct range *ranges;	/* sorted, apart */
	unsigned nr_ranges, cap_ranges;
	uint64_t epoch;		/* 0: it doesn't run; read without a lock */
	struct look look;
	struct maps maps;	/* used under api */

	uffd_write_fn *write;
	void *user;
	bool has_thread;
	struct follow *follow;	/* NULL: it stays where it is */
	pthread_t thread;
	int stop_fd;
	struct uffd_msg msgs[BATCH];
	struct uffd_batch batch;
	struct uffd_msg drain_msgs[BATCH];
	struct uffd_batch drain_batch;
	struct uffd_write caught[BATCH];
	unsigned nr_caught;
	int failed;
	uint64_t failed_addr;
	struct uffd_track_stats stats;
};

static inline void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* 0, or why this thread may not call: -ECHILD, -EDEADLK */
int may_call(const struct uffd_track *t);

/* Is the process, or its memory of then, gone? (exit and execve) */
bool is_dead(const struct uffd_track *t);

/* ---- range.c */

/* The first range that ends after addr, or NULL. */
struct range *range_after(const struct uffd_track *t, uint64_t addr);
/* The range that addr lies in, or NULL. */
struct range *range_at(const struct uffd_track *t, uint64_t addr);
void ranges_free(struct uffd_track *t);

/* Register all of a range, where it is not yet. 0 or -errno. */
int range_register(const struct uffd_track *t, const struct range *r);

/* Is any of [start, end), which is registered by us, hugetlb? */
bool is_hugetlb(const struct uffd_track *t, uint64_t start, uint64_t end);

/* Let all writes to it go on, for good. Under lock. */
void range_disarm(struct uffd_track *t, struct range *r);

/*
 * Mappings were found in a range that are not registered: take them in. 0,
 * also when nothing is mapped there any more.
 */
int range_heal(struct uffd_track *t, const struct range *r);

/* ---- arm.c */

/* Register and protect all of a range: it is tracked from here on. */
int range_arm(struct uffd_track *t, const struct range *r);
/* Protect a part of it, which may in part be unmapped, or not registered yet.
 * Under lock. 0 or -errno. */
int arm_part(struct uffd_track *t, const struct range *r, uint64_t start,
	     uint64_t end);

/* ---- async.c, sync.c */

/*
 * One step of a look: from t->look.at on, in r, find what is written, into
 * t->look.vec and nr, arm it, and move on. 0 or -errno; also then nr counts.
 */
int async_step(struct uffd_track *t, const struct range *r);
/* Of SYNC, and of ranges with hugetlb. */
int sync_step(struct uffd_track *t, const struct range *r);

/* Can SYNC see on this kernel what is written? 1, 0 or -errno. */
int sync_sees(uint64_t page_size);

/* ---- pagemap.c: for kernels without PAGEMAP_SCAN, and single pages */

/* Is the page write-protected, does it show? Unmapped: no. */
bool pagemap_protected(int pagemap, uint64_t page_size, uint64_t addr);
/* Can it, of which a fault was told, be written to by now? */
bool pagemap_open(const struct uffd_track *t, uint64_t addr);
/* Fill t->look.vec from `from` on, moving t->look.at. 0 or -errno. */
int pagemap_find(struct uffd_track *t, const struct range *r, uint64_t from);
/* Read a byte of each page, so that there is one. */
void pagemap_touch(const struct uffd_track *t, uint64_t start, uint64_t end);
/* Where holes can't be protected: map the zero page into those of private
 * memory in [start, end); 0 or -errno. And the same for what pagemap_find has
 * just found. */
int pagemap_populate(struct uffd_track *t, uint64_t start, uint64_t end);
void pagemap_fill_holes(const struct uffd_track *t, uint64_t start,
			uint64_t end);

/* ---- thread.c */

int thread_start(struct uffd_track *t, int cpu, void *stack, size_t len);
void thread_stop(struct uffd_track *t);
bool in_thread(const struct uffd_track *t);
/*
 * The layout may be changing (given descriptors with events only): let the
 * thread read what waits, or do it, if this is the thread. Under lock, which
 * is left for a moment.
 */
void stand_back(struct uffd_track *t);
/* Let writes to [start, +len) go on, whatever comes in between. Under lock,
 * which is left for a moment when the layout is changing. 0, or -errno:
 * -ENOENT when some of it is not mapped, or not registered. */
int let_go(struct uffd_track *t, uint64_t start, uint64_t len,
	   uint64_t page_size);

/* ---- held.c */

int held_new(const struct uffd_track *t, struct range *r);
void held_free(struct uffd_track *t, struct range *r);
bool held_is(const struct range *r, uint64_t addr);
void held_set(struct uffd_track *t, struct range *r, uint64_t addr);
/* Nobody is held any more; they are woken by other means. */
void held_forget(struct uffd_track *t, struct range *r);

#endif
