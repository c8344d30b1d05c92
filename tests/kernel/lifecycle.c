/* SPDX-License-Identifier: MIT */
/*
 * The end of a descriptor, and the end of the process that it is of.
 */
#include <sys/socket.h>

#include "fixture.h"

/* Closing lets waiting threads go on, with zeros. */
static void close_is_zeros(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	touch_read(&t, a.p);
	next_event(fd);
	close(fd);
	SAME(touched(&t), 0);
}

/* As long as one copy is open, nothing is let go. */
static void copy_keeps(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0), copy = dup(fd);

	watch(fd, &a, MISSING);
	touch_read(&t, a.p);
	SAME(next_event(fd).kind, LIBUFFD_FAULT_MISSING);
	close(fd);
	SAME(waiters(copy), 1);
	SAME(uffd_copy(copy, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'a');
}

/* A message that its reader took and then forgot comes again by waking. */
static void wake_asks_again(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct touch t;
	int fd = open_uffd(0);

	watch(fd, &a, MISSING);
	touch_read(&t, a.p);
	next_event(fd);
	CHECK(silent(fd));
	SAME(uffd_wake(fd, a.at, a.len), 0);
	SAME(next_event(fd).addr, a.at);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(touched(&t), 'a');
}

static void close_forgets_wp(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(0);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	close(fd);
	CHECK(!pagemap_bit(a.p, PAGEMAP_UFFD_WP));
	SAME(try_touch(a.p, true, NULL), 0);
}

struct blocked {
	int fd;
	struct uffd_msg msg;
	ssize_t n;
	struct actor actor;
};

static void read_blocking(void *data)
{
	struct blocked *b = data;

	b->n = read(b->fd, &b->msg, sizeof(b->msg));
}

/* The call holds the descriptor: closed under it, it gets one message more,
 * and only then is everything let go. */
static void closed_under_a_read(const struct memory *m)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.flags = LIBUFFD_OPEN_BLOCKING,
	};
	struct area a = map_area(m, 1);
	struct blocked b = { .fd = uffd_open(&opts, NULL) };
	struct touch t;

	CHECK(b.fd >= 0);
	watch(b.fd, &a, MISSING);
	start(&b.actor, read_blocking, &b);
	CHECK(falls_asleep(&b.actor));
	close(b.fd);
	touch_read(&t, a.p);
	finish(&b.actor);
	SAME(b.n, sizeof(b.msg));
	SAME(b.msg.event, UFFD_EVENT_PAGEFAULT);
	SAME(touched(&t), 0);
}

/* ---- the process dies --------------------------------------------------- */

struct mortal {
	struct area a;
	int sock[2];
	char *exec;
};

/* register in the child, hand the descriptor over, wait to be told the end */
static void live(void *data)
{
	struct mortal *mortal = data;
	int fd = open_uffd(UFFD_FEATURE_EVENT_REMOVE);
	char c;

	watch(fd, &mortal->a, MISSING);
	SAME(uffd_send_fds(mortal->sock[1], &fd, 1, "u", 1), 1);
	close(mortal->sock[0]);
	CHECK(read(mortal->sock[1], &c, 1) >= 0);
	if (mortal->exec) {
		char *args[] = { mortal->exec, "60", NULL };

		fcntl(mortal->sock[1], F_SETFD, 0);
		execvp(args[0], args);
		_exit(1);
	}
}

static int born(struct mortal *mortal, const struct memory *m, pid_t *ret)
{
	unsigned nr;
	char c;
	int fd;

	mortal->a = map_area(m, 2);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			 mortal->sock) == 0);
	*ret = start_child(live, mortal);
	close(mortal->sock[1]);
	SAME(uffd_recv_fds(mortal->sock[0], &fd, 1, &nr, &c, 1), 1);
	SAME(nr, 1);
	return fd;
}

/* what every function answers when there is no process any more */
static void all_say_dead(int fd, const struct area *a)
{
	char *src = bytes_of('a', a->page);
	struct uffd_progress p;

	SAME(uffd_copy(fd, a->at, src, a->page, 0), -ESRCH);
	SAME(uffd_copy_all(fd, a->at, src, a->page, 0, a->page, &p), -ESRCH);
	SAME(uffd_zeropage(fd, a->at, a->page, 0), -ESRCH);
	if (kernel_has(UFFD_FEATURE_MINOR_SHMEM))
		SAME(uffd_continue(fd, a->at, a->page, 0), -ESRCH);
	SAME(uffd_writeprotect(fd, a->at, a->page, 1), -ESRCH);
	SAME(uffd_register(fd, a->at, a->page, MISSING, NULL), -ENOMEM);
	SAME(uffd_unregister(fd, a->at, a->page), -ENOMEM);
	SAME(uffd_wake(fd, a->at, a->page), 0);
	SAME(uffd_changing(fd), 0);
	CHECK(silent(fd));
}

