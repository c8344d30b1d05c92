/* SPDX-License-Identifier: MIT */
/*
 * What the turns come to. Times and rates are medians of what the rounds say,
 * counts are sums over them.
 *
 * Which accesses fault nobody tells us; but every system counts its faults, and
 * an access that faults takes longer than one that doesn't: so of all accesses,
 * as many of the slowest as there were faults.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paging-run.h"

/* ---- medians ----------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

static bool belongs(const struct paging_turn *t, const struct paging_case *at)
{
	return t->at.pattern == at->pattern && t->at.op == at->op &&
	       t->at.threads == at->threads;
}

static bool measured(const struct paging_turn *t, const struct paging_case *at)
{
	return belongs(t, at) && !t->warm_up;
}

static double wait_of(const struct paging_turn *t)
{
	return (double)t->busy_ns / (double)t->accesses;
}

static double rate_of(const struct paging_turn *t)
{
	return (double)t->accesses * PAGING_PAGE * 1e3 / (double)t->wall_ns;
}

static double median_of(const struct paging_entry *e,
			const struct paging_case *at,
			double (*of)(const struct paging_turn *))
{
	double values[PAGING_MOST_ROUNDS];
	unsigned n = 0;

	for (unsigned i = 0; i < e->nr_log; i++)
		if (measured(&e->log[i], at) && n < PAGING_MOST_ROUNDS)
			values[n++] = of(&e->log[i]);
	return n ? median(values, n) : 0;
}

/* ---- a row ------------------------------------------------------------- */

static void store_name(const struct paging_entry *e, char *ret, size_t cap)
{
	switch (e->child.who.system) {
	case PAGING_LIBUFFD:
		snprintf(ret, cap, "%s",
			 paging_store_name((unsigned)e->child.who.store));
		break;
	case PAGING_SWAP_ZRAM:
		snprintf(ret, cap, "zram-%s", e->child.zram.algorithm);
		break;
	case PAGING_CLASSIC:
		snprintf(ret, cap, "memory");
		break;
	default:
		snprintf(ret, cap, "file");
	}
}

static void add_counts(struct paging_row *row, const struct paging_entry *e)
{
	for (unsigned i = 0; i < e->nr_log; i++) {
		const struct paging_turn *t = &e->log[i];

		if (!measured(t, &row->at))
			continue;
		row->accesses += t->accesses;
		row->faults += t->counts.faults;
		row->soft_faults += t->counts.soft_faults;
		row->read_bytes += t->counts.read_bytes;
		row->written_bytes += t->counts.written_bytes;
	}
}

static void fill_row(struct paging_row *row, const struct paging_entry *e)
{
	const struct paging_latency *l = &e->latency;

	row->system = e->child.who.system;
	row->engine = e->child.who.engine;
	row->store_kind = e->child.who.store;
	store_name(e, row->store, sizeof(row->store));
	row->ns_per_access = median_of(e, &row->at, wait_of);
	row->mb_per_s = median_of(e, &row->at, rate_of);
	add_counts(row, e);
	row->resident_max = e->child.resident_max;
	row->p50_ns = paging_latency_slowest(l, row->faults, 0.5);
	row->p99_ns = paging_latency_slowest(l, row->faults, 0.99);
	row->max_ns = row->faults ? l->max : 0;
}

/* ---- hits -------------------------------------------------------------- */

static double share(uint64_t part, uint64_t all)
{
	return all ? (double)part / (double)all : 0;
}

/* One access of each thread after the other, as far as it came. */
static uint64_t replay_turn(struct paging_keeper *k,
			    const struct paging_ground *g,
			    const struct paging_turn *t)
{
	struct paging_trace traces[PAGING_MOST_THREADS];
	uint64_t hits = 0, done = 0;
	bool write;

	for (unsigned i = 0; i < t->at.threads; i++)
		paging_trace_init(&traces[i], g, &t->at, t->number, i);
	for (uint64_t n = 0; done < t->accesses; n++) {
		for (unsigned i = 0; i < t->at.threads; i++) {
			if (n >= t->done[i])
				continue;
			hits += paging_keeper_access(k,
				paging_trace_next(&traces[i], &write));
			done++;
		}
	}
	return hits;
}

