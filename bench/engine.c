/* SPDX-License-Identifier: MIT */
/*
 * The library's engines: `thread` and `sigbus`.
 */
#include <errno.h>
#include <stdlib.h>

#include "scene.h"

static int answer_missing(struct bench_scene *s, struct uffd_answer *ret)
{
	uint64_t size = s->area.page_size;

	ret->src = bench_page_for(s, bench_page_at(s, ret->start),
				  (unsigned)(ret->len / size));
	ret->action = LIBUFFD_DO_COPY;
	return ret->src ? 0 : -ENOBUFS;
}

static int fault(void *user, const struct uffd_fault *f,
		 struct uffd_answer *ret)
{
	struct bench_scene *s = user;

	if (s->plan->batch > 1 &&
	    f->ahead_len <= s->sources.pages * s->area.page_size) {
		ret->start = f->ahead_start;
		ret->len = f->ahead_len;
	}
	switch (s->plan->fault) {
	case BENCH_MINOR:
		ret->action = LIBUFFD_DO_CONTINUE;
		return 0;
	case BENCH_WP:
		ret->action = LIBUFFD_DO_UNPROTECT;
		return 0;
	default:
		return answer_missing(s, ret);
	}
}

static void failed(void *user, const struct uffd_failure *failure)
{
	struct bench_scene *s = user;

	bench_trouble(&s->trouble, failure->error, failure->what);
}

static int add_area(struct bench_scene *s, struct uffd_engine *e,
		    const char **what)
{
	const struct bench_plan *p = s->plan;
	struct uffd_range_opts range = {
		.sz = sizeof(range),
		.start = (uintptr_t)s->area.start,
		.len = s->area.len,
		.mode = bench_register_mode(p),
		.page_size = p->page_size,
		.ahead_max = p->batch > 1 ? p->batch * p->page_size : 0,
		.fault = fault,
		.user = s,
	};
	int err;

	*what = "registering";
	err = uffd_engine_add(e, &range);
	if (err || p->fault != BENCH_WP)
		return err;
	*what = "write-protecting";
	return bench_protect(s, uffd_engine_fd(e));
}

static int engine_begin(struct bench_scene *s, enum uffd_engine_kind kind,
			const char **what)
{
	const struct bench_plan *p = s->plan;
	struct uffd_engine_opts opts = {
		.sz = sizeof(opts),
		.kind = kind,
		.need = bench_features(p),
		.failed = failed,
		.user = s,
	};
	struct uffd_engine *e;
	int err;

	if (kind == LIBUFFD_ENGINE_THREAD) {
		opts.place = p->place;
		opts.nr_handlers = p->handlers;
		opts.spin_us = p->spin_us;
		opts.cpus = p->nr_cpus ? p->cpus : NULL;
		opts.nr_cpus = p->nr_cpus;
	}
	*what = "starting the engine";
	err = uffd_engine_new(&opts, &e);
	if (err)
		return err;
	err = add_area(s, e, what);
	if (err) {
		uffd_engine_free(e);
		return err;
	}
	s->own = e;
	return 0;
}

static int thread_begin(struct bench_scene *s, const char **what)
{
	return engine_begin(s, LIBUFFD_ENGINE_THREAD, what);
}

static int sigbus_begin(struct bench_scene *s, const char **what)
{
	return engine_begin(s, LIBUFFD_ENGINE_SIGBUS, what);
}

static void engine_end(struct bench_scene *s)
{
	uffd_engine_stats(s->own, s->stats);
	uffd_engine_free(s->own);
}

static unsigned each_handler(const struct bench_plan *p)
{
	return p->handlers;
}

static unsigned each_thread(const struct bench_plan *p)
{
	return p->threads;
}

const struct bench_mode bench_thread = {
	.name = "thread",
	.what = "the library's handler thread",
	.ahead = true,
	.resolvers = each_handler,
	.begin = thread_begin,
	.end = engine_end,
};

const struct bench_mode bench_sigbus = {
	.name = "sigbus",
	.what = "the faulting thread resolves its own faults",
	.ahead = true,
	.resolvers = each_thread,
	.begin = sigbus_begin,
	.end = engine_end,
};
