/* SPDX-License-Identifier: MIT */
/*
 * Which range is an address in?
 *
 * Asked for every fault, perhaps in a signal handler, so without a lock:
 *
 *   now ──► snapshot: sorted pointers ──► ranges, each with a count of users
 *
 * Whoever looks adds itself to lookups[], reads the snapshot, takes a
 * reference, and subtracts itself again: a few dozen instructions. Whoever
 * changes the table publishes a new snapshot and waits until each of the
 * lookups[] was zero once: then nobody reads the old one any more, and, after
 * a removal, nobody can take a reference who has none yet.
 */
#include <string.h>
#include <time.h>

#include "engine.h"

struct snapshot {
	size_t map_len;
	uint32_t cap;
	uint32_t nr;
	struct range *ranges[];
};

struct chunk {
	struct chunk *next;
	struct range ranges[];
};

#define CHUNK_LEN 16384u
#define CHUNK_RANGES \
	((CHUNK_LEN - sizeof(struct chunk)) / sizeof(struct range))

static bool inside(const struct range *r, uint64_t addr)
{
	return addr >= r->start && addr - r->start < r->len;
}

/* how many of the ranges begin at addr or before */
static uint32_t begun(const struct snapshot *s, uint64_t addr)
{
	uint32_t low = 0, high = s->nr;

	while (low < high) {
		uint32_t half = low + (high - low) / 2;

		if (s->ranges[half]->start <= addr)
			low = half + 1;
		else
			high = half;
	}
	return low;
}

static struct range *look(const struct snapshot *s, uint64_t addr)
{
	uint32_t n = s ? begun(s, addr) : 0;

	return n > 0 && inside(s->ranges[n - 1], addr) ? s->ranges[n - 1] :
							  NULL;
}

struct range *table_get(struct table *t, uint64_t addr)
{
	struct lookups *mine = &t->lookups[stripe_of((uintptr_t)pthread_self())];
	struct range *r;

	atomic_fetch_add(&mine->running, 1);
	r = look(atomic_load(&t->now), addr);
	if (r)
		atomic_fetch_add_explicit(&r->users, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&mine->running, 1, memory_order_release);
	return r;
}

void range_put(struct range *r)
{
	atomic_fetch_sub_explicit(&r->users, 1, memory_order_release);
}

/* Wait for zero: at first by letting others run, then by sleeping. */
static void wait_for_zero(_Atomic uint32_t *count)
{
	const struct timespec moment = { .tv_nsec = 50000 };

	for (unsigned n = 0; atomic_load(count) != 0; n++) {
		if (n < 20)
			sched_yield();
		else
			nanosleep(&moment, NULL);
	}
}

/* Nobody reads what was published before any more. */
static void wait_for_lookups(struct table *t)
{
	for (unsigned i = 0; i < NR_STRIPES; i++)
		wait_for_zero(&t->lookups[i].running);
}

static struct snapshot *snapshot_new(uint32_t cap)
{
	size_t len = sizeof(struct snapshot) + cap * sizeof(struct range *);
	struct snapshot *s;

	len = (len + 4095) / 4096 * 4096;
	s = own_map(len);
	if (s) {
		s->map_len = len;
		s->cap = (uint32_t)((len - sizeof(*s)) /
				    sizeof(struct range *));
	}
	return s;
}

/* A snapshot with room for nr, to become the next; NULL: no memory. */
static struct snapshot *take_spare(struct table *t, uint32_t nr)
{
	struct snapshot *s = t->spare;

	if (s && s->cap >= nr) {
		t->spare = NULL;
		return s;
	}
	return snapshot_new(nr * 2);
}

static void give_spare(struct table *t, struct snapshot *s)
{
	if (!s)
		return;
	if (!t->spare || t->spare->cap < s->cap) {
		struct snapshot *old = t->spare;

		t->spare = s;
		s = old;
	}
	if (s)
		own_unmap(s, s->map_len);
}

/* caller holds the lock */
static void publish(struct table *t, struct snapshot *next)
{
	struct snapshot *old = atomic_exchange(&t->now, next);

	wait_for_lookups(t);
	give_spare(t, old);
}

static struct range *slot_get(struct table *t)
{
	struct range *r = t->free;

