/* SPDX-License-Identifier: MIT */
#include "ops-busy.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "ops.h"

struct worker {
	pthread_t thread;
	struct ops_crew *crew;
	unsigned number;
};

struct ops_crew {
	pthread_mutex_t lock;
	pthread_cond_t change;
	atomic_uint wanted;	/* so many shall run */
	unsigned running;	/* so many do; under the lock */
	bool end;		/* under the lock */
	unsigned nr;
	cpu_set_t before;	/* where the caller might run */
	struct worker workers[];
};

static bool my_turn(const struct worker *w)
{
	return w->number < atomic_load_explicit(&w->crew->wanted,
						memory_order_relaxed);
}

/* no system call, no memory but the one word: only there */
static void spin(const struct worker *w)
{
	while (my_turn(w))
		for (volatile unsigned i = 0; i < 1000; i++)
			;
}

static void count(struct ops_crew *crew, unsigned running)
{
	crew->running = running;
	pthread_cond_broadcast(&crew->change);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct ops_crew *crew = w->crew;

	pthread_mutex_lock(&crew->lock);
	while (!crew->end) {
		if (!my_turn(w)) {
			pthread_cond_wait(&crew->change, &crew->lock);
			continue;
		}
		count(crew, crew->running + 1);
		pthread_mutex_unlock(&crew->lock);
		spin(w);
		pthread_mutex_lock(&crew->lock);
		count(crew, crew->running - 1);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

void ops_crew_run(struct ops_crew *crew, unsigned nr)
{
	pthread_mutex_lock(&crew->lock);
	atomic_store(&crew->wanted, nr);
	pthread_cond_broadcast(&crew->change);
	while (crew->running != nr)
		pthread_cond_wait(&crew->change, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
}

static double clock_time(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double ops_crew_time(struct ops_crew *crew)
{
	const unsigned nr = atomic_load(&crew->wanted);
	double ns = clock_time(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned i = 0; i < nr; i++) {
		clockid_t clock;

		if (pthread_getcpuclockid(crew->workers[i].thread, &clock) == 0)
			ns += clock_time(clock);
	}
	return ns / (nr + 1);
}

/* the nth processor, round and round, of those in the set but mine */
static int other_cpu(const cpu_set_t *set, int mine, unsigned nth)
{
	unsigned others = (unsigned)CPU_COUNT(set) - 1;
	int cpu = 0;

	for (nth = others ? nth % others : 0;; cpu++) {
		if (!CPU_ISSET(cpu, set) || cpu == mine)
			continue;
		if (nth-- == 0)
			return cpu;
	}
}

static int start(struct worker *w, int cpu)
{
	sigset_t all, old;
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* signals are for the thread that measures */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err == 0)
		w->crew->nr++;
	if (err == 0)
		err = pthread_setaffinity_np(w->thread, sizeof(set), &set);
	return -err;
}

/* Keep the caller where it is; returns its processor or -errno. */
static int stay(const cpu_set_t *allowed)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu < 0 || !CPU_ISSET(cpu, allowed))
		for (cpu = 0; !CPU_ISSET(cpu, allowed); cpu++)
			;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : cpu;
}

int ops_crew_new(unsigned nr, struct ops_crew **ret)
{
	struct ops_crew *crew;
	cpu_set_t before;
	int cpu, err = 0;

	if (sched_getaffinity(0, sizeof(before), &before) < 0)
		return -errno;
	if (nr && CPU_COUNT(&before) < 2)
		return -EINVAL;
	crew = calloc(1, sizeof(*crew) + nr * sizeof(crew->workers[0]));
	if (!crew)
		return -ENOMEM;
	crew->before = before;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->change, NULL);
	cpu = stay(&before);
	for (unsigned i = 0; cpu >= 0 && i < nr && err == 0; i++) {
		crew->workers[i].crew = crew;
		crew->workers[i].number = i;
		err = start(&crew->workers[i], other_cpu(&before, cpu, i));
	}
	if (cpu < 0 || err < 0) {
		ops_crew_free(crew);
		return cpu < 0 ? cpu : err;
	}
	*ret = crew;
	return 0;
}

void ops_crew_free(struct ops_crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->end = true;
	atomic_store(&crew->wanted, 0);
	pthread_cond_broadcast(&crew->change);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->nr; i++)
		pthread_join(crew->workers[i].thread, NULL);
	sched_setaffinity(0, sizeof(crew->before), &crew->before);
	pthread_cond_destroy(&crew->change);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

unsigned ops_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}