static int replay(const struct paging_run *run, const struct paging_entry *e,
		  const struct paging_row *row, enum paging_policy policy,
		  double *ret)
{
	const struct paging_ground *g = &run->stage.ground;
	struct paging_keeper *k;
	uint64_t hits = 0;
	int err = paging_keeper_new(policy, g->pages, paging_budget(run->plan) /
				    PAGING_PAGE, &k);

	if (err)
		return err;
	/* what came before counts for what is there, not as hits */
	for (unsigned i = 0; i < e->nr_log; i++) {
		uint64_t n = replay_turn(k, g, &e->log[i]);

		if (measured(&e->log[i], &row->at))
			hits += n;
	}
	paging_keeper_free(k);
	*ret = share(hits, row->accesses);
	return 0;
}

static int rate(const struct paging_run *run, const struct paging_entry *e,
		struct paging_row *row)
{
	struct paging_rates *r = &row->rates;
	const uint64_t misses = row->faults - row->soft_faults;
	int err;

	r->hits = 1 - share(misses < row->accesses ? misses : row->accesses,
			    row->accesses);
	err = replay(run, e, row, PAGING_LRU, &r->lru);
	if (!err)
		err = replay(run, e, row, PAGING_CLOCK, &r->clock);
	return err ? err : replay(run, e, row, PAGING_FIFO, &r->fifo);
}

/* ---- rows -------------------------------------------------------------- */

/* One more at the end of an array. */
static void *more(void *array, unsigned *nr, size_t size)
{
	char *grown = realloc(array, (*nr + 1) * size);

	if (grown)
		memset(grown + (*nr)++ * size, 0, size);
	return grown;
}

static void compare_rows(struct paging_row *rows, unsigned nr)
{
	double zram = 0, mapped = 0;

	for (unsigned i = 0; i < nr; i++) {
		if (rows[i].system == PAGING_SWAP_ZRAM)
			zram = rows[i].ns_per_access;
		if (rows[i].system == PAGING_MMAP)
			mapped = rows[i].ns_per_access;
	}
	for (unsigned i = 0; i < nr; i++) {
		rows[i].vs_zram = zram > 0 ? rows[i].ns_per_access / zram : 0;
		rows[i].vs_mmap = mapped > 0 ?
			rows[i].ns_per_access / mapped : 0;
	}
}

static int add_row(struct paging_run *run, const struct paging_entry *e,
		   const struct paging_case *at)
{
	struct paging_report *report = run->report;
	void *rows = more(report->rows, &report->nr_rows,
			  sizeof(*report->rows));
	struct paging_row *row;

	if (!rows)
		return -ENOMEM;
	report->rows = rows;
	row = &report->rows[report->nr_rows - 1];
	row->at = *at;
	fill_row(row, e);
	return run->plan->hits && row->system == PAGING_LIBUFFD ?
	       rate(run, e, row) : 0;
}

int paging_rows_add(struct paging_run *run, const struct paging_case *at)
{
	const unsigned first = run->report->nr_rows;
	int err = 0;

	for (unsigned i = 0; !err && i < run->nr_entries; i++) {
		const struct paging_entry *e = &run->entries[i];

		if (!e->out && e->nr_log && belongs(&e->log[e->nr_log - 1], at))
			err = add_row(run, e, at);
	}
	compare_rows(run->report->rows + first, run->report->nr_rows - first);
	return err;
}

/* Of a system that lost something on its way no figure counts. */
static void drop_rows(struct paging_report *report,
		      const struct paging_contestant *who)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < report->nr_rows; i++) {
		const struct paging_row *row = &report->rows[i];

		if (row->system == who->system && row->engine == who->engine &&
		    row->store_kind == who->store)
			continue;
		report->rows[kept++] = *row;
	}
	report->nr_rows = kept;
}

int paging_gaps_add(struct paging_run *run)
{
	struct paging_report *report = run->report;

	for (unsigned i = 0; i < run->nr_entries; i++) {
		const struct paging_entry *e = &run->entries[i];
		struct paging_gap *gap;
		void *gaps;

		if (!e->out)
			continue;
		gaps = more(report->gaps, &report->nr_gaps, sizeof(*gap));
		if (!gaps)
			return -ENOMEM;
		report->gaps = gaps;
		gap = &report->gaps[report->nr_gaps - 1];
		gap->broken = e->broken;
		drop_rows(report, &e->child.who);
		memcpy(gap->name, e->name, sizeof(gap->name));
		memcpy(gap->why, e->why, sizeof(gap->why));
	}
	return 0;
}

void paging_report_free(struct paging_report *report)
{
	free(report->rows);
	free(report->gaps);
	report->rows = NULL;
	report->gaps = NULL;
}
