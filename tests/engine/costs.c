/* SPDX-License-Identifier: MIT */
/*
 * uffd_costs: figures that make sense, and a process left as it was found.
 */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uffd/engine.h>

#include "../seam/promise.h"
#include "bed.h"

static unsigned entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned nr = 0;

	if (!d)
		return 0;
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

/* what a call may not leave behind */
struct left {
	unsigned fds;
	unsigned threads;
};

static struct left look(void)
{
	return (struct left){
		.fds = entries("/proc/self/fd"),
		.threads = entries("/proc/self/task"),
	};
}

/* a thread that was joined may be seen for a moment still, after it as well as
 * before it */
static bool as_before(void *data)
{
	const struct left *before = data;
	const struct left now = look();

	return now.fds == before->fds && now.threads <= before->threads;
}

static void nothing_left(struct left before)
{
	CHECK(soon(as_before, &before));
	CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
}

static unsigned nr_cpus(void)
{
	cpu_set_t mask;

	if (sched_getaffinity(0, sizeof(mask), &mask) < 0)
		return 0;
	return (unsigned)CPU_COUNT(&mask);
}

/* ten seconds for anything here is a broken clock */
static bool sound(uint64_t ns)
{
	return ns > 0 && ns < 10000000000u;
}

static void all_measured(void)
{
	struct uffd_costs c;

	SAME(CALL(uffd_costs(&c)), 0);
	CHECK(sound(c.clock_ns));
	CHECK(sound(c.fault_ns));
	CHECK(sound(c.signal_ns));
	CHECK(sound(c.wake_same_ns));
	CHECK(sound(c.wake_other_ns) == (nr_cpus() > 1));
}

static void one_processor(void)
{
	cpu_set_t before, one;
	struct uffd_costs c;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	SAME(sched_getaffinity(0, sizeof(before), &before), 0);
	SAME(sched_setaffinity(0, sizeof(one), &one), 0);
	SAME(CALL(uffd_costs(&c)), 0);
	CHECK(sound(c.wake_same_ns));
	SAME(c.wake_other_ns, 0);
	SAME(c.shootdown_ns, 0);
	sched_setaffinity(0, sizeof(before), &before);
}

static void process_as_before(void)
{
	const struct left before = look();
	struct uffd_costs c;

	SAME(uffd_costs(&c), 0);
	nothing_left(before);
}

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	mprotect(info->si_addr, (size_t)getpagesize(), PROT_READ);
}

static void handle_segv(struct sigaction *before)
{
	struct sigaction action = {
		.sa_sigaction = on_segv,
		.sa_flags = SA_SIGINFO,
	};

	sigemptyset(&action.sa_mask);
	SAME(sigaction(SIGSEGV, &action, before), 0);
}

static void thread_as_before(void)
{
	cpu_set_t cpus, cpus_after;
	sigset_t mask, mask_after;
	struct sigaction old, now;
	struct uffd_costs c;

	handle_segv(&old);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	SAME(uffd_costs(&c), 0);
	SAME(sigaction(SIGSEGV, &old, &now), 0);
	CHECK(now.sa_sigaction == on_segv);
	pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
	for (int sig = 1; sig < NSIG; sig++)
		SAME(sigismember(&mask, sig), sigismember(&mask_after, sig));
	sched_getaffinity(0, sizeof(cpus_after), &cpus_after);
	CHECK(CPU_EQUAL(&cpus, &cpus_after));
}

struct segv_user {
	atomic_bool stop;
	char *page;
};

/* every read fails at first, and its handler mends it */
static void *use_segv(void *arg)
{
	struct segv_user *user = arg;

	while (!atomic_load(&user->stop)) {
		mprotect(user->page, (size_t)getpagesize(), PROT_NONE);
		(void)*(volatile char *)user->page;
	}
	return NULL;
}

static void segv_of_others(void)
{
	struct segv_user user = { .stop = false };
	struct sigaction before;
	struct uffd_costs c;
	pthread_t thread;

	user.page = mmap(NULL, (size_t)getpagesize(), PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(user.page != MAP_FAILED);
	handle_segv(&before);
	SAME(pthread_create(&thread, NULL, use_segv, &user), 0);
	SAME(uffd_costs(&c), 0);
	CHECK(sound(c.signal_ns));
	atomic_store(&user.stop, true);
	pthread_join(thread, NULL);
	sigaction(SIGSEGV, &before, NULL);
	munmap(user.page, (size_t)getpagesize());
}

static void *measure(void *ret)
{
	static const struct uffd_costs none;
	struct uffd_costs c = none;
	int *err = ret;

	*err = uffd_costs(&c);
	if (*err == 0 && !sound(c.signal_ns))
		*err = 1;
	return NULL;
}

static void two_at_once(void)
{
	int errs[2] = { 2, 2 };
	pthread_t threads[2];

	for (unsigned i = 0; i < NR(threads); i++)
		SAME(pthread_create(&threads[i], NULL, measure, &errs[i]), 0);
	for (unsigned i = 0; i < NR(threads); i++) {
		pthread_join(threads[i], NULL);
		SAME(errs[i], 0);
	}
}

static void no_descriptor(void)
{
	const struct left before = look();
	struct rlimit old, none;
	struct uffd_costs c;

	memset(&c, 0x5a, sizeof(c));
	SAME(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	SAME(setrlimit(RLIMIT_NOFILE, &none), 0);
	SAME(CALL(uffd_costs(&c)), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	SAME(c.clock_ns, 0x5a5a5a5a5a5a5a5a);
	nothing_left(before);
}

static const struct promise promises[] = {
	{ "every cost is measured that this machine can show", all_measured },
	{ "with one processor the rest is measured, and no errno touched",
	  one_processor },
	{ "no thread, descriptor or process is left behind",
	  process_as_before },
	{ "handler, signal mask and processors are as they were",
	  thread_as_before },
	{ "other threads keep their SIGSEGV meanwhile", segv_of_others },
	{ "two threads may measure at once", two_at_once },
	{ "without a descriptor: -EMFILE, nothing written, nothing left",
	  no_descriptor },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
