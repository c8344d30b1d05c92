/* SPDX-License-Identifier: MIT */
/*
 * `uffd bench ops`: what a single operation costs.
 */
#include "bench-ops.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uffd/kernel.h>

#include "bench.h"
#include "list.h"
#include "options.h"
#include "parse.h"
#include "say.h"

#define DEFAULT_ROUNDS 11

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };

struct options {
	const char *program;
	struct ops_plan plan;
	enum output output;
	bool asked;		/* for certain operations or memory */
	bool alone;		/* no processor for a busy thread */
};

enum {
	OPT_BUSY = OPTION_OWN,
	OPT_CSV,
	OPT_JSON,
	OPT_MEMORY,
	OPT_OP,
	OPT_PAGES,
	OPT_ROUNDS,
};

static const struct option options[] = {
	{ "busy", required_argument, NULL, OPT_BUSY },
	{ "csv", no_argument, NULL, OPT_CSV },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "op", required_argument, NULL, OPT_OP },
	{ "pages-per-call", required_argument, NULL, OPT_PAGES },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	OPTIONS_OF_ALL
};

static void list_names(const char *title, const char *(*name_of)(unsigned))
{
	const char *name;
	int n = 80;

	printf("\n%s:", title);
	for (unsigned i = 0; (name = name_of(i)); i++) {
		if (n + 1 + (int)strlen(name) > 80)
			n = printf("\n ");
		n += printf(" %s", name);
	}
	putchar('\n');
}

static void usage(void)
{
	puts("Usage: uffd bench ops [OPTION ...]\n"
	     "\n"
	     "What one page costs in each operation that fills memory, takes it\n"
	     "away, protects it or looks for what was written: in calls of 1 to 512\n"
	     "pages, with nothing else running and beside a busy thread.\n"
	     "\n"
	     "  --op LIST              these operations only\n"
	     "  --memory LIST          these kinds of memory only\n"
	     "  --pages-per-call LIST  pages of one call (1,8,64,512)\n"
	     "  --busy N               measure alone and beside N threads (1)\n"
	     "  --rounds N             samples of each figure (11)\n"
	     "  --json, --csv          for programs\n"
	     "  -h, --help             this text");
	list_names("Operations", ops_op_name);
	list_names("Memory", ops_memory_name);
	puts("\nuffd-bench-ops(1) is the manual.");
}

/* ---- the options' values ---- */

/* once each, in the order given; false if there is no room */
static bool add_pages(struct ops_plan *plan, unsigned pages)
{
	for (unsigned i = 0; i < plan->nr_pages; i++)
		if (plan->pages[i] == pages)
			return true;
	if (plan->nr_pages == OPS_MOST_LENGTHS)
		return false;
	plan->pages[plan->nr_pages++] = pages;
	return true;
}

static int set_pages(struct options *o, const char *list)
{
	char word[32];
	uint64_t n;

	o->plan.nr_pages = 0;
	while (list) {
		list = next_word(list, word, sizeof(word));
		if (!parse_count(word, &n) || n < 1 || n > OPS_MOST_PAGES)
			return say_error(o->program, "--pages-per-call: '%s' "
					 "is no number of pages; 1 to %u, as "
					 "in 1,8,64", word, OPS_MOST_PAGES);
		if (!add_pages(&o->plan, (unsigned)n))
			return say_error(o->program, "--pages-per-call: that "
					 "is too long a list; at most %u "
					 "numbers", OPS_MOST_LENGTHS);
	}
	return 0;
}

static int set_busy(struct options *o, const char *text)
{
	const unsigned cpus = ops_processors();
	uint64_t n;

	if (!parse_count(text, &n))
		return say_error(o->program, "--busy: '%s' is no number of "
				 "threads; 0 to %u here", text, cpus - 1);
	if (n >= cpus)
		return say_error(o->program, "--busy: %s threads would need a "
				 "processor each beside the one that "
				 "measures; at most %u here", text, cpus - 1);
	o->alone = false;
	o->plan.busy[0] = 0;
	o->plan.busy[1] = (unsigned)n;
	o->plan.nr_busy = n ? 2 : 1;
	return 0;
}

static int set_rounds(struct options *o, const char *text)
{
	uint64_t n;

	if (!parse_count(text, &n) || n < 1 || n > OPS_MOST_ROUNDS)
		return say_error(o->program, "--rounds: '%s' is no number of "
				 "rounds; 1 to %u", text, OPS_MOST_ROUNDS);
	o->plan.rounds = (unsigned)n;
	return 0;
}

