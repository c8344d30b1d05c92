/* SPDX-License-Identifier: MIT */
/*
 * What `uffd info` concludes about machines, kernels and accounts that are not
 * the ones it is tested on.
 */
#include <errno.h>
#include <string.h>

#include "../../tool/info.h"
#include "../seam/promise.h"

/* everything works */
static void all_well(struct info *info)
{
	const struct uffd_feature_info *f;

	memset(info, 0, sizeof(*info));
	for (unsigned n = 0; (f = uffd_feature_info(n)); n++)
		info->supported |= f->bit;
	info->usable = info->supported;
	for (unsigned m = 0; m < LIBUFFD_NR_MEM; m++)
		for (unsigned op = 0; op < LIBUFFD_NR_OP; op++)
			info->tried[m][op] = 1;
	info->measured = true;
	info->costs = (struct uffd_costs){ 20, 1500, 2500, 2300, 25000, 9000 };
}

/* how to get it, or "" */
static const char *how(const struct info *info, const char *what)
{
	for (unsigned i = 0; i < info->nr_missing; i++)
		if (strcmp(info->missing[i].what, what) == 0)
			return info->missing[i].how;
	return "";
}

#define SAYS(text, part) \
	do { \
		const char *says_ = (text); \
		if (!CHECK(strstr(says_, (part)))) \
			printf("#   %s\n", says_); \
	} while (0)

static void nothing_missing(void)
{
	struct info info;

	all_well(&info);
	info_find_missing(&info);
	SAME(info.nr_missing, 0);
}

static void every_no_told(void)
{
	struct info info;

	for (unsigned m = 0; m < LIBUFFD_NR_MEM; m++) {
		for (unsigned op = 0; op < LIBUFFD_NR_OP; op++) {
			all_well(&info);
			info.tried[m][op] = 0;
			info_find_missing(&info);
			SAME(info.nr_missing, 1);
			SAYS(info.missing[0].what, uffd_op_name(op));
			SAYS(info.missing[0].what, uffd_memory_name(m));
			CHECK(info.missing[0].how[0]);
		}
	}
}

static void older_kernel(void)
{
	struct info info;

	all_well(&info);
	info.supported &= ~(uint64_t)(UFFD_FEATURE_MOVE | UFFD_FEATURE_RWP);
	info.usable = info.supported;
	info.tried[LIBUFFD_MEM_PRIVATE][LIBUFFD_OP_MOVE] = 0;
	info.tried[LIBUFFD_MEM_PRIVATE][LIBUFFD_OP_RWP] = 0;
	info.tried[LIBUFFD_MEM_SHARED][LIBUFFD_OP_LIFT] = 0;
	info_find_missing(&info);
	SAME(info.nr_missing, 3);
	SAYS(how(&info, "MOVE"), "Linux 6.8");
	SAYS(how(&info, "RWP"), "after 6.18");
	SAYS(how(&info, "lift on shared"), "Linux 5.13");
}

static void huge_pages(void)
{
	struct info info;

	all_well(&info);
	for (unsigned op = 0; op < LIBUFFD_NR_OP; op++) {
		info.tried[LIBUFFD_MEM_HUGETLB_2M][op] = -ENOMEM;
		info.tried[LIBUFFD_MEM_HUGETLB_1G][op] = -ENOENT;
	}
	info.tried[LIBUFFD_MEM_FILE][LIBUFFD_OP_LIFT] = -ENOENT;
	info_find_missing(&info);
	SAME(info.nr_missing, 3);
	SAYS(how(&info, "hugetlb-2m"), "vm.nr_hugepages");
	SAYS(how(&info, "hugetlb-1g"), "pdpe1gb");
	SAYS(how(&info, "lift on file"), "TMPDIR");
}

/* the remedies for a system call and a device with these errors */
static void refuse(struct info *info, struct account account, int syscall,
		   int device, int user_only)
{
	all_well(info);
	info->account = account;
	info->ways[WAY_SYSCALL] = syscall;
	info->ways[WAY_DEVICE] = device;
	info->ways[WAY_USER_ONLY] = user_only;
	info_find_missing(info);
}

