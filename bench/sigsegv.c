/* SPDX-License-Identifier: MIT */
/*
 * What people used before, and some still do: the pages are protected, the
 * faulting thread gets SIGSEGV, and its handler opens the page and fills it.
 * (Another thread may see the page half filled; that is the design's flaw, and
 * no thread looks here.)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "scene.h"

/* A signal handler is given nothing of ours: it finds the scene here. */
static _Atomic(struct bench_scene *) on_stage;

/* Open everything, so that the thread gets out, and say what happened. */
static void give_up(struct bench_scene *s, int err)
{
	bench_trouble(&s->trouble, err, "mprotect");
	mprotect(s->area.start, s->area.len, PROT_READ | PROT_WRITE);
}

static void open_page(struct bench_scene *s, uint64_t addr)
{
	uint64_t size = s->area.page_size;
	uint64_t page = bench_page_at(s, addr);
	char *at = s->area.start + page * size;
	const void *src;

	if (mprotect(at, size, PROT_READ | PROT_WRITE) < 0) {
		give_up(s, -errno);
		return;
	}
	if (s->plan->fault != BENCH_MISSING)
		return;
	src = bench_page_for(s, page, 1);
	if (src)
		memcpy(at, src, size);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	struct bench_scene *s = atomic_load(&on_stage);
	uint64_t addr = (uintptr_t)info->si_addr;
	int saved = errno;

	(void)context;
	if (s && addr - (uintptr_t)s->area.start < s->area.len)
		open_page(s, addr);
	else
		signal(sig, SIG_DFL);	/* a bug: crash where it is */
	errno = saved;
}

static uint64_t max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long n = 65530;

	if (f) {
		if (fscanf(f, "%lu", &n) != 1)
			n = 65530;
		fclose(f);
	}
	return n;
}

/* Mappings that a round comes to at its worst: pages opened here and there
 * each split the mapping. */
static uint64_t mappings(const struct bench_plan *p)
{
	uint64_t nr = bench_share(p, p->rounds - 1);

	switch (p->order) {
	case BENCH_RANDOM:
		return nr / 2 + nr / 64;
	case BENCH_STRIDED:
		return 2 * (nr / p->stride + 1);
	default:
		return 2 * p->threads;
	}
}

static const char *sigsegv_refuse(const struct bench_plan *p)
{
	if (mappings(p) + 1000 > max_map_count())
		return "each page opened makes mappings of its own in this "
		       "order, more than vm.max_map_count; more --rounds or fewer "
		       "--pages, please";
	return NULL;
}

static int sigsegv_begin(struct bench_scene *s, const char **what)
{
	struct sigaction action = { .sa_sigaction = handler,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction *before = calloc(1, sizeof(*before));
	int prot = s->plan->fault == BENCH_WP ? PROT_READ : PROT_NONE;

	*what = "mprotect";
	if (!before)
		return -ENOMEM;
	if (mprotect(s->area.start, s->area.len, prot) < 0) {
		int err = -errno;

		free(before);
		return err;
	}
	atomic_store(&on_stage, s);
	sigaction(SIGSEGV, &action, before);
	s->own = before;
	return 0;
}

static void sigsegv_end(struct bench_scene *s)
{
	struct sigaction *before = s->own;

	sigaction(SIGSEGV, before, NULL);
	atomic_store(&on_stage, NULL);
	free(before);
}

static unsigned each_thread(const struct bench_plan *p)
{
	return p->threads;
}

const struct bench_mode bench_sigsegv = {
	.name = "sigsegv",
	.what = "mprotect and a signal handler: without userfaultfd",
	.refuse = sigsegv_refuse,
	.resolvers = each_thread,
	.begin = sigsegv_begin,
	.end = sigsegv_end,
};
