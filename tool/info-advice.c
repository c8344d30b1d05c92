/* SPDX-License-Identifier: MIT */
/*
 * What follows from the costs.
 */
#include <stdio.h>

#include "info.h"

struct duration {
	char text[24];
};

static struct duration show(uint64_t ns)
{
	struct duration d;

	if (ns < 1000)
		snprintf(d.text, sizeof(d.text), "%u ns", (unsigned)ns);
	else if (ns < 100000)
		snprintf(d.text, sizeof(d.text), "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000)
		snprintf(d.text, sizeof(d.text), "%.0f us", (double)ns / 1e3);
	else
		snprintf(d.text, sizeof(d.text), "%.1f ms", (double)ns / 1e6);
	return d;
}

/* The handler thread is woken, and wakes the thread that faults. */
static uint64_t by_thread(uint64_t wake_ns)
{
	return 2 * wake_ns;
}

/* Another processor also works while this one does: a little more is fine. */
static bool apart_is_better(const struct uffd_costs *c)
{
	return c->wake_other_ns &&
	       c->wake_other_ns <= c->wake_same_ns + c->wake_same_ns / 4;
}

static void advise_place(const struct uffd_costs *c, char *ret, size_t size)
{
	const struct duration same = show(by_thread(c->wake_same_ns));
	const struct duration other = show(by_thread(c->wake_other_ns));

	if (!c->wake_other_ns)
		snprintf(ret, size, "about %s a fault", same.text);
	else if (apart_is_better(c))
		snprintf(ret, size, "with its handler on another processor "
			 "(APART), about %s a fault (on the same one: %s)",
			 other.text, same.text);
	else
		snprintf(ret, size, "with its handler on the processor of the "
			 "thread that faults (SAME), about %s a fault (on "
			 "another one: %s)", same.text, other.text);
}

static void advise_engine(const struct uffd_costs *c, char *ret, size_t size)
{
	const uint64_t wake_ns = apart_is_better(c) ? c->wake_other_ns :
						      c->wake_same_ns;
	const struct duration signal = show(c->signal_ns);
	char place[160];

	advise_place(c, place, sizeof(place));
	if (c->signal_ns && c->signal_ns < by_thread(wake_ns))
		snprintf(ret, size, "sigbus, about %s a fault beside filling "
			 "the page, if no system call meets missing memory (it "
			 "would fail); else thread, %s.", signal.text, place);
	else
		snprintf(ret, size, "thread, %s; sigbus saves nothing here.",
			 place);
}

static void advise_eviction(const struct uffd_costs *c, char *ret, size_t size)
{
	const struct duration one = show(c->shootdown_ns);
	const struct duration many = show(64 * c->shootdown_ns);

	if (!c->wake_other_ns)
		snprintf(ret, size, "with one processor there is no other to "
			 "be interrupted; taking pages away one by one is "
			 "fine.");
	else if (c->shootdown_ns)
		snprintf(ret, size, "lift slices (uffd_lift). Taking 64 pages "
			 "away while another thread runs costs %s in "
			 "interrupting it once, %s if done page by page.",
			 one.text, many.text);
}

void info_advise(const struct info *info, struct advice *ret)
{
	ret->engine[0] = '\0';
	ret->eviction[0] = '\0';
	if (!info->measured || info->costs_err < 0)
		return;
	advise_engine(&info->costs, ret->engine, sizeof(ret->engine));
	advise_eviction(&info->costs, ret->eviction, sizeof(ret->eviction));
}
