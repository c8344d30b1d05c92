/* SPDX-License-Identifier: MIT */
/*
 * Making and freeing a pager.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kernel/opts.h"
#include "../public.h"
#include "pager.h"
#include "quiet.h"
#include "region.h"

#define EVENTS \
	(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
	 UFFD_FEATURE_EVENT_UNMAP)

int refuse(struct uffd_reason *reason, int error, const char *format, ...)
{
	va_list args;

	if (reason) {
		va_start(args, format);
		vsnprintf(reason->text, sizeof(reason->text), format, args);
		va_end(args);
	}
	return error;
}

static int check_opts(const struct uffd_pager_opts *o,
		      struct uffd_reason *reason)
{
	if (o->budget < LIBUFFD_BUDGET_MIN)
		return refuse(reason, -EINVAL,
			      "budget: %llu bytes are too few; at least %u",
			      (unsigned long long)o->budget,
			      LIBUFFD_BUDGET_MIN);
	if (o->budget > INT64_MAX / 4)
		return refuse(reason, -EINVAL, "budget: too large");
	if (o->engine != LIBUFFD_ENGINE_THREAD &&
	    o->engine != LIBUFFD_ENGINE_SIGBUS)
		return refuse(reason, -EINVAL, "engine: thread or sigbus");
	if (o->place != LIBUFFD_PLACE_AUTO && o->place != LIBUFFD_PLACE_SAME &&
	    o->place != LIBUFFD_PLACE_APART && o->place != LIBUFFD_PLACE_NONE)
		return refuse(reason, -EINVAL,
			      "place: AUTO, SAME, APART or NONE");
	if (o->pins != LIBUFFD_PINS_CALLED && o->pins != LIBUFFD_PINS_CHECKED)
		return refuse(reason, -EINVAL,
			      "pins: there is no default; choose between "
			      "CALLED (uffd_pin) and CHECKED");
	if (o->reserved)
		return refuse(reason, -EINVAL, "options: unknown ones are set");
	return 0;
}

static void *anonymous(uint64_t len, int flags)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags,
			-1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int get_memory(struct uffd_pager *p)
{
	int err = stats_new(p);

	if (err < 0)
		return err;
	p->buffers = anonymous((uint64_t)NR_BUFFERS * BUFFER_SIZE, 0);
	p->zeros = anonymous(LIBUFFD_PAGE_MOST, MAP_POPULATE);
	if (!p->buffers || !p->zeros)
		return -ENOMEM;
	for (unsigned shift = 12; UINT64_C(1) << shift <= LIBUFFD_PAGE_MOST;
	     shift++)
		p->zero_hash[shift] = hash_of(p->zeros, UINT64_C(1) << shift);
	p->pagemap = uffd_pagemap_open(0);
	return p->pagemap < 0 ? p->pagemap : 0;
}

static int get_engine(struct uffd_pager *p, const struct uffd_pager_opts *o,
		      struct uffd_reason *reason)
{
	const struct uffd_engine_opts opts = {
		.sz = sizeof(opts),
		.kind = o->engine,
		.place = o->place,
		.spin_us = o->spin_us,
		.need = o->pins == LIBUFFD_PINS_CHECKED ? UFFD_FEATURE_MOVE : 0,
		.want = EVENTS,
		.event = on_event,
		.user = p,
	};
	int err = uffd_engine_new(&opts, &p->engine);

	if (err == -EOPNOTSUPP && o->pins == LIBUFFD_PINS_CHECKED)
		return refuse(reason, err, "pins: this kernel has no "
			      "UFFDIO_MOVE (6.8), which alone can tell pinned "
			      "pages; use CALLED and uffd_pin()");
	if (err < 0)
		return refuse(reason, err, "userfaultfd: %s", strerror(-err));
	p->fd = uffd_engine_fd(p->engine);
	p->can_move = uffd_engine_opened(p->engine)->supported &
		      UFFD_FEATURE_MOVE;
	p->removes_seen = uffd_engine_opened(p->engine)->enabled &
			  UFFD_FEATURE_EVENT_REMOVE;
	return 0;
}

static int start(struct uffd_pager *p, const struct uffd_pager_opts *o,
		 struct uffd_reason *reason)
{
	int err = get_memory(p);

	if (err < 0)
		return refuse(reason, err, "memory or descriptors: %s",
			      strerror(-err));
	err = get_engine(p, o, reason);
	if (err == 0 && o->engine == LIBUFFD_ENGINE_THREAD) {
		err = worker_start(p);
		if (err < 0)
			refuse(reason, err, "no thread: %s", strerror(-err));
	}
	return err;
}

PUBLIC int uffd_pager_new(const struct uffd_pager_opts *opts,
			  struct uffd_reason *reason, struct uffd_pager **ret)
{
	struct uffd_pager_opts o;
	struct uffd_pager *p;
	int err;

	refuse(reason, 0, "%s", "");
	if (opts_take(&o, sizeof(o), opts) < 0)
		return refuse(reason, -EINVAL, "options: unknown ones are set");
	err = check_opts(&o, reason);
	if (err < 0)
		return err;
	p = anonymous(sizeof(*p), MAP_POPULATE);
	if (!p)
		return refuse(reason, -ENOMEM, "out of memory");
	p->pagemap = -1;
	p->kind = o.engine;
	p->pins = o.pins;
	p->deadline_ms = o.deadline_ms;
	p->failed = o.failed;
	p->user = o.user;
	p->budget = (int64_t)o.budget;
	queue_init(&p->queue);
	pthread_mutex_init(&p->regions_lock, NULL);
	err = start(p, &o, reason);
	if (err < 0) {
		uffd_pager_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

PUBLIC void uffd_pager_free(struct uffd_pager *p)
{
	if (!p)
		return;
	while (p->regions) {
		struct uffd_region *r = p->regions;

		if (uffd_region_free(r) < 0)
			uffd_region_abandon(r);
	}
	worker_stop(p);
	uffd_engine_free(p->engine);
	pools_free(p);
	free(p->pins_list);
	if (p->pagemap >= 0)
		close(p->pagemap);
	if (p->buffers)
		munmap(p->buffers, (size_t)NR_BUFFERS * BUFFER_SIZE);
	if (p->zeros)
		munmap(p->zeros, LIBUFFD_PAGE_MOST);
	if (p->staging_mapped)
		munmap(p->staging_mapped, 2 * LIBUFFD_PAGE_MOST);
	stats_free(p);
	pthread_mutex_destroy(&p->regions_lock);
	munmap(p, sizeof(*p));
}

PUBLIC int uffd_pager_set_budget(struct uffd_pager *p, uint64_t budget)
{
	struct quiet q;
	int err;

	if (budget < LIBUFFD_BUDGET_MIN || budget > INT64_MAX / 4)
		return -EINVAL;
	quiet_begin(&q);
	__atomic_store_n(&p->budget, (int64_t)budget, __ATOMIC_RELAXED);
	err = room_shrink(p);
	quiet_end(&q);
	return err;
}
