/* SPDX-License-Identifier: MIT */
/*
 * The floor: the kernel resolves its faults alone.
 *
 *	missing	an empty page, as any program gets it
 *	minor	the page is mapped from the page cache
 *	wp	the page is made writable again. Left to itself the kernel has
 *		no such fault without a copy, but asynchronous write-protection
 *		(WP_ASYNC) is exactly that: noted and resolved without us.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "scene.h"

/* Reads of shared memory map up to 16 pages of the page cache at a time, so 15
 * of 16 touches would cost nothing. A registration for write-protection,
 * never used, makes the kernel map them one by one. */
static bool must_stop_fault_around(const struct bench_plan *p)
{
	return p->fault == BENCH_MINOR && !p->write &&
	       !bench_is_huge(p->memory);
}

static uint64_t features(const struct bench_plan *p)
{
	uint64_t need = UFFD_FEATURE_PAGEFAULT_FLAG_WP;

	if (p->memory != LIBUFFD_MEM_PRIVATE)
		need |= UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	if (p->fault == BENCH_WP)
		need |= UFFD_FEATURE_WP_ASYNC;
	return need;
}

static bool needs_descriptor(const struct bench_plan *p)
{
	return p->fault == BENCH_WP || must_stop_fault_around(p);
}

static const char *kernel_refuse(const struct bench_plan *p)
{
	uint64_t have;

	if (!needs_descriptor(p))
		return NULL;
	if (uffd_features(&have) < 0 || (have & features(p)) == features(p))
		return NULL;	/* begin will say why nothing can be opened */
	if (p->fault == BENCH_WP)
		return "this kernel has no write-protect fault of its own that "
		       "could be the floor (WP_ASYNC, Linux 6.7)";
	return "this kernel maps 16 pages a read and can't be told not to "
	       "(WP_HUGETLBFS_SHMEM, Linux 5.19)";
}

static int arm(struct bench_scene *s, int fd, const char **what)
{
	int err;

	*what = "registering";
	err = uffd_register(fd, (uintptr_t)s->area.start, s->area.len,
			    UFFDIO_REGISTER_MODE_WP, NULL);
	if (err || s->plan->fault != BENCH_WP)
		return err;
	*what = "write-protecting";
	return bench_protect(s, fd);
}

static int kernel_begin(struct bench_scene *s, const char **what)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts),
				       .need = features(s->plan) };
	int *fd;
	int err;

	s->zeros = s->plan->fault == BENCH_MISSING;
	if (!needs_descriptor(s->plan))
		return 0;
	*what = "opening a userfaultfd";
	fd = malloc(sizeof(*fd));
	if (!fd)
		return -ENOMEM;
	*fd = uffd_open(&opts, NULL);
	err = *fd < 0 ? *fd : arm(s, *fd, what);
	if (err) {
		if (*fd >= 0)
			close(*fd);
		free(fd);
		return err;
	}
	s->own = fd;
	return 0;
}

static void kernel_end(struct bench_scene *s)
{
	int *fd = s->own;

	if (fd)
		close(*fd);
	free(fd);
}

static unsigned nobody(const struct bench_plan *p)
{
	(void)p;
	return 0;
}

const struct bench_mode bench_kernel = {
	.name = "kernel",
	.what = "no handler: the kernel's own fault, the floor",
	.refuse = kernel_refuse,
	.resolvers = nobody,
	.begin = kernel_begin,
	.end = kernel_end,
};
