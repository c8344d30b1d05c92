/* SPDX-License-Identifier: MIT */
/*
 * Scratch memory of every kind, and looking at it without being hurt.
 */
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "sys.h"
#include "try.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#define HUGE_2M (21u << MAP_HUGE_SHIFT)
#define HUGE_1G (30u << MAP_HUGE_SHIFT)

/* a file without a name; by way of a name where the file system wants one */
static int open_unnamed(const char *dir)
{
	char path[PATH_MAX];
	int saved = errno;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int n = snprintf(path, sizeof(path), "%s/libuffd-try.XXXXXX", dir);

	if (fd < 0 && n < (int)sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		fd = -errno;
	errno = saved;
	return fd;
}

/* the same, but on something else than memory */
static int open_file_in(const char *dir)
{
	struct statfs fs;
	int fd = open_unnamed(dir);

	if (fd < 0)
		return fd;
	if (sys_fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS_MAGIC &&
	    fs.f_type != RAMFS_MAGIC)
		return fd;
	sys_close(fd);
	return -ENOENT;
}

static int open_file(void)
{
	const char *dirs[] = { getenv("TMPDIR"), "/tmp", "/var/tmp" };

	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		int fd = dirs[i] && *dirs[i] ? open_file_in(dirs[i]) : -ENOENT;

		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

/* the file behind a kind of memory; *ret_fd is -1 where there is none */
static int open_backing(enum uffd_memory memory, int *ret_fd)
{
	int fd;

	switch (memory) {
	case LIBUFFD_MEM_PRIVATE:
	case LIBUFFD_MEM_SHARED:
		*ret_fd = -1;
		return 0;
	case LIBUFFD_MEM_FILE:
		fd = open_file();
		break;
	case LIBUFFD_MEM_HUGETLB_2M:
		fd = sys_memfd_create(MFD_CLOEXEC | MFD_HUGETLB | HUGE_2M);
		break;
	case LIBUFFD_MEM_HUGETLB_1G:
		fd = sys_memfd_create(MFD_CLOEXEC | MFD_HUGETLB | HUGE_1G);
		break;
	default:
		fd = sys_memfd_create(MFD_CLOEXEC);
		break;
	}
	*ret_fd = fd;
	if (fd == -EINVAL || fd == -ENODEV) /* no such page size */
		return -ENOENT;
	return fd < 0 ? fd : 0;
}

static uint64_t page_size_of(enum uffd_memory memory)
{
	switch (memory) {
	case LIBUFFD_MEM_HUGETLB_2M:
		return UINT64_C(2) << 20;
	case LIBUFFD_MEM_HUGETLB_1G:
		return UINT64_C(1) << 30;
	default:
		return (uint64_t)getpagesize();
	}
}

/* Beyond RLIMIT_FSIZE the kernel would send a signal as well. */
static int set_size(int fd, uint64_t len)
{
	struct rlimit most;

	if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < len)
		return -EFBIG;
	return sys_ftruncate(fd, (off_t)len);
}

int scratch_open(struct scratch *s, enum uffd_memory memory, unsigned nr_pages)
{
	int flags = memory == LIBUFFD_MEM_PRIVATE ||
				    memory == LIBUFFD_MEM_MEMFD_PRIVATE ?
			    MAP_PRIVATE :
			    MAP_SHARED;
	int ret;

	*s = (struct scratch){
		.memory = memory,
		.page_size = page_size_of(memory),
	};
	s->len = s->page_size * nr_pages;
	ret = open_backing(memory, &s->fd);
	if (ret < 0)
		return ret;
	if (s->fd < 0)
		flags |= MAP_ANONYMOUS;
	else
		ret = set_size(s->fd, s->len);
	if (ret == 0)
		ret = sys_mmap(0, s->len, PROT_READ | PROT_WRITE, flags, s->fd,
			       &s->start);
	if (ret < 0 && s->fd >= 0)
		sys_close(s->fd);
	return ret;
}

void scratch_close(struct scratch *s)
{
	sys_munmap(s->start, s->len);
	if (s->fd >= 0)
		sys_close(s->fd);
}

int scratch_peek(uint64_t addr)
{
	uint8_t value = 0;
	int pipe[2];
	int ret = sys_pipe(pipe);

	if (ret < 0)
		return ret;
	ret = (int)sys_write(pipe[1], (const void *)(uintptr_t)addr, 1);
	if (ret == 1)
		ret = (int)sys_read(pipe[0], &value, 1);
	sys_close(pipe[0]);
	sys_close(pipe[1]);
	return ret < 0 ? ret : value;
}

int scratch_poke(uint64_t addr, uint8_t value)
{
	int pipe[2];
	int ret = sys_pipe(pipe);

	if (ret < 0)
		return ret;
	ret = (int)sys_write(pipe[1], &value, 1);
	if (ret == 1)
		ret = (int)sys_read(pipe[0], (void *)(uintptr_t)addr, 1);
	sys_close(pipe[0]);
	sys_close(pipe[1]);
	return ret < 0 ? ret : 0;
}

int scratch_holds(const struct scratch *s, uint64_t page, uint8_t value)
{
	int first = scratch_peek(page);
	int last = scratch_peek(page + s->page_size - 1);

	if (first < 0 || last < 0)
		return try_verdict(first < 0 ? first : last);
	return first == value && last == value;
}

int scratch_mark(const struct scratch *s, uint64_t page)
{
	int ret = scratch_poke(page, TRY_MARK);

	if (ret == 0)
		ret = scratch_poke(page + s->page_size - 1, TRY_MARK);
	return ret == -EFAULT ? -ENOMEM : ret;
}

int scratch_cache(const struct scratch *s)
{
	uint64_t alias;
	int ret;

	if (s->memory == LIBUFFD_MEM_PRIVATE)
		return 0;
	if (s->fd < 0) {
		ret = scratch_mark(s, s->start);
		return ret < 0 ? ret : uffd_drop(s->start, s->page_size);
	}
	ret = sys_mmap(0, s->page_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       s->fd, &alias);
	if (ret < 0)
		return ret;
	ret = scratch_mark(s, alias);
	sys_munmap(alias, s->page_size);
	return ret;
}

int scratch_reserve(uint64_t len, uint64_t align, uint64_t *ret)
{
	const uint64_t room = len + align;
	uint64_t at, begin;
	int err = sys_mmap(0, room, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   &at);

	if (err < 0)
		return err;
	begin = (at + align - 1) / align * align;
	if (begin > at)
		sys_munmap(at, begin - at);
	if (at + room > begin + len)
		sys_munmap(begin + len, at + room - (begin + len));
	*ret = begin;
	return 0;
}
