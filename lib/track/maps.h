/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/maps, one mapping after another, without stdio or malloc.
 */
#ifndef LIB_TRACK_MAPS_H
#define LIB_TRACK_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mapping {
	uint64_t start;
	uint64_t end;
	bool readable;
	bool anonymous;		/* private, and no file behind it */
};

struct maps {
	int fd;
	size_t at, len;		/* of text: taken, filled */
	char text[8192];	/* more than a line: a path is up to 4096 */
};

/* pid 0 is the caller. 0 or -errno. */
int maps_open(struct maps *m, pid_t pid);
void maps_close(struct maps *m);

/* The next mapping, by address. 1, 0 at the end, or -errno. */
int maps_next(struct maps *m, struct mapping *ret);

/* The first mapping that ends after addr, in one go. 1, 0 or -errno. */
int maps_find(struct maps *m, pid_t pid, uint64_t addr, struct mapping *ret);

#endif
