/* SPDX-License-Identifier: MIT */
/*
 * Those who fault, those who wait for them, and what comes in between.
 */
#include <dirent.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <time.h>

#include "fixture.h"

int open_uffd(uint64_t features)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts), .need = features };
	int fd = uffd_open(&opts, NULL);

	if (fd == -EPERM || fd == -ENOSYS)
		skip("no right to open a userfaultfd");
	if (fd < 0)
		same(fd, 0, "uffd_open()", __FILE__, __LINE__);
	return fd;
}

bool kernel_has(uint64_t features)
{
	uint64_t have = 0;

	SAME(uffd_features(&have), 0);
	return (have & features) == features;
}

void watch(int fd, const struct area *a, uint64_t mode)
{
	SAME(uffd_register(fd, a->at, a->len, mode, NULL), 0);
}

struct uffd_event next_event(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct uffd_batch b;
	struct uffd_msg msg;
	struct uffd_event ev;
	int n = 0;

	SAME(uffd_batch_init(&b, &msg, 1), 0);
	while (n == 0) { /* a message may be gone between poll and read */
		SAME(poll(&p, 1, LIMIT_MS), 1);
		n = uffd_batch_read(fd, &b);
	}
	SAME(n, 1);
	CHECK(uffd_batch_next(&b, &ev));
	uffd_batch_finish(&b);
	return ev;
}

bool silent(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

unsigned waiters(int fd)
{
	struct uffd_fdinfo info;

	SAME(uffd_fdinfo(0, fd, &info), 0);
	return (unsigned)info.total;
}

static void nap(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

void await_waiters(int fd, unsigned nr)
{
	for (unsigned ms = 0; waiters(fd) < nr; ms++) {
		CHECK(ms < LIMIT_MS);
		nap();
	}
}

int64_t copy_when_quiet(int fd, uint64_t at, const void *src, uint64_t len)
{
	int64_t n;

	for (unsigned ms = 0; ms < LIMIT_MS; ms++) {
		n = uffd_copy(fd, at, src, len, 0);
		if (n != -EINPROGRESS && n != -EAGAIN)
			return n;
		nap();
	}
	return n;
}

/* ---- threads ------------------------------------------------------------ */

static void *run_actor(void *data)
{
	struct actor *actor = data;

	atomic_store(&actor->tid, gettid());
	actor->act(actor->arg);
	atomic_store(&actor->over, true);
	return NULL;
}

void start(struct actor *actor, void (*act)(void *arg), void *arg)
{
	actor->act = act;
	actor->arg = arg;
	atomic_init(&actor->tid, 0);
	atomic_init(&actor->over, false);
	SAME(pthread_create(&actor->thread, NULL, run_actor, actor), 0);
}

void finish(struct actor *actor)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_MS / 1000;
	SAME(pthread_timedjoin_np(actor->thread, NULL, &until), 0);
}

static char state_of(int tid)
{
	char path[64], text[256] = "";
	const char *name_end;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	name_end = strrchr(text, ')');
	return name_end ? name_end[2] : 0;
}

bool falls_asleep(struct actor *actor)
{
	for (unsigned ms = 0; ms < LIMIT_MS; ms++) {
		int tid = atomic_load(&actor->tid);
		char state = tid ? state_of(tid) : 0;

		if (atomic_load(&actor->over))
			return false;
		if (state == 'S' || state == 'D')
			return true;
		nap();
	}
	return false;
}

static void do_touch(void *data)
{
	struct touch *t = data;

	if (t->write)
		*t->p = t->value;
	else
		t->value = *t->p;
}

void touch_read(struct touch *t, char *p)
{
	*t = (struct touch){ .p = p };
	start(&t->actor, do_touch, t);
}

void touch_write(struct touch *t, char *p, char value)
{
	*t = (struct touch){ .p = p, .write = true, .value = value };
	start(&t->actor, do_touch, t);
}

char touched(struct touch *t)
{
	finish(&t->actor);
	return t->value;
}

/* ---- signals ------------------------------------------------------------ */

struct trap {
	sigjmp_buf back;
	siginfo_t info;
};

/* A signal handler is given nothing of its caller's, so it must find this. */
static _Thread_local struct trap *volatile trap;

static void spring(int sig, siginfo_t *info, void *context)
{
	(void)context;
	trap->info = *info;
	siglongjmp(trap->back, sig);
}

int try_touch(char *p, bool write, siginfo_t *ret)
{
	const struct sigaction springs = {
		.sa_sigaction = spring,
		.sa_flags = SA_SIGINFO,
	};
	volatile char *at = p;
	struct trap here;
	int sig;

	CHECK(sigaction(SIGBUS, &springs, NULL) == 0);
	CHECK(sigaction(SIGSEGV, &springs, NULL) == 0);
	trap = &here;
	sig = sigsetjmp(here.back, 1);
	if (sig == 0) {
		if (write)
			*at = 'w';
		else
			(void)*at;
	} else if (ret) {
		*ret = here.info;
	}
	trap = NULL;
	return sig;
}

/* ---- processes ---------------------------------------------------------- */

pid_t start_child(void (*fn)(void *arg), void *arg)
{
	pid_t child = fork();

	CHECK(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fn(arg);
	_exit(0);
}

int end_of(pid_t child)
{
	int pidfd = uffd_pidfd_open(child);
	int status = -1;

	CHECK(pidfd >= 0);
	SAME(uffd_pidfd_wait(pidfd, LIMIT_MS), 1);
	SAME(waitpid(child, &status, 0), child);
	close(pidfd);
	return status;
}

unsigned nr_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	CHECK(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}
