/* SPDX-License-Identifier: MIT */
/* Requests in flight, of a store that can submit. */
#ifndef LIB_STORE_FLIGHT_H
#define LIB_STORE_FLIGHT_H

#include <stdbool.h>

struct flight;
struct uffd_store;

/* NULL: out of memory. */
struct flight *flight_new(struct uffd_store *s);
/* NULL is fine. Nothing is in flight. */
void flight_free(struct flight *f);

/* Dispatch until nothing is in flight; false: the store fell silent. */
bool flight_end(struct flight *f);

/* The store is closed: what it has not answered gets -ECANCELED. */
void flight_cancel(struct flight *f);

/* Where this thread notes which store's code it runs; for check.c, as it is
 * flight.c that has a thread's notes. */
const struct uffd_store **flight_entered(void);

#endif
