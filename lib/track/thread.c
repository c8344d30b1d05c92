/* SPDX-License-Identifier: MIT */
/*
 * The tracker's thread: takes the messages of first writes, asks the write
 * function, and lets the writes go on.
 *
 * Messages are read and decided about in one go, under the lock: so no message
 * is acted on that is older than the last look, and no page is asked about
 * twice in an epoch.
 */
#include <sched.h>
#include <signal.h>

#include "memory.h"
#include "track.h"

bool in_thread(const struct uffd_track *t)
{
	return t->has_thread && pthread_equal(pthread_self(), t->thread);
}

/*
 * While the layout changes nothing can be let go until the message about it
 * is read. The faults that come with it are woken, and come again.
 */
static void drain(struct uffd_track *t)
{
	struct uffd_event e;

	if (uffd_batch_read(t->fd, &t->drain_batch) <= 0)
		return;
	while (uffd_batch_next(&t->drain_batch, &e)) {
		if (e.fork_fd >= 0)
			sys_close(e.fork_fd);
		else if (e.kind == LIBUFFD_FAULT_WP)
			uffd_wake(t->fd, e.addr & -t->page_size, t->page_size);
	}
}

void stand_back(struct uffd_track *t)
{
	if (in_thread(t))
		drain(t);
	pthread_mutex_unlock(&t->lock);
	sched_yield();
	pthread_mutex_lock(&t->lock);
}

/* (Before 6.4 the kernel wants a range to lie in one mapping.) */
int let_go(struct uffd_track *t, uint64_t start, uint64_t len,
	   uint64_t page_size)
{
	struct uffd_progress p;
	int ret;

	if (uffd_writeprotect(t->fd, start, len, 0) == (int64_t)len)
		return 0;
	while ((ret = uffd_writeprotect_all(t->fd, start, len, 0, page_size,
					    &p)) == -EINPROGRESS ||
	       ret == -EAGAIN)
		stand_back(t);
	/* unmapped, or of another kind by now: the kernel has the answer */
	if (ret < 0)
		uffd_wake(t->fd, start, len);
	return ret == 0 && p.gone ? -ENOENT : ret;
}

/* The epoch whose look will see a write to addr. */
static uint64_t epoch_at(const struct uffd_track *t, uint64_t addr)
{
	return t->epoch + (t->look.begun && addr < t->look.at);
}

static void decide(struct uffd_track *t, const struct uffd_event *e)
{
	struct range *r = range_at(t, e->addr);
	const uint64_t size = r ? r->page_size : t->page_size;
	const uint64_t page = e->addr & -size;

	count(&t->stats.faults, 1);
	if (!r || !r->held || !t->epoch) {
		let_go(t, page, size, size);
	} else if (held_is(r, page)) {
		return; /* one more who waits for the same */
	} else if (pagemap_open(t, page)) {
		uffd_wake(t->fd, page, size); /* has been let go meanwhile */
	} else {
		held_set(t, r, page);
		t->caught[t->nr_caught++] = (struct uffd_write){
			.addr = page,
			.len = size,
			.epoch = epoch_at(t, page),
			.tid = e->tid,
		};
	}
}

static void take_messages(struct uffd_track *t, uint32_t *ret_tid)
{
	struct uffd_event e;

	t->nr_caught = 0;
	pthread_mutex_lock(&t->lock);
	if (uffd_batch_read(t->fd, &t->batch) > 0) {
		while (uffd_batch_next(&t->batch, &e)) {
			if (e.fork_fd >= 0)
				sys_close(e.fork_fd);
			else if (e.kind == LIBUFFD_FAULT_WP)
				decide(t, &e);
			*ret_tid = e.tid;
		}
	}
	pthread_mutex_unlock(&t->lock);
}

static void remember(struct uffd_track *t, const struct uffd_write *w, int err)
{
	count(&t->stats.failures, 1);
	pthread_mutex_lock(&t->lock);
	if (!t->failed) {
		t->failed = err;
		t->failed_addr = w->addr;
	}
	pthread_mutex_unlock(&t->lock);
}

/* Any other answer than those there are is a mistake in the write function. */
static void ask(struct uffd_track *t, const struct uffd_write *w)
{
	int ret = t->write(t->user, w);

	count(&t->stats.events, 1);
	if (ret == LIBUFFD_WRITE_HOLD)
		return;
	if (ret != LIBUFFD_WRITE_GO)
		remember(t, w, ret < 0 ? ret : -EINVAL);
	uffd_track_release(t, w->addr, w->len);
}

static void serve(struct uffd_track *t)
{
	uint32_t tid = 0;

	take_messages(t, &tid);
	for (unsigned i = 0; i < t->nr_caught; i++)
		ask(t, &t->caught[i]);
	follow_note(t->follow, tid);
}

static void *run(void *arg)
{
	struct uffd_track *t = arg;
	struct pollfd fds[] = {
		{ .fd = t->fd, .events = POLLIN },
		{ .fd = t->stop_fd, .events = POLLIN },
	};

	while (!(fds[1].revents & POLLIN)) {
		if (sys_poll(fds, 2, -1) <= 0)
			continue;
		if (fds[0].revents & (POLLERR | POLLNVAL))
			fds[0].fd = -1; /* closed by its owner */
		if (fds[0].revents & POLLIN)
			serve(t);
	}
	return NULL;
}

static int set_attr(pthread_attr_t *attr, int cpu, void *stack, size_t len)
{
	cpu_set_t cpus;
	int err = pthread_attr_setstack(attr, stack, len);

	if (err || cpu < 0)
		return err;
	CPU_ZERO(&cpus);
	CPU_SET((unsigned)cpu, &cpus);
	return pthread_attr_setaffinity_np(attr, sizeof(cpus), &cpus);
}

static int create(struct uffd_track *t, int cpu, void *stack, size_t len)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	err = set_attr(&attr, cpu, stack, len);
	if (!err) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		err = pthread_create(&t->thread, &attr, run, t);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	pthread_attr_destroy(&attr);
	return -err;
}

int thread_start(struct uffd_track *t, int cpu, void *stack, size_t len)
{
	int ret = uffd_batch_init(&t->batch, t->msgs, BATCH);

	if (ret == 0)
		ret = uffd_batch_init(&t->drain_batch, t->drain_msgs, BATCH);
	if (ret < 0)
		return ret;
	t->stop_fd = sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->stop_fd < 0)
		return t->stop_fd;
	if (cpu < 0 && !t->pid)
		t->follow = follow_new();
	ret = create(t, cpu, stack, len);
	t->has_thread = ret == 0;
	return ret;
}

void thread_stop(struct uffd_track *t)
{
	const uint64_t one = 1;

	/* a child process has the descriptors, but not the thread */
	if (t->has_thread && t->owner == getpid()) {
		(void)!sys_write(t->stop_fd, &one, sizeof(one));
		pthread_join(t->thread, NULL);
	}
	follow_free(t->follow);
	uffd_batch_finish(&t->batch);
	uffd_batch_finish(&t->drain_batch);
	if (t->stop_fd >= 0)
		sys_close(t->stop_fd);
}
