/* SPDX-License-Identifier: MIT */
/*
 * Filling: COPY and ZEROPAGE, what stops them, and carrying them through.
 */
#include <sys/ioctl.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "fixture.h"

#define FAR_OFF (~UINT64_C(0) - 0xfffff)

static struct area watched(const struct memory *m, unsigned nr, int *ret_fd)
{
	struct area a = map_area(m, nr);

	*ret_fd = open_uffd(0);
	watch(*ret_fd, &a, MISSING);
	return a;
}

/* ---- COPY refuses ------------------------------------------------------- */

static void copy_bad_ranges(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, &fd);
	char *src = bytes_of('a', a.len + 1);

	SAME(uffd_copy(fd, a.at, src, 0, 0), -EINVAL);
	SAME(uffd_copy(fd, a.at + 1, src, a.page, 0), -EINVAL);
	SAME(uffd_copy(fd, a.at, src, a.page + 1, 0), -EINVAL);
	SAME(uffd_copy(fd, FAR_OFF & ~(a.page - 1), src, a.page, 0), -EINVAL);
	SAME(uffd_copy(fd, a.at, src, FAR_OFF & ~(a.page - 1), 0), -EINVAL);
	SAME(uffd_copy(fd, a.at, (void *)(uintptr_t)-a.page, 2 * a.page, 0),
	     -EINVAL);
	if (m->is & HUGETLB) {
		SAME(uffd_copy(fd, a.at + 4096, src, a.page, 0), -EINVAL);
		SAME(uffd_copy(fd, a.at, src, 4096, 0), -EINVAL);
	}
}

static void copy_bad_mode(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	char *src = bytes_of('a', a.page);

	SAME(uffd_copy(fd, a.at, src, a.page, 1 << 20), -EINVAL);
	/* protection wanted, but not registered for it */
	SAME(uffd_copy(fd, a.at, src, a.page, UFFDIO_COPY_MODE_WP), -EINVAL);
	SAME(uffd_zeropage(fd, a.at, a.page, 1 << 20), -EINVAL);
}

static void copy_bad_src(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, &fd);
	char *src = bytes_of('a', a.len);

	munmap(src + a.page, a.page);
	SAME(uffd_copy(fd, a.at, src, a.len, 0), a.page);
	SAME(uffd_copy(fd, at_page(&a, 1), src + a.page, a.page, 0), -EFAULT);
	CHECK(all_are(a.p, 'a', a.page));
}

static void not_there(const struct memory *m)
{
	struct area a = map_area(m, 3);
	int fd = open_uffd(0);
	char *src = bytes_of('a', a.len);

	SAME(uffd_register(fd, a.at, a.page, MISSING, NULL), 0);
	SAME(uffd_copy(fd, at_page(&a, 1), src, a.page, 0), -ENOENT);
	SAME(uffd_copy(fd, a.at, src, 2 * a.page, 0), -ENOENT);
	munmap(page_of(&a, 2), a.page);
	SAME(uffd_copy(fd, at_page(&a, 2), src, a.page, 0), -ENOENT);
	if (!(m->is & HUGETLB))
		SAME(uffd_zeropage(fd, at_page(&a, 2), a.page, 0), -ENOENT);
}

static void bad_pointer(const struct memory *m)
{
	(void)m;
	CHECK(ioctl(open_uffd(0), UFFDIO_COPY, (void *)8) < 0);
	SAME(errno, EFAULT);
}

static void exists(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	char *src = bytes_of('a', a.page);

	SAME(uffd_copy(fd, a.at, src, a.page, 0), a.page);
	SAME(uffd_copy(fd, a.at, bytes_of('b', a.page), a.page, 0), -EEXIST);
	CHECK(all_are(a.p, 'a', a.page));
}

static void partial(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 4, &fd);
	char *src = bytes_of('a', a.len);

	SAME(uffd_copy(fd, at_page(&a, 2), bytes_of('b', a.page), a.page, 0),
	     a.page);
	SAME(uffd_copy(fd, a.at, src, a.len, 0), 2 * a.page);
	SAME(uffd_copy(fd, at_page(&a, 2), src, 2 * a.page, 0), -EEXIST);
	CHECK(all_are(a.p, 'a', 2 * a.page));
	CHECK(all_are(page_of(&a, 2), 'b', a.page));
}

