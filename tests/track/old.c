/* SPDX-License-Identifier: MIT */
/*
 * Stands between the library and the kernel, and hides what came after 6.1:
 * PAGEMAP_SCAN, WP_ASYNC, and protecting holes of private memory.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <uffd/abi.h>

#define HIDDEN \
	((__u64)UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_POISON | \
	 UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_MOVE)

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct uffdio_api *api = arg;
	int ret;

	if (request == LIBUFFD_PAGEMAP_SCAN) {
		errno = ENOTTY;
		return -1;
	}
	if (request == UFFDIO_API && api->features & HIDDEN) {
		memset(api, 0, sizeof(*api));
		errno = EINVAL;
		return -1;
	}
	ret = __real_ioctl(fd, request, arg);
	if (request == UFFDIO_API)
		api->features &= ~HIDDEN;
	return ret;
}
