/* SPDX-License-Identifier: MIT */
/*
 * Out of memory, of threads and of descriptors, at each place in turn: making a
 * pager or a region says so and leaves nothing behind; what was there goes on.
 * By ld --wrap every call for a resource comes here first.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

/* ---- failing on purpose ---------------------------------------------------------- */

/* wrapped functions have no argument for it */
static struct {
	_Atomic bool on;
	_Atomic long left;	/* calls that succeed */
	_Atomic unsigned failed;
	_Atomic bool only_malloc;
} t;

#define WRAP(type, name, params) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params

static bool fails(int error)
{
	if (!t.on || t.left-- > 0)
		return false;
	t.failed++;
	errno = error;
	return true;
}

WRAP(void *, malloc, (size_t len))
{
	return fails(ENOMEM) ? NULL : __real_malloc(len);
}

WRAP(void *, calloc, (size_t nr, size_t len))
{
	return fails(ENOMEM) ? NULL : __real_calloc(nr, len);
}

WRAP(void *, realloc, (void *at, size_t len))
{
	return fails(ENOMEM) ? NULL : __real_realloc(at, len);
}

WRAP(void *, mmap64, (void *hint, size_t len, int prot, int flags, int fd,
		      off_t offset))
{
	if (fails(ENOMEM))
		return MAP_FAILED;
	return __real_mmap64(hint, len, prot, flags, fd, offset);
}

WRAP(int, memfd_create, (const char *name, unsigned flags))
{
	return fails(EMFILE) ? -1 : __real_memfd_create(name, flags);
}

WRAP(int, ftruncate64, (int fd, off_t len))
{
	return fails(ENOSPC) ? -1 : __real_ftruncate64(fd, len);
}

WRAP(int, eventfd, (unsigned value, int flags))
{
	return fails(EMFILE) ? -1 : __real_eventfd(value, flags);
}

WRAP(int, pthread_create, (pthread_t *ret, const pthread_attr_t *attr,
			   void *(*run)(void *), void *arg))
{
	return fails(EAGAIN) ? EAGAIN :
			       __real_pthread_create(ret, attr, run, arg);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list args;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	/* what takes things back again does not need anything */
	if (!t.only_malloc && !t.failed && fails(ENOMEM))
		return -1;
	return __real_ioctl(fd, request, arg);
}

/* ---- what is left ------------------------------------------------------------------ */

static unsigned lines(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096];
	unsigned nr = 0;
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			nr += text[i] == '\n';
	close(fd);
	return nr;
}

static unsigned threads(void)
{
	return count_entries("/proc/self/task");
}

struct left {
	unsigned fds, maps;
};

static struct left look(unsigned nr_threads)
{
	/* one that was joined may still be there for a moment */
	for (unsigned n = 0; n < 200 && threads() > nr_threads; n++)
		nap_ms(5);
	return (struct left){ count_entries("/proc/self/fd"),
			      lines("/proc/self/maps") };
}

static bool out_of(int err)
{
	return err == -ENOMEM || err == -EAGAIN || err == -EMFILE ||
	       err == -ENOSPC;
}

/* ---- pagers -------------------------------------------------------------------------- */

static void try_pager(uint32_t engine, uint32_t pins)
{
	const struct uffd_pager_opts opts = {
		.sz = sizeof(opts),
		.budget = LIBUFFD_BUDGET_MIN,
		.engine = engine,
		.pins = pins,
		/* measuring what waking costs is not what is tried */
		.place = LIBUFFD_PLACE_NONE,
	};
	const unsigned nr_threads = threads();
	struct left was = look(nr_threads), is;
	struct uffd_pager *p = NULL;
	int err = -ENOMEM;

	for (long n = 0; n < 400 && err < 0; n++) {
		struct uffd_reason why;

		t.left = n;
		t.failed = 0;
		t.on = true;
		err = uffd_pager_new(&opts, &why, &p);
		t.on = false;
		CHECK(err == 0 || out_of(err));
		CHECK(err == 0 || why.text[0]);
		CHECK(err < 0 || !p == (err < 0));
	}
	SAME(err, 0);
	uffd_pager_free(p);
	is = look(nr_threads);
	SAME(is.fds, was.fds);
	/* the C library keeps stacks, the address sanitizer all it likes */
	CHECK(under_asan() || is.maps <= was.maps + 4);
}

static void pagers(void)
{
	/* the first engine of a process installs its handler and stays */
	for (unsigned n = 0; n < 2; n++) {
		broken = 0;
		try_pager(LIBUFFD_ENGINE_SIGBUS, LIBUFFD_PINS_CALLED);
	}
	try_pager(LIBUFFD_ENGINE_SIGBUS, LIBUFFD_PINS_CHECKED);
	try_pager(LIBUFFD_ENGINE_THREAD, LIBUFFD_PINS_CALLED);
}

