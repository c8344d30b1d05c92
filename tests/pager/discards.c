/* SPDX-License-Identifier: MIT */
/*
 * What a program does to its region by itself while pages come and go:
 * madvise, munmap, mprotect, from one thread and from several. What pages hold
 * then: anonymous memory zeros, a region over a store what the store has.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../seam/promise.h"
#include "bed.h"

struct kind {
	const char *name;
	struct bed_want want;
	bool dontneed_keeps;	/* shared memory: only MADV_REMOVE discards */
	bool free_discards;	/* MADV_FREE is for anonymous memory */
};

#define SIGBUS_ LIBUFFD_ENGINE_SIGBUS
#define THREAD_ LIBUFFD_ENGINE_THREAD

static const struct kind kinds[] = {
	{ "sigbus", { .engine = SIGBUS_ }, false, true },
	{ "sigbus, store", { .engine = SIGBUS_, .uri = LZ4 }, false, true },
	{ "sigbus, private over a store",
	  { .engine = SIGBUS_, .uri = LZ4, .flags = LIBUFFD_REGION_PRIVATE },
	  false, true },
	{ "sigbus, checked",
	  { .engine = SIGBUS_, .pins = LIBUFFD_PINS_CHECKED, .uri = MEMORY },
	  false, true },
	{ "sigbus, memory file",
	  { .engine = SIGBUS_, .uri = LZ4, .memory = LIBUFFD_MEM_MEMFD_SHARED },
	  true, false },
	{ "thread", { .engine = THREAD_ }, false, true },
	{ "thread, store", { .engine = THREAD_, .uri = LZ4 }, false, true },
	{ "thread, checked",
	  { .engine = THREAD_, .pins = LIBUFFD_PINS_CHECKED, .uri = MEMORY },
	  false, true },
	{ "thread, memory file",
	  { .engine = THREAD_, .uri = LZ4, .memory = LIBUFFD_MEM_MEMFD_SHARED },
	  true, false },
};

/* the first half of the region is the actor's, the second pushes it out */
#define MINE 256u
#define OLD 1u
#define NEW 2u

struct stage {
	struct bed b;
	const struct kind *k;
	struct pusher push;
	uint64_t dice;
};

static bool begin(struct stage *s, const struct kind *k)
{
	s->k = k;
	s->dice = 88172645463325252u + (uint64_t)(k - kinds);
	if (!CHECK(bed_open(&s->b, &k->want))) {
		printf("# %s\n", k->name);
		return false;
	}
	/* what the store has: OLD everywhere */
	bed_stamp_all(&s->b, OLD);
	SAME(uffd_sync(s->b.r, 0, s->b.pages * PAGE), 0);
	pusher_start(&s->push, &s->b, MINE, s->b.pages - MINE);
	return true;
}

static void end(struct stage *s)
{
	unsigned bad = broken;

	pusher_stop(&s->push);
	bed_close(&s->b);
	if (bad)
		printf("# %s\n", s->k->name);
}

/* What a page that held `held` may hold after it was discarded: what its store
 * has, which may be what it held, if that was written back before. */
static bool discarded_well(struct stage *s, uint64_t page, unsigned held)
{
	const void *at = bed_page(&s->b, page);
	const bool anonymous = !s->b.store;

	if (anonymous)
		return stamped(at, page, 0);
	/* a hole in a file may have been written back as what it is */
	if (s->k->dontneed_keeps && stamped(at, page, 0))
		return true;
	if (s->k->want.flags & LIBUFFD_REGION_PRIVATE)
		return stamped(at, page, 0); /* the store's own */
	return stamped(at, page, OLD) || stamped(at, page, held);
}

/* write some pages, let them be pushed about, discard, look */
static void discard_and_look(const struct kind *k, int advice)
{
	struct stage s;

	if (!begin(&s, k))
		return;
	for (unsigned n = 0; n < 30 && !broken; n++) {
		const uint64_t nr = 1 + any_page(&s.dice, 32);
		const uint64_t first = any_page(&s.dice, MINE - nr);
		uint8_t *at = bed_page(&s.b, first);

		for (uint64_t i = 0; i < nr; i++)
			stamp(bed_page(&s.b, first + i), first + i, NEW);
		if (n % 3 == 0)
			uffd_evict(s.b.r, first * PAGE, nr * PAGE / 2);
		SAME(madvise(at, nr * PAGE, advice), 0);
		for (uint64_t i = 0; i < nr; i++)
			CHECK(discarded_well(&s, first + i, NEW));
		/* as before, for the next */
		for (uint64_t i = 0; i < nr; i++)
			stamp(bed_page(&s.b, first + i), first + i, OLD);
		SAME(uffd_sync(s.b.r, first * PAGE, nr * PAGE), 0);
	}
	end(&s);
}

