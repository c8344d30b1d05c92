/* SPDX-License-Identifier: MIT */
/*
 * What the tool says when something is wrong: one line, "uffd VERB: ...".
 */
#ifndef TOOL_SAY_H
#define TOOL_SAY_H

/* Print "PROGRAM: message" and a newline on standard error. Returns 1, the
 * exit status of a failure. */
int say_error(const char *program, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Flush and check standard output: a full disk or a closed pipe must not pass
 * for success. Returns status, or 1 after one line if the output was lost.
 */
int finish_output(const char *program, int status);

#endif
