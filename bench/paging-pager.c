/* SPDX-License-Identifier: MIT */
/*
 * libuffd's pager, with one of its engines and one of its stores, all else as
 * it is when nobody asks for more.
 *
 * It has no limit but its own: what it says it keeps within the budget is what
 * it is measured by.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uffd/pager.h>

#include "paging-inner.h"

#define AT_ONCE 16u	/* pages, to fill the store */

struct own {
	struct uffd_store *store;
	struct uffd_pager *pager;
	struct uffd_region *region;
};

static int fail(const struct paging_seat *s, int err, const char *what,
		const struct uffd_reason *reason)
{
	snprintf(s->why, PAGING_WHY_LEN, "%s: %s", what, reason->text[0] ?
		 reason->text : strerror(-err));
	return err;
}

static void uri(const struct paging_seat *s, char *text, size_t cap)
{
	switch ((enum paging_store)s->who.store) {
	case PAGING_FILE:
		snprintf(text, cap, "file:/proc/self/fd/%d", s->file);
		break;
	default:
		snprintf(text, cap, "memory:?size=%lu&compress=%s", s->size,
			 s->who.store == PAGING_MEMORY_LZ4 ? "lz4" : "none");
	}
}

/* A file has its data already. */
static int fill_store(const struct paging_seat *s, struct uffd_store *store)
{
	_Alignas(PAGING_PAGE) char buffer[AT_ONCE * PAGING_PAGE];
	const struct paging_ground *g = s->ground;
	int err = 0;

	if (s->who.store == PAGING_FILE)
		return 0;
	for (uint64_t page = 0; !err && page < g->pages; page += AT_ONCE) {
		const uint64_t left = g->pages - page;
		const size_t nr = left < AT_ONCE ? left : AT_ONCE;

		for (size_t i = 0; i < nr; i++)
			paging_fill(g->seed, page + i,
				    buffer + i * PAGING_PAGE);
		err = uffd_store_write(store, page * PAGING_PAGE, buffer,
				       nr * PAGING_PAGE);
	}
	return err;
}

static int open_store(struct paging_seat *s, struct own *own)
{
	struct uffd_reason reason = { "" };
	char text[64];
	int err;

	uri(s, text, sizeof(text));
	err = uffd_store_open(text, 0, &reason, &own->store);
	if (!err)
		err = fill_store(s, own->store);
	return err ? fail(s, err, "its store", &reason) : 0;
}

static int open_pager(struct paging_seat *s, struct own *own)
{
	const struct uffd_pager_opts opts = {
		.sz = sizeof(opts),
		.budget = s->budget,
		.engine = s->who.engine == PAGING_SIGBUS ?
			LIBUFFD_ENGINE_SIGBUS : LIBUFFD_ENGINE_THREAD,
		.pins = LIBUFFD_PINS_CALLED,
	};
	struct uffd_reason reason = { "" };
	int err = uffd_pager_new(&opts, &reason, &own->pager);

	return err ? fail(s, err, "a pager", &reason) : 0;
}

static int open_region(struct paging_seat *s, struct own *own)
{
	const struct uffd_region_opts opts = {
		.sz = sizeof(opts),
		.store = own->store,
		.len = s->size,
	};
	struct uffd_reason reason = { "" };
	int err = uffd_region_new(own->pager, &opts, &reason, &own->region);

	if (err)
		return fail(s, err, "a region", &reason);
	s->area = uffd_region_start(own->region);
	return 0;
}

static int open_libuffd(struct paging_seat *s)
{
	struct own *own = calloc(1, sizeof(*own));
	int err;

	if (!own)
		return paging_fail(s, -ENOMEM, "a pager");
	s->own = own;
	err = open_store(s, own);
	if (err)
		return err;
	/* The store's memory is where pages are when they are not resident. */
	paging_note_resident(s);
	err = open_pager(s, own);
	return err ? err : open_region(s, own);
}

static int cool(struct paging_seat *s)
{
	struct own *own = s->own;
	int err = uffd_evict(own->region, 0, s->size);

	if (!err && s->file >= 0)
		err = paging_file_cool(s->file);
	return err ? paging_fail(s, err, "uffd_evict of the region") : 0;
}

static void count(const struct paging_seat *s, struct paging_counts *ret)
{
	const struct own *own = s->own;
	struct uffd_pager_stats stats;

	uffd_pager_stats(own->pager, &stats);
	ret->faults = stats.faults;
	ret->soft_faults = stats.soft_faults;
	ret->read_bytes = stats.read_pages * PAGING_PAGE;
	ret->written_bytes = stats.written_pages * PAGING_PAGE;
}

const struct paging_system paging_libuffd = {
	.name = "libuffd",
	.what = "libuffd's pager, with each --engine and each --store",
	.open = open_libuffd,
	.cool = cool,
	.count = count,
};