static void dontneed(void)
{
	for (unsigned i = 0; i < NR(kinds); i++)
		if (!kinds[i].dontneed_keeps)
			discard_and_look(&kinds[i], MADV_DONTNEED);
}

static void removed(void)
{
	for (unsigned i = 0; i < NR(kinds); i++)
		if (kinds[i].dontneed_keeps)
			discard_and_look(&kinds[i], MADV_REMOVE);
}

/* the mappings go, the file keeps its pages */
static void dontneed_keeps(void)
{
	for (unsigned i = 0; i < NR(kinds); i++) {
		struct stage s;

		if (!kinds[i].dontneed_keeps || !begin(&s, &kinds[i]))
			continue;
		for (unsigned n = 0; n < 30 && !broken; n++) {
			const uint64_t first = any_page(&s.dice, MINE - 32);
			uint8_t *at = bed_page(&s.b, first);

			for (uint64_t p = first; p < first + 32; p++)
				stamp(bed_page(&s.b, p), p, NEW + n);
			SAME(madvise(at, 32 * PAGE, MADV_DONTNEED), 0);
			nap_ms(n % 2);
			for (uint64_t p = first; p < first + 32; p++)
				CHECK(stamped(bed_page(&s.b, p), p, NEW + n));
		}
		end(&s);
	}
}

/* lazily: a page holds what it held, or what a discarded one does, all of it */
static void freed(void)
{
	for (unsigned i = 0; i < NR(kinds); i++) {
		struct stage s;

		if (!kinds[i].free_discards || !begin(&s, &kinds[i]))
			continue;
		for (unsigned n = 0; n < 30 && !broken; n++) {
			const uint64_t first = any_page(&s.dice, MINE - 32);
			uint8_t *at = bed_page(&s.b, first);

			for (uint64_t p = first; p < first + 32; p++)
				stamp(bed_page(&s.b, p), p, NEW);
			SAME(madvise(at, 32 * PAGE, MADV_FREE), 0);
			for (uint64_t p = first; p < first + 32; p++) {
				CHECK(stamped(bed_page(&s.b, p), p, NEW) ||
				      discarded_well(&s, p, NEW));
				stamp(bed_page(&s.b, p), p, OLD);
			}
			for (uint64_t p = first; p < first + 32; p++)
				CHECK(stamped(bed_page(&s.b, p), p, OLD));
			SAME(uffd_sync(s.b.r, first * PAGE, 32 * PAGE), 0);
		}
		end(&s);
	}
}

/* ---- from several threads ------------------------------------------------------- */

struct worker {
	struct stage *s;
	uint64_t first, nr;	/* its pages */
	uint64_t dice;
	unsigned bad;
	pthread_t thread;
};

/* discards its own pages at random, and knows what they hold */
static void *work(void *arg)
{
	struct worker *w = arg;
	const int advice = w->s->k->dontneed_keeps ? MADV_REMOVE :
						     MADV_DONTNEED;

	for (unsigned n = 0; n < 32 && !w->bad; n++) {
		const uint64_t page = w->first + any_page(&w->dice, w->nr);
		uint8_t *at = bed_page(&w->s->b, page);

		stamp(at, page, NEW);
		if (!stamped(at, page, NEW))
			w->bad++;
		if (n % 4 == 0) {
			madvise(at, PAGE, advice);
			if (!discarded_well(w->s, page, NEW))
				w->bad++;
		}
		if (n % 16 == 0)
			uffd_sync(w->s->b.r, page * PAGE, PAGE);
		stamp(at, page, OLD);
		if (!stamped(at, page, OLD))
			w->bad++;
		if (n % 4 == 0 && uffd_sync(w->s->b.r, page * PAGE, PAGE))
			w->bad++;
	}
	return NULL;
}

static void several(void)
{
	for (unsigned i = 0; i < NR(kinds); i++) {
		struct worker w[3];
		struct stage s;

		if (!begin(&s, &kinds[i]))
			continue;
		for (unsigned n = 0; n < 3; n++) {
			w[n] = (struct worker){ &s, n * 80, 80, n * 77 + 13 };
			pthread_create(&w[n].thread, NULL, work, &w[n]);
		}
		for (unsigned n = 0; n < 3; n++) {
			pthread_join(w[n].thread, NULL);
			SAME(w[n].bad, 0);
		}
		end(&s);
	}
}

/* ---- taking away ------------------------------------------------------------------ */

