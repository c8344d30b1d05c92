/* SPDX-License-Identifier: MIT */
/*
 * What shall be measured, and whether it can be.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"

const struct bench_mode *const bench_modes[BENCH_MOST_MODES + 1] = {
	&bench_classic, &bench_thread,	&bench_sigbus,
	&bench_kernel,	&bench_sigsegv, NULL,
};

const char *bench_order_name(enum bench_order order)
{
	static const char *const names[BENCH_NR_ORDERS] = {
		"sequential", "random", "strided", "backward",
	};

	return order < BENCH_NR_ORDERS ? names[order] : NULL;
}

const char *bench_fault_name(enum bench_fault fault)
{
	static const char *const names[BENCH_NR_FAULTS] = {
		"missing", "minor", "wp",
	};

	return fault < BENCH_NR_FAULTS ? names[fault] : NULL;
}

const char *bench_place_name(enum uffd_place place)
{
	switch (place) {
	case LIBUFFD_PLACE_AUTO:
		return "auto";
	case LIBUFFD_PLACE_SAME:
		return "same";
	case LIBUFFD_PLACE_APART:
		return "apart";
	case LIBUFFD_PLACE_CPUS:
		return "cpus";
	case LIBUFFD_PLACE_NONE:
		return "none";
	}
	return NULL;
}

bool bench_is_huge(enum uffd_memory memory)
{
	return memory == LIBUFFD_MEM_HUGETLB_2M ||
	       memory == LIBUFFD_MEM_HUGETLB_1G;
}

uint64_t bench_page_size(enum uffd_memory memory)
{
	if (memory == LIBUFFD_MEM_HUGETLB_2M)
		return 2ull << 20;
	if (memory == LIBUFFD_MEM_HUGETLB_1G)
		return 1ull << 30;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

void bench_plan_init(struct bench_plan *p)
{
	*p = (struct bench_plan){
		.memory = LIBUFFD_MEM_PRIVATE,
		.order = BENCH_SEQUENTIAL,
		.fault = BENCH_MISSING,
		.write = true,
		.pages = 100000,
		.page_size = bench_page_size(LIBUFFD_MEM_PRIVATE),
		.stride = 16,
		.seed = 1,
		.rounds = 5,
		.threads = 1,
		.handlers = 1,
		.batch = 1,
		.place = LIBUFFD_PLACE_AUTO,
	};
	while (bench_modes[p->nr_modes]) {
		p->modes[p->nr_modes] = bench_modes[p->nr_modes];
		p->nr_modes++;
	}
}

uint64_t bench_share_start(const struct bench_plan *p, unsigned round)
{
	return p->pages / p->rounds * round + p->pages % p->rounds * round /
	       p->rounds;
}

uint64_t bench_share(const struct bench_plan *p, unsigned round)
{
	return bench_share_start(p, round + 1) - bench_share_start(p, round);
}

/* ---- is there enough? ---------------------------------------------------- */

static uint64_t number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static uint64_t huge_number(uint64_t page_size, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%lukB/%s",
		 page_size >> 10, file);
	return number_in(path);
}

uint64_t bench_free_huge(uint64_t page_size)
{
	uint64_t free = huge_number(page_size, "free_hugepages");
	uint64_t reserved = huge_number(page_size, "resv_hugepages");

	return free > reserved ? free - reserved : 0;
}

/* MemAvailable in bytes; 0 if it can't be had. */
static uint64_t available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

static bool check_huge(const struct bench_plan *p, char *why)
{
	uint64_t have = bench_free_huge(p->page_size);
	uint64_t all = huge_number(p->page_size, "nr_hugepages");

	if (p->pages <= have)
		return true;
	snprintf(why, BENCH_WHY_LEN,
		 "%lu huge pages of %lu MiB are needed and %lu are free; "
		 "fewer --pages, or reserve more: echo %lu > "
		 "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
		 p->pages, p->page_size >> 20, have, all + p->pages - have,
		 p->page_size >> 10);
	return false;
}

/* Beside the pages: latencies and their sorted copies, orders, and pages to
 * copy from. */