static void process_ended(const struct memory *m)
{
	struct mortal mortal = { 0 };
	pid_t child;
	int fd = born(&mortal, m, &child);

	SAME(uffd_copy(fd, mortal.a.at, bytes_of('a', mortal.a.page),
		       mortal.a.page, 0), mortal.a.page);
	SAME(write(mortal.sock[0], "x", 1), 1);
	SAME(end_of(child), 0);
	all_say_dead(fd, &mortal.a);
}

static void process_killed(const struct memory *m)
{
	struct mortal mortal = { 0 };
	pid_t child;
	int fd = born(&mortal, m, &child);

	kill(child, SIGKILL);
	SAME(end_of(child), SIGKILL);
	all_say_dead(fd, &mortal.a);
}

static void process_execs(const struct memory *m)
{
	struct mortal mortal = { .exec = "sleep" };
	struct pollfd end = { .events = POLLIN };
	pid_t child;
	int fd = born(&mortal, m, &child);
	unsigned ms;

	end.fd = uffd_pidfd_open(child);
	SAME(write(mortal.sock[0], "x", 1), 1);
	/* the old address space goes within the call */
	for (ms = 0; uffd_zeropage(fd, mortal.a.at, mortal.a.page, 0) !=
		     -ESRCH; ms++) {
		CHECK(ms < LIMIT_MS);
		usleep(1000);
	}
	all_say_dead(fd, &mortal.a);
	SAME(poll(&end, 1, 0), 0);
	kill(child, SIGKILL);
	end_of(child);
}

static void newer_say_dead(const struct memory *m)
{
	struct mortal mortal = { 0 };
	pid_t child;
	int fd = born(&mortal, m, &child);

	kill(child, SIGKILL);
	end_of(child);
	SAME(uffd_poison(fd, mortal.a.at, mortal.a.page, 0), -ESRCH);
	/* MOVE is for one's own process alone */
	SAME(uffd_move(fd, mortal.a.at, at_page(&mortal.a, 1), mortal.a.page,
		       0), -EINVAL);
}

/* ---- from another process ----------------------------------------------- */

static void touch_and_see(void *data)
{
	struct mortal *mortal = data;
	int fd = open_uffd(0);

	watch(fd, &mortal->a, MISSING);
	SAME(uffd_send_fds(mortal->sock[1], &fd, 1, "u", 1), 1);
	close(fd);
	SAME(mortal->a.p[3], 'r');
	CHECK(all_are(mortal->a.p, 'r', mortal->a.page));
	SAME(mortal->a.p[mortal->a.page], 'r');
}

/* registered there, resolved here */
static void remote(const struct memory *m)
{
	struct mortal mortal = { .a = map_area(m, 2) };
	struct uffd_event ev;
	pid_t child;
	unsigned nr;
	char c;
	int fd;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			 mortal.sock) == 0);
	child = start_child(touch_and_see, &mortal);
	SAME(uffd_recv_fds(mortal.sock[0], &fd, 1, &nr, &c, 1), 1);
	for (unsigned i = 0; i < 2; i++) {
		ev = next_event(fd);
		SAME(ev.addr & ~(mortal.a.page - 1), at_page(&mortal.a, i));
		SAME(uffd_copy(fd, ev.addr & ~(mortal.a.page - 1),
			       bytes_of('r', mortal.a.page), mortal.a.page, 0),
		     mortal.a.page);
	}
	SAME(end_of(child), 0);
}

static const struct promise promises[] = {
	{ "the process has ended: ESRCH, and ENOMEM to register",
	  process_ended, ALL, 0, 0 },
	{ "the process was killed: the same", process_killed, ALL, 0, 0 },
	{ "the process has called execve: the same, and it lives",
	  process_execs, ALL, 0, 0 },
	{ "POISON and MOVE know a dead process, too", newer_say_dead, ALL, 0,
	  UFFD_FEATURE_POISON | UFFD_FEATURE_MOVE },
	{ "closing the last copy lets waiting threads find zeros",
	  close_is_zeros, ALL, 0, 0 },
	{ "another copy keeps everything as it is", copy_keeps, ALL, 0, 0 },
	{ "closing forgets protection", close_forgets_wp, ALL, NEED_WP, 0 },
	{ "closed under a blocking read: one message more, then all go",
	  closed_under_a_read, ANON | MEMFD | HUGE, 0, 0 },
	{ "waking brings a message again that was read and forgotten",
	  wake_asks_again, ALL, 0, 0 },
	{ "another process can resolve", remote, ALL, 0, 0 },
};

MAIN(promises)