static void past_the_end(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 3, &fd);
	char *src = bytes_of('a', a.len);

	CHECK(ftruncate(a.fd, (off_t)(2 * a.page)) == 0);
	SAME(uffd_copy(fd, at_page(&a, 2), src, a.page, 0), -EFAULT);
	SAME(uffd_copy(fd, a.at, src, a.len, 0), 2 * a.page);
}

/* An empty pool answers as if the page were there; older kernels said what is
 * the matter. The pool is one of a mount of its own: the machine's is not
 * touched. */
static void pool_is_empty(const struct memory *m)
{
	char dir[] = "/tmp/libuffd-pool.XXXXXX", path[64];
	int flags = m->is == HUGE ? MAP_SHARED : MAP_PRIVATE;
	const size_t page = 2 << 20;
	int fd = open_uffd(0), file;
	char *src = bytes_of('a', page), *p;
	int64_t n;

	map_area(m, 2);		/* are there any at all? */
	CHECK(mkdtemp(dir));
	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", dir, "hugetlbfs", 0, "pagesize=2M,size=2M") == 0);
	snprintf(path, sizeof(path), "%s/file", dir);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(file >= 0);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	CHECK(ftruncate(file, (off_t)(2 * page)) == 0);
	p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		 flags | MAP_NORESERVE, file, 0);
	CHECK(p != MAP_FAILED);
	SAME(uffd_register(fd, (uintptr_t)p, 2 * page, MISSING, NULL), 0);
	SAME(uffd_copy(fd, (uintptr_t)p, src, page, 0), page);
	n = uffd_copy(fd, (uintptr_t)p + page, src, page, 0);
	CHECK(n == -EEXIST || n == -ENOMEM);
	CHECK(!pagemap_bit(p + page, PAGEMAP_PRESENT));
}

/* ---- COPY works --------------------------------------------------------- */

static void copy_resolves(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, &fd);
	struct touch t;
	struct uffd_event ev;

	touch_read(&t, page_of(&a, 1) + 5);
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_FAULT_MISSING);
	CHECK(!ev.write);
	SAME(ev.addr, at_page(&a, 1));
	SAME(ev.tid, 0);
	SAME(ev.fork_fd, -1);
	SAME(waiters(fd), 1);
	SAME(uffd_copy(fd, at_page(&a, 1), bytes_of('a', a.page), a.page, 0),
	     a.page);
	SAME(touched(&t), 'a');
	CHECK(all_are(page_of(&a, 1), 'a', a.page));
	CHECK(silent(fd));
}

static void write_says_write(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	struct touch t;

	touch_write(&t, a.p, 'b');
	CHECK(next_event(fd).write);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	touched(&t);
	SAME(a.p[0], 'b');
	CHECK(all_are(a.p + 1, 'a', a.page - 1));
}

static void unaligned_src(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);

	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page + 3) + 3, a.page, 0),
	     a.page);
	CHECK(all_are(a.p, 'a', a.page));
}

static void not_woken(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	char *src = bytes_of('a', a.page);
	struct touch t;

	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_copy(fd, a.at, src, a.page, UFFDIO_COPY_MODE_DONTWAKE),
	     a.page);
	SAME(waiters(fd), 1);
	SAME(uffd_copy(fd, a.at, src, a.page, 0), -EEXIST);
	SAME(waiters(fd), 1);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	SAME(waiters(fd), 0);
	SAME(touched(&t), 'a');
	CHECK(silent(fd));
}

/* Through another descriptor the page comes, but nobody wakes. */
static void other_descriptor(const struct memory *m)
{
	int fd, other = open_uffd(0);
	struct area a = watched(m, 1, &fd);
	struct touch t;

	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_copy(other, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(waiters(fd), 1);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	SAME(touched(&t), 'a');
}

static void shared_or_not(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	char *alias = map_alias(&a);
	char want = m->is & TO_ALL ? 'a' : 0;

	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	CHECK(all_are(alias, want, a.page));
}

/* In the page cache already: COPY says so although it is not mapped here. */
static void cached_already(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);

	memset(map_alias(&a), 'c', a.page);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), -EEXIST);
	SAME(try_touch(a.p, false, NULL), 0);
	CHECK(all_are(a.p, 'c', a.page));
}

static void remapped_after_drop(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	struct touch t;

	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(uffd_drop(a.at, a.page), 0);
	touch_read(&t, a.p);
	if (!(m->is & TO_ALL)) {
		SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
		SAME(uffd_copy(fd, a.at, bytes_of('b', a.page), a.page, 0),
		     a.page);
	}
	SAME(touched(&t), m->is & TO_ALL ? 'a' : 'b');
}

