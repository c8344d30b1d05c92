/* SPDX-License-Identifier: MIT */
/*
 * Rounds, and in each of them every mode, each beginning one further on:
 *
 *	round 0:  classic thread  sigbus  kernel  sigsegv
 *	round 1:  thread  sigbus  kernel  sigsegv classic
 *	...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

/* ---- rows ---------------------------------------------------------------- */

int bench_rows_new(const struct bench_plan *p, struct bench_row **ret)
{
	struct bench_row *rows = calloc(p->nr_modes, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (unsigned i = 0; i < p->nr_modes; i++) {
		rows[i].mode = p->modes[i];
		rows[i].ns = malloc(p->pages * sizeof(*rows[i].ns));
		rows[i].spent = calloc(p->rounds, sizeof(*rows[i].spent));
		if (!rows[i].ns || !rows[i].spent) {
			bench_rows_free(p, rows);
			return -ENOMEM;
		}
		/* resident before the measuring begins */
		memset(rows[i].ns, 0xff, p->pages * sizeof(*rows[i].ns));
	}
	*ret = rows;
	return 0;
}

void bench_rows_free(const struct bench_plan *p, struct bench_row *rows)
{
	for (unsigned i = 0; rows && i < p->nr_modes; i++) {
		free(rows[i].ns);
		free(rows[i].spent);
	}
	free(rows);
}

/* ---- one round of one mode ----------------------------------------------- */

static int build(struct bench_scene *s, const struct bench_mode *m,
		 uint64_t pages, const char **what)
{
	const struct bench_plan *p = s->plan;
	unsigned most = p->batch > p->threads ? p->batch : p->threads;
	int err;

	*what = "mapping memory";
	err = bench_area_open(&s->area, p->memory, pages, p->page_size);
	if (err)
		return err;
	*what = "filling memory";
	err = bench_area_fill(&s->area, p->fault, s->key);
	if (!err) {
		*what = "mapping pages to copy from";
		err = bench_sources_open(&s->sources, m->resolvers(p), most,
					 p->page_size);
	}
	if (!err)
		err = m->begin(s, what);
	if (err) {
		bench_sources_close(&s->sources);
		bench_area_close(&s->area);
	}
	return err;
}

static int explain(const struct bench_scene *s, const struct bench_mode *m,
		   int err, const char *what, char *why)
{
	const struct bench_trouble *t = &s->trouble;

	if (err == -EILSEQ)
		snprintf(why, BENCH_WHY_LEN,
			 "mode %s: page %lu holds 0x%lx, not 0x%lx", m->name,
			 t->page, t->got, t->want);
	else
		snprintf(why, BENCH_WHY_LEN, "mode %s: %s: %s", m->name,
			 err == atomic_load(&t->error) ? t->what : what,
			 strerror(-err));
	return err;
}

static int step(const struct bench_plan *p, struct bench_row *row,
		unsigned round, uint32_t *order, char *why)
{
	struct bench_scene s = {
		.plan = p,
		.key = bench_mark(p->seed, round),
		.stats = &row->stats,
	};
	const char *what = "touching pages";
	int err;

	err = build(&s, row->mode, bench_share(p, round), &what);
	if (err)
		return explain(&s, row->mode, err, what, why);
	what = "starting threads";
	err = bench_touch(&s, order, row->ns + bench_share_start(p, round),
			  &row->spent[round]);
	row->mode->end(&s);
	if (!err)
		err = atomic_load(&s.trouble.error);
	bench_sources_close(&s.sources);
	bench_area_close(&s.area);
	return err ? explain(&s, row->mode, err, what, why) : 0;
}

int bench_measure(const struct bench_plan *p, struct bench_row *rows,
	      bench_progress *progress, void *user, char why[BENCH_WHY_LEN])
{
	uint64_t most = bench_share(p, p->rounds - 1) + 1;
	uint32_t *order = malloc(most * sizeof(*order));
	unsigned total = p->rounds * p->nr_modes;
	int err = 0;

	if (!order) {
		snprintf(why, BENCH_WHY_LEN, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (unsigned i = 0; i < total && !err; i++) {
		unsigned round = i / p->nr_modes;
		unsigned turn = (i + round) % p->nr_modes;

		err = step(p, &rows[turn], round, order, why);
		if (!err && progress)
			progress(user, i + 1, total);
	}
	free(order);
	return err;
}
