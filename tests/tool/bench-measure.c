/* SPDX-License-Identifier: MIT */
/*
 * The measuring part of `uffd bench`: every access is a fault, all modes fill
 * all pages, and every wrong page is noticed.
 */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/scene.h"
#include "tests/seam/promise.h"

/* ---- wrong pages --------------------------------------------------------- */

static unsigned none(const struct bench_plan *p)
{
	(void)p;
	return 0;
}

static void no_end(struct bench_scene *s)
{
	(void)s;
}

static void stamp_all(struct bench_scene *s, uint64_t key)
{
	for (uint64_t i = 0; i < s->area.nr; i++)
		bench_stamp(s->area.start + i * s->area.page_size,
			    s->area.page_size, bench_mark(key, i));
}

/* the handlers of these modes have filled all pages before anybody asked,
 * and not all of them well */
static int honest(struct bench_scene *s, const char **what)
{
	(void)what;
	stamp_all(s, s->key);
	return 0;
}

static int another_page(struct bench_scene *s, const char **what)
{
	uint64_t size = s->area.page_size;

	(void)what;
	stamp_all(s, s->key);
	memcpy(s->area.start + 7 * size, s->area.start + 6 * size, size);
	return 0;
}

static int last_round(struct bench_scene *s, const char **what)
{
	(void)what;
	stamp_all(s, s->key + 1);
	return 0;
}

static int half_a_page(struct bench_scene *s, const char **what)
{
	uint64_t size = s->area.page_size;

	(void)what;
	stamp_all(s, s->key);
	memset(s->area.start + 7 * size + size / 2 + 8, 0, size / 2 - 8);
	return 0;
}

static int empty_page(struct bench_scene *s, const char **what)
{
	(void)what;
	stamp_all(s, s->key);
	memset(s->area.start + 7 * s->area.page_size, 0, s->area.page_size);
	return 0;
}

static int filled_for_kernel(struct bench_scene *s, const char **what)
{
	(void)what;
	s->zeros = true;
	bench_stamp(s->area.start + 7 * s->area.page_size, s->area.page_size,
		    1);
	return 0;
}

static int run_one(const struct bench_mode *m, bool write,
		   char why[BENCH_WHY_LEN])
{
	struct bench_plan p;
	struct bench_row *rows;
	int err;

	bench_plan_init(&p);
	p.modes[0] = m;
	p.nr_modes = 1;
	p.pages = 20;
	p.rounds = 1;
	p.write = write;
	if (!CHECK(bench_rows_new(&p, &rows) == 0))
		return -ENOMEM;
	why[0] = '\0';
	err = bench_measure(&p, rows, NULL, NULL, why);
	bench_rows_free(&p, rows);
	return err;
}

static void wrong_pages_are_told(void)
{
	static int (*const begins[])(struct bench_scene *, const char **) = {
		another_page, half_a_page, empty_page, filled_for_kernel,
		last_round,
	};
	struct bench_mode m = { .name = "liar", .resolvers = none,
				.begin = honest, .end = no_end };
	char why[BENCH_WHY_LEN];

	for (int write = 0; write < 2; write++) {
		m.begin = honest;
		SAME(run_one(&m, write, why), 0);
		for (unsigned i = 0; i < NR(begins); i++) {
			m.begin = begins[i];
			SAME(run_one(&m, write, why), -EILSEQ);
			CHECK(strstr(why, "mode liar: page "));
			CHECK(strstr(why, " holds 0x"));
			CHECK(strstr(why, "page 7 ") ||
			      begins[i] == last_round);
		}
	}
}

static int can_not(struct bench_scene *s, const char **what)
{
	(void)s;
	*what = "doing the impossible";
	return -EOPNOTSUPP;
}

static void failures_name_what_failed(void)
{
	struct bench_mode m = { .name = "hopeless", .resolvers = none,
				.begin = can_not, .end = no_end };
	char why[BENCH_WHY_LEN];

	SAME(run_one(&m, true, why), -EOPNOTSUPP);
	CHECK(strstr(why, "mode hopeless: doing the impossible: "));
}