/* ---- ZEROPAGE ----------------------------------------------------------- */

static void zeropage_small(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 3, &fd);
	struct touch t;

	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_zeropage(fd, a.at, a.page, 0), a.page);
	SAME(touched(&t), 0);
	CHECK(all_are(a.p, 0, a.page));
	SAME(uffd_zeropage(fd, a.at, a.page, 0), -EEXIST);
	SAME(uffd_zeropage(fd, at_page(&a, 1), 2 * a.page, 0), 2 * a.page);
	memset(a.p, 'w', a.len);
	CHECK(all_are(a.p, 'w', a.len));
	CHECK(silent(fd));
}

static void zeropage_huge(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);

	SAME(uffd_zeropage(fd, a.at, a.page, 0), -EINVAL);
	SAME(uffd_copy(fd, a.at, bytes_of(0, a.page), a.page, 0), a.page);
}

static void zeropage_dontwake(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, &fd);
	struct touch t;

	touch_read(&t, a.p);
	next_event(fd);
	SAME(uffd_zeropage(fd, a.at, a.page, UFFDIO_ZEROPAGE_MODE_DONTWAKE),
	     a.page);
	SAME(waiters(fd), 1);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	SAME(touched(&t), 0);
}

/* ---- guard markers ------------------------------------------------------ */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* A guard is installed without a message. ZEROPAGE respects it on private
 * memory; COPY goes over it. */
static void guards(const struct memory *m)
{
	struct area a = map_area(m, 2);
	int fd = open_uffd(UFFD_FEATURE_EVENT_REMOVE);

	memset(a.p, 'a', a.len);
	watch(fd, &a, MISSING);
	if (madvise(a.p, a.page, MADV_GUARD_INSTALL) < 0)
		skip("no MADV_GUARD_INSTALL on this memory in this kernel");
	CHECK(silent(fd));
	SAME(try_touch(a.p, false, NULL), SIGSEGV);
	CHECK(silent(fd));
	if (m->is == ANON)
		SAME(uffd_zeropage(fd, a.at, a.page, 0), -EEXIST);
	if (m->is & TO_ONE) {
		SAME(uffd_copy(fd, a.at, bytes_of('c', a.page), a.page, 0),
		     a.page);
		CHECK(all_are(a.p, 'c', a.page));
	}
}

/* ---- carried through ---------------------------------------------------- */

/* 8 pages: 2 exists, 4 has become another mapping, 6 is gone */
static void all_of_it(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 8, &fd);
	struct uffd_progress p;
	struct touch t;

	touch_read(&t, page_of(&a, 2));
	next_event(fd);
	SAME(uffd_copy(fd, at_page(&a, 2), bytes_of('o', a.page), a.page,
		       UFFDIO_COPY_MODE_DONTWAKE), a.page);
	CHECK(mprotect(page_of(&a, 4), a.page, PROT_READ) == 0);
	munmap(page_of(&a, 6), a.page);
	SAME(uffd_copy_all(fd, a.at, bytes_of('a', a.len), a.len, 0, a.page,
			   &p), 0);
	SAME(p.done, a.len);
	SAME(p.filled, 6 * a.page);
	SAME(p.existed, a.page);
	SAME(p.gone, a.page);
	SAME(touched(&t), 'o');
	CHECK(all_are(a.p, 'a', 2 * a.page));
	CHECK(all_are(page_of(&a, 3), 'a', 3 * a.page));
	CHECK(all_are(page_of(&a, 7), 'a', a.page));
}

static void zeros_all_of_it(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 5, &fd);
	struct uffd_progress p;

	SAME(uffd_copy(fd, at_page(&a, 1), bytes_of('o', a.page), a.page, 0),
	     a.page);
	CHECK(mprotect(page_of(&a, 3), a.page, PROT_READ) == 0);
	SAME(uffd_zeropage_all(fd, a.at, a.len, 0, a.page, &p), 0);
	SAME(p.filled, 4 * a.page);
	SAME(p.existed, a.page);
	CHECK(all_are(page_of(&a, 2), 0, 3 * a.page));
}

