/* SPDX-License-Identifier: MIT */
/*
 * Numbers as people write them. All of the text must be the number: "4x" is
 * not 4, "-1" is not a big number, and nothing overflows silently. What is
 * refused writes no result.
 */
#ifndef TOOL_PARSE_H
#define TOOL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only. */
bool parse_count(const char *text, uint64_t *ret);

/* Bytes: digits and an optional K, M, G or T (powers of 1024), each also as
 * KiB, MiB, GiB, TiB; lower case is fine. */
bool parse_size(const char *text, uint64_t *ret);

/*
 * A list of processors: "0", "0,2", "0-3,7". Fills cpus, at most cap of them,
 * in the order given. False also when there are more.
 */
bool parse_cpus(const char *text, uint32_t *cpus, unsigned cap,
		unsigned *ret_nr);

#endif
