/* SPDX-License-Identifier: MIT */
/*
 * Opening a userfaultfd and agreeing on its features.
 */
#include <uffd/kernel.h>

#include "opts.h"
#include "../public.h"
#include "sys.h"

#define NOT_TRIED 1

static int open_device(int flags)
{
	int dev = sys_open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd;

	if (dev < 0)
		return dev;
	fd = sys_ioctl_value(dev, USERFAULTFD_IOC_NEW, flags);
	sys_close(dev);
	return fd;
}

static int open_by(enum uffd_how how, int flags)
{
	switch (how) {
	case LIBUFFD_BY_SYSCALL:
		return sys_userfaultfd(flags);
	case LIBUFFD_BY_DEVICE:
		return open_device(flags);
	default:
		return sys_userfaultfd(flags | UFFD_USER_MODE_ONLY);
	}
}

/* not allowed, or not there: another way may be open */
static bool closed_to_us(int err)
{
	return err == -EPERM || err == -EACCES || err == -ENOSYS ||
	       err == -ENOENT || err == -ENODEV || err == -ENXIO ||
	       err == -EINVAL || err == -ENOTTY;
}

/* try one way and write down how it went */
static int attempt(enum uffd_how how, int flags, int *err,
		   struct uffd_opened *o)
{
	int fd = open_by(how, flags);

	*err = fd < 0 ? fd : 0;
	if (fd >= 0) {
		o->how = how;
		o->kernel_faults = how != LIBUFFD_BY_USER_ONLY;
	}
	return fd;
}

/* the first way that is open, in the order of the header's comment */
static int open_any(uint32_t want, int flags, struct uffd_opened *o)
{
	int fd;

	if (!(want & LIBUFFD_OPEN_USER_ONLY)) {
		fd = attempt(LIBUFFD_BY_SYSCALL, flags, &o->err_syscall, o);
		if (fd >= 0 || !closed_to_us(fd))
			return fd;
		fd = attempt(LIBUFFD_BY_DEVICE, flags, &o->err_device, o);
		if (fd >= 0 || !closed_to_us(fd))
			return fd;
		if (want & LIBUFFD_OPEN_NEED_KERNEL_FAULTS)
			return o->err_syscall;
	}
	fd = attempt(LIBUFFD_BY_USER_ONLY, flags, &o->err_user_only, o);
	if (fd != -EINVAL)
		return fd;
	/* kernels before 5.11 have no such flag: what failed before counts */
	return o->err_syscall < 0 ? o->err_syscall : -ENOSYS;
}

/* ask a throw-away descriptor; the kernel answers each only once */
static int ask(enum uffd_how how, uint64_t *ret)
{
	int fd = open_by(how, O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return fd;
	err = uffd_api(fd, 0, ret);
	sys_close(fd);
	return err;
}

static int negotiate(int fd, const struct uffd_open_opts *opts,
		     struct uffd_opened *o)
{
	uint64_t enable = opts->need | (opts->want & o->supported);
	int ret;

	/* the kernel refuses RWP_ASYNC without RWP beside it */
	if (!(enable & UFFD_FEATURE_RWP))
		enable &= opts->need | ~(uint64_t)UFFD_FEATURE_RWP_ASYNC;

	o->missing = opts->need & ~o->supported;
	if (o->missing)
		return -EOPNOTSUPP;

	ret = uffd_api(fd, enable, NULL);
	if (ret == -EPERM && (enable & UFFD_FEATURE_EVENT_FORK)) {
		if (opts->need & UFFD_FEATURE_EVENT_FORK) {
			o->missing = UFFD_FEATURE_EVENT_FORK;
			return -EPERM;
		}
		enable &= ~(uint64_t)UFFD_FEATURE_EVENT_FORK;
		ret = uffd_api(fd, enable, NULL);
	}
	if (ret == 0)
		o->enabled = enable;
	return ret;
}

static int open_and_ask(const struct uffd_open_opts *opts,
			struct uffd_opened *o)
{
	int flags = O_CLOEXEC;
	int fd, ret;

	if (!(opts->flags & LIBUFFD_OPEN_BLOCKING))
		flags |= O_NONBLOCK;
	fd = open_any(opts->flags, flags, o);
	if (fd < 0)
		return fd;
	ret = ask(o->how, &o->supported);
	if (ret == 0)
		ret = negotiate(fd, opts, o);
	if (ret < 0) {
		sys_close(fd);
		return ret;
	}
	return fd;
}

PUBLIC int uffd_open(const struct uffd_open_opts *opts, struct uffd_opened *ret)
{
	const uint32_t known = LIBUFFD_OPEN_NEED_KERNEL_FAULTS |
			       LIBUFFD_OPEN_USER_ONLY | LIBUFFD_OPEN_BLOCKING;
	struct uffd_opened mine;
	struct uffd_open_opts o;

	if (!ret)
		ret = &mine;
	*ret = (struct uffd_opened){
		.err_syscall = NOT_TRIED,
		.err_device = NOT_TRIED,
		.err_user_only = NOT_TRIED,
	};
	if (opts_take(&o, sizeof(o), opts) < 0 || (o.flags & ~known) ||
	    o.reserved ||
	    ((o.flags & LIBUFFD_OPEN_USER_ONLY) &&
	     (o.flags & LIBUFFD_OPEN_NEED_KERNEL_FAULTS)))
		return -EINVAL;
	return open_and_ask(&o, ret);
}

PUBLIC int uffd_features(uint64_t *ret)
{
	struct uffd_opened o = { 0 };
	int fd = open_any(0, O_CLOEXEC | O_NONBLOCK, &o);
	int err;

	if (fd < 0)
		return fd;
	err = uffd_api(fd, 0, ret);
	sys_close(fd);
	return err;
}
