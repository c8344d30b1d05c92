/* SPDX-License-Identifier: MIT */
/*
 * Lifting: all pages of a range taken away in one step.
 */
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixture.h"

#define FULL 'a'

static struct area full(const struct memory *m, unsigned nr)
{
	struct area a = map_area(m, nr);

	for (unsigned i = 0; i < nr; i++)
		memset(page_of(&a, i), FULL + (int)i, a.page);
	return a;
}

static char *place(size_t len)
{
	void *p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	CHECK(p != MAP_FAILED);
	return p;
}

static uint64_t at(const char *p)
{
	return (uintptr_t)p;
}

static void refuses(const struct memory *m)
{
	struct area a = full(m, 4);
	uint64_t to = at(place(a.len));

	SAME(uffd_lift(a.at + 1, to, a.page), -EINVAL);
	SAME(uffd_lift(a.at, to + 1, a.page), -EINVAL);
	SAME(uffd_lift(a.at, to, a.page + 1), -EINVAL);
	SAME(uffd_lift(a.at, to, 0), -EINVAL);
	SAME(uffd_lift(a.at, a.at + a.page, 2 * a.page), -EINVAL);
	SAME(uffd_lift(a.at + a.page, a.at, 2 * a.page), -EINVAL);
	SAME(uffd_lift(~UINT64_C(0) - 4095, to, 2 * a.page), -EINVAL);
	for (unsigned i = 0; i < 4; i++)
		CHECK(all_are(page_of(&a, i), FULL + (char)i, a.page));
}

static void hugetlb(const struct memory *m)
{
	struct area a = full(m, 1);
	char *to = place(2 * a.page);

	to += (a.page - at(to) % a.page) % a.page;
	CHECK(uffd_lift(a.at, at(to), a.page) < 0);
	CHECK(all_are(a.p, FULL, a.page));
}

static void nothing_mapped(const struct memory *m)
{
	struct area a = map_area(m, 2);
	uint64_t to = at(place(a.len));

	munmap(a.p, a.len);
	SAME(uffd_lift(a.at, to, a.len), -EFAULT);
}

/* what was there is at the new place; the old one is empty and still ours */
static void lifts(const struct memory *m)
{
	struct area a = full(m, 3);
	char *to = place(a.len);
	int fd = open_uffd(0);
	struct touch t;

	watch(fd, &a, MISSING);
	SAME(uffd_lift(a.at, at(to), a.len), a.len);
	for (unsigned i = 0; i < 3; i++)
		CHECK(all_are(to + i * a.page, FULL + (char)i, a.page));
	touch_read(&t, a.p);
	if (m->is == ANON) {
		SAME(next_event(fd).addr, a.at);
		SAME(uffd_copy(fd, a.at, to, a.page, 0), a.page);
	}
	touched(&t);
	/* the new place is not registered without EVENT_REMAP */
	SAME(uffd_copy(fd, at(to), a.p, a.page, 0), -ENOENT);
}

static void again_and_again(const struct memory *m)
{
	struct area a = map_area(m, 4);
	char *to = place(a.len);

	for (int i = 0; i < 20; i++) {
		memset(a.p, i, a.len);
		SAME(uffd_lift(a.at, at(to), a.len), a.len);
		CHECK(all_are(to, (char)i, a.len));
		CHECK(all_are(a.p, 0, a.len));
	}
}

/* mprotect has split it, one piece is gone, what is there must not be lost */
static void in_pieces(const struct memory *m)
{
	struct area a = full(m, 6);
	char *to = bytes_of('t', a.len);
	struct uffd_progress p;
	int fd = open_uffd(0);

	SAME(uffd_register(fd, a.at, 5 * a.page, MISSING, NULL), 0);
	CHECK(mprotect(page_of(&a, 1), a.page, PROT_READ) == 0);
	munmap(page_of(&a, 3), a.page);
	SAME(uffd_lift_all(a.at, at(to), a.len, &p), 0);
	SAME(p.done, a.len);
	SAME(p.filled, 5 * a.page);
	SAME(p.gone, a.page);
	for (unsigned i = 0; i < 6; i++)
		CHECK(all_are(to + i * a.page, i == 3 ? 't' : FULL + (char)i,
			      a.page));
}