static void stops_where_it_must(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 3, &fd);
	struct uffd_progress p;
	char *src = bytes_of('a', a.len);

	munmap(src + 2 * a.page, a.page);
	SAME(uffd_copy_all(fd, a.at, src, a.len, 0, a.page, &p), -EFAULT);
	SAME(p.done, 2 * a.page);
	SAME(uffd_copy_all(fd, a.at, src, a.len, 0, 0, &p), -EINVAL);
	SAME(uffd_copy_all(fd, a.at, src, a.page + 1, 0, a.page, &p), -EINVAL);
}

/* Its mapping is gone while a thread waits in it: COPY says ENOENT, and only
 * waking lets the thread see that it has no memory any more. */
static void gone_under_it(void *data)
{
	const struct memory *m = data;
	int fd;
	struct area a = watched(m, 1, &fd);
	char *src = bytes_of('a', a.page); /* not later: at the same place */
	struct uffd_progress p;
	struct touch t;

	signal(SIGSEGV, SIG_DFL);
	touch_read(&t, a.p);
	next_event(fd);
	munmap(a.p, a.page);
	SAME(uffd_copy(fd, a.at, src, a.page, 0), -ENOENT);
	SAME(waiters(fd), 1);
	SAME(uffd_copy_all(fd, a.at, src, a.page, 0, a.page, &p), 0);
	SAME(p.gone, a.page);
	touched(&t);
}

static void unmapped_while_waiting(const struct memory *m)
{
	struct memory copy = *m;
	int status = end_of(start_child(gone_under_it, &copy));

	CHECK(WIFSIGNALED(status));
	SAME(WTERMSIG(status), SIGSEGV);
}

static const struct promise promises[] = {
	{ "COPY refuses a bad range", copy_bad_ranges, ALL, 0, 0 },
	{ "COPY refuses a bad mode, and protection not registered for",
	  copy_bad_mode, ALL, 0, 0 },
	{ "a bad pointer is EFAULT", bad_pointer, 0, 0, 0 },
	{ "COPY stops where its source ends, then says EFAULT", copy_bad_src,
	  ALL, 0, 0 },
	{ "what is not mapped, not registered or not one mapping is ENOENT",
	  not_there, ALL, 0, 0 },
	{ "a page that is there is EEXIST, and stays", exists, ALL, 0, 0 },
	{ "a run stops before a page that is there, then says EEXIST", partial,
	  ALL, 0, 0 },
	{ "past the end of the file is EFAULT, across it partial",
	  past_the_end, WITH_FILE & ~HUGE_PRIVATE, 0, 0 },
	{ "an empty huge page pool is EEXIST (or ENOMEM) and no page",
	  pool_is_empty, HUGETLB, NEED_ROOT, 0 },
	{ "ZEROPAGE is EINVAL on hugetlb, a copy of zeros is not",
	  zeropage_huge, HUGETLB, 0, 0 },
	{ "a missing page sends a message, COPY resolves it", copy_resolves,
	  ALL, 0, 0 },
	{ "a write says that it is one", write_says_write, ALL, 0, 0 },
	{ "the source need not be aligned", unaligned_src, ALL, 0, 0 },
	{ "neither DONTWAKE nor EEXIST wakes, uffd_wake does", not_woken, ALL,
	  0, 0 },
	{ "another descriptor fills, but does not wake", other_descriptor, ALL,
	  0, 0 },
	{ "COPY is seen by other mappings where the memory is shared",
	  shared_or_not, CACHED, 0, 0 },
	{ "COPY is EEXIST where the page is cached, and the page then comes "
	  "without a message", cached_already, TO_ALL & CACHED, 0, 0 },
	{ "a dropped page is missing again where private, cached where shared",
	  remapped_after_drop, ALL, NEED_DROP, 0 },
	{ "ZEROPAGE fills with zeros, twice is EEXIST", zeropage_small, SMALL,
	  0, 0 },
	{ "ZEROPAGE wakes only without DONTWAKE", zeropage_dontwake, SMALL, 0,
	  0 },
	{ "a guard comes without a message, and COPY goes over it", guards,
	  SMALL, 0, 0 },
	{ "uffd_copy_all passes over what exists, is split, is gone",
	  all_of_it, ALL, 0, 0 },
	{ "uffd_zeropage_all does, too", zeros_all_of_it, SMALL, 0, 0 },
	{ "uffd_copy_all stops where it must and says where",
	  stops_where_it_must, ALL, 0, 0 },
	{ "unmapped while a thread waits: ENOENT, and waking ends it",
	  unmapped_while_waiting, ALL, 0, 0 },
};

MAIN(promises)
