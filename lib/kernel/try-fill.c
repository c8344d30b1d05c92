/* SPDX-License-Identifier: MIT */
/*
 * Trying what fills pages. No access here waits or raises a signal: the
 * descriptor has UFFD_FEATURE_SIGBUS on and memory is looked at by system
 * calls, so a page that did not come shows as EFAULT.
 */
#include "sys.h"
#include "try.h"

/* Register the first page. A descriptor, or -errno. */
static int open_registered(const struct scratch *s, uint64_t mode)
{
	int fd = try_open(UFFD_FEATURE_SIGBUS);
	int ret;

	if (fd < 0)
		return fd;
	ret = uffd_register(fd, s->start, s->page_size, mode, NULL);
	if (ret == 0)
		return fd;
	sys_close(fd);
	return ret;
}

/* did it fill the page, and is the page what it should be? */
static int judge(const struct scratch *s, int64_t filled, uint8_t value)
{
	if (filled < 0)
		return try_verdict(filled);
	if ((uint64_t)filled != s->page_size)
		return 0;
	return scratch_holds(s, s->start, value);
}

int try_copy(const struct scratch *s)
{
	int fd = open_registered(s, UFFDIO_REGISTER_MODE_MISSING);
	uint64_t src;
	int ret;

	if (fd < 0)
		return try_verdict(fd);
	ret = sys_mmap(0, s->page_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, &src);
	if (ret == 0) {
		ret = scratch_mark(s, src);
		if (ret == 0)
			ret = judge(s, uffd_copy(fd, s->start,
						 (void *)(uintptr_t)src,
						 s->page_size, 0),
				    TRY_MARK);
		sys_munmap(src, s->page_size);
	}
	sys_close(fd);
	return ret;
}

int try_zeropage(const struct scratch *s)
{
	int fd = open_registered(s, UFFDIO_REGISTER_MODE_MISSING);
	int ret;

	if (fd < 0)
		return try_verdict(fd);
	ret = judge(s, uffd_zeropage(fd, s->start, s->page_size, 0), 0);
	sys_close(fd);
	return ret;
}

int try_continue(const struct scratch *s)
{
	int fd, ret = scratch_cache(s);

	if (ret < 0)
		return ret;
	fd = open_registered(s, UFFDIO_REGISTER_MODE_MINOR);
	if (fd < 0)
		return try_verdict(fd);
	ret = judge(s, uffd_continue(fd, s->start, s->page_size, 0), TRY_MARK);
	sys_close(fd);
	return ret;
}

/* The second page, which is not registered, into the first; what it leaves is
 * empty and reads as zero. */
int try_move(const struct scratch *s)
{
	const uint64_t src = s->start + s->page_size;
	int ret, fd = open_registered(s, UFFDIO_REGISTER_MODE_MISSING);

	if (fd < 0)
		return try_verdict(fd);
	ret = scratch_mark(s, src);
	if (ret == 0)
		ret = judge(s, uffd_move(fd, s->start, src, s->page_size, 0),
			    TRY_MARK);
	if (ret == 1)
		ret = scratch_holds(s, src, 0);
	sys_close(fd);
	return ret;
}

/* A page that is missing is EFAULT as well, as long as it is registered, but
 * only poison stays when it is not. */
int try_poison(const struct scratch *s)
{
	int fd = open_registered(s, UFFDIO_REGISTER_MODE_MISSING);
	int64_t n;
	int ret;

	if (fd < 0)
		return try_verdict(fd);
	n = uffd_poison(fd, s->start, s->page_size, 0);
	sys_close(fd);
	if (n < 0)
		return try_verdict(n);
	ret = scratch_peek(s->start);
	if (ret < 0 && ret != -EFAULT)
		return ret;
	return ret == -EFAULT;
}