static uint64_t own_bytes(const struct bench_plan *p)
{
	uint64_t nr_sources = p->threads + p->handlers;
	uint64_t per_source = p->batch > p->threads ? p->batch : p->threads;

	return p->pages * (p->nr_modes * 16 + 4) +
	       nr_sources * per_source * p->page_size;
}

static bool check_memory(const struct bench_plan *p, char *why)
{
	uint64_t have = available();
	uint64_t need;

	if (p->pages > UINT32_MAX ||
	    __builtin_mul_overflow(p->pages, p->page_size, &need) ||
	    __builtin_add_overflow(need, own_bytes(p), &need))
		need = UINT64_MAX;
	if (bench_is_huge(p->memory)) {
		if (!check_huge(p, why))
			return false;
		need = own_bytes(p);
	}
	if (!have || need <= have)
		return true;
	snprintf(why, BENCH_WHY_LEN,
		 "%lu pages of %lu KiB are more than memory holds: %lu MiB are "
		 "available, enough for about %lu pages", p->pages,
		 p->page_size >> 10, have >> 20,
		 have / (p->page_size + p->nr_modes * 16 + 4));
	return false;
}

/* ---- does it fit together? ----------------------------------------------- */

/* "0-3,5" of the processors this process may use */
static void list_cpus(const cpu_set_t *set, char *text, size_t len)
{
	size_t at = 0;

	text[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE && at + 16 < len; cpu++) {
		int last = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		at += (size_t)snprintf(text + at, len - at,
				       last > cpu ? "%s%d-%d" : "%s%d",
				       at ? "," : "", cpu, last);
		cpu = last;
	}
}

static bool check_cpus(const struct bench_plan *p, char *why)
{
	char list[128];
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return true;
	for (unsigned i = 0; i < p->nr_cpus; i++) {
		if (p->cpus[i] < CPU_SETSIZE && CPU_ISSET(p->cpus[i], &set))
			continue;
		list_cpus(&set, list, sizeof(list));
		snprintf(why, BENCH_WHY_LEN,
			 "--place: there is no processor %u for us to use; "
			 "there are: %s", p->cpus[i], list);
		return false;
	}
	return true;
}

static const char *contradiction(const struct bench_plan *p)
{
	if (p->fault == BENCH_WP && !p->write)
		return "--fault wp is about writes, and --access read makes "
		       "none";
	if (p->fault == BENCH_MINOR && p->memory == LIBUFFD_MEM_PRIVATE)
		return "--fault minor needs memory with a page cache: --memory "
		       "shared, memfd-shared, memfd-private, hugetlb-2m or "
		       "hugetlb-1g";
	if (p->order == BENCH_STRIDED && p->stride == 0)
		return "--order strided: a stride is 1 page or more";
	return NULL;
}

static bool check_modes(const struct bench_plan *p, char *why)
{
	for (unsigned i = 0; i < p->nr_modes; i++) {
		const struct bench_mode *m = p->modes[i];
		const char *reason = m->refuse ? m->refuse(p) : NULL;

		if (!reason)
			continue;
		snprintf(why, BENCH_WHY_LEN, "mode %s: %s (or leave it out: "
			 "--modes)", m->name, reason);
		return false;
	}
	return true;
}

static bool check_rounds(const struct bench_plan *p, char *why)
{
	if (p->pages >= (uint64_t)p->rounds * p->threads)
		return true;
	snprintf(why, BENCH_WHY_LEN,
		 "%lu pages are too few for %u rounds of %u threads: each "
		 "thread needs a page in each round, %lu pages", p->pages,
		 p->rounds, p->threads, (uint64_t)p->rounds * p->threads);
	return false;
}

bool bench_plan_check(const struct bench_plan *p, char why[BENCH_WHY_LEN])
{
	const char *no = contradiction(p);

	if (no) {
		snprintf(why, BENCH_WHY_LEN, "%s", no);
		return false;
	}
	return check_rounds(p, why) && check_memory(p, why) &&
	       check_cpus(p, why) && check_modes(p, why);
}
