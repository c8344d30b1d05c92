/* SPDX-License-Identifier: MIT */
#include "ops-list.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define MINOR UFFDIO_REGISTER_MODE_MINOR
#define WP UFFDIO_REGISTER_MODE_WP

#define PRIVATE (1u << OPS_PRIVATE)
#define MEMFD (1u << OPS_MEMFD_SHARED)
#define HUGETLB (1u << OPS_HUGETLB_2M)
#define THP (1u << OPS_THP)

/* Everything of one call, or the kernel lost a race: then the sample is
 * taken anew. */
static int whole(const struct ops_arena *a, int64_t n)
{
	if (n < 0)
		return (int)n;
	return (uint64_t)n == ops_call_len(a) ? 0 : -EAGAIN;
}

static uint64_t dst(const struct ops_arena *a, unsigned i)
{
	return a->region + ops_call_off(a, i);
}

static uint64_t src(const struct ops_arena *a, unsigned i)
{
	return a->source + ops_call_off(a, i);
}

/* ---- filling ---- */

static int before_fill(struct ops_arena *a)
{
	int err = ops_arena_empty(a);

	return err < 0 ? err : ops_arena_stamp_source(a);
}

static int call_copy(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_copy(a->uffd, dst(a, i),
				  (const void *)(uintptr_t)src(a, i),
				  ops_call_len(a), 0));
}

static int call_zeropage(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_zeropage(a->uffd, dst(a, i), ops_call_len(a), 0));
}

static int call_move(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_move(a->uffd, dst(a, i), src(a, i),
				  ops_call_len(a), 0));
}

static int call_continue(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_continue(a->uffd, dst(a, i), ops_call_len(a), 0));
}

/* ---- protecting ---- */

/* Released pages are still read-only to the processor until they are written;
 * protecting those again would be cheaper than it is in earnest. */
static int before_protect(struct ops_arena *a)
{
	int64_t n = uffd_writeprotect(a->uffd, a->region, a->len, 0);

	return n < 0 ? (int)n : ops_arena_stamp(a);
}

static int call_protect(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_writeprotect(a->uffd, dst(a, i), ops_call_len(a),
					  UFFDIO_WRITEPROTECT_MODE_WP));
}

/* ---- taking away ---- */

static int before_taking(struct ops_arena *a)
{
	int err = ops_arena_empty(a);

	return err < 0 ? err : ops_arena_fill(a);
}

static int call_drop(struct ops_arena *a, unsigned i)
{
	return uffd_drop(dst(a, i), ops_call_len(a));
}

static int call_advise(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_advise(a->ranges + i * a->shape.per_call,
				    a->shape.per_call, MADV_DONTNEED));
}

static int call_lift(struct ops_arena *a, unsigned i)
{
	return whole(a, uffd_lift(dst(a, i), a->place + ops_call_off(a, i),
				  ops_call_len(a)));
}

static int call_punch(struct ops_arena *a, unsigned i)
{
	return uffd_punch(a->memfd, ops_call_off(a, i), ops_call_len(a));
}

/* ---- which were written ---- */

/* A write to a huge page that is armed splits it, so there it takes new ones;
 * they count as written from the start. */
static int before_scan(struct ops_arena *a)
{
	int err = a->shape.memory == OPS_THP ? ops_arena_empty(a) : 0;

	a->found = 0;
	return err < 0 ? err : ops_arena_stamp(a);
}

static int64_t scan(const struct ops_arena *a, uint64_t start, uint64_t len)
{
	struct uffd_page_region vec[8];
	struct uffd_scan s;
	int64_t found = 0;
	int ret;

	uffd_scan_begin(&s, a->pagemap, start, start + len, PAGE_IS_WRITTEN,
			PM_SCAN_WP_MATCHING, vec, 8);
	while ((ret = uffd_scan_next(&s)) == 1)
		for (unsigned i = 0; i < s.nr; i++)
			found += (int64_t)(vec[i].end - vec[i].start);
	return ret < 0 ? ret : found;
}

static int call_scan(struct ops_arena *a, unsigned i)
{
	int64_t n = scan(a, dst(a, i), ops_call_len(a));

	if (n < 0)
		return (int)n;
	a->found += (uint64_t)n;
	return 0;
}

/* each page was reported, and each is armed again */
static int scanned(const struct ops_arena *a)
{
	int64_t left = scan(a, a->region, a->len);

	if (left < 0)
		return (int)left;
	if (left || a->found != a->len)
		return -EBADMSG;
	return ops_arena_holds(a);
}

