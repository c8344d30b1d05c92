/* SPDX-License-Identifier: MIT */
/*
 * Trying real faults. The one who faults must be able to wait, so it is a
 * child process, which registers its own copy of the scratch mapping, sends us
 * the descriptor and touches the page:
 *
 *	parent					child
 *	clone ------------------------------->	open, register, protect
 *	receive the descriptor <--------------	send it (or what went wrong)
 *	poll for a message <------------------	touch the page, and wait
 *	look at it; kill and reap ----------->	(killed)
 *
 * The child is made by the system call itself, with no signal at its end, so
 * that neither the handlers of the program (pthread_atfork, SIGCHLD) nor its
 * wait(2) see anything of it. In return it may do nothing but system calls. If
 * the fault is to be a SIGBUS, it dies of that, and its end tells.
 */
#include <sys/prctl.h>

#include "sys.h"
#include "try.h"

struct plan {
	uint64_t features;
	uint64_t mode;
	bool fill;	/* a page must be there, to be protected */
	bool write;	/* touch it by writing */
	bool dies;	/* expected: SIGBUS; else a message of this kind: */
	enum uffd_event_kind kind;
};

struct child {
	pid_t pid;
	int sock;
};

static void touch(uint64_t addr, bool write)
{
	volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)addr;

	if (write)
		*p = TRY_MARK;
	else
		(void)*p;
}

static int64_t protect(int fd, const struct scratch *s, uint64_t mode)
{
	if (mode & UFFDIO_REGISTER_MODE_WP)
		return uffd_writeprotect(fd, s->start, s->page_size,
					 UFFDIO_WRITEPROTECT_MODE_WP);
	if (mode & UFFDIO_REGISTER_MODE_RWP)
		return uffd_rwprotect(fd, s->start, s->page_size,
				      UFFDIO_RWPROTECT_MODE_RWP);
	return 0;
}

static int child_open(const struct scratch *s, const struct plan *plan)
{
	int64_t ret;
	int fd;

	if (plan->fill)
		touch(s->start, true);
	fd = try_open(plan->features);
	if (fd < 0)
		return fd;
	ret = uffd_register(fd, s->start, s->page_size, plan->mode, NULL);
	if (ret == 0)
		ret = protect(fd, s, plan->mode);
	if (ret < 0) {
		sys_close(fd);
		return (int)ret;
	}
	return fd;
}

/*
 * What the child does. It says first what went wrong, or 0 and a descriptor,
 * and keeps no copy of that: should the parent die, nobody waits for ever.
 */
static void child_run(const struct scratch *s, const struct plan *plan,
		      int sock)
{
	int fd, err;

	/* a death by SIGBUS is what we want to see, not a dump of it */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = child_open(s, plan);
	err = fd < 0 ? fd : 0;
	if (fd < 0) {
		sys_send(sock, &err, sizeof(err));
		return;
	}
	if (uffd_send_fds(sock, &fd, 1, &err, sizeof(err)) < 0)
		return;
	sys_close(fd);
	touch(s->start, plan->write);
}

/*
 * All signals are blocked in the child, so that no handler of the program runs
 * there; one that a fault causes ends it.
 */
static int child_start(const struct scratch *s, const struct plan *plan,
		       struct child *ret)
{
	sigset_t all, before;
	int socks[2];
	int err = sys_socketpair(socks);

	if (err < 0)
		return err;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret->pid = sys_clone();
	if (ret->pid == 0) {
		sys_close(socks[0]);
		child_run(s, plan, socks[1]);
		_exit(0);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	sys_close(socks[1]);
	ret->sock = socks[0];
	if (ret->pid > 0)
		return 0;
	sys_close(socks[0]);
	return ret->pid;
}

/* Reap it, by force if need be; how it ended, as waitpid says. */
static int child_end(struct child *c, bool kill_it)
{
	int status = 0;

	if (kill_it)
		sys_kill(c->pid, SIGKILL);
	while (sys_waitpid(c->pid, &status, __WALL) == -EINTR)
		;
	sys_close(c->sock);
	return status;
}

/* Wait for one of them to be ready, or fail: 0, or -ETIMEDOUT, or -errno. */
static int wait_for(struct pollfd *fds, unsigned nr)
{
	int n;

	do {
		n = sys_poll(fds, nr, TRY_LIMIT_MS);
	} while (n == -EINTR);
	if (n == 0)
		return -ETIMEDOUT;
	return n < 0 ? n : 0;
}

/* The child's descriptor, or why there is none. */
static int receive(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int ret = wait_for(&p, 1);
	int fd = -1, err = 0;
	unsigned nr;
	ssize_t n;

	if (ret < 0)
		return ret;
	n = uffd_recv_fds(sock, &fd, 1, &nr, &err, sizeof(err));
	if (n < 0)
		return (int)n;
	if (nr == 1)
		return fd;
	return n == (ssize_t)sizeof(err) && err < 0 ? err : -EIO;
}

/* Did the fault come as a message, and as the right one? */
static int see_message(int fd, int sock, const struct scratch *s,
		       enum uffd_event_kind kind)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = sock },
	};
	struct uffd_event event;
	struct uffd_msg msg;
	int ret = wait_for(p, 2);
	ssize_t n;

	if (ret < 0)
		return ret;
	if (!(p[0].revents & POLLIN)) /* the access just went through */
		return 0;
	n = sys_read(fd, &msg, sizeof(msg));
	if (n < 0)
		return (int)n;
	uffd_event_decode(&msg, &event);
	return event.kind == kind &&
	       event.addr / s->page_size == s->start / s->page_size;
}

static int try_plan(const struct scratch *s, const struct plan *plan)
{
	struct child child;
	int fd, status, ret = child_start(s, plan, &child);

	if (ret < 0)
		return ret;
	fd = receive(child.sock);
	if (fd < 0) {
		child_end(&child, true);
		return try_verdict(fd);
	}
	if (plan->dies) {
		struct pollfd end = { .fd = child.sock, .events = POLLIN };

		ret = wait_for(&end, 1);
		status = child_end(&child, ret < 0);
		if (ret == 0)
			ret = WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
	} else {
		ret = see_message(fd, child.sock, s, plan->kind);
		child_end(&child, true);
	}
	sys_close(fd);
	return ret;
}

int try_missing(const struct scratch *s)
{
	return try_plan(s, &(struct plan){
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.kind = LIBUFFD_FAULT_MISSING,
	});
}

int try_minor(const struct scratch *s)
{
	int ret = scratch_cache(s);

	if (ret < 0)
		return ret;
	return try_plan(s, &(struct plan){
		.mode = UFFDIO_REGISTER_MODE_MINOR,
		.kind = LIBUFFD_FAULT_MINOR,
	});
}

int try_wp(const struct scratch *s)
{
	return try_plan(s, &(struct plan){
		.mode = UFFDIO_REGISTER_MODE_WP,
		.fill = true,
		.write = true,
		.kind = LIBUFFD_FAULT_WP,
	});
}

int try_rwp(const struct scratch *s)
{
	return try_plan(s, &(struct plan){
		.features = UFFD_FEATURE_RWP,
		.mode = UFFDIO_REGISTER_MODE_RWP,
		.fill = true,
		.kind = LIBUFFD_FAULT_RWP,
	});
}

int try_sigbus(const struct scratch *s)
{
	return try_plan(s, &(struct plan){
		.features = UFFD_FEATURE_SIGBUS,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.dies = true,
	});
}
