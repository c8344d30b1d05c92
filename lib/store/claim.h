/* SPDX-License-Identifier: MIT */
/*
 * Who writes to which part of a store by way of memory. Two such views of the
 * same bytes would not see each other.
 */
#ifndef LIB_STORE_CLAIM_H
#define LIB_STORE_CLAIM_H

#include <uffd/store.h>

/* Lies in the memory of whoever claims. */
struct store_claim {
	struct uffd_store *store;	/* NULL: claims nothing */
	struct store_claim *next;
	uint64_t offset, len;
};

/* Claim [offset, +len) until store_release; -EBUSY: part of it is claimed. */
int store_claim(struct uffd_store *s, uint64_t offset, uint64_t len,
		struct store_claim *claim);
/* One that claims nothing is fine. */
void store_release(struct store_claim *claim);

#endif
