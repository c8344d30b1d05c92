/* SPDX-License-Identifier: MIT */
/*
 * What is resident, looked at every 10 ms while the region is worked on: never
 * more than the budget and 16 MiB for all else, also while the budget changes.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "../store/dir.h"
#include "bed.h"

#define MIB (UINT64_C(1) << 20)
#define ALL_ELSE (16 * MIB)
#define PAGES 16384u		/* 64 MiB */

static const uint32_t engines[] = {
	LIBUFFD_ENGINE_SIGBUS,
	LIBUFFD_ENGINE_THREAD,
};

static uint64_t resident(void)
{
	unsigned long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%lu %lu", &size, &pages) != 2)
			pages = 0;
		fclose(f);
	}
	return (uint64_t)pages * PAGE;
}

/* ---- looking ---------------------------------------------------------------------- */

struct watch {
	const struct bed *b;
	uint64_t before;	/* resident without the pager */
	uint64_t most, most_counted;
	unsigned looks;
	atomic_bool stop;
	pthread_t thread;
};

static void *watch(void *arg)
{
	struct watch *w = arg;

	while (!w->stop) {
		struct uffd_pager_stats s;
		uint64_t now = resident();

		now = now > w->before ? now - w->before : 0;
		if (now > w->most)
			w->most = now;
		uffd_pager_stats(w->b->p, &s);
		if (s.resident_bytes > w->most_counted)
			w->most_counted = s.resident_bytes;
		w->looks++;
		nap_ms(10);
	}
	return NULL;
}

static void watch_start(struct watch *w, const struct bed *b, uint64_t before)
{
	*w = (struct watch){ .b = b, .before = before };
	pthread_create(&w->thread, NULL, watch, w);
}

static void watch_stop(struct watch *w, uint64_t budget)
{
	w->stop = true;
	pthread_join(w->thread, NULL);
	CHECK(w->looks > 0);
	if (!CHECK(w->most <= budget + ALL_ELSE))
		printf("#   %llu KiB resident\n",
		       (unsigned long long)w->most >> 10);
	/* what is being asked for counts for a moment, and is given back */
	CHECK(w->most_counted <= budget + ALL_ELSE);
}

/* ---- load --------------------------------------------------------------------------- */

struct load {
	const struct bed *b;
	uint64_t dice;
	unsigned steps;
	pthread_t thread;
};

/* random writes, and now and then a stretch that brings readahead */
static void *work(void *arg)
{
	struct load *l = arg;

	for (unsigned n = 0; n < l->steps; n++) {
		uint64_t page = any_page(&l->dice, PAGES - 64);

		*(volatile uint64_t *)bed_page(l->b, page) = page;
		for (uint64_t i = 0; n % 64 == 0 && i < 64; i++)
			(void)*(volatile uint8_t *)bed_page(l->b, page + i);
	}
	return NULL;
}

static void load_start(struct load *l, const struct bed *b, unsigned n,
		       unsigned steps)
{
	*l = (struct load){ .b = b, .dice = n + 99, .steps = steps };
	pthread_create(&l->thread, NULL, work, l);
}

static bool open_it(struct bed *b, const struct dir *d, uint32_t engine,
		    uint32_t memory, uint64_t budget)
{
	char uri[PATH_MAX];
	struct bed_want want = {
		.engine = engine,
		.uri = uri,
		.budget = budget,
		.pages = PAGES,
		.memory = memory,
	};
	int fd;

	/* a file, so that what has left is not resident elsewhere */
	snprintf(uri, sizeof(uri), "%s/pages", d->path);
	fd = open(uri, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, PAGES * PAGE) < 0)
		return CHECK(false);
	close(fd);
	snprintf(uri, sizeof(uri), "file:%s/pages", d->path);
	return CHECK(bed_open(b, &want));
}

static void under_load(const struct dir *d, uint32_t engine, uint32_t memory)
{
	const uint64_t budget = 1024;	/* 4 MiB */
	uint64_t before = resident();
	struct load l[2];
	struct watch w;
	struct bed b;

	if (!open_it(&b, d, engine, memory, budget))
		return;
	watch_start(&w, &b, before);
	for (unsigned n = 0; n < NR(l); n++)
		load_start(&l[n], &b, n, 6000);
	for (unsigned n = 0; n < NR(l); n++)
		pthread_join(l[n].thread, NULL);
	watch_stop(&w, budget * PAGE);
	uffd_region_abandon(b.r);
	bed_close(&b);
}

static void kept(void)
{
	struct dir d;

	dir_make(&d);
	for (unsigned i = 0; i < NR(engines); i++) {
		under_load(&d, engines[i], LIBUFFD_MEM_PRIVATE);
		under_load(&d, engines[i], LIBUFFD_MEM_MEMFD_SHARED);
	}
	dir_remove(&d);
}

/* ---- another budget -------------------------------------------------------------------- */

static void while_busy(const struct dir *d, uint32_t engine)
{
	struct uffd_pager_stats s;
	struct load l[2];
	struct bed b;

	if (!open_it(&b, d, engine, LIBUFFD_MEM_PRIVATE, 2048))
		return;
	for (unsigned n = 0; n < NR(l); n++)
		load_start(&l[n], &b, n, 6000);
	for (unsigned n = 0; n < 30; n++) {
		SAME(uffd_pager_set_budget(b.p, 64 * PAGE), 0);
		uffd_pager_stats(b.p, &s);
		SAME(s.budget, 64 * PAGE);
		/* what two threads ask for at this moment may be counted */
		CHECK(s.resident_bytes <= 64 * PAGE + 2 * MIB);
		nap_ms(3);
		SAME(uffd_pager_set_budget(b.p, 2048 * PAGE), 0);
		nap_ms(3);
	}
	for (unsigned n = 0; n < NR(l); n++)
		pthread_join(l[n].thread, NULL);
	SAME(uffd_pager_set_budget(b.p, LIBUFFD_BUDGET_MIN), 0);
	uffd_pager_stats(b.p, &s);
	CHECK(s.resident_bytes <= LIBUFFD_BUDGET_MIN);
	uffd_region_abandon(b.r);
	bed_close(&b);
}

static void changed(void)
{
	struct dir d;

	dir_make(&d);
	for (unsigned i = 0; i < NR(engines); i++)
		while_busy(&d, engines[i]);
	dir_remove(&d);
}

/* bytes written are those of pages changed */
static void clean_pages(void)
{
	struct uffd_pager_stats s, t;
	struct dir d;
	struct bed b;

	dir_make(&d);
	if (open_it(&b, &d, LIBUFFD_ENGINE_SIGBUS, LIBUFFD_MEM_PRIVATE, 1024)) {
		for (uint64_t p = 0; p < PAGES; p++)
			(void)*(volatile uint8_t *)bed_page(&b, p);
		uffd_pager_stats(b.p, &s);
		SAME(s.written_pages, 0);
		for (uint64_t p = 0; p < 3000; p++)
			*(volatile uint8_t *)bed_page(&b, p * 5) = 1;
		SAME(uffd_sync(b.r, 0, PAGES * PAGE), 0);
		uffd_pager_stats(b.p, &t);
		SAME(t.written_pages, 3000);
		bed_close(&b);
	}
	dir_remove(&d);
}

static const struct promise promises[] = {
	{ "resident is what the budget says, and a little", kept },
	{ "the budget may change at any time", changed },
	{ "what has not changed is not written", clean_pages },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
