/* SPDX-License-Identifier: MIT */
/*
 * A contestant's process: opens its system, then does turns when it is asked.
 *
 * A thread takes one reading of the clock an access: from one to the next is
 * what the access took, with the choice of the page and the look at its mark,
 * some 50 ns.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "paging-inner.h"

struct worker {
	pthread_t thread;
	pthread_barrier_t *start;
	struct paging_seat *seat;
	const struct paging_mail *mail;
	unsigned nth;
	uint64_t done;
	uint64_t begin_ns, end_ns;
	uint64_t wrong;		/* page + 1 that was not what it should be */
	struct paging_latency latency;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- what systems use -------------------------------------------------- */

int paging_fail(const struct paging_seat *s, int err, const char *what)
{
	snprintf(s->why, PAGING_WHY_LEN, "%s: %s", what, strerror(-err));
	return err;
}

static uint64_t resident(void)
{
	unsigned long size = 0, pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	fclose(file);
	return pages * PAGING_PAGE;
}

void paging_note_resident(struct paging_seat *s)
{
	s->resident_before = resident();
}

void paging_count_kernel_faults(struct paging_counts *ret)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ret->faults = (uint64_t)(usage.ru_majflt + usage.ru_minflt);
}

/* ---- a turn ------------------------------------------------------------ */

static char *find(struct worker *w, uint64_t page)
{
	struct paging_seat *s = w->seat;

	return s->system->page ? s->system->page(s, w->nth, page) :
				 s->area + page * PAGING_PAGE;
}

static bool access_page(struct worker *w, uint64_t page, bool write)
{
	const uint64_t tag = paging_tag(w->seat->ground->seed, page);
	char *memory = find(w, page);
	struct paging_mark *mark;

	if (!memory)
		return false;
	mark = paging_mark_of(memory, tag);
	/* The first touch is the one that the operation calls for. */
	if (write)
		__atomic_fetch_add(&mark->count, 1, __ATOMIC_RELAXED);
	return __atomic_load_n(&mark->tag, __ATOMIC_RELAXED) == tag;
}

static void go(struct worker *w)
{
	const uint64_t deadline = w->begin_ns + w->mail->nanoseconds;
	uint64_t last = w->begin_ns;
	struct paging_trace trace;

	paging_trace_init(&trace, w->seat->ground, &w->mail->at, w->mail->turn,
			  w->nth);
	while (w->done < w->mail->accesses && last < deadline) {
		bool write;
		const uint64_t page = paging_trace_next(&trace, &write);
		uint64_t then = last;

		if (!access_page(w, page, write)) {
			w->wrong = page + 1;
			return;
		}
		last = now();
		paging_latency_add(&w->latency, last - then);
		w->done++;
	}
	w->end_ns = last;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(w->start);
	w->begin_ns = now();
	go(w);
	return NULL;
}

/* When one can't be started, the others wait at the barrier until the process
 * is ended, which is soon. */
static int start_all(struct worker *workers, unsigned nr)
{
	int err = 0;

	for (unsigned i = 0; i < nr && !err; i++)
		err = pthread_create(&workers[i].thread, NULL, work,
				     &workers[i]);
	return -err;
}

static void add_up(struct paging_mail *mail, const struct worker *workers)
{
	uint64_t begin = UINT64_MAX, end = 0;

	for (unsigned i = 0; i < mail->at.threads; i++) {
		const struct worker *w = &workers[i];

		mail->done[i] = w->done;
		mail->busy_ns += w->end_ns - w->begin_ns;
		begin = w->begin_ns < begin ? w->begin_ns : begin;
		end = w->end_ns > end ? w->end_ns : end;
		paging_latency_merge(&mail->latency, &w->latency);
	}
	mail->wall_ns = end - begin;
}

static int any_wrong(const struct paging_seat *s, const struct worker *workers,
		     unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		if (!workers[i].wrong)
			continue;
		snprintf(s->why, PAGING_WHY_LEN, "page %lu could not be read "
			 "or was not what was put there",
			 workers[i].wrong - 1);
		return -EILSEQ;
	}
	return 0;
}

static int run_threads(struct paging_seat *s, struct paging_mail *mail,
		       struct worker *workers)
{
	const unsigned nr = mail->at.threads;
	pthread_barrier_t start;
	int err;

	memset(workers, 0, nr * sizeof(*workers));
	pthread_barrier_init(&start, NULL, nr);
	for (unsigned i = 0; i < nr; i++) {
		workers[i].start = &start;
		workers[i].seat = s;
		workers[i].mail = mail;
		workers[i].nth = i;
	}
	err = start_all(workers, nr);
	if (err)
		return paging_fail(s, err, "a thread can't be started");
	for (unsigned i = 0; i < nr; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&start);
	err = any_wrong(s, workers, nr);
	if (!err)
		add_up(mail, workers);
	return err;
}

static void count(const struct paging_seat *s, struct paging_counts *ret)
{
	*ret = (struct paging_counts){ 0 };
	if (s->system->count)
		s->system->count(s, ret);
}

static void subtract(struct paging_counts *from, const struct paging_counts *it)
{
	from->faults -= it->faults;
	from->soft_faults -= it->soft_faults;
	from->read_bytes -= it->read_bytes;
	from->written_bytes -= it->written_bytes;
}

static int turn(struct paging_seat *s, struct paging_mail *mail,
		struct worker *workers)
{
	struct paging_counts before;
	int err = 0;

	if (mail->cold && s->system->cool)
		err = s->system->cool(s);
	if (!err && s->system->begin)
		s->system->begin(s, &mail->at);
	if (!err) {
		count(s, &before);
		err = run_threads(s, mail, workers);
	}
	if (!err) {
		count(s, &mail->counts);
		subtract(&mail->counts, &before);
	}
	return err;
}

/* ---- the end ----------------------------------------------------------- */

static int check_all(struct paging_seat *s)
{
	const struct paging_ground *g = s->ground;

	for (uint64_t page = 0; page < g->pages; page++) {
		struct worker w = { .seat = s };
		char *memory = find(&w, page);

		if (memory && paging_intact(g->seed, page, s->expected[page],
					    memory))
			continue;
		snprintf(s->why, PAGING_WHY_LEN, "in the end page %lu is not "
			 "what was written to it", page);
		return -EILSEQ;
	}
	return 0;
}

/* ---- questions and answers --------------------------------------------- */

static bool say(int sock)
{
	return send(sock, "", 1, MSG_NOSIGNAL) == 1;
}

static bool hear(int sock)
{
	char byte;
	ssize_t n;

	do
		n = recv(sock, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

static int answer(struct paging_seat *s, struct paging_mail *mail,
		  struct worker *workers)
{
	mail->busy_ns = mail->wall_ns = 0;
	memset(mail->done, 0, sizeof(mail->done));
	memset(&mail->latency, 0, sizeof(mail->latency));
	return mail->ask == PAGING_ASK_TURN ? turn(s, mail, workers) :
					     check_all(s);
}

void paging_work(struct paging_seat *s, struct paging_mail *mail, int sock)
{
	const size_t len = PAGING_MOST_THREADS * sizeof(struct worker);
	struct worker *workers = malloc(len);

	memset(mail, 0, sizeof(*mail));
	s->why = mail->why;
	if (workers) {
		/* ours before the limit, not part of what it limits */
		memset(workers, 1, len);
		mail->error = s->system->open(s);
	} else {
		mail->error = paging_fail(s, -ENOMEM, "threads");
	}
	mail->resident_before = s->resident_before;
	while (say(sock) && hear(sock))
		mail->error = answer(s, mail, workers);
	_exit(0);
}
