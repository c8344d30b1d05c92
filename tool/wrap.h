/* SPDX-License-Identifier: MIT */
#ifndef TOOL_WRAP_H
#define TOOL_WRAP_H

/*
 * Print text and a newline on standard output, broken between words to stay
 * within 80 columns. The first line begins at column `at`, where the caller
 * has printed up to already; the others are indented by `indent`.
 */
void print_wrapped(unsigned at, unsigned indent, const char *text);

#endif
