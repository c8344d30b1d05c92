/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "claim.h"
#include "inside.h"

int store_claim(struct uffd_store *s, uint64_t offset, uint64_t len,
		struct store_claim *claim)
{
	int err = 0;

	lock_take(&s->claims_lock);
	for (const struct store_claim *c = s->claims; c && !err; c = c->next)
		if (offset < c->offset + c->len && c->offset < offset + len)
			err = -EBUSY;
	if (!err) {
		*claim = (struct store_claim){ s, s->claims, offset, len };
		s->claims = claim;
	}
	lock_drop(&s->claims_lock);
	return err;
}

void store_release(struct store_claim *claim)
{
	struct uffd_store *s = claim->store;
	struct store_claim **at;

	if (!s)
		return;
	lock_take(&s->claims_lock);
	for (at = &s->claims; *at != claim;)
		at = &(*at)->next;
	*at = claim->next;
	lock_drop(&s->claims_lock);
	claim->store = NULL;
}
