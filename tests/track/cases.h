/* SPDX-License-Identifier: MIT */
/*
 * Promises kept for each method and each kind of memory.
 */
#ifndef TESTS_TRACK_CASES_H
#define TESTS_TRACK_CASES_H

#include "look.h"

struct ctx {
	struct place p;
	enum uffd_track_method method;
	struct uffd_track *t;	/* running over all of p, not touched before */
	const char *skip;	/* set by a case that can't be tried here */
};

struct many {
	const char *text;
	void (*keep)(struct ctx *c);
};

static inline void keep_one(const struct many *m, struct ctx *c)
{
	c->t = track(&c->p, c->method);
	if (c->t)
		m->keep(c);
	uffd_track_free(c->t);
	place_close(&c->p);
}

/* one line of TAP; true: it was kept or skipped */
static inline bool keep_case(unsigned number, const struct many *m,
			     enum uffd_track_method method, enum kind kind,
			     unsigned nr_pages)
{
	struct ctx c = { .method = method };

	broken = 0;
	if (!place_open_nr(&c.p, kind, is_huge(kind) ? PAGES : nr_pages))
		c.skip = c.p.why;
	else
		keep_one(m, &c);
	printf("%sok %u - %s, %s: %s%s%s\n", broken ? "not " : "", number,
	       method_name(method), kind_name(kind), m->text,
	       c.skip ? " # SKIP " : "", c.skip ? c.skip : "");
	return broken == 0;
}

/* Regular files come last, and need ASYNC. */
static inline unsigned nr_kinds(enum uffd_track_method method)
{
	return method == LIBUFFD_TRACK_ASYNC ? NR_KINDS : DISK;
}

/* nr_pages: of the place, but PAGES where they are huge */
static inline int keep_many_of(const struct many *many, unsigned nr,
			       unsigned nr_pages)
{
	unsigned number = 0, nr_broken = 0, nr_cases = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned method = first_method(); method <= LIBUFFD_TRACK_SYNC;
	     method++)
		nr_cases += nr * nr_kinds(method);
	printf("1..%u\n", nr_cases);
	huge_begin();
	for (unsigned i = 0; i < nr; i++)
		for (unsigned method = first_method();
		     method <= LIBUFFD_TRACK_SYNC; method++)
			for (unsigned kind = 0; kind < nr_kinds(method);
			     kind++)
				nr_broken += !keep_case(++number, &many[i],
							method, kind, nr_pages);
	huge_end();
	return nr_broken > 0;
}

static inline int keep_many(const struct many *many, unsigned nr)
{
	return keep_many_of(many, nr, PAGES);
}

#endif
