/* SPDX-License-Identifier: MIT */
/* A directory for one test program, where O_DIRECT has a chance. */
#ifndef TESTS_STORE_DIR_H
#define TESTS_STORE_DIR_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dir {
	char path[PATH_MAX / 2];
};

/* below the working directory: the build folder, not a tmpfs */
static inline void dir_make(struct dir *d)
{
	char cwd[PATH_MAX / 4];

	if (!getcwd(cwd, sizeof(cwd)))
		abort();
	snprintf(d->path, sizeof(d->path), "%s/test-store-XXXXXX", cwd);
	if (!mkdtemp(d->path)) {
		printf("Bail out! no directory can be made in %s\n", cwd);
		exit(1);
	}
}

static inline int dir_unlink(const char *path, const struct stat *st, int type,
			     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void dir_remove(const struct dir *d)
{
	nftw(d->path, dir_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
