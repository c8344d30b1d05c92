/* SPDX-License-Identifier: MIT */
/*
 * Minor faults: pages that are in the page cache but not mapped, and CONTINUE.
 */
#include "fixture.h"

static struct area watched(const struct memory *m, unsigned nr, uint64_t mode,
			   int *ret_fd)
{
	struct area a = map_area(m, nr);

	*ret_fd = open_uffd(0);
	watch(*ret_fd, &a, mode);
	return a;
}

static void not_on_anon(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MISSING, &fd);

	SAME(uffd_continue(fd, a.at, a.page, 0), -EINVAL);
}

static void not_cached(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, MISSING | MINOR, &fd);

	SAME(uffd_continue(fd, a.at, a.page, 0), -EFAULT);
	memset(map_alias(&a), 'a', a.page);
	SAME(uffd_continue(fd, a.at, a.len, 0), a.page);
}

static void bad_requests(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, MINOR, &fd);

	SAME(uffd_continue(fd, a.at, 0, 0), -EINVAL);
	SAME(uffd_continue(fd, a.at + 1, a.page, 0), -EINVAL);
	SAME(uffd_continue(fd, a.at, a.page, 1 << 20), -EINVAL);
	if (m->is & HUGETLB)
		SAME(uffd_continue(fd, a.at, 4096, 0), -EINVAL);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	SAME(uffd_continue(fd, a.at, a.page, 0), -ENOENT);
}

static void twice(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);

	memset(map_alias(&a), 'a', a.page);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
	SAME(uffd_continue(fd, a.at, a.page, 0), -EEXIST);
}

static void modified_before(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);
	char *alias = map_alias(&a);
	struct touch t;
	struct uffd_event ev;

	memset(alias, 'a', a.page);
	touch_read(&t, a.p);
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_FAULT_MINOR);
	SAME(ev.addr, a.at);
	CHECK(!ev.write);
	memset(alias, 'b', a.page);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
	SAME(touched(&t), 'b');
	CHECK(all_are(a.p, 'b', a.page));
}

static void minor_write(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);
	char *alias = map_alias(&a);
	struct touch t;
	struct uffd_event ev;

	memset(alias, 'a', a.page);
	touch_write(&t, a.p, 'w');
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_FAULT_MINOR);
	CHECK(ev.write);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'w');
	SAME(alias[0], m->is & TO_ALL ? 'w' : 'a');
	CHECK(silent(fd));
}

static void dontwake(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);
	struct touch t;

	memset(map_alias(&a), 'a', a.page);
	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_continue(fd, a.at, a.page, UFFDIO_CONTINUE_MODE_DONTWAKE),
	     a.page);
	SAME(waiters(fd), 1);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	SAME(touched(&t), 'a');
}

/* MISSING and MINOR: the kinds are told apart */
static void hole_or_cached(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, MISSING | MINOR, &fd);
	struct touch hole, cached;

	memset(map_alias(&a), 'c', a.page);
	touch_read(&cached, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MINOR);
	touch_read(&hole, page_of(&a, 1));
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
	SAME(uffd_copy(fd, at_page(&a, 1), bytes_of('h', a.page), a.page, 0),
	     a.page);
	SAME(touched(&cached), 'c');
	SAME(touched(&hole), 'h');
}

static void hole_of_minor_only(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);

	SAME(try_touch(a.p, false, NULL), 0);
	CHECK(all_are(a.p, 0, a.page));
	CHECK(silent(fd));
}

static void cached_of_missing_only(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MISSING, &fd);

	memset(map_alias(&a), 'c', a.page);
	SAME(try_touch(a.p, false, NULL), 0);
	CHECK(all_are(a.p, 'c', a.page));
	CHECK(silent(fd));
}

/* which mode it was registered with does not matter to CONTINUE */
static void mode_does_not_matter(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MISSING, &fd);

	memset(map_alias(&a), 'c', a.page);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
}

static void with_protection(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, MINOR | WP, &fd);
	struct touch t;

	memset(map_alias(&a), 'a', a.len);
	SAME(uffd_continue(fd, a.at, a.len, UFFDIO_CONTINUE_MODE_WP), a.len);
	CHECK(all_are(a.p, 'a', a.len));
	touch_write(&t, a.p, 'w');
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_writeprotect(fd, a.at, a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'w');
}

static void protection_not_registered(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);

	memset(map_alias(&a), 'a', a.len);
	SAME(uffd_continue(fd, a.at, a.page, UFFDIO_CONTINUE_MODE_WP),
	     -EINVAL);
}

static void flip(char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (char)~p[i];
}

struct walk {
	struct area a;
	char sum;
};

static void walk(void *data)
{
	struct walk *w = data;

	for (uint64_t i = 0; i < w->a.len; i += w->a.page)
		w->sum = (char)(w->sum + w->a.p[i]);
}

