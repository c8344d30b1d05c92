/* SPDX-License-Identifier: MIT */
/*
 * Why an operation does not work on a kind of memory, and what does instead.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "info.h"

#define OP(name) (1u << LIBUFFD_OP_##name)
#define MEM(name) (1u << LIBUFFD_MEM_##name)

#define ALL_OPS ((1u << LIBUFFD_NR_OP) - 1)
#define PRIVATE MEM(PRIVATE)
#define SHARED (MEM(SHARED) | MEM(MEMFD_SHARED) | MEM(MEMFD_PRIVATE))
#define HUGE (MEM(HUGETLB_2M) | MEM(HUGETLB_1G))
#define ANY ((1u << LIBUFFD_NR_MEM) - 1)

/*
 * One line is told for each of these that has a "no" within. Where a feature
 * stands for it that the kernel lacks, that has been told already. The first
 * that fits a place counts; the last one fits all.
 */
static const struct rule {
	unsigned ops;
	unsigned memory;
	uint64_t feature;	/* UFFD_FEATURE_*, or 0 */
	const char *how;
	bool never;
} rules[] = {
#define NEVER(ops, memory, how) { ops, memory, 0, how, true }
	NEVER(ALL_OPS & ~(OP(WP_ASYNC) | OP(LIFT)), MEM(FILE),
	      "serve a copy in other memory; wp-async tracks writes to the "
	      "file itself"),
	NEVER(OP(MINOR) | OP(CONTINUE), PRIVATE,
	      "they need a page cache; use missing, copy, move"),
	NEVER(OP(MOVE), SHARED | HUGE,
	      "use continue, which does not copy either"),
	NEVER(OP(ZEROPAGE), HUGE, "copy a page of zeros"),
	NEVER(OP(LIFT), HUGE, "copy out, then drop (MADV_DONTNEED)"),

#define FEATURE(ops, memory, feature) \
	{ ops, memory, UFFD_FEATURE_##feature, NULL, false }
	FEATURE(OP(MISSING) | OP(COPY), SHARED, MISSING_SHMEM),
	FEATURE(OP(MISSING) | OP(COPY), HUGE, MISSING_HUGETLBFS),
	FEATURE(OP(WP), PRIVATE, PAGEFAULT_FLAG_WP),
	FEATURE(OP(WP), SHARED | HUGE, WP_HUGETLBFS_SHMEM),
	FEATURE(OP(WP_ASYNC), ANY, WP_ASYNC),
	FEATURE(OP(MINOR) | OP(CONTINUE), SHARED, MINOR_SHMEM),
	FEATURE(OP(MINOR) | OP(CONTINUE), HUGE, MINOR_HUGETLBFS),
	FEATURE(OP(MOVE), PRIVATE, MOVE),
	FEATURE(OP(POISON), ANY, POISON),
	FEATURE(OP(RWP), ANY, RWP),
	FEATURE(OP(SIGBUS), ANY, SIGBUS),

#define SINCE(ops, memory, kernel) \
	{ ops, memory, 0, "Linux " kernel " brought it", false }
	SINCE(OP(MISSING) | OP(COPY) | OP(ZEROPAGE), PRIVATE, "4.3"),
	SINCE(OP(ZEROPAGE), SHARED, "4.14"),
	SINCE(OP(LIFT), PRIVATE, "5.7"),
	SINCE(OP(LIFT), ANY, "5.13"),
	{ ALL_OPS, ANY, 0, "why is not known to this version of uffd", false },
};

static bool has(unsigned mask, unsigned bit)
{
	return mask >> bit & 1;
}

static void add_name(char *list, size_t size, const char *name)
{
	const size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s", len ? ", " : "", name);
}

static void add_ops(char *list, size_t size, unsigned ops)
{
	for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++)
		if (has(ops, op))
			add_name(list, size, uffd_op_name(op));
}

