/* SPDX-License-Identifier: MIT */
/*
 * What a thread pays by itself: reading the clock, and the kernel's own fault.
 */
#include "../kernel/sys.h"
#include "costs.h"

#define NR_BATCHES 64
#define NR_READS 128	/* a batch, since one is too short to be measured */
#define NR_PAGES 512

uint64_t cost_of_clock(void)
{
	uint64_t samples[NR_BATCHES];

	for (unsigned i = 0; i < NR_BATCHES; i++) {
		uint64_t begin = cost_now(), end = begin;

		for (unsigned n = 0; n < NR_READS; n++)
			end = cost_now();
		samples[i] = (end - begin + NR_READS / 2) / NR_READS;
	}
	return cost_median(samples, NR_BATCHES);
}

static uint64_t touch_all(uint64_t start, size_t page_size, uint64_t clock_ns)
{
	uint64_t samples[NR_PAGES];

	for (unsigned i = 0; i < NR_PAGES; i++) {
		volatile char *page = (char *)(uintptr_t)start + i * page_size;
		uint64_t begin = cost_now();

		*page = 1;
		samples[i] = cost_less(cost_now() - begin, clock_ns);
	}
	return cost_median(samples, NR_PAGES);
}

int cost_of_fault(uint64_t clock_ns, uint64_t *ret)
{
	const size_t page_size = (size_t)getpagesize();
	const size_t len = NR_PAGES * page_size;
	uint64_t start;
	int err = sys_mmap(0, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, &start);

	if (err < 0)
		return err;
	/* fails where there are no huge pages, and then it need not be */
	sys_madvise((void *)(uintptr_t)start, len, MADV_NOHUGEPAGE);
	*ret = touch_all(start, page_size, clock_ns);
	sys_munmap(start, len);
	return 0;
}
