/* SPDX-License-Identifier: MIT */
/*
 * Data files have no name, so that none can be left behind. Who wants to open
 * one by a path says /proc/self/fd/N.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "paging-inner.h"

#define AT_ONCE 256u	/* pages */

static int nameless(const char *dir)
{
	char path[512];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	/* not every file system can do that */
	snprintf(path, sizeof(path), "%s/uffd-bench-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int write_whole(int fd, const char *from, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

static int fill(int fd, const struct paging_ground *g)
{
	char *buffer = malloc(AT_ONCE * PAGING_PAGE);
	int err = buffer ? 0 : -ENOMEM;

	for (uint64_t page = 0; !err && page < g->pages; page += AT_ONCE) {
		const uint64_t left = g->pages - page;
		const size_t nr = left < AT_ONCE ? left : AT_ONCE;

		for (size_t i = 0; i < nr; i++)
			paging_fill(g->seed, page + i,
				    buffer + i * PAGING_PAGE);
		err = write_whole(fd, buffer, nr * PAGING_PAGE,
				  (off_t)(page * PAGING_PAGE));
	}
	free(buffer);
	return err ? err : paging_file_cool(fd);
}

int paging_file_make(const char *dir, const struct paging_ground *g)
{
	int fd = nameless(dir), err;

	if (fd < 0)
		return fd;
	err = fill(fd, g);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int paging_file_cool(int fd)
{
	if (fdatasync(fd) < 0)
		return -errno;
	return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}
