/* SPDX-License-Identifier: MIT */
/*
 * `uffd info`: what it finds out (info-ask.c), what is missing and how to get
 * it (info-missing.c, info-memory.c), what follows (info-advice.c), and telling
 * it (info-text.c, info-json.c, info-can.c).
 */
#ifndef TOOL_INFO_H
#define TOOL_INFO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/utsname.h>

#include <uffd/engine.h>
#include <uffd/kernel.h>

#define INFO_MAX_MISSING 64
#define INFO_WHAT_SIZE 224

/* ways to open a descriptor, each tried by itself */
enum way {
	WAY_SYSCALL,
	WAY_DEVICE,
	WAY_USER_ONLY,
	NR_WAYS
};

/* who we are, and what stands around us */
struct account {
	unsigned uid;
	unsigned nr_cpus;	/* that we may use */
	int sysctl;		/* vm.unprivileged_userfaultfd, -1: not there */
	bool ptrace;		/* CAP_SYS_PTRACE */
	bool seccomp;		/* a filter is on */
	bool container;
	bool user_namespace;	/* not the first one */
};

struct missing {
	char what[INFO_WHAT_SIZE];
	char how[320];	/* to get it, or if it is never to be had, what to do */
	bool never;	/* no kernel has it */
};

struct info {
	struct utsname uts;
	struct account account;

	int open_err;		/* 0 or -errno */
	struct uffd_opened opened;
	int ways[NR_WAYS];	/* 0 or -errno */

	uint64_t supported;	/* UFFD_FEATURE_* */
	uint64_t usable;	/* of those, by this account */
	int tried[LIBUFFD_NR_MEM][LIBUFFD_NR_OP];	/* as uffd_try says */

	bool measured;
	int costs_err;		/* 0 or -errno */
	struct uffd_costs costs;

	unsigned nr_missing;
	struct missing missing[INFO_MAX_MISSING];
};

/* info-ask.c */
void info_ask(struct info *info, bool measure);
int info_try_way(enum way way);			/* 0 or -errno */
int info_try_feature(uint64_t bit);		/* 0 or -errno */
const char *info_way_name(enum way way);	/* "syscall", … */

/* info-account.c */
void info_account(struct account *ret);
bool info_file_has(const char *path, const char *word);

/* info-missing.c, info-memory.c: fill info->missing */
void info_find_missing(struct info *info);
void info_find_missing_memory(struct info *info);
/* Returns the row, to be changed further. */
struct missing *info_add_missing(struct info *info, const char *what,
				 const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* info-advice.c: one paragraph each, "" if there is nothing to go by */
struct advice {
	char engine[320];
	char eviction[320];
};
void info_advise(const struct info *info, struct advice *ret);

/* "EPERM"; err is negative. Static, or in buf. */
const char *info_error_name(int err, char buf[32]);

void info_print_text(const struct info *info);
/* 0, or 1 after one line: this build has no JSON, or there is no memory. */
int info_check_json(const char *program);
int info_print_json(const struct info *info, const char *program);

/* The answer to --can as an exit status. */
int info_can(const char *program, const char *name);

/* What --can accepts, for --help. */
void info_print_names(void);

#endif
