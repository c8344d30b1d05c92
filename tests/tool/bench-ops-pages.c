/* SPDX-License-Identifier: MIT */
/*
 * `uffd bench ops` looks at every page after an operation. Does it see what
 * is wrong?
 */
#include <errno.h>
#include <stdint.h>

#include <uffd/kernel.h>

#include "bench/ops-list.h"
#include "tests/seam/promise.h"

#define PAGES 8u

/* one pass of an operation, and memory as it left it */
static bool done(enum ops_op op, enum ops_memory memory, struct ops_arena *a)
{
	const struct ops_operation *o = ops_operation(op);
	const struct ops_shape shape = {
		.memory = memory,
		.features = o->features,
		.modes = o->modes,
		.per_call = PAGES / 2,
		.calls = 2,
		.scattered = o->scattered,
	};

	if (!SAME(ops_arena_open(a, &shape), 0))
		return false;
	a->pass = 1;
	SAME(o->prepare(a), 0);
	SAME(o->call(a, 0), 0);
	SAME(o->call(a, 1), 0);
	if (SAME(o->verify(a), 0))
		return true;
	ops_arena_close(a);
	return false;
}

static void spoil(uint64_t page, uint64_t off)
{
	*(volatile uint8_t *)(uintptr_t)(page + off) ^= 1;
}

static void wrong_bytes(void)
{
	struct ops_arena a;

	if (!done(OPS_COPY, OPS_PRIVATE, &a))
		return;
	spoil(ops_page_at(&a, 5), 0);
	SAME(ops_arena_holds(&a), -EBADMSG);
	spoil(ops_page_at(&a, 5), 0);
	SAME(ops_arena_holds(&a), 0);
	spoil(ops_page_at(&a, 7), a.page - 1);
	SAME(ops_arena_holds(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void old_bytes(void)
{
	struct ops_arena a;

	if (!done(OPS_COPY, OPS_MEMFD_SHARED, &a))
		return;
	a.pass++;
	SAME(ops_arena_holds(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void missing_page(void)
{
	struct ops_arena a;

	if (!done(OPS_COPY, OPS_PRIVATE, &a))
		return;
	SAME(uffd_drop(ops_page_at(&a, 3), a.page), 0);
	SAME(ops_arena_holds(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void not_zero(void)
{
	struct ops_arena a;

	if (!done(OPS_ZEROPAGE, OPS_MEMFD_SHARED, &a))
		return;
	spoil(ops_page_at(&a, 0), 0);
	SAME(ops_arena_holds_zeros(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void unprotected(void)
{
	struct ops_arena a;

	if (!done(OPS_WRITEPROTECT, OPS_PRIVATE, &a))
		return;
	SAME(uffd_writeprotect(a.uffd, ops_page_at(&a, 6), a.page, 0), a.page);
	SAME(ops_arena_holds(&a), 0);
	SAME(ops_arena_holds_protected(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void left_over(void)
{
	struct ops_arena a;

	if (!done(OPS_PROCESS_MADVISE, OPS_PRIVATE, &a))
		return;
	SAME(uffd_zeropage(a.uffd, ops_page_at(&a, 2), a.page, 0), a.page);
	SAME(ops_arena_is_gone(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void lost_by_lifting(void)
{
	struct ops_arena a;

	if (!done(OPS_LIFT, OPS_PRIVATE, &a))
		return;
	spoil(a.place, 0);
	SAME(ops_arena_is_lifted(&a), -EBADMSG);
	spoil(a.place, 0);
	SAME(ops_arena_is_lifted(&a), 0);
	SAME(uffd_drop(a.place, a.page), 0);
	SAME(ops_arena_is_lifted(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void not_punched(void)
{
	struct ops_arena a;

	if (!done(OPS_PUNCH, OPS_MEMFD_SHARED, &a))
		return;
	spoil(ops_page_at(&a, 4), 0);
	SAME(ops_arena_is_punched(&a), -EBADMSG);
	ops_arena_close(&a);
}

static void not_reported(void)
{
	const struct ops_operation *o = ops_operation(OPS_PAGEMAP_SCAN);
	struct ops_arena a;

	if (!done(OPS_PAGEMAP_SCAN, OPS_PRIVATE, &a))
		return;
	a.found -= a.page;
	SAME(o->verify(&a), -EBADMSG);
	a.found += a.page;
	SAME(o->verify(&a), 0);
	/* written again, and so not armed any more */
	spoil(ops_page_at(&a, 1), 8);
	SAME(o->verify(&a), -EBADMSG);
	ops_arena_close(&a);
}

static const struct promise promises[] = {
	{ "a wrong byte at either end of a page is seen", wrong_bytes },
	{ "a page of the pass before is seen", old_bytes },
	{ "a page that is not there is seen", missing_page },
	{ "a page that is not zero is seen", not_zero },
	{ "a page that is not protected is seen", unprotected },
	{ "a page that was not taken away is seen", left_over },
	{ "a page that was lifted but lost is seen", lost_by_lifting },
	{ "a page that is still in its file is seen", not_punched },
	{ "a page that scanning left out is seen", not_reported },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
