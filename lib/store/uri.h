/* SPDX-License-Identifier: MIT */
/*
 * The parts of a store's URI:
 *
 *	file:/some/path?offset=1M&size=1G	one that stands alone
 *	     target     key    key
 *
 *	delay?ms=5:file:/some/path		one that stands before another
 *	      key  behind
 */
#ifndef LIB_STORE_URI_H
#define LIB_STORE_URI_H

#include <stdbool.h>
#include <uffd/store.h>

#define URI_SCHEME_MAX 32
#define URI_KEYS_MAX 16

struct uri_key {
	const char *name;
	const char *value;	/* decoded */
};

struct uri {
	char *text;		/* where all that is decoded lies */
	const char *target;	/* decoded; never NULL */
	const char *behind;	/* the other URI, as it was; NULL: stands alone */
	struct uri_key keys[URI_KEYS_MAX];
	unsigned nr_keys;
};

/*
 * Copy the scheme at the beginning of text: a small letter, then small
 * letters, digits, '+', '.', '-'. It ends before ':' or '?'.
 */
bool uri_scheme(const char *text, char ret[URI_SCHEME_MAX]);

/*
 * Take text apart. 0, or -EINVAL or -ENOMEM and a reason; what was taken is
 * given back by uri_free, which also takes a failed one. behind points into
 * text itself.
 */
int uri_parse(const char *text, bool stacks, struct uri *ret,
	      struct uffd_reason *reason);
void uri_free(struct uri *uri);

#endif
