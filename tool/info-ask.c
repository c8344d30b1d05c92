/* SPDX-License-Identifier: MIT */
/*
 * Everything that `uffd info` tells is found out here, by trying.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "info.h"

static const struct {
	int err;
	const char *name;
} error_names[] = {
	{ EPERM, "EPERM" },	{ ENOENT, "ENOENT" },	{ EACCES, "EACCES" },
	{ ENOMEM, "ENOMEM" },	{ ENOSYS, "ENOSYS" },	{ EINVAL, "EINVAL" },
	{ ENODEV, "ENODEV" },	{ ENXIO, "ENXIO" },	{ EMFILE, "EMFILE" },
	{ ENFILE, "ENFILE" },	{ EAGAIN, "EAGAIN" },	{ EIO, "EIO" },
	{ EOPNOTSUPP, "EOPNOTSUPP" },			{ EFBIG, "EFBIG" },
	{ ETIMEDOUT, "ETIMEDOUT" },			{ ENOTTY, "ENOTTY" },
	{ ENOSPC, "ENOSPC" },	{ EROFS, "EROFS" },	{ EBUSY, "EBUSY" },
};

const char *info_error_name(int err, char buf[32])
{
	for (unsigned i = 0; i < sizeof(error_names) / sizeof(error_names[0]);
	     i++)
		if (error_names[i].err == -err)
			return error_names[i].name;
	snprintf(buf, 32, "errno %d", -err);
	return buf;
}

const char *info_way_name(enum way way)
{
	static const char *const names[NR_WAYS] = {
		[WAY_SYSCALL] = "syscall",
		[WAY_DEVICE] = "device",
		[WAY_USER_ONLY] = "user-only",
	};

	return names[way];
}

static int open_device(int flags)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd, err;

	if (device < 0)
		return -errno;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
	err = fd < 0 ? -errno : fd;
	close(device);
	return err;
}

static int open_syscall(int flags)
{
	int fd = (int)syscall(SYS_userfaultfd, flags);

	return fd < 0 ? -errno : fd;
}

int info_try_way(enum way way)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int fd, err;

	if (way == WAY_USER_ONLY)
		flags |= UFFD_USER_MODE_ONLY;
	fd = way == WAY_DEVICE ? open_device(flags) : open_syscall(flags);
	if (fd < 0)
		return fd;
	err = uffd_api(fd, 0, NULL);
	close(fd);
	return err;
}

int info_try_feature(uint64_t bit)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts), .need = bit };
	int fd;

	/* the kernel refuses the one without the other */
	if (bit == UFFD_FEATURE_RWP_ASYNC)
		opts.need |= UFFD_FEATURE_RWP;
	fd = uffd_open(&opts, NULL);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void ask_opening(struct info *info)
{
	int fd = uffd_open(NULL, &info->opened);

	if (fd >= 0)
		close(fd);
	info->open_err = fd < 0 ? fd : 0;
	info->supported = info->opened.supported;
	for (enum way way = 0; way < NR_WAYS; way++)
		info->ways[way] = info_try_way(way);
}

static void ask_features(struct info *info)
{
	const struct uffd_feature_info *f;

	for (unsigned n = 0; (f = uffd_feature_info(n)); n++)
		if ((info->supported & f->bit) && info_try_feature(f->bit) == 0)
			info->usable |= f->bit;
}

void info_ask(struct info *info, bool measure)
{
	uname(&info->uts);
	info_account(&info->account);
	ask_opening(info);
	ask_features(info);
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++)
		for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++)
			info->tried[m][op] = uffd_try(m, op);
	info->measured = measure;
	if (measure)
		info->costs_err = uffd_costs(&info->costs);
}
