/* SPDX-License-Identifier: MIT */
/*
 * `uffd bench` is two programs: what a fault costs (bench.c and its helpers)
 * and, as `uffd bench ops`, what a single operation costs (bench-ops.c).
 */
#ifndef TOOL_BENCH_H
#define TOOL_BENCH_H

/* argv[0] is "uffd bench ops". Returns the exit status. */
int bench_ops(int argc, char **argv);

#endif
