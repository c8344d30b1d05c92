/* SPDX-License-Identifier: MIT */
/*
 * Arguments that are lists: words divided by commas, each a name out of a
 * table. name_of tells the nth name, NULL past the last.
 */
#ifndef TOOL_LIST_H
#define TOOL_LIST_H

#include <stddef.h>
#include <stdint.h>

/* One word of a list into word; returns what follows its comma, or NULL at the
 * end. A word too long is cut, and then known to nobody. */
const char *next_word(const char *list, char *word, size_t cap);

/* The words as bits of their places in the table: 0, or 1 after one line that
 * names the option, the word, and what there is. */
int set_names(const char *program, const char *option,
	      const char *(*name_of)(unsigned), const char *list,
	      uint32_t *ret);

#endif
