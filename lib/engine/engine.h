/* SPDX-License-Identifier: MIT */
/*
 * What the files of the engines share.
 *
 *   engine.c    making, freeing, ranges
 *   range.c     which range is this address in? (any context, no lock)
 *   ahead.c     what will this thread want next?
 *   serve.c     ask the fault function, deal with what comes of its answer
 *   answer.c    carry an answer out: the one funnel to the kernel
 *   thread.c    a handler thread: wait, read, events, faults
 *   coalesce.c  faults of one read, sorted into runs
 *   park.c      faults that can't be served while the layout changes
 *   place.c     where handlers run; where.c, stay.c and wake.c help it
 *   sigbus.c    faults as signals in the thread that faults
 *   resume.c    and the way back from there
 */
#ifndef LIB_ENGINE_ENGINE_H
#define LIB_ENGINE_ENGINE_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <uffd/engine.h>

#include "../public.h"
#include "../kernel/sys.h"

#define CACHE_LINE 64
#define NR_STRIPES 16

/* ---- memory of our own: never malloc's, which may lie in somebody's range --- */

/* Zeroed, resident pages; NULL without errno if there are none. */
void *own_map(size_t len);
/* Zeros to read, which take no memory; NULL if there is no room. */
void *own_zeros(size_t len);
void own_unmap(void *at, size_t len);

/* ---- counting ------------------------------------------------------------- */

enum count {
	COUNT_FAULTS,
	COUNT_RUNS,
	COUNT_PAGES,
	COUNT_EXISTED,
	COUNT_RETRIES,
	COUNT_READS,
	COUNT_FOLLOWED,
	COUNT_FAILURES,
	NR_COUNTS
};

/* each thread counts in its own stripe, as far as they go */
struct counters {
	_Alignas(CACHE_LINE) _Atomic uint64_t value[NR_COUNTS];
};

static inline unsigned stripe_of(uintptr_t thread)
{
	return (unsigned)((thread >> 12) * 0x9e3779b1u >> 16) % NR_STRIPES;
}

/* ---- ranges ----------------------------------------------------------------- */

struct range {
	struct uffd_engine *e;
	uint64_t start;
	uint64_t len;
	uint64_t mode;
	uint64_t page_size;
	uint64_t ahead_max;
	uffd_fault_fn *fault;
	void *user;
	const void *zeros;		/* to copy from; a page or more */
	uint64_t zeros_len;
	_Atomic uint32_t users;
	_Atomic uint32_t poisoned;	/* there may be poisoned pages in it */
	struct range *next_free;
};

struct snapshot;
struct chunk;

struct lookups {
	_Alignas(CACHE_LINE) _Atomic uint32_t running;
};

struct table {
	pthread_mutex_t lock;		/* of those who change it */
	_Atomic(struct snapshot *) now;
	struct snapshot *spare;
	struct range *free;
	struct chunk *chunks;
	struct lookups lookups[NR_STRIPES];
};

#define TABLE_INIT { .lock = PTHREAD_MUTEX_INITIALIZER }

/* The range that addr is in, with a reference to it, or NULL. No lock, no
 * system call; any thread, also from a signal handler. */
struct range *table_get(struct table *t, uint64_t addr);
void range_put(struct range *r);

/* A copy of *like gets into the table. -EEXIST: overlaps one of this engine;
 * -EBUSY: of another; -ENOMEM. */
int table_insert(struct table *t, const struct range *like, struct range **ret);
/* Find the range of e that begins at start, to remove it; NULL: none. */
struct range *table_find(struct table *t, const struct uffd_engine *e,
			 uint64_t start);
/* Any range of e, or NULL. */
struct range *table_any(struct table *t, const struct uffd_engine *e);
/* Take it out and wait until nobody uses it. */
void table_remove(struct table *t, struct range *r);
/* Free what it holds; nobody may look any more. */
void table_finish(struct table *t);

/* ---- streams ------------------------------------------------------------------- */

#define NR_STREAMS 64

struct stream {
	_Atomic uint64_t owner;		/* thread and range, mixed */
	_Atomic uint64_t last;		/* where it faulted last */
	_Atomic int64_t step;		/* and how far from the fault before */
	_Atomic uint64_t edge;		/* where the stream goes on; 0: none */
	_Atomic int64_t window;		/* bytes suggested last, < 0: backward */
};

/* Fill in f->ahead_*. thread is any number that is this thread's alone. */
void ahead_suggest(struct stream *streams, uintptr_t thread,
		   const struct range *r, struct uffd_fault *f);

/* ---- answers ----------------------------------------------------------------------- */

/* 0 if the answer may be carried out in this range. */
int answer_check(const struct range *r, const struct uffd_answer *a);

