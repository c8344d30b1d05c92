/* SPDX-License-Identifier: MIT */
/*
 * Looking at a place, with complaints counted in the test that looks.
 */
#ifndef TESTS_TRACK_LOOK_H
#define TESTS_TRACK_LOOK_H

#include "../seam/promise.h"
#include "place.h"

/* a range of the answer, as bits */
static inline uint64_t bits(const struct place *p, const struct uffd_written *w)
{
	const uint64_t m = (uintptr_t)p->m;
	uint64_t found = 0;

	CHECK(w->start >= m && w->start + w->len <= m + p->len);
	CHECK(w->len && (w->start - m) % p->page == 0 && w->len % p->page == 0);
	for (uint64_t a = w->start; a < w->start + w->len; a += p->page)
		found |= P((a - m) / p->page);
	return found;
}

/* Look, with an array of cap ranges, and give the pages of p that were found
 * as bits. Complains about ranges not sorted, or given twice. */
static inline uint64_t look_by(struct uffd_track *t, const struct place *p,
			       unsigned cap)
{
	struct uffd_written w[PAGES];
	uint64_t found = 0, last = 0;
	unsigned nr;
	int ret;

	do {
		ret = uffd_track_collect(t, w, cap, &nr);
		CHECK(nr <= cap);
		for (unsigned i = 0; i < nr; i++) {
			CHECK(w[i].start > last); /* nor merged: equal */
			CHECK(!(found & bits(p, &w[i])));
			found |= bits(p, &w[i]);
			last = w[i].start + w[i].len;
		}
	} while (ret == 1);
	SAME(ret, 0);
	return found;
}

static inline uint64_t look(struct uffd_track *t, const struct place *p)
{
	return look_by(t, p, PAGES);
}

/* A running tracker over it, or NULL and a complaint. */
static inline struct uffd_track *track(const struct place *p,
				       enum uffd_track_method method)
{
	const struct uffd_track_opts opts = {
		.sz = sizeof(opts),
		.method = method,
	};
	struct uffd_track *t;

	if (!SAME(uffd_track_new(&opts, &t), 0))
		return NULL;
	SAME(uffd_track_add(t, (uintptr_t)p->m, p->len), 0);
	SAME(uffd_track_start(t), 0);
	return t;
}

/* For programs that try both methods: false, after saying that they can't. */
static inline bool have_async(void)
{
	if (first_method() == LIBUFFD_TRACK_ASYNC)
		return true;
	puts("1..0 # SKIP no WP_ASYNC");
	return false;
}

#endif
