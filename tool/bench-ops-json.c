/* SPDX-License-Identifier: MIT */
#include "bench-ops.h"

#include "say.h"

#ifdef HAVE_JANSSON
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/utsname.h>

#include <uffd/kernel.h>

/* No more places than the clock can tell. */
static double tenths(double ns)
{
	return (double)(int64_t)(ns * 10 + 0.5) / 10;
}

static json_t *json_rows(const struct ops_report *report)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < report->nr_rows; i++) {
		const struct ops_row *row = &report->rows[i];

		json_array_append_new(rows, json_pack(
			"{s:s, s:s, s:i, s:i, s:f}",
			"op", ops_op_name(row->op),
			"memory", ops_memory_name(row->memory),
			"pages_per_call", (int)row->pages_per_call,
			"busy", (int)row->busy,
			"ns_per_page", tenths(row->ns_per_page)));
	}
	return rows;
}

static json_t *json_skips(const struct ops_report *report)
{
	json_t *skips = json_array();

	for (unsigned i = 0; i < report->nr_skips; i++) {
		const struct ops_skip *skip = &report->skips[i];

		json_array_append_new(skips, json_pack(
			"{s:s, s:s, s:s}",
			"op", ops_op_name(skip->op),
			"memory", ops_memory_name(skip->memory),
			"why", skip->why));
	}
	return skips;
}

bool ops_can_json(void)
{
	return true;
}

int ops_show_json(const char *program, const struct ops_report *report)
{
	struct utsname host;
	json_t *all;
	int err;

	if (uname(&host) < 0)
		return say_error(program, "this host has no name: uname(2) "
				 "fails");
	all = json_pack("{s:s, s:s, s:f, s:s, s:i, s:o, s:o}",
			"host", host.nodename,
			"kernel", host.release,
			"clock_ns", tenths(report->clock_ns),
			"version", uffd_version(),
			"disturbed", (int)report->nr_disturbed,
			"rows", json_rows(report),
			"skipped", json_skips(report));
	err = !all || json_dumpf(all, stdout, JSON_INDENT(1) |
				 JSON_REAL_PRECISION(12)) < 0;
	json_decref(all);
	putchar('\n');
	/* a disk that is full is finish_output()'s to tell */
	return err && !ferror(stdout) ?
		say_error(program, "these figures can't be put into JSON") : 0;
}
#else
bool ops_can_json(void)
{
	return false;
}

int ops_show_json(const char *program, const struct ops_report *report)
{
	(void)report;
	return say_error(program, "--json: this uffd was built without it");
}
#endif
