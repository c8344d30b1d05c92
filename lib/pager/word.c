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

/* together about as long as a lift takes */
#define LOOKS 32
#define RELAXES 32
#define SLEEP_NS 50000

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void word_pause(unsigned *tries)
{
	const struct timespec t = { .tv_nsec = SLEEP_NS };

	if (*tries >= LOOKS) {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
		return;
	}
	++*tries;
	for (int i = 0; i < RELAXES; i++)
		relax();
}

void word_wake(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	futex(word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}
