/* SPDX-License-Identifier: MIT */
/*
 * Inside a pager.
 *
 *	region	|  slice 0  |  slice 1  |  slice 2  | ...	what the program sees
 *		   |  ^          |
 *	  lift,    |  |  soft    | (mremap: all its pages at once)
 *	  one step |  |  fault   v
 *		   v  |		place | place | ...		limbo
 *				  |
 *				  | settle: hash, write if changed
 *				  v
 *				store
 *
 * A page's way:
 *
 *	ABSENT --fill--> HERE --lift--> LIMBO --settle, drop--> ABSENT
 *	                  ^----soft fault-'
 *
 * Slices with pages stand in a queue, oldest first; lifted ones in another,
 * the limbo, which is the second chance: a page touched there comes back, and
 * its slice goes to the end of the queue. One lock a slice guards the states of
 * its pages and is held by whoever lifts it or brings a page into it.
 *
 * Locks, outermost first: slice; then at most one of queue, limbo, places.
 * Nobody holds a lock while a store works (BUSY marks the pages then), but a
 * slice's lock is held over mremap, which with events waits for the reader of
 * the descriptor: so that reader takes no lock, ever.
 */
#ifndef LIB_PAGER_PAGER_H
#define LIB_PAGER_PAGER_H

#include <pthread.h>
#include <uffd/pager.h>

#include "../lock.h"
#include "../store/claim.h"
#include "word.h"

/* ---- a page's state: one byte ------------------------------------------------- */

enum {
	PAGE_ABSENT,		/* in its store, or zeros that nobody wrote */
	PAGE_HERE,		/* in the region */
	PAGE_LIMBO,		/* in the place of its slice */
	PAGE_BROKEN,		/* its store could not supply it: poisoned */
	PAGE_STATE = 3,
};
#define PAGE_HASHED 4	/* hash[] is that of what the store holds */
#define PAGE_OWN 8	/* what the store holds is in the region's own store */
#define PAGE_BUSY 16	/* being read or written, without the lock */
#define PAGE_ZERO 32	/* the store's part need not be asked: zeros */
#define PAGE_LOOSE 64	/* the program has discarded it (or may have): if it is
			 * not where the state says, that is why. Set by the
			 * reader of events without any lock. */
#define PAGE_AHEAD 128	/* read ahead, and nobody has faulted on it since */

struct hash {
	uint64_t low, high;
};

/* ---- slices and places --------------------------------------------------------- */

struct region;

struct slice {
	struct uffd_region *region;
	struct slice *next, *prev;	/* queue; NULL next: not in it */
	struct place *place;		/* its pages in limbo, or NULL */
	struct lock lock;
	uint32_t turn;			/* word: counts ends of BUSY */
	uint32_t nr_here;		/* pages in the region */
	uint32_t nr_pins;
	uint32_t waiters;		/* of turn */
	uint32_t torn;			/* TORN_*: the program has discarded or
					 * unmapped some of it; set to NEW by
					 * the reader of events without a lock */
	uint32_t pocked;		/* it has ever discarded any; stays */
	uint32_t holed;			/* it has ever unmapped any; stays */
	uint64_t torn_look;		/* TORN_OVER: look again then, ns */
	uint64_t torn_until;		/* and then is it decided */
	uint64_t dropping;		/* shared: we take its mappings away, and
					 * the events of so many bytes of that
					 * are still to come */
};

/*
 * A call that discards goes on when its event has been read, and only then do
 * the pages go. So one that is still there when we look says nothing: the slice
 * is left alone until all are gone, or for so long that it must be one that
 * stays (MADV_FREE, and written again).
 */
enum {
	TORN_NOT,
	TORN_NEW,
	TORN_OVER,		/* the calls are on their way */
};

