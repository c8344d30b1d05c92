/* SPDX-License-Identifier: MIT */
/*
 * Lifting: what the kernel must never be asked.
 */
#include <sys/mman.h>
#include <uffd/kernel.h>

#include "promise.h"
#include "seam.h"

#define PAGE 4096

/* counts the calls that would lift */
static long count_lifts(const struct seam_args *args, void *data)
{
	unsigned *nr = data;

	if (args->call != SEAM_MREMAP)
		return SEAM_REAL;
	if (args->a[3] & MREMAP_FIXED)
		++*nr;
	return SEAM_REAL;
}

static uint64_t map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return (uintptr_t)p;
}

/* Kernels before 5.16 would clear the new place before they say EFAULT. */
static void no_hole(void)
{
	uint64_t from = map(3 * PAGE), to = map(3 * PAGE);
	struct uffd_progress p;
	unsigned lifts = 0;

	munmap((void *)(uintptr_t)(from + PAGE), PAGE);
	seam_use(count_lifts, &lifts);
	SAME(CALL(uffd_lift_all(from, to, 3 * PAGE, &p)), 0);
	seam_use(NULL, NULL);
	SAME(lifts, 2);
	SAME(p.filled, 2 * PAGE);
	SAME(p.gone, PAGE);
}

static const struct promise promises[] = {
	{ "a page that is not there is never asked to be lifted", no_hole },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
