/* SPDX-License-Identifier: MIT */
/* The parser of stores' URIs. What it takes apart lies within the text. */
#include <string.h>

#include "../lib/store/uri.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	char scheme[URI_SCHEME_MAX];
	struct uffd_reason reason = { "" };
	struct uri uri;

	for (int stacks = 0; text && stacks < 2; stacks++) {
		if (!uri_scheme(text, scheme))
			break;
		if (uri_parse(text, stacks, &uri, &reason) == 0) {
			size_t all = strlen(uri.target);

			for (unsigned i = 0; i < uri.nr_keys; i++)
				all += strlen(uri.keys[i].value);
			PROMISE(all <= size);
			PROMISE(!uri.behind || uri.behind > text);
		}
		uri_free(&uri);
	}
	free(text);
	return 0;
}
