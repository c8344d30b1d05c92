/* SPDX-License-Identifier: MIT */
#include "bench-paging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"
#include "options.h"
#include "parse.h"
#include "say.h"

enum {
	OPTION_ACCESSES = OPTION_OWN,
	OPTION_BUDGET_PCT,
	OPTION_CSV,
	OPTION_DIR,
	OPTION_ENGINE,
	OPTION_HITS,
	OPTION_JSON,
	OPTION_OP,
	OPTION_PATTERN,
	OPTION_ROUNDS,
	OPTION_SECONDS,
	OPTION_SEED,
	OPTION_SIZE,
	OPTION_STORE,
	OPTION_SYSTEM,
	OPTION_THREADS,
};

static const struct option options[] = {
	{ "system", required_argument, NULL, OPTION_SYSTEM },
	{ "engine", required_argument, NULL, OPTION_ENGINE },
	{ "store", required_argument, NULL, OPTION_STORE },
	{ "pattern", required_argument, NULL, OPTION_PATTERN },
	{ "op", required_argument, NULL, OPTION_OP },
	{ "threads", required_argument, NULL, OPTION_THREADS },
	{ "size", required_argument, NULL, OPTION_SIZE },
	{ "budget-pct", required_argument, NULL, OPTION_BUDGET_PCT },
	{ "rounds", required_argument, NULL, OPTION_ROUNDS },
	{ "accesses", required_argument, NULL, OPTION_ACCESSES },
	{ "seconds", required_argument, NULL, OPTION_SECONDS },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "dir", required_argument, NULL, OPTION_DIR },
	{ "hits", no_argument, NULL, OPTION_HITS },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "csv", no_argument, NULL, OPTION_CSV },
	OPTIONS_OF_ALL
};

static void usage(void)
{
	puts("Usage: uffd bench paging [OPTION ...]\n"
	     "\n"
	     "The same accesses to the same data, in a region five times as large as\n"
	     "the memory it may have: by libuffd's pager, and by what else there is.\n"
	     "\n"
	     "  --system LIST      those of the systems below (all)\n"
	     "  --engine LIST      libuffd: sigbus, thread (both)\n"
	     "  --store LIST       libuffd: memory, memory-lz4, file (all)\n"
	     "  --pattern LIST     sequential, random, strided, hot (random)\n"
	     "  --op LIST          read, write (read-modify-write), mixed (write)\n"
	     "  --threads LIST     numbers of threads (1)\n"
	     "  --size SIZE        of the region (256M)\n"
	     "  --budget-pct N     per cent of it that may be resident (20)\n"
	     "  --rounds N         turns of each system (5)\n"
	     "  --accesses N       in a turn (100000; one pass when in order)\n"
	     "  --seconds N        a turn ends then at the latest (1)\n"
	     "  --seed N           of data and patterns (1)\n"
	     "  --dir DIR          where files are made (TMPDIR or /var/tmp)\n"
	     "  --hits             hit rates of LRU, CLOCK and FIFO, simulated\n"
	     "  --json, --csv      for programs\n"
	     "  -h, --help         this text\n"
	     "\n"
	     "Systems:");
	for (unsigned i = 0; i < PAGING_NR_SYSTEM; i++)
		printf("  %-11s%s\n", paging_system_name(i),
		       paging_system_what(i));
	puts("\nuffd-bench-paging(1) is the manual.");
}

/* ---- lists ------------------------------------------------------------- */

/* Once each, in the order given. */
static bool add_threads(struct paging_plan *plan, unsigned n)
{
	for (unsigned i = 0; i < plan->nr_threads; i++)
		if (plan->threads[i] == n)
			return true;
	if (plan->nr_threads == PAGING_MOST_COUNTS)
		return false;
	plan->threads[plan->nr_threads++] = n;
	return true;
}

static int set_threads(const char *program, struct paging_plan *plan,
		       const char *list)
{
	char word[32];
	uint64_t n;

	plan->nr_threads = 0;
	while (list) {
		list = next_word(list, word, sizeof(word));
		if (!parse_count(word, &n) || n < 1 || n > PAGING_MOST_THREADS)
			return say_error(program, "--threads: '%s' is no "
					 "number of threads; 1 to %u, as in "
					 "1,2", word, PAGING_MOST_THREADS);
		if (!add_threads(plan, (unsigned)n))
			return say_error(program, "--threads: that is too long "
					 "a list; at most %u numbers",
					 PAGING_MOST_COUNTS);
	}
	return 0;
}

/* ---- numbers ----------------------------------------------------------- */

