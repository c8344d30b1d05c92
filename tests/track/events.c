/* SPDX-License-Identifier: MIT */
/*
 * Write events: called before the first write, held, released, failed.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "look.h"

#define NR_THREADS 4

/* what the write function has seen; it may not allocate */
struct log {
	struct uffd_track *t;
	const struct place *p;
	atomic_uint nr;
	struct uffd_write w[256];
	char before[256];	/* first byte of the page, then */
	atomic_int answer;
	int (*_Atomic inside)(struct log *log, const struct uffd_write *w);
	int got;
};

/* The kernel puts the two in their order; sanitizers can't know. */
static char get(const char *byte)
{
	return __atomic_load_n(byte, __ATOMIC_RELAXED);
}

static int on_write(void *user, const struct uffd_write *w)
{
	struct log *log = user;
	const unsigned n = log->nr % 256;
	int (*inside)(struct log *log, const struct uffd_write *w);
	int answer = log->answer;

	log->w[n] = *w;
	log->before[n] = get((const char *)(uintptr_t)w->addr);
	inside = log->inside;
	if (inside)
		answer = inside(log, w);
	log->nr++;
	return answer;
}

static void begin(struct log *log, struct place *p, enum kind kind)
{
	const struct uffd_track_opts opts = {
		.sz = sizeof(opts),
		.write = on_write,
		.user = log,
	};

	memset(log, 0, sizeof(*log));
	log->p = p;
	CHECK(place_open(p, kind));
	for (unsigned i = 0; i < PAGES; i++)
		*at(p, i) = (char)i;
	SAME(uffd_track_new(&opts, &log->t), 0);
	SAME(uffd_track_method(log->t), LIBUFFD_TRACK_SYNC);
	SAME(uffd_track_add(log->t, (uintptr_t)p->m, p->len), 0);
	SAME(uffd_track_start(log->t), 0);
}

static void end(struct log *log, struct place *p)
{
	uffd_track_free(log->t);
	place_close(p);
}

/* write another first byte */
static void put(const struct place *p, unsigned page)
{
	__atomic_store_n(at(p, page), (char)(100 + page), __ATOMIC_RELAXED);
}

static void until(atomic_uint *what, unsigned value)
{
	while (*what < value)
		sched_yield();
}

static void before_kind(enum kind kind)
{
	struct place p;
	struct log log;

	begin(&log, &p, kind);
	put(&p, 5);
	put(&p, 5);
	put(&p, 2);
	SAME(log.nr, 2);
	SAME(log.w[0].addr, addr(&p, 5));
	SAME(log.w[0].len, p.page);
	SAME(log.w[0].tid, syscall(SYS_gettid));
	SAME(log.w[0].epoch, 1);
	SAME(log.before[0], 5);
	SAME(log.w[1].addr, addr(&p, 2));
	SAME(log.before[1], 2);
	SAME(look(log.t, &p), P(5) | P(2));
	put(&p, 5);
	SAME(log.nr, 3);
	SAME(log.w[2].epoch, 2);
	SAME(log.before[2], 105);
	SAME(look(log.t, &p), P(5));
	end(&log, &p);
}

static void before(void)
{
	static const enum kind kinds[] = { PRIVATE, PRIVATE_THP, SHARED, MEMFD,
					   MEMFD_PRIVATE };

	for (unsigned i = 0; i < NR(kinds); i++)
		before_kind(kinds[i]);
}

static void before_huge(void)
{
	struct place p;
	bool some;

	huge_begin();
	some = place_open(&p, HUGE_PRIVATE);
	if (some) {
		place_close(&p);
		before_kind(HUGE_PRIVATE);
		before_kind(HUGE_SHARED);
	}
	huge_end();
	if (!some)
		SKIP("no free huge pages");
}

static void untouched(void)
{
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	uffd_track_stop(log.t);
	madvise(p.m, p.len, MADV_DONTNEED);
	SAME(uffd_track_start(log.t), 0);
	put(&p, 3);
	SAME(log.nr, 1);
	SAME(log.before[0], 0);
	end(&log, &p);
}

static void by_system_call(void)
{
	struct place p;
	struct log log;
	int fds[2];

	begin(&log, &p, PRIVATE);
	SAME(pipe(fds), 0);
	SAME(write(fds[1], "xy", 2), 2);
	/* across a border, and unseen by sanitizers */
	SAME(syscall(SYS_read, fds[0], at(&p, 4) - 1, 2), 2);
	SAME(log.nr, 2);
	SAME(look(log.t, &p), P(3) | P(4));
	close(fds[0]);
	close(fds[1]);
	end(&log, &p);
}

struct writer {
	const struct place *p;
	unsigned page;
	atomic_uint *done;
	pthread_t thread;
};

static void *write_once(void *arg)
{
	struct writer *w = arg;

	put(w->p, w->page);
	(*w->done)++;
	return NULL;
}

