/* SPDX-License-Identifier: MIT */
/*
 * Reading the options of a verb by getopt_long, with our own words for what is
 * wrong. Every verb has --help, short -h, and a hidden --long-options, by which
 * the tests find out what the manual and the completion must know.
 */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <getopt.h>

/* values of struct option; those of a verb begin at OPTION_OWN */
enum {
	OPTION_WRONG = '?',
	OPTION_HELP = 'h',
	OPTION_LONG_OPTIONS = 256,
	OPTION_OWN,
};

/* the last rows of every table */
#define OPTIONS_OF_ALL \
	{ "help", no_argument, NULL, OPTION_HELP }, \
	{ "long-options", no_argument, NULL, OPTION_LONG_OPTIONS }, \
	{ NULL, 0, NULL, 0 }

/*
 * The value of the next option, its argument in optarg; -1 past the last;
 * OPTION_WRONG after one line about an unknown option, an argument that is
 * missing, or one too many.
 */
int next_option(int argc, char **argv, const struct option *options);

/* After the last option: 0 if nothing is left, 1 after one line about it. */
int no_arguments(int argc, char **argv);

/* "--json" and so on, one a line, all but the hidden one. */
void print_long_options(const struct option *options);

#endif
