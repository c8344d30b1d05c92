/* SPDX-License-Identifier: MIT */
/*
 * Sleeping until a word changes (futex). The word is a counter: who waits reads
 * it first, then looks whether he has to wait; who wakes adds one.
 */
#ifndef LIB_PAGER_WORD_H
#define LIB_PAGER_WORD_H

#include <stdbool.h>
#include <stdint.h>

/* Sleep while *word is still seen. May wake for nothing. */
void word_wait(uint32_t *word, uint32_t seen);
/* The same, at most so long; true if the time is over. */
bool word_wait_ms(uint32_t *word, uint32_t seen, unsigned ms);
void word_wake(uint32_t *word);

/*
 * Give others time for what we wait for, where nobody wakes us: a few times by
 * looking again soon, then by sleeping. *tries is 0 at first. Not sched_yield():
 * kernels take it out of the time that is ours, and who has yielded a thousand
 * times does not run any more while another thread has something to do.
 */
void word_pause(unsigned *tries);

#endif
