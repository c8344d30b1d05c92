/* SPDX-License-Identifier: MIT */
/*
 * Taking all pages of a range away in one step.
 *
 * mremap wants a range inside one mapping. Given more, older kernels answer
 * EFAULT and have done nothing; newer ones (6.17) go through the mappings one
 * by one, and where they meet one that they can't take (a registered one that
 * is not the first) they answer EFAULT as well, with the pages before it
 * lifted already. Trying again from the start would then put an empty range
 * over those pages. So mremap is never asked to cross a border: whether there
 * is one is found out first, by a question without effect. Nor is it asked to
 * lift a page that is not there: kernels before 5.16 clear the new place
 * before they find out.
 */
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

/*
 * Does [from, +len) lie inside one mapping? Asked by wanting it to grow, where
 * it stands, to all the address space there is: EFAULT says that the range is
 * not in one mapping; anything else that it is, and can't grow. Lengths that
 * this machine has no addresses for are refused before the mapping is looked
 * at (EINVAL): then less will do.
 */
static bool in_one_mapping(uint64_t from, uint64_t len, uint64_t page)
{
	int ret = -EINVAL;

	for (int bits = 47; bits > 30 && ret == -EINVAL; bits--) {
		uint64_t all = (UINT64_C(1) << bits) - page;

		if (all <= len)
			break;
		ret = sys_mremap_resize(from, len, all);
		if (ret == 0)	/* it did fit: give it back */
			sys_mremap_resize(from, all, len);
	}
	return ret != -EFAULT;
}

/*
 * How much of [from, +len) lies in the mapping that `from` is in; one page if
 * there is none. By bisection: a question is far cheaper than one more lift,
 * since each lift interrupts the other processors.
 */
static uint64_t in_first_mapping(uint64_t from, uint64_t len, uint64_t page)
{
	uint64_t fits = 1, most = len / page;

	if (len == page || in_one_mapping(from, len, page))
		return len;
	most--;
	while (fits < most) {
		uint64_t half = fits + (most - fits + 1) / 2;

		if (in_one_mapping(from, half * page, page))
			fits = half;
		else
			most = half - 1;
	}
	return fits * page;
}

static bool overlap(uint64_t a, uint64_t b, uint64_t len)
{
	return a < b ? b - a < len : a - b < len;
}

PUBLIC int uffd_lift_all(uint64_t from, uint64_t to, uint64_t len,
			 struct uffd_progress *ret)
{
	const uint64_t page = (uint64_t)getpagesize();

	*ret = (struct uffd_progress){ 0 };
	if ((from | to | len) % page || !len || from + len < from ||
	    to + len < to || overlap(from, to, len))
		return -EINVAL;

	while (ret->done < len) {
		uint64_t at = from + ret->done;
		uint64_t n = in_first_mapping(at, len - ret->done, page);
		int err = -EFAULT;

		if (n > page || sys_msync_nothing(at, page) != -ENOMEM)
			err = sys_mremap_dontunmap(at, n, to + ret->done);
		if (err == 0)
			ret->filled += n;
		else if (err == -EFAULT && n == page)
			ret->gone += n;
		else if (err != -EFAULT)
			return err;
		else
			continue; /* split since we asked: ask again */
		ret->done += n;
	}
	return 0;
}

PUBLIC int64_t uffd_lift(uint64_t from, uint64_t to, uint64_t len)
{
	struct uffd_progress p;
	int err = uffd_lift_all(from, to, len, &p);

	if (p.filled)
		return (int64_t)p.filled;
	return err ? err : -EFAULT;
}
