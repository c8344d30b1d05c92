/* SPDX-License-Identifier: MIT */
/*
 * Write protection: by message, and asynchronous.
 */
#include "fixture.h"

#define PROTECT UFFDIO_WRITEPROTECT_MODE_WP

static struct area filled(const struct memory *m, unsigned nr, uint64_t mode,
			  int *ret_fd)
{
	struct area a = map_area(m, nr);

	memset(a.p, 'a', a.len);
	*ret_fd = open_uffd(0);
	watch(*ret_fd, &a, mode);
	return a;
}

static struct area guarded(const struct memory *m, unsigned nr, int *ret_fd)
{
	struct area a = filled(m, nr, WP, ret_fd);

	SAME(uffd_writeprotect(*ret_fd, a.at, a.len, PROTECT), a.len);
	return a;
}

static void bad_requests(const struct memory *m)
{
	int fd;
	struct area a = filled(m, 2, WP, &fd);

	SAME(uffd_writeprotect(fd, a.at, 0, PROTECT), -EINVAL);
	SAME(uffd_writeprotect(fd, a.at + 1, a.page, PROTECT), -EINVAL);
	SAME(uffd_writeprotect(fd, a.at, a.page, 1 << 20), -EINVAL);
	SAME(uffd_writeprotect(fd, a.at, a.page,
			       PROTECT | UFFDIO_WRITEPROTECT_MODE_DONTWAKE),
	     -EINVAL);
	if (m->is & HUGETLB)
		SAME(uffd_writeprotect(fd, a.at, 4096, PROTECT), -EINVAL);
}

static void not_registered_for(const struct memory *m)
{
	int fd;
	struct area a = filled(m, 1, MISSING, &fd);

	SAME(uffd_writeprotect(fd, a.at, a.page, PROTECT), -ENOENT);
	SAME(uffd_unregister(fd, a.at, a.len), 0);
	SAME(uffd_writeprotect(fd, a.at, a.page, PROTECT), -ENOENT);
	munmap(a.p, a.len);
	SAME(uffd_writeprotect(fd, a.at, a.page, PROTECT), -ENOENT);
}

static void write_asks(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 2, &fd);
	struct uffd_event ev;
	struct touch t;

	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	SAME(try_touch(a.p, false, NULL), 0);
	CHECK(silent(fd));
	touch_write(&t, a.p, 'w');
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_FAULT_WP);
	SAME(ev.addr, a.at);
	CHECK(ev.write);
	SAME(a.p[0], 'a');
	SAME(uffd_writeprotect(fd, a.at, a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'w');
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	CHECK(pagemap_bit(page_of(&a, 1), PAGEMAP_UFFD_WP));
}

static void dontwake(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);
	struct touch t;

	touch_write(&t, a.p, 'w');
	next_event(fd);
	SAME(uffd_writeprotect(fd, a.at, a.page,
			       UFFDIO_WRITEPROTECT_MODE_DONTWAKE), a.page);
	SAME(waiters(fd), 1);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	touched(&t);
	SAME(a.p[0], 'w');
}

/* Waking without releasing only makes it ask again. */
static void wake_is_no_release(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);
	struct touch t;

	touch_write(&t, a.p, 'w');
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_writeprotect(fd, a.at, a.page, 0), a.page);
	touched(&t);
}

/* A hole, or a mapping not registered, in the middle: what comes before it may
 * be protected or not by the plain call, what comes after a mapping not
 * registered never is; older kernels do nothing at all then. */
static void plain_call_stops(const struct memory *m)
{
	int fd;
	struct area a = filled(m, 3, WP, &fd);

	SAME(uffd_unregister(fd, at_page(&a, 1), a.page), 0);
	SAME(uffd_writeprotect(fd, a.at, a.len, PROTECT), -ENOENT);
	CHECK(!pagemap_bit(page_of(&a, 2), PAGEMAP_UFFD_WP));
}

/* doing it again is harmless */
static void again(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 2, &fd);

	SAME(uffd_writeprotect(fd, a.at, a.len, PROTECT), a.len);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	SAME(uffd_writeprotect(fd, a.at, a.len, 0), a.len);
	SAME(uffd_writeprotect(fd, a.at, a.len, 0), a.len);
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

static void over_holes(const struct memory *m)
{
	int fd;
	struct area a = filled(m, 4, WP, &fd);
	struct uffd_progress p;

	munmap(page_of(&a, 1), a.page);
	CHECK(mprotect(page_of(&a, 3), a.page, PROT_READ) == 0);
	SAME(uffd_writeprotect_all(fd, a.at, a.len, PROTECT, a.page, &p), 0);
	SAME(p.done, a.len);
	/* newer kernels pass over the hole themselves and count it as done */
	SAME(p.filled + p.gone, a.len);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	CHECK(pagemap_bit(page_of(&a, 2), PAGEMAP_UFFD_WP));
	CHECK(pagemap_bit(page_of(&a, 3), PAGEMAP_UFFD_WP));
}

