/* SPDX-License-Identifier: MIT */
/*
 * Many regions: they come and go while others page, and leave nothing behind.
 */
#include <stdlib.h>
#include <string.h>

#include "../seam/promise.h"
#include "bed.h"

#define MANY 1000u
#define SMALL 8u		/* pages of each */

static const uint32_t engines[] = {
	LIBUFFD_ENGINE_SIGBUS,
	LIBUFFD_ENGINE_THREAD,
};

/* ---- what there is -------------------------------------------------------------- */

struct left {
	unsigned fds, threads, maps;
};

static unsigned lines(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned nr = 0;
	int c;

	while (f && (c = getc(f)) != EOF)
		nr += c == '\n';
	if (f)
		fclose(f);
	return nr;
}

static struct left look(void)
{
	return (struct left){
		count_entries("/proc/self/fd"),
		count_entries("/proc/self/task"),
		lines("/proc/self/maps"),
	};
}

/* The C library keeps an arena and a stack or two; a leak is one a region. */
static void same_left(struct left was, unsigned per_maps)
{
	struct left is = look();

	/* a thread that was joined may still be there for a moment */
	for (unsigned n = 0; n < 200 && is.threads > was.threads; n++) {
		nap_ms(10);
		is = look();
	}
	/* the engine has /proc open for some threads that fault */
	CHECK(is.fds <= was.fds + 8);
	SAME(is.threads, was.threads);
	if (!CHECK(under_asan() || is.maps <= was.maps + per_maps))
		printf("#   %u mappings, were %u\n", is.maps, was.maps);
}

/* ---- at once -------------------------------------------------------------------- */

static void fill(struct uffd_region *r, uint64_t n)
{
	uint8_t *mem = uffd_region_start(r);

	for (uint64_t p = 0; p < SMALL; p++)
		stamp(mem + p * PAGE, n * SMALL + p, 1);
}

static bool filled(struct uffd_region *r, uint64_t n)
{
	const uint8_t *mem = uffd_region_start(r);

	for (uint64_t p = 0; p < SMALL; p++)
		if (!stamped(mem + p * PAGE, n * SMALL + p, 1))
			return false;
	return true;
}

/* all alive under one budget of a hundredth of them */
static void all_at_once(struct bed *b, uint32_t memory)
{
	const struct bed_want small = { .pages = SMALL, .memory = memory };
	struct uffd_region *regions[MANY];
	unsigned nr, bad = 0;

	for (nr = 0; nr < MANY; nr++) {
		if (!SAME(bed_region(b, &small, NULL, &regions[nr]), 0))
			break;
		fill(regions[nr], nr);
	}
	for (unsigned i = 0; i < nr; i++)
		bad += !filled(regions[i], i);
	SAME(bad, 0);
	for (unsigned i = 0; i < nr; i++)
		SAME(uffd_region_free(regions[i]), 0);
}

static void alive(void)
{
	for (unsigned i = 0; i < NR(engines); i++) {
		struct bed b = { 0 };

		if (!CHECK(bed_pager(&b, &(struct bed_want){
						 .engine = engines[i],
						 .budget = 80 })))
			return;
		all_at_once(&b, LIBUFFD_MEM_PRIVATE);
		bed_close(&b);
	}
}

/* ---- one after another ------------------------------------------------------------ */

struct maker {
	struct bed *b;
	uint64_t first;
	unsigned nr, bad;
	pthread_t thread;
};

/* one at a time; of what is freed nothing may be left */
static void *make(void *arg)
{
	struct maker *m = arg;

	for (unsigned i = 0; i < m->nr; i++) {
		const struct bed_want small = {
			.pages = SMALL,
			.memory = i % 8 == 0 ? LIBUFFD_MEM_MEMFD_SHARED :
					       LIBUFFD_MEM_PRIVATE,
		};
		struct uffd_region *r;

		if (bed_region(m->b, &small, NULL, &r) < 0) {
			m->bad++;
			break;
		}
		fill(r, m->first + i);
		if (i % 4 == 0)
			uffd_evict(r, 0, SMALL * PAGE);
		m->bad += !filled(r, m->first + i);
		if (i % 4 == 1)
			uffd_region_abandon(r);
		else
			m->bad += uffd_region_free(r) < 0;
	}
	return NULL;
}

static void come_and_go(void)
{
	for (unsigned i = 0; i < NR(engines); i++) {
		struct bed b;
		struct pusher push;
		struct maker m[2];
		struct left was;

		if (!CHECK(bed_open(&b, &(struct bed_want){
						.engine = engines[i] })))
			return;
		bed_stamp_all(&b, 1);
		/* what is made once and kept: pools, buffers */
		m[0] = (struct maker){ &b, 0, 16 };
		make(&m[0]);
		pusher_start(&push, &b, 0, b.pages);
		was = look();
		for (unsigned n = 0; n < NR(m); n++) {
			m[n] = (struct maker){ &b, n * 1000, 500 };
			pthread_create(&m[n].thread, NULL, make, &m[n]);
		}
		for (unsigned n = 0; n < NR(m); n++) {
			pthread_join(m[n].thread, NULL);
			SAME(m[n].bad, 0);
		}
		same_left(was, 100);
		pusher_stop(&push);
		CHECK(bed_stamped_all(&b, 1));
		bed_close(&b);
	}
}

/* a region that is used does not hold up the others; nor does its end */
static void pagers(void)
{
	struct left was = { 0 };

	for (unsigned n = 0; n < 40; n++) {
		struct bed b;

		if (!CHECK(bed_open(&b, &(struct bed_want){
						.engine = engines[n % 2],
						.uri = LZ4 })))
			return;
		bed_stamp_all(&b, 1);
		/* half of them with their regions alive */
		if (n % 4 < 2)
			SAME(uffd_region_free(b.r), 0);
		bed_close(&b);
		if (n == 3)
			was = look();
	}
	same_left(was, 8);
}

static const struct promise promises[] = {
	{ "a thousand regions live under one small budget", alive },
	{ "a thousand come and go while others page", come_and_go },
	{ "a pager leaves nothing behind", pagers },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
