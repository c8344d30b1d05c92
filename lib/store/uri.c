/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reason.h"
#include "uri.h"

static bool scheme_has(char c, bool first)
{
	if (c >= 'a' && c <= 'z')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '+' || c == '.' ||
			  c == '-');
}

bool uri_scheme(const char *text, char ret[URI_SCHEME_MAX])
{
	size_t len = 0;

	while (scheme_has(text[len], len == 0))
		if (++len == URI_SCHEME_MAX)
			return false;
	if (len == 0 || (text[len] != ':' && text[len] != '?'))
		return false;
	memcpy(ret, text, len);
	ret[len] = '\0';
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* in place: what comes out is never longer */
static int decode(char *text, struct uffd_reason *reason)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		int high, low;

		if (*p != '%') {
			*to++ = *p;
			continue;
		}
		high = hex(p[1]);
		low = high < 0 ? -1 : hex(p[2]);
		if (low < 0 || (high == 0 && low == 0))
			return reason_give(reason, -EINVAL,
					   "'%.3s' is no byte: after '%%' come "
					   "two hexadecimal digits, not 00", p);
		*to++ = (char)(high << 4 | low);
		p += 2;
	}
	*to = '\0';
	return 0;
}

static int add_key(struct uri *uri, char *word, struct uffd_reason *reason)
{
	char *value = strchr(word, '=');

	if (!value || value == word)
		return reason_give(reason, -EINVAL,
				   "'%.60s' is no key: write KEY=VALUE", word);
	*value++ = '\0';
	if (strchr(value, '?'))
		return reason_give(reason, -EINVAL,
				   "%.60s: a '?' in a value is written %%3F",
				   word);
	for (unsigned i = 0; i < uri->nr_keys; i++)
		if (!strcmp(uri->keys[i].name, word))
			return reason_give(reason, -EINVAL,
					   "%.60s is there twice", word);
	if (uri->nr_keys == URI_KEYS_MAX)
		return reason_give(reason, -EINVAL, "more than %d keys",
				   URI_KEYS_MAX);
	uri->keys[uri->nr_keys++] = (struct uri_key){ word, value };
	return decode(value, reason);
}

/* NAME=VALUE&NAME=VALUE */
static int parse_keys(struct uri *uri, char *words, struct uffd_reason *reason)
{
	int err = 0;

	while (words && err == 0) {
		char *next = strchr(words, '&');

		if (next)
			*next++ = '\0';
		err = add_key(uri, words, reason);
		words = next;
	}
	return err;
}

/* SCHEME?KEYS:URI or SCHEME:URI; after is where the scheme ends */
static int parse_before(struct uri *uri, char *after, const char *text,
			struct uffd_reason *reason)
{
	char *colon = strchr(after, ':');

	if (!colon || !colon[1])
		return reason_give(reason, -EINVAL,
				   "stands before another URI, "
				   "as in SCHEME?KEY=VALUE:URI");
	*colon = '\0';
	uri->behind = text + (colon + 1 - uri->text);
	uri->target = colon;
	return *after == '?' ? parse_keys(uri, after + 1, reason) : 0;
}

/* SCHEME:TARGET?KEYS or SCHEME:TARGET */
static int parse_alone(struct uri *uri, char *after, struct uffd_reason *reason)
{
	char *keys = strchr(after, '?');
	int err;

	if (*after != ':')
		return reason_give(reason, -EINVAL,
				   "a ':' belongs behind the scheme, "
				   "before any '?'");
	if (keys)
		*keys++ = '\0';
	uri->target = after + 1;
	err = decode(after + 1, reason);
	return err ? err : parse_keys(uri, keys, reason);
}

int uri_parse(const char *text, bool stacks, struct uri *ret,
	      struct uffd_reason *reason)
{
	char *after;

	memset(ret, 0, sizeof(*ret));
	ret->text = strdup(text);
	if (!ret->text)
		return reason_give(reason, -ENOMEM, "out of memory");
	after = ret->text + strcspn(ret->text, ":?");
	if (stacks)
		return parse_before(ret, after, text, reason);
	return parse_alone(ret, after, reason);
}

void uri_free(struct uri *uri)
{
	free(uri->text);
	uri->text = NULL;
}
