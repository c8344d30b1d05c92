/* SPDX-License-Identifier: MIT */
/*
 * One funnel, and a function of a few lines for each ioctl.
 */
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

PUBLIC int uffd_api(int fd, uint64_t features, uint64_t *ret_supported)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int ret = sys_ioctl(fd, UFFDIO_API, &api);

	if (ret == 0 && ret_supported)
		*ret_supported = api.features;
	return ret;
}

/*
 * While the layout changes, the kernel answers EAGAIN before it looks at the
 * arguments; otherwise an empty range is EINVAL. So an impossible request
 * tells a changing layout from a race that is over.
 */
PUBLIC int uffd_changing(int fd)
{
	struct uffdio_zeropage nothing = { .range = { 0, 0 } };
	int ret = sys_ioctl(fd, UFFDIO_ZEROPAGE, &nothing);

	switch (ret) {
	case -EAGAIN:
		return 1;
	case -EINVAL:
		return 0;
	default:
		return ret;
	}
}

/* tell apart what an EAGAIN without progress means */
static int64_t why_again(int fd)
{
	return uffd_changing(fd) == 1 ? -EINPROGRESS : -EAGAIN;
}

/*
 * The funnel. out is where the kernel puts the bytes done; kernels before 6.15
 * leave it alone when the layout is changing, so it starts as 0.
 */
static int64_t fill(int fd, unsigned long request, void *arg, __s64 *out)
{
	*out = 0;
	int ret = sys_ioctl(fd, request, arg);

	if (ret == 0 || (ret == -EAGAIN && *out > 0))
		return *out;
	return ret == -EAGAIN ? why_again(fd) : ret;
}

/* the same for requests without an output field */
static int64_t protect(int fd, unsigned long request, void *arg, uint64_t len)
{
	int ret = sys_ioctl(fd, request, arg);

	if (ret == 0)
		return (int64_t)len;
	return ret == -EAGAIN ? why_again(fd) : ret;
}

PUBLIC int uffd_register(int fd, uint64_t start, uint64_t len, uint64_t mode,
			 uint64_t *ret_ioctls)
{
	struct uffdio_register reg = {
		.range = { start, len },
		.mode = mode,
	};
	int ret = sys_ioctl(fd, UFFDIO_REGISTER, &reg);

	if (ret == 0 && ret_ioctls)
		*ret_ioctls = reg.ioctls;
	return ret;
}

PUBLIC int uffd_unregister(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { start, len };
	int ret = sys_ioctl(fd, UFFDIO_UNREGISTER, &range);

	if (ret < 0)
		return ret;
	return uffd_wake(fd, start, len);
}

PUBLIC int uffd_wake(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { start, len };

	return sys_ioctl(fd, UFFDIO_WAKE, &range);
}

PUBLIC int64_t uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
			 uint64_t mode)
{
	struct uffdio_copy arg = {
		.dst = dst,
		.src = (uintptr_t)src,
		.len = len,
		.mode = mode,
	};

	return fill(fd, UFFDIO_COPY, &arg, &arg.copy);
}

PUBLIC int64_t uffd_zeropage(int fd, uint64_t start, uint64_t len,
			     uint64_t mode)
{
	struct uffdio_zeropage arg = { .range = { start, len }, .mode = mode };

	return fill(fd, UFFDIO_ZEROPAGE, &arg, &arg.zeropage);
}

PUBLIC int64_t uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
			 uint64_t mode)
{
	struct uffdio_move arg = {
		.dst = dst,
		.src = src,
		.len = len,
		.mode = mode,
	};

	return fill(fd, UFFDIO_MOVE, &arg, &arg.move);
}

PUBLIC int64_t uffd_continue(int fd, uint64_t start, uint64_t len,
			     uint64_t mode)
{
	struct uffdio_continue arg = { .range = { start, len }, .mode = mode };

	return fill(fd, UFFDIO_CONTINUE, &arg, &arg.mapped);
}

PUBLIC int64_t uffd_poison(int fd, uint64_t start, uint64_t len, uint64_t mode)
{
	struct uffdio_poison arg = { .range = { start, len }, .mode = mode };

	return fill(fd, UFFDIO_POISON, &arg, &arg.updated);
}

PUBLIC int64_t uffd_writeprotect(int fd, uint64_t start, uint64_t len,
				 uint64_t mode)
{
	struct uffdio_writeprotect arg = {
		.range = { start, len },
		.mode = mode,
	};

	return protect(fd, UFFDIO_WRITEPROTECT, &arg, len);
}

PUBLIC int64_t uffd_rwprotect(int fd, uint64_t start, uint64_t len,
			      uint64_t mode)
{
	struct uffdio_rwprotect arg = { .range = { start, len }, .mode = mode };

	return protect(fd, UFFDIO_RWPROTECT, &arg, len);
}

PUBLIC int uffd_set_mode(int fd, uint64_t enable, uint64_t disable)
{
	struct uffdio_set_mode arg = { .enable = enable, .disable = disable };

	return sys_ioctl(fd, UFFDIO_SET_MODE, &arg);
}
