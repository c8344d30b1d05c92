/* SPDX-License-Identifier: MIT */
/*
 * What happens to memory while it is tracked: discarded, protected, unmapped,
 * mapped anew, moved, forked, written behind the mapping's back.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* only private anonymous memory loses its protection with its pages */
static uint64_t if_anonymous(const struct ctx *c, uint64_t pages)
{
	return is_anonymous(c->p.kind) ? pages : 0;
}

static void discarded(struct ctx *c)
{
	poke_all(&c->p);
	look(c->t, &c->p);
	SAME(madvise(at(&c->p, 3), 2 * c->p.page, MADV_DONTNEED), 0);
	SAME(look(c->t, &c->p), if_anonymous(c, P(3) | P(4)));
	peek(&c->p, 3);
	SAME(look(c->t, &c->p), 0);
	poke(&c->p, 3);
	poke(&c->p, 4);
	SAME(look(c->t, &c->p), P(3) | P(4));
}

static void discarded_untouched(struct ctx *c)
{
	SAME(madvise(c->p.m, c->p.len, MADV_DONTNEED), 0);
	SAME(look(c->t, &c->p), if_anonymous(c, ALL));
	poke(&c->p, 6);
	SAME(look(c->t, &c->p), P(6));
}

/* the documented limit, and its mend */
static void removed(struct ctx *c)
{
	poke_all(&c->p);
	look(c->t, &c->p);
	if (madvise(at(&c->p, 3), c->p.page, MADV_REMOVE) < 0) {
		c->skip = "MADV_REMOVE is not for this memory";
		return;
	}
	SAME(look(c->t, &c->p), 0);
	SAME(uffd_track_mark(c->t, addr(&c->p, 3), c->p.page), 0);
	SAME(look(c->t, &c->p), P(3));
	poke(&c->p, 3);
	SAME(look(c->t, &c->p), P(3));
}

static void protected(struct ctx *c)
{
	poke_all(&c->p);
	look(c->t, &c->p);
	poke(&c->p, 4);
	SAME(mprotect(at(&c->p, 4), 4 * c->p.page, PROT_READ), 0);
	SAME(look(c->t, &c->p), P(4));
	SAME(mprotect(at(&c->p, 5), 2 * c->p.page, PROT_NONE), 0);
	SAME(look(c->t, &c->p), 0);
	SAME(mprotect(c->p.m, c->p.len, PROT_READ | PROT_WRITE), 0);
	SAME(look(c->t, &c->p), 0);
	poke_all(&c->p);
	SAME(look(c->t, &c->p), ALL);
}

static void unmapped(struct ctx *c)
{
	poke_all(&c->p);
	SAME(munmap(at(&c->p, 6), 4 * c->p.page), 0);
	SAME(look(c->t, &c->p), ALL & ~0x3c0);
	poke(&c->p, 5);
	poke(&c->p, 10);
	SAME(look(c->t, &c->p), P(5) | P(10));
	SAME(munmap(c->p.m, c->p.len), 0);
	SAME(look(c->t, &c->p), 0);
}

/* the same kind of memory, mapped anew in its place */
static void *map_anew(const struct ctx *c, unsigned page, unsigned nr)
{
	const int flags = (is_private(c->p.kind) ? MAP_PRIVATE : MAP_SHARED) |
			  MAP_FIXED | (c->p.fd < 0 ? MAP_ANONYMOUS : 0);

	return mmap(at(&c->p, page), nr * c->p.page, PROT_READ | PROT_WRITE,
		    flags, c->p.fd, c->p.fd < 0 ? 0 : page * c->p.page);
}

static void mapped_anew(struct ctx *c)
{
	poke_all(&c->p);
	look(c->t, &c->p);
	CHECK(map_anew(c, 6, 4) == at(&c->p, 6));
	poke(&c->p, 2);
	poke(&c->p, 7); /* as yet untracked; none of its pages is missed */
	poke(&c->p, 12);
	if (is_huge(c->p.kind) && !huge_holes_show())
		CHECK((look(c->t, &c->p) & ~0x3c0) == (P(2) | P(12)));
	else
		SAME(look(c->t, &c->p), 0x3c0 | P(2) | P(12));
	poke(&c->p, 7);
	poke(&c->p, 8);
	SAME(look(c->t, &c->p), P(7) | P(8));
	SAME(look(c->t, &c->p), 0);
}

