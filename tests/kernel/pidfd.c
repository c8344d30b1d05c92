/* SPDX-License-Identifier: MIT */
/*
 * Watching a process, and what fdinfo says.
 */
#include "fixture.h"

static void sleeps(void *data)
{
	(void)data;
	pause();
}

static void ends(void *data)
{
	(void)data;
}

static void no_such(const struct memory *m)
{
	pid_t child = start_child(ends, NULL);

	(void)m;
	end_of(child);
	SAME(uffd_pidfd_open(child), -ESRCH);
	SAME(uffd_pidfd_open(-1), -EINVAL);
	SAME(uffd_pidfd_wait(-1, 0), -EBADF);
	SAME(uffd_pidfd_wait(0x7fffffff, 0), -EBADF);
	SAME(uffd_pidfd_getfd(-1, 0), -EBADF);
}

static void waits(const struct memory *m)
{
	pid_t child = start_child(sleeps, NULL);
	int pidfd = uffd_pidfd_open(child);

	(void)m;
	CHECK(pidfd >= 0);
	CHECK(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	SAME(uffd_pidfd_wait(pidfd, 0), 0);
	SAME(uffd_pidfd_wait(pidfd, 20), 0);
	kill(child, SIGKILL);
	SAME(uffd_pidfd_wait(pidfd, -1), 1);
	SAME(uffd_pidfd_wait(pidfd, 0), 1);
	waitpid(child, NULL, 0);
	SAME(uffd_pidfd_wait(pidfd, 0), 1);
}

static void nothing(int sig)
{
	(void)sig;
}

struct waiter {
	int pidfd;
	int ret;
	struct actor actor;
};

static void do_wait(void *data)
{
	struct waiter *w = data;

	w->ret = uffd_pidfd_wait(w->pidfd, LIMIT_MS);
}

static void not_by_signals(const struct memory *m)
{
	const struct sigaction ignore = { .sa_handler = nothing };
	pid_t child = start_child(sleeps, NULL);
	struct waiter w = { .pidfd = uffd_pidfd_open(child) };

	(void)m;
	CHECK(sigaction(SIGUSR1, &ignore, NULL) == 0);
	start(&w.actor, do_wait, &w);
	for (unsigned i = 0; i < 20; i++) {
		pthread_kill(w.actor.thread, SIGUSR1);
		usleep(1000);
	}
	CHECK(!atomic_load(&w.actor.over));
	kill(child, SIGKILL);
	finish(&w.actor);
	SAME(w.ret, 1);
	waitpid(child, NULL, 0);
}

static void no_such_fd(const struct memory *m)
{
	pid_t child = start_child(sleeps, NULL);
	int ret, pidfd = uffd_pidfd_open(child);

	(void)m;
	ret = uffd_pidfd_getfd(pidfd, 999);
	CHECK(ret == -EBADF || ret == -EPERM);
	kill(child, SIGKILL);
	SAME(uffd_pidfd_wait(pidfd, LIMIT_MS), 1);
	waitpid(child, NULL, 0);
	SAME(uffd_pidfd_getfd(pidfd, 0), -ESRCH);
}

/* ---- fdinfo ------------------------------------------------------------- */

static void info_refuses(const struct memory *m)
{
	struct uffd_fdinfo info;
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)m;
	SAME(uffd_fdinfo(0, file, &info), -EINVAL);
	SAME(uffd_fdinfo(0, 0x7fffffff, &info), -ENOENT);
	SAME(uffd_fdinfo(0, -1, &info), -ENOENT);
	SAME(uffd_fdinfo(-1, 0, &info), -ENOENT);
	SAME(uffd_fdinfo(0x3fffffff, 0, &info), -ENOENT);
}

static void bad_text(const struct memory *m)
{
	static const char *const bad[] = {
		"",
		"pending:\t0\n",
		"pending:\t0\ntotal:\t0\n",
		"pending:\t0\ntotal:\t0\nAPI:\taa:1\n",
		"pending:\t0\ntotal:\t0\nAPI:\taa:1:zz\n",
		"pending:\t-1\ntotal:\t0\nAPI:\taa:1:1\n",
		"pending:\t0\npending:\t0\ntotal:\t0\nAPI:\taa:1:1\n",
		"pending:\t99999999999999999999\ntotal:\t0\nAPI:\taa:1:1\n",
		"pending:\t0\ntotal:\t0\nAPI:\taa:1:1",
		"pending: 0\ntotal:\t0\nAPI:\taa:1:1\n",
	};
	const char good[] = "pos:\t0\npending:\t3\ntotal:\t5\nnew:\tthing\n"
			    "API:\taa:80000002:1ff\n";
	struct uffd_fdinfo info;

	(void)m;
	for (unsigned i = 0; i < NR(bad); i++)
		SAME(uffd_fdinfo_parse(bad[i], strlen(bad[i]), &info),
		     -EINVAL);
	SAME(uffd_fdinfo_parse(good, strlen(good), &info), 0);
	SAME(info.pending, 3);
	SAME(info.total, 5);
	SAME(info.api, 0xaa);
	SAME(info.features, 2);
	SAME(info.ioctls, 0x1ff);
}

static void counts(const struct memory *m)
{
	struct area a = map_area(m, 2);
	struct uffd_fdinfo info;
	struct touch t[2];
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	for (unsigned i = 0; i < 2; i++)
		touch_read(&t[i], page_of(&a, i));
	await_waiters(fd, 2);
	SAME(uffd_fdinfo(0, fd, &info), 0);
	SAME(info.pending, 2);
	SAME(info.total, 2);
	next_event(fd);
	SAME(uffd_fdinfo(getpid(), fd, &info), 0);
	SAME(info.pending, 1);
	SAME(info.total, 2);
	for (unsigned i = 0; i < 2; i++)
		SAME(uffd_copy(fd, at_page(&a, i), bytes_of('a', a.page),
			       a.page, 0), a.page);
	SAME(uffd_fdinfo(0, fd, &info), 0);
	SAME(info.total, 0);
	touched(&t[0]);
	touched(&t[1]);
}

static const struct promise promises[] = {
	{ "no such process, no such descriptor", no_such, 0, 0, 0 },
	{ "a descriptor that the process has not is not taken", no_such_fd, 0,
	  0, 0 },
	{ "a process is waited for, not longer than asked", waits, 0, 0, 0 },
	{ "signals do not cut the wait short", not_by_signals, 0, 0, 0 },
	{ "fdinfo of something else, or of nothing, is refused", info_refuses,
	  0, 0, 0 },
	{ "a text that is not such a file's is refused", bad_text, 0, 0, 0 },
	{ "fdinfo counts faults unread and unresolved", counts, ALL, 0, 0 },
};

MAIN(promises)
