/* SPDX-License-Identifier: MIT */
/*
 * A file's requests in flight, by io_uring. A request takes as many steps as
 * its borders and short answers make it take; store[0] is how far it is.
 */
#include <errno.h>

#include "file.h"

#ifdef HAVE_LIBURING

#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lock.h"

#define RING_LEN 256u

/* best effort, last of all: what nobody waits for */
#define IOPRIO_AHEAD (2 << 13 | 7)

struct ring {
	struct file *file;
	struct io_uring uring;
	struct lock lock;
	unsigned nr;		/* in flight */
	pid_t pid;		/* a child process can't use it */
};

struct ring *ring_new(struct file *f)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->file = f;
	r->pid = getpid();
	if (io_uring_queue_init(RING_LEN, &r->uring, 0) < 0) {
		free(r);
		return NULL;
	}
	return r;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	if (r->pid == getpid())
		io_uring_queue_exit(&r->uring);
	free(r);
}

static int do_now(struct file *f, struct uffd_io *io)
{
	size_t done = io->store[0];

	if (io->op == LIBUFFD_IO_FLUSH)
		return file_flush(f);
	return file_transfer(f, io->op == LIBUFFD_IO_WRITE, io->offset + done,
			     (char *)io->buf + done, io->len - done);
}

static void prepare(struct file *f, const struct uffd_io *io,
		    struct io_uring_sqe *sqe)
{
	size_t done = io->store[0];
	uint64_t at = f->offset + io->offset + done;
	char *buf = (char *)io->buf + done;
	struct piece next = file_piece(f, at, buf, io->len - done);
	/* the kernel's length has 32 bits */
	unsigned len = next.len < 1u << 30 ? (unsigned)next.len : 1u << 30;

	if (io->op == LIBUFFD_IO_FLUSH)
		io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
	else if (io->op == LIBUFFD_IO_WRITE)
		io_uring_prep_write(sqe, next.fd, buf, len, at);
	else
		io_uring_prep_read(sqe, next.fd, buf, len, at);
	if (io->flags & LIBUFFD_IO_AHEAD && io->op != LIBUFFD_IO_FLUSH)
		sqe->ioprio = IOPRIO_AHEAD;
}

/* Start the next step; the lock is held. False: there is no room, or the
 * kernel does not take it now. */
static bool step(struct ring *r, struct uffd_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	if (!sqe)
		return false;
	prepare(r->file, io, sqe);
	io_uring_sqe_set_data(sqe, io);
	if (io_uring_submit(&r->uring) >= 0)
		return true;
	/* it stays in the queue: let it be nothing */
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	return false;
}

int ring_submit(struct ring *r, struct uffd_io *io)
{
	int err = 0;
	bool started = false;

	io->store[0] = 0;
	if (io->op != LIBUFFD_IO_FLUSH)
		err = file_is_whole(r->file, io->op == LIBUFFD_IO_WRITE,
				    io->offset, io->len);
	if (err)
		return err;
	if (r->pid == getpid()) {
		lock_take(&r->lock);
		if (r->nr == RING_LEN) {
			lock_drop(&r->lock);
			return -EAGAIN;
		}
		started = step(r, io);
		r->nr += started;
		lock_drop(&r->lock);
	}
	if (!started)
		io->done(io, do_now(r->file, io));
	return 0;
}

int ring_fd(const struct ring *r)
{
	return r->uring.ring_fd;
}

/* What a step came to: the request's answer, or 1: it goes on. */
static int came_to(struct file *f, struct uffd_io *io, int res)
{
	if (io->op == LIBUFFD_IO_FLUSH)
		return res == -EINTR || res == -ECANCELED ?
			       1 : file_flushed(f, res);
	/* the kernel cancels what a thread has started when the thread ends */
	if (res == -EINTR || res == -EAGAIN || res == -ECANCELED)
		return 1;
	if (res == 0)
		return io->op == LIBUFFD_IO_READ ? file_ended(f) : -EIO;
	if (res < 0)
		return res;
	io->store[0] += (unsigned)res;
	return io->store[0] < io->len;
}

int ring_dispatch(struct ring *r)
{
	struct io_uring_cqe *cqe;

	if (r->pid != getpid())
		return 0;
	lock_take(&r->lock);
	while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
		struct uffd_io *io = io_uring_cqe_get_data(cqe);
		int err = io ? came_to(r->file, io, cqe->res) : 1;

		io_uring_cqe_seen(&r->uring, cqe);
		if (!io || (err > 0 && step(r, io)))
			continue;
		r->nr--;
		io->done(io, err > 0 ? do_now(r->file, io) : err);
	}
	lock_drop(&r->lock);
	return 0;
}

#else

struct ring *ring_new(struct file *f)
{
	(void)f;
	return NULL;
}

void ring_free(struct ring *r)
{
	(void)r;
}

int ring_submit(struct ring *r, struct uffd_io *io)
{
	(void)r;
	(void)io;
	return -EOPNOTSUPP;
}

int ring_fd(const struct ring *r)
{
	(void)r;
	return -1;
}

int ring_dispatch(struct ring *r)
{
	(void)r;
	return 0;
}

#endif
