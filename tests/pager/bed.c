/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bed.h"

#define WORDS (PAGE / sizeof(uint64_t))
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* ---- making it -------------------------------------------------------------- */

static void failed(void *user, const struct uffd_page_failure *f)
{
	struct bed *b = user;

	b->error = f->error;
	b->offset = f->offset;
	b->region = f->region;
	b->what = f->what;
	if (f->write_back)
		b->nr_failed_writes++;
	b->nr_failed++;
}

bool bed_pager(struct bed *b, const struct bed_want *want)
{
	const struct uffd_pager_opts opts = {
		.sz = sizeof(opts),
		.budget = (want->budget ? want->budget : 64) * PAGE,
		.engine = want->engine ? want->engine : LIBUFFD_ENGINE_SIGBUS,
		.pins = want->pins ? want->pins : LIBUFFD_PINS_CALLED,
		.deadline_ms = want->deadline_ms,
		.failed = failed,
		.user = b,
	};
	struct uffd_reason why;
	int err = uffd_pager_new(&opts, &why, &b->p);

	if (err < 0)
		printf("# no pager: %s\n", why.text);
	return err == 0;
}

int bed_region(struct bed *b, const struct bed_want *want,
	       struct uffd_store *store, struct uffd_region **ret)
{
	const struct uffd_region_opts opts = {
		.sz = sizeof(opts),
		.store = store,
		.len = (want->pages ? want->pages : 512) * PAGE,
		.page_size = want->page_size,
		.flags = want->flags,
		.memory = want->memory,
		.ahead_max = want->ahead_max,
	};
	struct uffd_reason why;
	int err = uffd_region_new(b->p, &opts, &why, ret);

	if (err < 0)
		printf("# no region: %s\n", why.text);
	return err;
}

static bool get_store(struct bed *b, const struct bed_want *want)
{
	struct uffd_reason why;

	b->store = want->store;
	if (!want->uri)
		return true;
	if (uffd_store_open(want->uri, 0, &why, &b->store) < 0) {
		printf("# no store: %s\n", why.text);
		return false;
	}
	b->own_store = true;
	return true;
}

bool bed_open(struct bed *b, const struct bed_want *want)
{
	memset(b, 0, sizeof(*b));
	if (!get_store(b, want) || !bed_pager(b, want) ||
	    bed_region(b, want, b->store, &b->r) < 0)
		return false;
	b->mem = uffd_region_start(b->r);
	b->pages = uffd_region_len(b->r) / PAGE;
	return true;
}

void bed_close(struct bed *b)
{
	uffd_pager_free(b->p);
	if (b->own_store)
		uffd_store_close(b->store);
	b->p = NULL;
	b->store = NULL;
}

/* ---- what pages hold ----------------------------------------------------------- */

static uint64_t word_of(uint64_t page, unsigned version, uint64_t i)
{
	uint64_t x = (page << 32 | (uint64_t)version << 16 | i / 8) *
		     0x9e3779b97f4a7c15u;

	/* words repeat, as those of real pages do */
	return version ? x ^ x >> 29 : 0;
}

void stamp(void *at, uint64_t page, unsigned version)
{
	uint64_t *words = at;

	/* several threads may write the same to a page */
	for (uint64_t i = 0; i < WORDS; i++)
		__atomic_store_n(&words[i], word_of(page, version, i),
				 __ATOMIC_RELAXED);
}

bool stamped(const void *at, uint64_t page, unsigned version)
{
	const uint64_t *words = at;

	for (uint64_t i = 0; i < WORDS; i++)
		if (__atomic_load_n(&words[i], __ATOMIC_RELAXED) !=
		    word_of(page, version, i))
			return false;
	return true;
}

int stamp_version(const void *at, uint64_t page, unsigned most)
{
	for (unsigned v = 0; v < most; v++)
		if (stamped(at, page, v))
			return (int)v;
	return -1;
}

void bed_stamp_all(const struct bed *b, unsigned version)
{
	for (uint64_t i = 0; i < b->pages; i++)
		stamp(bed_page(b, i), i, version);
}

bool bed_stamped_all(const struct bed *b, unsigned version)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < b->pages; i++)
		if (!stamped(bed_page(b, i), i, version) && bad++ < 5)
			printf("# page %llu holds something else\n",
			       (unsigned long long)i);
	return bad == 0;
}

/* ---- SIGBUS --------------------------------------------------------------------- */

/* A signal handler knows nothing but its thread: where that wants to go on. */
static _Thread_local sigjmp_buf out;
static _Thread_local volatile sig_atomic_t armed;

static void on_sigbus(int sig)
{
	if (armed)
		siglongjmp(out, 1);
	signal(sig, SIG_DFL);
}

void dies_begin(void)
{
	struct sigaction act = { .sa_handler = on_sigbus };

	sigaction(SIGBUS, &act, NULL);
}

bool dies(const void *at)
{
	if (sigsetjmp(out, 1)) {
		armed = 0;
		return true;
	}
	armed = 1;
	(void)*(const volatile uint8_t *)at;
	armed = 0;
	return false;
}

/* ---- around ----------------------------------------------------------------------- */

unsigned count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned nr = 0;

	while (d && readdir(d))
		nr++;
	if (d)
		closedir(d);
	return nr;
}

void nap_ms(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
			      .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

uint64_t xorshift(uint64_t *state)
{
	/* xorshift64*, Vigna 2014 */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717) >> 11;
}

static long pool_add(long more)
{
	FILE *f = fopen(POOL, "r+e");
	long before = 0, after = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%ld", &before) == 1) {
		rewind(f);
		fprintf(f, "%ld\n", before + more);
		fflush(f);
		rewind(f);
		if (fscanf(f, "%ld", &after) != 1)
			after = before;
	}
	fclose(f);
	return after - before;
}

bool huge_reserve(long nr)
{
	long got = pool_add(nr);

	if (got < nr && got > 0)
		pool_add(-got);
	return got >= nr;
}

void huge_return(long nr)
{
	pool_add(-nr);
}

bool under_asan(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return true;
#endif
#endif
	return false;
}

bool under_tsan(void)
{
#if defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

/* ---- a thread that pushes pages out -------------------------------------------------- */

static void *push(void *arg)
{
	struct pusher *p = arg;

	while (!p->stop) {
		for (uint64_t i = 0; i < p->nr && !p->stop; i++)
			(void)__atomic_load_n(bed_page(p->b, p->first + i),
					      __ATOMIC_RELAXED);
		p->rounds++;
	}
	return NULL;
}

void pusher_start(struct pusher *p, const struct bed *b, uint64_t first,
		  uint64_t nr)
{
	*p = (struct pusher){ .b = b, .first = first, .nr = nr };
	pthread_create(&p->thread, NULL, push, p);
}

void pusher_stop(struct pusher *p)
{
	p->stop = true;
	pthread_join(p->thread, NULL);
}
