/* SPDX-License-Identifier: MIT */
/*
 * One round of one mode: an area of memory, who resolves its faults, and what
 * its pages must hold.
 */
#ifndef BENCH_SCENE_H
#define BENCH_SCENE_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

/* ---- trouble ------------------------------------------------------------- */

/* The first thing that went wrong; may come from any thread, and from a signal
 * handler. */
struct bench_trouble {
	atomic_bool taken;
	atomic_int error;	/* -errno; 0: none. Written last */
	const char *what;	/* static */
	uint64_t page, got, want;	/* of a wrong page (-EILSEQ) */
};

void bench_trouble(struct bench_trouble *t, int error, const char *what);
void bench_wrong_page(struct bench_trouble *t, uint64_t page, uint64_t got,
		      uint64_t want);

/* ---- content ------------------------------------------------------------- */

/*
 * Each page carries one number, of its own and of this round, in its first, a
 * middle and its last word: a wrong page, a stale one and one only partly there
 * are all told. An access that writes uses the second word.
 */
uint64_t bench_mark(uint64_t key, uint64_t page);
void bench_stamp(void *at, uint64_t page_size, uint64_t mark);
/* true, or *got is the word that differs */
bool bench_holds(const void *at, uint64_t page_size, uint64_t mark,
		 uint64_t *got);

/* ---- memory -------------------------------------------------------------- */

struct bench_area {
	char *start;
	uint64_t nr;		/* pages */
	uint64_t page_size;
	uint64_t len;		/* bytes */
	int memfd;		/* or -1 */
};

int bench_area_open(struct bench_area *a, enum uffd_memory memory, uint64_t nr,
		    uint64_t page_size);
void bench_area_close(struct bench_area *a);

/* Stamp all pages and leave them as the faults want to find them: in the page
 * cache but not mapped (minor), or mapped (wp). 0 or -errno. */
int bench_area_fill(const struct bench_area *a, enum bench_fault fault,
		    uint64_t key);

/*
 * Pages to copy from, some for each thread that resolves faults: it may not
 * share them with another, and takes them by its thread pointer, which a
 * signal handler can do, too.
 */
struct bench_source {
	_Atomic(void *) owner;	/* thread pointer */
	char *pages;
};

struct bench_sources {
	struct bench_source *slots;
	unsigned nr;
	unsigned pages;		/* in each */
	uint64_t page_size;
};

int bench_sources_open(struct bench_sources *s, unsigned nr, unsigned pages,
		       uint64_t page_size);
void bench_sources_close(struct bench_sources *s);
/* This thread's; NULL if there are more threads than slots. */
char *bench_source(struct bench_sources *s);

/* ---- the scene ----------------------------------------------------------- */

struct bench_scene {
	const struct bench_plan *plan;
	struct bench_area area;
	struct bench_sources sources;
	uint64_t key;		/* of this round's marks */
	bool zeros;		/* pages come from the kernel, empty */
	void *own;		/* the mode's */
	struct bench_trouble trouble;
	struct uffd_engine_stats *stats;
};

extern const struct bench_mode bench_classic;
extern const struct bench_mode bench_thread;
extern const struct bench_mode bench_sigbus;
extern const struct bench_mode bench_kernel;
extern const struct bench_mode bench_sigsegv;

/* Index of the page at an address within the area. */
uint64_t bench_page_at(const struct bench_scene *s, uint64_t addr);

/* The next page of this thread's source, stamped for the page at this index;
 * NULL (and trouble) if there is none. */
void *bench_page_for(struct bench_scene *s, uint64_t page, unsigned nr);

/* UFFDIO_REGISTER_MODE_* and UFFD_FEATURE_* that the faults of a plan need. */
uint64_t bench_register_mode(const struct bench_plan *p);
uint64_t bench_features(const struct bench_plan *p);

/* Write-protect the whole area. 0 or -errno. */
int bench_protect(const struct bench_scene *s, int fd);

/* ---- the threads that fault ---------------------------------------------- */

/* Fill order[0..nr) with 0..nr-1, arranged. */
void bench_arrange(const struct bench_plan *p, uint32_t *order, uint32_t nr,
		   uint64_t seed);

/* Touch every page of the area once; a latency each into ns. order has room
 * for them all. 0 or -errno, then see the scene's trouble. */
int bench_touch(struct bench_scene *s, uint32_t *order, uint64_t *ns,
		struct bench_spent *ret);

#endif
