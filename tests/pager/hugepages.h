/* SPDX-License-Identifier: MIT */
/* Huge pages for a test: so many more in the system's pool, and given back. */
#ifndef TESTS_PAGER_HUGEPAGES_H
#define TESTS_PAGER_HUGEPAGES_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define HUGEPAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static inline long hugepages_read(int fd)
{
	char text[32] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atol(text) : -1;
}

/* Change the pool's size by `by`; others may be doing so at the same time. */
static inline bool hugepages_change(long by)
{
	int fd = open(HUGEPAGES "nr_hugepages", O_RDWR | O_CLOEXEC);
	char text[32];
	long had = -1, want;
	int len;

	if (fd < 0)
		return false;
	if (flock(fd, LOCK_EX) == 0)
		had = hugepages_read(fd);
	want = had + by > 0 ? had + by : 0;
	len = snprintf(text, sizeof(text), "%ld", want);
	if (had >= 0 && pwrite(fd, text, (size_t)len, 0) != len)
		had = -1;
	if (had >= 0 && by > 0 && hugepages_read(fd) < want) {
		/* not so many are to be had: give back what came */
		len = snprintf(text, sizeof(text), "%ld", had);
		if (pwrite(fd, text, (size_t)len, 0) != len)
			perror("# " HUGEPAGES "nr_hugepages");
		had = -1;
	}
	close(fd);
	return had >= 0;
}

#endif