static int set_output(struct options *o, enum output output)
{
	if (o->output != OUTPUT_TABLE && o->output != output)
		return say_error(o->program, "--json and --csv exclude each "
				 "other; take one");
	if (output == OUTPUT_JSON && !ops_can_json())
		return say_error(o->program, "--json: this uffd was built "
				 "without JSON; take --csv");
	o->output = output;
	return 0;
}

/* ---- the options ---- */

static int set_option(struct options *o, int option, const char *value)
{
	switch (option) {
	case OPT_BUSY:
		return set_busy(o, value);
	case OPT_CSV:
		return set_output(o, OUTPUT_CSV);
	case OPT_JSON:
		return set_output(o, OUTPUT_JSON);
	case OPT_MEMORY:
		o->asked = true;
		return set_names(o->program, "--memory", ops_memory_name, value,
				 &o->plan.memories);
	case OPT_OP:
		o->asked = true;
		return set_names(o->program, "--op", ops_op_name, value,
				 &o->plan.ops);
	case OPT_PAGES:
		return set_pages(o, value);
	default:
		return set_rounds(o, value);
	}
}

/* 0: go on; 1: wrong, and said so; -1: all is done */
static int read_options(struct options *o, int argc, char **argv)
{
	int option, err = 0;

	while (!err && (option = next_option(argc, argv, options)) != -1) {
		switch (option) {
		case OPTION_WRONG:
			return 1;
		case OPTION_HELP:
			usage();
			return -1;
		case OPTION_LONG_OPTIONS:
			print_long_options(options);
			return -1;
		default:
			err = set_option(o, option, optarg);
		}
	}
	return err ? err : no_arguments(argc, argv);
}

/* ---- running ---- */

static void show_progress(void *arg, unsigned done, unsigned total)
{
	unsigned *shown = arg;
	const unsigned percent = done * 100 / total;

	if (percent == *shown)
		return;
	*shown = percent;
	if (done == total)
		fprintf(stderr, "\r     \r");
	else
		fprintf(stderr, "\r%3u %%", percent);
}

/* Nothing asked for makes sense: an error, and not an empty table. */
static const struct ops_skip *all_nonsense(const struct ops_report *report)
{
	for (unsigned i = 0; i < report->nr_skips; i++)
		if (!report->skips[i].never)
			return NULL;
	return report->nr_rows ? NULL : report->skips;
}

static int show(const struct options *o, const struct ops_report *report)
{
	const struct ops_skip *skip = all_nonsense(report);

	if (skip)
		return say_error(o->program, "there is no %s on %s memory: %s",
				 ops_op_name(skip->op),
				 ops_memory_name(skip->memory), skip->why);
	if (o->output == OUTPUT_JSON)
		return ops_show_json(o->program, report);
	if (o->output == OUTPUT_CSV)
		ops_show_csv(o->program, report, o->asked);
	else
		ops_show_table(&o->plan, report, o->asked);
	if (o->output == OUTPUT_TABLE && o->alone)
		puts("left out: busy threads: there is one processor to run "
		     "on");
	return 0;
}

/* before all else: without a descriptor there is nothing to measure */
static int can_open(const char *program)
{
	int fd = uffd_open(NULL, NULL);

	if (fd < 0)
		return say_error(program, "no userfaultfd can be opened: %s; "
				 "`uffd info` says how to get one",
				 strerror(-fd));
	close(fd);
	return 0;
}

static int run(struct options *o)
{
	struct ops_report report;
	unsigned shown = 0;
	int err;

	if (can_open(o->program) != 0)
		return 1;
	/* a limit on files holds for memory files as well: fail, don't die */
	signal(SIGXFSZ, SIG_IGN);
	if (isatty(STDERR_FILENO)) {
		o->plan.progress = show_progress;
		o->plan.progress_arg = &shown;
	}
	err = ops_run(&o->plan, &report);
	if (err < 0)
		err = say_error(o->program, "%s", report.error);
	else
		err = show(o, &report);
	ops_report_free(&report);
	return err;
}

int bench_ops(int argc, char **argv)
{
	const bool alone = ops_processors() == 1;
	struct options o = {
		.program = argv[0],
		.alone = alone,
		.plan = {
			.ops = (UINT32_C(1) << OPS_NR_OP) - 1,
			.memories = (UINT32_C(1) << OPS_NR_MEMORY) - 1,
			.pages = { 1, 8, 64, 512 },
			.nr_pages = 4,
			.busy = { 0, 1 },
			.nr_busy = alone ? 1 : 2,
			.rounds = DEFAULT_ROUNDS,
		},
	};
	int err = read_options(&o, argc, argv);

	if (err == 0)
		err = run(&o);
	return finish_output(o.program, err < 0 ? 0 : err);
}
