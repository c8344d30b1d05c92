/* SPDX-License-Identifier: MIT */
/*
 * Opening and the handshake: what is refused, what is found out, and that
 * what a kernel lacks is reported as lacking.
 */
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "fixture.h"

static int raw_open(int flags)
{
	int fd = (int)syscall(SYS_userfaultfd, flags);

	return fd < 0 ? -errno : fd;
}

/* not yet asked; for user-mode faults only where nothing else may be had */
static int fresh(void)
{
	int fd = raw_open(O_CLOEXEC | O_NONBLOCK);

	if (fd == -EPERM)
		fd = raw_open(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		skip("no right to open a userfaultfd");
	return fd;
}

static uint64_t supported(void)
{
	uint64_t have = 0;

	SAME(uffd_features(&have), 0);
	return have;
}

static void bad_flags(const struct memory *m)
{
	(void)m;
	SAME(raw_open(O_CLOEXEC | 2), -EINVAL);
	SAME(raw_open(O_RDWR), -EINVAL);
}

static void device_bad_flags(const struct memory *m)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	(void)m;
	if (dev < 0)
		skip("no /dev/userfaultfd here");
	CHECK(ioctl(dev, USERFAULTFD_IOC_NEW, 2 | O_CLOEXEC) < 0);
	SAME(errno, EINVAL);
	CHECK(ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC) >= 0);
}

static void wrong_api(const struct memory *m)
{
	struct uffdio_api api = { .api = 0xab, .ioctls = 7 };
	int fd = fresh();

	(void)m;
	CHECK(ioctl(fd, UFFDIO_API, &api) < 0);
	SAME(errno, EINVAL);
	SAME(api.api, 0);
	SAME(api.ioctls, 0);
	/* and it can be asked again */
	SAME(uffd_api(fd, 0, NULL), 0);
}

static void unknown_feature(const struct memory *m)
{
	const uint64_t bits[] = { UINT64_C(1) << 63, UINT64_C(1) << 31 };
	uint64_t have = 99;
	int fd = fresh();

	(void)m;
	for (unsigned i = 0; i < NR(bits); i++)
		SAME(uffd_api(fd, bits[i], &have), -EINVAL);
	SAME(have, 99);
	SAME(uffd_api(fd, 0, &have), 0);
	CHECK(have != 99);
}

static void asked_twice(const struct memory *m)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = fresh();

	(void)m;
	SAME(uffd_api(fd, 0, NULL), 0);
	SAME(uffd_api(fd, 0, NULL), -EINVAL);
	CHECK(ioctl(fd, UFFDIO_API, &api) < 0);
	SAME(api.api, 0);
}

static void first_things_first(const struct memory *m)
{
	struct pollfd p = { .events = POLLIN };
	struct uffd_msg msg;
	struct uffd_batch b;
	char *page = map_anon(4096);

	(void)m;
	p.fd = fresh();
	SAME(uffd_batch_init(&b, &msg, 1), 0);
	SAME(uffd_batch_read(p.fd, &b), -EINVAL);
	SAME(uffd_register(p.fd, (uintptr_t)page, 4096, MISSING, NULL),
	     -EINVAL);
	SAME(uffd_wake(p.fd, (uintptr_t)page, 4096), -EINVAL);
	SAME(poll(&p, 1, 0), 1);
	SAME(p.revents, POLLERR);
}

static void all_or_enabled(const struct memory *m)
{
	struct uffd_fdinfo info;
	uint64_t have;
	int fd = fresh();

	(void)m;
	SAME(uffd_api(fd, UFFD_FEATURE_THREAD_ID, &have), 0);
	SAME(have, supported());
	SAME(uffd_fdinfo(0, fd, &info), 0);
	SAME(info.features, UFFD_FEATURE_THREAD_ID);
	SAME(info.api, UFFD_API);
}

