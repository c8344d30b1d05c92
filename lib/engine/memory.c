/* SPDX-License-Identifier: MIT */
/*
 * Memory of the engine's own. malloc's may be anywhere, also in a range that
 * is served; a handler that faults on its own memory waits for itself.
 */
#include "engine.h"

void *own_map(size_t len)
{
	uint64_t at;
	int err = sys_mmap(0, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			   &at);

	return err < 0 ? NULL : (void *)(uintptr_t)at;
}

void *own_zeros(size_t len)
{
	uint64_t at;
	int err = sys_mmap(0, len, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   &at);

	return err < 0 ? NULL : (void *)(uintptr_t)at;
}

void own_unmap(void *at, size_t len)
{
	if (at)
		sys_munmap((uintptr_t)at, len);
}
