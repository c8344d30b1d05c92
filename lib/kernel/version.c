/* SPDX-License-Identifier: MIT */
#include <uffd/kernel.h>

#include "../public.h"

PUBLIC const char *uffd_version(void)
{
	return LIBUFFD_VERSION;
}
