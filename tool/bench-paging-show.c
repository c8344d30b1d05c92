/* SPDX-License-Identifier: MIT */
/*
 * What a person reads: a block of rows for each case.
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "bench-paging.h"
#include "wrap.h"

static void show_size(uint64_t bytes)
{
	if (bytes >= 1u << 30 && bytes % (1u << 30) == 0)
		printf("%lu GiB", bytes >> 30);
	else
		printf("%lu MiB", bytes >> 20);
}

static void show_head(const struct paging_plan *plan)
{
	struct utsname uts;

	uname(&uts);
	printf("%s, Linux %s\n", uts.nodename, uts.release);
	show_size(plan->size);
	printf(" in pages of 4 KiB, %u %% of it resident; %u round%s, "
	       "interleaved; medians\n", plan->budget_pct, plan->rounds,
	       plan->rounds > 1 ? "s" : "");
}

/* ---- a block ----------------------------------------------------------- */

/* three digits that mean something */
static void micro(int width, double ns)
{
	const double us = ns / 1000;

	if (us <= 0)
		printf("%*s", width, "-");
	else if (us >= 99999.5)
		printf("%*.1fs", width - 1, us / 1e6);
	else
		printf("%*.*f", width, us < 9.995 ? 2 : us < 99.95 ? 1 : 0, us);
}

static void ratio(int width, double x)
{
	if (x > 0)
		printf("%*.*f", width, x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x);
	else
		printf("%*s", width, "-");
}

static void show_names(const struct paging_case *at)
{
	printf("\n%s, %s, %u thread%s\n", paging_pattern_name(at->pattern),
	       at->op == PAGING_WRITE ? "read-modify-write" :
	       paging_op_name(at->op), at->threads, at->threads > 1 ? "s" : "");
	printf("%-18s%8s%6s%6s%7s%7s%21s%7s\n", "", "us per", "times",
	       "times", "", "faults", "faulting access, us", "most");
	printf("%-18s%8s%6s%6s%7s%7s%7s%7s%7s%7s\n", "system", "access",
	       "zram", "mmap", "MB/s", "%", "p50", "p99", "max", "MiB");
}

static void show_name(const struct paging_row *row)
{
	char name[48];

	if (row->system == PAGING_LIBUFFD)
		snprintf(name, sizeof(name), "%s %s",
			 paging_engine_name((unsigned)row->engine),
			 row->store);
	else if (row->system == PAGING_SWAP_ZRAM)
		snprintf(name, sizeof(name), "swap %s", row->store);
	else
		snprintf(name, sizeof(name), "%s",
			 paging_system_name(row->system));
	printf("%-18s", name);
}

static void show_row(const struct paging_row *row)
{
	show_name(row);
	micro(8, row->ns_per_access);
	ratio(6, row->vs_zram);
	ratio(6, row->vs_mmap);
	printf("%7.0f", row->mb_per_s);
	printf("%7.1f", row->accesses ? 100 * (double)row->faults /
					(double)row->accesses : 0);
	micro(7, (double)row->p50_ns);
	micro(7, (double)row->p99_ns);
	micro(7, (double)row->max_ns);
	printf("%7.1f\n", (double)row->resident_max / (1 << 20));
}

static bool same_case(const struct paging_case *a, const struct paging_case *b)
{
	return a->pattern == b->pattern && a->op == b->op &&
	       a->threads == b->threads;
}

static void show_rates(const struct paging_report *report, unsigned first,
		       unsigned end)
{
	printf("\n%-18s%9s%9s%9s%9s\n", "hits, %", "its own", "LRU", "CLOCK",
	       "FIFO");
	for (unsigned i = first; i < end; i++) {
		const struct paging_row *row = &report->rows[i];

		if (row->system != PAGING_LIBUFFD)
			continue;
		show_name(row);
		printf("%9.1f%9.1f%9.1f%9.1f\n", 100 * row->rates.hits,
		       100 * row->rates.lru, 100 * row->rates.clock,
		       100 * row->rates.fifo);
	}
}

/* ---- all --------------------------------------------------------------- */

static void show_gaps(const struct paging_report *report)
{
	char line[PAGING_WHY_LEN + 80];

	if (report->nr_gaps)
		putchar('\n');
	for (unsigned i = 0; i < report->nr_gaps; i++) {
		snprintf(line, sizeof(line), "left out: %s: %s",
			 report->gaps[i].name, report->gaps[i].why);
		print_wrapped(0, 3, line);
	}
}

void paging_show_table(const struct paging_plan *plan,
		       const struct paging_report *report)
{
	unsigned first = 0;

	show_head(plan);
	for (unsigned i = 0; i < report->nr_rows; i++) {
		const struct paging_case *at = &report->rows[i].at;

		if (!same_case(at, &report->rows[first].at))
			first = i;
		if (first == i)
			show_names(at);
		show_row(&report->rows[i]);
		if (plan->hits && (i + 1 == report->nr_rows ||
				   !same_case(at, &report->rows[i + 1].at)))
			show_rates(report, first, i + 1);
	}
	show_gaps(report);
}
