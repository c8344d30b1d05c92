/* SPDX-License-Identifier: MIT */
/*
 * Reading messages: how many, which, when, and what can be lost.
 */
#include "fixture.h"

static struct area watched(const struct memory *m, unsigned nr,
			   uint64_t features, int *ret_fd)
{
	struct area a = map_area(m, nr);

	*ret_fd = open_uffd(features);
	watch(*ret_fd, &a, MISSING);
	return a;
}

static void fill_all(int fd, const struct area *a)
{
	struct uffd_progress p;

	SAME(uffd_copy_all(fd, a->at, bytes_of('a', a->len), a->len, 0,
			   a->page, &p), 0);
}

static void nothing_there(const struct memory *m)
{
	struct uffd_msg msgs[2];
	struct uffd_batch b;
	struct uffd_event ev;
	int fd = open_uffd(0);

	(void)m;
	CHECK(read(fd, msgs, sizeof(msgs)) < 0);
	SAME(errno, EAGAIN);
	SAME(uffd_batch_init(&b, msgs, 2), 0);
	SAME(uffd_batch_read(fd, &b), 0);
	CHECK(!uffd_batch_next(&b, &ev));
	uffd_batch_finish(&b);
}

static void short_buffers(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, 0, &fd);
	char buf[4 * sizeof(struct uffd_msg)];
	const size_t one = sizeof(struct uffd_msg);
	struct touch t, u;

	touch_read(&t, a.p);
	await_waiters(fd, 1);
	SAME(one, 32);
	CHECK(read(fd, buf, one - 1) < 0);
	SAME(errno, EINVAL);
	SAME(read(fd, buf, one + 8), one);
	touch_read(&u, page_of(&a, 1));
	await_waiters(fd, 2);
	SAME(read(fd, buf, 3 * one), one);
	fill_all(fd, &a);
	touched(&t);
	touched(&u);
}

/* one read takes all that is there */
static void many_at_once(const struct memory *m)
{
	const unsigned nr = m->is & HUGETLB ? 4 : 20;
	int fd;
	struct area a = watched(m, nr, 0, &fd);
	struct touch t[20];
	struct uffd_msg msgs[32];
	struct uffd_batch b;
	struct uffd_event ev;
	uint64_t seen = 0;

	for (unsigned i = 0; i < nr; i++)
		touch_read(&t[i], page_of(&a, i));
	await_waiters(fd, nr);
	SAME(uffd_batch_init(&b, msgs, NR(msgs)), 0);
	SAME(uffd_batch_read(fd, &b), nr);
	while (uffd_batch_next(&b, &ev))
		seen |= UINT64_C(1) << (ev.addr - a.at) / a.page;
	SAME(seen, (UINT64_C(1) << nr) - 1);
	uffd_batch_finish(&b);
	fill_all(fd, &a);
	for (unsigned i = 0; i < nr; i++)
		SAME(touched(&t[i]), 'a');
}

static void same_page(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, 0, &fd);
	struct touch t[4];

	for (unsigned i = 0; i < NR(t); i++)
		touch_read(&t[i], a.p + i);
	await_waiters(fd, NR(t));
	for (unsigned i = 0; i < NR(t); i++)
		SAME(next_event(fd).addr, a.at);
	CHECK(silent(fd));
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	for (unsigned i = 0; i < NR(t); i++)
		SAME(touched(&t[i]), 'a');
}

/* Woken without a page, each asks again. */
static void each_asks_again(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, 0, &fd);
	struct touch t[2];

	for (unsigned i = 0; i < NR(t); i++)
		touch_read(&t[i], a.p);
	for (unsigned i = 0; i < NR(t); i++)
		next_event(fd);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	for (unsigned i = 0; i < NR(t); i++)
		SAME(next_event(fd).addr, a.at);
	fill_all(fd, &a);
	for (unsigned i = 0; i < NR(t); i++)
		touched(&t[i]);
}