/* "copy", "zero", … */
const char *answer_name(enum uffd_action action);

/*
 * Carry it out. 0: all of it is dealt with; -errno: stopped after p->done
 * bytes, before which all is dealt with, and everybody is awake.
 */
int answer_carry_out(const struct range *r, const struct uffd_answer *a,
		     struct uffd_progress *p);

/* ---- serving -------------------------------------------------------------------------- */

/* Pages that were "there already" again and again, without being there. */
#define NR_DOUBTS 64

struct doubt {
	_Atomic uint64_t addr;
	_Atomic uint32_t times;
};

/* so often may a page be there already and fault again all the same */
#define MOST_DOUBTS 64

/* Something did not help at this address; returns how often before, in a row. */
unsigned doubt_again(struct uffd_engine *e, uint64_t addr);
/* Has it happened at all, since the last success? */
bool doubt_any(struct uffd_engine *e, uint64_t addr);

enum served {
	SERVED,		/* nothing left to do */
	SERVE_AGAIN,	/* not now: ask again later for what is left in *f */
	SERVE_NEVER,	/* the process is dead */
	SERVED_BUS,	/* there is no such page: SIGBUS is right */
};

/* Ask the fault function about a run until all of it is dealt with. */
enum served serve(struct range *r, struct uffd_fault *f, uintptr_t thread);

void engine_count(const struct uffd_engine *e, uintptr_t thread, enum count c,
		  uint64_t n);
void engine_report(const struct uffd_engine *e, int error, uint64_t addr,
		   const char *what);

/* ---- handler threads ------------------------------------------------------------------ */

#define NR_MSGS 64
#define NR_PARKED 256
#define NR_WATCHED 8

/* a fault of one page */
struct one {
	struct range *r;	/* a reference */
	uint64_t page;
	uint32_t tid;
	uint32_t order;		/* as it came */
	enum uffd_event_kind kind;
	bool write;
};

/* Sort by page and kind; order is kept among duplicates. */
void ones_sort(struct one *v, unsigned nr);
/* The run that begins at v[0]: into *ret; returns how many of v it took. */
unsigned ones_run(const struct one *v, unsigned nr, struct uffd_fault *ret);

/* a run that waits for better times */
struct parked {
	uint64_t start;
	uint64_t len;
	uint32_t tid;
	enum uffd_event_kind kind;
	bool write;
};

struct park {
	struct parked runs[NR_PARKED];
	unsigned nr;
	unsigned tries;		/* in a row without any success */
};

struct handler;
void park_put(struct handler *h, const struct uffd_fault *f);
/* Serve again all that waits. */
void park_retry(struct handler *h);
/* Let others run for a moment, longer each time. */
void park_pause(struct park *p);

/* /proc/self/task/TID/stat of threads that fault */
struct watched {
	uint32_t tid;
	int fd;
};

struct watch {
	struct watched threads[NR_WATCHED];
	unsigned next;
};

void watch_init(struct watch *w);
void watch_finish(struct watch *w);
/* The processor that a sleeping thread ran on last, or -1. */
int watch_cpu_of(struct watch *w, uint32_t tid);

int handlers_start(struct uffd_engine *e);
void handlers_stop(struct uffd_engine *e);

/* ---- placement ----------------------------------------------------------------------- */

/* ways to be placed, to choose from */
enum arm {
	ARM_SAME,	/* pinned to where the faults come from */
	ARM_STAY,	/* the same, and the thread that faults is kept there */
	ARM_APART,	/* anywhere else */
	NR_ARMS
};

struct handler {
	struct uffd_engine *e;
	unsigned index;
	pthread_t thread;
	struct uffd_batch batch;
	struct uffd_msg msgs[NR_MSGS];
	struct one ones[NR_MSGS];
	struct park park;
	struct watch watch;
	cpu_set_t where;	/* what it is pinned to, or will be */
	enum arm where_arm;	/* and by which way */
	bool placed;
	bool to_move;
	uint32_t seen_changes;
	_Atomic uint32_t tid;
	_Atomic uint32_t busy;	/* between a read and the end of its service */
	_Atomic uint32_t rounds; /* reads that brought something */
};

#define NR_SOURCES 8

/* a processor that faults come from */
struct source {
	int cpu;
	uint32_t score;
};

