/* SPDX-License-Identifier: MIT */
/*
 * Random operations, by one thread against a shadow that knows every write,
 * and by several against a copy that is kept up to date by nothing but what
 * looks report.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

#define NR_SMALL 1300		/* more than one page table; written to
				 * every second page, more than a step */
#define NR_OPS 800
#define NR_WRITERS 3
#define NR_LOOKS 12

struct model {
	struct ctx *c;
	unsigned nr;		/* pages */
	unsigned *seed;
	bool written[NR_SMALL];	/* since the last look */
	bool found[NR_SMALL];
	unsigned border;	/* pages before and from here: two ranges */
};

static unsigned pick(const struct model *m, unsigned below)
{
	return (unsigned)rand_r(m->seed) / 7 % below;
}

/* a run of pages; short as a rule */
static unsigned pick_run(const struct model *m, unsigned *ret_nr)
{
	const unsigned first = pick(m, m->nr);
	const unsigned most = pick(m, 8) ? 9 : m->nr;
	const unsigned left = m->nr - first;

	*ret_nr = 1 + pick(m, left < most ? left : most);
	return first;
}

static void note(struct model *m, unsigned first, unsigned nr)
{
	memset(&m->written[first], true, nr);
}

/* ---- looking ---------------------------------------------------------------- */

static void note_found(struct model *m, const struct uffd_written *w)
{
	const uint64_t start = (uintptr_t)m->c->p.m;
	const uint64_t page = m->c->p.page;

	for (uint64_t a = w->start; a < w->start + w->len; a += page) {
		CHECK(!m->found[(a - start) / page]);
		m->found[(a - start) / page] = true;
	}
}

static void look_all(struct model *m, unsigned cap)
{
	struct uffd_written w[NR_SMALL];
	uint64_t last = 0;
	unsigned nr;
	int ret;

	memset(m->found, 0, sizeof(m->found));
	do {
		ret = uffd_track_collect(m->c->t, w, cap, &nr);
		for (unsigned i = 0; i < nr; i++) {
			CHECK(w[i].start > last);
			last = w[i].start + w[i].len;
			note_found(m, &w[i]);
		}
	} while (ret == 1);
	SAME(ret, 0);
}

static void op_look(struct model *m)
{
	unsigned missed = 0, too_many = 0;

	look_all(m, 1 + pick(m, pick(m, 2) ? 5 : NR_SMALL));
	for (unsigned i = 0; i < m->nr; i++) {
		missed += m->written[i] && !m->found[i];
		too_many += !m->written[i] && m->found[i];
	}
	SAME(missed, 0);
	SAME(too_many, 0);
	memset(m->written, 0, sizeof(m->written));
}

/* ---- operations ------------------------------------------------------------------ */

static void op_write(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);

	for (unsigned i = first; i < first + nr; i++)
		poke(&m->c->p, i);
	note(m, first, nr);
}

static void op_read(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);

	for (unsigned i = first; i < first + nr; i++)
		peek(&m->c->p, i);
}

static void op_discard(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);

	if (is_huge(m->c->p.kind) && !huge_holes_show())
		return;
	SAME(madvise(at(&m->c->p, first), nr * m->c->p.page, MADV_DONTNEED), 0);
	if (is_anonymous(m->c->p.kind))
		note(m, first, nr);
}

static void op_mark(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);

	if (first < m->border && first + nr > m->border)
		nr = m->border - first;
	SAME(uffd_track_mark(m->c->t, addr(&m->c->p, first),
			     nr * m->c->p.page), 0);
	note(m, first, nr);
}

static void op_protect(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);
	const int rw = PROT_READ | PROT_WRITE;
	const int less = pick(m, 2) ? PROT_READ : PROT_NONE;

	SAME(mprotect(at(&m->c->p, first), nr * m->c->p.page, less), 0);
	SAME(mprotect(at(&m->c->p, first), nr * m->c->p.page, rw), 0);
}

