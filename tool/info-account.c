/* SPDX-License-Identifier: MIT */
/*
 * Who asks: what decides over the right to open a userfaultfd.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "info.h"

#ifndef CAP_SYS_PTRACE
#define CAP_SYS_PTRACE 19
#endif

/* The number behind "NAME:" in /proc/self/status, or 0. */
static unsigned long long status_number(const char *name, int base)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long number = 0;
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			number = strtoull(line + strlen(name), NULL, base);
	fclose(file);
	return number;
}

/* vm.unprivileged_userfaultfd, or -1 */
static int sysctl(void)
{
	FILE *file = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	int c;

	if (!file)
		return -1;
	c = fgetc(file);
	fclose(file);
	return c == '0' || c == '1' ? c - '0' : -1;
}

bool info_file_has(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, word) != NULL;
	fclose(file);
	return found;
}

static unsigned nr_cpus(void)
{
	cpu_set_t mask[8];

	if (sched_getaffinity(0, sizeof(mask), mask) < 0)
		return 1;
	return (unsigned)CPU_COUNT_S(sizeof(mask), mask);
}

void info_account(struct account *ret)
{
	*ret = (struct account){
		.uid = (unsigned)geteuid(),
		.nr_cpus = nr_cpus(),
		.sysctl = sysctl(),
		.ptrace = status_number("CapEff:", 16) >> CAP_SYS_PTRACE & 1,
		.seccomp = status_number("Seccomp:", 10) == 2,
		.container = access("/.dockerenv", F_OK) == 0 ||
			     access("/run/.containerenv", F_OK) == 0 ||
			     getenv("container"),
		/* the first namespace maps every user to itself */
		.user_namespace = access("/proc/self/uid_map", F_OK) == 0 &&
				  !info_file_has("/proc/self/uid_map",
						 "4294967295"),
	};
}
