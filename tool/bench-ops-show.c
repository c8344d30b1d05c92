/* SPDX-License-Identifier: MIT */
#include "bench-ops.h"

#include <stdio.h>
#include <string.h>

/* the columns that fit beside the names of a row */
#define MOST_COLUMNS 8u
#define WIDTH 80

/* ---- the table ---- */

/* in five places, whatever it is */
static void show_ns(double ns)
{
	if (ns <= 0)
		printf("%6s", "-");
	else if (ns < 9.95)
		printf("%6.1f", ns);
	else if (ns < 99999.5)
		printf("%6.0f", ns);
	else
		printf("%5.0fk", ns / 1000);
}

static void show_heading(const struct ops_plan *plan, unsigned first,
			 unsigned nr)
{
	const int width = (int)plan->nr_pages * 6;
	char text[64];

	printf("\n%-29s", "");
	for (unsigned i = first; i < first + nr; i++) {
		const unsigned busy = plan->busy[i];

		if (!busy)
			snprintf(text, sizeof(text), "nothing else running");
		else
			snprintf(text, sizeof(text), "%u other thread%s "
				 "running", busy, busy == 1 ? "" : "s");
		printf("  %-*s", i + 1 < first + nr ? width - 1 : 0, text);
	}
	printf("\n%-16s%-13s", "operation", "memory");
	for (unsigned i = 0; i < nr; i++) {
		printf("%s", i ? " " : "");
		for (unsigned n = 0; n < plan->nr_pages; n++)
			printf("%6u", plan->pages[n]);
	}
	putchar('\n');
}

static bool has_row(const struct ops_report *report, unsigned op,
		    unsigned memory)
{
	for (unsigned i = 0; i < report->nr_rows; i++)
		if (report->rows[i].op == op &&
		    report->rows[i].memory == memory)
			return true;
	return false;
}

static void show_figures(const struct ops_plan *plan,
			 const struct ops_report *report, unsigned op,
			 unsigned memory, unsigned first, unsigned nr)
{
	for (unsigned i = first; i < first + nr; i++) {
		printf("%s", i > first ? " " : "");
		for (unsigned n = 0; n < plan->nr_pages; n++)
			show_ns(ops_find(report, op, memory, plan->pages[n],
					 plan->busy[i]));
	}
	putchar('\n');
}

/* the columns of nr numbers of busy threads, from the first on */
static void show_part(const struct ops_plan *plan,
		      const struct ops_report *report, unsigned first,
		      unsigned nr)
{
	show_heading(plan, first, nr);
	for (unsigned op = 0; op < OPS_NR_OP; op++) {
		const char *name = ops_op_name(op);

		for (unsigned memory = 0; memory < OPS_NR_MEMORY; memory++) {
			if (!has_row(report, op, memory))
				continue;
			printf("%-16s%-13s", name, ops_memory_name(memory));
			show_figures(plan, report, op, memory, first, nr);
			name = "";
		}
	}
}

/* ---- what is left out ---- */

static bool same_reason(const struct ops_skip *a, const struct ops_skip *b)
{
	return a->memory == b->memory && a->never == b->never &&
	       strcmp(a->why, b->why) == 0;
}

static bool told_before(const struct ops_report *report, unsigned nth)
{
	for (unsigned i = 0; i < nth; i++)
		if (same_reason(&report->skips[i], &report->skips[nth]))
			return true;
	return false;
}

static const struct ops_skip *find_skip(const struct ops_report *report,
					unsigned op,
					const struct ops_skip *like)
{
	for (unsigned i = 0; i < report->nr_skips; i++)
		if (report->skips[i].op == op &&
		    same_reason(&report->skips[i], like))
			return &report->skips[i];
	return NULL;
}

/* Does it hold for all that is measured, or might be, on this memory? */
static bool holds_for_all(const struct ops_report *report,
			  const struct ops_skip *skip)
{
	for (unsigned i = 0; i < report->nr_skips; i++)
		if (report->skips[i].memory == skip->memory &&
		    report->skips[i].never == skip->never &&
		    !find_skip(report, report->skips[i].op, skip))
			return false;
	for (unsigned i = 0; i < report->nr_rows; i++)
		if (report->rows[i].memory == skip->memory &&
		    !find_skip(report, report->rows[i].op, skip))
			return false;
	return true;
}

