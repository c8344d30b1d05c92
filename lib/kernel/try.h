/* SPDX-License-Identifier: MIT */
/*
 * Inside uffd_try(): scratch memory, and one function for each operation.
 * All of them return as uffd_try does: 1 works, 0 this kernel can't, -errno
 * could not be tried.
 */
#ifndef LIB_KERNEL_TRY_H
#define LIB_KERNEL_TRY_H

#include <stdint.h>
#include <uffd/kernel.h>

/* nothing here takes longer, not even clearing a page of 1 GiB */
#define TRY_LIMIT_MS 10000

/* what is written to pages, to be found again */
#define TRY_MARK 0x5a

/* pages of some kind of memory, none of them there yet */
struct scratch {
	enum uffd_memory memory;
	uint64_t start;
	uint64_t page_size;
	uint64_t len;
	int fd;		/* of the file behind it, or -1 */
};

/* Map nr_pages. 0 or -errno, for uffd_try to return. */
int scratch_open(struct scratch *s, enum uffd_memory memory, unsigned nr_pages);
void scratch_close(struct scratch *s);

/*
 * Read or write one byte, through a system call: memory that has no answer
 * gives -EFAULT and no signal. Whoever calls this on registered memory must
 * have it registered with a descriptor that has UFFD_FEATURE_SIGBUS on, or
 * the call would wait for ever.
 */
int scratch_peek(uint64_t addr);		/* 0..255 or -EFAULT */
int scratch_poke(uint64_t addr, uint8_t value);	/* 0 or -EFAULT */

/* Write the mark to both ends of a page that is not registered: 0 or -errno,
 * -ENOMEM where the page can't be had. */
int scratch_mark(const struct scratch *s, uint64_t page);

/* Does the page hold this byte at both its ends? 1, 0 or -errno. */
int scratch_holds(const struct scratch *s, uint64_t page, uint8_t value);

/* Put the mark into the page cache behind the first page, leaving the page
 * unmapped. 0 or -errno. Where no page cache is behind it, nothing is done. */
int scratch_cache(const struct scratch *s);

/* Reserve addresses, aligned to align; release with sys_munmap. */
int scratch_reserve(uint64_t len, uint64_t align, uint64_t *ret);

/* "This kernel can't" as 0, "could not be tried" as it is. */
int try_verdict(int64_t err);

/* A descriptor with these features: >= 0, or -errno for try_verdict. */
int try_open(uint64_t features);

/* try-fill.c */
int try_copy(const struct scratch *s);
int try_zeropage(const struct scratch *s);
int try_continue(const struct scratch *s);
int try_move(const struct scratch *s);
int try_poison(const struct scratch *s);

/* try-other.c */
int try_wp_async(const struct scratch *s);
int try_lift(const struct scratch *s);

/* try-fault.c */
int try_missing(const struct scratch *s);
int try_minor(const struct scratch *s);
int try_wp(const struct scratch *s);
int try_rwp(const struct scratch *s);
int try_sigbus(const struct scratch *s);

#endif