static void look(void *data)
{
	const struct area *a = data;

	CHECK(all_are(a->p, FULL, a->page));
}

struct shared_page {
	struct area a;
	int pipe[2];
};

static void look_when_told(void *data)
{
	struct shared_page *s = data;
	char c;

	SAME(read(s->pipe[0], &c, 1), 1);
	look(&s->a);
}

/* pages shared by a fork go as any others, and the child keeps its bytes */
static void after_fork(const struct memory *m)
{
	struct shared_page s = { .a = full(m, 1) };
	char *to = place(s.a.len);
	pid_t child;

	CHECK(pipe2(s.pipe, O_CLOEXEC) == 0);
	child = start_child(look_when_told, &s);
	SAME(uffd_lift(s.a.at, at(to), s.a.len), s.a.len);
	CHECK(all_are(to, FULL, s.a.page));
	memset(to, 'x', s.a.page);
	SAME(write(s.pipe[1], "x", 1), 1);
	SAME(end_of(child), 0);
}

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_register 427
#endif
#define REGISTER_BUFFERS 0

/* Pinned pages go, too: only MOVE can tell. */
static void pinned(const struct memory *m)
{
	struct area a = full(m, 1);
	struct iovec buffer = { a.p, a.len };
	uint64_t params[30] = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, params);
	char *to = place(a.len);

	if (ring < 0 || syscall(SYS_io_uring_register, ring, REGISTER_BUFFERS,
				&buffer, 1))
		skip("io_uring can't pin pages here: %s", strerror(errno));
	SAME(uffd_lift(a.at, at(to), a.len), a.len);
	CHECK(all_are(to, FULL, a.page));
}

static void keeps_no_wp(const struct memory *m)
{
	struct area a = full(m, 1);
	char *to = place(a.len);
	int fd = open_uffd(0);

	watch(fd, &a, MISSING | WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	SAME(uffd_lift(a.at, at(to), a.len), a.len);
	SAME(try_touch(to, true, NULL), 0);
	CHECK(silent(fd));
}

static void poison_goes_along(const struct memory *m)
{
	struct area a = map_area(m, 2);
	char *to = place(a.len);
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	SAME(uffd_poison(fd, a.at, a.page, 0), a.page);
	SAME(uffd_copy(fd, at_page(&a, 1), bytes_of('a', a.page), a.page, 0),
	     a.page);
	SAME(uffd_lift(a.at, at(to), a.len), a.len);
	SAME(try_touch(to, false, NULL), SIGBUS);
	SAME(try_touch(to + a.page, false, NULL), 0);
}

static void transparent_huge(const struct memory *m)
{
	const size_t huge = 2 << 20;
	char *room = map_anon(2 * huge);
	char *p = room + (huge - at(room) % huge) % huge;
	char *to = place(huge);

	(void)m;
	madvise(p, huge, MADV_HUGEPAGE);
	memset(p, 'h', huge);
	SAME(uffd_lift(at(p), at(to), huge), huge);
	CHECK(all_are(to, 'h', huge));
	CHECK(all_are(p, 0, huge));
}

#define LIFT(memory) memory, NEED_LIFT, 0

static const struct promise promises[] = {
	{ "lifting refuses bad requests and harms nothing", refuses,
	  LIFT(SMALL) },
	{ "hugetlb can't be lifted", hugetlb, LIFT(HUGETLB) },
	{ "nothing mapped is EFAULT", nothing_mapped, LIFT(SMALL) },
	{ "lifted pages are at the new place, the old one is registered still",
	  lifts, LIFT(SMALL) },
	{ "a place can be used again and again", again_and_again,
	  LIFT(ANON) },
	{ "a split range goes in pieces, a hole stays, nothing is lost",
	  in_pieces, LIFT(ANON) },
	{ "pages shared by a fork are lifted, the child keeps its bytes",
	  after_fork, LIFT(ANON) },
	{ "pinned pages are lifted, without a word", pinned, LIFT(ANON) },
	{ "a lifted page is not protected any more", keeps_no_wp,
	  LIFT(ANON) },
	{ "poison is lifted as poison", poison_goes_along, ANON, NEED_LIFT,
	  UFFD_FEATURE_POISON },
	{ "a huge page is lifted", transparent_huge, 0, NEED_LIFT, 0 },
};

MAIN(promises)
