/* SPDX-License-Identifier: MIT */
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "result.h"
#include "lock.h"

/* about as long as a page takes to be copied */
#define LOOKS 100

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value)
{
	return SYS_RESULT(long, syscall(SYS_futex, word, op, value, NULL, NULL,
					0));
}

void lock_wait(struct lock *lock)
{
	for (int i = 0; i < LOOKS; i++) {
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) ==
			    0 &&
		    lock_try(lock))
			return;
		relax();
	}
	while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire))
		futex(&lock->word, FUTEX_WAIT_PRIVATE, 2);
}

void lock_wake(struct lock *lock)
{
	futex(&lock->word, FUTEX_WAKE_PRIVATE, 1);
}