	if (!r) {
		struct chunk *c = own_map(CHUNK_LEN);

		if (!c)
			return NULL;
		c->next = t->chunks;
		t->chunks = c;
		for (unsigned i = 0; i < CHUNK_RANGES; i++) {
			c->ranges[i].next_free = t->free;
			t->free = &c->ranges[i];
		}
		r = t->free;
	}
	t->free = r->next_free;
	return r;
}

static void slot_put(struct table *t, struct range *r)
{
	r->next_free = t->free;
	t->free = r;
}

static struct range *overlapped(const struct snapshot *s,
				const struct range *like)
{
	uint32_t n = s ? begun(s, like->start + like->len - 1) : 0;
	struct range *r = n > 0 ? s->ranges[n - 1] : NULL;

	return r && r->start + r->len > like->start ? r : NULL;
}

/* caller holds the lock */
static int insert(struct table *t, const struct range *like,
		  struct range **ret)
{
	struct snapshot *old = atomic_load(&t->now);
	struct range *r = overlapped(old, like);
	uint32_t nr = old ? old->nr : 0;
	uint32_t at = old ? begun(old, like->start) : 0;
	struct snapshot *next;

	if (r)
		return r->e == like->e ? -EEXIST : -EBUSY;
	next = take_spare(t, nr + 1);
	r = next ? slot_get(t) : NULL;
	if (!r) {
		give_spare(t, next);
		return -ENOMEM;
	}
	*r = *like;
	if (old) {
		memcpy(next->ranges, old->ranges, at * sizeof(r));
		memcpy(next->ranges + at + 1, old->ranges + at,
		       (nr - at) * sizeof(r));
	}
	next->ranges[at] = r;
	next->nr = nr + 1;
	publish(t, next);
	*ret = r;
	return 0;
}

int table_insert(struct table *t, const struct range *like, struct range **ret)
{
	int err;

	pthread_mutex_lock(&t->lock);
	err = insert(t, like, ret);
	pthread_mutex_unlock(&t->lock);
	return err;
}

struct range *table_find(struct table *t, const struct uffd_engine *e,
			 uint64_t start)
{
	struct range *r;

	pthread_mutex_lock(&t->lock);
	r = look(atomic_load(&t->now), start);
	pthread_mutex_unlock(&t->lock);
	return r && r->e == e && r->start == start ? r : NULL;
}

struct range *table_any(struct table *t, const struct uffd_engine *e)
{
	struct snapshot *s;
	struct range *r = NULL;

	pthread_mutex_lock(&t->lock);
	s = atomic_load(&t->now);
	for (uint32_t i = 0; s && i < s->nr && !r; i++)
		if (s->ranges[i]->e == e)
			r = s->ranges[i];
	pthread_mutex_unlock(&t->lock);
	return r;
}

/*
 * caller holds the lock. Needs no memory, so that a removal can't fail: the
 * spare is always large enough for all ranges but one, since it is what an
 * insertion has left behind, or larger.
 */
static void take_out(struct table *t, struct range *r)
{
	struct snapshot *old = atomic_load(&t->now);
	uint32_t at = begun(old, r->start) - 1;
	struct snapshot *next = NULL;

	if (old->nr > 1) {
		next = t->spare;
		t->spare = NULL;
		memcpy(next->ranges, old->ranges, at * sizeof(r));
		memcpy(next->ranges + at, old->ranges + at + 1,
		       (old->nr - at - 1) * sizeof(r));
		next->nr = old->nr - 1;
	}
	publish(t, next);
}

void table_remove(struct table *t, struct range *r)
{
	pthread_mutex_lock(&t->lock);
	take_out(t, r);
	pthread_mutex_unlock(&t->lock);

	/* without the lock: a fault function may be adding a range */
	wait_for_zero(&r->users);

	pthread_mutex_lock(&t->lock);
	slot_put(t, r);
	pthread_mutex_unlock(&t->lock);
}

void table_finish(struct table *t)
{
	struct snapshot *s = atomic_load(&t->now);

	if (s)
		own_unmap(s, s->map_len);
	if (t->spare)
		own_unmap(t->spare, t->spare->map_len);
	while (t->chunks) {
		struct chunk *c = t->chunks;

		t->chunks = c->next;
		own_unmap(c, CHUNK_LEN);
	}
	atomic_store(&t->now, NULL);
	t->spare = NULL;
	t->free = NULL;
}
