/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own paging of a file: mmap(2), shared, under a memory limit.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "paging-inner.h"

static int open_mmap(struct paging_seat *s)
{
	int err;

	paging_note_resident(s);
	s->area = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       s->file, 0);
	if (s->area == MAP_FAILED)
		return paging_fail(s, -errno, "mmap of the file");
	err = paging_limit_enter(s->limit);
	return err ? paging_fail(s, err, "entering the control group") : 0;
}

static int cool(struct paging_seat *s)
{
	int err = 0;

	if (msync(s->area, s->size, MS_SYNC) < 0 ||
	    madvise(s->area, s->size, MADV_DONTNEED) < 0)
		err = -errno;
	if (!err)
		err = paging_file_cool(s->file);
	return err ? paging_fail(s, err, "dropping the page cache") : 0;
}

/* What somebody does who knows how his program accesses the file: without it,
 * each random access would read 128 KiB. */
static void begin(struct paging_seat *s, const struct paging_case *at)
{
	const bool in_order = at->pattern == PAGING_SEQUENTIAL ||
			      at->pattern == PAGING_STRIDED;

	madvise(s->area, s->size, in_order ? MADV_NORMAL : MADV_RANDOM);
}

static void count(const struct paging_seat *s, struct paging_counts *ret)
{
	unsigned long read = 0, written = 0;
	FILE *file = fopen("/proc/self/io", "re");
	char line[64];

	(void)s;
	paging_count_kernel_faults(ret);
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "read_bytes: %lu", &read);
		sscanf(line, "write_bytes: %lu", &written);
	}
	if (file)
		fclose(file);
	ret->read_bytes = read;
	ret->written_bytes = written;
}

const struct paging_system paging_mmap = {
	.name = "mmap",
	.what = "the kernel's mmap of a file, under a memory limit",
	.limited = true,
	.reads_file = true,
	.open = open_mmap,
	.cool = cool,
	.begin = begin,
	.count = count,
};