static void range_less_ioctls(const struct memory *m)
{
	struct uffdio_api api = { .api = UFFD_API };
	const uint64_t least = UINT64_C(1) << _UFFDIO_API |
			       1 << _UFFDIO_REGISTER | 1 << _UFFDIO_UNREGISTER;

	(void)m;
	SAME(ioctl(fresh(), UFFDIO_API, &api), 0);
	SAME(api.ioctls & least, least);
}

static void each_alone(const struct memory *m)
{
	const struct uffd_feature_info *f;
	const uint64_t have = supported();

	(void)m;
	for (unsigned i = 0; (f = uffd_feature_info(i)); i++) {
		int want = have & f->bit ? 0 : -EINVAL;
		int fd = fresh();

		if (f->bit == UFFD_FEATURE_EVENT_FORK)
			continue;
		if (f->bit != UFFD_FEATURE_RWP_ASYNC)
			SAME(uffd_api(fd, f->bit, NULL), want);
		close(fd);
	}
}

static void unknown_ioctl(const struct memory *m)
{
	int fd = open_uffd(0);
	uint64_t arg[16] = { 0 };

	(void)m;
	CHECK(ioctl(fd, _IOWR(UFFDIO, 0x2a, struct uffdio_copy), arg) < 0);
	SAME(errno, EINVAL);
}

/* ---- uffd_open ---------------------------------------------------------- */

static void open_flags(const struct memory *m)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts) };
	int fd = open_uffd(0);

	(void)m;
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	opts.flags = LIBUFFD_OPEN_BLOCKING;
	fd = uffd_open(&opts, NULL);
	CHECK(fd >= 0);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
}

static void open_tells(const struct memory *m)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts) };
	struct uffd_opened o;

	(void)m;
	opts.want = ~UINT64_C(0);
	CHECK(uffd_open(&opts, &o) >= 0);
	SAME(o.supported, supported());
	SAME(o.enabled & ~o.supported, 0);
	SAME(o.enabled | UFFD_FEATURE_EVENT_FORK,
	     o.supported | UFFD_FEATURE_EVENT_FORK);
	SAME(o.kernel_faults, o.how != LIBUFFD_BY_USER_ONLY);
	SAME(o.missing, 0);
}

static void open_needs(const struct memory *m)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts) };
	const unsigned fds = nr_fds();
	struct uffd_opened o;

	(void)m;
	opts.need = UINT64_C(1) << 40 | UFFD_FEATURE_THREAD_ID;
	SAME(uffd_open(&opts, &o), -EOPNOTSUPP);
	SAME(o.missing, UINT64_C(1) << 40);
	SAME(o.enabled, 0);
	SAME(nr_fds(), fds);
}

static void open_refuses(const struct memory *m)
{
	struct {
		struct uffd_open_opts opts;
		uint64_t newer;
	} o = { .opts = { .sz = sizeof(o) }, .newer = 1 };

	(void)m;
	SAME(uffd_open(&o.opts, NULL), -EINVAL);
	o.newer = 0;
	CHECK(uffd_open(&o.opts, NULL) >= 0);
	o.opts.flags = 1u << 31;
	SAME(uffd_open(&o.opts, NULL), -EINVAL);
	o.opts.flags = 0;
	o.opts.reserved = 1;
	SAME(uffd_open(&o.opts, NULL), -EINVAL);
}

static void user_only(const struct memory *m)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.flags = LIBUFFD_OPEN_USER_ONLY,
	};
	struct area a = map_area(m, 1);
	struct uffd_opened o;
	struct touch t;
	int fd = uffd_open(&opts, &o), pipe[2];

	CHECK(fd >= 0);
	SAME(o.how, LIBUFFD_BY_USER_ONLY);
	CHECK(!o.kernel_faults);
	watch(fd, &a, MISSING);
	CHECK(pipe2(pipe, O_CLOEXEC) == 0);
	CHECK(write(pipe[1], a.p, 1) < 0);
	SAME(errno, EFAULT);
	CHECK(silent(fd));
	/* what the program itself does waits as ever */
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(fd, a.at, bytes_of('u', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'u');
}

