/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "../result.h"
#include "slab.h"
#include "span.h"
#include "zeros.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define GROW 16u		/* slabs made usable at a time */
#define SPARE_MAX 16u		/* empty ones that keep their memory */
#define POPULATE (64u << 10)	/* touched at a time: cheaper than by faults */
#define FREE UINT32_C(0x80000000)	/* in place of an owner: not used */
#define NO_OBJECT (FREE - 1)	/* the end of the list of those */
#define GAPS_MIN 32u		/* objects */
#define MOVES 8u		/* with each one freed */

enum { WITH_MEMORY, WITHOUT };

struct slab {
	uint32_t used;
	uint32_t fresh;		/* objects from here on were never used */
	uint32_t free;		/* the first of those that were */
	uint32_t prev, next;	/* in a list of slabs */
	uint32_t touched;	/* bytes with memory, from the beginning */
	uint32_t owner[];	/* or FREE and the next free one */
};

static struct slab *slab_at(const struct slabs *s, uint32_t nr)
{
	return (struct slab *)(s->arena + (uint64_t)nr * SLAB_LEN);
}

static uint32_t slab_nr(uint64_t place)
{
	return (uint32_t)(place / (SLAB_LEN / SLAB_STEP));
}

/* where objects begin: pages at pages, others at steps */
static uint32_t head_len(const struct slab_class *c, uint32_t per_slab)
{
	uint32_t align = c->size == STORE_PAGE ? STORE_PAGE : SLAB_STEP;
	uint32_t len = sizeof(struct slab) + per_slab * 4;

	return (len + align - 1) / align * align;
}

static uint64_t place_of(const struct slab_class *c, uint32_t nr, uint32_t i)
{
	uint64_t in = head_len(c, c->per_slab) + (uint64_t)i * c->size;

	return ((uint64_t)nr * SLAB_LEN + in) / SLAB_STEP;
}

static uint32_t object_of(const struct slab_class *c, uint64_t place)
{
	uint64_t in = place * SLAB_STEP % SLAB_LEN;

	return (uint32_t)(in - head_len(c, c->per_slab)) / c->size;
}

static void class_init(struct slab_class *c, uint32_t size)
{
	c->size = size;
	c->partial = c->victim = SLAB_NONE;
	c->per_slab = (SLAB_LEN - sizeof(struct slab)) / (size + 4);
	while (head_len(c, c->per_slab) + c->per_slab * size > SLAB_LEN)
		c->per_slab--;
}

bool slabs_init(struct slabs *s, uint64_t bytes, bool huge)
{
	/* a third more for gaps, and some slabs of each size */
	uint64_t len = bytes + bytes / 3 + 4ull * SLAB_CLASSES * SLAB_LEN;

	s->arena_len = len / SLAB_LEN * SLAB_LEN;
	s->arena = span_map(s->arena_len, PROT_NONE);
	s->spare[WITH_MEMORY] = s->spare[WITHOUT] = SLAB_NONE;
	for (unsigned i = 0; i < SLAB_CLASSES; i++)
		class_init(&s->classes[i], (i + 1) * SLAB_STEP);
	if (s->arena && huge)
		madvise(s->arena, s->arena_len, MADV_HUGEPAGE);
	return s->arena != NULL;
}

void slabs_end(struct slabs *s)
{
	span_unmap(s->arena, s->arena_len);
}

/* ---- whole slabs ------------------------------------------------------------- */

/* one that was never used; the lock is held */
static uint32_t new_slab(struct slabs *s)
{
	size_t len = (size_t)GROW * SLAB_LEN;
	size_t at = (size_t)s->nr_usable * SLAB_LEN;

	if (s->nr == s->nr_usable) {
		if (len > s->arena_len - at)
			len = s->arena_len - at;
		if (!len || SYS_RESULT(int, mprotect(s->arena + at, len,
						     PROT_READ | PROT_WRITE)))
			return SLAB_NONE;
		s->nr_usable += (uint32_t)(len / SLAB_LEN);
	}
	return s->nr++;
}

static uint32_t take_spare(struct slabs *s, int which)
{
	uint32_t nr = s->spare[which];

	if (nr == SLAB_NONE)
		return nr;
	s->spare[which] = slab_at(s, nr)->next;
	s->nr_spare -= which == WITH_MEMORY;
	return nr;
}

