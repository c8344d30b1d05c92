/* SPDX-License-Identifier: MIT */
/*
 * Rounds. Every contestant is opened once, and lives through all cases:
 *
 *	for each case
 *		every contestant warms up: twice the pages of the budget
 *		for each round, every contestant has its turn
 *	every contestant looks at all its pages
 *
 * What each one did, turn by turn, is kept in a log. Since the same turn goes
 * the same way, the log is enough to know in the end how often each page was
 * written, and what other policies would have made of it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "paging-run.h"

#define WARM_UP_SECONDS 2

/* ---- who takes part ---------------------------------------------------- */

static void join(struct paging_run *run, enum paging_which system, int engine,
		 int store)
{
	struct paging_entry *e = &run->entries[run->nr_entries++];

	e->child.who = (struct paging_contestant){ system, engine, store };
	e->child.nth = run->nr_entries;
	paging_contestant_name(&e->child.who, e->name, sizeof(e->name));
}

/* Can it do any of the cases? */
static bool has_a_case(const struct paging_plan *plan, unsigned system)
{
	return !paging_system_of(system)->only_passes ||
	       (plan->patterns & 1u << PAGING_SEQUENTIAL &&
		plan->ops & 1u << PAGING_READ);
}

static void join_all(struct paging_run *run)
{
	const struct paging_plan *plan = run->plan;

	for (unsigned i = 0; i < PAGING_NR_SYSTEM; i++) {
		if (!(plan->systems & 1u << i) || !has_a_case(plan, i))
			continue;
		if (i != PAGING_LIBUFFD) {
			join(run, i, -1, -1);
			continue;
		}
		for (unsigned k = 0; k < PAGING_NR_STORE * PAGING_NR_ENGINE;
		     k++) {
			const unsigned engine = k % PAGING_NR_ENGINE;
			const unsigned store = k / PAGING_NR_ENGINE;

			if (plan->engines & 1u << engine &&
			    plan->stores & 1u << store)
				join(run, i, (int)engine, (int)store);
		}
	}
}

static bool takes_part(const struct paging_entry *e,
		       const struct paging_case *at)
{
	return !paging_system_of(e->child.who.system)->only_passes ||
	       (at->pattern == PAGING_SEQUENTIAL && at->op == PAGING_READ);
}

/* ---- a turn ------------------------------------------------------------ */

/* It is out. 0, unless there is a reason to end the run. */
static int out(struct paging_entry *e, int err, bool broken)
{
	e->out = true;
	e->broken = broken;
	return err == -EINTR ? err : 0;
}

static struct paging_turn *log_turn(struct paging_entry *e)
{
	void *more = realloc(e->log, (e->nr_log + 1) * sizeof(*e->log));

	if (!more)
		return NULL;
	e->log = more;
	return &e->log[e->nr_log++];
}

static int note(struct paging_entry *e, unsigned number, bool warm_up)
{
	const struct paging_mail *mail = e->child.mail;
	struct paging_turn *t = log_turn(e);

	if (!t)
		return -ENOMEM;
	*t = (struct paging_turn){
		.at = mail->at,
		.number = number,
		.warm_up = warm_up,
		.counts = mail->counts,
		.wall_ns = mail->wall_ns,
		.busy_ns = mail->busy_ns,
	};
	for (unsigned i = 0; i < mail->at.threads; i++) {
		t->done[i] = mail->done[i];
		t->accesses += mail->done[i];
	}
	if (!warm_up)
		paging_latency_merge(&e->latency, &mail->latency);
	return 0;
}

static uint64_t accesses_of(const struct paging_run *run,
			    const struct paging_case *at, bool warm_up)
{
	const uint64_t pages = run->stage.ground.pages;
	const bool in_order = at->pattern == PAGING_SEQUENTIAL ||
			      at->pattern == PAGING_STRIDED;
	uint64_t all = run->plan->accesses;

	if (warm_up)
		all = paging_budget(run->plan) / PAGING_PAGE * 2;
	else if (!all)
		all = in_order ? pages : 100000;
	return (all + at->threads - 1) / at->threads;
}

static int one_turn(struct paging_run *run, struct paging_entry *e,
		    const struct paging_case *at, bool warm_up)
{
	struct paging_mail *mail = e->child.mail;
	const unsigned seconds = warm_up ? WARM_UP_SECONDS : run->plan->seconds;
	int err;

	mail->ask = PAGING_ASK_TURN;
	mail->at = *at;
	mail->turn = run->turn;
	mail->accesses = accesses_of(run, at, warm_up);
	mail->nanoseconds = seconds * UINT64_C(1000000000);
	mail->cold = at->pattern == PAGING_SEQUENTIAL;
	err = paging_child_ask(&e->child, &run->stage, e->why);
	return err ? out(e, err, true) : note(e, run->turn, warm_up);
}

static void step(struct paging_run *run)
{
	run->steps++;
	if (run->plan->progress)
		run->plan->progress(run->plan->progress_arg, run->steps,
				    run->all_steps);
}

/* Everyone once, from the nth on. */
static int one_round(struct paging_run *run, const struct paging_case *at,
		     unsigned first, bool warm_up)
{
	int err = 0;

	for (unsigned i = 0; !err && i < run->nr_entries; i++) {
		struct paging_entry *e =
			&run->entries[(first + i) % run->nr_entries];

		if (!e->out && takes_part(e, at))
			err = one_turn(run, e, at, warm_up);
		step(run);
	}
	run->turn++;
	return err;
}