static void moved_away(struct ctx *c)
{
	char *to;

	poke_all(&c->p);
	look(c->t, &c->p);
	poke(&c->p, 7);
	poke(&c->p, 12);
	to = mremap(at(&c->p, 6), 4 * c->p.page, 4 * c->p.page,
		    MREMAP_MAYMOVE | MREMAP_FIXED,
		    mmap(NULL, 4 * c->p.page, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	if (to == MAP_FAILED) {
		c->skip = "this memory can't be moved there";
		return;
	}
	SAME(look(c->t, &c->p), P(12));
	to[0] = 1; /* not tracked any more, so nobody has to let it go */
	SAME(look(c->t, &c->p), 0);
	poke(&c->p, 3);
	SAME(look(c->t, &c->p), P(3));
	/* and back again */
	CHECK(mremap(to, 4 * c->p.page, 4 * c->p.page,
		     MREMAP_MAYMOVE | MREMAP_FIXED,
		     at(&c->p, 6)) == at(&c->p, 6));
	SAME(look(c->t, &c->p), 0x3c0);
	poke(&c->p, 9);
	SAME(look(c->t, &c->p), P(9));
}

static void lifted(struct ctx *c)
{
	const uint64_t len = 4 * c->p.page;
	char *to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	poke_all(&c->p);
	look(c->t, &c->p);
	if (!is_anonymous(c->p.kind)) {
		munmap(to, len);
		c->skip = "only private anonymous memory is left empty";
		return;
	}
	SAME(uffd_lift(addr(&c->p, 6), (uintptr_t)to, len), len);
	SAME(look(c->t, &c->p), 0x3c0);
	poke(&c->p, 6);
	SAME(look(c->t, &c->p), P(6));
	munmap(to, len);
}

static void moved_in(struct ctx *c)
{
	char *from;

	poke_all(&c->p);
	look(c->t, &c->p);
	if (is_huge(c->p.kind)) {
		c->skip = "other page sizes must not be mixed in";
		return;
	}
	from = mmap(NULL, 2 * c->p.page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	from[0] = 1;
	CHECK(mremap(from, 2 * c->p.page, 2 * c->p.page,
		     MREMAP_MAYMOVE | MREMAP_FIXED,
		     at(&c->p, 6)) == at(&c->p, 6));
	SAME(look(c->t, &c->p), P(6) | P(7));
	poke(&c->p, 7);
	SAME(look(c->t, &c->p), P(7));
}

static void wait_for(pid_t child)
{
	int status;

	SAME(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forked(struct ctx *c)
{
	pid_t child;

	if (c->p.kind == HUGE_PRIVATE && !child_may_write_huge()) {
		c->skip = "before 6.4 such a child hangs";
		return;
	}
	poke_all(&c->p);
	look(c->t, &c->p);
	poke(&c->p, 3);
	child = fork();
	if (child == 0) {
		for (unsigned i = 0; i < PAGES; i += 2)
			poke(&c->p, i); /* nobody has to let it go */
		_exit(0);
	}
	wait_for(child);
	SAME(look(c->t, &c->p), P(3));
	poke(&c->p, 5);
	poke(&c->p, 6);
	SAME(look(c->t, &c->p), P(5) | P(6));
}

static void in_child(struct ctx *c)
{
	pid_t child;

	poke(&c->p, 3);
	child = fork();
	if (child == 0) {
		struct uffd_written w;
		unsigned nr;
		bool good;

		good = uffd_track_collect(c->t, &w, 1, &nr) == -ECHILD &&
		       uffd_track_start(c->t) == -ECHILD &&
		       uffd_track_stop(c->t) == -ECHILD &&
		       uffd_track_add(c->t, 4096, 4096) == -ECHILD &&
		       uffd_track_remove(c->t, 4096) == -ECHILD &&
		       uffd_track_mark(c->t, 4096, 4096) == -ECHILD &&
		       uffd_track_release(c->t, 4096, 4096) == -ECHILD;
		uffd_track_free(c->t);
		_exit(!good);
	}
	wait_for(child);
	SAME(look(c->t, &c->p), P(3));
	poke(&c->p, 4);
	SAME(look(c->t, &c->p), P(4));
}

/* the documented limit, and its mend */
static void behind_its_back(struct ctx *c)
{
	char *alias;

	poke_all(&c->p);
	look(c->t, &c->p);
	alias = place_alias(&c->p);
	if (!alias) {
		c->skip = "this memory has no second mapping";
		return;
	}
	alias[3 * c->p.page] = 1;
	SAME(look(c->t, &c->p), 0);
	SAME(uffd_track_mark(c->t, addr(&c->p, 3), c->p.page), 0);
	SAME(look(c->t, &c->p), P(3));
	munmap(alias, c->p.len);
}

static void mixed(struct ctx *c)
{
	char *middle = at(&c->p, 8);

	if (is_huge(c->p.kind)) {
		c->skip = "other page sizes must not be mixed in";
		return;
	}
	uffd_track_remove(c->t, (uintptr_t)c->p.m);
	/* four mappings: two of this kind, split by another, one of them
	 * split by its protection */
	CHECK(mmap(middle, c->p.page, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == middle);
	SAME(mprotect(c->p.m, 4 * c->p.page, PROT_READ), 0);
	SAME(uffd_track_add(c->t, (uintptr_t)c->p.m, c->p.len), 0);
	for (unsigned i = 6; i < 11; i++)
		poke(&c->p, i);
	SAME(look(c->t, &c->p), 0x7c0);
	SAME(look(c->t, &c->p), 0);
}

static const struct many many[] = {
	{ "a discard counts as a write in private anonymous memory, and only "
	  "there", discarded },
	{ "so does one of pages never touched", discarded_untouched },
	{ "a hole punched by MADV_REMOVE is not seen, and can be marked",
	  removed },
	{ "mprotect changes nothing", protected },
	{ "what is unmapped is not reported, the rest is", unmapped },
	{ "what is mapped anew is reported whole, then tracked", mapped_anew },
	{ "what is moved away is not tracked, moved back it is", moved_away },
	{ "what is lifted away leaves written pages", lifted },
	{ "what is moved in is reported whole, then tracked", moved_in },
	{ "a child's writes are not seen, the parent's are", forked },
	{ "a child can't use its parent's tracker, only free it", in_child },
	{ "a write by another mapping is not seen, and can be marked",
	  behind_its_back },
	{ "several mappings of several kinds are one range", mixed },
};

int main(void)
{
	return keep_many(many, NR(many));
}