static uint32_t take_slab(struct slabs *s)
{
	uint32_t nr;

	lock_take(&s->lock);
	nr = take_spare(s, WITH_MEMORY);
	if (nr == SLAB_NONE)
		nr = take_spare(s, WITHOUT);
	if (nr == SLAB_NONE)
		nr = new_slab(s);
	lock_drop(&s->lock);
	return nr;
}

/* An empty one. All but its first page goes back to the system if there are
 * enough. */
static void give_slab(struct slabs *s, uint32_t nr)
{
	struct slab *slab = slab_at(s, nr);
	bool keep;

	lock_take(&s->lock);
	keep = s->nr_spare < SPARE_MAX;
	s->nr_spare += keep;
	lock_drop(&s->lock);
	if (!keep && slab->touched > STORE_PAGE) {
		madvise((char *)slab + STORE_PAGE, SLAB_LEN - STORE_PAGE,
			MADV_DONTNEED);
		atomic_fetch_sub(&s->memory, slab->touched - STORE_PAGE);
		slab->touched = STORE_PAGE;
	}
	lock_take(&s->lock);
	slab->next = s->spare[keep ? WITH_MEMORY : WITHOUT];
	s->spare[keep ? WITH_MEMORY : WITHOUT] = nr;
	lock_drop(&s->lock);
}

/* Have memory under the first len bytes. On kernels without the advice, the
 * first touch brings it. */
static bool populate(struct slabs *s, struct slab *slab, uint32_t len)
{
	uint32_t more = (len - slab->touched + POPULATE - 1) / POPULATE *
			POPULATE;
	int err;

	if (more > SLAB_LEN - slab->touched)
		more = SLAB_LEN - slab->touched;
	err = SYS_RESULT(int, madvise((char *)slab + slab->touched, more,
				      MADV_POPULATE_WRITE));
	if (err && err != -EINVAL)
		return false;
	atomic_fetch_add(&s->memory, more);
	slab->touched += more;
	return true;
}

/* ---- lists of a class ---------------------------------------------------------- */

static void list_add(struct slabs *s, struct slab_class *c, uint32_t nr)
{
	struct slab *slab = slab_at(s, nr);

	slab->prev = SLAB_NONE;
	slab->next = c->partial;
	if (c->partial != SLAB_NONE)
		slab_at(s, c->partial)->prev = nr;
	c->partial = nr;
}

static void list_del(struct slabs *s, struct slab_class *c, uint32_t nr)
{
	struct slab *slab = slab_at(s, nr);

	if (slab->prev == SLAB_NONE)
		c->partial = slab->next;
	else
		slab_at(s, slab->prev)->next = slab->next;
	if (slab->next != SLAB_NONE)
		slab_at(s, slab->next)->prev = slab->prev;
}

static bool add_slab(struct slabs *s, struct slab_class *c)
{
	uint32_t nr = take_slab(s);
	struct slab *slab;

	if (nr == SLAB_NONE)
		return false;
	slab = slab_at(s, nr);
	if (slab->touched < head_len(c, c->per_slab) &&
	    !populate(s, slab, head_len(c, c->per_slab))) {
		give_slab(s, nr);
		return false;
	}
	slab->used = slab->fresh = 0;
	slab->free = NO_OBJECT;
	c->nr_slabs++;
	list_add(s, c, nr);
	return true;
}

/* ---- objects -------------------------------------------------------------------- */

/* one of a slab of the list that has some; the class's lock is held */
static uint64_t take_from(struct slabs *s, struct slab_class *c, uint32_t nr,
			  uint32_t owner)
{
	struct slab *slab = slab_at(s, nr);
	uint32_t i = slab->free;

	if (i != NO_OBJECT) {
		slab->free = slab->owner[i] & ~FREE;
		c->free--;
	} else {
		uint32_t end;

		i = slab->fresh;
		end = (uint32_t)head_len(c, c->per_slab) + (i + 1) * c->size;
		if (end > slab->touched && !populate(s, slab, end))
			return SLAB_NO_PLACE;
		slab->fresh++;
	}
	slab->owner[i] = owner;
	c->used++;
	if (++slab->used == c->per_slab)
		list_del(s, c, nr);
	return place_of(c, nr, i);
}

