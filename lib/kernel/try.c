/* SPDX-License-Identifier: MIT */
/*
 * What works here, found out by doing it.
 */
#include "../public.h"
#include "sys.h"
#include "try.h"

static const char *const memory_names[LIBUFFD_NR_MEM] = {
	[LIBUFFD_MEM_PRIVATE] = "private",
	[LIBUFFD_MEM_SHARED] = "shared",
	[LIBUFFD_MEM_MEMFD_SHARED] = "memfd-shared",
	[LIBUFFD_MEM_MEMFD_PRIVATE] = "memfd-private",
	[LIBUFFD_MEM_HUGETLB_2M] = "hugetlb-2m",
	[LIBUFFD_MEM_HUGETLB_1G] = "hugetlb-1g",
	[LIBUFFD_MEM_FILE] = "file",
};

static const struct {
	const char *name;
	int (*run)(const struct scratch *s);
	unsigned nr_pages;
} ops[LIBUFFD_NR_OP] = {
	[LIBUFFD_OP_MISSING] = { "missing", try_missing, 1 },
	[LIBUFFD_OP_MINOR] = { "minor", try_minor, 1 },
	[LIBUFFD_OP_WP] = { "wp", try_wp, 1 },
	[LIBUFFD_OP_WP_ASYNC] = { "wp-async", try_wp_async, 1 },
	[LIBUFFD_OP_COPY] = { "copy", try_copy, 1 },
	[LIBUFFD_OP_ZEROPAGE] = { "zeropage", try_zeropage, 1 },
	[LIBUFFD_OP_CONTINUE] = { "continue", try_continue, 1 },
	[LIBUFFD_OP_MOVE] = { "move", try_move, 2 },
	[LIBUFFD_OP_POISON] = { "poison", try_poison, 1 },
	[LIBUFFD_OP_RWP] = { "rwp", try_rwp, 1 },
	[LIBUFFD_OP_SIGBUS] = { "sigbus", try_sigbus, 1 },
	[LIBUFFD_OP_LIFT] = { "lift", try_lift, 1 },
};

PUBLIC const char *uffd_memory_name(enum uffd_memory memory)
{
	const unsigned n = (unsigned)memory;

	return n < LIBUFFD_NR_MEM ? memory_names[n] : NULL;
}

PUBLIC const char *uffd_op_name(enum uffd_op op)
{
	const unsigned n = (unsigned)op;

	return n < LIBUFFD_NR_OP ? ops[n].name : NULL;
}

int try_verdict(int64_t err)
{
	switch (err) {
	case -EINVAL:
	case -EOPNOTSUPP:
	case -ENOTTY:
	case -ENOENT:
	case -EFAULT:
	case -EEXIST:
		return 0;
	default:
		return (int)err;
	}
}

int try_open(uint64_t features)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = features,
	};

	return uffd_open(&opts, NULL);
}

PUBLIC int uffd_try(enum uffd_memory memory, enum uffd_op op)
{
	struct scratch s;
	int ret;

	if (!uffd_memory_name(memory) || !uffd_op_name(op))
		return -EINVAL;
	ret = scratch_open(&s, memory, ops[op].nr_pages);
	if (ret < 0)
		return ret;
	ret = ops[op].run(&s);
	scratch_close(&s);
	return ret;
}
