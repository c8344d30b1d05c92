/* SPDX-License-Identifier: MIT */
/*
 * The cells of the table, the rounds over them, and their medians.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops-busy.h"
#include "ops-list.h"

#define MIB (UINT64_C(1) << 20)
/* Pages of one sample, where calls are shorter: enough of them to make one
 * look at the clock small. Huge ones take long to clear. */
#define SMALL_PAGES 512u
#define HUGE_PAGES 8u
#define THP_PAGES 2048u
/* small pages in a transparent huge page */
#define THP_WHOLE 512u
/* No sample works on more; and beyond HEAVY not every round takes one. */
#define MOST_BYTES (256 * MIB)
#define HEAVY (32 * MIB)
#define MIN_ROUNDS 3u
/* Nor on more calls, so that it is over before others want the processor. */
#define MOST_CALLS 64u
/* A sample that lost a race inside the kernel, or that was disturbed, is taken
 * anew so often. */
#define RACE_TRIES 5
#define DISTURBED_TRIES 8
/* Disturbed is one whose threads were without a processor for more than this
 * part of its time, and for more than looking at all these clocks takes. */
#define LOST_PART 0.05
#define LOST_NS 2000

struct sample {
	double ns;
	bool disturbed;
};

struct cell {
	struct ops_row row;
	unsigned calls;
	unsigned every;		/* takes part in every nth round */
	unsigned nr;		/* of samples */
	struct sample *samples;
};

struct run {
	const struct ops_plan *plan;
	struct ops_report *report;
	struct cell *cells;
	unsigned nr_cells;
	struct sample *samples;
	struct ops_crew *crew;
	unsigned done, total;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned nr)
{
	qsort(values, nr, sizeof(values[0]), compare);
	return nr % 2 ? values[nr / 2] :
			(values[nr / 2 - 1] + values[nr / 2]) / 2;
}

/* What one of two looks at the clock adds to a time: the median of looks by
 * the hundred, since it ticks in steps. */
static double clock_cost(void)
{
	double costs[101];

	for (unsigned i = 0; i < 101; i++) {
		double begin = now_ns(), end = 0;

		for (unsigned look = 0; look < 100; look++)
			end = now_ns();
		costs[i] = (end - begin) / 100;
	}
	return median(costs, 101);
}

/* ---- one sample ---- */

static int pass(struct run *run, const struct ops_operation *op,
		struct ops_arena *a, struct sample *ret)
{
	double ran, begin, took;
	int err;

	a->pass++;
	err = op->prepare(a);
	ran = ops_crew_time(run->crew);
	begin = now_ns();
	for (unsigned i = 0; i < a->shape.calls && err == 0; i++)
		err = op->call(a, i);
	took = now_ns() - begin;
	ran = ops_crew_time(run->crew) - ran;
	ret->ns = (took - run->report->clock_ns) / a->nr;
	ret->disturbed = took - ran > LOST_NS + LOST_PART * took;
	return err;
}

static int sample_once(struct run *run, const struct cell *cell,
		       struct sample *ret)
{
	const struct ops_operation *op = ops_operation(cell->row.op);
	const struct ops_shape shape = {
		.memory = cell->row.memory,
		.features = op->features,
		.modes = op->modes,
		.per_call = cell->row.pages_per_call,
		.calls = cell->calls,
		.scattered = op->scattered,
	};
	struct ops_arena a;
	int err = ops_arena_open(&a, &shape);

	if (err < 0)
		return err;
	/* the first pass only prepares the ground */
	err = pass(run, op, &a, ret);
	if (err == 0)
		err = pass(run, op, &a, ret);
	if (err == 0)
		err = op->verify(&a);
	ops_arena_close(&a);
	return err;
}

/* The pool of huge pages may be used up by others meanwhile, which COPY tells
 * by EEXIST: then there is no sample this time. */
static bool pool_is_empty(const struct cell *cell, int err)
{
	if (cell->row.memory == OPS_HUGETLB_2M && err == -EEXIST)
		return true;
	return cell->row.memory >= OPS_HUGETLB_2M && err == -ENOMEM;
}

/*
 * A busy thread that waits for its processor is none, and if the one that
 * measures waits, the time is not the operation's.
 */
static bool try_again(int err, const struct sample *s, int tried)
{
	if (err == -EAGAIN)
		return tried < RACE_TRIES;
	return err == 0 && s->disturbed && tried < DISTURBED_TRIES;
}