struct place {
	struct place *next;		/* limbo, stuck, or free */
	struct slice *slice;		/* whose pages */
	struct pool *pool;
	uint64_t start;
	uint32_t nr;			/* pages that take memory in it */
	uint32_t cursor;		/* next page to be settled */
	uint32_t busy;			/* settlers at work */
	uint32_t stuck;			/* pages that could not be written */
	uint64_t retry_at;		/* stuck: when to try again, ns */
};

/* Pages have left a place. With the slice's lock; how many there are is looked
 * at without it as well. */
static inline void place_less(struct place *pl, uint32_t nr)
{
	__atomic_store_n(&pl->nr, pl->nr - nr, __ATOMIC_RELAXED);
}

/* places of one size */
struct pool {
	struct place *free;
	struct place *all;
	uint64_t start;
	uint64_t place_len;
	uint32_t nr;
	uint32_t page_shift;
};

#define NR_POOLS 48

/* how pages get to a place */
enum pool_kind {
	POOL_LIFTED,
	POOL_MOVED,
	POOL_SHARED,	/* not at all: they wait in their file */
};

/* ---- regions --------------------------------------------------------------------- */

struct uffd_region {
	struct uffd_pager *pager;
	struct uffd_region *next;	/* of the pager, newest first */
	struct uffd_store *store;	/* the caller's, or NULL */
	struct uffd_store *own;		/* of a private one, or NULL */
	struct store_claim claim;	/* to write to store */
	uint64_t offset;		/* in store */
	uint64_t start, len;
	uint64_t page_size;
	unsigned page_shift;
	unsigned slice_shift;		/* pages of a slice, as a shift */
	uint64_t nr_pages, nr_slices;
	bool rdonly;
	bool by_move;			/* pages leave by UFFDIO_MOVE */
	bool at_once;			/* a page is put there in one step: it is
					 * there or not, and never in part */
	bool huge;			/* pages should be transparent huge ones */
	int memfd;			/* shared memory: its file; or -1 */
	bool fast;			/* its stores answer at once */
	uint64_t mapped_len;		/* address space taken, for unmapping */
	uint64_t mapped_start;
	uint64_t ahead_max;
	uint8_t *states;		/* nr_pages, rounded up to 8 */
	struct hash *hashes;		/* nr_pages */
	struct slice *slices;		/* nr_slices */
};

/* ---- buffers ------------------------------------------------------------------------ */

/* what is filled at a time: up to so much by page sizes of the kernel's usual
 * kind; and the most */
#define LIBUFFD_PAGE_SMALL (UINT64_C(64) << 10)
#define LIBUFFD_PAGE_MOST (UINT64_C(2) << 20)

#define NR_BUFFERS 64u
#define BUFFER_SIZE (2u << 20)

/* ---- the pager ----------------------------------------------------------------------- */

struct queue {
	struct lock lock;
	struct slice head;		/* a ring; only next, prev are used */
};

#define NR_PARKED 1024u

struct bring;

struct uffd_pager {
	struct uffd_engine *engine;
	int fd;
	int pagemap;
	uint32_t kind;			/* LIBUFFD_ENGINE_* */
	uint32_t pins;
	uint32_t deadline_ms;
	void (*failed)(void *user, const struct uffd_page_failure *failure);
	void *user;

	/* bytes; `used` counts regions and limbo together */
	int64_t budget;
	int64_t used __attribute__((aligned(64)));
	int64_t limbo_used;		/* of that, in places */
	int64_t pinned;			/* of that, held by pins */

	struct queue queue __attribute__((aligned(64)));
	struct lock limbo_lock __attribute__((aligned(64)));
	struct place *limbo, *limbo_last;
	struct place *stuck;
	uint32_t nr_stuck;
	struct lock places_lock;
	struct pool pools[3][NR_POOLS];	/* by enum pool_kind */

	struct lock pins_lock;
	struct pin *pins_list;
	uint32_t nr_pins, cap_pins;

	pthread_mutex_t regions_lock;	/* the list, and opening and freeing */
	struct uffd_region *regions;	/* read by the reader of events, too */
	uint32_t in_event;		/* odd while it looks at them */
	pid_t reader;			/* its tid; 0: not known yet */
	int reader_cpu;			/* where it was put, or seen, last */

