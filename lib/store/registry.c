/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "../public.h"
#include "reason.h"
#include "registry.h"

#define KNOWN_MAX 64

static const struct uffd_store_ops *const built_in[] = {
	&zero_ops,  &memory_ops, &file_ops,  &delay_ops,
	&error_ops, &retry_ops,	 &cache_ops,
};

#define NR_BUILT_IN (sizeof(built_in) / sizeof(built_in[0]))

/*
 * What was added. It belongs to the process, as loaded code does. Places are
 * filled from the first to the last and never emptied, so who finds a free one
 * has seen all names before it.
 */
static const struct uffd_store_ops *_Atomic added[KNOWN_MAX - NR_BUILT_IN];

PUBLIC const struct uffd_store_ops *uffd_store_known(unsigned n)
{
	if (n < NR_BUILT_IN)
		return built_in[n];
	return n < KNOWN_MAX ? atomic_load(&added[n - NR_BUILT_IN]) : NULL;
}

void ops_take(struct uffd_store_ops *ret, const struct uffd_store_ops *ops)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, ops, ops->sz < sizeof(*ret) ? ops->sz : sizeof(*ret));
}

bool ops_answers(const struct uffd_store_ops *ops, const char *scheme)
{
	struct uffd_store_ops mine;

	ops_take(&mine, ops);
	if (!strcmp(mine.name, scheme))
		return true;
	for (unsigned i = 0; mine.also && mine.also[i]; i++)
		if (!strcmp(mine.also[i], scheme))
			return true;
	return false;
}

const struct uffd_store_ops *registry_find(const char *scheme)
{
	const struct uffd_store_ops *ops;

	for (unsigned n = 0; (ops = uffd_store_known(n)); n++)
		if (ops_answers(ops, scheme))
			return ops;
	return NULL;
}

int ops_check(const struct uffd_store_ops *ops, struct uffd_reason *reason)
{
	if (ops->sz < offsetof(struct uffd_store_ops, write))
		return reason_give(reason, -ENOEXEC,
				   "its table is too short: %zu bytes",
				   ops->sz);
	if (ops->api != LIBUFFD_STORE_API)
		return reason_give(reason, -ENOEXEC,
				   "it is of version %u, this libuffd takes %u",
				   ops->api, LIBUFFD_STORE_API);
	if (!ops->name || !ops->name[0])
		return reason_give(reason, -ENOEXEC, "it has no name");
	if (!ops->open || !ops->close || !ops->length || !ops->read)
		return reason_give(reason, -ENOEXEC, "it lacks open, close, "
				   "length or read");
	return 0;
}

PUBLIC int uffd_store_add(const struct uffd_store_ops *ops)
{
	int err = ops_check(ops, NULL);

	if (err)
		return err;
	for (unsigned n = 0; n < KNOWN_MAX; n++) {
		const struct uffd_store_ops *other = uffd_store_known(n);

		if (!other && atomic_compare_exchange_strong(
				      &added[n - NR_BUILT_IN], &other, ops))
			return 0;
		if (ops_answers(other, ops->name))
			return -EEXIST;
	}
	return -ENOSPC;
}
