/* SPDX-License-Identifier: MIT */
/*
 * A process with registered memory forks.
 */
#include <sys/resource.h>

#include "fixture.h"

struct family {
	struct area a;
	int fd;
	char want;
	struct actor forker;
	int status;
};

static void look(void *data)
{
	struct family *f = data;

	SAME(f->a.p[0], f->want);
}

static void fork_and_look(void *data)
{
	struct family *f = data;

	f->status = end_of(start_child(look, f));
}

static struct family family(const struct memory *m, uint64_t features)
{
	struct family f = { .a = map_area(m, 2), .fd = open_uffd(features) };

	watch(f.fd, &f.a, MISSING);
	return f;
}

/* Nobody told: what is missing becomes zeros in the child. */
static void child_alone(const struct memory *m)
{
	struct family f = family(m, 0);
	struct touch t;

	f.want = 0;
	fork_and_look(&f);
	SAME(f.status, 0);
	CHECK(silent(f.fd));
	if (!(m->is & (ANON | HUGE_PRIVATE)))
		return; /* the child has put it into the page cache */
	touch_read(&t, f.a.p);
	SAME(next_event(f.fd).kind, LIBUFFD_FAULT_MISSING);
	SAME(uffd_copy(f.fd, f.a.at, bytes_of('p', f.a.page), f.a.page, 0),
	     f.a.page);
	SAME(touched(&t), 'p');
}

static void not_copied(const struct memory *m)
{
	struct family f = family(m, 0);
	siginfo_t info;

	CHECK(madvise(f.a.p, f.a.len, MADV_DONTFORK) == 0);
	pid_t child = fork();

	if (child == 0)
		_exit(try_touch(f.a.p, false, &info) == SIGSEGV ? 0 : 1);
	SAME(end_of(child), 0);
}

static void childs_faults(const struct memory *m)
{
	struct family f = family(m, UFFD_FEATURE_EVENT_FORK);
	struct uffd_event ev;
	int child;

	f.want = 'c';
	start(&f.forker, fork_and_look, &f);
	ev = next_event(f.fd);
	SAME(ev.kind, LIBUFFD_EVENT_FORK);
	child = ev.fork_fd;
	CHECK(child >= 0);
	SAME(uffd_api(child, 0, NULL), -EINVAL);
	CHECK(fcntl(child, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(child, F_GETFL) & O_NONBLOCK);
	ev = next_event(child);
	SAME(ev.kind, LIBUFFD_FAULT_MISSING);
	SAME(ev.addr, f.a.at);
	CHECK(silent(f.fd));
	SAME(copy_when_quiet(child, f.a.at, bytes_of('c', f.a.page), f.a.page),
	     f.a.page);
	finish(&f.forker);
	SAME(f.status, 0);
	/* the child is gone, and its descriptor says so */
	SAME(uffd_copy(child, at_page(&f.a, 1), bytes_of('c', f.a.page),
		       f.a.page, 0), -ESRCH);
	close(child);
}

/* features go over to the child */
static void same_features(const struct memory *m)
{
	const uint64_t features = UFFD_FEATURE_EVENT_FORK |
				  UFFD_FEATURE_THREAD_ID;
	struct family f = family(m, features);
	struct uffd_fdinfo info;
	struct uffd_event ev;

	f.want = 'c';
	start(&f.forker, fork_and_look, &f);
	ev = next_event(f.fd);
	SAME(uffd_fdinfo(0, ev.fork_fd, &info), 0);
	SAME(info.features, features);
	next_event(ev.fork_fd);
	SAME(copy_when_quiet(ev.fork_fd, f.a.at, bytes_of('c', f.a.page),
			     f.a.page), f.a.page);
	finish(&f.forker);
	SAME(f.status, 0);
}

static void fork_only(void *data)
{
	struct family *f = data;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	/* not end_of, which needs a descriptor */
	SAME(waitpid(child, &f->status, 0), child);
}

static void allow_fds(unsigned more)
{
	struct rlimit now;
	int lowest = dup(0);

	close(lowest);
	CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0);
	now.rlim_cur = (rlim_t)lowest + more;
	CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
}

/* No descriptor is left when the event is to be read: the batch's reserve is
 * used for the first, a second one waits, and none is lost. */
static void no_descriptor_left(const struct memory *m)
{
	struct family f = family(m, UFFD_FEATURE_EVENT_FORK), g;
	struct pollfd ready = { .fd = f.fd, .events = POLLIN };
	struct rlimit before;
	struct uffd_msg msgs[4];
	struct uffd_batch b;
	struct uffd_event ev;
	unsigned fds;

	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	SAME(uffd_batch_init(&b, msgs, NR(msgs)), 0);
	fds = nr_fds();
	allow_fds(0);
	f.status = -1;
	start(&f.forker, fork_only, &f);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	SAME(uffd_batch_read(f.fd, &b), 1);
	CHECK(uffd_batch_next(&b, &ev));
	SAME(ev.kind, LIBUFFD_EVENT_FORK);
	CHECK(ev.fork_fd >= 0);

	g = f;
	start(&g.forker, fork_only, &g);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	SAME(uffd_batch_read(f.fd, &b), -EMFILE);
	SAME(poll(&ready, 1, 0), 1);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	close(ev.fork_fd);
	SAME(uffd_batch_read(f.fd, &b), 1);
	CHECK(uffd_batch_next(&b, &ev));
	SAME(ev.kind, LIBUFFD_EVENT_FORK);
	close(ev.fork_fd);
	finish(&f.forker);
	finish(&g.forker);
	uffd_batch_finish(&b);
	SAME(nr_fds(), fds - 1);
}