static void map_anew(struct model *m, unsigned first, unsigned nr)
{
	struct place *p = &m->c->p;
	const int flags = (is_private(p->kind) ? MAP_PRIVATE : MAP_SHARED) |
			  MAP_FIXED | (p->fd < 0 ? MAP_ANONYMOUS : 0);

	if (mmap(at(p, first), nr * p->page, PROT_READ | PROT_WRITE, flags,
		 p->fd, p->fd < 0 ? 0 : first * p->page) == at(p, first))
		note(m, first, nr);
	else if (is_huge(p->kind))
		m->c->skip = "the huge pages are somebody else's by now";
	else
		CHECK(!"mapped anew");
}

static void op_map_anew(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);

	if (!is_huge(m->c->p.kind) || huge_holes_show())
		map_anew(m, first, nr);
}

/* away and back again */
static void op_move(struct model *m)
{
	unsigned nr, first = pick_run(m, &nr);
	struct place *p = &m->c->p;
	const size_t len = nr * p->page;
	char *to, *back;

	if (is_huge(p->kind))
		return;
	to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	back = mremap(at(p, first), len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		      to);
	if (back == MAP_FAILED) { /* in several mappings, and half done */
		munmap(to, len);
		map_anew(m, first, nr);
		return;
	}
	back = mremap(to, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		      at(p, first));
	CHECK(back == at(p, first));
	note(m, first, nr);
}

static void op_fork(struct model *m)
{
	pid_t child;

	if (pick(m, 8) || (is_huge(m->c->p.kind) && !child_may_write_huge()))
		return;
	child = fork();
	if (child == 0) {
		/* not by the shared mapping: those writes are the parent's */
		if (is_private(m->c->p.kind))
			op_write(m);
		_exit(0);
	}
	CHECK(waitpid(child, NULL, 0) == child);
}

static void op_restart(struct model *m)
{
	SAME(uffd_track_stop(m->c->t), 0);
	op_write(m);
	SAME(uffd_track_start(m->c->t), 0);
	memset(m->written, 0, sizeof(m->written));
}

/* the two ranges meet elsewhere */
static void op_ranges(struct model *m)
{
	const struct place *p = &m->c->p;
	struct uffd_track *t = m->c->t;

	SAME(uffd_track_remove(t, addr(p, 0)), 0);
	if (m->border < m->nr)
		SAME(uffd_track_remove(t, addr(p, m->border)), 0);
	m->border = 1 + pick(m, m->nr);
	if (m->border < m->nr)
		SAME(uffd_track_add(t, addr(p, m->border),
				    (m->nr - m->border) * p->page), 0);
	SAME(uffd_track_add(t, addr(p, 0), m->border * p->page), 0);
	memset(m->written, 0, sizeof(m->written));
}

static void random_ops(struct ctx *c)
{
	static void (*const ops[])(struct model *m) = {
		op_write, op_write, op_write, op_read, op_read, op_discard,
		op_mark, op_protect, op_map_anew, op_move, op_fork, op_restart,
		op_ranges, op_look, op_look, op_look,
	};
	unsigned seed = 1 + (unsigned)c->p.kind + 10 * c->method;
	struct model m = { .c = c, .seed = &seed };

	m.nr = m.border = (unsigned)(c->p.len / c->p.page);
	for (unsigned i = 0; i < NR_OPS && !broken && !c->skip; i++) {
		const unsigned op = pick(&m, NR(ops));

		ops[op](&m);
		if (broken)
			printf("# operation %u was number %u\n", i, op);
	}
	if (c->skip)
		return;
	op_look(&m);
	op_look(&m);
}

/* ---- changed while a look is under way -------------------------------------------------- */

/*
 * More ranges than one step of a look finds; before the next step something is
 * mapped anew, so that this stops in the middle of what it finds.
 */
static void changed_meanwhile(struct ctx *c)
{
	struct uffd_written w[NR_SMALL];
	struct model m = { .c = c, .nr = (unsigned)(c->p.len / c->p.page) };
	unsigned nr;
	int ret;

	if (m.nr < NR_SMALL) {
		c->skip = "so many huge pages are too much";
		return;
	}
	for (unsigned i = 0; i < m.nr; i += 2)
		poke(&c->p, i);
	SAME(uffd_track_collect(c->t, w, 1, &nr), 1);
	note_found(&m, &w[0]);
	map_anew(&m, m.nr - 9, 3);
	do {
		ret = uffd_track_collect(c->t, w, NR_SMALL, &nr);
		for (unsigned i = 0; i < nr; i++)
			note_found(&m, &w[i]);
	} while (ret == 1);
	SAME(ret, 0);
	for (unsigned i = 0; i < m.nr; i++)
		SAME(m.found[i], i % 2 == 0 || m.written[i]);
}

