/* SPDX-License-Identifier: MIT */
/*
 * The command line of `uffd bench`: a table of options, each with a function
 * that takes its value and a line that says what is accepted.
 */
#include "bench-options.h"

#include <stdio.h>
#include <string.h>

#include "bench-show.h"
#include "options.h"
#include "parse.h"
#include "say.h"

struct parse {
	const char *program;
	struct bench_options *to;
	bool pages, rounds, memory, page_size;	/* given */
	uint64_t asked_size;
};

/* ---- values -------------------------------------------------------------- */

static bool in_range(const char *text, uint64_t low, uint64_t high,
		     unsigned *ret)
{
	uint64_t n;

	if (!parse_count(text, &n) || n < low || n > high)
		return false;
	*ret = (unsigned)n;
	return true;
}

static bool set_pages(struct parse *p, const char *text)
{
	p->pages = true;
	return parse_count(text, &p->to->plan.pages) && p->to->plan.pages > 0;
}

static bool set_rounds(struct parse *p, const char *text)
{
	p->rounds = true;
	return in_range(text, 1, BENCH_MOST_ROUNDS, &p->to->plan.rounds);
}

static bool set_threads(struct parse *p, const char *text)
{
	return in_range(text, 1, BENCH_MOST_THREADS, &p->to->plan.threads);
}

static bool set_handlers(struct parse *p, const char *text)
{
	return in_range(text, 1, BENCH_MOST_THREADS, &p->to->plan.handlers);
}

static bool set_batch(struct parse *p, const char *text)
{
	return in_range(text, 1, BENCH_MOST_BATCH, &p->to->plan.batch);
}

static bool set_spin(struct parse *p, const char *text)
{
	return in_range(text, 0, 1000000, &p->to->plan.spin_us);
}

static bool set_seed(struct parse *p, const char *text)
{
	return parse_count(text, &p->to->plan.seed);
}

static bool set_page_size(struct parse *p, const char *text)
{
	p->page_size = true;
	return parse_size(text, &p->asked_size);
}

static bool set_memory(struct parse *p, const char *text)
{
	p->memory = true;
	for (unsigned i = 0; i < LIBUFFD_MEM_FILE; i++) {
		if (strcmp(text, uffd_memory_name(i)) != 0)
			continue;
		p->to->plan.memory = i;
		return true;
	}
	return false;
}

static bool set_fault(struct parse *p, const char *text)
{
	for (unsigned i = 0; i < BENCH_NR_FAULTS; i++) {
		if (strcmp(text, bench_fault_name(i)) != 0)
			continue;
		p->to->plan.fault = i;
		return true;
	}
	return false;
}

static bool set_access(struct parse *p, const char *text)
{
	p->to->plan.write = strcmp(text, "write") == 0;
	return p->to->plan.write || strcmp(text, "read") == 0;
}

static bool set_order(struct parse *p, const char *text)
{
	struct bench_plan *plan = &p->to->plan;
	size_t len = strcspn(text, ":");

	for (unsigned i = 0; i < BENCH_NR_ORDERS; i++) {
		const char *name = bench_order_name(i);

		if (strlen(name) != len || strncmp(text, name, len) != 0)
			continue;
		plan->order = i;
		if (!text[len])
			return true;
		return i == BENCH_STRIDED &&
		       parse_count(text + len + 1, &plan->stride) &&
		       plan->stride > 0;
	}
	return false;
}

static bool set_place(struct parse *p, const char *text)
{
	static const enum uffd_place named[] = {
		LIBUFFD_PLACE_AUTO, LIBUFFD_PLACE_SAME, LIBUFFD_PLACE_APART,
		LIBUFFD_PLACE_NONE,
	};
	struct bench_plan *plan = &p->to->plan;

	plan->nr_cpus = 0;
	for (unsigned i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		if (strcmp(text, bench_place_name(named[i])) != 0)
			continue;
		plan->place = named[i];
		return true;
	}
	plan->place = LIBUFFD_PLACE_CPUS;
	return parse_cpus(text, plan->cpus, BENCH_MOST_CPUS, &plan->nr_cpus);
}

static const struct bench_mode *mode_named(const char *name, size_t len)
{
	for (unsigned i = 0; bench_modes[i]; i++)
		if (strlen(bench_modes[i]->name) == len &&
		    strncmp(name, bench_modes[i]->name, len) == 0)
			return bench_modes[i];
	return NULL;
}

