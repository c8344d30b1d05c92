/* SPDX-License-Identifier: MIT */
/*
 * `uffd info`: its options.
 */
#include <stdio.h>
#include <stdlib.h>

#include "info.h"
#include "options.h"
#include "say.h"
#include "verb.h"

enum {
	OPTION_JSON = OPTION_OWN,
	OPTION_CAN,
	OPTION_NO_COSTS,
};

static const struct option options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "can", required_argument, NULL, OPTION_CAN },
	{ "no-costs", no_argument, NULL, OPTION_NO_COSTS },
	OPTIONS_OF_ALL
};

struct wish {
	bool json;
	bool no_costs;
	bool help;
	bool long_options;
	const char *can;
};

static void usage(void)
{
	puts("Usage: uffd info [--json] [--no-costs]\n"
	     "       uffd info --can NAME\n"
	     "\n"
	     "What this kernel and this account can do with userfaultfd, found\n"
	     "out by trying; how to get what is missing; and what this machine\n"
	     "charges.\n"
	     "\n"
	     "  --json       one JSON object instead of text\n"
	     "  --no-costs   measure nothing\n"
	     "  --can NAME   print nothing; exit status 0: yes, 2: no, "
	     "1: error\n"
	     "  -h, --help   this text\n"
	     "\n"
	     "NAME, in upper or lower case, - and _ alike, is one of:");
	info_print_names();
	puts("\nuffd-info(1) is the manual.");
}

/* 0, or 1 after one line */
static int read_options(int argc, char **argv, struct wish *ret)
{
	int option;

	while ((option = next_option(argc, argv, options)) != -1) {
		switch (option) {
		case OPTION_JSON:
			ret->json = true;
			break;
		case OPTION_NO_COSTS:
			ret->no_costs = true;
			break;
		case OPTION_CAN:
			if (ret->can)
				return say_error(argv[0], "--can answers for "
						 "one name, and has two: '%s' "
						 "and '%s'", ret->can, optarg);
			ret->can = optarg;
			break;
		case OPTION_HELP:
			ret->help = true;
			break;
		case OPTION_LONG_OPTIONS:
			ret->long_options = true;
			break;
		default:
			return 1;
		}
	}
	if (ret->can && ret->json)
		return say_error(argv[0], "--can prints nothing, so --json "
				 "can't go with it");
	return no_arguments(argc, argv);
}

static int tell(const char *program, const struct wish *wish)
{
	int status = wish->json ? info_check_json(program) : 0;
	struct info *info;

	if (status)
		return status;
	info = calloc(1, sizeof(*info));
	if (!info)
		return say_error(program, "no memory");
	info_ask(info, !wish->no_costs);
	info_find_missing(info);
	if (wish->json)
		status = info_print_json(info, program);
	else
		info_print_text(info);
	free(info);
	return status;
}

int info_run(int argc, char **argv)
{
	struct wish wish = { 0 };
	int status = read_options(argc, argv, &wish);

	if (status)
		return status;
	if (wish.help)
		usage();
	else if (wish.long_options)
		print_long_options(options);
	else if (wish.can)
		return info_can(argv[0], wish.can);
	else
		status = tell(argv[0], &wish);
	return status ? status : finish_output(argv[0], 0);
}
