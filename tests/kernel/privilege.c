/* SPDX-License-Identifier: MIT */
/*
 * Who may do what: as root, as nobody, with the sysctl at 0 and at 1, with the
 * device and without it, in a user namespace.
 */
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fixture.h"

#define NOBODY 65534
#define SYSCTL "/proc/sys/vm/unprivileged_userfaultfd"
#define DEVICE "/dev/userfaultfd"

struct setting {
	int fd;
	char was;
};

/* Set the sysctl; the lock is given back with the setting, so that only one
 * program at a time has it its way. */
static struct setting set_sysctl(char to)
{
	struct setting s = { .fd = open(SYSCTL, O_RDWR | O_CLOEXEC) };

	if (s.fd < 0)
		skip("no vm.unprivileged_userfaultfd in this kernel");
	CHECK(flock(s.fd, LOCK_EX) == 0);
	SAME(pread(s.fd, &s.was, 1, 0), 1);
	if (s.was != to && pwrite(s.fd, &to, 1, 0) != 1)
		skip("vm.unprivileged_userfaultfd can't be written here");
	return s;
}

/* Run fn as nobody; the setting is restored before its verdict is looked at,
 * and whatever becomes of it. */
static void as_nobody(void (*fn)(void *), void *arg, char sysctl)
{
	struct setting s = set_sysctl(sysctl);
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
			_exit(2);
		/* what setuid(2) took: /proc/self is its own again */
		prctl(PR_SET_DUMPABLE, 1);
		fn(arg);
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (s.was != sysctl)
		CHECK(pwrite(s.fd, &s.was, 1, 0) == 1);
	close(s.fd);
	SAME(status, 0);
}

/* why the device does not open */
static int no_device(void)
{
	return access(DEVICE, F_OK) == 0 ? -EACCES : -ENOENT;
}

static bool nobody_has_device(void)
{
	struct stat st;

	return stat(DEVICE, &st) == 0 && (st.st_mode & 0006) == 0006;
}

static int open_with(uint64_t need, uint64_t want, uint32_t flags,
		     struct uffd_opened *ret)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = need,
		.want = want,
		.flags = flags,
	};

	return uffd_open(&opts, ret);
}

/* ---- nobody, 0 ---------------------------------------------------------- */

static void user_only(void *arg)
{
	struct uffd_opened o;

	(void)arg;
	CHECK(open_with(0, 0, 0, &o) >= 0);
	SAME(o.how, LIBUFFD_BY_USER_ONLY);
	CHECK(!o.kernel_faults);
	SAME(o.err_syscall, -EPERM);
	SAME(o.err_device, no_device());
	SAME(o.err_user_only, 0);
}

static void kernel_faults_needed(void *arg)
{
	const unsigned fds = nr_fds();
	struct uffd_opened o;

	(void)arg;
	SAME(open_with(0, 0, LIBUFFD_OPEN_NEED_KERNEL_FAULTS, &o), -EPERM);
	SAME(o.how, 0);
	SAME(o.err_syscall, -EPERM);
	SAME(o.err_device, no_device());
	SAME(o.err_user_only, 1);
	SAME(nr_fds(), fds);
}

static void fork_dropped(void *arg)
{
	const uint64_t events = UFFD_FEATURE_EVENT_FORK |
				UFFD_FEATURE_EVENT_REMAP;
	const unsigned fds = nr_fds();
	struct uffd_opened o;
	int fd = open_with(0, events, 0, &o);

	(void)arg;
	CHECK(fd >= 0);
	SAME(o.enabled, UFFD_FEATURE_EVENT_REMAP);
	CHECK(o.supported & UFFD_FEATURE_EVENT_FORK);
	close(fd);
	SAME(open_with(UFFD_FEATURE_EVENT_FORK, 0, 0, &o), -EPERM);
	SAME(o.missing, UFFD_FEATURE_EVENT_FORK);
	SAME(o.enabled, 0);
	SAME(nr_fds(), fds);
}

static void serves(void *arg)
{
	struct area a = map_area(arg, 1);
	struct touch t;
	int fd = open_with(0, 0, 0, NULL);

	CHECK(fd >= 0);
	watch(fd, &a, MISSING);
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(fd, a.at, bytes_of('n', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'n');
}

static void tries(void *arg)
{
	const unsigned fds = nr_fds();

	(void)arg;
	SAME(uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_MISSING), 1);
	SAME(uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_COPY), 1);
	SAME(uffd_try(LIBUFFD_MEM_SHARED, LIBUFFD_OP_ZEROPAGE), 1);
	for (int mem = 0; mem < LIBUFFD_MEM_HUGETLB_2M; mem++)
		for (int op = 0; op < LIBUFFD_NR_OP; op++)
			CHECK(uffd_try(mem, op) >= 0);
	SAME(nr_fds(), fds);
}

