/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "file-bed.h"

struct bed t;

/* ---- the wrapped calls ------------------------------------------------------------------ */

#define WRAP(type, name, params) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params

static int fail(int error)
{
	errno = error;
	return -1;
}

/* all of it, a part, or an interruption; O_DIRECT wants its sectors */
static size_t crumb(int fd, size_t len)
{
	if (!t.crumbs || len < 2)
		return len;
	if (++t.turn % 3 == 0)
		return 0;
	if (!(fcntl(fd, F_GETFL) & O_DIRECT))
		return 1 + t.turn * 7 % (len - 1);
	return len > PAGE ? len / PAGE / 2 * PAGE + PAGE : len;
}

WRAP(ssize_t, pread64, (int fd, void *buf, size_t len, off_t at))
{
	size_t n = crumb(fd, len);

	if (t.no_direct_read && fcntl(fd, F_GETFL) & O_DIRECT)
		return fail(EINVAL);
	return n ? __real_pread64(fd, buf, n, at) : fail(EINTR);
}

WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at))
{
	size_t n = crumb(fd, len);

	if (t.write_error)
		return fail(t.write_error);
	return n ? __real_pwrite64(fd, buf, n, at) : fail(EINTR);
}

WRAP(int, fdatasync, (int fd))
{
	int error = t.sync_error;

	t.sync_error = 0;
	return error ? fail(error) : __real_fdatasync(fd);
}

WRAP(int, posix_fallocate64, (int fd, off_t at, off_t len))
{
	return t.allocate_error ? t.allocate_error :
				  __real_posix_fallocate64(fd, at, len);
}

WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t len))
{
	return t.punch_error ? fail(t.punch_error) :
			       __real_fallocate64(fd, mode, at, len);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
	va_end(list);
	if (t.no_direct && flags & O_DIRECT)
		return fail(EINVAL);
	return __real_open64(path, flags, mode);
}

#ifdef HAVE_LIBURING
WRAP(int, io_uring_queue_init, (unsigned nr, struct io_uring *ring,
				unsigned flags))
{
	return t.no_uring ? -EPERM :
			    __real_io_uring_queue_init(nr, ring, flags);
}

/* have the kernel answer the request that was queued last with an error,
 * which it does since 6.10; before, it answers -EINVAL */
static void inject(struct io_uring *ring, int error)
{
	unsigned last = (ring->sq.sqe_tail - 1) & *ring->sq.kring_mask;
	struct io_uring_sqe *sqe = &ring->sq.sqes[last];
	uint64_t data = sqe->user_data;

	io_uring_prep_nop(sqe);
	sqe->user_data = data;
	sqe->rw_flags = 1; /* IORING_NOP_INJECT_RESULT */
	sqe->len = (unsigned)error;
}

static void shorten(struct io_uring *ring)
{
	unsigned last = (ring->sq.sqe_tail - 1) & *ring->sq.kring_mask;
	struct io_uring_sqe *sqe = &ring->sq.sqes[last];

	sqe->len = (unsigned)crumb(sqe->fd, sqe->len) ?: sqe->len;
}

WRAP(int, io_uring_submit, (struct io_uring *ring))
{
	static const int errors[] = { -ECANCELED, -EINTR, -EAGAIN };

	if (t.crumbs)
		shorten(ring);
	if (t.cancels && ++t.turn % 3 == 0)
		inject(ring, errors[t.turn / 3 % 3]);
	if (t.refuses && ++t.turn % 3 == 0)
		return -EAGAIN;
	return __real_io_uring_submit(ring);
}
#endif

/* ---- tools ------------------------------------------------------------------------------- */

char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", t.dir.path, name);
	return path;
}

int try_open(const char *rest, unsigned flags, struct uffd_reason *why,
		    struct uffd_store **ret)
{
	char uri[PATH_MAX + 8];

	snprintf(uri, sizeof(uri), "file:%s/%s", t.dir.path, rest);
	*ret = NULL;
	return uffd_store_open(uri, flags, why, ret);
}

struct uffd_store *must_open(const char *rest, unsigned flags)
{
	struct uffd_reason why;
	struct uffd_store *s;

	if (try_open(rest, flags, &why, &s)) {
		printf("Bail out! %s\n", why.text);
		dir_remove(&t.dir);
		exit(1);
	}
	return s;
}

static char byte_at(uint64_t at)
{
	return (char)(at * 131 + at / PAGE + 1);
}

void make_file(const char *name, uint64_t len)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *bytes = malloc(len);

	for (uint64_t i = 0; i < len; i++)
		bytes[i] = byte_at(i);
	if (__real_pwrite64(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	free(bytes);
	close(fd);
}

bool is_file(const char *buf, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte_at(at + i))
			return false;
	return true;
}

int keep_in_bed(const struct promise *promises, unsigned nr)
{
	int status;

	dir_make(&t.dir);
	status = keep_all(promises, nr);
	dir_remove(&t.dir);
	return status;
}