/* ---- regions --------------------------------------------------------------------------- */

static void use_it(const struct bed *b, struct uffd_region *r)
{
	uint8_t *mem = uffd_region_start(r);

	for (uint64_t p = 0; p < 64; p++)
		stamp(mem + p * PAGE, p, 3);
	for (uint64_t p = 0; p < 64; p++)
		CHECK(stamped(mem + p * PAGE, p, 3));
	CHECK(bed_stamped_all(b, 1));
}

/* each failure while another region is there, and used after */
static void try_region(uint32_t engine, uint32_t memory, const char *uri)
{
	const struct bed_want want = { .engine = engine };
	struct uffd_region_opts opts = {
		.sz = sizeof(opts),
		.len = 64 * PAGE,
		.memory = memory,
	};
	struct uffd_region *r = NULL;
	struct left was, is;
	unsigned nr_threads;
	struct bed b;
	int err = -ENOMEM;

	if (!CHECK(bed_open(&b, &want)))
		return;
	bed_stamp_all(&b, 1);
	if (uri && !SAME(uffd_store_open(uri, 0, NULL, &opts.store), 0))
		return;
	nr_threads = threads();
	was = look(nr_threads);
	for (long n = 0; n < 400 && err < 0; n++) {
		struct uffd_reason why;

		t.left = n;
		t.failed = 0;
		t.on = true;
		err = uffd_region_new(b.p, &opts, &why, &r);
		t.on = false;
		CHECK(err == 0 || out_of(err));
		CHECK(err == 0 || why.text[0]);
		is = look(nr_threads);
		/* places, which are for all regions, stay */
		CHECK(err == 0 || is.fds == was.fds);
		CHECK(err == 0 || under_asan() ||
		      is.maps <= was.maps + 4);
	}
	if (SAME(err, 0)) {
		use_it(&b, r);
		SAME(uffd_region_free(r), 0);
	}
	uffd_store_close(opts.store);
	bed_close(&b);
}

static void regions(void)
{
	try_region(LIBUFFD_ENGINE_SIGBUS, LIBUFFD_MEM_PRIVATE, NULL);
	try_region(LIBUFFD_ENGINE_SIGBUS, LIBUFFD_MEM_PRIVATE, MEMORY);
	try_region(LIBUFFD_ENGINE_SIGBUS, LIBUFFD_MEM_MEMFD_SHARED, MEMORY);
	try_region(LIBUFFD_ENGINE_THREAD, LIBUFFD_MEM_PRIVATE, NULL);
	try_region(LIBUFFD_ENGINE_THREAD, LIBUFFD_MEM_MEMFD_SHARED, NULL);
}

/* pins are a list that grows */
static void pins(void)
{
	struct bed b;
	int err = 0;

	if (!CHECK(bed_open(&b, &(struct bed_want){ .budget = 512,
						    .pages = 300 })))
		return;
	bed_stamp_all(&b, 1);
	t.left = 1;
	t.on = true;
	for (uint64_t p = 0; p < 300 && !err; p++)
		err = uffd_pin(b.r, p * PAGE, PAGE);
	t.on = false;
	SAME(err, -ENOMEM);
	CHECK(t.failed > 0);
	for (uint64_t p = 0; p < 300; p++)
		uffd_unpin(b.r, p * PAGE, PAGE);
	SAME(uffd_evict(b.r, 0, 300 * PAGE), 0);
	SAME(uffd_pin(b.r, 0, 300 * PAGE), 0);
	uffd_unpin(b.r, 0, 300 * PAGE);
	CHECK(bed_stamped_all(&b, 1));
	bed_close(&b);
}

/* In a signal handler there is no malloc: nothing asks the C library. */
static void no_malloc(void)
{
	struct bed b;

	if (!CHECK(bed_open(&b, &(struct bed_want){ .uri = LZ4 })))
		return;
	t.only_malloc = true;
	t.failed = 0;
	t.left = 0;
	t.on = true;
	bed_stamp_all(&b, 1);
	bed_stamp_all(&b, 2);
	SAME(uffd_sync(b.r, 0, b.pages * PAGE), 0);
	CHECK(bed_stamped_all(&b, 2));
	t.on = false;
	t.only_malloc = false;
	SAME(t.failed, 0);
	bed_close(&b);
}

static const struct promise promises[] = {
	{ "a pager that can't be made leaves nothing behind", pagers },
	{ "nor does a region, and the others go on", regions },
	{ "nor does a pin", pins },
	{ "paging allocates nothing", no_malloc },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
