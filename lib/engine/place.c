/* SPDX-License-Identifier: MIT */
/*
 * Where handlers run.
 *
 * Three ways, of which some may be used: on the processor of the thread that
 * faults (SAME), the same while keeping that thread there (STAY, see stay.c),
 * and anywhere else (APART). What waking costs says which to begin with. From
 * then on the time from fault to fault decides: it is averaged over windows,
 * the others are tried for as long as it takes to see that they are worse,
 * and again each time that the number of faults has doubled, or when what was
 * chosen has become worse than it was. Nothing changes for less than a tenth,
 * so nothing flaps.
 */
#include "engine.h"

#define WINDOW 32		/* faults */
#define SETTLE 6		/* faults left out after a change */
#define SETTLE_STAY 16
#define IDLE_NS 1000000		/* a pause of the program, not a cost */
#define EARLY 6			/* faults, to see that a trial goes wrong */
#define FIRST_SPACING 4096	/* faults from trial to trial */
#define LEARNED_SPACING (1u << 15)
#define LONGEST_SPACING (1u << 20)
#define WORSE_WINDOWS 8
#define LOOK_EVERY 48		/* faults; a look takes microseconds */
#define LOOKS_DENSE 6
#define UNIT 1024		/* of a source's score */
#define ALONE 3			/* looks that found the same thread */

/* ---- setting up ---------------------------------------------------------------- */

int place_init(struct uffd_engine *e)
{
	struct place *p = &e->place;
	const uint32_t place = e->opts.place;
	struct wake_costs costs = { 0 };
	bool one;

	p->spacing = FIRST_SPACING;
	p->dense = LOOKS_DENSE;
	for (unsigned i = 0; i < NR_SOURCES; i++)
		p->sources[i].cpu = -1;
	if (e->kind != LIBUFFD_ENGINE_THREAD ||
	    sched_getaffinity(0, sizeof(p->allowed), &p->allowed) < 0)
		return 0;
	p->nr_allowed = (unsigned)CPU_COUNT(&p->allowed);
	if (p->nr_allowed < 2 || place == LIBUFFD_PLACE_CPUS ||
	    place == LIBUFFD_PLACE_NONE)
		return 0;

	one = e->nr_handlers == 1;
	if (place != LIBUFFD_PLACE_APART)
		wake_costs(&costs);
	p->arms[ARM_SAME] = place != LIBUFFD_PLACE_APART;
	p->arms[ARM_APART] = place != LIBUFFD_PLACE_SAME;
	p->arms[ARM_STAY] = p->arms[ARM_SAME] && one && costs.can_stay;
	e->stay.able = p->arms[ARM_STAY];
	p->best = ARM_APART;
	if (place == LIBUFFD_PLACE_SAME ||
	    (p->arms[ARM_SAME] && costs.other_ns > costs.same_ns * 3 / 2))
		p->best = ARM_SAME;
	/* what another engine has found out need not be found out at once */
	if (costs.learned && p->arms[costs.best]) {
		p->best = costs.best;
		p->spacing = LEARNED_SPACING;
		p->next_trial = p->spacing;
	}
	p->arm = p->best;
	return 0;
}

static bool movable(const struct place *p)
{
	return p->arms[ARM_SAME] || p->arms[ARM_APART];
}

/* ---- where do faults come from? --------------------------------------------------- */

static struct source *slot_for(struct place *p, int cpu)
{
	struct source *least = &p->sources[0];

	for (unsigned i = 0; i < NR_SOURCES; i++) {
		if (p->sources[i].cpu == cpu)
			return &p->sources[i];
		if (p->sources[i].score < least->score)
			least = &p->sources[i];
	}
	*least = (struct source){ .cpu = cpu };
	return least;
}

/* the nth busiest source, or NULL */
static const struct source *nth_source(const struct place *p, unsigned n)
{
	for (unsigned i = 0; i < NR_SOURCES; i++) {
		unsigned above = 0;

		for (unsigned k = 0; k < NR_SOURCES; k++)
			above += p->sources[k].score > p->sources[i].score ||
				 (p->sources[k].score == p->sources[i].score &&
				  k < i);
		if (above == n && p->sources[i].score)
			return &p->sources[i];
	}
	return NULL;
}