/* ---- several threads ---------------------------------------------------------------- */

struct writer {
	struct model *m;
	unsigned seed;
	atomic_bool *stop;
	pthread_t thread;
};

static void write_some(struct writer *w)
{
	const struct place *p = &w->m->c->p;
	const unsigned page = (unsigned)rand_r(&w->seed) / 7 % w->m->nr;
	const unsigned what = (unsigned)rand_r(&w->seed) / 7 % 64;

	if (what == 0 && is_anonymous(p->kind))
		madvise(at(p, page), p->page, MADV_DONTNEED);
	else
		__atomic_fetch_add(&at(p, page)[what * 64], (char)1,
				   __ATOMIC_RELAXED);
	__atomic_store_n(&w->m->written[page], true, __ATOMIC_RELAXED);
}

static void *write_on(void *arg)
{
	struct writer *w = arg;

	while (!*w->stop)
		write_some(w);
	return NULL;
}

/* what a look reports is copied, and nothing else; by the kernel, since others
 * are writing to it */
static void copy(struct model *m, char *to)
{
	const struct place *p = &m->c->p;

	look_all(m, 1 + pick(m, NR_SMALL));
	for (unsigned i = 0; i < m->nr; i++) {
		const struct iovec here = { to + i * p->page, p->page };
		const struct iovec there = { at(p, i), p->page };

		if (m->found[i])
			CHECK(process_vm_readv(getpid(), &here, 1, &there, 1,
					       0) == (ssize_t)p->page);
	}
}

static void threads(struct ctx *c)
{
	struct writer w[NR_WRITERS];
	unsigned seed = 99 + (unsigned)c->p.kind;
	struct model m = { .c = c, .seed = &seed };
	char *mirror = calloc(1, c->p.len);
	atomic_bool stop = false;
	bool ever[NR_SMALL] = { false };

	m.nr = (unsigned)(c->p.len / c->p.page);
	for (unsigned i = 0; i < NR_WRITERS; i++) {
		w[i] = (struct writer){ .m = &m, .seed = i, .stop = &stop };
		SAME(pthread_create(&w[i].thread, NULL, write_on, &w[i]), 0);
	}
	for (unsigned i = 0; i <= NR_LOOKS; i++) {
		if (i == NR_LOOKS) {
			stop = true;
			for (unsigned k = 0; k < NR_WRITERS; k++)
				pthread_join(w[k].thread, NULL);
		}
		copy(&m, mirror);
		for (unsigned k = 0; k < m.nr; k++)
			ever[k] |= m.found[k];
	}
	CHECK(memcmp(mirror, c->p.m, c->p.len) == 0);
	for (unsigned k = 0; k < m.nr; k++)
		SAME(ever[k], m.written[k]);
	copy(&m, mirror);
	for (unsigned k = 0; k < m.nr; k++)
		CHECK(!m.found[k]);
	free(mirror);
}

/* ---- signals ----------------------------------------------------------------------------- */

static void on_alarm(int sig)
{
	(void)sig;
}

/* a timer that goes off many times in each look */
static void interrupted(struct ctx *c)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, 100 }, { 0, 100 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	unsigned seed = 7;
	struct model m = { .c = c, .seed = &seed };

	m.nr = m.border = (unsigned)(c->p.len / c->p.page);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; i < 100 && !broken; i++) {
		op_write(&m);
		op_write(&m);
		op_look(&m);
	}
	setitimer(ITIMER_REAL, &never, NULL);
}

/* ---- all of it -------------------------------------------------------------------------- */

static const struct many many[] = {
	{ "random operations against a shadow", random_ops },
	{ "what is mapped anew during a look hides nothing", changed_meanwhile },
	{ "a copy of what looks report is the memory, with several writers",
	  threads },
	{ "looks interrupted by signals lose nothing", interrupted },
};

int main(void)
{
	return keep_many_of(many, NR(many), NR_SMALL);
}