static const struct ops_operation operations[OPS_NR_OP] = {
	[OPS_COPY] = {
		.name = "copy",
		.memories = PRIVATE | MEMFD | HUGETLB,
		.only = "COPY makes small pages only",
		.since = "Linux 4.3",
		.probe = LIBUFFD_OP_COPY,
		.modes = MISSING,
		.prepare = before_fill,
		.call = call_copy,
		.verify = ops_arena_holds,
	},
	[OPS_ZEROPAGE] = {
		.name = "zeropage",
		.memories = PRIVATE | MEMFD,
		.only = "ZEROPAGE makes small pages only",
		.since = "Linux 4.3, shared memory 4.14",
		.probe = LIBUFFD_OP_ZEROPAGE,
		.modes = MISSING,
		.prepare = ops_arena_empty,
		.call = call_zeropage,
		.verify = ops_arena_holds_zeros,
	},
	[OPS_MOVE] = {
		.name = "move",
		.memories = PRIVATE | THP,
		.only = "only private memory can be moved",
		.since = "Linux 6.8",
		.probe = LIBUFFD_OP_MOVE,
		.modes = MISSING,
		.features = UFFD_FEATURE_MOVE,
		.prepare = before_fill,
		.call = call_move,
		.verify = ops_arena_holds,
	},
	[OPS_CONTINUE] = {
		.name = "continue",
		.memories = MEMFD | HUGETLB,
		.only = "private memory has no page cache",
		.since = "Linux 5.13, shared memory 5.14",
		.probe = LIBUFFD_OP_CONTINUE,
		.modes = MINOR,
		.prepare = ops_arena_cache,
		.call = call_continue,
		.verify = ops_arena_holds,
	},
	[OPS_WRITEPROTECT] = {
		.name = "writeprotect",
		.memories = PRIVATE | MEMFD | HUGETLB | THP,
		.since = "Linux 5.7, other than private memory 5.19",
		.probe = LIBUFFD_OP_WP,
		.modes = WP,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		.prepare = before_protect,
		.call = call_protect,
		.verify = ops_arena_holds_protected,
	},
	[OPS_DONTNEED] = {
		.name = "dontneed",
		.memories = PRIVATE | MEMFD | HUGETLB | THP,
		.since = "Linux 2.4, hugetlb 5.18",
		.probe = LIBUFFD_OP_COPY,
		.modes = MISSING,
		.prepare = before_taking,
		.call = call_drop,
		.verify = ops_arena_is_gone,
	},
	[OPS_PROCESS_MADVISE] = {
		.name = "process_madvise",
		.memories = PRIVATE | MEMFD | HUGETLB,
		.only = "scattered pages would split every huge one",
		.since = "for this advice about Linux 6.13",
		.probe = LIBUFFD_OP_COPY,
		.modes = MISSING,
		.scattered = true,
		.prepare = before_taking,
		.call = call_advise,
		.verify = ops_arena_is_gone,
	},
	[OPS_LIFT] = {
		.name = "lift",
		.memories = PRIVATE | MEMFD | THP,
		.only = "hugetlb memory can't be lifted",
		.since = "Linux 5.7, shared memory 5.13",
		.probe = LIBUFFD_OP_LIFT,
		.modes = MISSING,
		.prepare = before_taking,
		.call = call_lift,
		.verify = ops_arena_is_lifted,
	},
	[OPS_PUNCH] = {
		.name = "punch",
		.memories = MEMFD | HUGETLB,
		.only = "private memory has no file to punch",
		.since = "Linux 3.5, hugetlb 4.3",
		.probe = LIBUFFD_OP_COPY,
		.prepare = ops_arena_cache,
		.call = call_punch,
		.verify = ops_arena_is_punched,
	},
	[OPS_PAGEMAP_SCAN] = {
		.name = "pagemap_scan",
		.memories = PRIVATE | MEMFD | HUGETLB | THP,
		.since = "Linux 6.7",
		.probe = LIBUFFD_OP_WP_ASYNC,
		.modes = WP,
		.features = UFFD_FEATURE_WP_ASYNC,
		.prepare = before_scan,
		.call = call_scan,
		.verify = scanned,
	},
};

const struct ops_operation *ops_operation(enum ops_op op)
{
	return &operations[op];
}

const char *ops_op_name(unsigned op)
{
	return op < OPS_NR_OP ? operations[op].name : NULL;
}
