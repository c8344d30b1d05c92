/* SPDX-License-Identifier: MIT */
/*
 * The threads that fault: one access to each page, timed, then checked.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "clock.h"
#include "scene.h"

/* where threads wait until all of them are there */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned waiting;
	enum { CLOSED, OPEN, CALLED_OFF } state;
};

/* one thread and its part of the area */
struct toucher {
	struct bench_scene *scene;
	struct gate *gate;
	pthread_t thread;
	uint64_t first;
	uint32_t nr;
	const uint32_t *order;
	uint64_t *ns;
};

/* The access itself. Volatile, and between two readings of the clock that the
 * compiler may not move it across. */
static uint64_t timed_access(char *at, bool write, uint64_t value)
{
	volatile uint64_t *word = (volatile uint64_t *)at;
	uint64_t start;

	if (write) {
		start = bench_now();
		__asm__ volatile("" ::: "memory");
		word[1] = value;
	} else {
		start = bench_now();
		__asm__ volatile("" ::: "memory");
		(void)word[0];
	}
	__asm__ volatile("" ::: "memory");
	return bench_now() - start;
}

static bool right(struct bench_scene *s, const char *at, uint64_t page,
		  uint64_t mark)
{
	uint64_t want = s->zeros ? 0 : mark;
	uint64_t got;

	if (!bench_holds(at, s->area.page_size, want, &got)) {
		bench_wrong_page(&s->trouble, page, got, want);
		return false;
	}
	got = ((const volatile uint64_t *)at)[1];
	if (s->plan->write && got != mark) {
		bench_wrong_page(&s->trouble, page, got, mark);
		return false;
	}
	return true;
}

static void touch_part(const struct toucher *t)
{
	struct bench_scene *s = t->scene;

	for (uint32_t i = 0; i < t->nr; i++) {
		uint64_t page = t->first + t->order[i];
		char *at = s->area.start + page * s->area.page_size;
		uint64_t mark = bench_mark(s->key, page);

		t->ns[i] = timed_access(at, s->plan->write, mark);
		if (!right(s, at, page, mark))
			return;
	}
}

/* false: called off */
static bool gate_wait(struct gate *g)
{
	bool open;

	pthread_mutex_lock(&g->lock);
	g->waiting++;
	pthread_cond_broadcast(&g->changed);
	while (g->state == CLOSED)
		pthread_cond_wait(&g->changed, &g->lock);
	open = g->state == OPEN;
	pthread_mutex_unlock(&g->lock);
	return open;
}

static void gate_await(struct gate *g, unsigned nr)
{
	pthread_mutex_lock(&g->lock);
	while (g->waiting < nr)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_set(struct gate *g, int state)
{
	pthread_mutex_lock(&g->lock);
	g->state = state;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void *toucher_main(void *arg)
{
	struct toucher *t = arg;

	if (gate_wait(t->gate))
		touch_part(t);
	return NULL;
}

/* ---- what it took -------------------------------------------------------- */

static uint64_t ns_of(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000000u +
	       (uint64_t)tv->tv_usec * 1000u;
}

static void spent_now(struct bench_spent *ret)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	ret->cpu_ns = ns_of(&r.ru_utime) + ns_of(&r.ru_stime);
	ret->switches = (uint64_t)(r.ru_nvcsw + r.ru_nivcsw);
	ret->wall_ns = bench_now();
}

static void spent_since(const struct bench_spent *start,
			struct bench_spent *ret)
{
	struct bench_spent end;

	spent_now(&end);
	ret->cpu_ns = end.cpu_ns - start->cpu_ns;
	ret->switches = end.switches - start->switches;
	ret->wall_ns = end.wall_ns - start->wall_ns;
}

/* ---- all of them --------------------------------------------------------- */

static void part_of(struct toucher *t, struct bench_scene *s, unsigned i,
		    uint32_t *order, uint64_t *ns)
{
	uint64_t first = s->area.nr * i / s->plan->threads;
	uint64_t next = s->area.nr * (i + 1) / s->plan->threads;

	t->scene = s;
	t->first = first;
	t->nr = (uint32_t)(next - first);
	t->order = order + first;
	t->ns = ns + first;
	bench_arrange(s->plan, order + first, t->nr, bench_mark(s->key, i));
}

/* Threads 1 and up; this one is thread 0. Returns how many there are. */
static unsigned start_others(struct toucher *touchers, unsigned nr)
{
	unsigned i;

	for (i = 1; i < nr; i++)
		if (pthread_create(&touchers[i].thread, NULL, toucher_main,
				   &touchers[i]) != 0)
			break;
	return i;
}

static int touch_together(struct toucher *touchers, unsigned nr,
			  struct bench_spent *ret)
{
	struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER,
			     .changed = PTHREAD_COND_INITIALIZER };
	struct bench_spent start;
	unsigned started;

	for (unsigned i = 0; i < nr; i++)
		touchers[i].gate = &gate;
	started = start_others(touchers, nr);
	gate_await(&gate, started - 1);
	spent_now(&start);
	gate_set(&gate, started == nr ? OPEN : CALLED_OFF);
	if (started == nr)
		touch_part(&touchers[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(touchers[i].thread, NULL);
	spent_since(&start, ret);
	return started == nr ? 0 : -EAGAIN;
}

int bench_touch(struct bench_scene *s, uint32_t *order, uint64_t *ns,
		struct bench_spent *ret)
{
	unsigned nr = s->plan->threads;
	struct toucher *touchers = calloc(nr, sizeof(*touchers));
	int err;

	if (!touchers)
		return -ENOMEM;
	for (unsigned i = 0; i < nr; i++)
		part_of(&touchers[i], s, i, order, ns);
	err = touch_together(touchers, nr, ret);
	free(touchers);
	return err ? err : atomic_load(&s->trouble.error);
}