/* A list of names, none of them twice. */
static bool set_modes(struct parse *p, const char *text)
{
	struct bench_plan *plan = &p->to->plan;

	plan->nr_modes = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		const struct bench_mode *m = mode_named(text, len);

		if (!m || bench_row_of(plan, m->name) >= 0)
			return false;
		plan->modes[plan->nr_modes++] = m;
		if (!text[len])
			return true;
		text += len + 1;
	}
}

static bool set_raw(struct parse *p, const char *text)
{
	p->to->raw = text;
	return *text != '\0';
}

static bool set_plot(struct parse *p, const char *text)
{
	const char *dot = strrchr(text, '.');

	p->to->plot = text;
	return dot && dot != text &&
	       (strcmp(dot, ".svg") == 0 || strcmp(dot, ".png") == 0);
}

static bool set_format(struct parse *p, enum bench_format format)
{
	bool free = p->to->format == BENCH_TABLE || p->to->format == format;

	p->to->format = format;
	return free;
}

static bool set_json(struct parse *p, const char *text)
{
	(void)text;
	return set_format(p, BENCH_JSON);
}

static bool set_csv(struct parse *p, const char *text)
{
	(void)text;
	return set_format(p, BENCH_CSV);
}

/* ---- the table ----------------------------------------------------------- */

#define MODES "classic, thread, sigbus, kernel, sigsegv"

static const struct entry {
	const char *name;
	const char *value;	/* NULL: takes none */
	bool (*set)(struct parse *p, const char *text);
	const char *help;
	const char *accepted;
} entries[] = {
	{ "pages", "N", set_pages, "touch N pages in each mode (100000)",
	  "a whole number, 1 or more" },
	{ "rounds", "N", set_rounds, "split them over N rounds (5)",
	  "a whole number from 1 to 1000" },
	{ "modes", "LIST", set_modes, "measure these, in this order (all)",
	  "names with commas between them, each once, out of " MODES },
	{ "memory", "KIND", set_memory, "kind of memory (private)",
	  "private, shared, memfd-shared, memfd-private, hugetlb-2m or "
	  "hugetlb-1g" },
	{ "page-size", "SIZE", set_page_size,
	  "4K; 2M and 1G stand for hugetlb memory",
	  "a size in bytes, such as 4K, 2M or 1G" },
	{ "fault", "KIND", set_fault, "missing, minor or wp (missing)",
	  "missing, minor or wp" },
	{ "access", "KIND", set_access, "read or write (write)",
	  "read or write" },
	{ "order", "ORDER", set_order,
	  "sequential, random, strided[:N], backward",
	  "sequential, random, strided, strided:N with N pages (1 or more), "
	  "or backward" },
	{ "batch", "N", set_batch, "thread, sigbus: up to N pages a fault (1)",
	  "a whole number from 1 to 512" },
	{ "threads", "N", set_threads, "threads that fault (1)",
	  "a whole number from 1 to 256" },
	{ "handlers", "N", set_handlers, "thread: handler threads (1)",
	  "a whole number from 1 to 256" },
	{ "place", "WHERE", set_place,
	  "thread: auto, same, apart, none or processors",
	  "auto, same, apart, none, or a list of processors such as 0,2-3" },
	{ "spin", "US", set_spin,
	  "thread: look for faults this long, burning (0)",
	  "microseconds, a whole number from 0 to 1000000" },
	{ "seed", "N", set_seed, "of random order and content (1)",
	  "a whole number" },
	{ "json", NULL, set_json, "print JSON instead of tables",
	  "not together with --csv" },
	{ "csv", NULL, set_csv, "print CSV instead of tables",
	  "not together with --json" },
	{ "raw", "FILE", set_raw, "write every latency in ns, one a line",
	  "the name of a file" },
	{ "plot", "FILE", set_plot, "draw the distributions (.svg or .png)",
	  "the name of a file that ends in .svg or .png" },
};

#define NR_ENTRIES (sizeof(entries) / sizeof(entries[0]))

static void tell_help(void)
{
	puts("Usage: uffd bench [OPTION ...]\n"
	     "       uffd bench ops [OPTION ...]\n"
	     "       uffd bench paging [OPTION ...]\n"
	     "\n"
	     "Measure what a page fault costs that user space resolves: every\n"
	     "page is touched once, timed, and its content checked.\n"
	     "`uffd bench ops` measures single operations instead, `uffd bench\n"
	     "paging` regions that are larger than memory.\n"
	     "\n"
	     "Modes:");
	for (unsigned i = 0; bench_modes[i]; i++)
		printf("  %-18s %s\n", bench_modes[i]->name,
		       bench_modes[i]->what);
	puts("\nOptions:");
	for (unsigned i = 0; i < NR_ENTRIES; i++) {
		const char *value = entries[i].value ? entries[i].value : "";
		int left = 15 - (int)strlen(entries[i].name);

		printf("  --%s %-*s %s\n", entries[i].name, left, value,
		       entries[i].help);
	}
	puts("  -h, --help         show this\n"
	     "\n"
	     "uffd-bench(1) is the manual.");
}

