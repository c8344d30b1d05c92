/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "say.h"

static int wrong(char **argv, const struct option *options)
{
	const char *given = argv[optind - 1];

	if (optopt == 0)
		return say_error(argv[0], "there is no option '%s'; "
				 "`%s --help` lists them", given, argv[0]);
	for (const struct option *o = options; o->name; o++)
		if (o->val == optopt)
			return say_error(argv[0], "--%s takes no value, and "
					 "'%s' has one", o->name, given);
	return say_error(argv[0], "there is no option '-%c'; "
			 "`%s --help` lists them", optopt, argv[0]);
}

int next_option(int argc, char **argv, const struct option *options)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, ":h", options, NULL);
	if (option == '?')
		wrong(argv, options);
	if (option != ':')
		return option;
	say_error(argv[0], "%s wants a value, and has none", argv[optind - 1]);
	return OPTION_WRONG;
}

int no_arguments(int argc, char **argv)
{
	if (optind >= argc)
		return 0;
	return say_error(argv[0], "'%s' is too much: there are options only; "
			 "`%s --help` lists them", argv[optind], argv[0]);
}

void print_long_options(const struct option *options)
{
	for (const struct option *o = options; o->name; o++)
		if (o->val != OPTION_LONG_OPTIONS)
			printf("--%s\n", o->name);
}
