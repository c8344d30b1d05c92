/* SPDX-License-Identifier: MIT */
/*
 * Files that appear whole or not at all: written beside their place under
 * another name, then renamed. What is there and is no regular file (a pipe, a
 * device) is written to as it is.
 */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include <signal.h>
#include <stdio.h>

struct output {
	FILE *file;
	char *path;		/* where it goes in the end */
	char *temp;		/* where it is now; NULL: written in place */
	sigset_t signals;	/* as they were before */
};

/* Can this file be written? Leaves nothing behind. 0 or -errno. */
int output_check(const char *path);

/* Begin. Signals that end the program wait until output_end. 0 or -errno. */
int output_begin(struct output *o, const char *path);

/* Put it in its place, or, if err is not 0 or something could not be written,
 * throw it away. 0 or -errno, err first. */
int output_end(struct output *o, int err);

#endif
