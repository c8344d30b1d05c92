/* SPDX-License-Identifier: MIT */
/*
 * The `uffd` command: finds the verb and hands over.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uffd/kernel.h>

#include "say.h"
#include "verb.h"

static const struct verb verbs[] = {
	{ "bench", "what a page fault costs, resolved in user space", bench_run },
	{ "info", "what this kernel, account and machine can do", info_run },
	{ NULL, NULL, NULL },
};

/*
 * A standard descriptor that is closed would be given to the next file opened,
 * and what is printed would end up in there, or in a userfaultfd. Reading from
 * /dev/null finds nothing, and writing to it through this one fails.
 */
static void occupy_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static void usage(void)
{
	puts("Usage: uffd VERB [OPTION ...]\n"
	     "       uffd --help | --version\n"
	     "\n"
	     "User-space page-fault handling: what this machine can do, and what it\n"
	     "costs.\n"
	     "\n"
	     "Verbs:");
	for (const struct verb *v = verbs; v->name; v++)
		printf("  %-8s %s\n", v->name, v->what);
	puts("\n"
	     "`uffd VERB --help` tells the options of a verb; uffd(1) is the manual.");
}

static const struct verb *find(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

int main(int argc, char **argv)
{
	char program[32];
	const struct verb *v;

	occupy_standard_fds();
	if (argc < 2)
		return say_error("uffd", "a verb is missing; "
				 "try `uffd --help`");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
	    strcmp(argv[1], "-h") == 0) {
		usage();
		return finish_output("uffd", 0);
	}
	if (strcmp(argv[1], "--version") == 0 ||
	    strcmp(argv[1], "-V") == 0) {
		printf("uffd %s\n", uffd_version());
		return finish_output("uffd", 0);
	}
	v = find(argv[1]);
	if (!v)
		return say_error("uffd", "there is no verb '%s'; "
				 "`uffd --help` lists them", argv[1]);
	snprintf(program, sizeof(program), "uffd %s", v->name);
	argv[1] = program;
	return v->run(argc - 1, argv + 1);
}
