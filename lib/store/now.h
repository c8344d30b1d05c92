/* SPDX-License-Identifier: MIT */
/* The operations of io.c, uncounted: for requests that are done by submit. */
#ifndef LIB_STORE_NOW_H
#define LIB_STORE_NOW_H

#include <uffd/store.h>

int store_read_now(struct uffd_store *s, uint64_t offset, void *buf,
		   size_t len);
int store_write_now(struct uffd_store *s, uint64_t offset, const void *buf,
		    size_t len);
int store_flush_now(struct uffd_store *s);

#endif
