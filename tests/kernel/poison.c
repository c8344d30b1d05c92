/* SPDX-License-Identifier: MIT */
/*
 * POISON: pages that answer with SIGBUS.
 */
#include "fixture.h"

#define NEEDS ALL, 0, UFFD_FEATURE_POISON

static struct area poisoned(const struct memory *m, unsigned nr, int *ret_fd)
{
	struct area a = map_area(m, nr);

	*ret_fd = open_uffd(0);
	watch(*ret_fd, &a, MISSING);
	SAME(uffd_poison(*ret_fd, a.at, a.len, 0), a.len);
	return a;
}

static void bad_requests(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0);

	SAME(uffd_poison(fd, a.at, a.page, 0), -ENOENT);
	watch(fd, &a, MISSING);
	SAME(uffd_poison(fd, a.at, 0, 0), -EINVAL);
	SAME(uffd_poison(fd, a.at + 1, a.page, 0), -EINVAL);
	SAME(uffd_poison(fd, a.at, a.page, 1 << 20), -EINVAL);
	if (m->is & HUGETLB)
		SAME(uffd_poison(fd, a.at, 4096, 0), -EINVAL);
}

static void present(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(uffd_poison(fd, a.at, a.page, 0), -EEXIST);
	SAME(uffd_drop(a.at, a.page), 0);
	SAME(uffd_poison(fd, a.at, a.page, 0), a.page);
	SAME(try_touch(a.p, false, NULL), SIGBUS);
}

static void twice(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(uffd_poison(fd, a.at, a.page, 0), -EEXIST);
}

static void zeropage_does_not_heal(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(uffd_zeropage(fd, a.at, a.page, 0), -EEXIST);
	SAME(try_touch(a.p, false, NULL), SIGBUS);
}

static void zeropage_heals(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(uffd_zeropage(fd, a.at, a.page, 0), a.page);
	CHECK(all_are(a.p, 0, a.page));
}