static void not_taken(const struct memory *m)
{
	struct family f = family(m, UFFD_FEATURE_EVENT_FORK);
	struct pollfd ready = { .fd = f.fd, .events = POLLIN };
	unsigned fds = nr_fds();
	struct uffd_msg msgs[4];
	struct uffd_batch b;

	SAME(uffd_batch_init(&b, msgs, NR(msgs)), 0);
	for (unsigned i = 0; i < 2; i++) {
		start(&f.forker, fork_only, &f);
		SAME(poll(&ready, 1, LIMIT_MS), 1);
		SAME(uffd_batch_read(f.fd, &b), 1);
		finish(&f.forker);
	}
	uffd_batch_finish(&b);
	SAME(nr_fds(), fds);
}

/* ---- the child moves, drops and forgets, and the handler follows -------- */

/* what the child does; the parent's descriptor is of no use to it */
static void wander(void *data)
{
	struct family *f = data;
	char *to = f->a.p + 2 * f->a.page;

	SAME(f->a.p[0], 'c');
	CHECK(mremap(f->a.p, f->a.page, f->a.page,
		     MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	SAME(to[0], 'c');
	CHECK(madvise(to, f->a.page, MADV_DONTNEED) == 0);
	SAME(to[0], 0);
}

static void fork_and_wander(void *data)
{
	struct family *f = data;

	f->status = end_of(start_child(wander, f));
}

static void follow(const struct memory *m)
{
	struct family f = { .a = map_area(m, 4) };
	struct uffd_event ev;
	char *src = bytes_of('c', f.a.page);
	int child;

	munmap(page_of(&f.a, 2), 2 * f.a.page);
	f.fd = open_uffd(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
			 UFFD_FEATURE_EVENT_REMOVE);
	SAME(uffd_register(f.fd, f.a.at, 2 * f.a.page, MISSING, NULL), 0);
	start(&f.forker, fork_and_wander, &f);
	ev = next_event(f.fd);
	SAME(ev.kind, LIBUFFD_EVENT_FORK);
	child = ev.fork_fd;
	ev = next_event(child);
	SAME(ev.addr, f.a.at);
	SAME(copy_when_quiet(child, ev.addr, src, f.a.page), f.a.page);
	ev = next_event(child);
	SAME(ev.kind, LIBUFFD_EVENT_REMAP);
	SAME(ev.start, f.a.at);
	SAME(ev.to, at_page(&f.a, 2));
	ev = next_event(child);
	SAME(ev.kind, LIBUFFD_EVENT_REMOVE);
	SAME(ev.start, at_page(&f.a, 2));
	/* what was dropped comes back as zeros: it is the child's wish */
	ev = next_event(child);
	SAME(ev.kind, LIBUFFD_FAULT_MISSING);
	SAME(ev.addr, at_page(&f.a, 2));
	SAME(copy_when_quiet(child, ev.addr, bytes_of(0, f.a.page), f.a.page),
	     f.a.page);
	finish(&f.forker);
	SAME(f.status, 0);
}

/* A grandchild is told through the child's descriptor. */
static void fork_again(void *data)
{
	SAME(end_of(start_child(look, data)), 0);
}

static void fork_twice(void *data)
{
	struct family *f = data;

	f->status = end_of(start_child(fork_again, f));
}

static void grandchild(const struct memory *m)
{
	struct family f = family(m, UFFD_FEATURE_EVENT_FORK);
	int child, grand;

	f.want = 'g';
	start(&f.forker, fork_twice, &f);
	child = next_event(f.fd).fork_fd;
	CHECK(child >= 0);
	grand = next_event(child).fork_fd;
	CHECK(grand >= 0);
	SAME(next_event(grand).kind, LIBUFFD_FAULT_MISSING);
	SAME(copy_when_quiet(grand, f.a.at, bytes_of('g', f.a.page),
			     f.a.page), f.a.page);
	finish(&f.forker);
	SAME(f.status, 0);
}

static const struct promise promises[] = {
	{ "without EVENT_FORK a child finds zeros where pages are missing",
	  child_alone, ALL, 0, 0 },
	{ "MADV_DONTFORK keeps it from having the memory", not_copied, ALL, 0,
	  0 },
	{ "no descriptor left: the reserve is used, then EMFILE, none is lost",
	  no_descriptor_left, ANON, NEED_FORK, 0 },
	{ "fork descriptors that nobody takes are closed", not_taken, ANON,
	  NEED_FORK, 0 },
	{ "a child's faults come through the descriptor of its FORK event",
	  childs_faults, ALL, NEED_FORK, 0 },
	{ "features go over to the child's descriptor", same_features, ALL,
	  NEED_FORK, 0 },
	{ "a grandchild is told through its parent's descriptor", grandchild,
	  ALL, NEED_FORK, 0 },
	{ "a handler can follow what a child moves and drops", follow,
	  TO_ONE & ~HUGETLB, NEED_FORK, 0 },
};

MAIN(promises)
