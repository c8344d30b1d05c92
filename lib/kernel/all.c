/* SPDX-License-Identifier: MIT */
/*
 * Carrying an operation through to the end of its range.
 *
 * The kernel stops at the first page it does not like, and refuses a range
 * that crosses from one mapping into the next (mprotect and madvise split
 * mappings behind our back). So: try what is left as one piece; halve the
 * piece when the mapping ends in it, double it again after each success, and
 * pass over single pages that exist or are gone.
 */
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

/* A race inside the kernel is over within a retry or two; so many in a row
 * are news. */
#define TRIES 8

/* Protecting holds the address space's lock: go through a terabyte in steps. */
#define PROTECT_STEP (128ull << 20)

struct op {
	int64_t (*call)(const struct op *op, uint64_t at, uint64_t len);
	int fd;
	uint64_t start;
	uint64_t src;
	uint64_t mode;
	uint64_t page_size;
	uint64_t step;		/* longest piece, 0: no limit */
	bool wake;		/* wake what is passed over */
	bool holes;		/* ENOENT on one page: its mapping is gone */
	bool splits;		/* EINVAL, too, may mean a border (MOVE) */
};

/* pass over one page that can't or needn't be done, waking who waits there */
static void pass_over(const struct op *op, struct uffd_progress *p,
		      uint64_t *count)
{
	if (op->wake)
		uffd_wake(op->fd, op->start + p->done, op->page_size);
	*count += op->page_size;
	p->done += op->page_size;
}

static uint64_t shorter(uint64_t piece, uint64_t page_size)
{
	uint64_t half = piece / 2 / page_size * page_size;

	return half ? half : page_size;
}

static uint64_t longest(const struct op *op, uint64_t left, uint64_t piece)
{
	if (op->step && piece > op->step)
		piece = op->step;
	return piece < left ? piece : left;
}

static int finish(const struct op *op, uint64_t len, struct uffd_progress *p)
{
	uint64_t piece = len;
	int tries = 0;

	*p = (struct uffd_progress){ 0 };
	if (!op->page_size || len % op->page_size)
		return -EINVAL;

	while (p->done < len) {
		piece = longest(op, len - p->done, piece);
		int64_t n = op->call(op, p->done, piece);
		bool one = piece == op->page_size;

		tries = n == -EAGAIN ? tries + 1 : 0;
		if (n > 0) {
			p->done += n;
			p->filled += n;
			piece = piece > len / 2 ? len : piece * 2;
		} else if (n == -EEXIST) {
			pass_over(op, p, &p->existed);
		} else if (!one && (n == -ENOENT ||
				    (n == -EINVAL && op->splits))) {
			piece = shorter(piece, op->page_size);
		} else if (n == -ENOENT && op->holes) {
			pass_over(op, p, &p->gone);
		} else if (n != -EAGAIN || tries == TRIES) {
			return n < 0 ? (int)n : -EIO;
		}
	}
	return 0;
}

static int64_t call_copy(const struct op *op, uint64_t at, uint64_t len)
{
	return uffd_copy(op->fd, op->start + at,
			 (const void *)(uintptr_t)(op->src + at), len,
			 op->mode);
}

PUBLIC int uffd_copy_all(int fd, uint64_t dst, const void *src, uint64_t len,
			 uint64_t mode, uint64_t page_size,
			 struct uffd_progress *ret)
{
	struct op op = {
		.call = call_copy,
		.fd = fd,
		.start = dst,
		.src = (uintptr_t)src,
		.mode = mode,
		.page_size = page_size,
		.wake = !(mode & UFFDIO_COPY_MODE_DONTWAKE),
		.holes = true,
	};

	return finish(&op, len, ret);
}

static int64_t call_zeropage(const struct op *op, uint64_t at, uint64_t len)
{
	return uffd_zeropage(op->fd, op->start + at, len, op->mode);
}

PUBLIC int uffd_zeropage_all(int fd, uint64_t start, uint64_t len,
			     uint64_t mode, uint64_t page_size,
			     struct uffd_progress *ret)
{
	struct op op = {
		.call = call_zeropage,
		.fd = fd,
		.start = start,
		.mode = mode,
		.page_size = page_size,
		.wake = !(mode & UFFDIO_ZEROPAGE_MODE_DONTWAKE),
		.holes = true,
	};

	return finish(&op, len, ret);
}

static int64_t call_move(const struct op *op, uint64_t at, uint64_t len)
{
	return uffd_move(op->fd, op->start + at, op->src + at, len, op->mode);
}

/* ENOENT may be a hole in the source: the caller's to know, so it stops. */
PUBLIC int uffd_move_all(int fd, uint64_t dst, uint64_t src, uint64_t len,
			 uint64_t mode, uint64_t page_size,
			 struct uffd_progress *ret)
{
	struct op op = {
		.call = call_move,
		.fd = fd,
		.start = dst,
		.src = src,
		.mode = mode,
		.page_size = page_size,
		.wake = !(mode & UFFDIO_MOVE_MODE_DONTWAKE),
		.splits = true,
	};

	return finish(&op, len, ret);
}

static int64_t call_continue(const struct op *op, uint64_t at, uint64_t len)
{
	return uffd_continue(op->fd, op->start + at, len, op->mode);
}

PUBLIC int uffd_continue_all(int fd, uint64_t start, uint64_t len,
			     uint64_t mode, uint64_t page_size,
			     struct uffd_progress *ret)
{
	struct op op = {
		.call = call_continue,
		.fd = fd,
		.start = start,
		.mode = mode,
		.page_size = page_size,
		.wake = !(mode & UFFDIO_CONTINUE_MODE_DONTWAKE),
		.holes = true,
	};

	return finish(&op, len, ret);
}

static int64_t call_poison(const struct op *op, uint64_t at, uint64_t len)
{
	return uffd_poison(op->fd, op->start + at, len, op->mode);
}

PUBLIC int uffd_poison_all(int fd, uint64_t start, uint64_t len, uint64_t mode,
			   uint64_t page_size, struct uffd_progress *ret)
{
	struct op op = {
		.call = call_poison,
		.fd = fd,
		.start = start,
		.mode = mode,
		.page_size = page_size,
		.wake = !(mode & UFFDIO_POISON_MODE_DONTWAKE),
		.holes = true,
	};

	return finish(&op, len, ret);
}

static int64_t call_writeprotect(const struct op *op, uint64_t at, uint64_t len)
{
	return uffd_writeprotect(op->fd, op->start + at, len, op->mode);
}

PUBLIC int uffd_writeprotect_all(int fd, uint64_t start, uint64_t len,
				 uint64_t mode, uint64_t page_size,
				 struct uffd_progress *ret)
{
	struct op op = {
		.call = call_writeprotect,
		.fd = fd,
		.start = start,
		.mode = mode,
		.page_size = page_size,
		.step = PROTECT_STEP,
		.wake = !(mode & (UFFDIO_WRITEPROTECT_MODE_WP |
				  UFFDIO_WRITEPROTECT_MODE_DONTWAKE)),
		.holes = true,
	};

	return finish(&op, len, ret);
}