/* Each page faults exactly once and shows what was written before CONTINUE. */
static void each_page_once(const struct memory *m)
{
	const unsigned nr = m->is & HUGETLB ? 4 : 64;
	int fd;
	struct walk w = { .a = watched(m, nr, MINOR, &fd) };
	char *alias = map_alias(&w.a);
	struct actor walker;

	memset(alias, 1, w.a.len);
	start(&walker, walk, &w);
	for (unsigned i = 0; i < nr; i++) {
		struct uffd_event ev = next_event(fd);

		SAME(ev.kind, LIBUFFD_FAULT_MINOR);
		SAME(ev.addr, at_page(&w.a, i));
		flip(alias + i * w.a.page, w.a.page);
		SAME(uffd_continue(fd, ev.addr, w.a.page, 0), w.a.page);
	}
	finish(&walker);
	CHECK(silent(fd));
	CHECK(all_are(w.a.p, (char)~1, w.a.len));
	SAME(w.sum, (char)((char)~1 * (int)nr));
}

static void all_of_it(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 6, MINOR, &fd);
	struct uffd_progress p;

	memset(map_alias(&a), 'a', a.len);
	SAME(uffd_continue(fd, at_page(&a, 1), a.page, 0), a.page);
	CHECK(mprotect(page_of(&a, 3), a.page, PROT_READ) == 0);
	munmap(page_of(&a, 5), a.page);
	SAME(uffd_continue_all(fd, a.at, a.len, 0, a.page, &p), 0);
	SAME(p.filled, 4 * a.page);
	SAME(p.existed, a.page);
	SAME(p.gone, a.page);
	CHECK(all_are(a.p, 'a', 5 * a.page));
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* a second mapping, at an address that a huge page may begin at */
static char *map_alias_aligned(const struct area *a, size_t align)
{
	char *room = map_anon(a->len + align);
	char *at = room + (align - (uintptr_t)room % align) % align;

	CHECK(mmap(at, a->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   a->fd, 0) == at);
	return at;
}

/* What the page cache merges into a huge page is not changed by it, and pages
 * not mapped are minor faults still. */
static void collapsed(const struct memory *m)
{
	const size_t huge = 2 << 20;
	struct area a = map_area(m, 512);
	char *alias = map_alias_aligned(&a, huge);
	struct touch t;
	int fd = open_uffd(0);

	for (size_t i = 0; i < a.len; i += a.page)
		memset(alias + i, (int)('a' + i / a.page % 16), a.page);
	watch(fd, &a, MINOR);
	if (madvise(alias, huge, MADV_COLLAPSE) < 0)
		skip("nothing can be collapsed here: %s", strerror(errno));
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MINOR);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
	SAME(touched(&t), 'a');
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	CHECK(memcmp(a.p, alias, a.len) == 0);
	for (size_t i = 0; i < a.len; i += a.page)
		SAME(a.p[i], 'a' + i / a.page % 16);
}

static const struct promise promises[] = {
	{ "CONTINUE on anonymous memory is EINVAL", not_on_anon, ANON,
	  0, UFFD_FEATURE_MINOR_SHMEM },
	{ "CONTINUE of what is not cached is EFAULT", not_cached, CACHED,
	  NEED_MINOR, 0 },
	{ "CONTINUE refuses bad requests", bad_requests, CACHED, NEED_MINOR,
	  0 },
	{ "CONTINUE of what is mapped is EEXIST", twice, CACHED, NEED_MINOR,
	  0 },
	{ "CONTINUE with protection not registered for is EINVAL",
	  protection_not_registered, CACHED, NEED_MINOR, 0 },
	{ "a cached page is a minor fault, and may change until CONTINUE",
	  modified_before, CACHED, NEED_MINOR, 0 },
	{ "a minor fault says whether it writes", minor_write, CACHED,
	  NEED_MINOR, 0 },
	{ "CONTINUE wakes only without DONTWAKE", dontwake, CACHED, NEED_MINOR,
	  0 },
	{ "MISSING and MINOR are told apart", hole_or_cached, CACHED,
	  NEED_MINOR, 0 },
	{ "registered for MINOR alone, a hole comes as zeros, silently",
	  hole_of_minor_only, CACHED, NEED_MINOR, 0 },
	{ "registered for MISSING alone, a cached page comes silently",
	  cached_of_missing_only, CACHED, NEED_MINOR, 0 },
	{ "CONTINUE asks not which mode was registered", mode_does_not_matter,
	  CACHED, NEED_MINOR, 0 },
	{ "CONTINUE can protect what it maps", with_protection, CACHED,
	  NEED_MINOR | NEED_WP, UFFD_FEATURE_WP_UNPOPULATED },
	{ "every page is one minor fault and shows the last change",
	  each_page_once, CACHED, NEED_MINOR, 0 },
	{ "uffd_continue_all passes over what exists, is split, is gone",
	  all_of_it, CACHED, NEED_MINOR, 0 },
	{ "a page cache collapsed into huge pages loses nothing", collapsed,
	  MEMFD, NEED_MINOR, 0 },
};

MAIN(promises)
