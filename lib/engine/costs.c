/* SPDX-License-Identifier: MIT */
/*
 * What this machine charges. All of it is measured in threads of our own, so
 * that neither the place nor the signal mask of the calling thread changes.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uffd/engine.h>

#include "../public.h"
#include "../kernel/sys.h"
#include "costs.h"

/* as many processors as any kernel is built for */
#define MAX_CPUS 8192

struct cpu_mask {
	cpu_set_t part[MAX_CPUS / CPU_SETSIZE];
};

struct measuring {
	struct cost_cpus cpus;
	struct uffd_costs costs;
	int err;
};

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t cost_median(uint64_t *samples, unsigned nr)
{
	qsort(samples, nr, sizeof(samples[0]), compare);
	return samples[nr / 2];
}

static int start(pthread_t *ret, pthread_attr_t *attr, unsigned cpu,
		 void *(*run)(void *), void *arg)
{
	struct cpu_mask mask;
	sigset_t all, before;
	int err;

	memset(&mask, 0, sizeof(mask));
	CPU_SET_S(cpu, sizeof(mask), mask.part);
	err = pthread_attr_setaffinity_np(attr, sizeof(mask), mask.part);
	if (err)
		return -err;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(ret, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int cost_thread(pthread_t *ret, unsigned cpu, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	err = start(ret, &attr, cpu, run, arg);
	pthread_attr_destroy(&attr);
	return err;
}

static bool allowed(const struct cpu_mask *mask, unsigned cpu)
{
	return CPU_ISSET_S(cpu, sizeof(*mask), mask->part);
}

/* The processor we are on, and the next one that we may use. */
static int find_cpus(struct cost_cpus *ret)
{
	struct cpu_mask mask;
	int cpu, err;

	memset(&mask, 0, sizeof(mask));
	err = SYS_RESULT(int, sched_getaffinity(0, sizeof(mask), mask.part));
	if (err < 0)
		return err;
	cpu = SYS_RESULT(int, sched_getcpu());
	ret->here = cpu < 0 ? 0 : (unsigned)cpu;
	while (!allowed(&mask, ret->here))
		ret->here = (ret->here + 1) % MAX_CPUS;
	ret->other = ret->here;
	do {
		ret->other = (ret->other + 1) % MAX_CPUS;
	} while (!allowed(&mask, ret->other));
	ret->has_other = ret->other != ret->here;
	return 0;
}

static int measure_others(const struct cost_cpus *cpus, struct uffd_costs *ret)
{
	int err;

	if (!cpus->has_other)
		return 0;
	err = cost_of_wake(cpus->other, true, &ret->wake_other_ns);
	if (err < 0)
		return err;
	return cost_of_shootdown(cpus->other, &ret->shootdown_ns);
}

static void *measure(void *arg)
{
	struct measuring *m = arg;
	struct uffd_costs *costs = &m->costs;

	costs->clock_ns = cost_of_clock();
	m->err = cost_of_fault(costs->clock_ns, &costs->fault_ns);
	if (m->err == 0)
		m->err = cost_of_signal(costs->clock_ns, &costs->signal_ns);
	if (m->err == 0)
		m->err = cost_of_wake(m->cpus.here, false,
				      &costs->wake_same_ns);
	if (m->err == 0)
		m->err = measure_others(&m->cpus, costs);
	return NULL;
}

PUBLIC int uffd_costs(struct uffd_costs *ret)
{
	struct measuring m = { 0 };
	pthread_t thread;
	int err = find_cpus(&m.cpus);

	if (err == 0)
		err = cost_thread(&thread, m.cpus.here, measure, &m);
	if (err < 0)
		return err;
	pthread_join(thread, NULL);
	if (m.err == 0)
		*ret = m.costs;
	return m.err;
}
