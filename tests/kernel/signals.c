/* SPDX-License-Identifier: MIT */
/*
 * Signals to a thread that waits for a page.
 */
#include <sys/socket.h>

#include "fixture.h"

static struct area watched(const struct memory *m, int *ret_fd)
{
	struct area a = map_area(m, 1);

	*ret_fd = open_uffd(0);
	watch(*ret_fd, &a, MISSING);
	return a;
}

/* Counts on the stack of its thread can't be reached from a handler. */
static atomic_uint nr_handled;

static void count(int sig)
{
	(void)sig;
	atomic_fetch_add(&nr_handled, 1);
}

static void count_signals(void)
{
	const struct sigaction counts = { .sa_handler = count };

	CHECK(sigaction(SIGUSR1, &counts, NULL) == 0);
}

/* The handler runs although the page is still missing; then the instruction
 * faults anew. */
static void handler_runs(const struct memory *m)
{
	int fd;
	struct area a = watched(m, &fd);
	struct touch t;

	count_signals();
	touch_read(&t, a.p);
	SAME(next_event(fd).addr, a.at);
	for (unsigned i = 1; i <= 3; i++) {
		pthread_kill(t.actor.thread, SIGUSR1);
		SAME(next_event(fd).addr, a.at);
		SAME(atomic_load(&nr_handled), i);
	}
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'a');
}

struct call {
	char *p;
	int pipe[2];
	ssize_t n;
	struct actor actor;
};

static void do_write(void *data)
{
	struct call *c = data;

	c->n = write(c->pipe[1], c->p, 1);
}

/* In a system call the handler does not run; the thread goes on asking, and
 * the same fault is told many times. Filling ends it, whatever is read. */
static void call_asks_on(const struct memory *m)
{
	int fd;
	struct area a = watched(m, &fd);
	struct call c = { .p = a.p };

	count_signals();
	CHECK(pipe2(c.pipe, O_CLOEXEC) == 0);
	start(&c.actor, do_write, &c);
	SAME(next_event(fd).addr, a.at);
	pthread_kill(c.actor.thread, SIGUSR1);
	for (unsigned i = 0; i < 3; i++)
		SAME(next_event(fd).addr, a.at);
	SAME(atomic_load(&nr_handled), 0);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	finish(&c.actor);
	SAME(c.n, 1);
	SAME(atomic_load(&nr_handled), 1);
}

struct victim {
	struct area a;
	int sock[2];
};

static void wait_for_page(void *data)
{
	struct victim *v = data;
	int fd = open_uffd(0);

	watch(fd, &v->a, MISSING);
	SAME(uffd_send_fds(v->sock[1], &fd, 1, "u", 1), 1);
	close(fd);
	v->a.p[0] = 'x';
}

/* Who is killed while it waits takes its message along. */
static void killed_while_waiting(const struct memory *m)
{
	struct victim v = { .a = map_area(m, 1) };
	struct pollfd ready = { .events = POLLIN };
	struct uffd_fdinfo info;
	pid_t child;
	unsigned nr;
	char c;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v.sock) == 0);
	child = start_child(wait_for_page, &v);
	SAME(uffd_recv_fds(v.sock[0], &ready.fd, 1, &nr, &c, 1), 1);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	kill(child, SIGKILL);
	SAME(end_of(child), SIGKILL);
	CHECK(silent(ready.fd));
	SAME(uffd_fdinfo(0, ready.fd, &info), 0);
	SAME(info.total, 0);
}

static const struct promise promises[] = {
	{ "a signal handler runs while its thread waits, which then asks anew",
	  handler_runs, ALL, 0, 0 },
	{ "in a system call it does not, and the thread asks on and on",
	  call_asks_on, ALL, NEED_KERNEL_FAULTS, 0 },
	{ "who is killed while it waits takes its message along",
	  killed_while_waiting, ALL, 0, 0 },
};

MAIN(promises)
