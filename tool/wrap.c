/* SPDX-License-Identifier: MIT */
#include "wrap.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 80

void print_wrapped(unsigned at, unsigned indent, const char *text)
{
	const char *space = "";

	while (*text) {
		const int len = (int)strcspn(text, " ");

		if (*space && at + 1 + (unsigned)len > WIDTH) {
			printf("\n%*s", (int)indent, "");
			at = indent;
			space = "";
		}
		printf("%s%.*s", space, len, text);
		at += (unsigned)len + (*space != '\0');
		space = " ";
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}
