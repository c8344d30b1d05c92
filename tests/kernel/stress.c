/* SPDX-License-Identifier: MIT */
/*
 * All at once: every page of an area has a lock and a counter. Writers add to
 * counters at random, while the pages are taken away under them and brought
 * back by a handler. At the end each counter must be what the writers have
 * counted themselves.
 *
 *	writers			remover			handler
 *	lock a page		lock a page		read messages
 *	add to its counter	store it, drop it	sort, fill from
 *	(may fault: wait)	unlock			the store, wake
 *	unlock
 *
 * The lock, the count and the store are outside of the area. A page that came
 * back torn, twice or from another time would lose what was added to it.
 * Filling by the handler takes no lock: who faults holds it.
 */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "fixture.h"

#define NR_WRITERS 3
/* how often each page is taken away, on average */
#define ROUNDS 12u

struct page {
	pthread_mutex_t lock;
	uint64_t added;		/* by all writers together */
	uint64_t *counter;	/* in the area */
	char *stored;		/* its bytes when it was taken away */
};

struct stress {
	struct area a;
	struct page *pages;
	unsigned nr;
	int fd;
	int stop;
	char *alias;		/* for minor faults: where the pages are */
	bool protect;		/* bring pages back protected */
	atomic_bool over;
	atomic_uint nr_faults;
};

struct writer {
	struct stress *s;
	unsigned seed;
	struct actor actor;
};

static void write_some(void *data)
{
	struct writer *w = data;
	struct stress *s = w->s;

	for (unsigned i = 0; !atomic_load(&s->over); i++) {
		struct page *p = &s->pages[(unsigned)rand_r(&w->seed) % s->nr];

		pthread_mutex_lock(&p->lock);
		*p->counter += i;
		p->added += i;
		pthread_mutex_unlock(&p->lock);
	}
}

/* ---- taking away -------------------------------------------------------- */

static bool take_away(struct stress *s, unsigned n)
{
	struct page *p = &s->pages[n];
	bool there;

	pthread_mutex_lock(&p->lock);
	there = pagemap_bit(page_of(&s->a, n), PAGEMAP_PRESENT);
	if (there) {
		memcpy(p->stored, page_of(&s->a, n), s->a.page);
		SAME(uffd_drop(at_page(&s->a, n), s->a.page), 0);
		if (!s->alias && s->a.fd >= 0 && (s->a.is & TO_ALL))
			SAME(uffd_punch(s->a.fd, (uint64_t)n * s->a.page,
					s->a.page), 0);
	}
	pthread_mutex_unlock(&p->lock);
	return there;
}

static void remove_some(void *data)
{
	struct writer *w = data;
	struct stress *s = w->s;
	unsigned nr = 0;

	while (nr < ROUNDS * s->nr) {
		nr += take_away(s, (unsigned)rand_r(&w->seed) % s->nr);
		sched_yield();
	}
	atomic_store(&s->over, true);
}

/* ---- bringing back ------------------------------------------------------ */

static void bring_back(struct stress *s, unsigned n)
{
	uint64_t at = at_page(&s->a, n);
	struct uffd_progress p;
	int err;

	if (s->alias)
		err = uffd_continue_all(s->fd, at, s->a.page, 0, s->a.page, &p);
	else
		err = uffd_copy_all(s->fd, at, s->pages[n].stored, s->a.page,
				    s->protect ? UFFDIO_COPY_MODE_WP : 0,
				    s->a.page, &p);
	SAME(err, 0);
}

static void resolve(struct stress *s, const struct uffd_event *ev)
{
	unsigned n = (unsigned)((ev->addr - s->a.at) / s->a.page);

	atomic_fetch_add(&s->nr_faults, 1);
	CHECK(n < s->nr);
	if (ev->kind == LIBUFFD_FAULT_WP)
		SAME(uffd_writeprotect(s->fd, at_page(&s->a, n), s->a.page, 0),
		     s->a.page);
	else
		bring_back(s, n);
}

static void handle(void *data)
{
	struct stress *s = data;
	struct pollfd p[2] = {
		{ .fd = s->fd, .events = POLLIN },
		{ .fd = s->stop, .events = POLLIN },
	};
	struct uffd_msg msgs[16];
	struct uffd_batch b;
	struct uffd_event ev;

	SAME(uffd_batch_init(&b, msgs, NR(msgs)), 0);
	while (poll(p, 2, LIMIT_MS) > 0 && !p[1].revents) {
		CHECK(uffd_batch_read(s->fd, &b) >= 0);
		while (uffd_batch_next(&b, &ev))
			resolve(s, &ev);
	}
	CHECK(p[1].revents);
	uffd_batch_finish(&b);
}

/* ---- the whole ---------------------------------------------------------- */

static void make_pages(struct stress *s)
{
	char *store = map_anon(s->a.len);

	s->pages = calloc(s->nr, sizeof(*s->pages));
	CHECK(s->pages);
	for (unsigned i = 0; i < s->nr; i++) {
		pthread_mutex_init(&s->pages[i].lock, NULL);
		s->pages[i].stored = store + i * s->a.page;
		s->pages[i].counter = (uint64_t *)(void *)
			(page_of(&s->a, i) + s->a.page / 2);
	}
}

