/* SPDX-License-Identifier: MIT */
/* Numbers in URIs. All of the text must be the number, and nothing overflows
 * silently. */
#ifndef LIB_STORE_NUMBER_H
#define LIB_STORE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* decimal digits */
bool number_count(const char *text, uint64_t *ret);
/* digits and an optional K, M, G or T (powers of 1024), or KiB, …; any case */
bool number_size(const char *text, uint64_t *ret);
/* from 0 to 1, with a point and up to 18 digits behind it */
bool number_fraction(const char *text, double *ret);

#endif
