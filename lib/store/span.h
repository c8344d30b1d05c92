/* SPDX-License-Identifier: MIT */
/* Anonymous memory straight from the kernel: zeros, taken when touched, and
 * usable in signal handlers, which malloc is not. */
#ifndef LIB_STORE_SPAN_H
#define LIB_STORE_SPAN_H

#include <stddef.h>
#include <sys/mman.h>

/* NULL: out of memory or address space. */
static inline void *span_map(size_t len, int prot)
{
	void *at = mmap(NULL, len, prot,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* NULL is fine. */
static inline void span_unmap(void *at, size_t len)
{
	if (at)
		munmap(at, len);
}

#endif