/* ---- the command line ---------------------------------------------------- */

static const struct option of_all[] = { OPTIONS_OF_ALL };

#define NR_OF_ALL (sizeof(of_all) / sizeof(of_all[0]))
#define NR_OPTIONS (NR_ENTRIES + NR_OF_ALL)

static void long_options(struct option options[NR_OPTIONS])
{
	for (unsigned i = 0; i < NR_ENTRIES; i++)
		options[i] = (struct option){
			.name = entries[i].name,
			.has_arg = entries[i].value ? required_argument :
						      no_argument,
			.val = OPTION_OWN + (int)i,
		};
	memcpy(options + NR_ENTRIES, of_all, sizeof(of_all));
}

static bool take(struct parse *p, const struct entry *e, const char *text)
{
	if (e->set(p, text))
		return true;
	if (e->value)
		say_error(p->program, "--%s '%s' is wrong: it takes %s",
			  e->name, text, e->accepted);
	else
		say_error(p->program, "--%s: %s", e->name, e->accepted);
	return false;
}

static enum bench_parsed scan(struct parse *p, int argc, char **argv)
{
	struct option options[NR_OPTIONS];
	int c;

	long_options(options);
	while ((c = next_option(argc, argv, options)) != -1) {
		switch (c) {
		case OPTION_HELP:
			tell_help();
			return BENCH_TOLD;
		case OPTION_LONG_OPTIONS:
			print_long_options(options);
			return BENCH_TOLD;
		case OPTION_WRONG:
			return BENCH_BAD;
		default:
			if (!take(p, &entries[c - OPTION_OWN], optarg))
				return BENCH_BAD;
		}
	}
	return no_arguments(argc, argv) ? BENCH_BAD : BENCH_GO;
}

/* ---- what was not given follows from what was ---------------------------- */

static bool settle_page_size(struct parse *p)
{
	struct bench_plan *plan = &p->to->plan;

	if (p->page_size && !p->memory) {
		if (p->asked_size == bench_page_size(LIBUFFD_MEM_HUGETLB_2M))
			plan->memory = LIBUFFD_MEM_HUGETLB_2M;
		else if (p->asked_size ==
			 bench_page_size(LIBUFFD_MEM_HUGETLB_1G))
			plan->memory = LIBUFFD_MEM_HUGETLB_1G;
	}
	plan->page_size = bench_page_size(plan->memory);
	if (!p->page_size || p->asked_size == plan->page_size)
		return true;
	say_error(p->program, "--page-size: pages of %s memory have %luK; "
		  "--memory hugetlb-2m has 2M, hugetlb-1g has 1G",
		  uffd_memory_name(plan->memory), plan->page_size >> 10);
	return false;
}

/* Huge pages are scarce: as many as there are, not 100,000. (None at all:
 * a page a round, and the check will say what is missing.) */
static void settle_pages(struct parse *p)
{
	struct bench_plan *plan = &p->to->plan;
	uint64_t per_round;

	if (!p->pages && bench_is_huge(plan->memory)) {
		uint64_t have = bench_free_huge(plan->page_size);

		if (have < plan->pages)
			plan->pages = have ? have : plan->rounds;
	}
	per_round = plan->pages / plan->threads;
	if (!p->rounds && per_round < plan->rounds)
		plan->rounds = per_round ? (unsigned)per_round : 1;
}

static bool settle(struct parse *p)
{
	if (p->to->format == BENCH_JSON && !bench_have_json()) {
		say_error(p->program, "--json: this uffd was built without "
			  "jansson; --csv has the same figures");
		return false;
	}
	if (!settle_page_size(p))
		return false;
	settle_pages(p);
	return true;
}

enum bench_parsed bench_options_parse(int argc, char **argv,
				      struct bench_options *ret)
{
	struct parse p = { .program = argv[0], .to = ret };
	enum bench_parsed parsed;

	memset(ret, 0, sizeof(*ret));
	bench_plan_init(&ret->plan);
	parsed = scan(&p, argc, argv);
	if (parsed != BENCH_GO)
		return parsed;
	return settle(&p) ? BENCH_GO : BENCH_BAD;
}
