/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "paging-parts.h"

void paging_fill(uint64_t seed, uint64_t page, void *ret)
{
	const uint64_t tag = paging_tag(seed, page);
	uint64_t *words = ret;
	struct paging_mark *mark = paging_mark_of(ret, tag);

	for (unsigned i = 0; i < PAGING_PAGE / 16; i++)
		words[i] = paging_mix(tag + i);
	memset((char *)ret + PAGING_PAGE / 2, 0, PAGING_PAGE / 2);
	mark->tag = tag;
}

bool paging_intact(uint64_t seed, uint64_t page, uint64_t count,
		   const void *memory)
{
	_Alignas(16) char want[PAGING_PAGE];

	paging_fill(seed, page, want);
	paging_mark_of(want, paging_tag(seed, page))->count = count;
	return memcmp(want, memory, PAGING_PAGE) == 0;
}
