/* SPDX-License-Identifier: MIT */
/*
 * Memory for packed pages, of 64 to 4096 bytes, in steps of 64.
 *
 *	arena  | slab | slab | slab | ...          reserved; grows by need
 *
 *	slab   | head, owners | object | object | ... | never used |    256 KiB
 *
 * All objects of a slab have one size. Each has an owner, the number of the
 * page that it belongs to, so that objects can be moved: where too many of one
 * size were freed, a few are moved with each further one, until the emptiest
 * slab can be given back. So of the memory of one size at most about a ninth
 * is gaps, and at most 32 objects or a slab more.
 */
#ifndef LIB_STORE_SLAB_H
#define LIB_STORE_SLAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lock.h"

#define SLAB_STEP 64u
#define SLAB_CLASSES 64u	/* the largest is a page */
#define SLAB_LEN (256u << 10)
#define SLAB_NONE UINT32_MAX	/* no slab of this number */

struct slab;

/* of all slabs of one size */
struct slab_class {
	_Alignas(64) struct lock lock;
	uint32_t size;
	uint32_t per_slab;
	uint32_t partial;		/* slabs with free objects, a list */
	uint32_t victim;		/* the one that is being emptied */
	uint32_t next_move;		/* in it */
	uint32_t nr_slabs;
	_Atomic uint64_t used;		/* objects */
	_Atomic uint64_t free;		/* objects that were used before */
};

struct slabs {
	char *arena;
	size_t arena_len;
	_Alignas(64) struct lock lock;	/* of what is below */
	uint32_t nr;			/* slabs that were ever used */
	uint32_t nr_usable;		/* made readable and writable */
	uint32_t spare[2];		/* empty ones: with memory, without */
	uint32_t nr_spare;		/* of those with memory */
	_Atomic uint64_t memory;	/* taken from the system */
	struct slab_class classes[SLAB_CLASSES];
};

/* Room for this many bytes, all told, in the worst of cases. false: there is
 * no address space for it. */
bool slabs_init(struct slabs *s, uint64_t bytes, bool huge);
void slabs_end(struct slabs *s);

/* Objects are known by their place in the arena, in steps of SLAB_STEP. */
static inline void *slab_object(const struct slabs *s, uint64_t place)
{
	return s->arena + place * SLAB_STEP;
}

/* The class that takes len bytes, 1 to 4096. */
static inline unsigned slab_class(size_t len)
{
	return (unsigned)((len - 1) / SLAB_STEP);
}

#define SLAB_NO_PLACE UINT64_MAX

/* SLAB_NO_PLACE: out of memory. */
uint64_t slab_alloc(struct slabs *s, unsigned class, uint32_t owner);
void slab_free(struct slabs *s, unsigned class, uint64_t place);

/*
 * Move an owner's object, if the owner can be had without waiting: copy, note
 * the new place, true.
 */
typedef bool slab_move_fn(void *data, uint32_t owner, uint64_t from,
			  uint64_t to);

/* After a slab_free, without any of the locks that move tries to take: move a
 * few objects if there are too many gaps. */
void slab_tidy(struct slabs *s, unsigned class, slab_move_fn *move, void *data);

#endif
