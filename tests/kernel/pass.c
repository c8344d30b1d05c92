/* SPDX-License-Identifier: MIT */
/*
 * Descriptors from process to process.
 */
#include <sys/resource.h>
#include <sys/socket.h>

#include "fixture.h"

#define MOST 253

struct sockets {
	int here, there;
};

static struct sockets sockets(int type)
{
	int ends[2];

	CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
	return (struct sockets){ ends[0], ends[1] };
}

static void refuses(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	int fds[MOST + 1] = { 0 };
	unsigned nr = 9;
	char c;

	(void)m;
	SAME(uffd_send_fds(s.there, fds, 0, "x", 1), -EINVAL);
	SAME(uffd_send_fds(s.there, fds, MOST + 1, "x", 1), -EINVAL);
	SAME(uffd_send_fds(s.there, fds, 1, "x", 0), -EINVAL);
	SAME(uffd_send_fds(s.there, NULL, 1, "x", 1), -EINVAL);
	SAME(uffd_send_fds(s.there, fds, 1, NULL, 1), -EINVAL);
	fds[0] = -1;
	SAME(uffd_send_fds(s.there, fds, 1, "x", 1), -EBADF);
	SAME(uffd_recv_fds(s.here, fds, 1, &nr, &c, 0), -EINVAL);
	SAME(nr, 0);
	SAME(uffd_recv_fds(s.here, NULL, 1, &nr, &c, 1), -EINVAL);
	SAME(uffd_recv_fds(0x7fffffff, fds, 1, &nr, &c, 1), -EBADF);
}

static void peer_closed(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	int fd = 0;
	unsigned nr = 9;
	char c;

	(void)m;
	close(s.there);
	SAME(uffd_recv_fds(s.here, &fd, 1, &nr, &c, 1), 0);
	SAME(nr, 0);
	/* and no SIGPIPE */
	SAME(uffd_send_fds(s.here, &fd, 1, "x", 1), -EPIPE);
}

/* More came than there is room for: nothing is kept, nothing leaks. */
static void too_many(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	int fds[3] = { 0, 0, 0 }, got[2];
	unsigned nr = 9, before = nr_fds();
	char c;

	(void)m;
	SAME(uffd_send_fds(s.there, fds, 3, "x", 1), 1);
	SAME(uffd_recv_fds(s.here, got, 2, &nr, &c, 1), -EMSGSIZE);
	SAME(nr, 0);
	SAME(nr_fds(), before);
	SAME(uffd_send_fds(s.there, fds, 1, "x", 1), 1);
	SAME(uffd_recv_fds(s.here, NULL, 0, &nr, &c, 1), -EMSGSIZE);
	SAME(nr_fds(), before);
}

static void data_cut_off(const struct memory *m)
{
	struct sockets s = sockets(SOCK_SEQPACKET);
	unsigned nr = 9, before = nr_fds();
	int fd = 0, got;
	char buf[4];

	(void)m;
	SAME(uffd_send_fds(s.there, &fd, 1, "longer", 6), 6);
	SAME(uffd_recv_fds(s.here, &got, 1, &nr, buf, 4), -EMSGSIZE);
	SAME(nr, 0);
	SAME(nr_fds(), before);
}

/* The process has no room for all of them: the kernel cuts off, it is told,
 * and those that did come are closed again. */
static void no_descriptor_left(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	int fds[4] = { 0, 0, 0, 0 }, got[4], lowest;
	unsigned nr = 9, before = nr_fds();
	struct rlimit limit, tight;
	char c;

	(void)m;
	SAME(uffd_send_fds(s.there, fds, 4, "x", 1), 1);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	lowest = dup(0);
	close(lowest);
	tight = limit;
	tight.rlim_cur = (rlim_t)lowest + 2;
	CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	SAME(uffd_recv_fds(s.here, got, 4, &nr, &c, 1), -EMSGSIZE);
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	SAME(nr, 0);
	SAME(nr_fds(), before);
}

static void most(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	int fds[MOST] = { 0 }, got[MOST];
	unsigned nr = 0;
	char buf[8] = "";

	(void)m;
	SAME(uffd_send_fds(s.there, fds, MOST, "hello", 5), 5);
	SAME(uffd_recv_fds(s.here, got, MOST, &nr, buf, sizeof(buf)), 5);
	SAME(nr, MOST);
	CHECK(strcmp(buf, "hello") == 0);
	for (unsigned i = 0; i < nr; i++)
		CHECK(fcntl(got[i], F_GETFD) == FD_CLOEXEC);
}

