/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own paging of anonymous memory: swap to compressed memory, under
 * a memory limit.
 */
#include <errno.h>
#include <sys/mman.h>

#include "paging-inner.h"

static int open_swap(struct paging_seat *s)
{
	int err;

	paging_note_resident(s);
	err = paging_limit_enter(s->limit);
	if (err)
		return paging_fail(s, err, "entering the control group");
	s->area = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->area == MAP_FAILED)
		return paging_fail(s, -errno, "mmap");
	/* a huge page can't come back from swap in one piece */
	madvise(s->area, s->size, MADV_NOHUGEPAGE);
	for (uint64_t page = 0; page < s->ground->pages; page++)
		paging_fill(s->ground->seed, page,
			    s->area + page * PAGING_PAGE);
	return 0;
}

static int cool(struct paging_seat *s)
{
	if (madvise(s->area, s->size, MADV_PAGEOUT) < 0)
		return paging_fail(s, -errno, "MADV_PAGEOUT");
	return 0;
}

static void count(const struct paging_seat *s, struct paging_counts *ret)
{
	paging_count_kernel_faults(ret);
	paging_zram_count(s->zram, &ret->read_bytes, &ret->written_bytes);
}

const struct paging_system paging_swap = {
	.name = "swap-zram",
	.what = "the kernel's swap to zram, under a memory limit",
	.limited = true,
	.swaps = true,
	.open = open_swap,
	.cool = cool,
	.count = count,
};