static int one_case(struct paging_run *run, const struct paging_case *at)
{
	int err;

	for (unsigned i = 0; i < run->nr_entries; i++) {
		memset(&run->entries[i].latency, 0,
		       sizeof(run->entries[i].latency));
		run->entries[i].child.resident_max = 0;
	}
	err = one_round(run, at, 0, true);
	for (unsigned i = 0; !err && i < run->plan->rounds; i++)
		err = one_round(run, at, i, false);
	return err ? err : paging_rows_add(run, at);
}

static int all_cases(struct paging_run *run)
{
	const struct paging_plan *plan = run->plan;
	int err = 0;

	for (unsigned i = 0; i < PAGING_NR_PATTERN * PAGING_NR_OP; i++) {
		struct paging_case at = {
			.pattern = i / PAGING_NR_OP,
			.op = i % PAGING_NR_OP,
		};

		if (!(plan->patterns & 1u << at.pattern) ||
		    !(plan->ops & 1u << at.op))
			continue;
		for (unsigned k = 0; !err && k < plan->nr_threads; k++) {
			at.threads = plan->threads[k];
			err = one_case(run, &at);
		}
	}
	return err;
}

/* ---- the beginning and the end ----------------------------------------- */

static int start_all(struct paging_run *run)
{
	int err = 0;

	for (unsigned i = 0; !err && i < run->nr_entries; i++) {
		struct paging_entry *e = &run->entries[i];

		err = paging_child_start(&e->child, &run->stage, e->why);
		if (err)
			err = out(e, err, err == -ECHILD || err == -EILSEQ ||
					  err == -ETIMEDOUT);
		step(run);
	}
	return err;
}

/* How often each page was written, by the log. */
static void expect(struct paging_run *run, const struct paging_entry *e)
{
	const struct paging_ground *g = &run->stage.ground;
	struct paging_trace trace;
	bool write;

	memset(run->stage.expected, 0, g->pages * sizeof(uint32_t));
	for (unsigned i = 0; i < e->nr_log; i++) {
		const struct paging_turn *t = &e->log[i];

		for (unsigned k = 0; k < t->at.threads; k++) {
			paging_trace_init(&trace, g, &t->at, t->number, k);
			for (uint64_t n = 0; n < t->done[k]; n++) {
				uint64_t page = paging_trace_next(&trace,
								  &write);

				run->stage.expected[page] += write;
			}
		}
	}
}

static int check_all(struct paging_run *run)
{
	int err = 0;

	for (unsigned i = 0; !err && i < run->nr_entries; i++) {
		struct paging_entry *e = &run->entries[i];

		if (!e->out) {
			expect(run, e);
			e->child.mail->ask = PAGING_ASK_CHECK;
			err = paging_child_ask(&e->child, &run->stage, e->why);
			if (err)
				err = out(e, err, true);
		}
		step(run);
	}
	return err;
}

static unsigned nr_bits(uint32_t mask)
{
	return (unsigned)__builtin_popcount(mask);
}

static int set_stage(struct paging_run *run)
{
	const uint64_t pages = paging_pages(run->plan);
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	run->stage.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->stage.signals < 0)
		return -errno;
	run->stage.expected = mmap(NULL, pages * sizeof(uint32_t),
				   PROT_READ | PROT_WRITE, MAP_SHARED |
				   MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (run->stage.expected == MAP_FAILED) {
		run->stage.expected = NULL;
		return -ENOMEM;
	}
	run->entries = calloc(PAGING_NR_SYSTEM + PAGING_NR_STORE *
			      PAGING_NR_ENGINE, sizeof(*run->entries));
	return run->entries ? paging_ground_init(&run->stage.ground, pages,
						 run->plan->seed) : -ENOMEM;
}

static void clear_stage(struct paging_run *run)
{
	for (unsigned i = 0; i < run->nr_entries; i++) {
		paging_child_stop(&run->entries[i].child);
		free(run->entries[i].log);
	}
	if (run->stage.expected)
		munmap(run->stage.expected,
		       paging_pages(run->plan) * sizeof(uint32_t));
	paging_ground_finish(&run->stage.ground);
	if (run->stage.signals >= 0)
		close(run->stage.signals);
	free(run->entries);
}

static int measure(struct paging_run *run)
{
	const struct paging_plan *plan = run->plan;
	const unsigned cases = nr_bits(plan->patterns) * nr_bits(plan->ops) *
			       plan->nr_threads;
	int err;

	join_all(run);
	for (unsigned i = 0; i < run->nr_entries; i++)
		paging_child_init(&run->entries[i].child);
	run->all_steps = run->nr_entries * (2 + cases * (plan->rounds + 1));
	err = start_all(run);
	if (!err)
		err = all_cases(run);
	if (!err)
		err = check_all(run);
	return err ? err : paging_gaps_add(run);
}

int paging_run(const struct paging_plan *plan, struct paging_report *ret)
{
	struct paging_run run = {
		.plan = plan,
		.stage = { .plan = plan, .signals = -1 },
		.report = ret,
	};
	int err;

	memset(ret, 0, sizeof(*ret));
	err = set_stage(&run);
	if (!err)
		err = measure(&run);
	if (err == -EINTR)
		snprintf(ret->error, sizeof(ret->error), "ended by %s",
			 strsignal(run.stage.caught));
	else if (err)
		snprintf(ret->error, sizeof(ret->error), "%s", strerror(-err));
	clear_stage(&run);
	return err;
}
