/* SPDX-License-Identifier: MIT */
/*
 * file:/path?offset=1M&size=1G  A file or a block device.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../result.h"
#include "file.h"
#include "registry.h"
#include "zeros.h"

/* ---- transfers ----------------------------------------------------------------------- */

struct piece file_piece(const struct file *f, uint64_t at, const void *buf,
			size_t len)
{
	size_t in_page = at % STORE_PAGE;

	if (f->direct < 0 || (uintptr_t)buf % STORE_PAGE != in_page)
		return (struct piece){ f->fd, len };
	if (in_page) {
		size_t rest = STORE_PAGE - in_page;

		return (struct piece){ f->fd, len < rest ? len : rest };
	}
	if (len < STORE_PAGE)
		return (struct piece){ f->fd, len };
	return (struct piece){ f->direct, len - len % STORE_PAGE };
}

int file_ended(struct file *f)
{
	atomic_store(&f->shorter, true);
	return -EIO;
}

int file_is_whole(struct file *f, bool write, uint64_t offset, size_t len)
{
	struct stat st;
	int err;

	if (atomic_load(&f->shorter))
		return -EIO;
	if (!write || !f->is_regular)
		return 0;
	err = SYS_RESULT(int, fstat(f->fd, &st));
	if (!err && (uint64_t)st.st_size < f->offset + offset + len)
		err = file_ended(f);
	return err;
}

int file_transfer(struct file *f, bool write, uint64_t offset, void *buf,
		  size_t len)
{
	uint64_t at = f->offset + offset;
	char *p = buf;
	int err = file_is_whole(f, write, offset, len);

	while (len && !err) {
		struct piece next = file_piece(f, at, p, len);
		ssize_t n = SYS_RESULT(ssize_t, write ?
			pwrite(next.fd, p, next.len, (off_t)at) :
			pread(next.fd, p, next.len, (off_t)at));

		if (n == 0)
			err = write ? -EIO : file_ended(f);
		else if (n < 0)
			err = n == -EINTR ? 0 : (int)n;
		else
			at += (size_t)n, p += n, len -= (size_t)n;
	}
	return err;
}

int file_flushed(struct file *f, int err)
{
	int none = 0;

	if (err)
		atomic_compare_exchange_strong(&f->lost, &none, err);
	return atomic_load(&f->lost);
}

int file_flush(void *state)
{
	struct file *f = state;
	int err;

	do
		err = SYS_RESULT(int, fdatasync(f->fd));
	while (err == -EINTR);
	return file_flushed(f, err);
}

/* ---- the store's functions ------------------------------------------------------------- */

static int file_length(void *state, uint64_t *ret)
{
	*ret = ((struct file *)state)->size;
	return 0;
}

static int file_read(void *state, uint64_t offset, void *buf, size_t len)
{
	return file_transfer(state, false, offset, buf, len);
}

static int file_write(void *state, uint64_t offset, const void *buf, size_t len)
{
	return file_transfer(state, true, offset, (void *)(uintptr_t)buf, len);
}

/* -EOPNOTSUPP: the core writes zeros */
static int file_discard(void *state, uint64_t offset, uint64_t len)
{
	struct file *f = state;
	int err = file_is_whole(f, true, offset, len);

	if (err)
		return err;
	do
		err = SYS_RESULT(int, fallocate(f->fd, FALLOC_FL_PUNCH_HOLE |
						FALLOC_FL_KEEP_SIZE,
						(off_t)(f->offset + offset),
						(off_t)len));
	while (err == -EINTR);
	/* devices take only whole blocks, or none at all */
	return err == -EINVAL || err == -ENOSYS || err == -ENODEV ?
		       -EOPNOTSUPP : err;
}

/* the next hole or data from there on, or the end */
static int seek(struct file *f, uint64_t at, uint64_t end, int whence,
		uint64_t *ret)
{
	int64_t to = SYS_RESULT(int64_t, lseek(f->fd, (off_t)at, whence));

	if (to == -ENXIO) /* nothing but a hole until the end of the file */
		to = (int64_t)end;
	if (to < 0)
		return -EOPNOTSUPP;
	*ret = (uint64_t)to < end ? (uint64_t)to : end;
	return 0;
}

static int file_extents(void *state, uint64_t offset, uint64_t len,
			struct uffd_extent *ret, unsigned cap)
{
	struct file *f = state;
	uint64_t at = f->offset + offset, end = at + len, data, hole;
	unsigned n = 0;
	int err = file_is_whole(f, true, offset, len);

	while (!err && n < cap && at < end) {
		err = seek(f, at, end, SEEK_DATA, &data);
		if (!err && data > at) {
			ret[n++] = (struct uffd_extent){
				.offset = at - f->offset,
				.len = data - at,
				.flags = LIBUFFD_EXTENT_HOLE |
					 LIBUFFD_EXTENT_ZERO,
			};
			at = data;
		} else if (!err) {
			err = seek(f, at, end, SEEK_HOLE, &hole);
			if (err || hole <= at)
				break;
			ret[n++] = (struct uffd_extent){
				.offset = at - f->offset,
				.len = hole - at,
			};
			at = hole;
		}
	}
	return n ? (int)n : err;
}

static void file_prefetch(void *state, uint64_t offset, uint64_t len)
{
	struct file *f = state;

	if (f->direct < 0) /* else it would go where nobody looks */
		posix_fadvise(f->fd, (off_t)(f->offset + offset), (off_t)len,
			      POSIX_FADV_WILLNEED);
}

static int file_submit(void *state, struct uffd_io *io)
{
	struct file *f = state;

	return ring_submit(f->ring, io);
}

static int file_fd(void *state)
{
	struct file *f = state;

	return ring_fd(f->ring);
}

static int file_dispatch(void *state)
{
	struct file *f = state;

	return ring_dispatch(f->ring);
}

static unsigned file_can(void *state, unsigned suggested)
{
	struct file *f = state;

	if (!f->ring)
		suggested &= ~LIBUFFD_STORE_CAN_SUBMIT;
	if (!f->is_regular)
		suggested &= ~LIBUFFD_STORE_CAN_EXTENTS;
	return suggested;
}

const struct uffd_store_ops file_ops = {
	.sz = sizeof(file_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL | LIBUFFD_STORE_SIGNAL_SAFE,
	.name = "file",
	.what = "a file or a block device",
	.keys = (const struct uffd_store_key_info[]){
		{ "offset", "where the store begins in the file (0)" },
		{ "size", "its length (as long as the file)" },
		{ "direct", "auto, on or off: past the page cache (auto)" },
		{ "sparse", "off: a file that is made gets its space at once "
			    "(on)" },
		{ NULL, NULL },
	},
	.open = file_open,
	.close = file_close,
	.length = file_length,
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.discard = file_discard,
	.extents = file_extents,
	.prefetch = file_prefetch,
	.submit = file_submit,
	.fd = file_fd,
	.dispatch = file_dispatch,
	.can = file_can,
};
