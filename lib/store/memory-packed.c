/* SPDX-License-Identifier: MIT */
/*
 * Packed pages. Each page has an entry of 64 bits:
 *
 *	0                          all zeros
 *	SAME | 32 bits             the same 32 bits over and over
 *	DATA | length | place      an object of that length in the slabs; of a
 *	                           whole page's length: as it is
 *
 * An entry, and the object behind it, is read and changed under its page's
 * lock. Packing is slow and is done before, in a place of work: some memory
 * for one thread at a time.
 *
 * Locks are taken in this order: place, page, the slabs' own. Who moves an
 * object comes from the other side, and only tries.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "count.h"
#include "../lock.h"
#include "memory.h"
#include "slab.h"
#include "span.h"
#include "zeros.h"

#define SAME (UINT64_C(1) << 62)
#define DATA (UINT64_C(2) << 62)
#define KIND (UINT64_C(3) << 62)
#define LEN_SHIFT 44
#define PLACE_MASK ((UINT64_C(1) << LEN_SHIFT) - 1)
#define LEN_MASK UINT64_C(0x1fff)

/* what saves less than this is not worth unpacking */
#define PACKED_MAX (STORE_PAGE - 4 * SLAB_STEP)

#define NR_LOCKS 256u

struct place {
	struct lock lock;
	_Alignas(STORE_PAGE) char page[STORE_PAGE];
	char out[STORE_PAGE];
	char work[];
};

struct packed {
	const struct packer *packer;
	_Atomic uint64_t *entries;
	uint64_t nr_pages;
	uint64_t limit;
	char *places;
	size_t place_len;
	unsigned nr_places;		/* a power of two */
	_Atomic uint64_t nr_held;
	_Atomic uint64_t packed_bytes;
	struct slabs slabs;
	struct {
		_Alignas(64) struct lock lock;
	} locks[NR_LOCKS];
};

/* ---- opening --------------------------------------------------------------------- */

static void packed_close(void *state)
{
	struct packed *p = state;

	slabs_end(&p->slabs);
	span_unmap((void *)(uintptr_t)p->entries, p->nr_pages * 8);
	span_unmap(p->places, p->place_len * p->nr_places);
	free(p);
}

static struct place *place_at(const struct packed *p, unsigned i)
{
	return (struct place *)(void *)(p->places + i * p->place_len);
}

/* twice as many as there are processors, so that one can mostly be had */
static bool make_places(struct packed *p, int level)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t len = p->packer->work_len(level);

	if (!len)
		return false;
	p->nr_places = 4;
	while (p->nr_places < 64 && p->nr_places < 2 * cpus)
		p->nr_places *= 2;
	p->place_len = (sizeof(struct place) + len + STORE_PAGE - 1) /
		       STORE_PAGE * STORE_PAGE;
	p->places = span_map(p->place_len * p->nr_places,
			     PROT_READ | PROT_WRITE);
	for (unsigned i = 0; p->places && i < p->nr_places; i++)
		if (!p->packer->prepare(place_at(p, i)->work, len, level))
			return false;
	return p->places != NULL;
}

