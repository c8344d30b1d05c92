/* SPDX-License-Identifier: MIT */
/*
 * Memory of the tracker's own, and the calls that only it makes; see
 * ../kernel/sys.h.
 */
#ifndef LIB_TRACK_MEMORY_H
#define LIB_TRACK_MEMORY_H

#include "../kernel/sys.h"

/* zeros; NULL when there is no memory */
static inline void *memory_map(size_t len)
{
	uint64_t at;

	if (sys_mmap(0, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, &at) < 0)
		return NULL;
	return (void *)(uintptr_t)at;
}

static inline void memory_unmap(void *at, size_t len)
{
	if (at)
		sys_munmap((uintptr_t)at, len);
}

static inline ssize_t sys_pread(int fd, void *buf, size_t len, uint64_t at)
{
	return SYS_RESULT(ssize_t, pread(fd, buf, len, (off_t)at));
}

static inline ssize_t sys_process_vm_readv(pid_t pid, const struct iovec *to,
					   const struct iovec *from,
					   unsigned long nr)
{
	return SYS_RESULT(ssize_t, process_vm_readv(pid, to, 1, from, nr, 0));
}

static inline int sys_fcntl_getfl(int fd)
{
	return SYS_RESULT(int, fcntl(fd, F_GETFL));
}

static inline int sys_mprotect(void *at, size_t len, int prot)
{
	return SYS_RESULT(int, mprotect(at, len, prot));
}

#endif
