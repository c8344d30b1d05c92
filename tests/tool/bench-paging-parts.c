/* SPDX-License-Identifier: MIT */
/*
 * The parts of `uffd bench paging` against naive models.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/paging-parts.h"
#include "tests/seam/promise.h"

#define PAGES 1003u	/* no multiple of anything */
#define FRAMES 100u

static struct paging_ground ground(void)
{
	struct paging_ground g;

	SAME(paging_ground_init(&g, PAGES, 7), 0);
	return g;
}

/* How often each page is met in n steps of one thread. */
static void walk(const struct paging_ground *g, const struct paging_case *at,
		 unsigned thread, unsigned n, unsigned *met)
{
	struct paging_trace t;
	bool write;

	paging_trace_init(&t, g, at, 3, thread);
	while (n--) {
		uint64_t page = paging_trace_next(&t, &write);

		if (CHECK(page < PAGES))
			met[page]++;
	}
}

/* ---- traces ------------------------------------------------------------ */

static void each_once(enum paging_pattern pattern, unsigned threads)
{
	const struct paging_case at = { pattern, PAGING_READ, threads };
	struct paging_ground g = ground();
	unsigned met[PAGES] = { 0 }, wrong = 0;

	for (unsigned i = 0; i < threads; i++)
		walk(&g, &at, i, PAGES * (i + 1) / threads -
				 PAGES * i / threads, met);
	for (unsigned i = 0; i < PAGES; i++)
		wrong += met[i] != 1;
	SAME(wrong, 0);
	paging_ground_finish(&g);
}

static void in_order_each_once(void)
{
	for (unsigned threads = 1; threads < 8; threads++) {
		each_once(PAGING_SEQUENTIAL, threads);
		each_once(PAGING_STRIDED, threads);
	}
	each_once(PAGING_STRIDED, 64);
}

static void strided_strides(void)
{
	const struct paging_case at = { PAGING_STRIDED, PAGING_READ, 1 };
	struct paging_ground g = ground();
	struct paging_trace t;
	bool write;

	paging_trace_init(&t, &g, &at, 0, 0);
	for (unsigned i = 0; i < 62; i++)
		SAME(paging_trace_next(&t, &write), i * PAGING_STRIDE);
	paging_ground_finish(&g);
}

static void hot_is_hot(void)
{
	const struct paging_case at = { PAGING_HOT, PAGING_READ, 1 };
	struct paging_ground g = ground();
	unsigned met[PAGES] = { 0 }, hot = 0;
	bool spread = false;

	walk(&g, &at, 0, 100000, met);
	for (unsigned i = 0; i < PAGES / 10; i++) {
		hot += met[g.shuffled[i]];
		spread |= g.shuffled[i] > PAGES / 2;
	}
	CHECK(spread);
	CHECK(hot > 89000 && hot < 91000);
	paging_ground_finish(&g);
}

static void mixed_is_half(void)
{
	const struct paging_case at = { PAGING_RANDOM, PAGING_MIXED, 1 };
	struct paging_ground g = ground();
	struct paging_trace t;
	unsigned written = 0;
	bool write;

	paging_trace_init(&t, &g, &at, 0, 0);
	for (unsigned i = 0; i < 100000; i++) {
		paging_trace_next(&t, &write);
		written += write;
	}
	CHECK(written > 49000 && written < 51000);
	paging_ground_finish(&g);
}

static void same_way_again(void)
{
	const struct paging_case at = { PAGING_RANDOM, PAGING_MIXED, 2 };
	struct paging_ground g = ground();
	unsigned one[PAGES] = { 0 }, two[PAGES] = { 0 }, other[PAGES] = { 0 };

	walk(&g, &at, 0, 1000, one);
	walk(&g, &at, 0, 1000, two);
	walk(&g, &at, 1, 1000, other);
	CHECK(memcmp(one, two, sizeof(one)) == 0);
	CHECK(memcmp(one, other, sizeof(one)) != 0);
	paging_ground_finish(&g);
}

/* ---- pages ------------------------------------------------------------- */

static void data_is_checked(void)
{
	_Alignas(16) char page[PAGING_PAGE];
	struct paging_mark *mark;

	paging_fill(7, 12, page);
	mark = paging_mark_of(page, paging_tag(7, 12));
	CHECK(paging_intact(7, 12, 0, page));
	CHECK(!paging_intact(7, 13, 0, page));
	CHECK(!paging_intact(8, 12, 0, page));
	mark->count = 5;
	CHECK(paging_intact(7, 12, 5, page));
	CHECK(!paging_intact(7, 12, 4, page));
	page[17] ^= 1;
	CHECK(!paging_intact(7, 12, 5, page));
}

static void half_is_random(void)
{
	_Alignas(16) char page[PAGING_PAGE];
	unsigned zeros = 0, early = 0;

	paging_fill(7, 12, page);
	for (unsigned i = 0; i < PAGING_PAGE; i++) {
		zeros += page[i] == 0;
		early += page[i] == 0 && i < PAGING_PAGE / 2;
	}
	CHECK(early < 40);
	CHECK(zeros >= PAGING_PAGE / 2 - 8);
}

/* ---- latencies --------------------------------------------------------- */

static bool near(uint64_t got, uint64_t want)
{
	return got >= want - want / 25 && got <= want + want / 25;
}

