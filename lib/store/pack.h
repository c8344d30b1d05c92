/* SPDX-License-Identifier: MIT */
/* Pages made smaller. */
#ifndef LIB_STORE_PACK_H
#define LIB_STORE_PACK_H

#include <stdbool.h>
#include <stddef.h>

struct packer {
	int level;	/* where none is given */
	int level_max;	/* 0: it has no levels */
	bool unpack_works;	/* unpacking needs the working memory too */

	/* bytes of working memory for one thread at a time; 0: impossible */
	size_t (*work_len)(int level);
	/* make it ready, aligned to 4096 */
	bool (*prepare)(void *work, size_t len, int level);
	/* a page into at most cap bytes: how many, or 0 if it does not fit */
	size_t (*pack)(void *work, const void *page, void *to, size_t cap);
	/* back into a page */
	bool (*unpack)(void *work, const void *from, size_t len, void *page);
};

/* NULL: not built in. */
const struct packer *packer_lz4(void);
const struct packer *packer_zstd(void);

#endif