static void protect_all(const struct memory *m)
{
	int fd;
	struct area a = filled(m, 3, WP, &fd);
	struct uffd_progress p;

	SAME(uffd_unregister(fd, at_page(&a, 1), a.page), 0);
	SAME(uffd_writeprotect_all(fd, a.at, a.len, PROTECT, a.page, &p), 0);
	SAME(p.filled, 2 * a.page);
	SAME(p.gone, a.page);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	CHECK(pagemap_bit(page_of(&a, 2), PAGEMAP_UFFD_WP));
}

static void untouched_anon(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(0);

	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.page, PROTECT), a.page);
	SAME(try_touch(a.p, true, NULL), 0);
	CHECK(silent(fd));
	/* a page that was only read is one, though */
	SAME(try_touch(page_of(&a, 1), false, NULL), 0);
	SAME(uffd_writeprotect(fd, at_page(&a, 1), a.page, PROTECT), a.page);
	CHECK(pagemap_bit(page_of(&a, 1), PAGEMAP_UFFD_WP));
}

static void untouched(const struct memory *m, uint64_t features)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(features);
	struct touch t;

	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.page, PROTECT), a.page);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	SAME(try_touch(a.p, false, NULL), 0);
	touch_write(&t, a.p, 'w');
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_writeprotect(fd, a.at, a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'w');
}

static void untouched_cached(const struct memory *m)
{
	untouched(m, 0);
}

static void untouched_marked(const struct memory *m)
{
	untouched(m, UFFD_FEATURE_WP_UNPOPULATED);
}

/* Both modes: the first write to a page not there yet is a missing fault, and
 * what is copied there is not protected unless asked for. */
static void missing_comes_first(const struct memory *m)
{
	struct area a = map_area(m, 2);
	char *src = bytes_of('a', a.page);
	struct uffd_event ev;
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING | WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, PROTECT), a.len);
	touch_write(&t, a.p, 'w');
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_FAULT_MISSING);
	CHECK(ev.write);
	SAME(uffd_copy(fd, a.at, src, a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'w');
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));

	touch_write(&t, page_of(&a, 1), 'w');
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(fd, at_page(&a, 1), src, a.page, UFFDIO_COPY_MODE_WP),
	     a.page);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_WP);
	SAME(uffd_writeprotect(fd, at_page(&a, 1), a.page, 0), a.page);
	touched(&t);
	SAME(a.p[a.page], 'w');
}

static void zeropage_on_marker(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(UFFD_FEATURE_WP_UNPOPULATED);

	watch(fd, &a, MISSING | WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, PROTECT), a.len);
	if (m->is & TO_ONE) {
		SAME(uffd_zeropage(fd, a.at, a.page, 0), -EEXIST);
		SAME(uffd_copy(fd, a.at, bytes_of(0, a.page), a.page, 0),
		     a.page);
	} else {
		SAME(uffd_zeropage(fd, a.at, a.page, 0), a.page);
	}
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

/* Dropping forgets protection of private memory, and not of a file's. */
static void dropped(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);

	SAME(uffd_drop(a.at, a.page), 0);
	SAME(pagemap_bit(a.p, PAGEMAP_UFFD_WP), m->is != ANON);
}

static void removed(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);

	CHECK(madvise(a.p, a.page, MADV_REMOVE) == 0);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

/* Protection is of the mapping, not of the page. */
static void other_mappings_write(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);
	char *alias = map_alias(&a);

	alias[0] = 'x';
	SAME(a.p[0], 'x');
	CHECK(silent(fd));
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

static void read_only(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);

	CHECK(mprotect(a.p, a.len, PROT_READ) == 0);
	SAME(try_touch(a.p, true, NULL), SIGSEGV);
	CHECK(silent(fd));
	CHECK(mprotect(a.p, a.len, PROT_READ | PROT_WRITE) == 0);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

/* ---- huge --------------------------------------------------------------- */

/* Protected whole, then released in one small page: the rest stays. */
static void part_of_huge(const struct memory *m)
{
	const size_t huge = 2 << 20;
	char *room = map_anon(2 * huge);
	char *p = room + (huge - (uintptr_t)room % huge) % huge;
	uint64_t at = (uintptr_t)p;
	int fd = open_uffd(0);
	struct touch t;

	(void)m;
	madvise(p, huge, MADV_HUGEPAGE);
	memset(p, 'h', huge);
	SAME(uffd_register(fd, at, huge, WP, NULL), 0);
	SAME(uffd_writeprotect(fd, at, huge, PROTECT), huge);
	SAME(uffd_writeprotect(fd, at + 4096, 4096, 0), 4096);
	CHECK(pagemap_bit(p, PAGEMAP_UFFD_WP));
	CHECK(!pagemap_bit(p + 4096, PAGEMAP_UFFD_WP));
	CHECK(pagemap_bit(p + huge - 1, PAGEMAP_UFFD_WP));
	SAME(try_touch(p + 4096, true, NULL), 0);
	CHECK(silent(fd));
	touch_write(&t, p + 8192, 'w');
	SAME(next_event(fd).addr, at + 8192);
	SAME(uffd_writeprotect(fd, at, huge, 0), huge);
	touched(&t);
	CHECK(all_are(p + 3 * 4096, 'h', huge - 3 * 4096));
}

