/* SPDX-License-Identifier: MIT */
/*
 * What is missing, and how to get it: ways to open, features, costs.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "info.h"

/* When there are too many, which no machine can bring about, the last one is
 * written over. */
struct missing *info_add_missing(struct info *info, const char *what,
				 const char *format, ...)
{
	struct missing *m;
	va_list args;

	if (info->nr_missing < INFO_MAX_MISSING)
		info->nr_missing++;
	m = &info->missing[info->nr_missing - 1];
	m->never = false;
	snprintf(m->what, sizeof(m->what), "%s", what);
	va_start(args, format);
	vsnprintf(m->how, sizeof(m->how), format, args);
	va_end(args);
	return m;
}

/*
 * The kernel lets everybody open a descriptor for user-mode faults. So if it
 * does not while a filter is on, the filter is why.
 */
static bool filtered(const struct info *info)
{
	const int err = info->ways[WAY_USER_ONLY];

	return info->account.seccomp && (err == -EPERM || err == -ENOSYS);
}

static const char *no_filter(const struct info *info)
{
	if (info->account.container)
		return "a seccomp filter forbids it: start the container with "
		       "a profile that allows userfaultfd (--security-opt "
		       "seccomp=PROFILE.json), or with "
		       "--device /dev/userfaultfd";
	return "a seccomp filter forbids it: let it allow userfaultfd "
	       "(systemd: SystemCallFilter=userfaultfd), or use "
	       "/dev/userfaultfd";
}

static const char *allow_syscall(const struct account *a)
{
	if (a->user_namespace)
		return "on the host, as root: sysctl "
		       "vm.unprivileged_userfaultfd=1; capabilities in a user "
		       "namespace don't count";
	if (a->container)
		return "start the container with --cap-add SYS_PTRACE; or on "
		       "the host, as root: sysctl "
		       "vm.unprivileged_userfaultfd=1";
	return "as root: sysctl vm.unprivileged_userfaultfd=1; or for one "
	       "program: setcap cap_sys_ptrace+ep PROGRAM";
}

static const char *mend_syscall(const struct info *info)
{
	switch (info->ways[WAY_SYSCALL]) {
	case -ENOSYS:
		return "this kernel was built without CONFIG_USERFAULTFD "
		       "(Linux 4.3 brought it)";
	case -EPERM:
		return allow_syscall(&info->account);
	case -EACCES:
		return "a security module forbids it (SELinux: allow "
		       "anon_inode [userfaultfd] create, ioctl, read)";
	default:
		return strerror(-info->ways[WAY_SYSCALL]);
	}
}

static const char *find_device(const struct info *info)
{
	if (!info_file_has("/proc/misc", "userfaultfd"))
		return "this kernel has no such device; Linux 6.1 brought it";
	if (info->account.container)
		return "start the container with --device /dev/userfaultfd";
	return "as root: mknod -m 600 /dev/userfaultfd c 10 MINOR, its MINOR "
	       "from /proc/misc (udev does so by itself)";
}

static const char *mend_device(const struct info *info)
{
	switch (info->ways[WAY_DEVICE]) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return find_device(info);
	case -EACCES:
		return "as root: chgrp GROUP /dev/userfaultfd && chmod 660 "
		       "/dev/userfaultfd; to make it last: "
		       "KERNEL==\"userfaultfd\", GROUP=\"GROUP\", MODE=\"0660\" in "
		       "/etc/udev/rules.d/60-userfaultfd.rules";
	case -EPERM:
		return "a cgroup or the container forbids the device: start it "
		       "with --device /dev/userfaultfd (systemd: "
		       "DeviceAllow=/dev/userfaultfd rw)";
	default:
		return strerror(-info->ways[WAY_DEVICE]);
	}
}

static const char *mend_user_only(const struct info *info)
{
	const int err = info->ways[WAY_USER_ONLY];

	return err == -EINVAL ? "Linux 5.11 brought it" : strerror(-err);
}

static void miss_ways(struct info *info)
{
	const int all = info->ways[WAY_SYSCALL];
	const int user_only = info->ways[WAY_USER_ONLY];

	if (all < 0)
		info_add_missing(info, user_only == all ?
				 "userfaultfd(2) and UFFD_USER_MODE_ONLY" :
				 "userfaultfd(2)", "%s",
				 filtered(info) ? no_filter(info) :
						  mend_syscall(info));
	if (info->ways[WAY_DEVICE] < 0)
		info_add_missing(info, "/dev/userfaultfd", "%s",
				 mend_device(info));
	if (user_only < 0 && user_only != all)
		info_add_missing(info, "UFFD_USER_MODE_ONLY", "%s",
				 mend_user_only(info));
}

static void miss_feature(struct info *info, const struct uffd_feature_info *f)
{
	const struct account *a = &info->account;

	if (!(info->supported & f->bit)) {
		if (strncmp(f->since, "after ", 6) == 0)
			info_add_missing(info, f->name,
					 "a kernel after %s brings it",
					 f->since + 6);
		else
			info_add_missing(info, f->name, "Linux %s brought it",
					 f->since);
	} else if (f->bit != UFFD_FEATURE_EVENT_FORK) {
		info_add_missing(info, f->name, "the kernel says it has it, "
				 "and refuses it");
	} else if (a->user_namespace) {
		info_add_missing(info, f->name, "needs CAP_SYS_PTRACE, and not "
				 "in a user namespace but on the host");
	} else {
		info_add_missing(info, f->name, "needs CAP_SYS_PTRACE: be "
				 "root, or setcap cap_sys_ptrace+ep PROGRAM%s",
				 a->container ? ", or start the container with "
						"--cap-add SYS_PTRACE" :
						"");
	}
}

static void miss_features(struct info *info)
{
	const struct uffd_feature_info *f;

	/* Nobody could be asked. */
	if (info->open_err < 0)
		return;
	for (unsigned n = 0; (f = uffd_feature_info(n)); n++)
		if (!(info->usable & f->bit))
			miss_feature(info, f);
}

static void miss_costs(struct info *info)
{
	const struct uffd_costs *c = &info->costs;

	if (!info->measured)
		return;
	if (info->costs_err < 0)
		info_add_missing(info, "costs", "could not be measured: %s",
				 strerror(-info->costs_err));
	else if (c->wake_other_ns == 0)
		info_add_missing(info, "wake_other, shootdown",
				 "one processor only: have more, or let this "
				 "process use them (taskset, cpuset)");
	else if (c->shootdown_ns == 0)
		info_add_missing(info, "shootdown",
				 "not told from noise: try again when the "
				 "machine is less busy");
}

void info_find_missing(struct info *info)
{
	miss_ways(info);
	miss_features(info);
	info_find_missing_memory(info);
	miss_costs(info);
}