static int set_number(const char *program, const char *option,
		      const char *text, uint64_t least, uint64_t most,
		      uint64_t *ret)
{
	if (parse_count(text, ret) && *ret >= least && *ret <= most)
		return 0;
	return say_error(program, "%s: '%s' is not a number from %lu to %lu",
			 option, text, least, most);
}

static int set_unsigned(const char *program, const char *option,
			const char *text, unsigned most, unsigned *ret)
{
	uint64_t n;
	int err = set_number(program, option, text, 1, most, &n);

	if (!err)
		*ret = (unsigned)n;
	return err;
}

static int set_size(const char *program, const char *text, uint64_t *ret)
{
	if (parse_size(text, ret))
		return 0;
	return say_error(program, "--size: '%s' is not a size, as in 256M or "
			 "1G", text);
}

static int set_format(const char *program, struct paging_options *o,
		      enum paging_format format)
{
	if (o->format != PAGING_TABLE && o->format != format)
		return say_error(program, "--json and --csv exclude each "
				 "other; take one");
	if (format == PAGING_JSON && !paging_can_json())
		return say_error(program, "--json: this uffd was built without "
				 "jansson; --csv has the same figures");
	o->format = format;
	return 0;
}

static int set_dir(const char *program, const char *dir, const char **ret)
{
	if (access(dir, W_OK | X_OK) == 0) {
		*ret = dir;
		return 0;
	}
	return say_error(program, "--dir: '%s' is no folder that files can be "
			 "made in: %m", dir);
}

/* ---- options ----------------------------------------------------------- */

static int set_plan(const char *program, struct paging_plan *plan, int option)
{
	switch (option) {
	case OPTION_SYSTEM:
		return set_names(program, "--system", paging_system_name,
				 optarg, &plan->systems);
	case OPTION_ENGINE:
		return set_names(program, "--engine", paging_engine_name,
				 optarg, &plan->engines);
	case OPTION_STORE:
		return set_names(program, "--store", paging_store_name, optarg,
				 &plan->stores);
	case OPTION_PATTERN:
		return set_names(program, "--pattern", paging_pattern_name,
				 optarg, &plan->patterns);
	case OPTION_OP:
		return set_names(program, "--op", paging_op_name, optarg,
				 &plan->ops);
	case OPTION_THREADS:
		return set_threads(program, plan, optarg);
	case OPTION_SIZE:
		return set_size(program, optarg, &plan->size);
	case OPTION_BUDGET_PCT:
		return set_unsigned(program, "--budget-pct", optarg, 100,
				    &plan->budget_pct);
	case OPTION_ROUNDS:
		return set_unsigned(program, "--rounds", optarg,
				    PAGING_MOST_ROUNDS, &plan->rounds);
	case OPTION_ACCESSES:
		return set_number(program, "--accesses", optarg, 1,
				  UINT32_MAX, &plan->accesses);
	case OPTION_SECONDS:
		return set_unsigned(program, "--seconds", optarg,
				    PAGING_MOST_SECONDS, &plan->seconds);
	case OPTION_SEED:
		return set_number(program, "--seed", optarg, 0, UINT64_MAX,
				  &plan->seed);
	default:
		return set_dir(program, optarg, &plan->dir);
	}
}

static int set_option(const char *program, struct paging_options *o, int option)
{
	switch (option) {
	case OPTION_HITS:
		o->plan.hits = true;
		return 0;
	case OPTION_JSON:
		return set_format(program, o, PAGING_JSON);
	case OPTION_CSV:
		return set_format(program, o, PAGING_CSV);
	case OPTION_WRONG:
		return 1;
	default:
		return set_plan(program, &o->plan, option);
	}
}

static enum paging_parsed tell(int option)
{
	if (option == OPTION_HELP)
		usage();
	else
		print_long_options(options);
	return PAGING_TOLD;
}

/* What only shows when all options are there. */
static bool settle(const char *program, struct paging_options *o)
{
	char why[PAGING_WHY_LEN];

	if (paging_plan_check(&o->plan, why))
		return true;
	say_error(program, "%s", why);
	return false;
}

enum paging_parsed paging_options_parse(int argc, char **argv,
					struct paging_options *ret)
{
	const char *tmp = getenv("TMPDIR");
	int option;

	memset(ret, 0, sizeof(*ret));
	paging_plan_init(&ret->plan);
	if (tmp && *tmp)
		ret->plan.dir = tmp;
	optind = 0;
	while ((option = next_option(argc, argv, options)) != -1) {
		if (option == OPTION_HELP || option == OPTION_LONG_OPTIONS)
			return tell(option);
		if (set_option(argv[0], ret, option) != 0)
			return PAGING_BAD;
	}
	if (no_arguments(argc, argv) != 0 || !settle(argv[0], ret))
		return PAGING_BAD;
	return PAGING_GO;
}
