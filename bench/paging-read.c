/* SPDX-License-Identifier: MIT */
/*
 * The floor under a sequential scan: read(2), 1 MiB at a time, each thread into
 * one buffer. There is no region and no budget; the pages are looked at in the
 * buffer.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>

#include "paging-inner.h"

#define AT_ONCE 256u	/* pages */

struct reader {
	uint64_t first, nr;	/* pages in the buffer */
	uint64_t read;		/* bytes, so far */
	char *buffer;
};

static int open_read(struct paging_seat *s)
{
	struct reader *readers = calloc(PAGING_MOST_THREADS, sizeof(*readers));

	if (!readers)
		return paging_fail(s, -ENOMEM, "buffers");
	for (unsigned i = 0; i < PAGING_MOST_THREADS; i++) {
		readers[i].buffer = malloc(AT_ONCE * PAGING_PAGE);
		if (!readers[i].buffer)
			return paging_fail(s, -ENOMEM, "buffers");
	}
	s->own = readers;
	paging_note_resident(s);
	return 0;
}

static int cool(struct paging_seat *s)
{
	struct reader *readers = s->own;
	int err = paging_file_cool(s->file);

	for (unsigned i = 0; i < PAGING_MOST_THREADS; i++)
		readers[i].nr = 0;
	return err ? paging_fail(s, err, "dropping the page cache") : 0;
}

static bool fill(const struct paging_seat *s, struct reader *r, uint64_t page)
{
	const uint64_t left = s->ground->pages - page;
	const uint64_t nr = left < AT_ONCE ? left : AT_ONCE;
	size_t done = 0;

	while (done < nr * PAGING_PAGE) {
		ssize_t n = pread(s->file, r->buffer + done,
				  nr * PAGING_PAGE - done,
				  (off_t)(page * PAGING_PAGE + done));

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	r->first = page;
	r->nr = nr;
	r->read += done;
	return true;
}

static void *page_of(struct paging_seat *s, unsigned thread, uint64_t page)
{
	struct reader *r = (struct reader *)s->own + thread;

	if (page - r->first >= r->nr && !fill(s, r, page)) {
		r->nr = 0;
		return NULL;
	}
	return r->buffer + (page - r->first) * PAGING_PAGE;
}

static void count(const struct paging_seat *s, struct paging_counts *ret)
{
	const struct reader *readers = s->own;

	for (unsigned i = 0; i < PAGING_MOST_THREADS; i++) {
		ret->read_bytes += readers[i].read;
		/* what takes long in it is the filling of its buffer */
		ret->faults += readers[i].read / (AT_ONCE * PAGING_PAGE);
	}
}

const struct paging_system paging_read2 = {
	.name = "read",
	.what = "read(2) of the file, sequential reading only, without a limit",
	.reads_file = true,
	.only_passes = true,
	.open = open_read,
	.cool = cool,
	.count = count,
	.page = page_of,
};
