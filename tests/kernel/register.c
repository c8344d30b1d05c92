/* SPDX-License-Identifier: MIT */
/*
 * Registering memory, registering it again, and giving it up.
 */
#include <sys/syscall.h>

#include "fixture.h"

#define BIT(name) (UINT64_C(1) << _UFFDIO_##name)

static int reg(int fd, const struct area *a, uint64_t mode)
{
	return uffd_register(fd, a->at, a->len, mode, NULL);
}

static void bad_modes(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0);

	SAME(reg(fd, &a, 0), -EINVAL);
	SAME(reg(fd, &a, UINT64_C(1) << 20 | MISSING), -EINVAL);
	SAME(reg(fd, &a, ~UINT64_C(0)), -EINVAL);
	CHECK(uffd_register(fd, a.at, a.len, 0, NULL) == -EINVAL);
}

static void bad_ranges(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0);
	const struct {
		uint64_t start, len;
	} bad[] = {
		{ a.at, 0 },
		{ a.at + 1, a.page },
		{ a.at, a.page + 1 },
		{ a.at, (uint64_t)-a.at },
		{ a.at, ~UINT64_C(0) - a.page + 1 },
		{ 0, a.page },
		{ ~UINT64_C(0) - a.page + 1, a.page },
	};

	for (unsigned i = 0; i < NR(bad); i++) {
		SAME(uffd_register(fd, bad[i].start, bad[i].len, MISSING, NULL),
		     -EINVAL);
		SAME(uffd_unregister(fd, bad[i].start, bad[i].len), -EINVAL);
	}
}

static void huge_alignment(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0);

	SAME(uffd_register(fd, a.at + 4096, a.page, MISSING, NULL), -EINVAL);
	SAME(uffd_register(fd, a.at, a.page + 4096, MISSING, NULL), -EINVAL);
	SAME(uffd_register(fd, a.at, a.page, MISSING, NULL), 0);
}

/* the ioctls that a mode must bring; what a kernel offers may be more */
static uint64_t least(uint64_t mode)
{
	return BIT(WAKE) | (mode & MISSING ? BIT(COPY) : 0) |
	       (mode & WP ? BIT(WRITEPROTECT) : 0) |
	       (mode & MINOR ? BIT(CONTINUE) : 0);
}

static void every_mode(const struct memory *m)
{
	uint64_t have = 0, ioctls;
	int fd = open_uffd(0);

	SAME(uffd_features(&have), 0);
	for (uint64_t mode = 1; mode < 8; mode++) {
		struct area a = map_area(m, 1);
		int want = (mode & MINOR) && m->is == ANON ? -EINVAL : 0;

		ioctls = 99;
		SAME(uffd_register(fd, a.at, a.len, mode, &ioctls), want);
		if (want == 0)
			SAME(ioctls & least(mode), least(mode));
		else
			SAME(ioctls, 99);
		munmap(a.p, a.len);
	}
}

static void not_mapped(const struct memory *m)
{
	struct area a = map_area(m, 3);
	int fd = open_uffd(0);

	munmap(a.p, a.len);
	SAME(reg(fd, &a, MISSING), -EINVAL);
	SAME(uffd_unregister(fd, a.at, a.len), -EINVAL);
}

static void with_a_hole(const struct memory *m)
{
	struct area a = map_area(m, 3);
	struct touch t;
	int fd = open_uffd(0);

	munmap(page_of(&a, 1), a.page);
	watch(fd, &a, MISSING);
	touch_read(&t, page_of(&a, 2));
	SAME(next_event(fd).addr & ~(a.page - 1), at_page(&a, 2));
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	touched(&t);
}

static void other_owner(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0), other = open_uffd(0);

	SAME(uffd_register(fd, a.at, a.page, MISSING, NULL), 0);
	SAME(reg(other, &a, MISSING), -EBUSY);
	/* what could be had of it was not taken */
	SAME(uffd_register(fd, a.at, a.len, MISSING, NULL), 0);
}

/* Older kernels let anybody unregister, newer ones only the owner. */
static void other_unregisters(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0), other = open_uffd(0), ret;

	watch(fd, &a, MISSING);
	ret = uffd_unregister(other, a.at, a.len);
	CHECK(ret == -EINVAL || ret == 0);
	SAME(reg(other, &a, MISSING), ret ? -EBUSY : 0);
}

/* MISSING, then WP: what was missing is not ours any more */
static void replaced(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	watch(fd, &a, WP);
	SAME(try_touch(a.p, true, NULL), 0);
	CHECK(silent(fd));
}

static void not_narrowed(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING | WP);
	watch(fd, &a, WP);
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	touched(&t);
}