/* Resolved before it was read: poll had said yes, read has nothing. */
static void gone_before_read(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, 0, &fd);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;
	struct uffd_batch b;
	struct touch t;

	SAME(uffd_batch_init(&b, &msg, 1), 0);
	touch_read(&t, a.p);
	SAME(poll(&ready, 1, LIMIT_MS), 1);
	SAME(ready.revents, POLLIN);
	fill_all(fd, &a);
	SAME(uffd_batch_read(fd, &b), 0);
	touched(&t);
	uffd_batch_finish(&b);
}

static void thread_id(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, UFFD_FEATURE_THREAD_ID, &fd);
	struct uffd_event ev;
	struct touch t;

	touch_read(&t, a.p);
	ev = next_event(fd);
	SAME(ev.tid, atomic_load(&t.actor.tid));
	fill_all(fd, &a);
	touched(&t);
}

static void masked(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, 0, &fd);
	struct touch t;

	touch_read(&t, a.p + 1234);
	SAME(next_event(fd).addr, a.at);
	fill_all(fd, &a);
	touched(&t);
}

static void exact(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, UFFD_FEATURE_EXACT_ADDRESS, &fd);
	const uint64_t off = a.page + a.page / 2 + 7;
	struct touch t;

	touch_read(&t, a.p + off);
	SAME(next_event(fd).addr, a.at + off);
	fill_all(fd, &a);
	touched(&t);
}

static void poll_blocking(const struct memory *m)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.flags = LIBUFFD_OPEN_BLOCKING,
	};
	struct pollfd p = { .events = POLLIN };

	(void)m;
	p.fd = uffd_open(&opts, NULL);
	CHECK(p.fd >= 0);
	SAME(poll(&p, 1, 0), 1);
	SAME(p.revents, POLLERR);
}

/* Read into a buffer that can't be written, a message is lost; waking brings
 * it again. */
static void lost(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, 0, &fd);
	struct uffd_msg *bad = (void *)map_anon(4096);
	struct uffd_batch b;
	struct touch t;

	SAME(uffd_batch_init(&b, bad, 4), 0);
	CHECK(mprotect(bad, 4096, PROT_NONE) == 0);
	touch_read(&t, a.p);
	await_waiters(fd, 1);
	SAME(uffd_batch_read(fd, &b), -EFAULT);
	CHECK(silent(fd));
	SAME(waiters(fd), 1);
	SAME(uffd_wake(fd, a.at, a.page), 0);
	SAME(next_event(fd).addr, a.at);
	fill_all(fd, &a);
	touched(&t);
}

static void bad_batch(const struct memory *m)
{
	struct uffd_msg msg;
	struct uffd_batch b;

	(void)m;
	SAME(uffd_batch_init(&b, &msg, 0), -EINVAL);
	SAME(uffd_batch_init(&b, NULL, 4), -EINVAL);
	uffd_batch_finish(&b);
	uffd_batch_finish(NULL);
	SAME(uffd_batch_init(&b, &msg, 1), 0);
	SAME(uffd_batch_read(-1, &b), -EBADF);
	uffd_batch_finish(&b);
	uffd_batch_finish(&b);
}

static const struct promise promises[] = {
	{ "a batch without room is EINVAL, and can be finished twice",
	  bad_batch, 0, 0, 0 },
	{ "no message: read says EAGAIN, uffd_batch_read 0", nothing_there, 0,
	  0, 0 },
	{ "a buffer too short is EINVAL, a longer one takes whole messages",
	  short_buffers, ALL, 0, 0 },
	{ "a message read into bad memory is lost until it is woken", lost,
	  ALL, 0, 0 },
	{ "poll of a blocking descriptor is an error", poll_blocking, 0, 0,
	  0 },
	{ "one read takes all messages", many_at_once, ALL, 0, 0 },
	{ "each thread on a page sends a message, one filling wakes all",
	  same_page, ALL, 0, 0 },
	{ "woken without a page, each thread asks again", each_asks_again, ALL,
	  0, 0 },
	{ "a message can be gone between poll and read", gone_before_read, ALL,
	  0, 0 },
	{ "THREAD_ID names the thread", thread_id, ALL, 0, 0 },
	{ "an address is that of the page", masked, ALL, 0, 0 },
	{ "EXACT_ADDRESS gives the address itself", exact, ALL, 0,
	  UFFD_FEATURE_EXACT_ADDRESS },
};

MAIN(promises)