/* ---- what is absent is reported as absent ------------------------------- */

/* A kernel that has it, and says so, can do it; one that has it not, and says
 * so, refuses it: by its feature, by trying, and by the call itself. */
static void agree(uint64_t feature, enum uffd_op op, int64_t refused)
{
	const bool has = supported() & feature;

	SAME(uffd_try(LIBUFFD_MEM_PRIVATE, op), has);
	SAME(refused == -EINVAL, !has);
}

static void move_agrees(const struct memory *m)
{
	char *p = bytes_of('m', 2 * 4096);
	int fd = open_uffd(0);

	(void)m;
	madvise(p, 4096, MADV_DONTNEED);
	SAME(uffd_register(fd, (uintptr_t)p, 4096, MISSING, NULL), 0);
	agree(UFFD_FEATURE_MOVE, LIBUFFD_OP_MOVE,
	      uffd_move(fd, (uintptr_t)p, (uintptr_t)p + 4096, 4096, 0));
}

static void poison_agrees(const struct memory *m)
{
	char *p = map_anon(4096);
	int fd = open_uffd(0);

	(void)m;
	SAME(uffd_register(fd, (uintptr_t)p, 4096, MISSING, NULL), 0);
	agree(UFFD_FEATURE_POISON, LIBUFFD_OP_POISON,
	      uffd_poison(fd, (uintptr_t)p, 4096, 0));
}

static void rwp_agrees(const struct memory *m)
{
	const bool has = supported() & UFFD_FEATURE_RWP;
	char *p = bytes_of('r', 4096);
	int fd = open_uffd(has ? UFFD_FEATURE_RWP : 0);
	int ret = uffd_register(fd, (uintptr_t)p, 4096,
				UFFDIO_REGISTER_MODE_RWP, NULL);

	(void)m;
	SAME(ret, has ? 0 : -EINVAL);
	agree(UFFD_FEATURE_RWP, LIBUFFD_OP_RWP,
	      uffd_rwprotect(fd, (uintptr_t)p, 4096, 1));
	if (!has)
		SAME(uffd_set_mode(fd, 0, 0), -EINVAL);
}

static void scan_agrees(const struct memory *m)
{
	const bool has = supported() & UFFD_FEATURE_WP_ASYNC;
	char *p = bytes_of('s', 4096);
	struct uffd_scan_arg arg = {
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + 4096,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	struct uffd_page_region region;
	int fd = uffd_pagemap_open(0);

	(void)m;
	CHECK(fd >= 0);
	arg.vec = (uintptr_t)&region;
	arg.vec_len = 1;
	SAME(uffd_pagemap_scan(fd, &arg), has ? 1 : -ENOTTY);
	SAME(uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_WP_ASYNC), has);
}

/* what never depends on luck: small memory, operations since 4.3 */
static void tries_agree(const struct memory *m)
{
	const uint64_t have = supported();

	(void)m;
	for (int mem = 0; mem <= LIBUFFD_MEM_MEMFD_PRIVATE; mem++) {
		const bool wp = have & (mem ? UFFD_FEATURE_WP_HUGETLBFS_SHMEM :
					      UFFD_FEATURE_PAGEFAULT_FLAG_WP);
		const bool minor = mem && (have & UFFD_FEATURE_MINOR_SHMEM);

		SAME(uffd_try(mem, LIBUFFD_OP_MISSING), 1);
		SAME(uffd_try(mem, LIBUFFD_OP_COPY), 1);
		SAME(uffd_try(mem, LIBUFFD_OP_ZEROPAGE), 1);
		SAME(uffd_try(mem, LIBUFFD_OP_SIGBUS), 1);
		SAME(uffd_try(mem, LIBUFFD_OP_WP), wp);
		SAME(uffd_try(mem, LIBUFFD_OP_MINOR), minor);
		SAME(uffd_try(mem, LIBUFFD_OP_CONTINUE), minor);
		if (mem)
			SAME(uffd_try(mem, LIBUFFD_OP_MOVE), 0);
	}
}

