/* SPDX-License-Identifier: MIT */
/*
 * The system-call seam: every call that the kernel layer makes goes through
 * one of these. They return a negative errno and leave errno itself alone, as
 * signal handlers need it. Tests stand between these and the C library by
 * ld --wrap, so nothing here can be switched at run time.
 */
#ifndef LIB_KERNEL_SYS_H
#define LIB_KERNEL_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../result.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return SYS_RESULT(int, ioctl(fd, request, arg));
}

/* for the one ioctl whose argument is a value */
static inline int sys_ioctl_value(int fd, unsigned long request, long arg)
{
	return SYS_RESULT(int, ioctl(fd, request, arg));
}

static inline int sys_userfaultfd(int flags)
{
	return SYS_RESULT(int, (int)syscall(SYS_userfaultfd, flags));
}

static inline int sys_open(const char *path, int flags)
{
	return SYS_RESULT(int, open(path, flags));
}

static inline int sys_close(int fd)
{
	return SYS_RESULT(int, close(fd));
}

static inline ssize_t sys_read(int fd, void *buf, size_t len)
{
	return SYS_RESULT(ssize_t, read(fd, buf, len));
}

static inline int sys_poll(struct pollfd *fds, nfds_t nr, int timeout_ms)
{
	return SYS_RESULT(int, poll(fds, nr, timeout_ms));
}

static inline int sys_madvise(void *start, size_t len, int advice)
{
	return SYS_RESULT(int, madvise(start, len, advice));
}

static inline ssize_t sys_process_madvise(int pidfd, const struct iovec *vec,
					  size_t nr, int advice)
{
	return SYS_RESULT(ssize_t, (ssize_t)syscall(SYS_process_madvise, pidfd,
						    vec, nr, advice, 0));
}

static inline int sys_fallocate(int fd, int mode, off_t offset, off_t len)
{
	return SYS_RESULT(int, fallocate(fd, mode, offset, len));
}

static inline int sys_eventfd(unsigned value, int flags)
{
	return SYS_RESULT(int, eventfd(value, flags));
}

/* mremap to a fixed place, the old range left mapped; 0 or -errno */
static inline int sys_mremap_dontunmap(uint64_t from, size_t len, uint64_t to)
{
	int saved = errno;
	void *at = mremap((void *)(uintptr_t)from, len, len,
			  MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			  (void *)(uintptr_t)to);
	int ret = at == MAP_FAILED ? -errno : 0;

	errno = saved;
	return ret;
}

/* mremap that may not move; 0 or -errno */
static inline int sys_mremap_resize(uint64_t at, size_t len, size_t new_len)
{
	int saved = errno;
	void *stays = mremap((void *)(uintptr_t)at, len, new_len, 0);
	int ret = stays == MAP_FAILED ? -errno : 0;

	errno = saved;
	return ret;
}

/* 0 if all of the range is mapped, -ENOMEM if not; without effect */
static inline int sys_msync_nothing(uint64_t start, size_t len)
{
	return SYS_RESULT(int, msync((void *)(uintptr_t)start, len, MS_ASYNC));
}

static inline ssize_t sys_sendmsg(int sock, const struct msghdr *msg, int flags)
{
	return SYS_RESULT(ssize_t, sendmsg(sock, msg, flags));
}

static inline ssize_t sys_recvmsg(int sock, struct msghdr *msg, int flags)
{
	return SYS_RESULT(ssize_t, recvmsg(sock, msg, flags));
}

static inline int sys_pidfd_open(pid_t pid)
{
	return SYS_RESULT(int, (int)syscall(SYS_pidfd_open, pid, 0));
}

static inline int sys_pidfd_getfd(int pidfd, int fd)
{
	return SYS_RESULT(int, (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

/* ---- only for trying out what works: may allocate, take their time ------ */

static inline int sys_mmap(uint64_t hint, size_t len, int prot, int flags,
			   int fd, uint64_t *ret)
{
	int saved = errno;
	void *at = mmap((void *)(uintptr_t)hint, len, prot, flags, fd, 0);
	int err = at == MAP_FAILED ? -errno : 0;

	errno = saved;
	*ret = (uintptr_t)at;
	return err;
}

static inline int sys_munmap(uint64_t start, size_t len)
{
	return SYS_RESULT(int, munmap((void *)(uintptr_t)start, len));
}

static inline int sys_memfd_create(unsigned flags)
{
	return SYS_RESULT(int, memfd_create("libuffd-try", flags));
}

static inline int sys_ftruncate(int fd, off_t len)
{
	return SYS_RESULT(int, ftruncate(fd, len));
}

static inline int sys_fstatfs(int fd, struct statfs *ret)
{
	return SYS_RESULT(int, fstatfs(fd, ret));
}

static inline int sys_pipe(int *ret)
{
	return SYS_RESULT(int, pipe2(ret, O_CLOEXEC));
}

static inline ssize_t sys_write(int fd, const void *buf, size_t len)
{
	return SYS_RESULT(ssize_t, write(fd, buf, len));
}

static inline int sys_socketpair(int *ret)
{
	return SYS_RESULT(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
					  0, ret));
}

static inline ssize_t sys_send(int sock, const void *buf, size_t len)
{
	return SYS_RESULT(ssize_t, send(sock, buf, len, MSG_NOSIGNAL));
}

/* fork, but without the C library's knowledge and without a signal at its end;
 * all arguments are 0, so their order, which differs, does not matter */
static inline pid_t sys_clone(void)
{
	return SYS_RESULT(pid_t, (pid_t)syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L));
}

static inline int sys_kill(pid_t pid, int sig)
{
	return SYS_RESULT(int, kill(pid, sig));
}

static inline pid_t sys_waitpid(pid_t pid, int *ret_status, int options)
{
	return SYS_RESULT(pid_t, waitpid(pid, ret_status, options));
}

#endif