static void union_by_way_of_none(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, WP);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	watch(fd, &a, MISSING | WP);
	touch_write(&t, a.p, 'b');
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page,
		       UFFDIO_COPY_MODE_WP), a.page);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_writeprotect(fd, a.at, a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'b');
}

/* After unregistering, protection is gone and does not come back. */
static void unregister_forgets_wp(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(0);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	watch(fd, &a, WP);
	SAME(try_touch(a.p, true, NULL), 0);
	CHECK(silent(fd));
}

/* From WP to MISSING without unregistering: protected pages can be written,
 * nobody is asked. (Not on hugetlb: there who writes faults for ever.) */
static void stale_wp_is_inert(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(0);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	watch(fd, &a, MISSING);
	SAME(try_touch(a.p, true, NULL), 0);
	CHECK(silent(fd));
}

static void read_only_mapping(const struct memory *m)
{
	struct area a = map_area(m, 2);
	struct touch t;
	int fd = open_uffd(0);

	CHECK(mprotect(a.p, a.page, PROT_NONE) == 0);
	CHECK(mprotect(page_of(&a, 1), a.page, PROT_READ) == 0);
	watch(fd, &a, MISSING);
	SAME(uffd_copy(fd, a.at, bytes_of('n', a.page), a.page, 0), a.page);
	CHECK(mprotect(a.p, a.page, PROT_READ) == 0);
	CHECK(all_are(a.p, 'n', a.page));
	touch_read(&t, page_of(&a, 1));
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(fd, at_page(&a, 1), bytes_of('r', a.page), a.page, 0),
	     a.page);
	SAME(touched(&t), 'r');
}

/* Pages of a file that this mapping may never write can't be installed. */
static void read_only_file(const struct memory *m)
{
	struct area a = map_area(m, 1);
	char path[64];
	int fd = open_uffd(0), ro;
	void *p;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", a.fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(ro >= 0);
	p = mmap(NULL, a.len, PROT_READ, MAP_SHARED, ro, 0);
	CHECK(p != MAP_FAILED);
	SAME(uffd_register(fd, (uintptr_t)p, a.len, MISSING, NULL), -EPERM);
	p = mmap(NULL, a.len, PROT_READ, MAP_PRIVATE, ro, 0);
	if (p == MAP_FAILED && (m->is & HUGETLB))
		skip("2 huge pages are not free");
	CHECK(p != MAP_FAILED);
	SAME(uffd_register(fd, (uintptr_t)p, a.len, MISSING, NULL), 0);
}

static void sealed_file(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(0);
	void *p;

	munmap(a.p, a.len);
	CHECK(fcntl(a.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	p = mmap(NULL, a.len, PROT_READ, MAP_SHARED, a.fd, 0);
	CHECK(p != MAP_FAILED);
	SAME(uffd_register(fd, (uintptr_t)p, a.len, MISSING, NULL), -EPERM);
}

static void dev_zero(const struct memory *m)
{
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	const int kinds[] = { MAP_SHARED, MAP_PRIVATE };
	int fd = open_uffd(0);

	(void)m;
	CHECK(zero >= 0);
	for (unsigned i = 0; i < NR(kinds); i++) {
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, kinds[i],
			       zero, 0);
		struct touch t;
		int64_t n;

		CHECK(p != MAP_FAILED);
		SAME(uffd_register(fd, (uintptr_t)p, 4096, MISSING, NULL), 0);
		touch_read(&t, p);
		SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
		n = uffd_copy(fd, (uintptr_t)p, bytes_of('z', 4096), 4096, 0);
		/* newer kernels find the file behind the private one short */
		CHECK(n == 4096 || (n == -EFAULT && kinds[i] == MAP_PRIVATE));
		SAME(uffd_unregister(fd, (uintptr_t)p, 4096), 0);
		touched(&t);
	}
}

static void regular_file(const struct memory *m)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
	int fd = open_uffd(0);

	(void)m;
	CHECK(p != MAP_FAILED);
	need_regular(file);
	for (uint64_t mode = 1; mode < 8; mode++)
		SAME(uffd_register(fd, (uintptr_t)p, 4096, mode, NULL),
		     -EINVAL);
}

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static void secret_memory(const struct memory *m)
{
	int secret = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	int fd = open_uffd(0);
	void *p;

	(void)m;
	if (secret < 0)
		skip("no memfd_secret(2) here");
	CHECK(ftruncate(secret, 4096) == 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, secret, 0);
	CHECK(p != MAP_FAILED);
	SAME(uffd_register(fd, (uintptr_t)p, 4096, MISSING, NULL), -EINVAL);
}

