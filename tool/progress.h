/* SPDX-License-Identifier: MIT */
/*
 * A bar on standard error, when that is a terminal; else nothing.
 */
#ifndef TOOL_PROGRESS_H
#define TOOL_PROGRESS_H

#include <stdbool.h>

/* Draw it at done of total. */
void progress_draw(unsigned done, unsigned total);

/* Wipe it out, before anything else is printed. */
void progress_clear(void);

#endif
