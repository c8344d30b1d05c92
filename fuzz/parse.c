/* SPDX-License-Identifier: MIT */
/* Numbers, sizes and processor lists as the tool takes them. */
#include <string.h>

#include "target.h"
#include "tool/parse.h"

#define CAP 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	uint32_t cpus[CAP];
	uint64_t count, size;
	unsigned nr;

	PROMISE(text);
	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	if (parse_count(text, &count)) {
		/* digits alone are a size as well, and the same one */
		PROMISE(text[0] >= '0' && text[0] <= '9');
		PROMISE(parse_size(text, &size) && size == count);
	}
	if (parse_size(text, &size) && size)
		PROMISE(strpbrk(text, "123456789"));
	if (parse_cpus(text, cpus, CAP, &nr))
		PROMISE(nr >= 1 && nr <= CAP);
	free(text);
	return 0;
}
