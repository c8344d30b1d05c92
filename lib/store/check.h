/* SPDX-License-Identifier: MIT */
/*
 * A build with checks (-Dcheck-stores) stops at a store that breaks its
 * contract, and says which and how. That is the one place where this library
 * writes to standard error and aborts: it is for who writes stores. Other
 * builds do with it what is harmless.
 */
#ifndef LIB_STORE_CHECK_H
#define LIB_STORE_CHECK_H

#include "inside.h"

#ifdef CHECK_STORES

/* Say it in one line, and abort. */
_Noreturn void check_broken(const struct uffd_store *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The store whose code this thread runs, or NULL: whoever handles a fault asks
 * it, as a store must not touch a region that it serves. */
const struct uffd_store *check_entered(void);

/* This thread goes into a store's code; returns what it was in before, which
 * check_leave takes. */
const struct uffd_store *check_enter(const struct uffd_store *s);
void check_leave(const struct uffd_store *s, const struct uffd_store *before,
		 int answer);

/* ops.read and ops.write, with a buffer that shows what is done to it */
int check_read(struct uffd_store *s, uint64_t offset, void *buf, size_t len);
int check_write(struct uffd_store *s, uint64_t offset, const void *buf,
		size_t len);

#else

static inline void check_broken(const struct uffd_store *s, const char *format,
				...)
{
	(void)s;
	(void)format;
}

static inline const struct uffd_store *check_entered(void)
{
	return NULL;
}

static inline const struct uffd_store *check_enter(const struct uffd_store *s)
{
	(void)s;
	return NULL;
}

static inline void check_leave(const struct uffd_store *s,
			       const struct uffd_store *before, int answer)
{
	(void)s;
	(void)before;
	(void)answer;
}

static inline int check_read(struct uffd_store *s, uint64_t offset, void *buf,
			     size_t len)
{
	return s->ops.read(s->state, offset, buf, len);
}

static inline int check_write(struct uffd_store *s, uint64_t offset,
			      const void *buf, size_t len)
{
	return s->ops.write(s->state, offset, buf, len);
}

#endif
#endif
