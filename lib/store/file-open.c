/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../result.h"
#include "args.h"
#include "file.h"
#include "zeros.h"

enum direct { DIRECT_AUTO, DIRECT_ON, DIRECT_OFF };

/* what the URI says */
struct wish {
	const char *path;
	bool read_only;
	bool create;
	bool sized;
	uint64_t offset, size;
	unsigned direct;	/* enum direct */
	unsigned dense;		/* a new file gets its space at once */
};

static int take_wish(const struct uffd_store_args *args, struct wish *w)
{
	static const char *const direct[] = { "auto", "on", "off", NULL };
	static const char *const sparse[] = { "on", "off", NULL };
	int err;

	w->path = uffd_store_target(args);
	w->read_only = uffd_store_flags(args) & LIBUFFD_STORE_RDONLY;
	w->create = uffd_store_flags(args) & LIBUFFD_STORE_CREATE;
	w->sized = uffd_store_key(args, "size");
	err = uffd_store_key_size(args, "offset", &w->offset);
	if (!err)
		err = uffd_store_key_size(args, "size", &w->size);
	if (!err)
		err = args_word(args, "direct", direct, &w->direct);
	if (!err)
		err = args_word(args, "sparse", sparse, &w->dense);
	return err;
}

static int check_wish(const struct uffd_store_args *args, const struct wish *w)
{
	if (!*w->path)
		return uffd_store_refuse(args, -EINVAL,
					 "it needs a path, as in file:/path");
	if (w->sized && !w->size)
		return uffd_store_refuse(args, -EINVAL,
					 "size=0: there is nothing to store");
	if (w->offset > INT64_MAX || w->size > INT64_MAX - w->offset)
		return uffd_store_refuse(args, -EINVAL,
					 "offset and size are too large");
	if (w->create && w->read_only)
		return uffd_store_refuse(args, -EINVAL, "a file can't be made "
					 "read-only");
	if (w->create && !w->sized)
		return uffd_store_refuse(args, -EINVAL, "making %.100s needs a "
					 "size, as in ?size=1G", w->path);
	if (w->direct == DIRECT_ON && w->offset % STORE_PAGE)
		return uffd_store_refuse(args, -EINVAL, "direct=on goes with "
					 "an offset that is a multiple of 4096");
	return 0;
}

static int refuse_path(const struct uffd_store_args *args,
		       const struct wish *w, int err)
{
	bool hint = (err == -EACCES || err == -EROFS || err == -EPERM) &&
		    !w->read_only;

	return uffd_store_refuse(args, err, "%.140s: %s%s", w->path,
				 strerror(-err),
				 hint ? " (is reading meant? open it so)" : "");
}

/* ---- a file that is not there ----------------------------------------------------- */

static int make_room(int fd, const struct wish *w)
{
	off_t len = (off_t)(w->offset + w->size);
	int err = SYS_RESULT(int, ftruncate(fd, len));

	if (!err && w->dense)
		err = -posix_fallocate(fd, 0, len);
	return err;
}

/* -EEXIST: it was there */
static int make(const struct uffd_store_args *args, const struct wish *w)
{
	int fd = SYS_RESULT(int, open(w->path, O_RDWR | O_CREAT | O_EXCL |
				      O_CLOEXEC, 0600));
	int err;

	if (fd < 0)
		return fd == -EEXIST ? fd : refuse_path(args, w, fd);
	err = make_room(fd, w);
	if (!err)
		return fd;
	close(fd);
	unlink(w->path);
	return refuse_path(args, w, err);
}

/* ---- one that is ------------------------------------------------------------------- */

static int open_path(const struct uffd_store_args *args, const struct wish *w)
{
	int mode = w->read_only ? O_RDONLY : O_RDWR;
	int fd = w->create ? make(args, w) : -EEXIST;

	if (fd != -EEXIST)
		return fd;
	/* a FIFO must not keep us waiting */
	fd = SYS_RESULT(int, open(w->path, mode | O_CLOEXEC | O_NONBLOCK));
	return fd < 0 ? refuse_path(args, w, fd) : fd;
}

/* the length of what is there, and its kind */
static int look(const struct uffd_store_args *args, const struct wish *w,
		struct file *f, uint64_t *ret)
{
	struct stat st = { 0 };
	int err = SYS_RESULT(int, fstat(f->fd, &st));

