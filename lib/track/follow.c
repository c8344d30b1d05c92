/* SPDX-License-Identifier: MIT */
#include <sched.h>

#include "../engine/engine.h"
#include "follow.h"
#include "memory.h"

/* Waking on the same processor must be that much cheaper. */
#define TIMES 3

/* Faults between two looks at where the writer is: a look costs as much as a
 * few of them. */
#define EVERY 32

struct follow {
	cpu_set_t allowed;
	struct watch watch;
	unsigned skipped;	/* faults since the last look */
	int seen;		/* processor of the writer, at the last look */
	int at;			/* where this thread is pinned to, or -1 */
};

struct follow *follow_new(void)
{
	struct wake_costs costs;
	struct follow *f;

	wake_costs(&costs);
	if (!costs.same_ns || costs.other_ns < TIMES * costs.same_ns)
		return NULL;
	f = memory_map(sizeof(*f));
	if (!f)
		return NULL;
	f->skipped = EVERY;
	f->seen = f->at = -1;
	watch_init(&f->watch);
	if (sched_getaffinity(0, sizeof(f->allowed), &f->allowed) == 0)
		return f;
	follow_free(f);
	return NULL;
}

void follow_free(struct follow *f)
{
	if (f)
		watch_finish(&f->watch);
	memory_unmap(f, sizeof(*f));
}

static void move(struct follow *f, int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((unsigned)cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) == 0)
		f->at = cpu;
}

/* The first time at once; later only when two looks in a row say the same, or
 * two writers would have us run to and fro. */
void follow_note(struct follow *f, uint32_t tid)
{
	int cpu;

	if (!f || !tid || f->skipped++ < EVERY)
		return;
	f->skipped = 0;
	cpu = watch_cpu_of(&f->watch, tid);
	if (cpu < 0 || cpu >= CPU_SETSIZE ||
	    !CPU_ISSET((unsigned)cpu, &f->allowed))
		return;
	if (cpu != f->at && (f->at < 0 || cpu == f->seen))
		move(f, cpu);
	f->seen = cpu;
}
