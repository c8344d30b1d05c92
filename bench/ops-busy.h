/* SPDX-License-Identifier: MIT */
/*
 * Threads that keep other processors busy in user space, so that whoever
 * changes the page tables must interrupt them.
 */
#ifndef BENCH_OPS_BUSY_H
#define BENCH_OPS_BUSY_H

struct ops_crew;

/*
 * Start nr threads (0 is fine), asleep, spread over the processors that the
 * caller may use except the one it runs on, and keep the caller on that one.
 * 0 or -errno.
 */
int ops_crew_new(unsigned nr, struct ops_crew **ret);

/* End the threads and let the caller run where it might before. NULL is
 * fine. */
void ops_crew_free(struct ops_crew *crew);

/* Let the first nr of them run and the others sleep. Comes back when they
 * do. */
void ops_crew_run(struct ops_crew *crew, unsigned nr);

/*
 * The processor time, in ns, that the caller and the threads that now run have
 * had on average. Where it grows slower than time passes, a processor is
 * shared with somebody else.
 */
double ops_crew_time(struct ops_crew *crew);

#endif
