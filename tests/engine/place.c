/* SPDX-License-Identifier: MIT */
/*
 * Placement really applies: looked at from outside, by the affinity of the
 * handler's thread.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

#define PAGES 2048

static cpu_set_t allowed;

static unsigned nth_cpu(unsigned n)
{
	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &allowed) && n-- == 0)
			return i;
	return 0;
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static void unpin(void)
{
	CHECK(sched_setaffinity(0, sizeof(allowed), &allowed) == 0);
}

struct where {
	const struct bed *b;
	cpu_set_t want;
};

static bool is_there(void *data)
{
	struct where *w = data;
	cpu_set_t set;

	return affinity_of_thread("uffd-handler", &set) &&
	       CPU_EQUAL(&set, &w->want);
}

static bool open_placed(struct bed *b, uint32_t place, const uint32_t *cpus,
			unsigned nr_cpus)
{
	struct uffd_engine_opts opts = {
		.kind = LIBUFFD_ENGINE_THREAD,
		.place = place,
		.cpus = cpus,
		.nr_cpus = nr_cpus,
	};

	*b = (struct bed){ .action = LIBUFFD_DO_ZERO };
	return CHECK(!bed_memory(b, BED_PRIVATE, PAGES)) &&
	       SAME(bed_engine(b, &opts, UFFDIO_REGISTER_MODE_MISSING, 0), 0);
}

static void touch_some(const struct bed *b, unsigned from, unsigned nr)
{
	for (unsigned i = from; i < from + nr; i++)
		bed_read(b, i);
}

/* faults on one processor after the other; the handler is where it should be */
static void follows(uint32_t place, bool beside)
{
	struct uffd_engine_stats st;
	struct where w;
	struct bed b;

	if (CPU_COUNT(&allowed) < 2)
		SKIP("needs two processors");
	if (open_placed(&b, place, NULL, 0)) {
		for (unsigned n = 0; n < 2; n++) {
			w.want = allowed;
			if (beside)
				CPU_ZERO(&w.want);
			if (beside)
				CPU_SET(nth_cpu(n), &w.want);
			else
				CPU_CLR(nth_cpu(n), &w.want);
			pin(nth_cpu(n));
			touch_some(&b, n * 600, 600);
			CHECK(soon(is_there, &w));
			unpin();
		}
		uffd_engine_stats(b.e, &st);
		SAME(st.place, place);
		CHECK(st.followed >= 2);
	}
	bed_close(&b);
}

static void placed_same(void)
{
	follows(LIBUFFD_PLACE_SAME, true);
}

static void placed_apart(void)
{
	follows(LIBUFFD_PLACE_APART, false);
}

static void cpus(void)
{
	uint32_t last = nth_cpu((unsigned)CPU_COUNT(&allowed) - 1);
	struct uffd_engine_stats st;
	struct where w;
	struct bed b;

	if (open_placed(&b, LIBUFFD_PLACE_CPUS, &last, 1)) {
		CPU_ZERO(&w.want);
		CPU_SET(last, &w.want);
		touch_some(&b, 0, 200);
		CHECK(soon(is_there, &w));
		uffd_engine_stats(b.e, &st);
		SAME(st.place, LIBUFFD_PLACE_CPUS);
	}
	bed_close(&b);
}

static void none(void)
{
	struct uffd_engine_stats st;
	struct where w = { .want = allowed };
	struct bed b;

	if (open_placed(&b, LIBUFFD_PLACE_NONE, NULL, 0)) {
		touch_some(&b, 0, 200);
		CHECK(soon(is_there, &w));
		uffd_engine_stats(b.e, &st);
		SAME(st.place, LIBUFFD_PLACE_NONE);
		SAME(st.followed, 0);
	}
	bed_close(&b);
}

/* The choice is the machine's; that it is one, and serves, is ours. */
static void automatic(void)
{
	struct uffd_engine_stats st;
	cpu_set_t before, after;
	struct bed b;

	CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
	if (open_placed(&b, LIBUFFD_PLACE_AUTO, NULL, 0)) {
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_zero(&b, i));
		uffd_engine_stats(b.e, &st);
		if (CPU_COUNT(&allowed) > 1)
			CHECK(st.place == LIBUFFD_PLACE_SAME ||
			      st.place == LIBUFFD_PLACE_APART);
		else
			SAME(st.place, LIBUFFD_PLACE_NONE);
	}
	bed_close(&b);
	CHECK(sched_getaffinity(0, sizeof(after), &after) == 0);
	CHECK(CPU_EQUAL(&before, &after));
}

/* a process that may use one processor only */
static void one_processor(void)
{
	static const uint32_t places[] = {
		LIBUFFD_PLACE_AUTO, LIBUFFD_PLACE_SAME, LIBUFFD_PLACE_APART,
	};

	pin(nth_cpu(0));
	for (unsigned k = 0; k < NR(places); k++) {
		struct bed b;

		if (open_placed(&b, places[k], NULL, 0)) {
			for (unsigned i = 0; i < 200; i++)
				CHECK(bed_zero(&b, i));
			CHECK(count_threads_named("uffd-handler") == 1);
		}
		bed_close(&b);
	}
	unpin();
}

/* Somebody else burns the handler's processor: faults are served all the same,
 * although a handler that keeps its thread beside it is easily starved. */
struct hog {
	pthread_t thread;
	_Atomic bool stop;
};

static void *burn(void *arg)
{
	struct hog *h = arg;

	while (!atomic_load_explicit(&h->stop, memory_order_relaxed))
		;
	return NULL;
}

static void hogged(void)
{
	struct hog hogs[2] = { 0 };
	struct bed b;

	if (open_placed(&b, LIBUFFD_PLACE_SAME, NULL, 0)) {
		touch_some(&b, 0, 1000);
		for (unsigned i = 0; i < 2; i++)
			CHECK(!pthread_create(&hogs[i].thread, NULL, burn,
					      &hogs[i]));
		for (unsigned i = 1000; i < 1040; i++)
			CHECK(bed_zero(&b, i));
		for (unsigned i = 0; i < 2; i++) {
			atomic_store(&hogs[i].stop, true);
			pthread_join(hogs[i].thread, NULL);
		}
		touch_some(&b, 1040, 1000);
	}
	bed_close(&b);
}

static const struct promise promises[] = {
	{ "SAME is where the faults come from, and follows", placed_same },
	{ "APART is never there", placed_apart },
	{ "CPUS is where it was told to be", cpus },
	{ "NONE is wherever the scheduler likes", none },
	{ "AUTO serves, and moves nobody but itself", automatic },
	{ "on one processor everything works", one_processor },
	{ "a busy processor does not starve the handler", hogged },
};

int main(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 1;
	return keep_all(promises, NR(promises));
}
