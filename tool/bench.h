/* SPDX-License-Identifier: MIT */
/*
 * `uffd bench` is three programs: what a fault costs (bench.c and its helpers),
 * as `uffd bench ops` what a single operation costs (bench-ops.c), and as
 * `uffd bench paging` what paging costs (bench-paging.c).
 */
#ifndef TOOL_BENCH_H
#define TOOL_BENCH_H

/* argv[0] is "uffd bench ops". Returns the exit status. */
int bench_ops(int argc, char **argv);

/* The same for "uffd bench paging". */
int bench_paging(int argc, char **argv);

#endif
