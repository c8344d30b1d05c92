/* SPDX-License-Identifier: MIT */
/* Stores that come as files. */
#ifndef LIB_STORE_PLUGIN_H
#define LIB_STORE_PLUGIN_H

#include <uffd/store.h>

/*
 * Load uffd-store-SCHEME.so from LIBUFFD_STORE_PATH or from the library's own
 * directory, and make it known. -ENOENT: there is none. -ENOEXEC: there is,
 * but it can't be used, and reason says why.
 */
int plugin_load(const char *scheme, struct uffd_reason *reason,
		const struct uffd_store_ops **ret);

#endif
