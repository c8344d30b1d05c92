/* SPDX-License-Identifier: MIT */
/*
 * System calls on memory that is not there. With `thread` they wait for their
 * page as any access does; with `sigbus` they fail, and do not when the page
 * has been touched or pinned before.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "../seam/promise.h"
#include "../store/dir.h"
#include "bed.h"

#define FILE_PAGES 64u

struct stage {
	struct bed b;
	struct pusher push;
	struct dir dir;
	int fd;			/* FILE_PAGES stamped pages, version 1 */
	int direct;		/* the same, O_DIRECT; or -1 */
	uint64_t dice;
};

static int make_file(struct stage *s)
{
	char path[PATH_MAX];
	void *page = aligned_alloc(PAGE, PAGE);

	dir_make(&s->dir);
	snprintf(path, sizeof(path), "%s/pages", s->dir.path);
	s->fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	for (uint64_t i = 0; i < FILE_PAGES; i++) {
		stamp(page, i, 1);
		if (pwrite(s->fd, page, PAGE, (off_t)(i * PAGE)) !=
		    (ssize_t)PAGE)
			return -1;
	}
	free(page);
	fsync(s->fd);
	s->direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	return 0;
}

/* A region under pressure: whatever was touched is soon gone. */
static bool begin(struct stage *s, uint32_t engine)
{
	const struct bed_want want = {
		.engine = engine,
		.uri = LZ4,
		.budget = 48,
	};

	*s = (struct stage){ .fd = -1, .direct = -1, .dice = 4711 };
	if (!CHECK(make_file(s) == 0) || !CHECK(bed_open(&s->b, &want)))
		return false;
	bed_stamp_all(&s->b, 1);
	pusher_start(&s->push, &s->b, 256, 256);
	return true;
}

static void end(struct stage *s)
{
	pusher_stop(&s->push);
	bed_close(&s->b);
	close(s->fd);
	if (s->direct >= 0)
		close(s->direct);
	dir_remove(&s->dir);
}

/* `nr` pages of the file into the region at `first` and there they are */
static void into(struct stage *s, int fd, uint64_t first, uint64_t nr)
{
	SAME(pread(fd, bed_page(&s->b, first), nr * PAGE, 0), nr * PAGE);
	for (uint64_t i = 0; i < nr; i++)
		CHECK(stamped(bed_page(&s->b, first + i), i, 1));
	for (uint64_t i = 0; i < nr; i++)
		stamp(bed_page(&s->b, first + i), first + i, 1);
}

/* pages of the region to the file and back by other ways */
static void out_of(struct stage *s, int fd, uint64_t first, uint64_t nr)
{
	uint8_t *page = aligned_alloc(PAGE, PAGE);

	SAME(pwrite(fd, bed_page(&s->b, first), nr * PAGE, FILE_PAGES * PAGE),
	     nr * PAGE);
	for (uint64_t i = 0; i < nr; i++) {
		SAME(pread(s->fd, page, PAGE,
			   (off_t)((FILE_PAGES + i) * PAGE)), PAGE);
		CHECK(stamped(page, first + i, 1));
	}
	free(page);
}

static void buffered(void)
{
	struct stage s;

	if (!begin(&s, LIBUFFD_ENGINE_THREAD))
		return;
	for (unsigned n = 0; n < 60 && !broken; n++) {
		uint64_t nr = 1 + any_page(&s.dice, 16);
		uint64_t first = any_page(&s.dice, 256 - nr);

		into(&s, s.fd, first, nr);
		out_of(&s, s.fd, first, nr);
	}
	CHECK(bed_stamped_all(&s.b, 1));
	end(&s);
}

/* the device writes to the pages themselves, so they have to be held */
static void direct(void)
{
	struct stage s;

	if (!begin(&s, LIBUFFD_ENGINE_THREAD))
		return;
	if (s.direct < 0)
		untried = "no O_DIRECT here";
	for (unsigned n = 0; n < 60 && !broken && !untried; n++) {
		uint64_t nr = 1 + any_page(&s.dice, 8);
		uint64_t first = any_page(&s.dice, 256 - nr);

		SAME(uffd_pin(s.b.r, first * PAGE, nr * PAGE), 0);
		into(&s, s.direct, first, nr);
		uffd_unpin(s.b.r, first * PAGE, nr * PAGE);
		/* out of it needs no pin: what is read stays what it is */
		out_of(&s, s.direct, first, nr);
	}
	if (!untried)
		CHECK(bed_stamped_all(&s.b, 1));
	end(&s);
}

