/* SPDX-License-Identifier: MIT */
#include "word.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../result.h"

static long futex(uint32_t *word, int op, uint32_t value,
		  const struct timespec *timeout)
{
	return SYS_RESULT(long, syscall(SYS_futex, word, op, value, timeout,
					NULL, 0));
}

void word_wait(uint32_t *word, uint32_t seen)
{
	futex(word, FUTEX_WAIT_PRIVATE, seen, NULL);
}

bool word_wait_ms(uint32_t *word, uint32_t seen, unsigned ms)
{
	struct timespec t = {
		.tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};

	return futex(word, FUTEX_WAIT_PRIVATE, seen, &t) == -ETIMEDOUT;
}

void word_wake(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	futex(word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}
