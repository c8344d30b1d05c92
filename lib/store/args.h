/* SPDX-License-Identifier: MIT */
/* What a store's open function gets: the URI's parts, and the URI behind. */
#ifndef LIB_STORE_ARGS_H
#define LIB_STORE_ARGS_H

#include "uri.h"

struct uffd_store_args {
	char scheme[URI_SCHEME_MAX];
	struct uri uri;
	unsigned flags;
	struct uffd_store *next;
	bool behind_failed;	/* next could not be opened, and said why */
	struct uffd_reason *reason;
};

/* Are all keys in the table? -EINVAL and a reason that lists the table. */
int args_check_keys(const struct uffd_store_args *args,
		    const struct uffd_store_ops *ops);

/* The value of a key as one of some words: *ret is its number, left alone when
 * the key is not there. -EINVAL and a reason that lists them. */
int args_word(const struct uffd_store_args *args, const char *name,
	      const char *const *words, unsigned *ret);

#endif