/* ---- every access is a fault --------------------------------------------- */

static uint64_t faults_now(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (uint64_t)r.ru_minflt;
}

/* the kernel mode, its faults counted in the row's statistics */
static int counted_begin(struct bench_scene *s, const char **what)
{
	int err = bench_kernel.begin(s, what);

	s->stats->faults = faults_now();
	return err;
}

static void counted_end(struct bench_scene *s)
{
	s->stats->runs = faults_now() - s->stats->faults;
	bench_kernel.end(s);
}

static void floor_faults_each_time(void)
{
	struct bench_mode m = bench_kernel;
	struct bench_plan p;

	m.begin = counted_begin;
	m.end = counted_end;
	bench_plan_init(&p);
	p.modes[0] = &m;
	p.nr_modes = 1;
	p.pages = 1500;	/* a huge page would fit in */
	p.rounds = 1;
	for (unsigned mem = 0; mem <= LIBUFFD_MEM_MEMFD_PRIVATE; mem++)
		for (unsigned i = 0; i < BENCH_NR_FAULTS * 2; i++) {
			char why[BENCH_WHY_LEN] = "";
			struct bench_row *rows;

			p.memory = mem;
			p.fault = i / 2;
			p.write = i % 2;
			if (!bench_plan_check(&p, why) ||
			    !CHECK(bench_rows_new(&p, &rows) == 0))
				continue;
			SAME(bench_measure(&p, rows, NULL, NULL, why), 0);
			if (!CHECK(rows[0].stats.runs >= p.pages))
				printf("# %lu faults: %s %s %s\n",
				       rows[0].stats.runs,
				       uffd_memory_name(mem),
				       bench_fault_name(p.fault),
				       p.write ? "write" : "read");
			bench_rows_free(&p, rows);
		}
}

/* ---- all modes ----------------------------------------------------------- */

static void run_plan(const struct bench_plan *p)
{
	char why[BENCH_WHY_LEN] = "";
	struct bench_row *rows;
	bool all = true;

	if (!bench_plan_check(p, why) || !CHECK(bench_rows_new(p, &rows) == 0))
		return;
	if (!SAME(bench_measure(p, rows, NULL, NULL, why), 0))
		printf("# %s (%s, %s, %s, %s, batch %u, threads %u)\n", why,
		       uffd_memory_name(p->memory), bench_fault_name(p->fault),
		       p->write ? "write" : "read", bench_order_name(p->order),
		       p->batch, p->threads);
	for (unsigned i = 0; i < p->nr_modes; i++)
		for (uint64_t k = 0; k < p->pages; k++)
			all = all && rows[i].ns[k] != UINT64_MAX;
	CHECK(all);
	bench_rows_free(p, rows);
}

static void modes_fill_all(enum uffd_memory memory, uint64_t pages)
{
	struct bench_plan p;

	bench_plan_init(&p);
	p.memory = memory;
	p.page_size = bench_page_size(memory);
	p.pages = pages;
	p.rounds = 2;
	for (unsigned i = 0; i < 64; i++) {
		p.fault = i % 4;
		if (p.fault == BENCH_NR_FAULTS)
			continue;
		p.write = i & 4;
		p.batch = i & 8 ? 8 : 1;
		p.threads = i & 16 ? 2 : 1;
		p.order = i & 32 ? BENCH_RANDOM : BENCH_SEQUENTIAL;
		run_plan(&p);
	}
}

static void all_modes_private(void)
{
	modes_fill_all(LIBUFFD_MEM_PRIVATE, 200);
}

static void all_modes_shared(void)
{
	modes_fill_all(LIBUFFD_MEM_SHARED, 200);
}

static void all_modes_memfd_shared(void)
{
	modes_fill_all(LIBUFFD_MEM_MEMFD_SHARED, 200);
}

static void all_modes_memfd_private(void)
{
	modes_fill_all(LIBUFFD_MEM_MEMFD_PRIVATE, 200);
}

