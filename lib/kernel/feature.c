/* SPDX-License-Identifier: MIT */
/*
 * What is known about each feature bit. `since` is for people who read it;
 * nothing decides by it.
 */
#include <uffd/kernel.h>

#include "../public.h"

#define F(bit_name, kernel, text) \
	{ UFFD_FEATURE_##bit_name, #bit_name, kernel, text }

static const struct uffd_feature_info features[] = {
	F(PAGEFAULT_FLAG_WP, "5.7", "write-protect faults on anonymous memory"),
	F(EVENT_FORK, "4.11", "a message when the process forks"),
	F(EVENT_REMAP, "4.11", "a message when mremap moves memory"),
	F(EVENT_REMOVE, "4.11", "a message when madvise discards memory"),
	F(MISSING_HUGETLBFS, "4.11", "missing faults on hugetlb memory"),
	F(MISSING_SHMEM, "4.11", "missing faults on shared memory"),
	F(EVENT_UNMAP, "4.11", "a message when memory is unmapped"),
	F(SIGBUS, "4.14", "faults as a SIGBUS to their own thread"),
	F(THREAD_ID, "4.14", "fault messages name the thread"),
	F(MINOR_HUGETLBFS, "5.13", "minor faults on hugetlb memory"),
	F(MINOR_SHMEM, "5.14", "minor faults on shared memory"),
	F(EXACT_ADDRESS, "5.18", "addresses not rounded to the page"),
	F(WP_HUGETLBFS_SHMEM, "5.19", "write-protection of shared memory and hugetlb"),
	F(WP_UNPOPULATED, "6.4", "write-protection of pages never touched"),
	F(POISON, "6.6", "pages that answer with SIGBUS"),
	F(WP_ASYNC, "6.7", "writes tracked by the kernel, without messages"),
	F(MOVE, "6.8", "pages moved into place, not copied"),
	F(RWP, "after 6.18", "read-write protection"),
	F(RWP_ASYNC, "after 6.18", "accesses tracked by the kernel, without messages"),
};

PUBLIC const struct uffd_feature_info *uffd_feature_info(unsigned n)
{
	return n < sizeof(features) / sizeof(features[0]) ? &features[n] : NULL;
}
