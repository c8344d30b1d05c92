/* SPDX-License-Identifier: MIT */
/*
 * The faults of one read, sorted into runs of neighbours of one kind.
 */
#include "engine.h"

static bool after(const struct one *a, const struct one *b)
{
	return a->page > b->page || (a->page == b->page && a->kind > b->kind);
}

/* By insertion: there are few, and they often come sorted. */
void ones_sort(struct one *v, unsigned nr)
{
	for (unsigned i = 1; i < nr; i++) {
		struct one x = v[i];
		unsigned at = i;

		for (; at > 0 && after(&v[at - 1], &x); at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
}

unsigned ones_run(const struct one *v, unsigned nr, struct uffd_fault *ret)
{
	const uint64_t page_size = v[0].r->page_size;
	uint32_t first = v[0].order;
	unsigned n = 0;

	*ret = (struct uffd_fault){
		.kind = v[0].kind,
		.tid = v[0].tid,
		.start = v[0].page,
		.len = page_size,
	};
	for (; n < nr; n++) {
		uint64_t end = ret->start + ret->len;

		if (v[n].r != v[0].r || v[n].kind != ret->kind ||
		    v[n].page > end)
			break;
		if (v[n].page == end)
			ret->len += page_size;
		if (v[n].order < first) {
			first = v[n].order;
			ret->tid = v[n].tid;
		}
		ret->write |= v[n].write;
		ret->nr++;
	}
	return n;
}
