/* SPDX-License-Identifier: MIT */
/*
 * The threads that `uffd bench ops` measures beside.
 */
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "bench/ops-busy.h"
#include "bench/ops.h"
#include "tests/seam/promise.h"

#define MS 1e6

static double clock_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* what all threads but this one have run so far */
static double others(void)
{
	double mine = clock_of(CLOCK_THREAD_CPUTIME_ID);

	return clock_of(CLOCK_PROCESS_CPUTIME_ID) - mine;
}

/* Do they run a while, as soon as they get a processor? */
static bool they_run(void)
{
	const double before = others();

	for (int i = 0; i < 30000; i++) {
		if (others() - before > 5 * MS)
			return true;
		usleep(1000);
	}
	return false;
}

static bool they_sleep(void)
{
	const double before = others();

	usleep(50000);
	return others() - before < 5 * MS;
}

static void run_and_sleep(void)
{
	struct ops_crew *crew;
	double before;

	if (!SAME(ops_crew_new(1, &crew), 0))
		return;
	CHECK(they_sleep());
	ops_crew_run(crew, 1);
	before = ops_crew_time(crew);
	CHECK(they_run());
	CHECK(ops_crew_time(crew) > before);
	ops_crew_run(crew, 0);
	CHECK(they_sleep());
	ops_crew_run(crew, 1);
	CHECK(they_run());
	ops_crew_free(crew);
	CHECK(they_sleep());
}

static void stays(void)
{
	struct ops_crew *crew;
	cpu_set_t before, meanwhile, after;

	sched_getaffinity(0, sizeof(before), &before);
	if (!SAME(ops_crew_new(0, &crew), 0))
		return;
	sched_getaffinity(0, sizeof(meanwhile), &meanwhile);
	SAME(CPU_COUNT(&meanwhile), 1);
	ops_crew_free(crew);
	sched_getaffinity(0, sizeof(after), &after);
	CHECK(CPU_EQUAL(&before, &after));
}

static void one_processor(void)
{
	struct ops_crew *crew = NULL;
	cpu_set_t before, one;

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	SAME(ops_processors(), 1);
	SAME(ops_crew_new(1, &crew), -EINVAL);
	if (SAME(ops_crew_new(0, &crew), 0))
		ops_crew_free(crew);
	sched_setaffinity(0, sizeof(before), &before);
}

static void freeing_none(void)
{
	ops_crew_free(NULL);
}

static const struct promise promises[] = {
	{ "busy threads run when they shall, and sleep else", run_and_sleep },
	{ "who measures stays on a processor, and is let go", stays },
	{ "on one processor there is room for none", one_processor },
	{ "freeing no crew is fine", freeing_none },
};

int main(void)
{
	if (ops_processors() < 2) {
		puts("1..0 # SKIP two processors");
		return 0;
	}
	return keep_all(promises, NR(promises));
}