/* let those have the processor who want it, and hope for a while of peace */
static void step_back(void)
{
	const struct timespec t = { .tv_nsec = 1000000 };

	nanosleep(&t, NULL);
}

static int sample(struct run *run, struct cell *cell)
{
	struct sample s = { 0 };
	int err, tried = 0;

	while (err = sample_once(run, cell, &s), try_again(err, &s, ++tried))
		step_back();
	if (pool_is_empty(cell, err))
		return 0;
	if (err < 0)
		return err;
	s.ns = s.ns > 0 ? s.ns : 0;
	cell->samples[cell->nr++] = s;
	return 0;
}

/* ---- the cells ---- */

static unsigned sample_pages(enum ops_memory memory)
{
	switch (memory) {
	case OPS_HUGETLB_2M:
		return HUGE_PAGES;
	case OPS_THP:
		return THP_PAGES;
	default:
		return SMALL_PAGES;
	}
}

/* how many calls of this length a sample makes; 0 and the reason if none */
static unsigned calls_of(struct ops_skip *skip, unsigned pages)
{
	const enum ops_memory memory = skip->memory;
	unsigned calls = sample_pages(memory) / pages;
	unsigned room;

	if (calls == 0)
		calls = 1;
	if (calls > MOST_CALLS)
		calls = MOST_CALLS;
	if (memory == OPS_THP && pages % THP_WHOLE) {
		snprintf(skip->why, sizeof(skip->why), "a part of a huge page "
			 "would split it; 512 pages are a whole one");
		return 0;
	}
	if (pages * ops_page_size(memory) > MOST_BYTES) {
		snprintf(skip->why, sizeof(skip->why), "%u pages a call would "
			 "take more than 256 MiB", pages);
		return 0;
	}
	if (memory != OPS_HUGETLB_2M)
		return calls;
	room = ops_free_huge_pages();
	if (room < pages)
		snprintf(skip->why, sizeof(skip->why), "%u pages a call want "
			 "%u free huge pages; there are %u", pages, pages,
			 room);
	return calls < room / pages ? calls : room / pages;
}

static unsigned every(const struct ops_plan *plan, enum ops_memory memory,
		      unsigned pages)
{
	unsigned most = plan->rounds / MIN_ROUNDS;
	uint64_t n = pages * ops_page_size(memory) / HEAVY;

	if (n > most)
		n = most;
	return n ? (unsigned)n : 1;
}

/* once for each reason */
static void skip_it(struct run *run, const struct ops_skip *skip)
{
	struct ops_report *report = run->report;

	for (unsigned i = 0; i < report->nr_skips; i++)
		if (report->skips[i].op == skip->op &&
		    report->skips[i].memory == skip->memory &&
		    strcmp(report->skips[i].why, skip->why) == 0)
			return;
	report->skips[report->nr_skips++] = *skip;
}

static void add_cells(struct run *run, struct ops_skip *skip, unsigned pages)
{
	const struct ops_plan *plan = run->plan;
	const unsigned calls = calls_of(skip, pages);

	if (!calls)
		skip_it(run, skip);
	for (unsigned i = 0; calls && i < plan->nr_busy; i++) {
		struct cell *cell = &run->cells[run->nr_cells];

		*cell = (struct cell){
			.row = {
				.op = skip->op,
				.memory = skip->memory,
				.pages_per_call = pages,
				.busy = plan->busy[i],
			},
			.calls = calls,
			.every = every(plan, skip->memory, pages),
			.samples = run->samples +
				   (size_t)run->nr_cells * plan->rounds,
		};
		run->nr_cells++;
	}
}

static void add_operation(struct run *run, unsigned op, unsigned memory)
{
	struct ops_skip skip = { .op = op, .memory = memory };

	if (!(run->plan->ops & 1u << op) ||
	    !(run->plan->memories & 1u << memory))
		return;
	if (!ops_can(&skip)) {
		skip_it(run, &skip);
		return;
	}
	for (unsigned i = 0; i < run->plan->nr_pages; i++)
		add_cells(run, &skip, run->plan->pages[i]);
}

static int add_all(struct run *run)
{
	const struct ops_plan *plan = run->plan;
	const size_t most = (size_t)OPS_NR_OP * OPS_NR_MEMORY *
			    plan->nr_pages * plan->nr_busy;

	run->cells = calloc(most, sizeof(run->cells[0]));
	run->samples = calloc(most * plan->rounds, sizeof(run->samples[0]));
	run->report->rows = calloc(most, sizeof(run->report->rows[0]));
	/* a cell has a row in the end, or a reason why not */
	run->report->skips = calloc(most, sizeof(run->report->skips[0]));
	if (!run->cells || !run->samples || !run->report->rows ||
	    !run->report->skips)
		return -ENOMEM;
	for (unsigned op = 0; op < OPS_NR_OP; op++)
		for (unsigned memory = 0; memory < OPS_NR_MEMORY; memory++)
			add_operation(run, op, memory);
	return 0;
}