static void scans_itself(void *arg)
{
	struct uffd_scan_arg scan = {
		.start = (uintptr_t)bytes_of('s', 4096),
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	int fd = uffd_pagemap_open(0);

	(void)arg;
	CHECK(fd >= 0);
	scan.end = scan.start + 4096;
	scan.max_pages = 1;
	CHECK(uffd_pagemap_scan(fd, &scan) >= 0);
	CHECK(uffd_pagemap_open(1) < 0);
}

#define NOBODY_0(name) \
	static void name##_0(const struct memory *m) \
	{ \
		if (nobody_has_device()) \
			skip("everybody may open " DEVICE " here"); \
		as_nobody(name, (void *)(uintptr_t)m, '0'); \
	}

NOBODY_0(user_only)
NOBODY_0(kernel_faults_needed)
NOBODY_0(fork_dropped)
NOBODY_0(serves)
NOBODY_0(tries)
NOBODY_0(scans_itself)

/* ---- nobody, 1 ---------------------------------------------------------- */

static void all_faults(void *arg)
{
	struct uffd_opened o;

	(void)arg;
	CHECK(open_with(0, UFFD_FEATURE_EVENT_FORK, 0, &o) >= 0);
	SAME(o.how, LIBUFFD_BY_SYSCALL);
	CHECK(o.kernel_faults);
	/* it takes a capability all the same */
	SAME(o.enabled, 0);
}

static void all_faults_1(const struct memory *m)
{
	(void)m;
	as_nobody(all_faults, NULL, '1');
}

/* ---- the device --------------------------------------------------------- */

/* a device node of our own over the real one, seen by this process alone */
static void open_up_device(void)
{
	char dir[] = "/tmp/libuffd-dev.XXXXXX", path[64];
	struct stat st;

	if (stat(DEVICE, &st) < 0)
		skip("no " DEVICE " here");
	CHECK(mkdtemp(dir));
	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", dir, "tmpfs", 0, NULL) == 0);
	snprintf(path, sizeof(path), "%s/node", dir);
	CHECK(mknod(path, S_IFCHR, st.st_rdev) == 0);
	CHECK(chmod(path, 0666) == 0);
	CHECK(mount(path, DEVICE, NULL, MS_BIND, NULL) == 0);
	CHECK(umount2(dir, MNT_DETACH) == 0);
	CHECK(rmdir(dir) == 0);
}

static void by_device(void *arg)
{
	const unsigned fds = nr_fds();
	struct uffd_opened o;
	int fd = open_with(0, UFFD_FEATURE_EVENT_FORK, 0, &o);

	(void)arg;
	CHECK(fd >= 0);
	SAME(o.how, LIBUFFD_BY_DEVICE);
	CHECK(o.kernel_faults);
	SAME(o.err_syscall, -EPERM);
	SAME(o.err_device, 0);
	SAME(o.err_user_only, 1);
	SAME(o.enabled, 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	SAME(nr_fds(), fds);
}

static void by_device_0(const struct memory *m)
{
	(void)m;
	open_up_device();
	as_nobody(by_device, NULL, '0');
}

/* ---- root --------------------------------------------------------------- */

static void root(const struct memory *m)
{
	struct uffd_opened o;

	(void)m;
	CHECK(open_with(UFFD_FEATURE_EVENT_FORK, 0,
			LIBUFFD_OPEN_NEED_KERNEL_FAULTS, &o) >= 0);
	SAME(o.how, LIBUFFD_BY_SYSCALL);
	SAME(o.err_syscall, 0);
	SAME(o.err_device, 1);
	SAME(o.err_user_only, 1);
	SAME(o.enabled, UFFD_FEATURE_EVENT_FORK);
}

/* root of a user namespace is nobody here */
static void namespace_root(void *arg)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return;
	user_only(arg);
	kernel_faults_needed(arg);
	fork_dropped(arg);
}

NOBODY_0(namespace_root)

#define AS_ROOT 0, NEED_ROOT, 0
#define AS_NOBODY 0, NEED_ROOT | NEED_USER_ONLY, 0

static const struct promise promises[] = {
	{ "root has all faults, and EVENT_FORK", root, 0,
	  NEED_ROOT | NEED_FORK | NEED_KERNEL_FAULTS, 0 },
	{ "nobody has user-mode faults only, and is told why", user_only_0,
	  AS_NOBODY },
	{ "nobody who needs the kernel's faults gets EPERM, and no descriptor",
	  kernel_faults_needed_0, AS_ROOT },
	{ "nobody: EVENT_FORK is dropped when wanted, EPERM when needed",
	  fork_dropped_0, AS_NOBODY },
	{ "root of a user namespace is nobody", namespace_root_0, AS_NOBODY },
	{ "nobody can serve its own faults", serves_0, SMALL,
	  NEED_ROOT | NEED_USER_ONLY, 0 },
	{ "nobody can try what works", tries_0, AS_NOBODY },
	{ "nobody can scan itself, and not others", scans_itself_0, 0,
	  NEED_ROOT | NEED_SCAN, 0 },
	{ "who may open the device has all faults", by_device_0, AS_ROOT },
	{ "with the sysctl at 1 nobody has all faults", all_faults_1,
	  AS_ROOT },
};

MAIN(promises)