uint64_t slab_alloc(struct slabs *s, unsigned class, uint32_t owner)
{
	struct slab_class *c = &s->classes[class];
	uint64_t place = SLAB_NO_PLACE;

	lock_take(&c->lock);
	if (c->partial != SLAB_NONE || add_slab(s, c))
		place = take_from(s, c, c->partial, owner);
	lock_drop(&c->lock);
	return place;
}

/* its slab has become empty; the class's lock is held */
static void remove_slab(struct slabs *s, struct slab_class *c, uint32_t nr)
{
	if (c->victim == nr)
		c->victim = SLAB_NONE;
	else
		list_del(s, c, nr);
	c->free -= slab_at(s, nr)->fresh;
	c->nr_slabs--;
	give_slab(s, nr);
}

/* the class's lock is held */
static void free_object(struct slabs *s, struct slab_class *c, uint64_t place)
{
	uint32_t nr = slab_nr(place), i = object_of(c, place);
	struct slab *slab = slab_at(s, nr);

	slab->owner[i] = FREE | slab->free;
	slab->free = i;
	c->used--;
	c->free++;
	if (slab->used-- == c->per_slab && nr != c->victim)
		list_add(s, c, nr);
	if (!slab->used && (c->nr_slabs > 1 || nr == c->victim))
		remove_slab(s, c, nr);
}

void slab_free(struct slabs *s, unsigned class, uint64_t place)
{
	struct slab_class *c = &s->classes[class];

	lock_take(&c->lock);
	free_object(s, c, place);
	lock_drop(&c->lock);
}

/* ---- moving ------------------------------------------------------------------------ */

static bool has_gaps(const struct slab_class *c)
{
	return c->free > c->used / 8 + GAPS_MIN;
}

/* Take the emptiest of the first few out of the list. It is not the only one,
 * or there would be nowhere to go. */
static bool choose_victim(struct slabs *s, struct slab_class *c)
{
	uint32_t nr = c->partial, best = nr;

	if (nr == SLAB_NONE || slab_at(s, nr)->next == SLAB_NONE)
		return false;
	for (int i = 0; i < 16 && nr != SLAB_NONE; i++) {
		if (slab_at(s, nr)->used < slab_at(s, best)->used)
			best = nr;
		nr = slab_at(s, nr)->next;
	}
	list_del(s, c, best);
	c->victim = best;
	c->next_move = 0;
	return true;
}

/* not worth it any more, or nowhere to go: back into the list */
static void release_victim(struct slabs *s, struct slab_class *c)
{
	if (slab_at(s, c->victim)->used < c->per_slab)
		list_add(s, c, c->victim);
	c->victim = SLAB_NONE;
}

/* the victim's next object; false: none is left to move */
static bool move_one(struct slabs *s, struct slab_class *c, slab_move_fn *move,
		     void *data)
{
	struct slab *slab = slab_at(s, c->victim);
	uint64_t from, to;
	uint32_t i, owner;

	while (c->next_move < slab->fresh && slab->owner[c->next_move] & FREE)
		c->next_move++;
	i = c->next_move++;
	if (i >= slab->fresh || c->partial == SLAB_NONE)
		return false;
	owner = slab->owner[i];
	from = place_of(c, c->victim, i);
	to = take_from(s, c, c->partial, owner);
	if (to == SLAB_NO_PLACE)
		return false;
	free_object(s, c, move(data, owner, from, to) ? from : to);
	return true;
}

void slab_tidy(struct slabs *s, unsigned class, slab_move_fn *move, void *data)
{
	struct slab_class *c = &s->classes[class];

	if (!has_gaps(c))
		return;
	lock_take(&c->lock);
	for (unsigned i = 0; i < MOVES && has_gaps(c); i++) {
		if (c->victim == SLAB_NONE && !choose_victim(s, c))
			break;
		if (!move_one(s, c, move, data) && c->victim != SLAB_NONE)
			release_victim(s, c);
	}
	lock_drop(&c->lock);
}