/* Changed only by who holds the right to read. */
struct place {
	cpu_set_t allowed;
	unsigned nr_allowed;
	bool arms[NR_ARMS];	/* which may be used */
	_Atomic uint32_t arm;
	enum arm best;
	uint64_t cost[NR_ARMS];	/* ns from fault to fault; 0: not known */
	uint64_t chosen_cost;	/* of best, when it was chosen */
	uint64_t last_ns;
	uint64_t sum;
	unsigned nr;		/* in this window */
	unsigned settle;	/* faults to leave out of it */
	unsigned worse;		/* windows in a row worse than when chosen */
	unsigned moves;		/* in this window */
	bool tried[NR_ARMS];	/* in this round of trials */
	uint64_t faults;
	uint64_t next_trial;
	uint64_t spacing;
	struct source sources[NR_SOURCES];
	uint32_t last_tid;
	unsigned alone;		/* looks in a row that found this thread */
	uint64_t good;		/* the best window so far, ns a fault */
	unsigned dense;		/* look at so many of the next faults */
	unsigned skipped;	/* faults since the last look */
	uint32_t changes;	/* of what handlers go by */
};

int place_init(struct uffd_engine *e);
/* A read has brought a fault of this thread. */
void place_note(struct handler *h, uint32_t tid);
/* Move, if it is time. */
void place_settle(struct handler *h);
/* SAME, APART, … as it is now */
uint32_t place_now(const struct uffd_engine *e);

/*
 * Keeping the faulting thread where it is: the handler becomes SCHED_IDLE, and
 * a processor that runs nothing else counts as idle when the scheduler looks
 * for a place for the thread that is woken. A guard ends it within
 * milliseconds if the handler does not get its turn.
 */
struct stay {
	bool able;		/* may go back to SCHED_OTHER */
	bool started;
	pthread_t thread;
	_Atomic uint32_t on;	/* the futex: 1 while the handler is idle-class */
	_Atomic uint32_t stop;
	_Atomic uint64_t not_before_ns;	/* it was starved: not again before */
	unsigned hot;		/* faults in quick succession */
};

int stay_init(struct uffd_engine *e);
void stay_finish(struct uffd_engine *e);
/* a fault was read, so long after the one before */
void stay_note(struct handler *h, uint64_t since_ns);
/* Leave it now. */
void stay_leave(struct handler *h);

/* Medians of one wake-up and switch, measured once in this process. */
struct wake_costs {
	uint64_t same_ns;	/* 0: could not be measured */
	uint64_t other_ns;
	bool can_stay;
	bool learned;		/* an engine has found out that ... */
	enum arm best;		/* this is the best way */
};
void wake_costs(struct wake_costs *ret);
/* For engines to come: what has proved best on this machine. */
void wake_learn(enum arm best);

uint64_t now_ns(void);

/* zeros to copy from where the kernel has no ZEROPAGE */
#define ZEROS_LEN (UINT64_C(2) << 20)

/* ---- the engine ------------------------------------------------------------------------ */

struct uffd_engine {
	int fd;
	int stop_fd;		/* eventfd, where handlers poll */
	uint64_t id;		/* no other engine's, also in a child process */
	uint32_t *here;		/* 1; 0 in a child process (MADV_WIPEONFORK) */
	enum uffd_engine_kind kind;
	bool direct;		/* handlers sleep in read(2) */
	bool events;		/* any UFFD_FEATURE_EVENT_* is on */
	uint64_t page_size;	/* the system's */
	struct uffd_opened opened;
	struct uffd_engine_opts opts;	/* cpus: a copy */
	uint32_t *cpus;
	size_t cpus_len;
	struct table *table;	/* own_table, or the one of all sigbus engines */
	struct table own_table;
	void *zeros;		/* for all ranges with pages of that size */
	void *stop_page;
	_Atomic uint32_t stopping;
	_Atomic uint32_t in_hand;	/* odd: messages are being read and
					 * handed out; where handlers poll */
	pthread_mutex_t reading;	/* the right to read, if several do */
	struct handler *handlers;
	size_t handlers_len;
	unsigned nr_handlers;
	unsigned nr_started;
	struct place place;
	struct stay stay;
	struct stream streams[NR_STREAMS];
	struct doubt doubts[NR_DOUBTS];
	_Atomic uint32_t in_doubt;
	struct counters *counters;	/* NR_STRIPES */
};

/* Not in a child process, where neither descriptor nor threads are its own? */
static inline bool engine_is_here(const struct uffd_engine *e)
{
	return *e->here == 1;
}

/* ---- signals ---------------------------------------------------------------------------- */

/* All sigbus engines share one table, for the signal handler to look in. */
struct table *sigbus_table(void);
int sigbus_install(void);

/* Go on where the signal came, if that can be done without the kernel; returns
 * if not. frame is the handler's own, as __builtin_frame_address(0). */
void resume(const void *frame, const void *ucontext, uint32_t keys_at);
/* what it wants as keys_at */
uint32_t resume_prepare(void);
/* ... which may be: never do it on this processor */
#define RESUME_NEVER UINT32_MAX

#endif
