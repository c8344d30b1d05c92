/* SPDX-License-Identifier: MIT */
/*
 * Option structs that can grow: the first member is size_t sz, set by the
 * caller to the size that its header knew.
 */
#ifndef LIB_KERNEL_OPTS_H
#define LIB_KERNEL_OPTS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * Take the caller's struct, of a shorter, the same or a longer version, into
 * one of ours. -EINVAL: not even an sz in it, or bytes that this library does
 * not know are not zero. NULL gives all defaults.
 */
static inline int opts_take(void *ret, size_t known, const void *opts)
{
	const unsigned char *bytes = opts;
	size_t sz;

	memset(ret, 0, known);
	if (!opts)
		return 0;
	memcpy(&sz, opts, sizeof(sz));
	if (sz < sizeof(sz) || sz > 4096)
		return -EINVAL;
	for (size_t i = known; i < sz; i++)
		if (bytes[i])
			return -EINVAL;
	memcpy(ret, opts, sz < known ? sz : known);
	return 0;
}

#endif
