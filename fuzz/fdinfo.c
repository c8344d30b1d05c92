/* SPDX-License-Identifier: MIT */
/* The text of /proc/PID/fdinfo/FD. */
#include <errno.h>
#include <string.h>
#include <uffd/kernel.h>

#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* exactly as long as it is, so that reading on is found */
	char *text = malloc(len ? len : 1);
	struct uffd_fdinfo before, info;
	int ret;

	PROMISE(text);
	memcpy(text, data, len);
	memset(&before, 0x5a, sizeof(before));
	info = before;
	ret = uffd_fdinfo_parse(text, len, &info);
	PROMISE(ret == 0 || ret == -EINVAL);
	if (ret)
		PROMISE(memcmp(&info, &before, sizeof(info)) == 0);
	else
		PROMISE(memmem(text, len, "API:\t", 5));
	free(text);
	return 0;
}
