/* SPDX-License-Identifier: MIT */
/*
 * Buffers that pages pass through. Their memory becomes resident as it is
 * used, and stays so.
 */
#include <errno.h>

#include "pager.h"

static uint32_t mine(void)
{
	/* another for each thread, and a number without a system call */
	return (uint32_t)((uintptr_t)&errno >> 12);
}

void *buffer_get(struct uffd_pager *p)
{
	const uint32_t first = mine();
	unsigned tries = 0;

	for (uint32_t i = 0;; i++) {
		uint32_t n = (first + i) % NR_BUFFERS;

		if (!__atomic_exchange_n(&p->buffers_taken[n], 1,
					 __ATOMIC_ACQUIRE))
			return p->buffers + (uint64_t)n * BUFFER_SIZE;
		if (i % NR_BUFFERS == NR_BUFFERS - 1)
			word_pause(&tries);
	}
}

void buffer_put(struct uffd_pager *p, void *buffer)
{
	uint64_t n = (uint64_t)((uint8_t *)buffer - p->buffers) / BUFFER_SIZE;

	__atomic_store_n(&p->buffers_taken[n], 0, __ATOMIC_RELEASE);
}
