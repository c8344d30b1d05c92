/* SPDX-License-Identifier: MIT */
/*
 * What a program reads: CSV, JSON, and the latencies themselves.
 */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "bench-show.h"

void bench_fields(const struct bench_figure *f,
		  struct bench_field ret[BENCH_NR_FIELDS])
{
	const struct bench_field fields[BENCH_NR_FIELDS] = {
		{ "count", (double)f->count, true, true },
		{ "mean_ns", f->mean_ns, false, true },
		{ "mean_all_ns", f->mean_all_ns, false, true },
		{ "min_ns", (double)f->min_ns, true, true },
		{ "p50_ns", (double)f->p50_ns, true, true },
		{ "p90_ns", (double)f->p90_ns, true, true },
		{ "p99_ns", (double)f->p99_ns, true, true },
		{ "p999_ns", (double)f->p999_ns, true, true },
		{ "max_ns", (double)f->max_ns, true, true },
		{ "pages_per_s", f->pages_per_s, false, true },
		{ "cpu_ns_per_fault", f->cpu_ns_per_fault, false, true },
		{ "ctx_switches_per_fault", f->switches_per_fault, false,
		  true },
		{ "vs_classic", f->vs_classic, false, f->vs_classic > 0 },
		{ "vs_kernel", f->vs_kernel, false, f->vs_kernel > 0 },
	};

	memcpy(ret, fields, sizeof(fields));
}

/* ---- CSV ----------------------------------------------------------------- */

static void csv_value(FILE *out, const struct bench_field *f)
{
	if (!f->there)
		fputc(',', out);
	else
		fprintf(out, ",%.*f", f->whole ? 0 : 4, f->value);
}

void bench_show_csv(FILE *out, const struct bench_result *r)
{
	struct bench_field fields[BENCH_NR_FIELDS];

	for (unsigned i = 0; i < r->plan->nr_modes; i++) {
		bench_fields(&r->figures[i], fields);
		if (i == 0) {
			fputs("mode", out);
			for (unsigned k = 0; k < BENCH_NR_FIELDS; k++)
				fprintf(out, ",%s", fields[k].name);
			fputc('\n', out);
		}
		fputs(r->rows[i].mode->name, out);
		for (unsigned k = 0; k < BENCH_NR_FIELDS; k++)
			csv_value(out, &fields[k]);
		fputc('\n', out);
	}
}

/* ---- the latencies ------------------------------------------------------- */

void bench_show_raw(FILE *out, const struct bench_result *r)
{
	for (unsigned i = 0; i < r->plan->nr_modes; i++)
		for (uint64_t k = 0; k < r->plan->pages; k++)
			fprintf(out, "%lu\n", r->rows[i].ns[k]);
}

/* ---- JSON ---------------------------------------------------------------- */

#ifdef HAVE_JANSSON

bool bench_have_json(void)
{
	return true;
}

static void json_number(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static void json_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, json_string(text));
}

static json_t *json_row(const struct bench_row *row,
			const struct bench_figure *f)
{
	struct bench_field fields[BENCH_NR_FIELDS];
	json_t *o = json_object();

	json_text(o, "mode", row->mode->name);
	bench_fields(f, fields);
	for (unsigned k = 0; k < BENCH_NR_FIELDS; k++) {
		if (!fields[k].there)
			json_object_set_new(o, fields[k].name, json_null());
		else if (fields[k].whole)
			json_number(o, fields[k].name,
				    (uint64_t)fields[k].value);
		else
			json_object_set_new(o, fields[k].name,
					    json_real(fields[k].value));
	}
	if (strcmp(row->mode->name, "thread") == 0)
		json_text(o, "handler_place",
			  bench_place_name(row->stats.place));
	return o;
}

static void json_plan(json_t *o, const struct bench_plan *p)
{
	json_text(o, "memory", uffd_memory_name(p->memory));
	json_number(o, "pages", p->pages);
	json_number(o, "page_size", p->page_size);
	json_text(o, "fault", bench_fault_name(p->fault));
	json_text(o, "access", p->write ? "write" : "read");
	json_text(o, "order", bench_order_name(p->order));
	if (p->order == BENCH_STRIDED)
		json_number(o, "stride", p->stride);
	json_number(o, "rounds", p->rounds);
	json_number(o, "threads", p->threads);
	json_number(o, "handlers", p->handlers);
	json_number(o, "batch", p->batch);
	json_number(o, "spin_us", p->spin_us);
	json_number(o, "seed", p->seed);
	json_text(o, "place", bench_place_name(p->place));
}

int bench_show_json(FILE *out, const struct bench_result *r)
{
	json_t *o = json_object(), *rows = json_array();
	struct utsname uts;
	int err;

	uname(&uts);
	json_text(o, "version", uffd_version());
	json_text(o, "host", uts.nodename);
	json_text(o, "kernel", uts.release);
	json_object_set_new(o, "clock_ns", json_real(r->clock_ns));
	json_plan(o, r->plan);
	for (unsigned i = 0; i < r->plan->nr_modes; i++)
		json_array_append_new(rows,
				      json_row(&r->rows[i], &r->figures[i]));
	json_object_set_new(o, "rows", rows);
	err = json_dumpf(o, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	fputc('\n', out);
	json_decref(o);
	return err && !ferror(out) ? -ENOMEM : 0;
}

#else

bool bench_have_json(void)
{
	return false;
}

int bench_show_json(FILE *out, const struct bench_result *r)
{
	(void)out;
	(void)r;
	return -ENOSYS;
}

#endif
