/* SPDX-License-Identifier: MIT */
/*
 * A handler thread: sleep until there are messages, hand out the events, then
 * serve the faults, run by run.
 *
 * It sleeps in read(2) itself where it can: one system call less a fault than
 * poll(2) first. What ends such a sleep is a message, so to be stopped it gets
 * one: a fault on a page that is there for nothing else. Handlers that spin,
 * and those that only read events for a sigbus engine (to which no faults are
 * sent), poll, and are stopped by an eventfd.
 */
#include <sys/prctl.h>
#include <time.h>

#include "engine.h"
#include "hand.h"

/* after a read that failed for want of descriptors, or worse */
#define READ_AGAIN_NS 10000000

static bool stopping(const struct uffd_engine *e)
{
	return atomic_load_explicit(&e->stopping, memory_order_acquire);
}

/* ---- waiting ------------------------------------------------------------------- */

/* Messages that are there already, without sleeping for them. */
static int read_now(struct handler *h)
{
	struct uffd_engine *e = h->e;
	int n;

	if (e->direct)
		fcntl(e->fd, F_SETFL, O_NONBLOCK);
	n = uffd_batch_read(e->fd, &h->batch);
	if (e->direct)
		fcntl(e->fd, F_SETFL, 0);
	return n;
}

/* From before messages are read until they are handed out. One handler reads at
 * a time. */
static void hand_begin(struct uffd_engine *e)
{
	atomic_fetch_add(&e->in_hand, 1);
}

static void hand_end(struct uffd_engine *e)
{
	if (atomic_load_explicit(&e->in_hand, memory_order_relaxed) & 1)
		atomic_fetch_add(&e->in_hand, 1);
}

static int read_into_hand(struct handler *h)
{
	int n;

	if (h->e->kind == LIBUFFD_ENGINE_SIGBUS)
		hand_begin(h->e);
	n = uffd_batch_read(h->e->fd, &h->batch);
	if (n <= 0)
		hand_end(h->e);
	return n;
}

void engine_wait_for_events(const struct uffd_engine *e)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	uint32_t seen = atomic_load(&e->in_hand);

	for (unsigned i = 0; (seen & 1) && seen == atomic_load(&e->in_hand);
	     i++) {
		/* not sched_yield(): it costs who calls it often his turns */
		if (i >= 64)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
	}
}

/* Look again and again for as long as the user allows. */
static int spin(struct handler *h)
{
	uint64_t until = now_ns() + h->e->opts.spin_us * UINT64_C(1000);
	int n;

	do {
		n = read_into_hand(h);
	} while (n == 0 && !stopping(h->e) && now_ns() < until);
	return n;
}

static int poll_and_read(struct handler *h)
{
	struct pollfd fds[] = {
		{ .fd = h->e->fd, .events = POLLIN },
		{ .fd = h->e->stop_fd, .events = POLLIN },
	};
	int n = h->e->opts.spin_us ? spin(h) : 0;

	if (n != 0)
		return n;
	n = sys_poll(fds, 2, -1);
	if (n < 0)
		return n == -EINTR ? 0 : n;
	return fds[0].revents ? read_into_hand(h) : 0;
}

static int wait_for_messages(struct handler *h)
{
	if (h->park.nr)
		return read_now(h);
	if (h->e->direct)
		return uffd_batch_read(h->e->fd, &h->batch);
	return poll_and_read(h);
}

/* ---- messages -------------------------------------------------------------------- */

static void hand_out(const struct uffd_engine *e, const struct uffd_event *ev)
{
	if (e->opts.event)
		e->opts.event(e->opts.user, ev);
	else if (ev->fork_fd >= 0)
		sys_close(ev->fork_fd);
}

static void stop_all(struct uffd_engine *e)
{
	atomic_store_explicit(&e->stopping, 1, memory_order_release);
}

/* The page that stops us. Only who has read its message says so to the others,
 * and lets go who touched it: nobody ends while that thread still waits. By
 * unregistering, which works while the layout changes, too. */
static bool is_stop(struct uffd_engine *e, uint64_t addr)
{
	uint64_t page = (uintptr_t)e->stop_page;

	if (!page || addr - page >= e->page_size)
		return false;
	stop_all(e);
	uffd_unregister(e->fd, page, e->page_size);
	return true;
}

/* A fault in no range: that was removed meanwhile. If it comes again and again
 * the memory is registered without ever having been added. */
static void stray(struct uffd_engine *e, uint64_t addr)
{
	uint64_t page = addr & ~(e->page_size - 1);

	if (doubt_again(e, page) == MOST_DOUBTS)
		engine_report(e, -ENOENT, page, "no range");
	uffd_wake(e->fd, page, e->page_size);
	sched_yield();
}

static void take_fault(struct handler *h, const struct uffd_event *ev,
		       unsigned *nr)
{
	struct range *r;
	struct one *one = &h->ones[*nr];

	if (is_stop(h->e, ev->addr))
		return;
	r = table_get(h->e->table, ev->addr);
	if (!r) {
		stray(h->e, ev->addr);
		return;
	}
	*one = (struct one){
		.r = r,
		.page = ev->addr & ~(r->page_size - 1),
		.tid = ev->tid,
		.order = *nr,
		.kind = ev->kind,
		.write = ev->write,
	};
	++*nr;
}

/* Events are handed out, faults collected; returns their number. */
static unsigned take_messages(struct handler *h)
{
	struct uffd_event ev;
	unsigned nr = 0;

	while (uffd_batch_next(&h->batch, &ev)) {
		switch (ev.kind) {
		case LIBUFFD_EVENT_FORK:
		case LIBUFFD_EVENT_REMAP:
		case LIBUFFD_EVENT_REMOVE:
		case LIBUFFD_EVENT_UNMAP:
			hand_out(h->e, &ev);
			break;
		case LIBUFFD_EVENT_UNKNOWN:
			engine_report(h->e, -EPROTO, ev.addr,
				      "unknown message");
			break;
		default:
			take_fault(h, &ev, &nr);
			break;
		}
	}
	return nr;
}

