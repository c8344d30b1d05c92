/* SPDX-License-Identifier: MIT */
/*
 * Counting what was done, and telling what could not be.
 */
#include "engine.h"

void engine_count(const struct uffd_engine *e, uintptr_t thread, enum count c,
		  uint64_t n)
{
	atomic_fetch_add_explicit(&e->counters[stripe_of(thread)].value[c], n,
				  memory_order_relaxed);
}

void engine_report(const struct uffd_engine *e, int error, uint64_t addr,
		   const char *what)
{
	const struct uffd_failure failure = {
		.error = error,
		.addr = addr,
		.what = what,
	};

	engine_count(e, (uintptr_t)pthread_self(), COUNT_FAILURES, 1);
	if (e->opts.failed)
		e->opts.failed(e->opts.user, &failure);
}

static uint64_t total(const struct uffd_engine *e, enum count c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NR_STRIPES; i++)
		sum += atomic_load_explicit(&e->counters[i].value[c],
					    memory_order_relaxed);
	return sum;
}

PUBLIC void uffd_engine_stats(const struct uffd_engine *e,
			      struct uffd_engine_stats *ret)
{
	*ret = (struct uffd_engine_stats){
		.faults = total(e, COUNT_FAULTS),
		.runs = total(e, COUNT_RUNS),
		.pages = total(e, COUNT_PAGES),
		.existed = total(e, COUNT_EXISTED),
		.retries = total(e, COUNT_RETRIES),
		.reads = total(e, COUNT_READS),
		.followed = total(e, COUNT_FOLLOWED),
		.failures = total(e, COUNT_FAILURES),
		.place = place_now(e),
	};
}