static void tries_huge(const struct memory *m)
{
	const uint64_t have = supported();
	const bool minor = have & UFFD_FEATURE_MINOR_HUGETLBFS;
	int ret = uffd_try(LIBUFFD_MEM_HUGETLB_2M, LIBUFFD_OP_COPY);

	(void)m;
	if (ret == -ENOMEM)
		skip("1 huge page is not free");
	SAME(ret, 1);
	SAME(uffd_try(LIBUFFD_MEM_HUGETLB_2M, LIBUFFD_OP_ZEROPAGE), 0);
	SAME(uffd_try(LIBUFFD_MEM_HUGETLB_2M, LIBUFFD_OP_LIFT), 0);
	SAME(uffd_try(LIBUFFD_MEM_HUGETLB_2M, LIBUFFD_OP_CONTINUE), minor);
}

static void tries_clean(const struct memory *m)
{
	const unsigned fds = nr_fds();

	(void)m;
	SAME(uffd_try(LIBUFFD_NR_MEM, LIBUFFD_OP_COPY), -EINVAL);
	SAME(uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_NR_OP), -EINVAL);
	for (int mem = 0; mem < LIBUFFD_NR_MEM; mem++)
		for (int op = 0; op < LIBUFFD_NR_OP; op++)
			CHECK(uffd_try(mem, op) <= 1);
	SAME(nr_fds(), fds);
	/* no child is left over either */
	SAME(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	SAME(errno, ECHILD);
}

static const struct promise promises[] = {
	{ "unknown flags of userfaultfd(2) are EINVAL", bad_flags, 0, 0, 0 },
	{ "unknown flags of the device are EINVAL", device_bad_flags, 0, 0, 0 },
	{ "a wrong API is EINVAL, zeroes the struct, and is no end",
	  wrong_api, 0, 0, 0 },
	{ "an unknown feature is EINVAL, and is no end", unknown_feature, 0, 0,
	  0 },
	{ "a second handshake is EINVAL, even after one for nothing",
	  asked_twice, 0, 0, 0 },
	{ "before the handshake all is EINVAL and poll says POLLERR",
	  first_things_first, 0, 0, 0 },
	{ "uffd_api gives all features, fdinfo those enabled", all_or_enabled,
	  0, 0, 0 },
	{ "the handshake offers REGISTER and UNREGISTER", range_less_ioctls, 0,
	  0, 0 },
	{ "a feature that is listed can be enabled alone, no other can",
	  each_alone, 0, 0, 0 },
	{ "an unknown ioctl is EINVAL, not ENOTTY", unknown_ioctl, 0, 0, 0 },
	{ "uffd_open sets close-on-exec and non-blocking", open_flags, 0, 0,
	  0 },
	{ "uffd_open tells how, and what it enabled", open_tells, 0, 0, 0 },
	{ "uffd_open names what is needed and missing, and leaks nothing",
	  open_needs, 0, 0, 0 },
	{ "uffd_open refuses options that it does not know", open_refuses, 0,
	  0, 0 },
	{ "user-mode faults only: a system call on a missing page is EFAULT",
	  user_only, ALL, NEED_USER_ONLY, 0 },
	{ "MOVE is there, or reported as absent", move_agrees, 0, 0, 0 },
	{ "POISON is there, or reported as absent", poison_agrees, 0, 0, 0 },
	{ "read-write protection is there, or reported as absent",
	  rwp_agrees, 0, 0, 0 },
	{ "WP_ASYNC and PAGEMAP_SCAN are there, or reported as absent",
	  scan_agrees, 0, 0, 0 },
	{ "uffd_try says what the features say", tries_agree, 0, 0, 0 },
	{ "uffd_try knows that hugetlb has no ZEROPAGE and can't be lifted",
	  tries_huge, 0, 0, 0 },
	{ "uffd_try leaves nothing behind", tries_clean, 0, 0, 0 },
};

MAIN(promises)
