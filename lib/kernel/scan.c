/* SPDX-License-Identifier: MIT */
/*
 * Which pages: PAGEMAP_SCAN, one call or a walk in steps.
 */
#include <string.h>
#include <uffd/kernel.h>

#include "path.h"
#include "../public.h"
#include "sys.h"

/*
 * With far longer vectors the kernel was seen to say it had walked less far
 * than it had reported; and beyond this a call is not cheaper any more.
 */
#define VEC_MOST 512u

PUBLIC int uffd_pagemap_open(pid_t pid)
{
	struct path path;

	if (pid < 0)
		return -EINVAL;
	path_proc(&path, pid);
	path_add(&path, "/pagemap");
	return sys_open(path.text, O_RDONLY | O_CLOEXEC);
}

PUBLIC int uffd_pagemap_scan(int pagemap_fd, struct uffd_scan_arg *arg)
{
	arg->size = sizeof(*arg);
	return sys_ioctl(pagemap_fd, LIBUFFD_PAGEMAP_SCAN, arg);
}

PUBLIC void uffd_scan_begin(struct uffd_scan *s, int pagemap_fd, uint64_t start,
			    uint64_t end, uint64_t mask, uint64_t flags,
			    struct uffd_page_region *vec, unsigned cap)
{
	if (flags & PM_SCAN_WP_MATCHING)
		flags |= PM_SCAN_CHECK_WPASYNC;
	*s = (struct uffd_scan){
		.vec = vec,
		.start = start,
		.end = end,
		.fd = pagemap_fd,
		.cap = cap < VEC_MOST ? cap : VEC_MOST,
		.flags = flags,
		.mask = mask,
	};
}

/*
 * A scan that meets memory it can't arm fails, and does not tell how many
 * regions it has reported and armed before. They are in the vector, though:
 * so that is cleared first, and what is not zero afterwards was reported.
 */
static int reported(const struct uffd_scan *s)
{
	unsigned n = 0;

	while (n < s->cap && s->vec[n].end)
		n++;
	return (int)n;
}

/*
 * One call, repeated while signals cut it short. Masks are exactly the asked
 * categories: with more, kernels up to 6.18 pass over pages that were dropped.
 */
static int scan_once(const struct uffd_scan *s, uint64_t *ret_walked)
{
	struct uffd_scan_arg arg;
	int n;

	if (s->flags & PM_SCAN_WP_MATCHING)
		memset(s->vec, 0, s->cap * sizeof(s->vec[0]));
	do {
		arg = (struct uffd_scan_arg){
			.flags = s->flags,
			.start = s->start,
			.end = s->end,
			.vec = (uintptr_t)s->vec,
			.vec_len = s->cap,
			.category_mask = s->mask,
			.return_mask = s->mask,
		};
		n = uffd_pagemap_scan(s->fd, &arg);
	} while (n == -EINTR);
	*ret_walked = arg.walk_end;
	if (n == -EPERM && reported(s) > 0) { /* comes back next time */
		n = reported(s);
		*ret_walked = s->vec[n - 1].end;
	}
	return n;
}

PUBLIC int uffd_scan_next(struct uffd_scan *s)
{
	s->nr = 0;
	if (!s->vec || !s->cap)
		return -EINVAL;
	while (s->start < s->end) {
		uint64_t walked;
		int n = scan_once(s, &walked);

		if (n < 0)
			return n;
		/* what was reported was walked, whatever walk_end says */
		if (n > 0 && s->vec[n - 1].end > walked)
			walked = s->vec[n - 1].end;
		if (walked <= s->start)
			return -EIO;
		s->start = walked;
		if (n > 0) {
			s->nr = (unsigned)n;
			return 1;
		}
	}
	return 0;
}