static void serve_faults(struct handler *h, unsigned nr)
{
	unsigned n;

	if (nr > 1)
		ones_sort(h->ones, nr);
	for (unsigned i = 0; i < nr; i += n) {
		struct uffd_fault f;

		n = ones_run(&h->ones[i], nr - i, &f);
		if (serve(h->ones[i].r, &f, f.tid) == SERVE_AGAIN)
			park_put(h, &f);
		for (unsigned k = i; k < i + n; k++)
			range_put(h->ones[k].r);
	}
}

/* ---- the loop ----------------------------------------------------------------------- */

static void read_failed(const struct uffd_engine *e, int error)
{
	const struct timespec moment = { .tv_nsec = READ_AGAIN_NS };

	engine_report(e, error, 0, "read");
	nanosleep(&moment, NULL);
}

/* Several handlers read one at a time, so that events keep their order and one
 * fault wakes one handler. Who has faults parked does not wait for its turn:
 * as long as another one reads, events do get through. */
static bool may_read(struct handler *h)
{
	if (h->e->nr_handlers == 1)
		return true;
	if (h->park.nr)
		return pthread_mutex_trylock(&h->e->reading) == 0;
	return pthread_mutex_lock(&h->e->reading) == 0;
}

/* Wait for messages and take them. Returns the number of faults to serve. */
static unsigned receive(struct handler *h)
{
	struct uffd_engine *e = h->e;
	unsigned nr = 0;
	int n = 0;

	if (!may_read(h))
		return 0;
	if (!stopping(e))
		n = wait_for_messages(h);
	if (n > 0) {
		atomic_store_explicit(&h->busy, 1, memory_order_relaxed);
		nr = take_messages(h);
		engine_count(e, (uintptr_t)h, COUNT_READS, 1);
		atomic_fetch_add_explicit(&h->rounds, 1, memory_order_relaxed);
		if (nr > 0) {
			engine_count(e, (uintptr_t)h, COUNT_FAULTS, nr);
			place_note(h, h->ones[0].tid);
		}
	}
	hand_end(e);
	if (e->nr_handlers > 1)
		pthread_mutex_unlock(&e->reading);
	if (n < 0)
		read_failed(e, n);
	return nr;
}

/* Have the stack resident, so that the path needs no page of it. */
static void touch_stack(void)
{
	volatile char room[65536];

	for (size_t i = 0; i < sizeof(room); i += 4096)
		room[i] = 0;
}

static void *handler_main(void *arg)
{
	struct handler *h = arg;

	prctl(PR_SET_NAME, "uffd-handler");
	atomic_store(&h->tid, (uint32_t)syscall(SYS_gettid));
	touch_stack();
	while (!stopping(h->e)) {
		unsigned nr = receive(h);

		if (nr)
			serve_faults(h, nr);
		if (h->park.nr)
			park_retry(h);
		if (nr)
			place_settle(h);
		atomic_store_explicit(&h->busy, 0, memory_order_relaxed);
	}
	return NULL;
}

/* ---- starting and stopping ------------------------------------------------------------- */

static int handler_init(struct uffd_engine *e, unsigned i)
{
	struct handler *h = &e->handlers[i];

	h->e = e;
	h->index = i;
	watch_init(&h->watch);
	return uffd_batch_init(&h->batch, h->msgs, NR_MSGS);
}

static void handler_finish(struct handler *h)
{
	uffd_batch_finish(&h->batch);
	watch_finish(&h->watch);
}

/* Pinned already when it starts, so that a processor that there is not is
 * known at once. */
static int handler_create(struct handler *h)
{
	const struct uffd_engine_opts *o = &h->e->opts;
	pthread_attr_t attr;
	cpu_set_t set;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	if (o->place == LIBUFFD_PLACE_CPUS) {
		CPU_ZERO(&set);
		CPU_SET(h->e->cpus[h->index % o->nr_cpus], &set);
		err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	if (!err)
		err = pthread_create(&h->thread, &attr, handler_main, h);
	pthread_attr_destroy(&attr);
	return -err;
}

static int start_one(struct uffd_engine *e, unsigned i)
{
	int err = handler_init(e, i);

	if (err)
		return err;
	err = handler_create(&e->handlers[i]);
	if (err)
		handler_finish(&e->handlers[i]);
	return err;
}

int handlers_start(struct uffd_engine *e)
{
	sigset_t all, before;
	int err = 0;

	e->handlers_len = e->nr_handlers * sizeof(*e->handlers);
	e->handlers = own_map(e->handlers_len);
	if (!e->handlers)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!err && e->nr_started < e->nr_handlers) {
		err = start_one(e, e->nr_started);
		if (!err)
			e->nr_started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* Wake one handler; the others wait for the right to read, or poll as well. */
static void wake_to_stop(struct uffd_engine *e)
{
	const uint64_t one = 1;

	if (e->direct) {
		*(volatile char *)e->stop_page;
		return;
	}
	stop_all(e);
	sys_write(e->stop_fd, &one, sizeof(one));
}

void handlers_stop(struct uffd_engine *e)
{
	if (e->nr_started)
		wake_to_stop(e);
	for (unsigned i = 0; i < e->nr_started; i++)
		pthread_join(e->handlers[i].thread, NULL);
	for (unsigned i = 0; i < e->nr_started; i++)
		handler_finish(&e->handlers[i]);
	e->nr_started = 0;
	own_unmap(e->handlers, e->handlers_len);
	e->handlers = NULL;
}
