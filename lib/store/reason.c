/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "reason.h"

/* a path or a value may hold anything; people get one line */
static void one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int reason_vgive(struct uffd_reason *reason, int error, const char *format,
		 va_list args)
{
	if (reason && !reason->text[0]) {
		vsnprintf(reason->text, sizeof(reason->text), format, args);
		one_line(reason->text);
	}
	return error;
}

int reason_give(struct uffd_reason *reason, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reason_vgive(reason, error, format, args);
	va_end(args);
	return error;
}

void reason_prefix(struct uffd_reason *reason, const char *word)
{
	struct uffd_reason was;

	if (!reason)
		return;
	was = *reason;
	reason->text[0] = '\0';
	reason_add(reason, "%s: %s", word, was.text);
}

void reason_add(struct uffd_reason *reason, const char *format, ...)
{
	va_list args;
	size_t len;

	if (!reason)
		return;
	len = strlen(reason->text);
	va_start(args, format);
	vsnprintf(reason->text + len, sizeof(reason->text) - len, format, args);
	va_end(args);
	one_line(reason->text);
}
