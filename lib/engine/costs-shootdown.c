/* SPDX-License-Identifier: MIT */
/*
 * What it costs to take a page away while another thread runs: its processor
 * has to be told, and waited for.
 */
#include <stdatomic.h>

#include "../kernel/sys.h"
#include "costs.h"

#define NR_DROPS 256
/* fewer of them with the other thread really running say nothing */
#define NR_ENOUGH 16
/* Somebody else's work may keep it from its processor for a while. */
#define LIMIT_NS 100000000

struct spin {
	_Alignas(64) atomic_ulong turns;
	_Alignas(64) atomic_bool stop;
};

static void *spinner(void *arg)
{
	struct spin *s = arg;

	while (!atomic_load_explicit(&s->stop, memory_order_relaxed))
		atomic_fetch_add_explicit(&s->turns, 1, memory_order_relaxed);
	return NULL;
}

static unsigned long turns(struct spin *s)
{
	return atomic_load_explicit(&s->turns, memory_order_relaxed);
}

static uint64_t drop(char *page, size_t page_size)
{
	uint64_t begin;

	*(volatile char *)page = 1;
	begin = cost_now();
	sys_madvise(page, page_size, MADV_DONTNEED);
	return cost_now() - begin;
}

/* The median of drops, of those during which s was seen to run if it is not
 * NULL; 0 if that was too rarely. */
static uint64_t drop_often(char *page, size_t page_size, struct spin *s)
{
	const uint64_t limit = cost_now() + LIMIT_NS;
	uint64_t samples[NR_DROPS];
	unsigned nr = 0;

	while (nr < NR_DROPS && cost_now() < limit) {
		const unsigned long before = s ? turns(s) : 0;

		samples[nr] = drop(page, page_size);
		if (!s || turns(s) != before)
			nr++;
	}
	return nr < NR_ENOUGH ? 0 : cost_median(samples, nr);
}

static int measure(unsigned other, char *page, size_t page_size, uint64_t *ret)
{
	const uint64_t alone = drop_often(page, page_size, NULL);
	struct spin s = { 0 };
	pthread_t thread;
	int err = cost_thread(&thread, other, spinner, &s);

	if (err < 0)
		return err;
	*ret = cost_less(drop_often(page, page_size, &s), alone);
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	return 0;
}

int cost_of_shootdown(unsigned other, uint64_t *ret)
{
	const size_t page_size = (size_t)getpagesize();
	uint64_t page;
	int err = sys_mmap(0, page_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, &page);

	if (err < 0)
		return err;
	err = measure(other, (char *)(uintptr_t)page, page_size, ret);
	sys_munmap(page, page_size);
	return err;
}
