/* SPDX-License-Identifier: MIT */
/*
 * An undo log by write events: before a page is first written to in a
 * transaction, its old content goes into a log; undoing puts it back.
 *	cc -O2 -o undo undo.c $(pkg-config --cflags --libs libuffd)
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <uffd/track.h>

#define PAGE 4096
#define NR_PAGES 64

struct log {
	unsigned nr;
	uint64_t addr[NR_PAGES];
	char old[NR_PAGES][PAGE];
};

/* Runs while the writer waits, so it allocates nothing; the log is there. */
static int keep(void *user, const struct uffd_write *w)
{
	struct log *log = user;

	if (log->nr == NR_PAGES)
		return -ENOSPC;
	memcpy(log->old[log->nr], (void *)(uintptr_t)w->addr, PAGE);
	log->addr[log->nr++] = w->addr;
	return LIBUFFD_WRITE_GO;
}

static void check(int error, const char *what)
{
	if (error < 0)
		errx(1, "%s: %s", what, strerror(-error));
}

/* The transaction is over: its pages are watched again. */
static void finish(struct uffd_track *track, struct log *log)
{
	struct uffd_written w[NR_PAGES];
	unsigned nr;

	check(uffd_track_collect(track, w, NR_PAGES, &nr), "looking");
	check(uffd_track_failed(track, NULL), "keeping the old content");
	log->nr = 0;
}

static void undo(struct uffd_track *track, struct log *log)
{
	while (log->nr > 0) {
		log->nr--;
		memcpy((void *)(uintptr_t)log->addr[log->nr],
		       log->old[log->nr], PAGE);
	}
	finish(track, log);
}

int main(void)
{
	static struct log log;
	char *data = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffd_track_opts opts = { .sz = sizeof(opts), .write = keep,
		.user = &log };
	struct uffd_track *track;

	if (data == MAP_FAILED)
		err(1, "mmap");
	strcpy(data, "first");
	check(uffd_track_new(&opts, &track), "making a tracker");
	check(uffd_track_add(track, (uintptr_t)data, NR_PAGES * PAGE),
	      "tracking");
	check(uffd_track_start(track), "starting");

	strcpy(data, "second");
	strcpy(data + 9 * PAGE, "more");
	printf("written: '%s', '%s'; %u pages in the log\n", data,
	       data + 9 * PAGE, log.nr);
	undo(track, &log);
	printf("undone:  '%s', '%s'\n", data, data + 9 * PAGE);

	strcpy(data, "third");
	finish(track, &log);
	strcpy(data, "fourth");
	undo(track, &log);
	printf("kept:    '%s'\n", data);
	uffd_track_free(track);
	return strcmp(data, "third") != 0;
}
