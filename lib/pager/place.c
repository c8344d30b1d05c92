/* SPDX-License-Identifier: MIT */
/*
 * Limbo's address space: places, each as large as the slices that go there,
 * in one reservation a size. A place is used again and again, since each is a
 * mapping of its own and mappings are scarce (vm.max_map_count).
 */
#include <errno.h>
#include <sys/mman.h>

#include "pager.h"

/* the most address space for the places of one size */
#define POOL_MOST (UINT64_C(1) << 40)
/* whole page tables can be moved only between places aligned alike */
#define ALIGN_MOST (UINT64_C(1) << 30)
#define PLACES_MOST 4096u
#define PLACES_LEAST 8u

static unsigned slice_bits(const struct uffd_region *r)
{
	return r->slice_shift + r->page_shift;
}

static struct pool *pool_of(struct uffd_region *r)
{
	const enum pool_kind kind = r->memfd >= 0 ? POOL_SHARED :
				    r->by_move	  ? POOL_MOVED :
						    POOL_LIFTED;

	return &r->pager->pools[kind][slice_bits(r)];
}

struct place *place_get(struct uffd_pager *p, struct slice *s)
{
	struct pool *pool = pool_of(s->region);
	struct place *pl;

	lock_take(&p->places_lock);
	pl = pool->free;
	if (pl)
		pool->free = pl->next;
	lock_drop(&p->places_lock);
	if (pl) {
		pl->next = NULL;
		__atomic_store_n(&pl->slice, s, __ATOMIC_RELAXED);
		pl->nr = pl->cursor = pl->busy = pl->stuck = 0;
	}
	return pl;
}

void place_put(struct uffd_pager *p, struct place *pl)
{
	lock_take(&p->places_lock);
	/* one that seizes may still be looking, and sees that it is too late */
	__atomic_store_n(&pl->slice, NULL, __ATOMIC_RELAXED);
	pl->next = pl->pool->free;
	pl->pool->free = pl;
	lock_drop(&p->places_lock);
}

/* Twice as many as limbo needs when its slices hold what they should. */
static uint32_t places_for(const struct uffd_pager *p, uint64_t place_len)
{
	uint64_t filled = place_len < (UINT64_C(256) << 10) ?
				  place_len :
				  (UINT64_C(256) << 10);
	uint64_t nr = (uint64_t)p->budget / 4 / filled * 2 + PLACES_LEAST;

	if (nr > PLACES_MOST)
		nr = PLACES_MOST;
	if (nr > POOL_MOST / place_len)
		nr = POOL_MOST / place_len;
	return nr < PLACES_LEAST ? PLACES_LEAST : (uint32_t)nr;
}

static void pool_free(struct pool *pool)
{
	if (!pool->all)
		return;
	if (pool->start)
		munmap((void *)(uintptr_t)pool->start,
		       pool->place_len * pool->nr);
	munmap(pool->all, pool->nr * sizeof(*pool->all));
	pool->all = NULL;
}

/*
 * Where pages go by MOVE the places are memory, registered like the regions;
 * where slices are lifted they are bare address space, to be mapped over.
 */
static int get_addresses(struct uffd_pager *p, struct pool *pool, bool by_move)
{
	const uint64_t len = pool->place_len;
	const uint64_t align = len < ALIGN_MOST ? len : ALIGN_MOST;
	const uint64_t all = len * pool->nr;
	uint8_t *at = mmap(NULL, all + align,
			   by_move ? PROT_READ | PROT_WRITE : PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before;

	if (at == MAP_FAILED)
		return -ENOMEM;
	pool->start = ((uintptr_t)at + align - 1) / align * align;
	before = pool->start - (uintptr_t)at;
	if (before)
		munmap(at, before);
	if (align > before)
		munmap((void *)(uintptr_t)(pool->start + all), align - before);
	return by_move ? uffd_register(p->fd, pool->start, all,
				       UFFDIO_REGISTER_MODE_MISSING, NULL) :
			 0;
}

static int pool_make(struct uffd_pager *p, struct pool *pool, unsigned bits)
{
	const uint64_t len = UINT64_C(1) << bits;
	const uint32_t nr = places_for(p, len);
	const bool shared = pool >= p->pools[POOL_SHARED];
	const bool moved = !shared && pool >= p->pools[POOL_MOVED];
	struct place *all = mmap(NULL, nr * sizeof(*all),
				 PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = 0;

	if (all == MAP_FAILED)
		return -ENOMEM;
	pool->place_len = len;
	pool->nr = nr;
	if (!shared)
		err = get_addresses(p, pool, moved);
	/* the reader of events looks at pools that are `all` there */
	__atomic_store_n(&pool->all, all, __ATOMIC_RELEASE);
	if (err < 0) {
		pool_free(pool);
		return err;
	}
	for (uint32_t i = 0; i < nr; i++) {
		all[i].start = pool->start + len * i;
		all[i].pool = pool;
		all[i].next = i + 1 < nr ? &all[i + 1] : NULL;
	}
	pool->free = all;
	return 0;
}

int pool_need(struct uffd_pager *p, struct uffd_region *r)
{
	const unsigned bits = slice_bits(r);
	struct pool *pool = pool_of(r);

	if (bits >= NR_POOLS)
		return -EINVAL;
	return pool->all ? 0 : pool_make(p, pool, bits);
}

void pools_free(struct uffd_pager *p)
{
	for (unsigned i = 0; i < NR_POOLS; i++) {
		pool_free(&p->pools[POOL_LIFTED][i]);
		pool_free(&p->pools[POOL_MOVED][i]);
		pool_free(&p->pools[POOL_SHARED][i]);
	}
}
