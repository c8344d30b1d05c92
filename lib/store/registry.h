/* SPDX-License-Identifier: MIT */
/* The stores that this process knows. */
#ifndef LIB_STORE_REGISTRY_H
#define LIB_STORE_REGISTRY_H

#include <uffd/store.h>

/* ours */
extern const struct uffd_store_ops zero_ops, memory_ops, file_ops;
extern const struct uffd_store_ops delay_ops, error_ops, retry_ops, cache_ops;

/* The known store that answers to this scheme, or NULL. */
const struct uffd_store_ops *registry_find(const char *scheme);

/* Is it of this library's version, and complete? 0, or -ENOEXEC and a reason.
 */
int ops_check(const struct uffd_store_ops *ops, struct uffd_reason *reason);

/* The table as this library knows it: members that it lacks are NULL. */
void ops_take(struct uffd_store_ops *ret, const struct uffd_store_ops *ops);

/* Does it answer to this scheme? */
bool ops_answers(const struct uffd_store_ops *ops, const char *scheme);

#endif