/* part of a region, and something else may come in its place */
static void unmapped(void)
{
	for (unsigned i = 0; i < NR(kinds); i++) {
		struct stage s;
		uint8_t *hole;

		if (!begin(&s, &kinds[i]))
			continue;
		for (uint64_t p = 0; p < MINE; p++)
			stamp(bed_page(&s.b, p), p, NEW);
		hole = bed_page(&s.b, 70);
		SAME(munmap(hole, 60 * PAGE), 0);
		CHECK(mmap(hole, 30 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			   0) == hole);
		memset(hole, 0x77, 30 * PAGE);
		for (unsigned n = 0; n < 20; n++) {
			for (uint64_t p = 0; p < MINE; p++)
				if (p < 70 || p >= 130)
					CHECK(stamped(bed_page(&s.b, p), p,
						      NEW + n));
			for (uint64_t p = 0; p < MINE; p++)
				if (p < 70 || p >= 130)
					stamp(bed_page(&s.b, p), p,
					      NEW + n + 1);
		}
		for (uint64_t p = 0; p < 30 * PAGE; p++)
			if (!CHECK(hole[p] == 0x77))
				break;
		end(&s);
	}
}

static bool evicted(struct stage *s, uint64_t first, uint64_t nr)
{
	int err = uffd_evict(s->b.r, first * PAGE, nr * PAGE);

	return err == 0 || (err == -EBUSY &&
			    s->k->want.pins == LIBUFFD_PINS_CHECKED);
}

/* Rights of a part are taken and given back; what it holds stays. */
static void protected(void)
{
	for (unsigned i = 0; i < NR(kinds); i++) {
		struct stage s;

		if (!begin(&s, &kinds[i]))
			continue;
		for (unsigned n = 0; n < 30 && !broken; n++) {
			const uint64_t nr = 1 + any_page(&s.dice, 60);
			const uint64_t first = any_page(&s.dice, MINE - nr);
			uint8_t *at = bed_page(&s.b, first);
			uint64_t p = any_page(&s.dice, MINE);

			SAME(mprotect(at, nr * PAGE, PROT_READ), 0);
			CHECK(stamped(bed_page(&s.b, p), p, OLD));
			for (p = first; p < first + nr; p++)
				CHECK(stamped(bed_page(&s.b, p), p, OLD));
			/* MOVE wants the same rights on both sides */
			if (n % 2)
				CHECK(evicted(&s, first, nr));
			if (n % 3)
				SAME(mprotect(at, nr * PAGE,
					      PROT_READ | PROT_WRITE), 0);
		}
		SAME(mprotect(s.b.mem, MINE * PAGE, PROT_READ | PROT_WRITE), 0);
		for (uint64_t p = 0; p < MINE; p++)
			stamp(bed_page(&s.b, p), p, NEW);
		for (uint64_t p = 0; p < MINE; p++)
			CHECK(stamped(bed_page(&s.b, p), p, NEW));
		end(&s);
	}
}

/* nothing is counted that is not there: the whole budget can still be had */
static void budget_is_whole(void)
{
	for (unsigned i = 0; i < NR(kinds); i++) {
		struct uffd_pager_stats stats;
		struct stage s;
		int advice = kinds[i].dontneed_keeps ? MADV_REMOVE :
						       MADV_DONTNEED;

		if (!begin(&s, &kinds[i]))
			continue;
		for (unsigned n = 0; n < 12; n++) {
			uint64_t first = any_page(&s.dice, MINE - 32);

			for (uint64_t p = first; p < first + 32; p++)
				stamp(bed_page(&s.b, p), p, NEW);
			madvise(bed_page(&s.b, first), 32 * PAGE, advice);
		}
		pusher_stop(&s.push);
		madvise(s.b.mem, s.b.pages * PAGE, advice);
		SAME(uffd_evict(s.b.r, 0, s.b.pages * PAGE), 0);
		uffd_pager_stats(s.b.p, &stats);
		if (!SAME(stats.resident_bytes, 0))
			printf("# %s\n", kinds[i].name);
		SAME(stats.limbo_bytes, 0);
		pusher_start(&s.push, &s.b, MINE, s.b.pages - MINE);
		end(&s);
	}
}

static const struct promise promises[] = {
	{ "MADV_DONTNEED gives zeros, or what the store has", dontneed },
	{ "MADV_REMOVE the same of a memory file", removed },
	{ "MADV_DONTNEED of a memory file keeps what it holds",
	  dontneed_keeps },
	{ "MADV_FREE gives the page or what a discarded one holds", freed },
	{ "several threads discard", several },
	{ "a part that is unmapped is left alone", unmapped },
	{ "mprotect of a part changes nothing in it", protected },
	{ "what was discarded does not count", budget_is_whole },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
