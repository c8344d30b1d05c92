/* SPDX-License-Identifier: MIT */
/*
 * What the processes of the paging benchmark share.
 */
#ifndef BENCH_PAGING_INNER_H
#define BENCH_PAGING_INNER_H

#include <sys/types.h>

#include "paging-parts.h"

/* ---- a contestant ------------------------------------------------------ */

struct paging_contestant {
	enum paging_which system;
	int engine;		/* enum paging_engine, or -1 */
	int store;		/* enum paging_store, or -1 */
};

/* "libuffd sigbus memory-lz4" */
void paging_contestant_name(const struct paging_contestant *c, char *ret,
			    size_t cap);

/* ---- what it needs, made by the process that measures ------------------ */

/* A group of processes with a limit to its memory (paging-limit.c). */
struct paging_limit {
	char path[128];		/* of its folder; "" when there is none */
};

/* 0; or -errno, and in why what can't be done and how it could. */
int paging_limit_make(struct paging_limit *l, unsigned nth, uint64_t bytes,
		      char why[PAGING_WHY_LEN]);
/* Only this process from now on, and only what it gets from now on. */
int paging_limit_enter(const struct paging_limit *l);
/*
 * Have the kernel add up what the group uses. By itself it does so every few
 * seconds only, while reclaim decides by these numbers which pages are old:
 * young groups were seen to be killed for want of memory with swap to spare.
 */
void paging_limit_count(const struct paging_limit *l);
/* When its processes are gone. */
void paging_limit_remove(struct paging_limit *l);

/* A zram device of our own, used as swap (paging-zram.c). */
struct paging_zram {
	int id;			/* -1 when there is none */
	bool swapping;
	char algorithm[16];
};

int paging_zram_make(struct paging_zram *z, uint64_t size,
		     char why[PAGING_WHY_LEN]);
void paging_zram_remove(struct paging_zram *z);
/* What went through it so far. */
void paging_zram_count(const struct paging_zram *z, uint64_t *ret_read,
		       uint64_t *ret_written);

/* A file without a name (paging-file.c): the descriptor, or -errno. It holds
 * every page of the ground, on the disk and not in the page cache. */
int paging_file_make(const char *dir, const struct paging_ground *g);
/* Write back what is in the page cache, and drop it. */
int paging_file_cool(int fd);

/* ---- a contestant's process -------------------------------------------- */

/* counted since it was opened */
struct paging_counts {
	uint64_t faults;
	uint64_t soft_faults;
	uint64_t read_bytes;
	uint64_t written_bytes;
};

/* What is asked of it. */
enum paging_ask { PAGING_ASK_TURN = 1, PAGING_ASK_CHECK };

/*
 * Both sides map it: the question is written before one byte is sent over the
 * socket, the answer before one byte comes back.
 */
struct paging_mail {
	/* the question */
	enum paging_ask ask;
	struct paging_case at;
	unsigned turn;		/* number, of all turns */
	uint64_t accesses;	/* in each thread, at most */
	uint64_t nanoseconds;	/* the same */
	bool cold;		/* begin with nothing resident */
	/* the answer */
	int error;		/* negative errno */
	char why[PAGING_WHY_LEN];
	uint64_t resident_before;	/* of the process, without the region */
	struct paging_counts counts;	/* of the turn */
	uint64_t wall_ns;	/* first thread's start to last one's end */
	uint64_t busy_ns;	/* of all threads, added */
	uint64_t done[PAGING_MOST_THREADS];	/* accesses of each thread */
	struct paging_latency latency;
};

/* A system at work in its process. */
struct paging_seat {
	const struct paging_system *system;
	struct paging_contestant who;
	const struct paging_ground *ground;
	const uint32_t *expected;	/* how often each page was written;
					 * shared, for PAGING_ASK_CHECK */
	uint64_t size, budget;
	const struct paging_limit *limit;
	const struct paging_zram *zram;
	int file;
	char *area;		/* set by open */
	void *own;		/* the system's */
	uint64_t resident_before;
	char *why;		/* PAGING_WHY_LEN */
};

/* What a system is made of. All functions but open may be NULL. */
struct paging_system {
	const char *name;
	const char *what;
	bool limited;		/* by a struct paging_limit */
	bool swaps;		/* to a struct paging_zram */
	bool reads_file;	/* whatever the store */
	bool only_passes;	/* sequential reading is all it can do */
	/* Put the data where it belongs and the region in place. 0, or
	 * -errno and a line in why. */
	int (*open)(struct paging_seat *s);
	/* Have nothing resident. No thread is in the region. */
	int (*cool)(struct paging_seat *s);
	/* Before a turn. */
	void (*begin)(struct paging_seat *s, const struct paging_case *at);
	void (*count)(const struct paging_seat *s, struct paging_counts *ret);
	/* Where a page is, for a system without an area. NULL: it could not
	 * be read. */
	void *(*page)(struct paging_seat *s, unsigned thread, uint64_t page);
};

extern const struct paging_system paging_libuffd, paging_mmap, paging_swap,
	paging_classic, paging_read2;

/* Indexed by enum paging_which. */
const struct paging_system *paging_system_of(unsigned which);

/* Say what failed, in s->why; returns err. */
int paging_fail(const struct paging_seat *s, int err, const char *what);

/* Note what the process has resident now: what comes on top is the region and
 * what is kept for it. Called by open before the region is there. */
void paging_note_resident(struct paging_seat *s);

/* Faults that this process's threads had, by the kernel's own count. */
void paging_count_kernel_faults(struct paging_counts *ret);

/* Open the system, and answer the socket: that it is open, then questions until
 * the other side closes it. Ends the process. */
_Noreturn void paging_work(struct paging_seat *s, struct paging_mail *mail,
			   int sock);

/* ---- its end in the process that measures ------------------------------ */

/* what all contestants of a run share */
struct paging_stage {
	const struct paging_plan *plan;
	struct paging_ground ground;
	uint32_t *expected;	/* a count for each page; shared memory */
	int signals;		/* signalfd */
	int caught;		/* the signal that came, or 0 */
};

struct paging_child {
	struct paging_contestant who;
	unsigned nth;
	pid_t pid;		/* 0: not there */
	int sock;
	int statm;		/* /proc/PID/statm */
	int file;
	struct paging_mail *mail;
	struct paging_limit limit;
	struct paging_zram zram;
	uint64_t resident_max;	/* of all turns since it was last zeroed */
};

/* Nothing is there yet; who was set before. */
void paging_child_init(struct paging_child *c);

/* Make what it needs, start its process and wait until it is open. 0; or
 * -errno and a line in why, and nothing is left. -EINTR: a signal came. */
int paging_child_start(struct paging_child *c, struct paging_stage *stage,
		       char why[PAGING_WHY_LEN]);

/* Ask what is in c->mail and wait for the answer; the same errors. Afterwards
 * the process is still there only if it answered. */
int paging_child_ask(struct paging_child *c, struct paging_stage *stage,
		     char why[PAGING_WHY_LEN]);

/* End it and take away what it needed. Fine when it is not there. */
void paging_child_stop(struct paging_child *c);

#endif