	struct lock staging_lock;	/* huge.c */
	void *staging, *staging_mapped;
	bool can_move;			/* UFFDIO_MOVE is there */
	bool removes_seen;		/* EVENT_REMOVE is on */

	uint8_t *buffers;
	uint32_t buffers_taken[NR_BUFFERS];
	uint8_t *zeros;			/* BUFFER_SIZE */
	struct hash zero_hash[32];	/* of a page of 1 << n bytes of zeros */

	/* `thread` only */
	pthread_t worker;
	bool has_worker;
	bool stop;
	uint32_t kick;			/* word */
	uint32_t asleep;
	struct uffd_region *serving;	/* by the worker */
	struct lock parked_lock;
	struct bring *parked;		/* NR_PARKED, a ring */
	uint32_t parked_first, parked_nr;

	struct stats *stats;
};

/* ---- pages (page.c) ------------------------------------------------------------------- */

static inline uint64_t page_addr(const struct uffd_region *r, uint64_t page)
{
	return r->start + (page << r->page_shift);
}

static inline struct slice *slice_of(const struct uffd_region *r, uint64_t page)
{
	return &r->slices[page >> r->slice_shift];
}

static inline uint64_t slice_first(const struct slice *s)
{
	const struct uffd_region *r = s->region;

	return (uint64_t)(s - r->slices) << r->slice_shift;
}

/* pages in it; the last slice of a region may be shorter */
static inline uint64_t slice_nr(const struct slice *s)
{
	const struct uffd_region *r = s->region;
	uint64_t first = slice_first(s);
	uint64_t whole = UINT64_C(1) << r->slice_shift;

	return r->nr_pages - first < whole ? r->nr_pages - first : whole;
}

static inline uint8_t page_get(const struct uffd_region *r, uint64_t page)
{
	return __atomic_load_n(&r->states[page], __ATOMIC_ACQUIRE);
}

/* Turn a page from what was seen, *seen, to another state; false, and *seen is
 * as it is now, when LOOSE came in between. Under the slice's lock. */