static void other_options(void)
{
	struct bench_plan p;

	bench_plan_init(&p);
	p.pages = 300;
	p.threads = 3;
	p.handlers = 2;
	for (unsigned place = 0; place <= LIBUFFD_PLACE_NONE; place++) {
		p.place = place;
		p.nr_cpus = place == LIBUFFD_PLACE_CPUS;
		p.cpus[0] = (uint32_t)sched_getcpu();
		p.spin_us = place * 10;
		p.order = place % BENCH_NR_ORDERS;
		run_plan(&p);
	}
}

static unsigned entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void nothing_is_left(void)
{
	unsigned fds = entries("/proc/self/fd");
	unsigned threads = entries("/proc/self/task");
	struct sigaction before, after;
	struct bench_plan p;

	sigaction(SIGSEGV, NULL, &before);
	bench_plan_init(&p);
	p.pages = 50;
	run_plan(&p);
	p.fault = BENCH_WP;
	run_plan(&p);
	sigaction(SIGSEGV, NULL, &after);
	CHECK(before.sa_handler == after.sa_handler);
	SAME(entries("/proc/self/fd"), fds);
	SAME(entries("/proc/self/task"), threads);
}

/* ---- refusals ------------------------------------------------------------ */

static bool refused(const struct bench_plan *p, const char *word)
{
	char why[BENCH_WHY_LEN] = "";
	bool no = !bench_plan_check(p, why);

	if (!no || !strstr(why, word))
		printf("#   it said: %s\n", why);
	return no && strstr(why, word) && !strchr(why, '\n');
}

static void plans_are_refused(void)
{
	struct bench_plan good, p;

	bench_plan_init(&good);
	p = good;
	p.pages = UINT64_MAX;
	CHECK(refused(&p, "more than memory"));
	p.pages = 1ull << 34;
	CHECK(refused(&p, "more than memory"));
	p = good;
	p.fault = BENCH_MINOR;
	CHECK(refused(&p, "--memory"));
	p = good;
	p.fault = BENCH_WP;
	p.write = false;
	CHECK(refused(&p, "--access"));
	p = good;
	p.place = LIBUFFD_PLACE_CPUS;
	p.nr_cpus = 1;
	p.cpus[0] = 100000;
	CHECK(refused(&p, "there are: "));
	p = good;
	p.pages = 9;
	p.rounds = 5;
	p.threads = 2;
	CHECK(refused(&p, "10 pages"));
	p = good;
	p.pages = 3000000;
	p.rounds = 1;
	p.order = BENCH_RANDOM;
	p.modes[0] = &bench_sigsegv;
	p.nr_modes = 1;
	CHECK(refused(&p, "vm.max_map_count"));
	p = good;
	p.memory = LIBUFFD_MEM_HUGETLB_2M;
	p.page_size = bench_page_size(p.memory);
	p.pages = 1ull << 30;
	CHECK(refused(&p, "huge pages"));
}

static void clock_has_a_cost(void)
{
	double ns = bench_clock_cost();

	CHECK(ns > 0 && ns < 1e6);
}

int main(void)
{
	static const struct promise promises[] = {
		{ "a wrong, stale, half or empty page is told with its number",
		  wrong_pages_are_told },
		{ "a mode that can't begin is named with what failed",
		  failures_name_what_failed },
		{ "each access of the floor is a fault",
		  floor_faults_each_time },
		{ "all modes fill private memory", all_modes_private },
		{ "all modes fill shared memory", all_modes_shared },
		{ "all modes fill a shared memfd", all_modes_memfd_shared },
		{ "all modes fill a private memfd", all_modes_memfd_private },
		{ "threads, handlers, places and spinning", other_options },
		{ "a run leaves no descriptor, thread or signal handler",
		  nothing_is_left },
		{ "plans that can't be are refused in one line",
		  plans_are_refused },
		{ "reading the clock costs something", clock_has_a_cost },
	};

	return keep_all(promises, NR(promises));
}
