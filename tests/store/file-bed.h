/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the file store lie in: a directory, files whose bytes are
 * known, and calls of the library that come to the test first, by ld --wrap.
 */
#ifndef TESTS_STORE_FILE_BED_H
#define TESTS_STORE_FILE_BED_H

#include <ftw.h>
#include <stdbool.h>
#include <uffd/store.h>

#include "../seam/promise.h"
#include "dir.h"

#define PAGE 4096u

/* what the wrapped calls do */
struct bed {
	struct dir dir;
	bool crumbs;		/* reads and writes are short, or interrupted */
	unsigned turn;
	int write_error;	/* of every write */
	int sync_error;		/* of the next fdatasync */
	int allocate_error;	/* of posix_fallocate */
	int punch_error;	/* of fallocate */
	bool no_direct;		/* O_DIRECT can't be opened ... */
	bool no_direct_read;	/* ... or not read */
	bool no_uring;
	bool cancels;		/* requests in flight are interrupted */
	bool refuses;		/* or not taken */
};

/* the one there is: wrapped calls have no argument for it */
extern struct bed t;

/* a name in the directory; valid until the next one is asked for */
char *path_of(const char *name);

/* a store that is a file in there: NAME?KEYS */
int try_open(const char *rest, unsigned flags, struct uffd_reason *why,
	     struct uffd_store **ret);
struct uffd_store *must_open(const char *rest, unsigned flags);

/* a file of len bytes, each of which is its place's, and whether some are */
void make_file(const char *name, uint64_t len);
bool is_file(const char *buf, uint64_t at, size_t len);

/* main: all promises, in a directory of their own */
int keep_in_bed(const struct promise *promises, unsigned nr);

#endif
