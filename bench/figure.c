/* SPDX-License-Identifier: MIT */
/*
 * What the latencies come to. Means, rates and ratios are medians of what the
 * rounds say, because one bad moment of the machine spoils one round and not
 * five; percentiles are taken over all latencies.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare_double);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

uint64_t bench_percentile(const uint64_t *sorted, uint64_t n, double share)
{
	double rank = share * (double)n;
	uint64_t k = (uint64_t)rank;

	if ((double)k < rank)
		k++;
	return sorted[k ? k - 1 : 0];
}

static double mean(const uint64_t *ns, uint64_t n)
{
	double sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += (double)ns[i];
	return sum / (double)n;
}

static double round_mean(const struct bench_plan *p,
			 const struct bench_row *row, unsigned round)
{
	return mean(row->ns + bench_share_start(p, round),
		    bench_share(p, round));
}

static double round_rate(const struct bench_plan *p,
			 const struct bench_row *row, unsigned round)
{
	return (double)bench_share(p, round) * 1e9 /
	       (double)row->spent[round].wall_ns;
}

static double round_cpu(const struct bench_plan *p,
			const struct bench_row *row, unsigned round)
{
	return (double)row->spent[round].cpu_ns / (double)bench_share(p, round);
}

static double round_switches(const struct bench_plan *p,
			     const struct bench_row *row, unsigned round)
{
	return (double)row->spent[round].switches /
	       (double)bench_share(p, round);
}

static double median_of(const struct bench_plan *p, const struct bench_row *row,
			double (*of)(const struct bench_plan *,
				     const struct bench_row *, unsigned))
{
	double values[BENCH_MOST_ROUNDS];

	for (unsigned i = 0; i < p->rounds; i++)
		values[i] = of(p, row, i);
	return bench_median(values, p->rounds);
}

static int figure(const struct bench_plan *p, const struct bench_row *row,
		  struct bench_figure *f)
{
	uint64_t *sorted = malloc(p->pages * sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, row->ns, p->pages * sizeof(*sorted));
	qsort(sorted, p->pages, sizeof(*sorted), compare_u64);
	*f = (struct bench_figure){
		.sorted = sorted,
		.count = p->pages,
		.mean_ns = median_of(p, row, round_mean),
		.mean_all_ns = mean(row->ns, p->pages),
		.min_ns = sorted[0],
		.p50_ns = bench_percentile(sorted, p->pages, 0.5),
		.p90_ns = bench_percentile(sorted, p->pages, 0.9),
		.p99_ns = bench_percentile(sorted, p->pages, 0.99),
		.p999_ns = bench_percentile(sorted, p->pages, 0.999),
		.max_ns = sorted[p->pages - 1],
		.pages_per_s = median_of(p, row, round_rate),
		.cpu_ns_per_fault = median_of(p, row, round_cpu),
		.switches_per_fault = median_of(p, row, round_switches),
	};
	return 0;
}

static void compare_with(const struct bench_plan *p, struct bench_figure *f)
{
	int classic = bench_row_of(p, "classic");
	int kernel = bench_row_of(p, "kernel");

	for (unsigned i = 0; i < p->nr_modes; i++) {
		if (classic >= 0)
			f[i].vs_classic = f[classic].mean_ns / f[i].mean_ns;
		if (kernel >= 0)
			f[i].vs_kernel = f[i].mean_ns / f[kernel].mean_ns;
	}
}

int bench_figures_new(const struct bench_plan *p, const struct bench_row *rows,
		      struct bench_figure **ret)
{
	struct bench_figure *f = calloc(p->nr_modes, sizeof(*f));

	if (!f)
		return -ENOMEM;
	for (unsigned i = 0; i < p->nr_modes; i++) {
		int err = figure(p, &rows[i], &f[i]);

		if (err) {
			bench_figures_free(p, f);
			return err;
		}
	}
	compare_with(p, f);
	*ret = f;
	return 0;
}

void bench_figures_free(const struct bench_plan *p,
			struct bench_figure *figures)
{
	for (unsigned i = 0; figures && i < p->nr_modes; i++)
		free(figures[i].sorted);
	free(figures);
}

int bench_row_of(const struct bench_plan *p, const char *mode)
{
	for (unsigned i = 0; i < p->nr_modes; i++)
		if (strcmp(p->modes[i]->name, mode) == 0)
			return (int)i;
	return -1;
}
