/* SPDX-License-Identifier: MIT */
/*
 * While a thread holds one of the pager's locks, no signal handler of the
 * program may run in it: the handler could touch a region and wait for the
 * lock that its own thread holds. In the threads of engine and pager signals are
 * blocked already; the calls of <uffd/pager.h>, and faults answered in a signal
 * handler, do it here.
 */
#ifndef LIB_PAGER_QUIET_H
#define LIB_PAGER_QUIET_H

#include <pthread.h>
#include <signal.h>

struct quiet {
	sigset_t before;
};

static inline void quiet_begin(struct quiet *q)
{
	sigset_t all;

	sigfillset(&all);
	/* a bug of ours should be seen as what it is */
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &all, &q->before);
}

static inline void quiet_end(const struct quiet *q)
{
	pthread_sigmask(SIG_SETMASK, &q->before, NULL);
}

#endif
