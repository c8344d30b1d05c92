/* SPDX-License-Identifier: MIT */
/*
 * Other processes: watching them end, and taking descriptors from them.
 */
#include <time.h>
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

PUBLIC int uffd_pidfd_open(pid_t pid)
{
	return sys_pidfd_open(pid);
}

PUBLIC int uffd_pidfd_getfd(int pidfd, int fd)
{
	return sys_pidfd_getfd(pidfd, fd);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

PUBLIC int uffd_pidfd_wait(int pidfd, int timeout_ms)
{
	const int64_t until = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n;

	if (pidfd < 0) /* poll would wait on nothing */
		return -EBADF;
	while ((n = sys_poll(&p, 1, timeout_ms)) == -EINTR) {
		int64_t left = until - now_ms();

		if (timeout_ms > 0)
			timeout_ms = left > 0 ? (int)left : 0;
	}
	if (n <= 0)
		return n;
	return p.revents & POLLIN ? 1 : -EBADF;
}
