/* SPDX-License-Identifier: MIT */
/* The two ways of the memory store: pages as they are, and packed ones. */
#ifndef LIB_STORE_MEMORY_H
#define LIB_STORE_MEMORY_H

#include <uffd/store.h>

#include "pack.h"

struct memory_opts {
	uint64_t size;
	uint64_t limit;		/* most bytes to take for packed pages; 0: any */
	const struct packer *packer;	/* NULL: as they are */
	int level;
	bool huge;		/* ask for huge pages */
};

struct memory_kind {
	int (*open)(const struct memory_opts *opts, void **ret);
	void (*close)(void *state);
	int (*read)(void *state, uint64_t offset, void *buf, size_t len);
	int (*write)(void *state, uint64_t offset, const void *buf, size_t len);
	void (*discard)(void *state, uint64_t offset, uint64_t len);
	/* one extent; *len is what is asked for, and what there is */
	uint32_t (*extent)(void *state, uint64_t offset, uint64_t *len);
	int (*map)(void *state, uint64_t offset, size_t len, const void **ret);
	void (*stats)(void *state, struct uffd_store_stats *ret);
};

extern const struct memory_kind memory_plain, memory_packed;

#endif
