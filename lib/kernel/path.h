/* SPDX-License-Identifier: MIT */
/*
 * Paths under /proc, put together without stdio, which a signal handler may
 * not use.
 */
#ifndef LIB_KERNEL_PATH_H
#define LIB_KERNEL_PATH_H

#include <stddef.h>
#include <sys/types.h>

/* long enough for /proc/, two numbers and the longest name between them */
struct path {
	char text[64];
	size_t len;
};

static inline void path_add(struct path *path, const char *text)
{
	while (*text && path->len + 1 < sizeof(path->text))
		path->text[path->len++] = *text++;
	path->text[path->len] = '\0';
}

/* n is not negative */
static inline void path_add_number(struct path *path, int n)
{
	char digits[12];
	size_t at = sizeof(digits);

	digits[--at] = '\0';
	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	path_add(path, &digits[at]);
}

/* "/proc/PID", or "/proc/self" for pid 0 */
static inline void path_proc(struct path *path, pid_t pid)
{
	path->len = 0;
	path_add(path, "/proc/");
	if (pid == 0)
		path_add(path, "self");
	else
		path_add_number(path, pid);
}

#endif
