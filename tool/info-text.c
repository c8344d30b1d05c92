/* SPDX-License-Identifier: MIT */
/*
 * `uffd info` as text, within 80 columns.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "info.h"
#include "wrap.h"

static void print_head(const struct info *info)
{
	const struct account *a = &info->account;
	char text[256];

	snprintf(text, sizeof(text),
		 "uffd %s on %s: Linux %s, %s, %u processor%s", uffd_version(),
		 info->uts.nodename, info->uts.release, info->uts.machine,
		 a->nr_cpus, a->nr_cpus == 1 ? "" : "s");
	print_wrapped(0, 2, text);
	snprintf(text, sizeof(text),
		 "User %u, %s CAP_SYS_PTRACE, %s seccomp filter%s%s", a->uid,
		 a->ptrace ? "with" : "without", a->seccomp ? "under a" : "no",
		 a->container ? ", in a container" : "",
		 a->user_namespace ? ", in a user namespace" : "");
	print_wrapped(0, 2, text);
	if (a->sysctl >= 0)
		printf("vm.unprivileged_userfaultfd = %d\n", a->sysctl);
}

static const char *how_name(enum uffd_how how)
{
	switch (how) {
	case LIBUFFD_BY_SYSCALL:
		return "userfaultfd(2)";
	case LIBUFFD_BY_DEVICE:
		return "/dev/userfaultfd";
	default:
		return "UFFD_USER_MODE_ONLY";
	}
}

static void print_way(const struct info *info, enum way way, const char *name,
		      const char *what)
{
	char buf[32];

	if (info->ways[way] == 0)
		printf("  yes   %-23s %s\n", name, what);
	else
		printf("  no    %-23s %s: %s\n", name,
		       info_error_name(info->ways[way], buf),
		       strerror(-info->ways[way]));
}

static void print_choice(const struct info *info)
{
	char text[160];

	if (info->open_err < 0)
		snprintf(text, sizeof(text), "uffd_open() fails: %s",
			 strerror(-info->open_err));
	else
		snprintf(text, sizeof(text), "uffd_open() takes %s: system "
			 "calls on missing memory %s",
			 how_name(info->opened.how),
			 info->opened.kernel_faults ? "wait, too" :
						      "fail with EFAULT");
	printf("  ");
	print_wrapped(2, 2, text);
}

static void print_opening(const struct info *info)
{
	puts("\nOpening a descriptor");
	print_way(info, WAY_SYSCALL, "userfaultfd(2)", "all faults");
	print_way(info, WAY_DEVICE, "/dev/userfaultfd", "all faults");
	print_way(info, WAY_USER_ONLY, "UFFD_USER_MODE_ONLY",
		  "faults of user mode only");
	print_choice(info);
}

static const char *feature_state(const struct info *info, uint64_t bit)
{
	if (info->open_err < 0)
		return "?";
	if (info->usable & bit)
		return "yes";
	return info->supported & bit ? "yes*" : "no";
}

/* "after 6.18" in a narrow column */
static void short_since(const char *since, char ret[16])
{
	if (strncmp(since, "after ", 6) == 0)
		snprintf(ret, 16, ">%s", since + 6);
	else
		snprintf(ret, 16, "%s", since);
}

static void print_features(const struct info *info)
{
	const struct uffd_feature_info *f;

	puts("\nFeatures                Linux");
	for (unsigned n = 0; (f = uffd_feature_info(n)); n++) {
		char since[16];

		short_since(f->since, since);
		printf("  %-4s %-18s %-5s ", feature_state(info, f->bit),
		       f->name, since);
		print_wrapped(32, 32, f->what);
	}
	if (info->open_err < 0)
		puts("  ? no descriptor, so the kernel could not be asked");
	else if (info->supported & ~info->usable)
		puts("  * the kernel has it, this account may not use it");
}

/* "memfd-" above "shared"; no spaces are left at the end of a line */
static void print_memory_names(void)
{
	unsigned column = 12;

	printf("%12s", "");
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++) {
		const char *name = uffd_memory_name(m);
		const char *dash = strchr(name, '-');

		column += 9;
		if (!dash)
			continue;
		printf("%*.*s", (int)column, (int)(dash - name) + 1, name);
		column = 0;
	}
	printf("\n%12s", "");
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++) {
		const char *name = uffd_memory_name(m);
		const char *dash = strchr(name, '-');

		printf("%9s", dash ? dash + 1 : name);
	}
	putchar('\n');
}

static const char *verdict(int tried)
{
	if (tried < 0)
		return "-";
	return tried ? "yes" : "no";
}

static void print_memory(const struct info *info)
{
	puts("\nOperations on memory, each one tried (-: could not be)");
	print_memory_names();
	for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++) {
		printf("  %-10s", uffd_op_name(op));
		for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++)
			printf("%9s", verdict(info->tried[m][op]));
		putchar('\n');
	}
}

static void print_missing(const struct info *info, bool never,
			  const char *title)
{
	for (unsigned i = 0; i < info->nr_missing; i++) {
		const struct missing *m = &info->missing[i];
		char text[512];

		if (m->never != never)
			continue;
		if (title)
			printf("\n%s\n", title);
		title = NULL;
		snprintf(text, sizeof(text), "%s: %s", m->what, m->how);
		printf("  ");
		print_wrapped(2, 4, text);
	}
}

static void print_cost(uint64_t ns, const char *name, const char *what)
{
	if (ns)
		printf("  %9llu  %-12s %s\n", (unsigned long long)ns, name,
		       what);
	else
		printf("  %9s  %-12s %s\n", "-", name, what);
}

static void print_costs(const struct info *info)
{
	const struct uffd_costs *c = &info->costs;

	if (!info->measured)
		return;
	puts("\nWhat this machine charges, in ns (-: could not be measured)");
	print_cost(c->clock_ns, "clock", "reading the clock");
	print_cost(c->fault_ns, "fault", "the kernel's own fault, anonymous "
		   "memory, write");
	print_cost(c->signal_ns, "signal", "SIGSEGV to a handler and back");
	print_cost(c->wake_same_ns, "wake_same", "waking a thread on the same "
		   "processor");
	print_cost(c->wake_other_ns, "wake_other", "waking a thread on "
		   "another, sleeping processor");
	print_cost(c->shootdown_ns, "shootdown", "TLB shootdown while another "
		   "thread runs");
}

static void print_advice(const struct info *info)
{
	struct advice advice;

	info_advise(info, &advice);
	if (advice.engine[0]) {
		printf("\nEngine    ");
		print_wrapped(10, 10, advice.engine);
	}
	if (advice.eviction[0]) {
		printf("Eviction  ");
		print_wrapped(10, 10, advice.eviction);
	}
}

void info_print_text(const struct info *info)
{
	print_head(info);
	print_opening(info);
	print_features(info);
	print_memory(info);
	print_missing(info, true, "What no kernel can do, and what to do "
		      "instead");
	print_missing(info, false, "What is missing, and how to get it");
	print_costs(info);
	print_advice(info);
}
