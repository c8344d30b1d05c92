/* SPDX-License-Identifier: MIT */
/*
 * The verbs of `uffd`. Each gets its own argv, argv[0] being "uffd VERB", and
 * returns the exit status: 0, or 1 after one line on standard error.
 */
#ifndef TOOL_VERB_H
#define TOOL_VERB_H

struct verb {
	const char *name;
	const char *what;	/* one line for `uffd --help` */
	int (*run)(int argc, char **argv);
};

int bench_run(int argc, char **argv);
int info_run(int argc, char **argv);

#endif