static void wp_marker(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(UFFD_FEATURE_WP_UNPOPULATED);

	watch(fd, &a, MISSING | WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	SAME(uffd_poison(fd, a.at, a.page, 0), -EEXIST);
}

static void move_does_not_heal(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(uffd_move(fd, a.at, (uintptr_t)bytes_of('a', a.page), a.page, 0),
	     -EEXIST);
}

static void raises(const struct memory *m)
{
	int fd, pipe[2];
	struct area a = poisoned(m, 2, &fd);
	siginfo_t info;

	SAME(try_touch(a.p + 5, false, &info), SIGBUS);
	SAME((uintptr_t)info.si_addr & ~(a.page - 1), a.at);
	CHECK(info.si_code == BUS_MCEERR_AR || info.si_code == BUS_ADRERR);
	SAME(try_touch(page_of(&a, 1), true, NULL), SIGBUS);
	CHECK(pipe2(pipe, O_CLOEXEC) == 0);
	CHECK(write(pipe[1], a.p, 1) < 0);
	SAME(errno, EFAULT);
	CHECK(silent(fd));
}

static void wakes(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_poison(fd, a.at, a.page, UFFDIO_POISON_MODE_DONTWAKE),
	     a.page);
	SAME(waiters(fd), 1);
	SAME(uffd_copy(fd, a.at, bytes_of('h', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'h');
}

static void drop_heals(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);
	struct touch t;

	SAME(uffd_drop(a.at, a.page), 0);
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(fd, a.at, bytes_of('h', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'h');
}

static void copy_heals(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(uffd_copy(fd, a.at, bytes_of('h', a.page), a.page, 0), a.page);
	CHECK(all_are(a.p, 'h', a.page));
}

static void touch_in_child(void *data)
{
	SAME(try_touch(data, false, NULL), SIGBUS);
}

static void touch_freely(void *data)
{
	SAME(try_touch(data, false, NULL), 0);
}

/* (fork does not copy the page tables of shared memory) */
static void child_is_free(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(end_of(start_child(touch_freely, a.p)), 0);
	SAME(try_touch(a.p, false, NULL), SIGBUS);
}

static void stays(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(uffd_unregister(fd, a.at, a.len), 0);
	SAME(try_touch(a.p, false, NULL), SIGBUS);
	close(fd);
	SAME(try_touch(a.p, false, NULL), SIGBUS);
}

static void child_inherits(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);

	SAME(end_of(start_child(touch_in_child, a.p)), 0);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	SAME(end_of(start_child(touch_in_child, a.p)), 0);
}

static void of_one_mapping(const struct memory *m)
{
	int fd;
	struct area a = poisoned(m, 1, &fd);
	char *alias = map_alias(&a);

	memset(alias, 'a', a.page);
	CHECK(all_are(alias, 'a', a.page));
	SAME(try_touch(a.p, false, NULL), SIGBUS);
}

static void every_other(const struct memory *m)
{
	const unsigned nr = m->is & HUGETLB ? 4 : 32;
	struct area a = map_area(m, nr);
	char *src = bytes_of('a', a.page);
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	for (unsigned i = 0; i < nr; i++) {
		uint64_t at = at_page(&a, i);

		SAME(i % 2 ? uffd_poison(fd, at, a.page, 0) :
			     uffd_copy(fd, at, src, a.page, 0), a.page);
	}
	for (unsigned i = 0; i < nr; i++)
		SAME(try_touch(page_of(&a, i), false, NULL),
		     i % 2 ? SIGBUS : 0);
	for (unsigned i = 0; i < nr; i += 2)
		CHECK(all_are(page_of(&a, i), 'a', a.page));
}

static void all_of_it(const struct memory *m)
{
	struct area a = map_area(m, 5);
	struct uffd_progress p;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	SAME(uffd_copy(fd, at_page(&a, 1), bytes_of('a', a.page), a.page, 0),
	     a.page);
	CHECK(mprotect(page_of(&a, 3), a.page, PROT_READ) == 0);
	SAME(uffd_poison_all(fd, a.at, a.len, 0, a.page, &p), 0);
	SAME(p.filled, 4 * a.page);
	SAME(p.existed, a.page);
	SAME(try_touch(page_of(&a, 4), false, NULL), SIGBUS);
	SAME(try_touch(page_of(&a, 1), false, NULL), 0);
}

static const struct promise promises[] = {
	{ "POISON refuses bad requests", bad_requests, NEEDS },
	{ "POISON of a page that is there is EEXIST, until it is dropped",
	  present, NEEDS },
	{ "POISON twice is EEXIST", twice, NEEDS },
	{ "POISON where a protection marker stands is EEXIST", wp_marker,
	  SMALL, NEED_WP, UFFD_FEATURE_POISON },
	{ "ZEROPAGE does not heal private memory (EEXIST)",
	  zeropage_does_not_heal, ANON | MEMFD_PRIVATE, 0,
	  UFFD_FEATURE_POISON },
	{ "ZEROPAGE heals shared memory", zeropage_heals, SHARED | MEMFD, 0,
	  UFFD_FEATURE_POISON },
	{ "MOVE does not heal (EEXIST)", move_does_not_heal, ANON, 0,
	  UFFD_FEATURE_POISON | UFFD_FEATURE_MOVE },
	{ "an access is SIGBUS, in a system call EFAULT", raises, NEEDS },
	{ "DONTWAKE leaves who waits", wakes, NEEDS },
	{ "dropping heals", drop_heals, NEEDS },
	{ "COPY heals", copy_heals, NEEDS },
	{ "poison survives unregistering and closing", stays, NEEDS },
	{ "a child inherits poison in private memory", child_inherits, TO_ONE,
	  0, UFFD_FEATURE_POISON },
	{ "a child does not inherit poison in shared memory", child_is_free,
	  TO_ALL, 0, UFFD_FEATURE_POISON },
	{ "poison is of one mapping", of_one_mapping, CACHED, 0,
	  UFFD_FEATURE_POISON },
	{ "every other page poisoned: each answers as it should",
	  every_other, NEEDS },
	{ "uffd_poison_all passes over what exists and is split", all_of_it,
	  NEEDS },
};

MAIN(promises)
