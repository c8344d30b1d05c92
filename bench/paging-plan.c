/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "paging-inner.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static const char *const patterns[PAGING_NR_PATTERN] = {
	"sequential", "random", "strided", "hot",
};
static const char *const ops[PAGING_NR_OP] = { "read", "write", "mixed" };
static const char *const engines[PAGING_NR_ENGINE] = { "sigbus", "thread" };
static const char *const stores[PAGING_NR_STORE] = {
	"memory", "memory-lz4", "file",
};
static const struct paging_system *const systems[PAGING_NR_SYSTEM] = {
	&paging_libuffd, &paging_mmap, &paging_swap, &paging_classic,
	&paging_read2,
};

const char *paging_pattern_name(unsigned pattern)
{
	return pattern < NR(patterns) ? patterns[pattern] : NULL;
}

const char *paging_op_name(unsigned op)
{
	return op < NR(ops) ? ops[op] : NULL;
}

const char *paging_engine_name(unsigned engine)
{
	return engine < NR(engines) ? engines[engine] : NULL;
}

const char *paging_store_name(unsigned store)
{
	return store < NR(stores) ? stores[store] : NULL;
}

const char *paging_system_name(unsigned system)
{
	return system < NR(systems) ? systems[system]->name : NULL;
}

const char *paging_system_what(unsigned system)
{
	return system < NR(systems) ? systems[system]->what : NULL;
}

const struct paging_system *paging_system_of(unsigned which)
{
	return systems[which];
}

void paging_contestant_name(const struct paging_contestant *c, char *ret,
			    size_t cap)
{
	if (c->system == PAGING_LIBUFFD)
		snprintf(ret, cap, "libuffd %s %s", engines[c->engine],
			 stores[c->store]);
	else
		snprintf(ret, cap, "%s", systems[c->system]->name);
}

void paging_plan_init(struct paging_plan *plan)
{
	*plan = (struct paging_plan){
		.size = 256u << 20,
		.budget_pct = 20,
		.systems = (1u << PAGING_NR_SYSTEM) - 1,
		.engines = (1u << PAGING_NR_ENGINE) - 1,
		.stores = (1u << PAGING_NR_STORE) - 1,
		.patterns = 1u << PAGING_RANDOM,
		.ops = 1u << PAGING_WRITE,
		.threads = { 1 },
		.nr_threads = 1,
		.rounds = 5,
		.seconds = 1,
		.seed = 1,
		.dir = "/var/tmp",
	};
}

uint64_t paging_pages(const struct paging_plan *plan)
{
	return plan->size / PAGING_PAGE;
}

uint64_t paging_budget(const struct paging_plan *plan)
{
	return paging_pages(plan) * plan->budget_pct / 100 * PAGING_PAGE;
}

/* ---- is there room? ---------------------------------------------------------- */

static unsigned has(uint32_t mask, unsigned bit)
{
	return mask >> bit & 1;
}

/* What all contestants together keep in memory, about. */
static uint64_t memory_needed(const struct paging_plan *plan)
{
	const unsigned ours = has(plan->systems, PAGING_LIBUFFD) *
			      (unsigned)__builtin_popcount(plan->engines);
	const unsigned zram = has(plan->systems, PAGING_SWAP_ZRAM);
	/* halves of the region: compressed, it is one */
	const uint64_t halves =
		ours * (2 * has(plan->stores, PAGING_MEMORY) +
			has(plan->stores, PAGING_MEMORY_LZ4)) +
		2 * has(plan->systems, PAGING_CLASSIC) + zram;
	const uint64_t budgets =
		ours * (unsigned)__builtin_popcount(plan->stores) + zram +
		has(plan->systems, PAGING_CLASSIC) +
		has(plan->systems, PAGING_MMAP);

	return halves * (plan->size / 2) + budgets * paging_budget(plan);
}

static uint64_t memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kib = UINT64_MAX >> 10;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib << 10;
}

bool paging_plan_check(const struct paging_plan *plan,
		       char why[PAGING_WHY_LEN])
{
	const uint64_t smallest = 32u << 10;

	if (plan->size < PAGING_SMALLEST || plan->size % PAGING_PAGE ||
	    paging_pages(plan) > UINT32_MAX - 1) {
		snprintf(why, PAGING_WHY_LEN, "--size: %lu is not a size from "
			 "1M to 16T in whole pages of 4K", plan->size);
		return false;
	}
	if (paging_budget(plan) < smallest) {
		snprintf(why, PAGING_WHY_LEN, "--budget-pct: %u %% of --size "
			 "%lu is less than 32K, the smallest budget",
			 plan->budget_pct, plan->size);
		return false;
	}
	if (memory_needed(plan) > memory_available()) {
		snprintf(why, PAGING_WHY_LEN, "--size: %lu MiB of memory are "
			 "needed and %lu are available; a smaller size or "
			 "fewer of --system and --store need less",
			 memory_needed(plan) >> 20, memory_available() >> 20);
		return false;
	}
	return true;
}
