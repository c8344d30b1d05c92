/* SPDX-License-Identifier: MIT */
/*
 * What the command line of `uffd bench` asks for.
 */
#ifndef TOOL_BENCH_OPTIONS_H
#define TOOL_BENCH_OPTIONS_H

#include "bench/bench.h"

enum bench_format { BENCH_TABLE, BENCH_JSON, BENCH_CSV };

struct bench_options {
	struct bench_plan plan;
	enum bench_format format;
	const char *raw;	/* file names in argv, or NULL */
	const char *plot;
};

enum bench_parsed {
	BENCH_GO,
	BENCH_BAD,		/* one line was said on standard error */
	BENCH_TOLD,		/* --help and the like: printed, done */
};

enum bench_parsed bench_options_parse(int argc, char **argv,
				      struct bench_options *ret);

#endif