/* A fault came from there: recent ones count more. If they all come from one
 * thread, only the last one does. */
static void add_source(struct place *p, int cpu)
{
	const unsigned keep = p->alone >= ALONE ? 0 : 3;

	for (unsigned i = 0; i < NR_SOURCES; i++)
		p->sources[i].score = p->sources[i].score / 4 * keep;
	slot_for(p, cpu)->score += UNIT;
	p->changes++;
}

/* Look where the thread is, if it may have moved. */
static void look(struct handler *h, uint32_t tid)
{
	struct place *p = &h->e->place;
	int cpu;

	if (!p->dense && tid == p->last_tid && ++p->skipped < LOOK_EVERY)
		return;
	if (tid != p->last_tid && p->last_tid && ++p->skipped < 4)
		return;		/* many threads: now and then */
	cpu = watch_cpu_of(&h->watch, tid);
	p->alone = tid == p->last_tid ? p->alone + 1 : 0;
	p->last_tid = tid;
	p->skipped = 0;
	if (cpu < 0)
		return;
	add_source(p, cpu);
	if (p->dense)
		p->dense--;
	else if (h->placed && p->nr_allowed > 1 &&
		 !!CPU_ISSET((unsigned)cpu, &h->where) !=
			 (atomic_load(&p->arm) != ARM_APART))
		p->dense = LOOKS_DENSE;
}

/* ---- which way is best? -------------------------------------------------------------- */

static void begin_window(struct place *p, unsigned settle)
{
	p->sum = 0;
	p->nr = 0;
	p->moves = 0;
	p->settle = settle;
}

static void use(struct place *p, enum arm arm)
{
	if (p->arm != arm)
		p->dense = LOOKS_DENSE;
	p->arm = arm;
	p->changes++;
	begin_window(p, arm == ARM_STAY ? SETTLE_STAY : SETTLE);
}

/* Keeping the thread in place is for those that don't stay by themselves. */
static bool worth_trying(const struct place *p, enum arm arm)
{
	if (!p->arms[arm] || p->tried[arm] || arm == p->best)
		return false;
	return arm != ARM_STAY || p->moves > 0 || p->cost[ARM_STAY];
}

static void end_trials(struct place *p)
{
	p->chosen_cost = p->cost[p->best];
	wake_learn(p->best);
	p->next_trial = p->faults + p->spacing;
	if (p->spacing < LONGEST_SPACING)
		p->spacing *= 2;
	p->worse = 0;
	for (unsigned i = 0; i < NR_ARMS; i++)
		p->tried[i] = false;
	use(p, p->best);
}

/* The next one to try, or the end of it. */
static void next_trial(struct place *p)
{
	for (unsigned i = 0; i < NR_ARMS; i++) {
		if (!worth_trying(p, i))
			continue;
		p->tried[i] = true;
		use(p, i);
		return;
	}
	end_trials(p);
}

/* A window is full, or a trial has shown enough. */
static void judge(struct place *p)
{
	const enum arm arm = p->arm;
	const uint64_t cost = p->sum / p->nr;

	p->cost[arm] = cost;
	if (!p->good || cost < p->good)
		p->good = cost;
	else
		p->good += p->good / 256;	/* times may get worse */
	if (arm != p->best) {
		if (cost < p->cost[p->best] * 9 / 10) {
			p->tried[p->best] = true;
			p->best = arm;
		}
		next_trial(p);
		return;
	}
	if (!p->chosen_cost) /* learned, and not tried here */
		p->chosen_cost = cost;
	p->worse = cost > p->chosen_cost * 3 / 2 ? p->worse + 1 : 0;
	if (p->faults >= p->next_trial ||
	    (p->worse >= WORSE_WINDOWS &&
	     p->faults + p->spacing / 2 > p->next_trial))
		next_trial(p);
	else
		begin_window(p, 0);
}

