/* SPDX-License-Identifier: MIT */
/*
 * What the modes that resolve faults have in common.
 */
#include <errno.h>

#include "scene.h"

uint64_t bench_page_at(const struct bench_scene *s, uint64_t addr)
{
	return (addr - (uintptr_t)s->area.start) / s->area.page_size;
}

void *bench_page_for(struct bench_scene *s, uint64_t page, unsigned nr)
{
	uint64_t size = s->area.page_size;
	char *at = bench_source(&s->sources);

	if (!at || nr > s->sources.pages) {
		bench_trouble(&s->trouble, -ENOBUFS, "page to copy from");
		return NULL;
	}
	for (unsigned i = 0; i < nr; i++)
		bench_stamp(at + i * size, size, bench_mark(s->key, page + i));
	return at;
}

uint64_t bench_register_mode(const struct bench_plan *p)
{
	switch (p->fault) {
	case BENCH_MINOR:
		return UFFDIO_REGISTER_MODE_MINOR;
	case BENCH_WP:
		return UFFDIO_REGISTER_MODE_WP;
	default:
		return UFFDIO_REGISTER_MODE_MISSING;
	}
}

uint64_t bench_features(const struct bench_plan *p)
{
	bool huge = bench_is_huge(p->memory);

	switch (p->fault) {
	case BENCH_MINOR:
		return huge ? UFFD_FEATURE_MINOR_HUGETLBFS :
			      UFFD_FEATURE_MINOR_SHMEM;
	case BENCH_WP:
		return p->memory == LIBUFFD_MEM_PRIVATE ?
			       UFFD_FEATURE_PAGEFAULT_FLAG_WP :
			       UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	default:
		if (p->memory == LIBUFFD_MEM_PRIVATE)
			return 0;
		return huge ? UFFD_FEATURE_MISSING_HUGETLBFS :
			      UFFD_FEATURE_MISSING_SHMEM;
	}
}

int bench_protect(const struct bench_scene *s, int fd)
{
	struct uffd_progress progress;

	return uffd_writeprotect_all(fd, (uintptr_t)s->area.start, s->area.len,
				     UFFDIO_WRITEPROTECT_MODE_WP,
				     s->area.page_size, &progress);
}
