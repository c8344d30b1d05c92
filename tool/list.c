/* SPDX-License-Identifier: MIT */
#include "list.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "say.h"

const char *next_word(const char *list, char *word, size_t cap)
{
	size_t len = strcspn(list, ",");

	snprintf(word, cap, "%.*s", (int)(len < cap ? len : cap - 1), list);
	return list[len] ? list + len + 1 : NULL;
}

/* "a, b and c", as much of it as fits */
static void all_names(const char *(*name_of)(unsigned), char *text, size_t cap)
{
	size_t n = 0;

	text[0] = '\0';
	for (unsigned i = 0; name_of(i) && n < cap; i++)
		n += (size_t)snprintf(text + n, cap - n, "%s%s",
				      !i ? "" : name_of(i + 1) ? ", " : " and ",
				      name_of(i));
}

static bool find_name(const char *(*name_of)(unsigned), const char *word,
		      uint32_t *mask)
{
	const char *name;

	for (unsigned i = 0; (name = name_of(i)); i++) {
		if (strcmp(name, word) != 0)
			continue;
		*mask |= UINT32_C(1) << i;
		return true;
	}
	return false;
}

int set_names(const char *program, const char *option,
	      const char *(*name_of)(unsigned), const char *list,
	      uint32_t *ret)
{
	char word[32], all[256];

	*ret = 0;
	while (list) {
		list = next_word(list, word, sizeof(word));
		if (find_name(name_of, word, ret))
			continue;
		all_names(name_of, all, sizeof(all));
		return say_error(program, "%s: '%s' is not known; there are %s",
				 option, word, all);
	}
	return 0;
}
