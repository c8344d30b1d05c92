/* SPDX-License-Identifier: MIT */
/*
 * What the stores that stand before another have in common. Each begins its
 * state with a struct filter, so the functions below fit into its table.
 *
 *	request from the core ──► a child of ours ──► the next store
 *	                             │    ▲
 *	                             ▼    │ when its time has come
 *	                         waits for a time (timed filters)
 */
#ifndef LIB_STORE_FILTER_H
#define LIB_STORE_FILTER_H

#include <uffd/store.h>

#include "../lock.h"

#define NR_CHILDREN 512u
/* what a filter may note in a child: pages, for cache */
#define NR_NOTES 32u

struct filter;

struct child {
	struct uffd_io io;		/* what the next store sees */
	struct uffd_io *parent;		/* what the core waits for */
	struct filter *filter;
	struct child *link;		/* free, or waiting */
	uint64_t due_ns;		/* when it goes on */
	uint64_t began_ns;
	uint32_t tries;
	uint32_t notes[NR_NOTES];
};

struct filter {
	struct uffd_store *next;
	/* called when the next store has answered: answer the parent, or send
	 * the child once more */
	void (*came)(struct child *c, int err);
	bool async;
	bool timed;
	int timer;			/* timed: both become readable ... */
	int epoll;			/* ... through this one */
	struct lock lock;		/* of the lists */
	bool armed;			/* the timer */
	struct child *free;
	struct child *waiting;		/* by due_ns */
	struct child *children;
};

/* f is all zeros. Asynchronous if the next store is, or if it is timed. */
int filter_init(struct filter *f, const struct uffd_store_args *args,
		bool timed, void (*came)(struct child *c, int err));
/* What waits gets -ECANCELED. Takes one that filter_init has failed on. */
void filter_end(struct filter *f);

/* A child for a request; NULL: too many. */
struct child *filter_child(struct filter *f, struct uffd_io *parent);
/* Send it to the next store now, or at a time. 0, or -EAGAIN: not now (never
 * from a timed filter, which tries again by itself). */
int filter_send(struct child *c);
void filter_send_at(struct child *c, uint64_t due_ns);
/* Answer the parent; the child is gone. */
void filter_answer(struct child *c, int err);
/* It is not needed: the request was refused. */
void filter_forget(struct child *c);

uint64_t filter_now_ns(void);
void filter_sleep_until(uint64_t due_ns);

/* ---- for tables of functions: what the next store says or does ---------------- */

int filter_length(void *state, uint64_t *ret);
int filter_flush(void *state);
int filter_discard(void *state, uint64_t offset, uint64_t len);
int filter_extents(void *state, uint64_t offset, uint64_t len,
		   struct uffd_extent *ret, unsigned cap);
void filter_prefetch(void *state, uint64_t offset, uint64_t len);
int filter_map(void *state, uint64_t offset, size_t len, const void **ret);
void filter_stats(void *state, struct uffd_store_stats *ret);
int filter_fd(void *state);
int filter_dispatch(void *state);
unsigned filter_can(void *state, unsigned suggested);

#endif
