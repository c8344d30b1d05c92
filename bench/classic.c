/* SPDX-License-Identifier: MIT */
/*
 * The design of 2016, as the first program that showed userfaultfd to many had
 * it, and most written since: a second thread, wherever the scheduler puts it,
 * waits in poll(2), reads one message, fills one page, and waits again.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "scene.h"

struct classic {
	struct bench_scene *scene;
	int fd;
	int stop;		/* eventfd */
	pthread_t thread;
};

static int64_t fill(struct classic *c, uint64_t addr)
{
	struct bench_scene *s = c->scene;
	uint64_t size = s->area.page_size;
	void *page;

	switch (s->plan->fault) {
	case BENCH_MINOR:
		return uffd_continue(c->fd, addr, size, 0);
	case BENCH_WP:
		return uffd_writeprotect(c->fd, addr, size, 0);
	default:
		page = bench_page_for(s, bench_page_at(s, addr), 1);
		if (!page)
			return -ENOBUFS;
		return uffd_copy(c->fd, addr, page, size, 0);
	}
}

static int serve(struct classic *c, const struct uffd_msg *msg)
{
	uint64_t size = c->scene->area.page_size;
	struct uffd_event event;
	int64_t done;

	uffd_event_decode(msg, &event);
	do
		done = fill(c, event.addr & ~(size - 1));
	while (done == -EAGAIN);
	/* Another thread's fault for the same page got here first. */
	if (done == -EEXIST)
		return uffd_wake(c->fd, event.addr & ~(size - 1), size);
	return done < 0 ? (int)done : 0;
}

/* 1: a message; 0: time to stop; or -errno */
static int await(struct classic *c, struct uffd_msg *msg)
{
	struct pollfd fds[] = { { .fd = c->fd, .events = POLLIN },
				{ .fd = c->stop, .events = POLLIN } };

	for (;;) {
		ssize_t n;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return 0;
		n = read(c->fd, msg, sizeof(*msg));
		if (n == (ssize_t)sizeof(*msg))
			return 1;
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n >= 0 ? -EIO : -errno;
	}
}

static void *handler(void *arg)
{
	struct classic *c = arg;
	struct uffd_msg msg;
	int err;

	while ((err = await(c, &msg)) > 0) {
		err = serve(c, &msg);
		if (err)
			break;
	}
	if (err < 0) {
		struct bench_area *a = &c->scene->area;

		bench_trouble(&c->scene->trouble, err, "serving a fault");
		/* Let go whoever waits. */
		uffd_unregister(c->fd, (uintptr_t)a->start, a->len);
	}
	return NULL;
}

static int start(struct classic *c, const char **what)
{
	sigset_t all, before;
	int err;

	*what = "starting a thread";
	c->stop = eventfd(0, EFD_CLOEXEC);
	if (c->stop < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&c->thread, NULL, handler, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		close(c->stop);
	return err;
}

static int arm(struct classic *c, const char **what)
{
	struct bench_scene *s = c->scene;
	int err;

	*what = "registering";
	err = uffd_register(c->fd, (uintptr_t)s->area.start, s->area.len,
			    bench_register_mode(s->plan), NULL);
	if (!err && s->plan->fault == BENCH_WP) {
		*what = "write-protecting";
		err = bench_protect(s, c->fd);
	}
	return err ? err : start(c, what);
}

static int classic_begin(struct bench_scene *s, const char **what)
{
	struct uffd_open_opts opts = { .sz = sizeof(opts),
				       .need = bench_features(s->plan) };
	struct classic *c = calloc(1, sizeof(*c));
	int err;

	*what = "opening a userfaultfd";
	if (!c)
		return -ENOMEM;
	c->scene = s;
	c->fd = uffd_open(&opts, NULL);
	err = c->fd < 0 ? c->fd : arm(c, what);
	if (err) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
		return err;
	}
	s->own = c;
	return 0;
}

static void classic_end(struct bench_scene *s)
{
	struct classic *c = s->own;

	eventfd_write(c->stop, 1);
	pthread_join(c->thread, NULL);
	close(c->stop);
	close(c->fd);
	free(c);
}

static unsigned one(const struct bench_plan *p)
{
	(void)p;
	return 1;
}

const struct bench_mode bench_classic = {
	.name = "classic",
	.what = "the design of 2016: poll, read one message, fill one page",
	.resolvers = one,
	.begin = classic_begin,
	.end = classic_end,
};
