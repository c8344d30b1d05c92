/* SPDX-License-Identifier: MIT */
/*
 * What does it cost here to wake a thread on the same processor and on
 * another, sleeping one? Two threads of our own play ping-pong, for a
 * millisecond or two, once in a process: the answer is the machine's.
 */
#include <time.h>

#include "engine.h"

#define NR_PINGS 9
/* so long it may take in all; a machine that is slower than that has told */
#define BUDGET_NS 1000000

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct pings {
	int to, fro;		/* eventfds */
	int here, there;	/* processors */
	uint64_t median_ns;	/* of a round trip */
};

static bool pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static void put(int fd, uint64_t value)
{
	sys_write(fd, &value, sizeof(value));
}

static uint64_t get(int fd)
{
	uint64_t value = 0;

	sys_read(fd, &value, sizeof(value));
	return value;
}

/* 1 is a ping, 2 is the end */
static void *pong(void *arg)
{
	const struct pings *p = arg;

	pin(p->there);
	while (get(p->to) == 1)
		put(p->fro, 1);
	return NULL;
}

static uint64_t median(uint64_t *v, unsigned nr)
{
	for (unsigned i = 1; i < nr; i++)
		for (unsigned k = i; k > 0 && v[k - 1] > v[k]; k--) {
			uint64_t swap = v[k];

			v[k] = v[k - 1];
			v[k - 1] = swap;
		}
	return nr ? v[nr / 2] : 0;
}

static void *ping(void *arg)
{
	struct pings *p = arg;
	uint64_t ns[NR_PINGS], begin = now_ns();
	unsigned nr = 0;

	if (pin(p->here)) {
		put(p->to, 1);	/* the first one finds it where it began */
		get(p->fro);
		while (nr < NR_PINGS && now_ns() - begin < BUDGET_NS) {
			uint64_t sent = now_ns();

			put(p->to, 1);
			get(p->fro);
			ns[nr++] = now_ns() - sent;
		}
	}
	put(p->to, 2);
	p->median_ns = median(ns, nr);
	return NULL;
}

static void play(struct pings *p)
{
	pthread_t a, b;

	if (pthread_create(&b, NULL, pong, p))
		return;
	if (pthread_create(&a, NULL, ping, p))
		put(p->to, 2);
	else
		pthread_join(a, NULL);
	pthread_join(b, NULL);
}

/* one way: half of a round trip */
static uint64_t one_way(int here, int there)
{
	struct pings p = {
		.to = sys_eventfd(0, EFD_CLOEXEC),
		.fro = sys_eventfd(0, EFD_CLOEXEC),
		.here = here,
		.there = there,
	};

	if (p.to >= 0 && p.fro >= 0)
		play(&p);
	if (p.to >= 0)
		sys_close(p.to);
	if (p.fro >= 0)
		sys_close(p.fro);
	return p.median_ns / 2;
}

/* May a thread of this process become idle-class, and normal again? */
static void *try_to_stay(void *arg)
{
	const struct sched_param none = { 0 };
	bool *can = arg;

	*can = sched_getscheduler(0) == SCHED_OTHER &&
	       sched_setscheduler(0, SCHED_IDLE, &none) == 0 &&
	       sched_setscheduler(0, SCHED_OTHER, &none) == 0;
	return NULL;
}

static void measure(struct wake_costs *ret)
{
	cpu_set_t allowed;
	int cpus[2] = { -1, -1 };
	unsigned nr = 0;
	pthread_t t;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	for (int i = 0; i < CPU_SETSIZE && nr < 2; i++)
		if (CPU_ISSET((unsigned)i, &allowed))
			cpus[nr++] = i;
	if (nr < 2)
		return;
	ret->same_ns = one_way(cpus[0], cpus[0]);
	ret->other_ns = one_way(cpus[0], cpus[1]);
	if (pthread_create(&t, NULL, try_to_stay, &ret->can_stay) == 0)
		pthread_join(t, NULL);
}

/*
 * State of the process, since it is a fact about the machine that each engine
 * would have to find out again.
 */
static struct {
	pthread_mutex_t lock;
	bool measured;
	struct wake_costs costs;
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER };

void wake_costs(struct wake_costs *ret)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_mutex_lock(&machine.lock);
	if (!machine.measured) {
		pthread_sigmask(SIG_SETMASK, &all, &before);
		measure(&machine.costs);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		machine.measured = true;
	}
	*ret = machine.costs;
	pthread_mutex_unlock(&machine.lock);
}

void wake_learn(enum arm best)
{
	pthread_mutex_lock(&machine.lock);
	machine.costs.learned = true;
	machine.costs.best = best;
	pthread_mutex_unlock(&machine.lock);
}
