/* SPDX-License-Identifier: MIT */
/*
 * An open file or block device. It is open twice where O_DIRECT works: pages
 * that lie at page borders of the file go past the page cache, parts of pages
 * go through it. So no page of the cache is ever shared between the two ways
 * but when the program uses both on the same bytes, which the kernel sorts out.
 */
#ifndef LIB_STORE_FILE_H
#define LIB_STORE_FILE_H

#include <stdatomic.h>
#include <uffd/store.h>

struct ring;

struct file {
	int fd;
	int direct;		/* with O_DIRECT, or -1 */
	bool is_regular;
	uint64_t offset;	/* where the store begins in the file */
	uint64_t size;		/* and its length */
	struct ring *ring;	/* NULL: no requests in flight */
	_Atomic bool shorter;	/* bytes that were there are gone */
	_Atomic int lost;	/* what a flush has failed with */
};

int file_open(const struct uffd_store_args *args, void **ret);
void file_close(void *state);

/* The next step of a transfer at a place of the file: which descriptor, and
 * how many bytes. */
struct piece {
	int fd;
	size_t len;
};
struct piece file_piece(const struct file *f, uint64_t at, const void *buf,
			size_t len);

/* May this be done at all? -EIO when the file is known to have lost bytes;
 * before a write it is looked at, as writing past its end would hide that. */
int file_is_whole(struct file *f, bool write, uint64_t offset, size_t len);

/* A read has met the end where there must be none. -EIO. */
int file_ended(struct file *f);

/* What a flush came to: an error stays, as the kernel tells it only once and
 * forgets what it could not write. */
int file_flushed(struct file *f, int err);

/* at an offset of the store, here and now */
int file_transfer(struct file *f, bool write, uint64_t offset, void *buf,
		  size_t len);
int file_flush(void *state);

/* ---- io_uring: where it is not built in or not allowed, NULL ------------------- */

struct ring *ring_new(struct file *f);
void ring_free(struct ring *r);
int ring_submit(struct ring *r, struct uffd_io *io);
int ring_fd(const struct ring *r);
int ring_dispatch(struct ring *r);

#endif
