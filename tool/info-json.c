/* SPDX-License-Identifier: MIT */
/*
 * `uffd info --json`. The shape is told in uffd-info(1).
 */
#include <stdio.h>
#include <string.h>

#include "info.h"
#include "say.h"

#ifndef HAVE_JANSSON

int info_check_json(const char *program)
{
	return say_error(program, "--json is not in this build, which was "
			 "made without jansson (Debian: libjansson-dev)");
}

int info_print_json(const struct info *info, const char *program)
{
	(void)info;
	return info_check_json(program);
}

#else

#include <jansson.h>

/*
 * A value that could not be made is NULL, and jansson's "_new" functions fail
 * on it in their turn, so that only the last one need be looked at: `good`.
 */
struct object {
	json_t *json;
	bool good;
};

static struct object object_new(void)
{
	json_t *json = json_object();

	return (struct object){ json, json != NULL };
}

static void add(struct object *o, const char *key, json_t *value)
{
	if (json_object_set_new(o->json, key, value) < 0)
		o->good = false;
}

static json_t *done(struct object o)
{
	if (o.good)
		return o.json;
	json_decref(o.json);
	return NULL;
}

/* Names that people gave may hold any byte; JSON is UTF-8. */
static json_t *any_string(const char *text)
{
	json_t *json = json_string(text);
	char ascii[256];
	size_t i;

	if (json)
		return json;
	for (i = 0; text[i] && i + 1 < sizeof(ascii); i++)
		ascii[i] = text[i] & 0x80 ? '?' : text[i];
	ascii[i] = '\0';
	return json_string(ascii);
}

static json_t *error_or_null(int err)
{
	char buf[32];

	return err < 0 ? json_string(info_error_name(err, buf)) : json_null();
}

static json_t *account(const struct account *a)
{
	struct object o = object_new();

	add(&o, "uid", json_integer(a->uid));
	add(&o, "cap_sys_ptrace", json_boolean(a->ptrace));
	add(&o, "unprivileged_userfaultfd",
	    a->sysctl < 0 ? json_null() : json_integer(a->sysctl));
	add(&o, "seccomp", json_boolean(a->seccomp));
	add(&o, "container", json_boolean(a->container));
	add(&o, "user_namespace", json_boolean(a->user_namespace));
	add(&o, "processors", json_integer(a->nr_cpus));
	return done(o);
}

static json_t *way(int err)
{
	struct object o = object_new();

	add(&o, "ok", json_boolean(err == 0));
	add(&o, "error", error_or_null(err));
	return done(o);
}

static json_t *how(const struct info *info)
{
	if (info->open_err < 0)
		return json_null();
	switch (info->opened.how) {
	case LIBUFFD_BY_SYSCALL:
		return json_string(info_way_name(WAY_SYSCALL));
	case LIBUFFD_BY_DEVICE:
		return json_string(info_way_name(WAY_DEVICE));
	default:
		return json_string(info_way_name(WAY_USER_ONLY));
	}
}

static json_t *opening(const struct info *info)
{
	struct object o = object_new();

	add(&o, "how", how(info));
	add(&o, "error", error_or_null(info->open_err));
	add(&o, "kernel_faults",
	    json_boolean(info->open_err == 0 && info->opened.kernel_faults));
	add(&o, "syscall", way(info->ways[WAY_SYSCALL]));
	add(&o, "device", way(info->ways[WAY_DEVICE]));
	add(&o, "user_only", way(info->ways[WAY_USER_ONLY]));
	return done(o);
}

static json_t *feature(const struct info *info,
		       const struct uffd_feature_info *f)
{
	struct object o = object_new();

	add(&o, "name", json_string(f->name));
	add(&o, "bit", json_integer(__builtin_ctzll(f->bit)));
	add(&o, "since", json_string(f->since));
	add(&o, "what", json_string(f->what));
	add(&o, "supported",
	    info->open_err < 0 ? json_null() :
				 json_boolean(info->supported & f->bit));
	add(&o, "usable", json_boolean(info->usable & f->bit));
	return done(o);
}

static json_t *features(const struct info *info)
{
	const struct uffd_feature_info *f;
	json_t *array = json_array();

	for (unsigned n = 0; (f = uffd_feature_info(n)); n++) {
		if (json_array_append_new(array, feature(info, f)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *verdict(int tried)
{
	char buf[32];

	if (tried < 0)
		return json_sprintf("untried:%s", info_error_name(tried, buf));
	return json_string(tried ? "yes" : "no");
}

static json_t *memory(const struct info *info)
{
	struct object all = object_new();

	for (enum uffd_memory m = 0; m < LIBUFFD_NR_MEM; m++) {
		struct object one = object_new();

		for (enum uffd_op op = 0; op < LIBUFFD_NR_OP; op++)
			add(&one, uffd_op_name(op),
			    verdict(info->tried[m][op]));
		add(&all, uffd_memory_name(m), done(one));
	}
	return done(all);
}

static json_t *missing(const struct info *info)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < info->nr_missing; i++) {
		struct object o = object_new();

		add(&o, "what", json_string(info->missing[i].what));
		add(&o, "how", json_string(info->missing[i].how));
		add(&o, "never", json_boolean(info->missing[i].never));
		if (json_array_append_new(array, done(o)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *cost(uint64_t ns)
{
	return ns ? json_integer((json_int_t)ns) : json_null();
}

static json_t *costs(const struct info *info)
{
	const struct uffd_costs *c = &info->costs;
	struct object o;

	if (!info->measured)
		return json_null();
	o = object_new();
	add(&o, "clock_ns", cost(c->clock_ns));
	add(&o, "fault_ns", cost(c->fault_ns));
	add(&o, "signal_ns", cost(c->signal_ns));
	add(&o, "wake_same_ns", cost(c->wake_same_ns));
	add(&o, "wake_other_ns", cost(c->wake_other_ns));
	add(&o, "shootdown_ns", cost(c->shootdown_ns));
	return done(o);
}

static json_t *advice(const struct info *info)
{
	struct advice a;

	info_advise(info, &a);
	if (!a.engine[0])
		return json_null();
	if (!a.eviction[0])
		return json_sprintf("Engine: %s", a.engine);
	return json_sprintf("Engine: %s Eviction: %s", a.engine, a.eviction);
}

static json_t *everything(const struct info *info)
{
	struct object o = object_new();

	add(&o, "host", any_string(info->uts.nodename));
	add(&o, "kernel", any_string(info->uts.release));
	add(&o, "machine", any_string(info->uts.machine));
	add(&o, "version", json_string(uffd_version()));
	add(&o, "account", account(&info->account));
	add(&o, "open", opening(info));
	add(&o, "features", features(info));
	add(&o, "memory", memory(info));
	add(&o, "missing", missing(info));
	add(&o, "costs", costs(info));
	add(&o, "advice", advice(info));
	return done(o);
}

int info_check_json(const char *program)
{
	(void)program;
	return 0;
}

int info_print_json(const struct info *info, const char *program)
{
	json_t *json = everything(info);
	int ret;

	if (!json)
		return say_error(program, "no memory");
	/* that it could not be written shows when standard output is closed */
	ret = json_dumpf(json, stdout, JSON_INDENT(2));
	json_decref(json);
	if (ret == 0)
		putchar('\n');
	return 0;
}

#endif
