/* SPDX-License-Identifier: MIT */
/*
 * Counters in stripes, so that threads don't fight over a cache line, and
 * times of stages.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include "pager.h"

#define STRIPES 8u

struct stripe {
	uint64_t counts[NR_COUNT];
} __attribute__((aligned(64)));

struct stats {
	struct stripe stripes[STRIPES];
	struct uffd_hist hists[LIBUFFD_NR_STAGE];
	bool timed;
};

int stats_new(struct uffd_pager *p)
{
	void *at = mmap(NULL, sizeof(struct stats), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		return -ENOMEM;
	p->stats = at;
	return 0;
}

void stats_free(struct uffd_pager *p)
{
	if (p->stats)
		munmap(p->stats, sizeof(*p->stats));
	p->stats = NULL;
}

void count(struct uffd_pager *p, enum count what, uint64_t n)
{
	struct stripe *s =
		&p->stats->stripes[((uintptr_t)&errno >> 12) % STRIPES];

	if (n)
		__atomic_fetch_add(&s->counts[what], n, __ATOMIC_RELAXED);
}

static uint64_t total(const struct uffd_pager *p, enum count what)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STRIPES; i++)
		sum += __atomic_load_n(&p->stats->stripes[i].counts[what],
				       __ATOMIC_RELAXED);
	return sum;
}

uint64_t pager_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t stage_begin(const struct uffd_pager *p)
{
	return __atomic_load_n(&p->stats->timed, __ATOMIC_RELAXED) ? pager_now() :
								      0;
}

static void hist_add(struct uffd_hist *h, uint64_t ns)
{
	unsigned bucket = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;
	uint64_t max = __atomic_load_n(&h->max_ns, __ATOMIC_RELAXED);

	if (bucket >= LIBUFFD_HIST_BUCKETS)
		bucket = LIBUFFD_HIST_BUCKETS - 1;
	__atomic_fetch_add(&h->count, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->sum_ns, ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->buckets[bucket], 1, __ATOMIC_RELAXED);
	while (ns > max &&
	       !__atomic_compare_exchange_n(&h->max_ns, &max, ns, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void stage_end(struct uffd_pager *p, enum uffd_stage stage, uint64_t begun)
{
	if (begun)
		hist_add(&p->stats->hists[stage], pager_now() - begun);
}

void fail(struct uffd_pager *p, struct uffd_region *r, uint64_t page, int error,
	  bool write_back, const char *what)
{
	const struct uffd_page_failure f = {
		.error = error,
		.region = r,
		.offset = page << r->page_shift,
		.addr = page_addr(r, page),
		.write_back = write_back,
		.what = what,
	};

	count(p, COUNT_FAILURES, 1);
	if (p->failed)
		p->failed(p->user, &f);
}

/* ---- the public side ---------------------------------------------------------- */

#include "../public.h"

PUBLIC void uffd_pager_time(struct uffd_pager *p, bool on)
{
	__atomic_store_n(&p->stats->timed, on, __ATOMIC_RELAXED);
}

PUBLIC void uffd_pager_hist(const struct uffd_pager *p, enum uffd_stage stage,
			    struct uffd_hist *ret)
{
	const unsigned n = (unsigned)stage;
	const struct uffd_hist *h;

	*ret = (struct uffd_hist){ 0 };
	if (n >= LIBUFFD_NR_STAGE)
		return;
	h = &p->stats->hists[n];
	ret->count = __atomic_load_n(&h->count, __ATOMIC_RELAXED);
	ret->sum_ns = __atomic_load_n(&h->sum_ns, __ATOMIC_RELAXED);
	ret->max_ns = __atomic_load_n(&h->max_ns, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < LIBUFFD_HIST_BUCKETS; i++)
		ret->buckets[i] = __atomic_load_n(&h->buckets[i],
						  __ATOMIC_RELAXED);
}

PUBLIC uint64_t uffd_hist_quantile(const struct uffd_hist *h, double fraction)
{
	uint64_t all = 0, below = 0;
	double want;

	for (unsigned i = 0; i < LIBUFFD_HIST_BUCKETS; i++)
		all += h->buckets[i];
	want = fraction * (double)all;
	for (unsigned i = 0; i < LIBUFFD_HIST_BUCKETS; i++) {
		uint64_t low = UINT64_C(1) << i, n = h->buckets[i];

		if (n && (double)(below + n) >= want) {
			double part = (want - (double)below) / (double)n;
			uint64_t at = low + (uint64_t)(part * (double)low);

			return at > h->max_ns ? h->max_ns : at;
		}
		below += n;
	}
	return 0;
}

static uint64_t metadata_of(const struct uffd_pager *p)
{
	uint64_t sum = 0;

	for (const struct uffd_region *r = p->regions; r; r = r->next)
		sum += r->nr_pages * (1 + sizeof(struct hash)) +
		       r->nr_slices * sizeof(struct slice);
	return sum;
}

PUBLIC void uffd_pager_stats(const struct uffd_pager *p,
			     struct uffd_pager_stats *ret)
{
	struct uffd_pager *locked = (struct uffd_pager *)(uintptr_t)p;

	*ret = (struct uffd_pager_stats){
		.budget = (uint64_t)p->budget,
		.resident_bytes = (uint64_t)__atomic_load_n(&p->used,
							    __ATOMIC_RELAXED),
		.limbo_bytes = (uint64_t)__atomic_load_n(&p->limbo_used,
							 __ATOMIC_RELAXED),
		.faults = total(p, COUNT_FAULTS),
		.soft_faults = total(p, COUNT_SOFT),
		.zero_faults = total(p, COUNT_ZERO),
		.read_pages = total(p, COUNT_READ),
		.ahead_pages = total(p, COUNT_AHEAD),
		.lifts = total(p, COUNT_LIFTS),
		.lifted_pages = total(p, COUNT_LIFTED),
		.settled_pages = total(p, COUNT_SETTLED),
		.written_pages = total(p, COUNT_WRITTEN),
		.failures = total(p, COUNT_FAILURES),
		.waits = total(p, COUNT_WAITS),
	};
	pthread_mutex_lock(&locked->regions_lock);
	ret->metadata_bytes = metadata_of(p);
	pthread_mutex_unlock(&locked->regions_lock);
}