/* ---- fork --------------------------------------------------------------- */

struct look {
	char *p;
	bool want;
};

static void look(void *data)
{
	const struct look *l = data;

	SAME(pagemap_bit(l->p, PAGEMAP_UFFD_WP), l->want);
}

/* (Older kernels forget to forget on private hugetlb.) */
static void fork_forgets(const struct memory *m)
{
	int fd;
	struct area a = guarded(m, 1, &fd);
	struct look l = { a.p, false };

	SAME(end_of(start_child(look, &l)), 0);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

static void fork_and_look(void *data)
{
	SAME(end_of(start_child(look, data)), 0);
}

static void fork_keeps(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct look l = { a.p, true };
	struct actor forker;
	struct uffd_event ev;
	int fd = open_uffd(UFFD_FEATURE_EVENT_FORK);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, PROTECT), a.len);
	start(&forker, fork_and_look, &l);
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_EVENT_FORK);
	finish(&forker);
	close(ev.fork_fd);
}

/* ---- asynchronous ------------------------------------------------------- */

static void async_passes(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(UFFD_FEATURE_WP_ASYNC);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, PROTECT), a.len);
	CHECK(pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	SAME(try_touch(a.p, true, NULL), 0);
	CHECK(silent(fd));
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));
}

static void async_any_memory(const struct memory *m)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file,
		       0);
	int fd = open_uffd(UFFD_FEATURE_WP_ASYNC);

	(void)m;
	CHECK(p != MAP_FAILED);
	need_regular(file);
	SAME(uffd_register(fd, (uintptr_t)p, 4096, WP | MISSING, NULL),
	     -EINVAL);
	SAME(uffd_register(fd, (uintptr_t)p, 4096, WP, NULL), 0);
	SAME(uffd_writeprotect(fd, (uintptr_t)p, 4096, PROTECT), 4096);
	SAME(try_touch(p, true, NULL), 0);
	CHECK(silent(fd));
}

static const struct promise promises[] = {
	{ "WRITEPROTECT refuses bad requests", bad_requests, ALL, NEED_WP, 0 },
	{ "WRITEPROTECT of what is not registered for it is ENOENT",
	  not_registered_for, ALL, NEED_WP, 0 },
	{ "the plain call does not go beyond what is not registered",
	  plain_call_stops, ALL, NEED_WP, 0 },
	{ "uffd_writeprotect_all does", protect_all, ALL, NEED_WP | NEED_WP_BIT,
	  0 },
	{ "uffd_writeprotect_all goes over holes and borders", over_holes, ALL,
	  NEED_WP | NEED_WP_BIT, 0 },
	{ "protecting and releasing again are harmless", again, ALL,
	  NEED_WP | NEED_WP_BIT, 0 },
	{ "a write to a protected page asks, a read does not", write_asks, ALL,
	  NEED_WP | NEED_WP_BIT, 0 },
	{ "releasing wakes only without DONTWAKE", dontwake, ALL, NEED_WP, 0 },
	{ "waking is no release", wake_is_no_release, ALL, NEED_WP, 0 },
	{ "an anonymous page never touched can't be protected", untouched_anon,
	  ANON, NEED_WP | NEED_WP_BIT, 0 },
	{ "a page of a file never touched can", untouched_cached, CACHED,
	  NEED_WP, 0 },
	{ "with WP_UNPOPULATED every page can", untouched_marked, ALL, NEED_WP,
	  UFFD_FEATURE_WP_UNPOPULATED },
	{ "missing comes before protected; COPY protects only if asked to",
	  missing_comes_first, ALL, NEED_WP, 0 },
	{ "ZEROPAGE on private memory does not go over a marker (EEXIST), all "
	  "other filling does",
	  zeropage_on_marker, SMALL, NEED_WP, UFFD_FEATURE_WP_UNPOPULATED },
	{ "dropping forgets protection of anonymous memory only", dropped, ALL,
	  NEED_WP, 0 },
	{ "removing a page from its file keeps its protection", removed,
	  SHARED | MEMFD, NEED_WP, 0 },
	{ "other mappings write unseen", other_mappings_write,
	  TO_ALL & ~ANON, NEED_WP, 0 },
	{ "what can't be written anyway is SIGSEGV, not a message", read_only,
	  ALL, NEED_WP | NEED_WP_BIT, 0 },
	{ "a huge page is protected whole and released in parts", part_of_huge,
	  0, NEED_WP_BIT, UFFD_FEATURE_PAGEFAULT_FLAG_WP },
	{ "a child has no protection without EVENT_FORK", fork_forgets,
	  ALL & ~HUGE_PRIVATE, NEED_WP | NEED_WP_BIT, 0 },
	{ "a child has it with EVENT_FORK", fork_keeps, ALL,
	  NEED_WP | NEED_FORK | NEED_WP_BIT, 0 },
	{ "WP_ASYNC lets writes pass without a message", async_passes, ALL,
	  NEED_WP, UFFD_FEATURE_WP_ASYNC },
	{ "WP_ASYNC alone registers any memory", async_any_memory, 0, 0,
	  UFFD_FEATURE_WP_ASYNC },
};

MAIN(promises)
