/* SPDX-License-Identifier: MIT */
/*
 * Memory of every kind that can be tracked, and a tracker over it.
 */
#ifndef TESTS_TRACK_PLACE_H
#define TESTS_TRACK_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include <uffd/track.h>

enum kind {
	PRIVATE,
	PRIVATE_THP,
	SHARED,
	MEMFD,
	MEMFD_PRIVATE,
	HUGE_PRIVATE,
	HUGE_SHARED,
	DISK,			/* a regular file, shared */
	DISK_PRIVATE,
	NR_KINDS
};

/* pages of each place; a bit each in a uint64_t */
#define PAGES 16
#define ALL ((UINT64_C(1) << PAGES) - 1)
#define P(n) (UINT64_C(1) << (n))

struct place {
	enum kind kind;
	uint64_t page;		/* page size */
	uint64_t len;
	char *m;
	int fd;			/* of the file behind it, or -1 */
	const char *why;	/* could not be had: reason to skip */
};

const char *kind_name(enum kind kind);
bool is_anonymous(enum kind kind);	/* private anonymous */
bool is_huge(enum kind kind);		/* hugetlb */
bool has_file(enum kind kind);
bool is_private(enum kind kind);

/* Map PAGES pages, or nr of them, none of them touched. False: p->why. */
bool place_open(struct place *p, enum kind kind);
bool place_open_nr(struct place *p, enum kind kind, unsigned nr);
void place_close(struct place *p);
/* The same file again, in another place; NULL if it has none. */
char *place_alias(const struct place *p);

static inline char *at(const struct place *p, unsigned page)
{
	return p->m + page * p->page;
}

static inline uint64_t addr(const struct place *p, unsigned page)
{
	return (uintptr_t)at(p, page);
}

void poke(const struct place *p, unsigned page);	/* write */
void peek(const struct place *p, unsigned page);	/* read */
void poke_all(const struct place *p);

/* Reserve 2 MiB pages for the program's time, and give them back. */
void huge_begin(void);
void huge_end(void);

/* ASYNC where the kernel has it, or else SYNC: methods to be tried begin here */
enum uffd_track_method first_method(void);
/* Huge pages that are not there look armed before 6.7. */
bool huge_holes_show(void);
/* A child that writes to its parent's protected huge pages hangs before 6.4. */
bool child_may_write_huge(void);
const char *method_name(enum uffd_track_method method);

#endif
