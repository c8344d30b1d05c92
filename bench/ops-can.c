/* SPDX-License-Identifier: MIT */
/*
 * What can't be measured here, and why.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops-list.h"

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define THP_ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"

static const char *const memory_names[OPS_NR_MEMORY] = {
	[OPS_PRIVATE] = "private",
	[OPS_MEMFD_SHARED] = "memfd-shared",
	[OPS_HUGETLB_2M] = "hugetlb-2m",
	[OPS_THP] = "thp",
};

const char *ops_memory_name(unsigned memory)
{
	return memory < OPS_NR_MEMORY ? memory_names[memory] : NULL;
}

/* the beginning of a small file; false if there is none */
static bool read_file(const char *path, char *text, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, cap - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static unsigned read_number(const char *path)
{
	char text[32];

	if (!read_file(path, text, sizeof(text)))
		return 0;
	return (unsigned)strtoul(text, NULL, 10);
}

unsigned ops_free_huge_pages(void)
{
	unsigned free_pages = read_number(POOL "free_hugepages");
	unsigned promised = read_number(POOL "resv_hugepages");

	return free_pages > promised ? free_pages - promised : 0;
}

static bool thp_is_off(void)
{
	char text[64];

	return !read_file(THP_ENABLED, text, sizeof(text)) ||
	       strstr(text, "[never]");
}

/*
 * Does process_madvise(2) take MADV_DONTNEED for the calling process? The
 * library does without it where not, and what it does instead is another row.
 */
static int try_process_madvise(void)
{
	const size_t len = (size_t)getpagesize();
	struct iovec range = { .iov_len = len };
	int pidfd = uffd_pidfd_open(getpid());
	void *p;
	long n;

	if (pidfd < 0)
		return 0;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	range.iov_base = p;
	n = syscall(SYS_process_madvise, pidfd, &range, 1, MADV_DONTNEED, 0);
	if (p != MAP_FAILED)
		munmap(p, len);
	close(pidfd);
	return n == (long)len;
}

static const enum uffd_memory try_memories[OPS_NR_MEMORY] = {
	[OPS_PRIVATE] = LIBUFFD_MEM_PRIVATE,
	[OPS_MEMFD_SHARED] = LIBUFFD_MEM_MEMFD_SHARED,
	[OPS_HUGETLB_2M] = LIBUFFD_MEM_HUGETLB_2M,
	[OPS_THP] = LIBUFFD_MEM_PRIVATE,
};

/* 1, 0 or -errno, as uffd_try() */
static int try(const struct ops_operation *op, const struct ops_skip *skip)
{
	int ret = uffd_try(try_memories[skip->memory], op->probe);

	if (ret == 1 && skip->op == OPS_PROCESS_MADVISE)
		ret = try_process_madvise();
	/* huge pages are moved in, and looked for by scanning */
	if (ret == 1 && skip->memory == OPS_THP)
		ret = uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_MOVE);
	if (ret == 1 && skip->memory == OPS_THP)
		ret = uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_WP_ASYNC);
	return ret;
}

static void __attribute__((format(printf, 2, 3)))
because(struct ops_skip *skip, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(skip->why, sizeof(skip->why), format, args);
	va_end(args);
}

static void explain(struct ops_skip *skip, const struct ops_operation *op,
		    int err)
{
	const bool hugetlb = skip->memory == OPS_HUGETLB_2M;

	if (err == 0 && skip->memory == OPS_THP)
		because(skip, "this kernel can't (it takes Linux 6.8)");
	else if (err == 0)
		because(skip, "this kernel can't (it came with %s)", op->since);
	else if (err == -ENOMEM && hugetlb)
		because(skip, "no huge page is free; "
			"try `sysctl vm.nr_hugepages=64`");
	else if (err == -ENOENT && hugetlb)
		because(skip, "this kernel has no huge pages of 2 MiB");
	else
		because(skip, "it can't be tried: %s", strerror(-err));
}

bool ops_can(struct ops_skip *skip)
{
	const struct ops_operation *op = ops_operation(skip->op);
	int ret;

	skip->never = !(op->memories & 1u << skip->memory);
	if (skip->never) {
		because(skip, "%s", op->only);
		return false;
	}
	if (skip->memory == OPS_THP && thp_is_off()) {
		because(skip, "transparent huge pages are off; `echo madvise > "
			THP_ENABLED "`");
		return false;
	}
	ret = try(op, skip);
	if (ret == 1)
		return true;
	explain(skip, op, ret);
	return false;
}
