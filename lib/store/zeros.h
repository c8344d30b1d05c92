/* SPDX-License-Identifier: MIT */
/* Pages with nothing in them. */
#ifndef LIB_STORE_ZEROS_H
#define LIB_STORE_ZEROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STORE_PAGE 4096u
#define ZEROS_LEN 65536u

extern const char zeros[ZEROS_LEN];

/*
 * Is a page (aligned to 8 or not) the same 8 bytes over and over? Pages that
 * are not mostly differ soon, so looking at few places first saves the rest.
 */
static inline bool page_is_same(const void *page, uint64_t *ret)
{
	const char *p = page;
	uint64_t first, other;

	memcpy(&first, p, 8);
	memcpy(&other, p + STORE_PAGE - 8, 8);
	if (first != other)
		return false;
	memcpy(&other, p + STORE_PAGE / 2, 8);
	if (first != other || memcmp(p, p + 8, STORE_PAGE - 8))
		return false;
	*ret = first;
	return true;
}

#endif