static void note_cost(struct place *p, uint64_t ns)
{
	uint64_t known = p->cost[p->best];

	if (ns > IDLE_NS)
		return;
	/* so slow, the thread may be somewhere else: it is displaced whenever
	 * something runs on its processor at the wrong moment */
	if (p->good && ns > 3 * p->good && p->skipped >= 1)
		p->dense = 1;
	if (p->settle) {
		p->settle--;
		return;
	}
	p->sum += ns;
	p->nr++;
	if (p->nr == WINDOW ||
	    (p->arm != p->best && p->nr >= EARLY && p->sum / p->nr > 2 * known))
		judge(p);
}

static unsigned nr_choices(const struct place *p)
{
	return p->arms[ARM_SAME] + p->arms[ARM_STAY] + p->arms[ARM_APART];
}

/* ---- moving ------------------------------------------------------------------------------ */

/* The source that this handler has gone by so far: the processor it is on, or
 * the one that it keeps away from. */
static const struct source *gone_by(const struct handler *h)
{
	const struct place *p = &h->e->place;
	const bool on = h->where_arm != ARM_APART;

	for (unsigned i = 0; i < NR_SOURCES && h->placed; i++)
		if (p->sources[i].cpu >= 0 &&
		    !!CPU_ISSET((unsigned)p->sources[i].cpu, &h->where) == on)
			return &p->sources[i];
	return NULL;
}

/* The busiest source, or with several handlers the nth; but the one it goes by
 * until another is clearly busier. */
static const struct source *source_for(const struct handler *h)
{
	const struct place *p = &h->e->place;
	const bool apart = p->arm == ARM_APART;
	const struct source *busy = nth_source(p, apart ? 0 : h->index);
	const struct source *old = gone_by(h);

	if (old && busy && (h->where_arm == ARM_APART) == apart &&
	    busy->score < 2 * old->score)
		return old;
	return busy;
}

/* Where should it be? Into h->where; true if that is news. */
static bool plan(struct handler *h)
{
	const struct place *p = &h->e->place;
	const struct source *from = source_for(h);
	cpu_set_t set = p->allowed;

	if (from && p->arm != ARM_APART) {
		CPU_ZERO(&set);
		CPU_SET((unsigned)from->cpu, &set);
		if (!CPU_ISSET((unsigned)from->cpu, &p->allowed))
			return false;
	} else if (from || (from = nth_source(p, 0)) != NULL) {
		CPU_CLR((unsigned)from->cpu, &set);
	} else {
		return false;
	}
	if (h->placed && CPU_EQUAL(&set, &h->where))
		return false;
	h->where = set;
	h->where_arm = p->arm;
	return true;
}

void place_note(struct handler *h, uint32_t tid)
{
	struct place *p = &h->e->place;
	uint64_t now, since;

	if (!movable(p))
		return;
	p->faults++;
	look(h, tid);
	if (nr_choices(p) > 1) {
		now = now_ns();
		since = now - p->last_ns;
		p->last_ns = now;
		note_cost(p, since);
		if (p->arm == ARM_STAY)
			stay_note(h, since);
		else
			stay_leave(h);
	}
	if (h->seen_changes == p->changes)
		return;
	h->seen_changes = p->changes;
	h->to_move = plan(h);
	p->moves += h->to_move && h->placed;
	h->placed |= h->to_move;
}

void place_settle(struct handler *h)
{
	if (!h->to_move)
		return;
	h->to_move = false;
	if (sched_setaffinity(0, sizeof(h->where), &h->where) == 0)
		engine_count(h->e, (uintptr_t)h, COUNT_FOLLOWED, 1);
}

uint32_t place_now(const struct uffd_engine *e)
{
	const struct place *p = &e->place;

	if (!movable(p))
		return e->opts.place == LIBUFFD_PLACE_CPUS ?
			       LIBUFFD_PLACE_CPUS :
			       LIBUFFD_PLACE_NONE;
	return atomic_load(&p->arm) == ARM_APART ? LIBUFFD_PLACE_APART :
						   LIBUFFD_PLACE_SAME;
}
