/* SPDX-License-Identifier: MIT */
/*
 * What a SIGSEGV costs, to a handler and back.
 *
 * A page that may not be touched is touched. The handler only takes the time
 * and returns, so the same access fails again, and from one entry to the next
 * is one signal. The last time it lets the access through.
 *
 * Handlers belong to the whole process, and other threads of it may need
 * theirs right now. So this happens in a process that has our memory but its
 * own handlers, the way that posix_spawn works. What lies where:
 *
 *	state	struct run
 *	page	the one that is touched; the handler finds the state before it
 *	stack	of that process
 */
#include <sched.h>

#include "../kernel/sys.h"
#include "costs.h"

#define NR_SIGNALS 256
#define STATE_LEN ((size_t)65536)	/* a multiple of any page size */
#define STACK_LEN ((size_t)262144)

/*
 * ThreadSanitizer puts itself before clone() and sigaction(), takes the first
 * for a fork and keeps account of the second in memory that the two processes
 * share. It leaves the same functions alone by their other names.
 */
#ifdef __GLIBC__
int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
int __sigaction(int sig, const struct sigaction *action,
		struct sigaction *before);
#else
#define __clone clone
#define __sigaction sigaction
#endif

struct run {
	size_t page_size;
	unsigned nr;
	uint64_t at[NR_SIGNALS + 1];
};

static void on_signal(int sig, siginfo_t *info, void *context)
{
	char *page = info->si_addr;
	struct run *run = (struct run *)(page - STATE_LEN);

	(void)sig;
	(void)context;
	run->at[run->nr++] = cost_now();
	if (run->nr > NR_SIGNALS &&
	    mprotect(page, run->page_size, PROT_READ) < 0)
		_exit(1);
}

static int child(void *state)
{
	struct sigaction action = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO,
	};
	sigset_t segv;

	if (__sigaction(SIGSEGV, &action, NULL) < 0)
		return 1;
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	sigprocmask(SIG_UNBLOCK, &segv, NULL);
	(void)*(volatile char *)((char *)state + STATE_LEN);
	return 0;
}

/* Returns when the child is dead. No signal tells the program of its end. */
static int run_child(uint64_t state, uint64_t stack_end)
{
	int status;
	pid_t pid = SYS_RESULT(pid_t, __clone(child,
					      (void *)(uintptr_t)stack_end,
					      CLONE_VM | CLONE_VFORK,
					      (void *)(uintptr_t)state));

	if (pid < 0)
		return pid;
	while (sys_waitpid(pid, &status, __WALL) == -EINTR)
		;
	return 0;
}

static uint64_t evaluate(const struct run *run, uint64_t clock_ns)
{
	uint64_t samples[NR_SIGNALS];

	if (run->nr <= NR_SIGNALS)
		return 0;
	for (unsigned i = 0; i < NR_SIGNALS; i++)
		samples[i] = cost_less(run->at[i + 1] - run->at[i], clock_ns);
	return cost_median(samples, NR_SIGNALS);
}

int cost_of_signal(uint64_t clock_ns, uint64_t *ret)
{
	const size_t page_size = (size_t)getpagesize();
	const size_t len = STATE_LEN + page_size + STACK_LEN;
	struct run *run;
	uint64_t start;
	int err = sys_mmap(0, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, &start);

	if (err < 0)
		return err;
	run = (struct run *)(uintptr_t)start;
	run->page_size = page_size;
	err = SYS_RESULT(int, mprotect((char *)run + STATE_LEN, page_size,
				       PROT_NONE));
	if (err == 0)
		err = run_child(start, start + len);
	if (err == 0)
		*ret = evaluate(run, clock_ns);
	sys_munmap(start, len);
	return err;
}
