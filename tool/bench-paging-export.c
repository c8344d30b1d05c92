/* SPDX-License-Identifier: MIT */
/*
 * What programs read: JSON and CSV, the same fields under the same names.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include <uffd/kernel.h>

#include "bench-paging.h"
#include "say.h"

enum kind { WORD, WHOLE, REAL };

/* one field of a row; absent ones are null, or nothing between two commas */
struct field {
	const char *name;
	enum kind kind;
	bool there;
	const char *word;
	uint64_t whole;
	double real;
};

#define MOST_FIELDS 32

static struct field word(const char *name, const char *value)
{
	return (struct field){ name, WORD, value, value, 0, 0 };
}

static struct field whole(const char *name, uint64_t value)
{
	return (struct field){ name, WHOLE, true, NULL, value, 0 };
}

static struct field real(const char *name, double value, bool there)
{
	return (struct field){ name, REAL, there, NULL, 0, value };
}

static unsigned fields_of(const struct paging_plan *plan,
			  const struct paging_row *r, struct field *ret)
{
	const bool ours = r->system == PAGING_LIBUFFD;
	const bool hits = ours && plan->hits;
	const struct field fields[] = {
		word("system", paging_system_name(r->system)),
		word("engine", ours ? paging_engine_name((unsigned)r->engine) :
				      NULL),
		word("store", r->store),
		word("pattern", paging_pattern_name(r->at.pattern)),
		word("op", paging_op_name(r->at.op)),
		whole("threads", r->at.threads),
		whole("budget_pct", plan->budget_pct),
		real("ns_per_access", r->ns_per_access, true),
		real("mb_per_s", r->mb_per_s, true),
		whole("accesses", r->accesses),
		whole("faults", r->faults),
		whole("soft_faults", r->soft_faults),
		whole("read_bytes", r->read_bytes),
		whole("written_bytes", r->written_bytes),
		whole("resident_max_bytes", r->resident_max),
		whole("p50_ns", r->p50_ns),
		whole("p99_ns", r->p99_ns),
		whole("max_ns", r->max_ns),
		real("vs_swap_zram", r->vs_zram, r->vs_zram > 0),
		real("vs_mmap", r->vs_mmap, r->vs_mmap > 0),
		real("hit_rate", r->rates.hits, hits),
		real("lru", r->rates.lru, hits),
		real("clock", r->rates.clock, hits),
		real("fifo", r->rates.fifo, hits),
	};

	_Static_assert(sizeof(fields) / sizeof(fields[0]) <= MOST_FIELDS,
		       "room for all fields");
	memcpy(ret, fields, sizeof(fields));
	return sizeof(fields) / sizeof(fields[0]);
}

/* ---- CSV --------------------------------------------------------------- */

static void csv_value(const struct field *f)
{
	if (!f->there)
		return;
	if (f->kind == WORD)
		fputs(f->word, stdout);
	else if (f->kind == WHOLE)
		printf("%lu", f->whole);
	else
		printf("%.4f", f->real);
}

static void csv_names(const struct paging_plan *plan)
{
	const struct paging_row none = { .system = PAGING_READ2 };
	struct field fields[MOST_FIELDS];
	const unsigned nr = fields_of(plan, &none, fields);

	for (unsigned i = 0; i < nr; i++)
		printf("%s%s", i ? "," : "", fields[i].name);
	putchar('\n');
}

void paging_show_csv(const struct paging_plan *plan,
		     const struct paging_report *report)
{
	struct field fields[MOST_FIELDS];

	csv_names(plan);
	for (unsigned i = 0; i < report->nr_rows; i++) {
		const unsigned nr = fields_of(plan, &report->rows[i], fields);

		for (unsigned k = 0; k < nr; k++) {
			if (k)
				putchar(',');
			csv_value(&fields[k]);
		}
		putchar('\n');
	}
}

/* ---- JSON -------------------------------------------------------------- */

#ifdef HAVE_JANSSON

bool paging_can_json(void)
{
	return true;
}

static json_t *json_value(const struct field *f)
{
	if (!f->there)
		return json_null();
	if (f->kind == WORD)
		return json_string(f->word);
	if (f->kind == WHOLE)
		return json_integer((json_int_t)f->whole);
	return json_real(f->real);
}

static json_t *json_row(const struct paging_plan *plan,
			const struct paging_row *row)
{
	struct field fields[MOST_FIELDS];
	const unsigned nr = fields_of(plan, row, fields);
	json_t *object = json_object();

	for (unsigned i = 0; i < nr; i++)
		json_object_set_new(object, fields[i].name,
				    json_value(&fields[i]));
	return object;
}

static json_t *json_rows(const struct paging_plan *plan,
			 const struct paging_report *report)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < report->nr_rows; i++)
		json_array_append_new(rows, json_row(plan, &report->rows[i]));
	return rows;
}

static json_t *json_gaps(const struct paging_report *report)
{
	json_t *gaps = json_array();

	for (unsigned i = 0; i < report->nr_gaps; i++)
		json_array_append_new(gaps, json_pack("{s:s, s:s, s:b}",
			"name", report->gaps[i].name,
			"why", report->gaps[i].why,
			"broken", (int)report->gaps[i].broken));
	return gaps;
}

int paging_show_json(const char *program, const struct paging_plan *plan,
		     const struct paging_report *report)
{
	struct utsname host;
	json_t *all;
	int err;

	uname(&host);
	all = json_pack("{s:s, s:s, s:s, s:I, s:I, s:i, s:i, s:I, s:o, s:o}",
			"version", uffd_version(),
			"host", host.nodename,
			"kernel", host.release,
			"size", (json_int_t)plan->size,
			"budget", (json_int_t)paging_budget(plan),
			"rounds", (int)plan->rounds,
			"seconds", (int)plan->seconds,
			"seed", (json_int_t)plan->seed,
			"rows", json_rows(plan, report),
			"left_out", json_gaps(report));
	err = !all || json_dumpf(all, stdout, JSON_INDENT(1) |
				 JSON_REAL_PRECISION(9)) < 0;
	json_decref(all);
	putchar('\n');
	/* a disk that is full is finish_output()'s to tell */
	return err && !ferror(stdout) ?
		say_error(program, "these figures can't be put into JSON") : 0;
}

#else

bool paging_can_json(void)
{
	return false;
}

int paging_show_json(const char *program, const struct paging_plan *plan,
		     const struct paging_report *report)
{
	(void)plan;
	(void)report;
	return say_error(program, "--json: this uffd was built without it");
}

#endif