static void sums_are_right(const struct stress *s)
{
	for (unsigned i = 0; i < s->nr; i++)
		SAME(*s->pages[i].counter, s->pages[i].added);
}

static void run(struct stress *s)
{
	struct writer writers[NR_WRITERS], remover = { .s = s, .seed = 99 };
	struct actor handler;

	make_pages(s);
	s->stop = eventfd(0, EFD_CLOEXEC);
	start(&handler, handle, s);
	for (unsigned i = 0; i < NR_WRITERS; i++) {
		writers[i] = (struct writer){ .s = s, .seed = i + 1 };
		start(&writers[i].actor, write_some, &writers[i]);
	}
	start(&remover.actor, remove_some, &remover);
	for (unsigned i = 0; i < NR_WRITERS; i++)
		finish(&writers[i].actor);
	finish(&remover.actor);
	sums_are_right(s);
	SAME(eventfd_write(s->stop, 1), 0);
	finish(&handler);
	CHECK(atomic_load(&s->nr_faults) >= (ROUNDS - 1) * s->nr);
}

static struct stress stress(const struct memory *m, uint64_t mode)
{
	struct stress s = { .nr = m->is & HUGETLB ? 3 : 40 };

	s.a = map_area(m, s.nr);
	s.fd = open_uffd(0);
	watch(s.fd, &s.a, mode);
	return s;
}

static void missing(const struct memory *m)
{
	struct stress s = stress(m, MISSING);

	run(&s);
}

static void missing_and_protected(const struct memory *m)
{
	struct stress s = stress(m, MISSING | WP);

	s.protect = true;
	run(&s);
}

/* the pages stay in the page cache and are only unmapped */
static void minor(const struct memory *m)
{
	struct stress s = stress(m, MINOR);

	s.alias = map_alias(&s.a);
	memset(s.alias, 0, s.a.len);
	run(&s);
}

/* ---- several threads move at once --------------------------------------- */

struct mover {
	uint64_t a, b;
	unsigned nr;
	int fd;
	struct actor actor;
};

static void move_to_and_fro(void *data)
{
	struct mover *w = data;
	struct uffd_progress p;

	for (unsigned i = 0; i < 200; i++) {
		uint64_t from = i % 2 ? w->b : w->a, to = i % 2 ? w->a : w->b;
		int err;

		do {
			err = uffd_move_all(w->fd, to, from, w->nr * 4096ull, 0,
					    4096, &p);
		} while (err == -EAGAIN && p.done == 0);
		SAME(err, 0);
	}
}

static void movers(const struct memory *m)
{
	struct area a = map_area(m, 64), b = map_area(m, 64);
	struct mover movers[4];
	int fd = open_uffd(0);

	for (unsigned i = 0; i < 64; i++)
		memset(page_of(&a, i), (int)i, a.page);
	watch(fd, &a, MISSING);
	watch(fd, &b, MISSING);
	for (unsigned i = 0; i < 4; i++) {
		movers[i] = (struct mover){
			.a = at_page(&a, 16 * i),
			.b = at_page(&b, 16 * i),
			.nr = 16,
			.fd = fd,
		};
		start(&movers[i].actor, move_to_and_fro, &movers[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		finish(&movers[i].actor);
	for (unsigned i = 0; i < 64; i++)
		CHECK(all_are(page_of(&a, i), (char)i, a.page));
	CHECK(silent(fd));
}

/* Each page appears whole: who sees one end of it new sees the other, too. */
struct watcher {
	struct area a;
	atomic_uint at;
	struct actor actor;
};

static void see_both_ends(void *data)
{
	struct watcher *w = data;

	for (unsigned i = 0; i < w->a.len / w->a.page; i++) {
		volatile char *p = page_of(&w->a, i);
		char last = p[w->a.page - 1];

		SAME(last, (char)(i + 1));
		SAME(p[0], last);
	}
}

static void whole_pages(const struct memory *m)
{
	const unsigned nr = m->is & HUGETLB ? 4 : 500;
	struct watcher w = { .a = map_area(m, nr) };
	int fd = open_uffd(0);
	char *src = map_anon(w.a.page);

	watch(fd, &w.a, MISSING);
	start(&w.actor, see_both_ends, &w);
	for (unsigned i = 0; i < nr; i++) {
		int64_t n;

		memset(src, (int)(i + 1), w.a.page);
		n = uffd_copy(fd, at_page(&w.a, i), src, w.a.page, 0);
		SAME(n, w.a.page);
	}
	finish(&w.actor);
}

static const struct promise promises[] = {
	{ "counters survive taking pages away under their writers", missing,
	  ANON | MEMFD | HUGETLB, NEED_DROP, 0 },
	{ "they do, with pages that come back protected", missing_and_protected,
	  ANON | MEMFD | HUGETLB, NEED_WP | NEED_DROP, 0 },
	{ "they do, with minor faults", minor, SHARED | MEMFD | HUGE,
	  NEED_MINOR | NEED_DROP, 0 },
	{ "pages moved to and fro by several threads are not lost", movers,
	  ANON, 0, UFFD_FEATURE_MOVE },
	{ "a page appears whole or not at all", whole_pages, ALL, 0, 0 },
};

MAIN(promises)
