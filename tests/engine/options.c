/* SPDX-License-Identifier: MIT */
/*
 * Making an engine: what is refused, and that a failure at whatever step leaves
 * nothing behind. By ld --wrap every call for a resource comes here first.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

/* ---- failing on purpose ------------------------------------------------------------ */

/* Shared by the wrapped functions, which have no argument of ours. */
static _Atomic long until_failure = -1;	/* -1: never */
static _Atomic unsigned nr_failed_calls;

static bool fails(void)
{
	if (atomic_load(&until_failure) < 0)
		return false;
	if (atomic_fetch_sub(&until_failure, 1) > 0)
		return false;
	atomic_store(&until_failure, -1);
	atomic_fetch_add(&nr_failed_calls, 1);
	return true;
}

static bool fails_with(int error)
{
	if (!fails())
		return false;
	errno = error;
	return true;
}

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	if (fails_with(ENOMEM))
		return MAP_FAILED;
	return __real_mmap64(at, len, prot, flags, fd, offset);
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
	return fails_with(EMFILE) ? -1 : __real_eventfd(value, flags);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	/* unregistering is how things are given back: it may not fail */
	if (request != UFFDIO_UNREGISTER && request != UFFDIO_WAKE &&
	    fails_with(ENOMEM))
		return -1;
	return __real_ioctl(fd, request, arg);
}

typedef void *start_fn(void *arg);
int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
			  start_fn *start, void *arg);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
			  start_fn *start, void *arg);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
			  start_fn *start, void *arg)
{
	return fails() ? EAGAIN : __real_pthread_create(ret, attr, start, arg);
}

/* ---- what there is in the process ----------------------------------------------------- */

struct possessions {
	unsigned fds, threads;
};

static struct possessions look(void)
{
	return (struct possessions){
		.fds = count_entries("/proc/self/fd"),
		.threads = count_entries("/proc/self/task"),
	};
}

/* a thread that was joined may be seen for a moment still, after it as well as
 * before it */
static bool as_before(void *data)
{
	const struct possessions *before = data;
	struct possessions now = look();

	return now.fds == before->fds && now.threads <= before->threads;
}

static void nothing_left(struct possessions before)
{
	CHECK(soon(as_before, &before));
}

static int zeros(void *user, const struct uffd_fault *f,
		 struct uffd_answer *ret)
{
	(void)user;
	(void)f;
	ret->action = LIBUFFD_DO_ZERO;
	return 0;
}

static struct uffd_engine_opts plain(enum uffd_engine_kind kind)
{
	return (struct uffd_engine_opts){
		.sz = sizeof(struct uffd_engine_opts),
		.kind = kind,
	};
}

/* Make one, serve a page, free it. 0 or what failed. */
static int whole_life(const struct uffd_engine_opts *opts)
{
	struct uffd_engine *e = NULL;
	uint64_t page = (uint64_t)getpagesize();
	uint8_t *at = aligned_alloc(page, 2 * page);
	struct uffd_range_opts range = {
		.sz = sizeof(range),
		.start = (uintptr_t)at,
		.len = 2 * page,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.fault = zeros,
	};
	int err = uffd_engine_new(opts, &e);

	madvise(at, 2 * page, MADV_DONTNEED);
	if (!err)
		err = uffd_engine_add(e, &range);
	if (!err) {
		atomic_store(&until_failure, -1);
		SAME(*(volatile uint8_t *)at, 0);
	}
	uffd_engine_free(e);
	free(at);
	return err;
}

static void each_step_fails(struct uffd_engine_opts opts)
{
	struct possessions before;
	unsigned nr = 0;
	int err;

	whole_life(&opts);	/* what is measured once in a process */
	before = look();
	for (long n = 0; n < 100; n++) {
		atomic_store(&nr_failed_calls, 0);
		atomic_store(&until_failure, n);
		err = whole_life(&opts);
		atomic_store(&until_failure, -1);
		nothing_left(before);
		if (!atomic_load(&nr_failed_calls))
			break;
		nr++;
		CHECK(err == 0 || err == -ENOMEM || err == -EMFILE ||
		      err == -EAGAIN);
	}
	SAME(err, 0);
	CHECK(nr >= 5);
}

static void thread_fails(void)
{
	each_step_fails(plain(LIBUFFD_ENGINE_THREAD));
}

static void spin_fails(void)
{
	struct uffd_engine_opts opts = plain(LIBUFFD_ENGINE_THREAD);

	opts.spin_us = 10;
	opts.nr_handlers = 3;
	each_step_fails(opts);
}

static void sigbus_fails(void)
{
	struct uffd_engine_opts opts = plain(LIBUFFD_ENGINE_SIGBUS);

	opts.want = UFFD_FEATURE_EVENT_REMOVE;
	each_step_fails(opts);
}

