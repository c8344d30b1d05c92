/* SPDX-License-Identifier: MIT */
/*
 * Where the tracker's thread runs: beside the thread that writes where waking
 * another processor is dear, as in a virtual machine; wherever the scheduler
 * likes elsewhere.
 */
#ifndef LIB_TRACK_FOLLOW_H
#define LIB_TRACK_FOLLOW_H

#include <stdint.h>

struct follow;

/* Not in the thread: measuring what waking costs, once in a process, starts
 * others, and allocates. NULL: it is not worth it here, or there is no memory;
 * the other functions take that. */
struct follow *follow_new(void);
void follow_free(struct follow *f);

/* A write of this thread was caught. */
void follow_note(struct follow *f, uint32_t tid);

#endif