static void pipes(void)
{
	uint8_t *copy = aligned_alloc(PAGE, PAGE);
	int fds[2] = { -1, -1 };
	struct stage s;

	if (!begin(&s, LIBUFFD_ENGINE_THREAD))
		return;
	SAME(pipe(fds), 0);
	for (unsigned n = 0; n < 200 && !broken; n++) {
		uint64_t from = any_page(&s.dice, 256);
		uint64_t to = any_page(&s.dice, 256);

		SAME(write(fds[1], bed_page(&s.b, from), PAGE), PAGE);
		SAME(read(fds[0], bed_page(&s.b, to), PAGE), PAGE);
		CHECK(stamped(bed_page(&s.b, to), from, 1));
		stamp(bed_page(&s.b, to), to, 1);
	}
	close(fds[0]);
	close(fds[1]);
	free(copy);
	end(&s);
}

static void other_process(void)
{
	uint8_t *copy = aligned_alloc(PAGE, PAGE);
	struct stage s;

	if (!begin(&s, LIBUFFD_ENGINE_THREAD))
		return;
	for (unsigned n = 0; n < 200 && !broken; n++) {
		uint64_t page = any_page(&s.dice, 256);
		struct iovec here = { copy, PAGE };
		struct iovec there = { bed_page(&s.b, page), PAGE };

		SAME(process_vm_readv(getpid(), &here, 1, &there, 1, 0), PAGE);
		CHECK(stamped(copy, page, 1));
		stamp(copy, page, 2);
		SAME(process_vm_writev(getpid(), &here, 1, &there, 1, 0), PAGE);
		CHECK(stamped(bed_page(&s.b, page), page, 2));
		stamp(bed_page(&s.b, page), page, 1);
	}
	free(copy);
	end(&s);
}

#ifdef HAVE_LIBURING
static int one_io(struct io_uring *ring, int fd, void *at, bool write)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int res;

	if (write)
		io_uring_prep_write(sqe, fd, at, PAGE, FILE_PAGES * PAGE);
	else
		io_uring_prep_read(sqe, fd, at, PAGE, 0);
	io_uring_submit(ring);
	res = io_uring_wait_cqe(ring, &cqe);
	if (res == 0) {
		res = cqe->res;
		io_uring_cqe_seen(ring, cqe);
	}
	return res;
}

static void ring_io(void)
{
	struct io_uring ring;
	struct stage s;

	if (io_uring_queue_init(8, &ring, 0) < 0)
		SKIP("no io_uring here");
	if (!begin(&s, LIBUFFD_ENGINE_THREAD))
		return;
	for (unsigned n = 0; n < 200 && !broken; n++) {
		uint64_t page = any_page(&s.dice, 256);
		uint8_t *at = bed_page(&s.b, page);

		SAME(one_io(&ring, s.fd, at, false), PAGE);
		CHECK(stamped(at, 0, 1));
		stamp(at, page, 1);
		SAME(one_io(&ring, s.fd, at, true), PAGE);
	}
	CHECK(bed_stamped_all(&s.b, 1));
	io_uring_queue_exit(&ring);
	end(&s);
}
#else
static void ring_io(void)
{
	SKIP("built without liburing");
}
#endif

/* with sigbus: refused by the kernel, unless the page is held here */
static void sigbus_needs_pins(void)
{
	struct stage s;
	uint64_t first = 100;

	if (!begin(&s, LIBUFFD_ENGINE_SIGBUS))
		return;
	SAME(uffd_evict(s.b.r, 0, 256 * PAGE), 0);
	SAME(pread(s.fd, bed_page(&s.b, first), PAGE, 0), -1);
	SAME(errno, EFAULT);
	for (unsigned n = 0; n < 60 && !broken; n++) {
		uint64_t nr = 1 + any_page(&s.dice, 8);

		first = any_page(&s.dice, 256 - nr);
		SAME(uffd_pin(s.b.r, first * PAGE, nr * PAGE), 0);
		into(&s, s.fd, first, nr);
		out_of(&s, s.fd, first, nr);
		uffd_unpin(s.b.r, first * PAGE, nr * PAGE);
	}
	CHECK(bed_stamped_all(&s.b, 1));
	end(&s);
}

static const struct promise promises[] = {
	{ "pread and pwrite wait for their pages", buffered },
	{ "so do they with O_DIRECT", direct },
	{ "read and write of a pipe do", pipes },
	{ "process_vm_readv and _writev do", other_process },
	{ "io_uring does", ring_io },
	{ "with sigbus what is pinned can be read into", sigbus_needs_pins },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