/* "minor, continue on private", "all but lift on file", "file" */
static void place_name(char *ret, size_t size, unsigned ops, unsigned memory)
{
	const bool most = __builtin_popcount(ops) > LIBUFFD_NR_OP / 2;
	char which[96] = "", where[96] = "";

	add_ops(which, sizeof(which), most ? ALL_OPS & ~ops : ops);
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++)
		if (has(memory, m))
			add_name(where, sizeof(where), uffd_memory_name(m));
	if (ops == ALL_OPS)
		snprintf(ret, size, "%s", where);
	else
		snprintf(ret, size, "%s%s on %s", most ? "all but " : "",
			 which, where);
}

static const struct rule *find_rule(enum uffd_memory m, enum uffd_op op)
{
	const struct rule *r = rules;

	while (!has(r->ops, op) || !has(r->memory, m))
		r++;
	return r;
}

/* All places with a "no" that this rule is the first to fit. */
static void miss_by_rule(struct info *info, const struct rule *r)
{
	char what[INFO_WHAT_SIZE];
	unsigned ops = 0, memory = 0;

	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++) {
		for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++) {
			if (info->tried[m][op] == 0 && find_rule(m, op) == r) {
				ops |= 1u << op;
				memory |= 1u << m;
			}
		}
	}
	if (!ops || (r->feature && !(info->supported & r->feature)))
		return;
	place_name(what, sizeof(what), ops, memory);
	info_add_missing(info, what, "%s", r->how ? r->how :
			 "the kernel says it can, and can't")->never = r->never;
}

static void reserve_2m(struct info *info, const char *what)
{
	info_add_missing(info, what, "no page of 2 MiB is free. As root: "
			 "sysctl vm.nr_hugepages=64; to make it "
			 "last: vm.nr_hugepages=64 in "
			 "/etc/sysctl.d/60-hugepages.conf");
}

static void reserve_1g(struct info *info, const char *what)
{
	info_add_missing(info, what, "no page of 1 GiB is free. As root: "
			 "echo 2 > /sys/kernel/mm/hugepages/"
			 "hugepages-1048576kB/nr_hugepages; or, surer, with "
			 "the kernel arguments hugepagesz=1G hugepages=2");
}

static void miss_untried(struct info *info, const char *what,
			 enum uffd_memory m, int err)
{
	if (m == LIBUFFD_MEM_HUGETLB_2M && err == -ENOMEM)
		reserve_2m(info, what);
	else if (m == LIBUFFD_MEM_HUGETLB_1G && err == -ENOMEM)
		reserve_1g(info, what);
	else if (m == LIBUFFD_MEM_HUGETLB_1G && err == -ENOENT)
		info_add_missing(info, what, "no pages of 1 GiB here: the "
				 "processor needs them (pdpe1gb in "
				 "/proc/cpuinfo; a virtual machine may hide "
				 "it), the kernel CONFIG_HUGETLBFS");
	else if (m == LIBUFFD_MEM_HUGETLB_2M && err == -ENOENT)
		info_add_missing(info, what, "no pages of 2 MiB here: the "
				 "kernel needs CONFIG_HUGETLBFS");
	else if (m == LIBUFFD_MEM_FILE && err == -ENOENT)
		info_add_missing(info, what, "no file could be made on a disk: "
				 "set TMPDIR to a folder that is on one");
	else
		info_add_missing(info, what, "could not be tried: %s",
				 strerror(-err));
}

/* One line for each reason why operations could not be tried on a memory. */
static void miss_by_error(struct info *info, enum uffd_memory m)
{
	const int *tried = info->tried[m];
	unsigned told = 0;

	for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++) {
		char what[INFO_WHAT_SIZE];
		unsigned same = 0;

		if (tried[op] >= 0 || has(told, op))
			continue;
		for (enum uffd_op o = op; o < LIBUFFD_NR_OP; o++)
			if (tried[o] == tried[op])
				same |= 1u << o;
		told |= same;
		/* Why nothing can be opened has been told. */
		if (info->open_err < 0 && tried[op] == info->open_err)
			continue;
		place_name(what, sizeof(what), same, 1u << m);
		miss_untried(info, what, m, tried[op]);
	}
}

void info_find_missing_memory(struct info *info)
{
	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		miss_by_rule(info, &rules[i]);
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++)
		miss_by_error(info, m);
}
