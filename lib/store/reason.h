/* SPDX-License-Identifier: MIT */
/* Why a call failed: into the caller's struct, if he gave one. */
#ifndef LIB_STORE_REASON_H
#define LIB_STORE_REASON_H

#include <stdarg.h>
#include <uffd/store.h>

/* Returns error. What is there already stays: the first one, from the deepest
 * place, knows best. */
int reason_give(struct uffd_reason *reason, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int reason_vgive(struct uffd_reason *reason, int error, const char *format,
		 va_list args) __attribute__((format(printf, 3, 0)));

/* Put "WORD: " before what is there. */
void reason_prefix(struct uffd_reason *reason, const char *word);

/* Add to what is there, as far as there is room. */
void reason_add(struct uffd_reason *reason, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