static void slowest_are_found(void)
{
	struct paging_latency l = { 0 };

	/* 1000 of about 100 ns, 100 from 10 to 1000 us */
	for (unsigned i = 0; i < 1000; i++)
		paging_latency_add(&l, 100 + i % 10);
	for (unsigned i = 1; i <= 100; i++)
		paging_latency_add(&l, i * 10000);
	SAME(l.count, 1100);
	SAME(l.max, 1000000);
	CHECK(near(paging_latency_slowest(&l, 100, 0.5), 500000));
	CHECK(near(paging_latency_slowest(&l, 100, 0.99), 990000));
	CHECK(near(paging_latency_slowest(&l, 100, 1), 1000000));
	CHECK(near(paging_latency_slowest(&l, 1100, 0.5), 105));
	CHECK(near(paging_latency_slowest(&l, 5000, 0.5), 105));
	SAME(paging_latency_slowest(&l, 0, 0.5), 0);
}

static void every_time_has_a_bucket(void)
{
	for (uint64_t ns = 1; ns < UINT64_C(1) << 62; ns += ns / 3 + 1) {
		struct paging_latency l = { 0 };

		paging_latency_add(&l, ns);
		CHECK(near(paging_latency_slowest(&l, 1, 1), ns));
	}
}

/* ---- policies ---------------------------------------------------------- */

/* The plainest form: when each frame's page came or was used, and all frames
 * looked at each time. */
struct naive {
	uint64_t page[FRAMES], stamp[FRAMES];
	uint64_t now;
};

static bool naive_access(struct naive *n, enum paging_policy policy,
			 uint64_t page)
{
	unsigned oldest = 0;

	n->now++;
	for (unsigned i = 0; i < FRAMES; i++) {
		if (n->stamp[i] && n->page[i] == page) {
			if (policy == PAGING_LRU)
				n->stamp[i] = n->now;
			return true;
		}
		if (n->stamp[i] < n->stamp[oldest])
			oldest = i;
	}
	n->page[oldest] = page;
	n->stamp[oldest] = n->now;
	return false;
}

static void against_naive(enum paging_policy policy)
{
	const struct paging_case at = { PAGING_HOT, PAGING_READ, 1 };
	struct paging_ground g = ground();
	struct naive naive = { .now = 0 };
	struct paging_keeper *k = NULL;
	struct paging_trace t;
	unsigned wrong = 0;
	bool write;

	SAME(paging_keeper_new(policy, PAGES, FRAMES, &k), 0);
	paging_trace_init(&t, &g, &at, 0, 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t page = paging_trace_next(&t, &write);

		wrong += paging_keeper_access(k, page) !=
			 naive_access(&naive, policy, page);
	}
	SAME(wrong, 0);
	paging_keeper_free(k);
	paging_ground_finish(&g);
}

static void fifo_is_fifo(void)
{
	against_naive(PAGING_FIFO);
}

static void lru_is_lru(void)
{
	against_naive(PAGING_LRU);
}

/* By hand: three frames, all used; the hand clears all marks and takes the
 * first; a page used again is passed over, the one after it goes. */
static void clock_is_clock(void)
{
	static const struct {
		unsigned page;
		bool hit;
	} steps[] = {
		{ 1, false }, { 2, false }, { 3, false }, { 1, true },
		{ 4, false },	/* takes 1's frame: 4 2 3, 2 and 3 unmarked */
		{ 2, true },	/* marked again */
		{ 5, false },	/* passes over 2, takes 3's: 4 2 5 */
		{ 2, true }, { 3, false }, { 4, false },
	};
	struct paging_keeper *k = NULL;

	SAME(paging_keeper_new(PAGING_CLOCK, 10, 3, &k), 0);
	for (unsigned i = 0; i < NR(steps); i++)
		if (!SAME(paging_keeper_access(k, steps[i].page), steps[i].hit))
			printf("#   step %u\n", i);
	paging_keeper_free(k);
}

static void one_frame(void)
{
	for (unsigned policy = 0; policy < PAGING_NR_POLICY; policy++) {
		struct paging_keeper *k = NULL;

		SAME(paging_keeper_new(policy, 10, 1, &k), 0);
		SAME(paging_keeper_access(k, 3), false);
		SAME(paging_keeper_access(k, 3), true);
		SAME(paging_keeper_access(k, 4), false);
		SAME(paging_keeper_access(k, 3), false);
		paging_keeper_free(k);
	}
}

static const struct promise promises[] = {
	{ "in order: each page once, whatever the number of threads",
	  in_order_each_once },
	{ "strided: every 16th page, then those beside", strided_strides },
	{ "hot: 90 % of accesses go to 10 % of pages, spread at random",
	  hot_is_hot },
	{ "mixed: half of the accesses write", mixed_is_half },
	{ "the same turn goes the same way, another thread another",
	  same_way_again },
	{ "a wrong byte, page or count is found", data_is_checked },
	{ "half of a page is random, half zeros", half_is_random },
	{ "the slowest accesses are found, right to 4 %", slowest_are_found },
	{ "times from 1 ns to 100 years", every_time_has_a_bucket },
	{ "FIFO is FIFO", fifo_is_fifo },
	{ "LRU is LRU", lru_is_lru },
	{ "CLOCK is CLOCK", clock_is_clock },
	{ "one frame is enough for each policy", one_frame },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