static void rights(void)
{
	struct info info;

	refuse(&info, (struct account){ 0 }, -EPERM, -EACCES, 0);
	SAYS(how(&info, "userfaultfd(2)"), "setcap cap_sys_ptrace");
	SAYS(how(&info, "/dev/userfaultfd"), "udev");
	refuse(&info, (struct account){ .container = true }, -EPERM, -EPERM, 0);
	SAYS(how(&info, "userfaultfd(2)"), "--cap-add SYS_PTRACE");
	SAYS(how(&info, "/dev/userfaultfd"), "--device /dev/userfaultfd");
	refuse(&info, (struct account){ .user_namespace = true }, -EPERM, 0, 0);
	SAYS(how(&info, "userfaultfd(2)"), "on the host");
	refuse(&info, (struct account){ 0 }, -EACCES, 0, -EINVAL);
	SAYS(how(&info, "userfaultfd(2)"), "SELinux");
	SAYS(how(&info, "UFFD_USER_MODE_ONLY"), "Linux 5.11");
}

static void filters(void)
{
	const char *both = "userfaultfd(2) and UFFD_USER_MODE_ONLY";
	struct account account = { .seccomp = true };
	struct info info;

	refuse(&info, account, -ENOSYS, 0, -ENOSYS);
	SAYS(how(&info, both), "SystemCallFilter=");
	account.container = true;
	refuse(&info, account, -EPERM, 0, -EPERM);
	SAYS(how(&info, both), "--security-opt seccomp=");
	account.seccomp = false;
	refuse(&info, account, -ENOSYS, 0, -ENOSYS);
	SAYS(how(&info, both), "CONFIG_USERFAULTFD");
	/* a filter is on, but it is not what forbids */
	account.seccomp = true;
	refuse(&info, account, -EPERM, 0, 0);
	SAYS(how(&info, "userfaultfd(2)"), "--cap-add SYS_PTRACE");
}

static void fork_events(void)
{
	struct info info;

	all_well(&info);
	info.usable &= ~(uint64_t)UFFD_FEATURE_EVENT_FORK;
	info_find_missing(&info);
	SAME(info.nr_missing, 1);
	SAYS(how(&info, "EVENT_FORK"), "CAP_SYS_PTRACE");
}

static void advise(struct uffd_costs costs, struct advice *ret)
{
	struct info info;

	all_well(&info);
	info.costs = costs;
	info_advise(&info, ret);
}

static void dear_wakeups(void)
{
	struct advice a;

	advise((struct uffd_costs){ 20, 1500, 2500, 2300, 25000, 9000 }, &a);
	SAME(strncmp(a.engine, "sigbus, about 2.5 us", 20), 0);
	SAYS(a.engine, "(SAME), about 4.6 us");
	SAYS(a.engine, "50.0 us");
	SAYS(a.eviction, "576 us");
}

static void cheap_wakeups(void)
{
	struct advice a;

	advise((struct uffd_costs){ 20, 500, 1000, 1000, 1200, 1500 }, &a);
	SAYS(a.engine, "(APART), about 2.4 us");
	SAYS(a.eviction, "1.5 us");
}

static void dear_signals(void)
{
	struct advice a;

	advise((struct uffd_costs){ 20, 500, 9000, 1000, 5000, 1500 }, &a);
	SAME(strncmp(a.engine, "thread, ", 8), 0);
	SAYS(a.engine, "(SAME)");
}

static void one_processor(void)
{
	struct advice a;

	advise((struct uffd_costs){ 20, 500, 1000, 1000, 0, 0 }, &a);
	CHECK(!strstr(a.engine, "SAME") && !strstr(a.engine, "APART"));
	SAYS(a.eviction, "one processor");
}

static void no_costs(void)
{
	struct advice a;
	struct info info;

	all_well(&info);
	info.costs_err = -EMFILE;
	info_advise(&info, &a);
	CHECK(!a.engine[0] && !a.eviction[0]);
	info_find_missing(&info);
	SAME(info.nr_missing, 1);
	CHECK(how(&info, "costs")[0]);
}

static const struct promise promises[] = {
	{ "where everything works nothing is missing", nothing_missing },
	{ "every single \"no\" is told, with a remedy", every_no_told },
	{ "an older kernel: the version that brought it", older_kernel },
	{ "huge pages: how to reserve them; a file: where", huge_pages },
	{ "no rights: the remedy for host, container, namespace", rights },
	{ "a seccomp filter is told only where it is the reason", filters },
	{ "EVENT_FORK: the capability", fork_events },
	{ "dear wake-ups: sigbus, else handlers on the same processor",
	  dear_wakeups },
	{ "cheap wake-ups: handlers on another processor", cheap_wakeups },
	{ "dear signals: thread", dear_signals },
	{ "one processor: no word about places", one_processor },
	{ "costs that failed: no advice, but the reason", no_costs },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