static void unregister_nothing(const struct memory *m)
{
	struct area a = map_area(m, 2);

	SAME(uffd_unregister(open_uffd(0), a.at, a.len), 0);
}

static void unregister_part(const struct memory *m)
{
	struct area a = map_area(m, 3);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	SAME(uffd_unregister(fd, at_page(&a, 1), a.page), 0);
	SAME(try_touch(page_of(&a, 1), true, NULL), 0);
	touch_read(&t, page_of(&a, 2));
	SAME(next_event(fd).addr & ~(a.page - 1), at_page(&a, 2));
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	touched(&t);
}

/* The kernel wakes only those who wait for a missing page; the library all. */
static void unregister_wakes_missing(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	SAME(touched(&t), 0);
}

static void unregister_wakes_wp(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	touch_write(&t, a.p, 'b');
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	touched(&t);
	SAME(a.p[0], 'b');
}

static void unregister_wakes_minor(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	memset(map_alias(&a), 'a', a.len);
	watch(fd, &a, MINOR);
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MINOR);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	SAME(touched(&t), 'a');
}

struct inherited {
	struct area a;
	uint64_t only_parent;
	int fd;
};

/* the child unmapped it, the parent has it still */
static void register_parents(void *data)
{
	const struct inherited *i = data;

	munmap(i->a.p, i->a.len);
	SAME(uffd_register(i->fd, i->a.at, i->a.len, MISSING, NULL), 0);
}

static void acts_on_its_maker(const struct memory *m)
{
	struct inherited i = { .a = map_area(m, 1), .fd = open_uffd(0) };
	struct touch t;

	SAME(end_of(start_child(register_parents, &i)), 0);
	touch_read(&t, i.a.p);
	SAME(next_event(i.fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_unregister(i.fd, i.a.at, i.a.len), 0);
	touched(&t);
}

static const struct promise promises[] = {
	{ "no mode, or an unknown one, is EINVAL", bad_modes, ALL, 0, 0 },
	{ "an empty, unaligned, low or wrapping range is EINVAL", bad_ranges,
	  ALL, 0, 0 },
	{ "hugetlb is registered by whole huge pages", huge_alignment, HUGETLB,
	  0, 0 },
	{ "nothing mapped is EINVAL", not_mapped, ALL, 0, 0 },
	{ "what another descriptor has is EBUSY", other_owner, ALL, 0, 0 },
	{ "what another has is EINVAL to unregister, or really unregistered",
	  other_unregisters, ALL, 0, 0 },
	{ "a shared file that can't be written is EPERM, a private one is not",
	  read_only_file, MEMFD | HUGE, 0, 0 },
	{ "a file sealed against writing is EPERM", sealed_file, MEMFD, 0, 0 },
	{ "a regular file is EINVAL in every mode", regular_file, 0, 0, 0 },
	{ "secret memory is EINVAL", secret_memory, 0, 0, 0 },
	{ "every mode registers, but MINOR without a page cache, and offers "
	  "its ioctls", every_mode, ALL, NEED_WP, UFFD_FEATURE_MINOR_SHMEM },
	{ "a range may have holes", with_a_hole, SMALL, 0, 0 },
	{ "/dev/zero registers; a private one may be EFAULT to fill",
	  dev_zero, 0, 0, 0 },
	{ "PROT_NONE and PROT_READ register, and are filled",
	  read_only_mapping, ALL, 0, 0 },
	{ "a second mode replaces the first", replaced, ALL, NEED_WP, 0 },
	{ "a mode that is there already narrows nothing", not_narrowed, ALL,
	  NEED_WP, 0 },
	{ "unregister, then register the union: both modes work",
	  union_by_way_of_none, ALL, NEED_WP, 0 },
	{ "unregistering forgets protection", unregister_forgets_wp, ALL,
	  NEED_WP | NEED_WP_BIT, 0 },
	{ "protection left over by re-registering is inert", stale_wp_is_inert,
	  SMALL, NEED_WP, 0 },
	{ "unregistering what is not registered is harmless",
	  unregister_nothing, ALL, 0, 0 },
	{ "a part can be unregistered, the rest stays", unregister_part, ALL,
	  0, 0 },
	{ "uffd_unregister wakes who waits for a missing page",
	  unregister_wakes_missing, ALL, 0, 0 },
	{ "uffd_unregister wakes who waits to write", unregister_wakes_wp, ALL,
	  NEED_WP, 0 },
	{ "uffd_unregister wakes who waits for a minor fault",
	  unregister_wakes_minor, CACHED, NEED_MINOR, 0 },
	{ "an inherited descriptor acts on the process that made it",
	  acts_on_its_maker, ALL, 0, 0 },
};

MAIN(promises)
