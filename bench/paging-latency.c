/* SPDX-License-Identifier: MIT */
#include "paging-parts.h"

/* Below 32 the time itself; above, 32 steps for each power of two. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned shift, bucket;

	if (ns < PAGING_STEPS)
		return (unsigned)ns;
	shift = 58u - (unsigned)__builtin_clzll(ns);
	bucket = (shift + 1) * PAGING_STEPS +
		 (unsigned)(ns >> shift) - PAGING_STEPS;
	return bucket < PAGING_BUCKETS ? bucket : PAGING_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t time_of(unsigned bucket)
{
	const unsigned octave = bucket / PAGING_STEPS;

	if (octave < 2)
		return bucket;
	return ((uint64_t)(bucket % PAGING_STEPS + PAGING_STEPS)
		<< (octave - 1)) + ((UINT64_C(1) << (octave - 1)) >> 1);
}

void paging_latency_add(struct paging_latency *l, uint64_t ns)
{
	l->buckets[bucket_of(ns)]++;
	l->count++;
	if (ns > l->max)
		l->max = ns;
}

void paging_latency_merge(struct paging_latency *to,
			  const struct paging_latency *from)
{
	for (unsigned i = 0; i < PAGING_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
	to->count += from->count;
	if (from->max > to->max)
		to->max = from->max;
}

uint64_t paging_latency_slowest(const struct paging_latency *l, uint64_t n,
				double share)
{
	uint64_t slower, seen = 0;

	if (n > l->count)
		n = l->count;
	if (!n)
		return 0;
	/* how many of them may be slower than the answer */
	slower = n - (uint64_t)(share * (double)n + 0.999999);
	for (unsigned i = PAGING_BUCKETS; i-- > 0;) {
		seen += l->buckets[i];
		if (seen > slower)
			return time_of(i) < l->max ? time_of(i) : l->max;
	}
	return 0;
}
