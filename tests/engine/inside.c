/* SPDX-License-Identifier: MIT */
/*
 * The parts of the engines that decide: runs, and what is suggested ahead.
 */
#include <stdlib.h>
#include <string.h>

#include "../../lib/engine/engine.h"
#include "../seam/promise.h"

#define PAGE 4096u

/* ---- runs ------------------------------------------------------------------------ */

static struct one fault_at(struct range *r, unsigned page, unsigned order)
{
	return (struct one){
		.r = r,
		.page = page * UINT64_C(4096),
		.kind = LIBUFFD_FAULT_MISSING,
		.order = order,
		.tid = 100 + order,
	};
}

static void runs(void)
{
	struct range a = { .page_size = PAGE }, b = { .page_size = PAGE };
	struct one v[] = {
		fault_at(&a, 7, 0), fault_at(&a, 3, 1), fault_at(&a, 5, 2),
		fault_at(&a, 4, 3), fault_at(&b, 6, 4), fault_at(&a, 3, 5),
		fault_at(&a, 8, 6),
	};
	struct uffd_fault f;

	v[3].write = true;
	ones_sort(v, NR(v));
	SAME(ones_run(v, NR(v), &f), 4);	/* 3, 3, 4, 5 */
	SAME(f.start, 3 * PAGE);
	SAME(f.len, 3 * PAGE);
	SAME(f.nr, 4);
	SAME(f.tid, 101);
	CHECK(f.write);
	SAME(ones_run(v + 4, NR(v) - 4, &f), 1);	/* another range */
	SAME(f.start, 6 * PAGE);
	CHECK(!f.write);
	SAME(ones_run(v + 5, NR(v) - 5, &f), 2);
	SAME(f.start, 7 * PAGE);
	SAME(f.tid, 100);
}

static void kinds_apart(void)
{
	struct range a = { .page_size = PAGE };
	struct one v[] = {
		fault_at(&a, 3, 0), fault_at(&a, 4, 1), fault_at(&a, 3, 2),
	};
	struct uffd_fault f;

	v[0].kind = LIBUFFD_FAULT_WP;
	ones_sort(v, NR(v));
	SAME(ones_run(v, NR(v), &f), 1);
	SAME(f.kind, LIBUFFD_FAULT_MISSING);
	SAME(ones_run(v + 1, NR(v) - 1, &f), 1);
	SAME(f.kind, LIBUFFD_FAULT_WP);
	SAME(ones_run(v + 2, NR(v) - 2, &f), 1);
	SAME(f.start, 4 * PAGE);
}

/* Against the plain way: mark the pages, look for neighbours. */
static void runs_like_the_plain_way(void)
{
	struct range r = { .page_size = PAGE };
	unsigned wrong = 0;

	srand(1);
	for (unsigned round = 0; round < 2000; round++) {
		unsigned nr = 1 + (unsigned)rand() % NR_MSGS, i = 0;
		unsigned seen[128] = { 0 };
		struct one v[NR_MSGS];

		for (unsigned k = 0; k < nr; k++) {
			v[k] = fault_at(&r, (unsigned)rand() % 100, k);
			seen[v[k].page / PAGE]++;
		}
		ones_sort(v, nr);
		for (unsigned page = 0; page < 100;) {
			struct uffd_fault f = { 0 };
			unsigned n = 0, len = 0;

			if (!seen[page]) {
				page++;
				continue;
			}
			for (; seen[page + len]; len++)
				n += seen[page + len];
			wrong += ones_run(v + i, nr - i, &f) != n ||
				 f.start != page * UINT64_C(4096) ||
				 f.len != len * UINT64_C(4096) || f.nr != n;
			i += n;
			page += len;
		}
		wrong += i != nr;
	}
	SAME(wrong, 0);
}

/* ---- ahead ------------------------------------------------------------------------- */

#define NR_PAGES 4096u
#define MOST 64u

/* a reader that goes along `next`; returns faults, and pages in *pages */
static unsigned walk(unsigned (*next)(unsigned i), unsigned steps,
		     unsigned *pages)
{
	static struct stream streams[NR_STREAMS];
	static bool here[NR_PAGES];
	struct range r = {
		.start = UINT64_C(1) << 30,
		.len = NR_PAGES * PAGE,
		.page_size = PAGE,
		.ahead_max = MOST * PAGE,
	};
	unsigned faults = 0;

	memset(streams, 0, sizeof(streams));
	memset(here, 0, sizeof(here));
	*pages = 0;
	for (unsigned i = 0; i < steps; i++) {
		unsigned page = next(i);
		struct uffd_fault f = {
			.start = r.start + page * UINT64_C(4096),
			.len = PAGE,
		};

		if (here[page])
			continue;
		faults++;
		ahead_suggest(streams, 77, &r, &f);
		CHECK(f.ahead_start >= r.start &&
		      f.ahead_start + f.ahead_len <= r.start + r.len);
		CHECK(f.ahead_start <= f.start &&
		      f.ahead_start + f.ahead_len >= f.start + f.len);
		CHECK(f.ahead_len <= MOST * PAGE && f.ahead_len % PAGE == 0);
		for (uint64_t at = f.ahead_start;
		     at < f.ahead_start + f.ahead_len; at += PAGE) {
			*pages += !here[(at - r.start) / PAGE];
			here[(at - r.start) / PAGE] = true;
		}
	}
	return faults;
}

static unsigned forward(unsigned i)
{
	return i;
}

static unsigned backward(unsigned i)
{
	return NR_PAGES - 1 - i;
}

static unsigned strided(unsigned i)
{
	return 3 * i;
}

static unsigned at_random(unsigned i)
{
	return i * 2654435761u % NR_PAGES;
}

static unsigned far_apart(unsigned i)
{
	return i * 64 % NR_PAGES;
}

static void streams(void)
{
	unsigned pages;

	CHECK(walk(forward, NR_PAGES, &pages) <= NR_PAGES / MOST + 8);
	SAME(pages, NR_PAGES);
	CHECK(walk(backward, NR_PAGES, &pages) <= NR_PAGES / MOST + 8);
	SAME(pages, NR_PAGES);
	/* every third page, the two between come as well */
	CHECK(walk(strided, NR_PAGES / 3, &pages) <= NR_PAGES / MOST + 16);
}

/* below one page in twenty is brought in vain */
static void no_stream(void)
{
	unsigned pages, faults;

	faults = walk(at_random, NR_PAGES / 4, &pages);
	CHECK(faults >= NR_PAGES / 4 * 95 / 100);
	CHECK(pages <= NR_PAGES / 4 * 105 / 100);
	faults = walk(far_apart, 60, &pages);
	SAME(faults, 60);
	SAME(pages, 60);
}

static void no_ahead(void)
{
	struct stream s[NR_STREAMS] = { 0 };
	struct range r = { .len = 1 << 20, .page_size = PAGE };

	for (unsigned i = 0; i < 10; i++) {
		struct uffd_fault f = { .start = i * PAGE, .len = PAGE };

		ahead_suggest(s, 1, &r, &f);
		SAME(f.ahead_start, f.start);
		SAME(f.ahead_len, f.len);
	}
}

static const struct promise promises[] = {
	{ "faults become runs of neighbours", runs },
	{ "kinds stay apart", kinds_apart },
	{ "runs are what the plain way finds", runs_like_the_plain_way },
	{ "forward, backward and strided readers are seen", streams },
	{ "random and wide-spread access is left alone", no_stream },
	{ "nothing is suggested where nothing is wanted", no_ahead },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