	if (!err && S_ISBLK(st.st_mode))
		err = SYS_RESULT(int, ioctl(f->fd, BLKGETSIZE64, ret));
	else if (!err && S_ISREG(st.st_mode))
		*ret = (uint64_t)st.st_size;
	else if (!err)
		return uffd_store_refuse(args, -EINVAL, "%.140s is neither a "
					 "file nor a block device", w->path);
	f->is_regular = S_ISREG(st.st_mode);
	return err ? refuse_path(args, w, err) : 0;
}

static int measure(const struct uffd_store_args *args, const struct wish *w,
		   struct file *f)
{
	uint64_t there;
	int err = look(args, w, f, &there);

	if (err)
		return err;
	if (w->offset >= there || w->size > there - w->offset)
		return uffd_store_refuse(
			args, -EINVAL, "%.100s has %llu bytes: too few for "
			"offset=%llu and size=%llu", w->path,
			(unsigned long long)there,
			(unsigned long long)w->offset,
			(unsigned long long)(w->sized ? w->size : 1));
	f->offset = w->offset;
	f->size = w->sized ? w->size : there - w->offset;
	return 0;
}

/* One writer, or any number of readers, of the same bytes; in this process and
 * in others. Where there are no locks, that is the user's to see to. */
static int lock(const struct uffd_store_args *args, const struct wish *w,
		const struct file *f)
{
	struct flock fl = {
		.l_type = w->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)f->offset,
		.l_len = (off_t)f->size,
	};
	int err = SYS_RESULT(int, fcntl(f->fd, F_OFD_SETLK, &fl));

	if (err == -EAGAIN || err == -EACCES)
		return uffd_store_refuse(args, -EBUSY,
					 "%.140s is in use by another store: "
					 "only one may write to it, or several "
					 "read", w->path);
	return 0;
}

/* ---- O_DIRECT ------------------------------------------------------------------------ */

static bool is_same_file(int fd, int other)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstat(other, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* file systems say yes to opening and no to reading: read a page */
static bool works(int fd, uint64_t offset)
{
	void *page = aligned_alloc(STORE_PAGE, STORE_PAGE);
	bool good = page && pread(fd, page, STORE_PAGE, (off_t)offset) >= 0;

	free(page);
	return good;
}

static int open_direct(const struct wish *w, int fd)
{
	int mode = w->read_only ? O_RDONLY : O_RDWR;
	int direct = open(w->path, mode | O_DIRECT | O_CLOEXEC | O_NONBLOCK);

	if (direct < 0)
		return -1;
	if (is_same_file(fd, direct) && works(direct, w->offset))
		return direct;
	close(direct);
	return -1;
}

static int go_direct(const struct uffd_store_args *args, const struct wish *w,
		     struct file *f)
{
	int saved = errno;

	if (w->direct == DIRECT_OFF || w->offset % STORE_PAGE)
		return 0;
	f->direct = open_direct(w, f->fd);
	errno = saved;
	if (f->direct < 0 && w->direct == DIRECT_ON)
		return uffd_store_refuse(args, -EINVAL, "direct=on: the file "
					 "system of %.140s has no O_DIRECT",
					 w->path);
	return 0;
}

/* ---- all together ---------------------------------------------------------------------- */

static int open_all(const struct uffd_store_args *args, const struct wish *w,
		    struct file *f)
{
	int err;

	f->fd = open_path(args, w);
	if (f->fd < 0)
		return f->fd;
	err = measure(args, w, f);
	if (!err)
		err = lock(args, w, f);
	if (!err)
		err = go_direct(args, w, f);
	if (!err)
		f->ring = ring_new(f);
	return err;
}

int file_open(const struct uffd_store_args *args, void **ret)
{
	struct wish w = { 0 };
	struct file *f;
	int err = take_wish(args, &w);

	if (!err)
		err = check_wish(args, &w);
	if (err)
		return err;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->fd = f->direct = -1;
	err = open_all(args, &w, f);
	if (err)
		file_close(f);
	else
		*ret = f;
	return err;
}

void file_close(void *state)
{
	struct file *f = state;

	ring_free(f->ring);
	if (f->direct >= 0)
		close(f->direct);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}