static inline bool page_turn(struct uffd_region *r, uint64_t page,
			     uint8_t *seen, uint8_t state)
{
	return __atomic_compare_exchange_n(&r->states[page], seen, state, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static inline void page_flag(struct uffd_region *r, uint64_t page, uint8_t on)
{
	__atomic_fetch_or(&r->states[page], on, __ATOMIC_ACQ_REL);
}

static inline void page_unflag(struct uffd_region *r, uint64_t page,
			       uint8_t off)
{
	__atomic_fetch_and(&r->states[page], (uint8_t)~off, __ATOMIC_ACQ_REL);
}

/* Another state, every flag as it is. */
static inline void page_state(struct uffd_region *r, uint64_t page,
			      uint8_t state)
{
	uint8_t seen = page_get(r, page);

	while (!page_turn(r, page, &seen,
			  (uint8_t)((seen & ~PAGE_STATE) | state)))
		;
}

/* What counts of a page: less than all of it where the store ends in it. What
 * the program writes past that end is not kept. */
uint64_t page_kept(const struct uffd_region *r, uint64_t page);

/* end of BUSY: whoever waits looks again; under the lock */
void page_idle(struct slice *s, uint64_t first, uint64_t nr);
/* Wait, without the lock, until BUSY pages of the slice may be idle. Called
 * with the lock, returns with it. */
void page_wait(struct slice *s);

/* What was discarded by the program stands in the state as LOOSE: make it what
 * that means, ABSENT. Returns the new state. Under the lock. */
uint8_t page_forget(struct uffd_region *r, uint64_t page, uint8_t seen);

/* Is it really there (or swapped out by the kernel)? Asked only where the
 * program may have discarded it. */
bool page_present(const struct uffd_pager *p, uint64_t addr);
/* How many bytes of [addr, +len) are? A page that is larger than the machine's
 * may be there in part. */
uint64_t bytes_there(const struct uffd_pager *p, uint64_t addr, uint64_t len);
uint64_t page_there(const struct uffd_region *r, uint64_t page);

struct hash hash_of(const void *bytes, uint64_t len);
bool hash_same(struct hash a, struct hash b);

/* ---- buffers (buffer.c) ---------------------------------------------------------------- */

/* BUFFER_SIZE bytes, resident as far as used, never served; waits for one. */
void *buffer_get(struct uffd_pager *p);
void buffer_put(struct uffd_pager *p, void *buffer);

/* ---- coming (fill.c) ---------------------------------------------------------------------- */

/* where it happens */
enum {
	CALM_NOT = 0,
	/* this thread reads the descriptor: it may not wait for anything */
	CALM_READER = 1,
};

/*
 * Bring one page, and as many of the window [ahead, +ahead_nr) around it as
 * cheaply come along. Blocks for stores and for room unless `reader`, which
 * gives -EWOULDBLOCK instead. Returns 0 or the page's error; it is poisoned
 * then by the caller.
 */
struct bring {
	struct uffd_region *region;
	uint64_t page;
	uint64_t ahead, ahead_nr;	/* pages; contains page */
	bool faulted;			/* a thread waits at it: it can't be
					 * there, whatever its state says */
	bool write;
	bool reader;
	bool hint;			/* nobody waits: give up when it is hard */
};
int page_bring(const struct bring *b);

/* ---- going (lift.c, settle.c, room.c) ------------------------------------------------------- */

/*
 * Lift the slice's pages into a place and the limbo; with its lock, which it
 * keeps. 0; -EBUSY: pinned, or in limbo already; -EAGAIN: not now; -ENOENT:
 * no page is there; -ENOSPC: no place is free; or what mremap says.
 */
int lift(struct slice *s);
/* Have the time run of a slice in which the program has discarded something. */
void torn_begin(struct slice *s);

/* Settle about `want` pages of the oldest place; how many it did, 0: none
 * there. */
unsigned settle_some(struct uffd_pager *p, unsigned want);

/* Settle all of one place, and drop it; without the slice's lock. 0 or the
 * error of a page. */
int settle_slice(struct slice *s);

/* The same, but its pages come back into the region where they can. */
int clean_slice(struct slice *s);
/* Forget what is in limbo of a slice, unwritten. */
void abandon_place(struct slice *s);
/* One pinned page; with the lock. */
int clean_in_place(struct slice *s, uint64_t page);

/* Put what stuck in a store back to be tried, if its time has come. */
void unstick(struct uffd_pager *p, bool now);

/* the queue of slices */
void queue_init(struct queue *q);
void queue_add(struct queue *q, struct slice *s);
/* Is it in the queue? A slice whose lock we hold stays what it is. */
bool queue_has(const struct slice *s);
void queue_remove(struct queue *q, struct slice *s);
/* the oldest that nobody is busy with, out of the queue and locked; NULL: none */
struct slice *queue_take(struct queue *q);

/* Lift the oldest slice that can be. 0, -EAGAIN or -ENOENT: none. */
int lift_oldest(struct uffd_pager *p);

/* Count `len` bytes more; false: the budget would be exceeded. */
bool room_take(struct uffd_pager *p, uint64_t len);
void room_give(struct uffd_pager *p, uint64_t len);
/* Make room until they fit; -ENOMEM: it can't be done (all is pinned). */
int room_make(struct uffd_pager *p, uint64_t len);
/* The share of every fault in making room for later ones. */
void room_pace(struct uffd_pager *p, unsigned pages);
/* Make room until the budget, made smaller, holds; -EBUSY: it can't be. */
int room_shrink(struct uffd_pager *p);
/* Is it time for room_pace? */
bool room_tight(const struct uffd_pager *p);
/* The worker's part: is there more than enough, and a step towards it; false:
 * there is nothing to be done now. */
bool room_below(const struct uffd_pager *p);
bool room_work(struct uffd_pager *p);

/* ---- pins (pin.c) ----------------------------------------------------------- */

struct pin;
bool pin_holds(struct uffd_pager *p, const struct uffd_region *r,
	       uint64_t page);
/* Pages [first, +nr) stay from now on, once they are here. -ENOMEM. */
int pin_add(struct uffd_region *r, uint64_t first, uint64_t nr);
void pin_remove(struct uffd_region *r, uint64_t first, uint64_t nr);
void pin_remove_all(struct uffd_region *r);

/* ---- shared memory (shared.c) ------------------------------------------------- */

/* Take the mappings of a slice away: its pages wait in their file. */
int shared_lift(struct slice *s, struct place *pl);
/* What a page of the file holds. 0 or -errno. */
int shared_read(const struct uffd_region *r, uint64_t page, void *buffer);
/* Map pages [page, +nr) again; -EFAULT: the file has no such page. */
int shared_map(const struct uffd_region *r, uint64_t page, uint64_t nr,
	       bool reader);
/* Free those pages of a slice that are in limbo. With the lock. */
void shared_punch(struct slice *s);

/* A page was in limbo and is not wanted any more: free it. With the lock. */
void shared_free(struct slice *s, uint64_t page);

/* ---- huge pages (huge.c) ----------------------------------------------------- */

/* Put bytes (NULL: zeros) at a page of 2 MiB so that it is a huge one.
 * -EOPNOTSUPP: can't be done that way; -EWOULDBLOCK: not by the reader, now. */
int huge_install(struct uffd_pager *p, uint64_t addr, const void *bytes,
		 bool reader);

/* ---- places (place.c) --------------------------------------------------------------------- */

struct place *place_get(struct uffd_pager *p, struct slice *s);
void place_put(struct uffd_pager *p, struct place *pl);
int pool_need(struct uffd_pager *p, struct uffd_region *r);
void pools_free(struct uffd_pager *p);

/* ---- faults (fault.c) ------------------------------------------------------ */

uffd_fault_fn on_fault;
/* Bring a page to a thread that waits for it, whatever comes. */
void fault_serve(const struct bring *b);

/* ---- the `thread` engine's helper (worker.c) ------------------------------------------------ */

int worker_start(struct uffd_pager *p);
void worker_stop(struct uffd_pager *p);
void worker_kick(struct uffd_pager *p);
/* No fault of this region is parked or served any more. */
void worker_forget(const struct uffd_region *r);
/* false: no room in the ring */
bool worker_park(struct uffd_pager *p, const struct bring *b);

/* ---- events (event.c) --------------------------------------------------------------------------- */

void on_event(void *user, const struct uffd_event *event);
/* A lift sleeps until the reader has run: have both on one processor. */
void reader_meet(struct uffd_pager *p);

/* ---- failures and figures (stats.c) ----------------------------------------------------------- */

enum count {
	COUNT_FAULTS,
	COUNT_SOFT,
	COUNT_ZERO,
	COUNT_READ,
	COUNT_AHEAD,
	COUNT_LIFTS,
	COUNT_LIFTED,
	COUNT_SETTLED,
	COUNT_WRITTEN,
	COUNT_FAILURES,
	COUNT_WAITS,
	NR_COUNT
};

struct stats;
int stats_new(struct uffd_pager *p);
void stats_free(struct uffd_pager *p);
void count(struct uffd_pager *p, enum count what, uint64_t n);
/* ns, or 0 when times are off */
uint64_t stage_begin(const struct uffd_pager *p);
void stage_end(struct uffd_pager *p, enum uffd_stage stage, uint64_t begun);
uint64_t pager_now(void);

void fail(struct uffd_pager *p, struct uffd_region *r, uint64_t page, int error,
	  bool write_back, const char *what);

#endif