static void start_writer(struct writer *w, const struct place *p, unsigned page,
			 atomic_uint *done)
{
	*w = (struct writer){ .p = p, .page = page, .done = done };
	SAME(pthread_create(&w->thread, NULL, write_once, w), 0);
}

static uint64_t held_now(const struct log *log)
{
	struct uffd_track_stats s;

	uffd_track_stats(log->t, &s);
	return s.held;
}

static void held(void)
{
	struct writer w[NR_THREADS];
	atomic_uint done = 0;
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	log.answer = LIBUFFD_WRITE_HOLD;
	for (unsigned i = 0; i < NR_THREADS; i++)
		start_writer(&w[i], &p, 2 * i, &done);
	until(&log.nr, NR_THREADS);
	SAME(done, 0);
	SAME(held_now(&log), NR_THREADS);
	for (unsigned i = 0; i < NR_THREADS; i++)
		SAME(get(at(&p, 2 * i)), 2 * i); /* the old content, still */
	SAME(look(log.t, &p), 0); /* not written yet */

	SAME(uffd_track_release(log.t, addr(&p, 4), p.page), 1);
	until(&done, 1);
	SAME(get(at(&p, 4)), 104);
	SAME(look(log.t, &p), P(4));
	SAME(uffd_track_release(log.t, (uintptr_t)p.m, p.len), NR_THREADS - 1);
	SAME(uffd_track_release(log.t, (uintptr_t)p.m, p.len), 0);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(w[i].thread, NULL);
	SAME(done, NR_THREADS);
	SAME(held_now(&log), 0);
	SAME(look(log.t, &p), P(0) | P(2) | P(6));
	SAME(log.nr, NR_THREADS);
	end(&log, &p);
}

static void one_call_for_many(void)
{
	struct writer w[NR_THREADS];
	atomic_uint done = 0;
	struct uffd_track_stats s;
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	log.answer = LIBUFFD_WRITE_HOLD;
	for (unsigned i = 0; i < NR_THREADS; i++)
		start_writer(&w[i], &p, 7, &done);
	do {
		sched_yield();
		uffd_track_stats(log.t, &s);
	} while (s.faults < NR_THREADS || !log.nr);
	SAME(log.nr, 1);
	SAME(done, 0);
	SAME(uffd_track_release(log.t, addr(&p, 7), p.page), 1);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(w[i].thread, NULL);
	SAME(log.nr, 1);
	SAME(look(log.t, &p), P(7));
	end(&log, &p);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* each signal makes the writer fault anew, and a message more */
static void signalled(void)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct uffd_track_stats s;
	atomic_uint done = 0;
	struct writer w;
	struct place p;
	struct log log;

	sigaction(SIGUSR1, &action, NULL);
	begin(&log, &p, PRIVATE);
	log.answer = LIBUFFD_WRITE_HOLD;
	start_writer(&w, &p, 7, &done);
	until(&log.nr, 1);
	do {
		pthread_kill(w.thread, SIGUSR1);
		sched_yield();
		uffd_track_stats(log.t, &s);
	} while (s.faults < 20);
	SAME(log.nr, 1);
	SAME(done, 0);
	SAME(uffd_track_release(log.t, addr(&p, 7), p.page), 1);
	pthread_join(w.thread, NULL);
	SAME(log.nr, 1);
	SAME(look(log.t, &p), P(7));
	end(&log, &p);
}

/* the write function itself, before it has said HOLD */
static int release_early(struct log *log, const struct uffd_write *w)
{
	log->got = (int)uffd_track_release(log->t, w->addr, w->len);
	return LIBUFFD_WRITE_HOLD;
}

static void early(void)
{
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	log.inside = release_early;
	put(&p, 3);
	until(&log.nr, 1);
	SAME(log.got, 1);
	SAME(held_now(&log), 0);
	SAME(look(log.t, &p), P(3));
	end(&log, &p);
}

static int call_inside(struct log *log, const struct uffd_write *w)
{
	struct uffd_written range;
	unsigned nr;

	if (uffd_track_collect(log->t, &range, 1, &nr) == -EDEADLK &&
	    uffd_track_start(log->t) == -EDEADLK &&
	    uffd_track_stop(log->t) == -EDEADLK &&
	    uffd_track_add(log->t, w->addr, w->len) == -EDEADLK &&
	    uffd_track_remove(log->t, w->addr) == -EDEADLK &&
	    uffd_track_epoch(log->t) == 1)
		log->got = 1;
	return LIBUFFD_WRITE_GO;
}

static void from_within(void)
{
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	log.inside = call_inside;
	put(&p, 3);
	SAME(log.nr, 1);
	SAME(log.got, 1);
	end(&log, &p);
}

