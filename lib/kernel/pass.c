/* SPDX-License-Identifier: MIT */
/*
 * Descriptors over a Unix socket.
 */
#include <string.h>
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

/* the most that the kernel passes in one message (SCM_MAX_FD) */
#define FDS_MOST 253u

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* Room for the descriptors, and for what the socket's options may put before
 * them: credentials, a security label, a pidfd. */
#define CONTROL_MOST \
	(CMSG_SPACE(FDS_MOST * sizeof(int)) + \
	 CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(256) + \
	 CMSG_SPACE(sizeof(int)))

union control {
	struct cmsghdr align;
	char bytes[CONTROL_MOST];
};

PUBLIC ssize_t uffd_send_fds(int sock, const int *fds, unsigned nr,
			     const void *data, size_t len)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data,
			     .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
	};
	struct cmsghdr *c;
	ssize_t n;

	if (!fds || !nr || nr > FDS_MOST || !data || !len)
		return -EINVAL;
	msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
	memset(control.bytes, 0, msg.msg_controllen);
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	do {
		n = sys_sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n == -EINTR);
	return n;
}

/* how many descriptors a control message carries */
static unsigned nr_fds_in(const struct cmsghdr *c)
{
	if (c->cmsg_level != SOL_SOCKET ||
	    (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != SCM_PIDFD) ||
	    c->cmsg_len < CMSG_LEN(0))
		return 0;
	return (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

static int fd_in(struct cmsghdr *c, unsigned i)
{
	int fd;

	memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
	return fd;
}

/* Close a pidfd that nobody asked us for, or, with all, every descriptor. */
static void close_fds(struct msghdr *msg, bool all)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		for (unsigned i = 0; i < nr_fds_in(c); i++)
			if (all || c->cmsg_type == SCM_PIDFD)
				sys_close(fd_in(c, i));
}

static unsigned nr_passed(struct msghdr *msg)
{
	unsigned nr = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_type == SCM_RIGHTS)
			nr += nr_fds_in(c);
	return nr;
}

static void take_fds(struct msghdr *msg, int *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		for (unsigned i = 0; i < nr_fds_in(c); i++)
			if (c->cmsg_type == SCM_RIGHTS)
				*fds++ = fd_in(c, i);
	close_fds(msg, false);
}

PUBLIC ssize_t uffd_recv_fds(int sock, int *fds, unsigned cap, unsigned *ret_nr,
			     void *data, size_t len)
{
	union control control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	unsigned nr;
	ssize_t n;

	*ret_nr = 0;
	if (!data || !len || (cap && !fds))
		return -EINVAL;
	do {
		n = sys_recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n == -EINTR);
	if (n < 0)
		return n;

	nr = nr_passed(&msg);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || nr > cap) {
		close_fds(&msg, true);
		return -EMSGSIZE;
	}
	if (n == 0) { /* the end; what an empty message carries is not for us */
		close_fds(&msg, true);
		return 0;
	}
	take_fds(&msg, fds);
	*ret_nr = nr;
	return n;
}