/* ---- the rounds ---- */

static int fail(struct run *run, const struct ops_row *row, int err)
{
	snprintf(run->report->error, sizeof(run->report->error),
		 "%s on %s memory, %u pages a call: %s",
		 ops_op_name(row->op), ops_memory_name(row->memory),
		 row->pages_per_call, err == -EBADMSG ?
		 "a page is not what it should be" : strerror(-err));
	return err;
}

static int round_of(struct run *run, unsigned round, unsigned busy)
{
	for (unsigned i = 0; i < run->nr_cells; i++) {
		struct cell *cell = &run->cells[i];
		int err = 0;

		if (cell->row.busy != busy)
			continue;
		if (round % cell->every == 0)
			err = sample(run, cell);
		if (err < 0)
			return fail(run, &cell->row, err);
		run->done++;
		if (run->plan->progress)
			run->plan->progress(run->plan->progress_arg, run->done,
					    run->total);
	}
	return 0;
}

static int all_rounds(struct run *run)
{
	const struct ops_plan *plan = run->plan;
	int err = 0;

	run->total = run->nr_cells * plan->rounds;
	for (unsigned round = 0; round < plan->rounds && err == 0; round++)
		for (unsigned i = 0; i < plan->nr_busy && err == 0; i++) {
			ops_crew_run(run->crew, plan->busy[i]);
			err = round_of(run, round, plan->busy[i]);
		}
	return err;
}

/*
 * The median of the samples that nobody disturbed; of all, where there is no
 * such one.
 */
static double figure(struct run *run, const struct cell *cell)
{
	double values[OPS_MOST_ROUNDS];
	unsigned nr = 0;

	for (unsigned i = 0; i < cell->nr; i++)
		if (!cell->samples[i].disturbed)
			values[nr++] = cell->samples[i].ns;
	if (nr)
		return median(values, nr);
	run->report->nr_disturbed++;
	for (unsigned i = 0; i < cell->nr; i++)
		values[nr++] = cell->samples[i].ns;
	return median(values, nr);
}

static void add_row(struct run *run, struct cell *cell)
{
	struct ops_skip skip = {
		.op = cell->row.op,
		.memory = cell->row.memory,
	};

	if (cell->nr) {
		cell->row.ns_per_page = figure(run, cell);
		run->report->rows[run->report->nr_rows++] = cell->row;
		return;
	}
	snprintf(skip.why, sizeof(skip.why), "%u pages a call: huge pages were "
		 "not to be had", cell->row.pages_per_call);
	skip_it(run, &skip);
}

static unsigned most_busy(const struct ops_plan *plan)
{
	unsigned most = 0;

	for (unsigned i = 0; i < plan->nr_busy; i++)
		if (plan->busy[i] > most)
			most = plan->busy[i];
	return most;
}

int ops_run(const struct ops_plan *plan, struct ops_report *ret)
{
	struct run run = { .plan = plan, .report = ret };
	int err;

	*ret = (struct ops_report){ 0 };
	err = add_all(&run);
	if (err == 0)
		err = ops_crew_new(most_busy(plan), &run.crew);
	if (err == 0) {
		ret->clock_ns = clock_cost();
		err = all_rounds(&run);
	}
	for (unsigned i = 0; err == 0 && i < run.nr_cells; i++)
		add_row(&run, &run.cells[i]);
	if (err < 0 && !ret->error[0])
		snprintf(ret->error, sizeof(ret->error),
			 "the run can't be set up: %s", strerror(-err));
	ops_crew_free(run.crew);
	free(run.cells);
	free(run.samples);
	return err;
}

void ops_report_free(struct ops_report *report)
{
	free(report->rows);
	free(report->skips);
	*report = (struct ops_report){ 0 };
}

double ops_find(const struct ops_report *report, enum ops_op op,
		enum ops_memory memory, unsigned pages_per_call, unsigned busy)
{
	for (unsigned i = 0; i < report->nr_rows; i++) {
		const struct ops_row *row = &report->rows[i];

		if (row->op == op && row->memory == memory &&
		    row->pages_per_call == pages_per_call && row->busy == busy)
			return row->ns_per_page;
	}
	return 0;
}
