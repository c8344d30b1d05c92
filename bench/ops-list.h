/* SPDX-License-Identifier: MIT */
/*
 * The operations: where they can be, what they want, how they are done.
 */
#ifndef BENCH_OPS_LIST_H
#define BENCH_OPS_LIST_H

#include <uffd/kernel.h>

#include "ops-arena.h"

struct ops_operation {
	const char *name;
	unsigned memories;	/* 1 << enum ops_memory: makes sense there */
	const char *only;	/* why nowhere else */
	const char *since;	/* the kernel that brought it */
	enum uffd_op probe;	/* uffd_try() this */
	uint64_t modes;		/* register for; or 0 */
	uint64_t features;	/* enable */
	bool scattered;
	int (*prepare)(struct ops_arena *a);
	int (*call)(struct ops_arena *a, unsigned i);	/* this is timed */
	int (*verify)(const struct ops_arena *a);
};

const struct ops_operation *ops_operation(enum ops_op op);

/*
 * Can it be done here? True, or false with the reason in skip->why. skip's op
 * and memory are filled by the caller.
 */
bool ops_can(struct ops_skip *skip);

/* How many huge pages of 2 MiB are free for anyone. */
unsigned ops_free_huge_pages(void);

#endif