static int packed_open(const struct memory_opts *opts, void **ret)
{
	struct packed *p = aligned_alloc(_Alignof(struct packed), sizeof(*p));

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->packer = opts->packer;
	p->limit = opts->limit ? opts->limit : UINT64_MAX;
	p->nr_pages = (opts->size + STORE_PAGE - 1) / STORE_PAGE;
	p->entries = span_map(p->nr_pages * 8, PROT_READ | PROT_WRITE);
	if (!p->entries || !make_places(p, opts->level) ||
	    !slabs_init(&p->slabs, p->nr_pages * STORE_PAGE, opts->huge)) {
		packed_close(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

/* ---- entries ----------------------------------------------------------------------- */

static struct lock *lock_of(struct packed *p, uint64_t page)
{
	return &p->locks[(page * 0x9e3779b97f4a7c15u >> 32) % NR_LOCKS].lock;
}

static uint64_t entry_of(const struct packed *p, uint64_t page)
{
	return atomic_load_explicit(&p->entries[page], memory_order_relaxed);
}

static size_t entry_len(uint64_t entry)
{
	return (entry & KIND) == DATA ? entry >> LEN_SHIFT & LEN_MASK : 0;
}

static uint64_t data_entry(size_t len, uint64_t place)
{
	return DATA | (uint64_t)len << LEN_SHIFT | place;
}

/* An entry without an object, if 8 bytes over and over can be one. */
static bool same_entry(uint64_t same, uint64_t *ret)
{
	if (same >> 32 != (same & UINT32_MAX))
		return false;
	*ret = same ? SAME | (same & UINT32_MAX) : 0;
	return true;
}

static void fill(void *page, uint32_t with)
{
	uint32_t *words = page;

	for (unsigned i = 0; i < STORE_PAGE / 4; i++)
		memcpy(&words[i], &with, 4);
}

static void set_entry(struct packed *p, uint64_t page, uint64_t was,
		      uint64_t entry)
{
	if (!was != !entry)
		atomic_fetch_add(&p->nr_held, entry ? 1 : UINT64_MAX);
	if (entry_len(was) != entry_len(entry))
		atomic_fetch_add(&p->packed_bytes,
				 entry_len(entry) - entry_len(was));
	atomic_store_explicit(&p->entries[page], entry, memory_order_relaxed);
}

/* For slab_tidy. Objects come and go under their page's lock, so with the lock
 * an object that is there is the page's. */
static bool move(void *data, uint32_t page, uint64_t from, uint64_t to)
{
	struct packed *p = data;
	size_t len;

	if (!lock_try(lock_of(p, page)))
		return false;
	len = entry_len(entry_of(p, page));
	memcpy(slab_object(&p->slabs, to), slab_object(&p->slabs, from), len);
	set_entry(p, page, entry_of(p, page), data_entry(len, to));
	lock_drop(lock_of(p, page));
	return true;
}

/* Put an entry without an object; the page's lock is held. Returns the class
 * of the object that went, or SLAB_CLASSES. */
static unsigned put_plain(struct packed *p, uint64_t page, uint64_t entry)
{
	uint64_t was = entry_of(p, page);
	unsigned class = SLAB_CLASSES;

	if (was == entry)
		return class;
	set_entry(p, page, was, entry);
	if (entry_len(was)) {
		class = slab_class(entry_len(was));
		slab_free(&p->slabs, class, was & PLACE_MASK);
	}
	return class;
}

/* Put an object; the page's lock is held. 0 and the class of the one that
 * went, or SLAB_CLASSES. */
static int put_object(struct packed *p, uint64_t page, const void *from,
		      size_t len, unsigned *ret)
{
	uint64_t was = entry_of(p, page);
	unsigned class = slab_class(len);
	uint64_t place = was & PLACE_MASK;

	*ret = SLAB_CLASSES;
	if (entry_len(was) && slab_class(entry_len(was)) == class) {
		memcpy(slab_object(&p->slabs, place), from, len);
		set_entry(p, page, was, data_entry(len, place));
		return 0;
	}
	if (atomic_load_explicit(&p->packed_bytes, memory_order_relaxed) + len >
	    p->limit)
		return -ENOSPC;
	place = slab_alloc(&p->slabs, class, (uint32_t)page);
	if (place == SLAB_NO_PLACE)
		return -ENOSPC;
	memcpy(slab_object(&p->slabs, place), from, len);
	set_entry(p, page, was, data_entry(len, place));
	if (entry_len(was)) {
		*ret = slab_class(entry_len(was));
		slab_free(&p->slabs, *ret, was & PLACE_MASK);
	}
	return 0;
}

static void tidy(struct packed *p, unsigned class)
{
	if (class < SLAB_CLASSES)
		slab_tidy(&p->slabs, class, move, p);
}

/* ---- places of work ------------------------------------------------------------------ */

static struct place *place_take(struct packed *p)
{
	unsigned mine = thread_number(p->nr_places);

	for (unsigned i = 0; i < p->nr_places; i++) {
		struct place *place = place_at(p, (mine + i) &
						  (p->nr_places - 1));

		if (lock_try(&place->lock))
			return place;
	}
	lock_take(&place_at(p, mine)->lock);
	return place_at(p, mine);
}

static void place_drop(struct place *place)
{
	lock_drop(&place->lock);
}

/* ---- reading --------------------------------------------------------------------------- */

/* the page's lock is held; work only for those that unpack with it */
static int unpack(struct packed *p, uint64_t page, void *work, void *to)
{
	uint64_t entry = entry_of(p, page);
	size_t len = entry_len(entry);
	const void *from = slab_object(&p->slabs, entry & PLACE_MASK);

	if ((entry & KIND) == SAME)
		fill(to, (uint32_t)entry);
	else if (!len)
		memset(to, 0, STORE_PAGE);
	else if (len == STORE_PAGE)
		memcpy(to, from, STORE_PAGE);
	else if (!p->packer->unpack(work, from, len, to))
		return -EIO;
	return 0;
}

static int unpack_locked(struct packed *p, uint64_t page, void *work, void *to)
{
	int err;

	lock_take(lock_of(p, page));
	err = unpack(p, page, work, to);
	lock_drop(lock_of(p, page));
	return err;
}

/* n bytes of one page */
static int read_page(struct packed *p, uint64_t offset, char *to, size_t n)
{
	uint64_t page = offset / STORE_PAGE;
	struct place *place;
	int err;

	if (n == STORE_PAGE && !p->packer->unpack_works)
		return unpack_locked(p, page, NULL, to);
	place = place_take(p);
	if (n == STORE_PAGE) {
		err = unpack_locked(p, page, place->work, to);
	} else {
		err = unpack_locked(p, page, place->work, place->page);
		if (!err)
			memcpy(to, place->page + offset % STORE_PAGE, n);
	}
	place_drop(place);
	return err;
}

static int packed_read(void *state, uint64_t offset, void *buf, size_t len)
{
	struct packed *p = state;
	char *to = buf;
	int err = 0;

	while (len && !err) {
		size_t n = STORE_PAGE - offset % STORE_PAGE;

		if (n > len)
			n = len;
		err = read_page(p, offset, to, n);
		offset += n;
		to += n;
		len -= n;
	}
	return err;
}

/* ---- writing --------------------------------------------------------------------------- */

/* What to put for a page, packed in this place: an entry without an object,
 * or *from and the length of one. */
static size_t pack(struct packed *p, struct place *place, const void *page,
		   const void **from)
{
	size_t len = p->packer->pack(place->work, page, place->out, PACKED_MAX);

	*from = len ? place->out : page;
	return len ? len : STORE_PAGE;
}

static int write_whole(struct packed *p, uint64_t page, const void *buf)
{
	struct place *place;
	const void *from;
	uint64_t same, entry;
	unsigned went;
	size_t len;
	int err;

	if (page_is_same(buf, &same) && same_entry(same, &entry)) {
		lock_take(lock_of(p, page));
		went = put_plain(p, page, entry);
		lock_drop(lock_of(p, page));
		tidy(p, went);
		return 0;
	}
	place = place_take(p);
	len = pack(p, place, buf, &from);
	lock_take(lock_of(p, page));
	err = put_object(p, page, from, len, &went);
	lock_drop(lock_of(p, page));
	place_drop(place);
	tidy(p, went);
	return err;
}

/* Read, change, write, with the page's lock held. */
static int change(struct packed *p, struct place *place, uint64_t offset,
		  const char *with, size_t n, unsigned *went)
{
	uint64_t page = offset / STORE_PAGE;
	int err = unpack(p, page, place->work, place->page);
	uint64_t same, entry;
	const void *from;
	size_t len;

	if (err)
		return err;
	memcpy(place->page + offset % STORE_PAGE, with, n);
	if (page_is_same(place->page, &same) && same_entry(same, &entry)) {
		*went = put_plain(p, page, entry);
		return 0;
	}
	len = pack(p, place, place->page, &from);
	return put_object(p, page, from, len, went);
}

static int write_part(struct packed *p, uint64_t offset, const char *with,
		      size_t n)
{
	struct lock *lock = lock_of(p, offset / STORE_PAGE);
	struct place *place = place_take(p);
	unsigned went = SLAB_CLASSES;
	int err;

	lock_take(lock);
	err = change(p, place, offset, with, n, &went);
	lock_drop(lock);
	place_drop(place);
	tidy(p, went);
	return err;
}

static int packed_write(void *state, uint64_t offset, const void *buf,
			size_t len)
{
	struct packed *p = state;
	const char *from = buf;
	int err = 0;

	while (len && !err) {
		size_t n = STORE_PAGE - offset % STORE_PAGE;

		if (n > len)
			n = len;
		if (n == STORE_PAGE)
			err = write_whole(p, offset / STORE_PAGE, from);
		else
			err = write_part(p, offset, from, n);
		offset += n;
		from += n;
		len -= n;
	}
	return err;
}

static void packed_discard(void *state, uint64_t offset, uint64_t len)
{
	struct packed *p = state;
	uint64_t end = (offset + len + STORE_PAGE - 1) / STORE_PAGE;

	for (uint64_t page = offset / STORE_PAGE; page < end; page++) {
		unsigned went;

		if (!entry_of(p, page))
			continue;
		lock_take(lock_of(p, page));
		went = put_plain(p, page, 0);
		lock_drop(lock_of(p, page));
		tidy(p, went);
	}
}

/* ---- the rest --------------------------------------------------------------------------- */

/* how far one call looks, so that it takes no more than a millisecond */
#define EXTENT_MAX (UINT64_C(1) << 30)

static uint32_t packed_extent(void *state, uint64_t offset, uint64_t *len)
{
	struct packed *p = state;
	uint64_t end = offset + (*len < EXTENT_MAX ? *len : EXTENT_MAX);
	uint64_t page = offset / STORE_PAGE;
	bool data = entry_of(p, page);

	while (page * STORE_PAGE < end && !entry_of(p, page) == !data)
		page++;
	if (page * STORE_PAGE < end)
		end = page * STORE_PAGE;
	*len = end - offset;
	return data ? 0 : LIBUFFD_EXTENT_HOLE | LIBUFFD_EXTENT_ZERO;
}

static void packed_stats(void *state, struct uffd_store_stats *ret)
{
	struct packed *p = state;

	ret->held_bytes += atomic_load(&p->nr_held) * STORE_PAGE;
	ret->packed_bytes += atomic_load(&p->packed_bytes);
	ret->memory_bytes += atomic_load(&p->slabs.memory) +
			     p->place_len * p->nr_places;
}

const struct memory_kind memory_packed = {
	.open = packed_open,
	.close = packed_close,
	.read = packed_read,
	.write = packed_write,
	.discard = packed_discard,
	.extent = packed_extent,
	.stats = packed_stats,
};
