/* SPDX-License-Identifier: MIT */
/*
 * `uffd info --can NAME`: one question, answered by the exit status.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "info.h"
#include "say.h"
#include "wrap.h"

enum { YES = 0, ERROR = 1, NO = 2 };

static int plain(char c)
{
	return c == '_' ? '-' : tolower((unsigned char)c);
}

/* Letters in any case, - and _ alike. */
static bool same_name(const char *a, size_t len, const char *b)
{
	if (strlen(b) != len)
		return false;
	for (; len > 0; len--)
		if (plain(*a++) != plain(*b++))
			return false;
	return true;
}

/* `tried` as uffd_try says it. Rights, huge pages or a place that this account
 * lacks are a "no" as well: here and now it can't. */
static int answer(const char *program, const char *name, int tried)
{
	char buf[32];

	switch (tried) {
	case 1:
		return YES;
	case 0:
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
	case -EINVAL:
	case -ENOMEM:
	case -EOPNOTSUPP:
		return NO;
	default:
		return say_error(program, "'%s' could not be tried: %s (%s)",
				 name, strerror(-tried),
				 info_error_name(tried, buf));
	}
}

static int opened(int err)
{
	return err < 0 ? err : 1;
}

static int try_open(uint32_t flags)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts), .flags = flags };
	int fd = uffd_open(&opts, NULL);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 1;
}

static int can_open(void)
{
	return try_open(0);
}

static int can_kernel_faults(void)
{
	return try_open(LIBUFFD_OPEN_NEED_KERNEL_FAULTS);
}

static int can_syscall(void)
{
	return opened(info_try_way(WAY_SYSCALL));
}

static int can_device(void)
{
	return opened(info_try_way(WAY_DEVICE));
}

static int can_user_only(void)
{
	return opened(info_try_way(WAY_USER_ONLY));
}

/* An engine needs its faults, and to fill a page. */
static int can_engine(enum uffd_op fault)
{
	const int tried = uffd_try(LIBUFFD_MEM_PRIVATE, fault);

	return tried == 1 ? uffd_try(LIBUFFD_MEM_PRIVATE, LIBUFFD_OP_COPY) :
			    tried;
}

static int can_thread(void)
{
	return can_engine(LIBUFFD_OP_MISSING);
}

static int can_sigbus(void)
{
	return can_engine(LIBUFFD_OP_SIGBUS);
}

static const struct {
	const char *name;
	int (*ask)(void);
} ways[] = {
	{ "open", can_open },
	{ "kernel-faults", can_kernel_faults },
	{ "syscall", can_syscall },
	{ "device", can_device },
	{ "user-only", can_user_only },
}, engines[] = {
	{ "thread", can_thread },
	{ "sigbus", can_sigbus },
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* Does it work on any memory? If not, and it could not be tried on some, the
 * first of those errors tells. */
static int try_anywhere(enum uffd_op op)
{
	int worst = 0;

	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++) {
		const int tried = uffd_try(m, op);

		if (tried == 1)
			return 1;
		if (worst == 0)
			worst = tried;
	}
	return worst;
}

/* True if there is such an operation. */
static bool ask_op(const char *name, size_t len, const enum uffd_memory *memory,
		   int *ret)
{
	for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++) {
		if (!same_name(name, len, uffd_op_name(op)))
			continue;
		*ret = memory ? uffd_try(*memory, op) : try_anywhere(op);
		return true;
	}
	return false;
}

/* "copy:hugetlb-2m" */
static bool ask_place(const char *name, int *ret)
{
	const char *colon = strchr(name, ':');

	if (!colon)
		return false;
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++)
		if (same_name(colon + 1, strlen(colon + 1),
			      uffd_memory_name(m)))
			return ask_op(name, (size_t)(colon - name), &m, ret);
	return false;
}

static bool ask_feature(const char *name, int *ret)
{
	const struct uffd_feature_info *f;

	for (unsigned n = 0; (f = uffd_feature_info(n)); n++) {
		if (!same_name(name, strlen(name), f->name))
			continue;
		*ret = opened(info_try_feature(f->bit));
		return true;
	}
	return false;
}

/* Where two things have one name, the one that is tried out comes first. */
static bool ask(const char *name, int *ret)
{
	const size_t len = strlen(name);

	for (unsigned i = 0; i < NR(ways); i++) {
		if (same_name(name, len, ways[i].name)) {
			*ret = ways[i].ask();
			return true;
		}
	}
	for (unsigned i = 0; i < NR(engines); i++) {
		if (same_name(name, len, engines[i].name)) {
			*ret = engines[i].ask();
			return true;
		}
	}
	return ask_place(name, ret) || ask_op(name, len, NULL, ret) ||
	       ask_feature(name, ret);
}

int info_can(const char *program, const char *name)
{
	int tried;

	if (!ask(name, &tried))
		return say_error(program, "--can does not know '%s'; "
				 "`%s --help` lists what it knows", name,
				 program);
	return answer(program, name, tried);
}

static void add_name(char *list, size_t size, const char *name)
{
	const size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s", len ? " " : "", name);
}

static void print_list(const char *title, const char *names)
{
	printf("  %-11s", title);
	print_wrapped(13, 13, names);
}

void info_print_names(void)
{
	const struct uffd_feature_info *f;
	char list[1024] = "";

	for (unsigned i = 0; i < NR(ways); i++)
		add_name(list, sizeof(list), ways[i].name);
	print_list("opening", list);
	list[0] = '\0';
	for (unsigned i = 0; i < NR(engines); i++)
		add_name(list, sizeof(list), engines[i].name);
	print_list("engine", list);
	list[0] = '\0';
	for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++)
		add_name(list, sizeof(list), uffd_op_name(op));
	print_list("operation", list);
	puts("             on any memory, or OPERATION:MEMORY for one of");
	list[0] = '\0';
	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++)
		add_name(list, sizeof(list), uffd_memory_name(m));
	print_list("", list);
	list[0] = '\0';
	for (unsigned n = 0; (f = uffd_feature_info(n)); n++)
		add_name(list, sizeof(list), f->name);
	print_list("feature", list);
}