static void failing(void)
{
	struct uffd_track_stats s;
	uint64_t where = 0;
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	SAME(uffd_track_failed(log.t, &where), 0);
	log.answer = -ENOSPC;
	put(&p, 3);
	log.answer = -EIO;
	put(&p, 4);
	log.answer = LIBUFFD_WRITE_GO;
	put(&p, 5);
	/* an answer that there is not */
	log.answer = 17;
	put(&p, 6);
	log.answer = LIBUFFD_WRITE_GO;
	put(&p, 8); /* by now the last one is counted */
	until(&log.nr, 5);
	SAME(look(log.t, &p), P(3) | P(4) | P(5) | P(6) | P(8));
	SAME(uffd_track_failed(log.t, &where), -ENOSPC);
	SAME(where, addr(&p, 3));
	SAME(uffd_track_failed(log.t, NULL), 0);
	uffd_track_stats(log.t, &s);
	SAME(s.failures, 3);
	end(&log, &p);
}

static void stop_lets_go(void)
{
	atomic_uint done = 0;
	struct writer w[3];
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	log.answer = LIBUFFD_WRITE_HOLD;
	start_writer(&w[0], &p, 3, &done);
	until(&log.nr, 1);
	SAME(uffd_track_stop(log.t), 0);
	pthread_join(w[0].thread, NULL);
	SAME(held_now(&log), 0);
	SAME(uffd_track_start(log.t), 0);

	start_writer(&w[1], &p, 4, &done);
	until(&log.nr, 2);
	SAME(uffd_track_remove(log.t, (uintptr_t)p.m), 0);
	pthread_join(w[1].thread, NULL);
	SAME(held_now(&log), 0);
	SAME(uffd_track_add(log.t, (uintptr_t)p.m, p.len), 0);

	start_writer(&w[2], &p, 5, &done);
	until(&log.nr, 3);
	uffd_track_free(log.t);
	pthread_join(w[2].thread, NULL);
	SAME(done, 3);
	place_close(&p);
}

/* held while its page is discarded, and while it is unmapped */
static void held_and_gone(void)
{
	atomic_uint done = 0;
	struct writer w;
	struct place p;
	struct log log;

	begin(&log, &p, PRIVATE);
	log.answer = LIBUFFD_WRITE_HOLD;
	start_writer(&w, &p, 3, &done);
	until(&log.nr, 1);
	SAME(madvise(at(&p, 3), p.page, MADV_DONTNEED), 0);
	put(&p, 3); /* no old content any more, so nobody is asked */
	SAME(done, 0);
	SAME(uffd_track_release(log.t, addr(&p, 3), p.page), 1);
	pthread_join(w.thread, NULL);
	SAME(look(log.t, &p), P(3));

	start_writer(&w, &p, 6, &done);
	until(&log.nr, 2);
	/* something else in its place: the writer goes on there */
	CHECK(mmap(at(&p, 6), p.page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == at(&p, 6));
	SAME(uffd_track_release(log.t, addr(&p, 6), p.page), 1);
	pthread_join(w.thread, NULL);
	SAME(get(at(&p, 6)), 106);
	SAME(look(log.t, &p), P(6));
	end(&log, &p);
}

static void next_epoch(void)
{
	struct uffd_written range;
	struct place p;
	struct log log;
	unsigned nr;

	begin(&log, &p, PRIVATE);
	/* a look that has passed page 2, but not page 12 */
	put(&p, 2);
	for (unsigned i = 4; i < PAGES; i += 2)
		put(&p, i);
	SAME(uffd_track_collect(log.t, &range, 1, &nr), 1);
	put(&p, 2);
	SAME(log.w[(log.nr - 1) % 256].addr, addr(&p, 2));
	SAME(log.w[(log.nr - 1) % 256].epoch, 2);
	look(log.t, &p);
	SAME(look(log.t, &p), P(2));
	end(&log, &p);
}

static void two_trackers(void)
{
	struct place p, q;
	struct log a, b;

	begin(&a, &p, PRIVATE);
	begin(&b, &q, SHARED);
	put(&p, 3);
	put(&q, 4);
	SAME(a.nr, 1);
	SAME(b.nr, 1);
	SAME(look(a.t, &p), P(3));
	SAME(look(b.t, &q), P(4));
	end(&a, &p);
	end(&b, &q);
}

static const struct promise promises[] = {
	{ "the call comes before the first write of an epoch, and once",
	  before },
	{ "on huge pages as well", before_huge },
	{ "and on pages never touched", untouched },
	{ "and before writes that system calls do", by_system_call },
	{ "many pages can be held, and are released one by one", held },
	{ "many writers to one page are one call", one_call_for_many },
	{ "signals to a held writer are no calls more", signalled },
	{ "a page can be released before HOLD is said", early },
	{ "calls into its own tracker are refused, but those allowed",
	  from_within },
	{ "a failing call lets the write go on, and is told once", failing },
	{ "stop, remove and free let held writes go on", stop_lets_go },
	{ "held writes survive a discard and a new mapping", held_and_gone },
	{ "behind a look that is under way, the epoch is the next one",
	  next_epoch },
	{ "two trackers don't disturb one another", two_trackers },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