/* removing needs no memory */
static void removal_cannot_fail(void)
{
	struct uffd_engine_opts opts = plain(LIBUFFD_ENGINE_THREAD);
	uint64_t page = (uint64_t)getpagesize();
	const unsigned nr = 1500;
	uint8_t *at = aligned_alloc(page, 2 * nr * page);
	struct uffd_engine *e = NULL;
	unsigned wrong = 0;

	SAME(uffd_engine_new(&opts, &e), 0);
	for (unsigned i = 0; i < nr; i++) {
		struct uffd_range_opts range = {
			.sz = sizeof(range),
			.start = (uintptr_t)at + 2 * i * page,
			.len = page,
			.mode = UFFDIO_REGISTER_MODE_MISSING,
			.fault = zeros,
		};

		wrong += uffd_engine_add(e, &range) != 0;
	}
	for (unsigned i = 0; i < nr; i++) {
		atomic_store(&until_failure, 0);
		wrong += uffd_engine_remove(e, (uintptr_t)at +
						2 * i * page) != 0;
		atomic_store(&until_failure, -1);
	}
	SAME(wrong, 0);
	uffd_engine_free(e);
	free(at);
}

/* ---- what is refused --------------------------------------------------------------------- */

static void bad_options(void)
{
	const struct uffd_engine_opts good = plain(LIBUFFD_ENGINE_THREAD);
	const uint32_t none_such[] = { 0, 1000000 }, absent[] = { 1023 };
	struct possessions before;
	struct uffd_engine *e = NULL;
	struct uffd_engine_opts o;

	whole_life(&good);	/* a sanitizer starts a thread with the first */
	before = look();
#define BAD(...) \
	do { \
		o = good; \
		__VA_ARGS__; \
		SAME(CALL(uffd_engine_new(&o, &e)), -EINVAL); \
		CHECK(!e); \
	} while (0)
	BAD(o.sz = 0);
	BAD(o.sz = 7);
	BAD(o.sz = 100000);
	BAD(o.kind = 0);
	BAD(o.kind = 3);
	BAD(o.place = 17);
	BAD(o.nr_handlers = 1000000);
	BAD(o.open_flags = 1u << 20);
	BAD(o.place = LIBUFFD_PLACE_CPUS);
	BAD(o.place = LIBUFFD_PLACE_CPUS; o.nr_cpus = 1);
	BAD(o.place = LIBUFFD_PLACE_CPUS; o.cpus = none_such);
	BAD(o.place = LIBUFFD_PLACE_CPUS; o.cpus = none_such; o.nr_cpus = 2);
	BAD(o.place = LIBUFFD_PLACE_CPUS; o.cpus = absent; o.nr_cpus = 1);
	SAME(CALL(uffd_engine_new(NULL, &e)), -EINVAL);
	nothing_left(before);
}

static void unknown_bytes(void)
{
	struct {
		struct uffd_engine_opts o;
		uint8_t more[16];
	} longer = { .o = plain(LIBUFFD_ENGINE_THREAD) };
	struct uffd_engine *e = NULL;

	longer.o.sz = sizeof(longer);
	longer.more[15] = 1;
	SAME(uffd_engine_new(&longer.o, &e), -EINVAL);
	longer.more[15] = 0;
	SAME(uffd_engine_new(&longer.o, &e), 0);
	uffd_engine_free(e);
}

static void unknown_features(void)
{
	struct uffd_engine_opts o = plain(LIBUFFD_ENGINE_SIGBUS);
	struct uffd_engine *e = NULL;

	o.need = UINT64_C(1) << 60;
	SAME(uffd_engine_new(&o, &e), -EOPNOTSUPP);
	o.need = 0;
	o.want = UINT64_C(1) << 60;
	SAME(uffd_engine_new(&o, &e), 0);
	CHECK(uffd_engine_opened(e)->enabled & UFFD_FEATURE_SIGBUS);
	CHECK(uffd_engine_fd(e) >= 0);
	uffd_engine_free(e);
}

static void comes_and_goes(void)
{
	struct uffd_engine_opts opts = plain(LIBUFFD_ENGINE_THREAD);
	struct possessions before = look();

	for (unsigned i = 0; i < 50; i++) {
		opts.place = i % 5;
		if (opts.place == LIBUFFD_PLACE_CPUS)
			opts.place = LIBUFFD_PLACE_AUTO;
		opts.kind = i % 7 == 0 ? LIBUFFD_ENGINE_SIGBUS :
					 LIBUFFD_ENGINE_THREAD;
		SAME(whole_life(&opts), 0);
	}
	nothing_left(before);
	uffd_engine_free(NULL);
}

static const struct promise promises[] = {
	{ "bad options are refused, and nothing is made", bad_options },
	{ "unknown bytes in options must be zero", unknown_bytes },
	{ "a feature that is needed must be there", unknown_features },
	{ "engines come and go without a trace", comes_and_goes },
	{ "thread: a failure at any step leaves nothing behind", thread_fails },
	{ "three spinning handlers: so it does", spin_fails },
	{ "sigbus: so it does", sigbus_fails },
	{ "removing a range can't fail for want of memory",
	  removal_cannot_fail },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
