/* SPDX-License-Identifier: MIT */
#ifndef LIB_PAGER_REGION_H
#define LIB_PAGER_REGION_H

#include "pager.h"

/* Say why; printf. Returns error. */
int refuse(struct uffd_reason *reason, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Do something with each slice that [offset, +len) touches. Stops at the
 * first error. */
typedef int slice_fn(struct slice *s);
int each_slice(struct uffd_region *r, uint64_t offset, uint64_t len,
	       slice_fn *fn);

/* Write back what changed and have no page here any more. */
int evict_slice(struct slice *s);
/* The same before the region goes: pinned pages are written, too. */
int clean_out(struct slice *s);

#endif
