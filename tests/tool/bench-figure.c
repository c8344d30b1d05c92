/* SPDX-License-Identifier: MIT */
/*
 * What `uffd bench` reckons: which pages when, and what latencies come to.
 */
#include <string.h>

#include "bench/scene.h"
#include "tests/seam/promise.h"

/* ---- order and shares ---------------------------------------------------- */

static void touches_each_once(const struct bench_plan *p, uint32_t nr)
{
	uint32_t order[1000];
	unsigned seen[1000] = { 0 };
	bool once = true;

	bench_arrange(p, order, nr, 5);
	for (uint32_t i = 0; i < nr; i++)
		if (order[i] < nr)
			seen[order[i]]++;
	for (uint32_t i = 0; i < nr; i++)
		once = once && seen[i] == 1;
	if (!CHECK(once))
		printf("# order %s, %u pages, stride %lu\n",
		       bench_order_name(p->order), nr, p->stride);
}

static void orders_are_permutations(void)
{
	static const uint64_t strides[] = { 1, 2, 7, 16, 999, 5000 };
	struct bench_plan p;

	bench_plan_init(&p);
	for (unsigned o = 0; o < BENCH_NR_ORDERS; o++)
		for (uint32_t nr = 0; nr <= 1000; nr += nr < 20 ? 1 : 245)
			for (unsigned s = 0; s < NR(strides); s++) {
				p.order = o;
				p.stride = strides[s];
				touches_each_once(&p, nr);
			}
}

static void orders_are_what_they_say(void)
{
	struct bench_plan p;
	uint32_t order[6], again[6];

	bench_plan_init(&p);
	bench_arrange(&p, order, 6, 1);
	SAME(order[0], 0);
	SAME(order[5], 5);
	p.order = BENCH_BACKWARD;
	bench_arrange(&p, order, 6, 1);
	SAME(order[0], 5);
	SAME(order[5], 0);
	p.order = BENCH_STRIDED;
	p.stride = 4;
	bench_arrange(&p, order, 6, 1);
	SAME(order[1], 4);
	SAME(order[2], 1);
	SAME(order[3], 5);
	p.order = BENCH_RANDOM;
	bench_arrange(&p, order, 6, 1);
	bench_arrange(&p, again, 6, 1);
	CHECK(memcmp(order, again, sizeof(order)) == 0);
	bench_arrange(&p, again, 6, 2);
	CHECK(memcmp(order, again, sizeof(order)) != 0);
}

static void shares_add_up(void)
{
	struct bench_plan p;

	bench_plan_init(&p);
	for (p.pages = 1; p.pages < 40; p.pages++)
		for (p.rounds = 1; p.rounds <= p.pages; p.rounds++) {
			uint64_t sum = 0;

			for (unsigned i = 0; i < p.rounds; i++) {
				SAME(bench_share_start(&p, i), sum);
				CHECK(bench_share(&p, i) > 0);
				sum += bench_share(&p, i);
			}
			SAME(sum, p.pages);
		}
}

/* ---- figures ------------------------------------------------------------- */

static void percentiles_are_ranks(void)
{
	uint64_t v[1000];

	for (unsigned i = 0; i < 1000; i++)
		v[i] = i + 1;
	SAME(bench_percentile(v, 1000, 0.5), 500);
	SAME(bench_percentile(v, 1000, 0.9), 900);
	SAME(bench_percentile(v, 1000, 0.99), 990);
	SAME(bench_percentile(v, 1000, 0.999), 999);
	SAME(bench_percentile(v, 1000, 0), 1);
	SAME(bench_percentile(v, 1000, 1), 1000);
	SAME(bench_percentile(v, 1, 0.999), 1);
	SAME(bench_percentile(v, 3, 0.5), 2);
}

/* two modes, three rounds of two pages; one round of classic was disturbed */
static void figures_are_medians(void)
{
	uint64_t classic[] = { 100, 200, 9000, 9000, 110, 190 };
	uint64_t kernel[] = { 10, 20, 30, 30, 10, 30 };
	struct bench_spent spent[] = { { 1000, 600, 4 }, { 4000, 800, 6 },
				       { 2000, 400, 2 } };
	struct bench_row rows[] = {
		{ .mode = &bench_classic, .ns = classic, .spent = spent },
		{ .mode = &bench_kernel, .ns = kernel, .spent = spent },
	};
	struct bench_plan p = { .modes = { &bench_classic, &bench_kernel },
				.nr_modes = 2, .pages = 6, .rounds = 3 };
	struct bench_figure *f;

	if (!CHECK(bench_figures_new(&p, rows, &f) == 0))
		return;
	SAME(f[0].mean_ns, 150);
	SAME(f[0].mean_all_ns, 3100);
	SAME(f[0].min_ns, 100);
	SAME(f[0].p50_ns, 190);
	SAME(f[0].max_ns, 9000);
	SAME(f[0].pages_per_s, 1000000);
	SAME(f[0].cpu_ns_per_fault, 300);
	SAME(f[0].switches_per_fault, 2);
	SAME(f[1].mean_ns, 20);
	CHECK(f[1].vs_classic == 7.5);
	CHECK(f[0].vs_kernel == 7.5);
	CHECK(f[0].vs_classic == 1 && f[1].vs_kernel == 1);
	SAME(classic[2], 9000);		/* the row itself is left as it is */
	bench_figures_free(&p, f);
}

static void ratios_need_their_row(void)
{
	uint64_t ns[] = { 5 };
	struct bench_spent spent = { 1000, 600, 4 };
	struct bench_row row = { .mode = &bench_thread, .ns = ns,
				 .spent = &spent };
	struct bench_plan p = { .modes = { &bench_thread }, .nr_modes = 1,
				.pages = 1, .rounds = 1 };
	struct bench_figure *f;

	if (!CHECK(bench_figures_new(&p, &row, &f) == 0))
		return;
	CHECK(f->vs_classic == 0 && f->vs_kernel == 0);
	bench_figures_free(&p, f);
}

int main(void)
{
	static const struct promise promises[] = {
		{ "every order touches each page once",
		  orders_are_permutations },
		{ "orders are what they say", orders_are_what_they_say },
		{ "the rounds' shares add up to all pages", shares_add_up },
		{ "percentiles are ranks", percentiles_are_ranks },
		{ "means, rates and ratios are medians of the rounds",
		  figures_are_medians },
		{ "no ratio without the row to compare with",
		  ratios_need_their_row },
	};

	return keep_all(promises, NR(promises));
}