static int tell_operations(FILE *to, const struct ops_report *report,
			   const struct ops_skip *skip)
{
	char mark = '(';
	int n = 0;

	for (unsigned op = 0; op < OPS_NR_OP; op++) {
		if (!find_skip(report, op, skip))
			continue;
		n += fprintf(to, "%s%c%s", n ? "" : " ", mark,
			     ops_op_name(op));
		mark = ' ';
	}
	return n + fprintf(to, ")");
}

/* One line for all operations with the same reason, or two if it is long. */
static void tell_skip(FILE *to, const char *before,
		      const struct ops_report *report,
		      const struct ops_skip *skip)
{
	int n = fprintf(to, "%sleft out: %s", before,
			ops_memory_name(skip->memory));

	if (!holds_for_all(report, skip))
		n += tell_operations(to, report, skip);
	n += fprintf(to, ":");
	if (n + 1 + (int)strlen(skip->why) > WIDTH && !*before)
		fprintf(to, "\n   ");
	fprintf(to, " %s\n", skip->why);
}

static void tell_skips(FILE *to, const char *before,
		       const struct ops_report *report, bool all)
{
	for (unsigned i = 0; i < report->nr_skips; i++)
		if ((all || !report->skips[i].never) && !told_before(report, i))
			tell_skip(to, before, report, &report->skips[i]);
}

/* ---- what it comes to ---- */

static void tell_move(const struct ops_report *report)
{
	double copy = ops_find(report, OPS_COPY, OPS_PRIVATE, 64, 0);
	double move = ops_find(report, OPS_MOVE, OPS_PRIVATE, 64, 0);

	if (copy > 0 && move > 0)
		printf("A run of 64 pages by MOVE is %.1f times cheaper than "
		       "by COPY.\n", copy / move);
}

static void tell_lift(const struct ops_report *report, unsigned busy)
{
	double drop = ops_find(report, OPS_DONTNEED, OPS_PRIVATE, 1, busy);
	double lift = ops_find(report, OPS_LIFT, OPS_PRIVATE, 64, busy);

	if (busy && drop > 0 && lift > 0)
		printf("Lifting 64 pages beside %u busy thread%s is %.0f times "
		       "cheaper than dropping each.\n", busy,
		       busy == 1 ? "" : "s", drop / lift);
}

void ops_show_table(const struct ops_plan *plan,
		    const struct ops_report *report, bool all)
{
	if (report->nr_rows) {
		printf("ns per page, by pages a call; medians of %u rounds "
		       "(the clock's %.0f ns are off)\n", plan->rounds,
		       report->clock_ns);
		if (plan->nr_pages * plan->nr_busy <= MOST_COLUMNS)
			show_part(plan, report, 0, plan->nr_busy);
		else
			for (unsigned i = 0; i < plan->nr_busy; i++)
				show_part(plan, report, i, 1);
		putchar('\n');
	}
	tell_skips(stdout, "", report, all);
	if (report->nr_disturbed)
		printf("%u figure%s disturbed: other programs kept the "
		       "processors busy.\n", report->nr_disturbed,
		       report->nr_disturbed == 1 ? " is" : "s are");
	tell_move(report);
	for (unsigned i = 0; i < plan->nr_busy; i++)
		tell_lift(report, plan->busy[i]);
}

/* ---- for programs ---- */

void ops_show_csv(const char *program, const struct ops_report *report,
		  bool all)
{
	char before[64];

	puts("op,memory,pages_per_call,busy,ns_per_page");
	for (unsigned i = 0; i < report->nr_rows; i++) {
		const struct ops_row *row = &report->rows[i];

		printf("%s,%s,%u,%u,%.1f\n", ops_op_name(row->op),
		       ops_memory_name(row->memory), row->pages_per_call,
		       row->busy, row->ns_per_page);
	}
	snprintf(before, sizeof(before), "%s: ", program);
	tell_skips(stderr, before, report, all);
}