/* what the socket's options add is not mistaken for a descriptor */
static void with_credentials(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	unsigned nr = 0, before;
	int on = 1, fd = 0, got;
	char c;

	(void)m;
	CHECK(setsockopt(s.here, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ==
	      0);
	/* SO_PASSPIDFD (6.5), where it is there */
	setsockopt(s.here, SOL_SOCKET, 76, &on, sizeof(on));
	before = nr_fds();
	SAME(uffd_send_fds(s.there, &fd, 1, "x", 1), 1);
	SAME(uffd_recv_fds(s.here, &got, 1, &nr, &c, 1), 1);
	SAME(nr, 1);
	SAME(nr_fds(), before + 1);
	SAME(write(s.there, "y", 1), 1);
	SAME(uffd_recv_fds(s.here, &got, 1, &nr, &c, 1), 1);
	SAME(nr, 0);
	SAME(c, 'y');
	SAME(nr_fds(), before + 1);
}

static void plain_data(const struct memory *m)
{
	struct sockets s = sockets(SOCK_STREAM);
	unsigned nr = 9;
	char buf[16];

	(void)m;
	SAME(write(s.there, "plain", 5), 5);
	SAME(uffd_recv_fds(s.here, NULL, 0, &nr, buf, sizeof(buf)), 5);
	SAME(nr, 0);
}

/* ---- a userfaultfd ------------------------------------------------------ */

struct served {
	struct area a;
	struct sockets s;
	int fd_number;
};

static void hand_over(void *data)
{
	struct served *v = data;
	int fd = open_uffd(0);

	watch(fd, &v->a, MISSING);
	SAME(uffd_send_fds(v->s.there, &fd, 1, &v->a, sizeof(v->a)),
	     sizeof(v->a));
	close(fd);
	CHECK(all_are(v->a.p, 's', v->a.page));
}

static void serve(int fd, const struct area *a)
{
	struct uffd_event ev = next_event(fd);

	SAME(ev.addr, a->at);
	SAME(uffd_copy(fd, a->at, bytes_of('s', a->page), a->page, 0),
	     a->page);
}

static void by_socket(const struct memory *m)
{
	struct served v = { .a = map_area(m, 1), .s = sockets(SOCK_STREAM) };
	pid_t child = start_child(hand_over, &v);
	struct area told;
	unsigned nr;
	int fd;

	SAME(uffd_recv_fds(v.s.here, &fd, 1, &nr, &told, sizeof(told)),
	     sizeof(told));
	SAME(nr, 1);
	SAME(told.at, v.a.at);
	serve(fd, &told);
	SAME(end_of(child), 0);
}

static void let_take(void *data)
{
	struct served *v = data;
	int fd = open_uffd(0);

	watch(fd, &v->a, MISSING);
	SAME(write(v->s.there, &fd, sizeof(fd)), sizeof(fd));
	CHECK(all_are(v->a.p, 's', v->a.page));
}

static void by_pidfd(const struct memory *m)
{
	struct served v = { .a = map_area(m, 1), .s = sockets(SOCK_STREAM) };
	pid_t child = start_child(let_take, &v);
	int number, fd, pidfd = uffd_pidfd_open(child);

	SAME(read(v.s.here, &number, sizeof(number)), sizeof(number));
	fd = uffd_pidfd_getfd(pidfd, number);
	if (fd == -EPERM || fd == -ENOSYS)
		skip("no right to pidfd_getfd(2)");
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	serve(fd, &v.a);
	SAME(end_of(child), 0);
}

static const struct promise promises[] = {
	{ "sending and receiving refuse bad requests", refuses, 0, 0, 0 },
	{ "the peer has closed: 0 to receive, EPIPE and no signal to send",
	  peer_closed, 0, 0, 0 },
	{ "more descriptors than room: EMSGSIZE, and all are closed",
	  too_many, 0, 0, 0 },
	{ "more data than room: EMSGSIZE, and all are closed", data_cut_off, 0,
	  0, 0 },
	{ "no descriptor left: EMSGSIZE, and all are closed",
	  no_descriptor_left, 0, 0, 0 },
	{ "253 descriptors arrive, all close-on-exec", most, 0, 0, 0 },
	{ "credentials and pidfds on the socket are not taken for ours",
	  with_credentials, 0, 0, 0 },
	{ "data without descriptors is received", plain_data, 0, 0, 0 },
	{ "a userfaultfd goes over a socket and serves there", by_socket, ALL,
	  0, 0 },
	{ "a userfaultfd is taken by pidfd and serves there", by_pidfd, ALL, 0,
	  0 },
};

MAIN(promises)
