/* SPDX-License-Identifier: MIT */
/*
 * COPY makes small pages, whatever the mapping. A transparent huge page is had
 * by filling one elsewhere and moving it in whole (UFFDIO_MOVE moves a page
 * table entry of 2 MiB as one, if both sides are aligned).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "pager.h"

#define HUGE LIBUFFD_PAGE_MOST

/* The staging area's own lock: one such page is filled at a time. */
static void *staging(struct uffd_pager *p)
{
	uint8_t *at;

	if (p->staging)
		return p->staging;
	at = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	p->staging_mapped = at;
	p->staging = (void *)(((uintptr_t)at + HUGE - 1) / HUGE * HUGE);
	madvise(p->staging, HUGE, MADV_HUGEPAGE);
	madvise(p->staging, HUGE, MADV_DONTFORK);
	return p->staging;
}

static int move_in(struct uffd_pager *p, uint64_t addr, void *from, bool reader)
{
	unsigned tries = 0;
	int64_t n;

	do {
		n = uffd_move(p->fd, addr, (uintptr_t)from, HUGE, 0);
		if (n != -EAGAIN && n != -EINPROGRESS)
			break;
		if (reader)
			return -EWOULDBLOCK;
		word_pause(&tries);
	} while (true);
	if (n == (int64_t)HUGE)
		return 0;
	/* some of it may have gone: start afresh, by other means */
	madvise(from, HUGE, MADV_DONTNEED);
	if (n > 0)
		madvise((void *)(uintptr_t)addr, (size_t)n, MADV_DONTNEED);
	return -EOPNOTSUPP;
}

int huge_install(struct uffd_pager *p, uint64_t addr, const void *bytes,
		 bool reader)
{
	void *at;
	int err = -EOPNOTSUPP;

	if (!p->can_move)
		return err;
	if (reader && !lock_try(&p->staging_lock))
		return -EWOULDBLOCK;
	if (!reader)
		lock_take(&p->staging_lock);
	at = staging(p);
	if (at) {
		if (bytes)
			memcpy(at, bytes, HUGE);
		else
			memset(at, 0, HUGE);
		err = move_in(p, addr, at, reader);
	}
	lock_drop(&p->staging_lock);
	return err;
}
