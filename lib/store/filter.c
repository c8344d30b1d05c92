/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../result.h"
#include "filter.h"

#define SECOND UINT64_C(1000000000)
/* when the next store has no room: it has some soon */
#define SOON_NS UINT64_C(200000)

uint64_t filter_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static struct timespec as_timespec(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / SECOND), (long)(ns % SECOND) };
}

void filter_sleep_until(uint64_t due_ns)
{
	struct timespec due = as_timespec(due_ns);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) ==
	       EINTR)
		;
}

/* ---- begin and end --------------------------------------------------------------------- */

static int watch(const struct filter *f, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	return SYS_RESULT(int, epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev));
}

static int init_timer(struct filter *f)
{
	int err = 0;

	f->timer = SYS_RESULT(int, timerfd_create(CLOCK_MONOTONIC,
						  TFD_CLOEXEC | TFD_NONBLOCK));
	f->epoll = SYS_RESULT(int, epoll_create1(EPOLL_CLOEXEC));
	if (f->timer < 0)
		return f->timer;
	if (f->epoll < 0)
		return f->epoll;
	err = watch(f, f->timer);
	if (!err && uffd_store_fd(f->next) >= 0)
		err = watch(f, uffd_store_fd(f->next));
	return err;
}

int filter_init(struct filter *f, const struct uffd_store_args *args,
		bool timed, void (*came)(struct child *c, int err))
{
	f->next = uffd_store_next(args);
	f->came = came;
	f->timed = timed;
	f->timer = f->epoll = -1;
	f->async = timed || (uffd_store_can(f->next) &
			     LIBUFFD_STORE_CAN_SUBMIT);
	if (!f->async)
		return 0;
	f->children = calloc(NR_CHILDREN, sizeof(*f->children));
	if (!f->children)
		return -ENOMEM;
	for (unsigned i = 0; i < NR_CHILDREN; i++) {
		f->children[i].filter = f;
		f->children[i].link = f->free;
		f->free = &f->children[i];
	}
	return timed ? init_timer(f) : 0;
}

void filter_end(struct filter *f)
{
	struct child *c;

	while ((c = f->waiting)) {
		f->waiting = c->link;
		filter_answer(c, -ECANCELED);
	}
	if (f->timer >= 0)
		close(f->timer);
	if (f->epoll >= 0)
		close(f->epoll);
	free(f->children);
}

/* ---- children ---------------------------------------------------------------------------- */

static struct child *child_of(struct uffd_io *io)
{
	return (struct child *)io;
}

/* the next store has answered */
static void child_done(struct uffd_io *io, int err)
{
	child_of(io)->filter->came(child_of(io), err);
}

struct child *filter_child(struct filter *f, struct uffd_io *parent)
{
	struct child *c;

	lock_take(&f->lock);
	c = f->free;
	if (c)
		f->free = c->link;
	lock_drop(&f->lock);
	if (!c)
		return NULL;
	c->io = (struct uffd_io){
		.op = parent->op,
		.flags = parent->flags,
		.offset = parent->offset,
		.len = parent->len,
		.buf = parent->buf,
		.done = child_done,
	};
	c->parent = parent;
	c->tries = 0;
	return c;
}

void filter_forget(struct child *c)
{
	struct filter *f = c->filter;

	lock_take(&f->lock);
	c->link = f->free;
	f->free = c;
	lock_drop(&f->lock);
}

void filter_answer(struct child *c, int err)
{
	struct uffd_io *parent = c->parent;

	filter_forget(c);
	parent->done(parent, err);
}

int filter_send(struct child *c)
{
	int err = uffd_store_submit(c->filter->next, &c->io);

	if (err != -EAGAIN || !c->filter->timed)
		return err;
	filter_send_at(c, filter_now_ns() + SOON_NS);
	return 0;
}

/* For the first that waits. Setting it also makes it unreadable until then.
 * The lock is held. */
static void set_timer(struct filter *f)
{
	struct itimerspec when = { 0 };

	if (!f->waiting && !f->armed)
		return;
	if (f->waiting) /* never at 0, which would stop the timer */
		when.it_value = as_timespec(f->waiting->due_ns | 1);
	f->armed = f->waiting;
	timerfd_settime(f->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void filter_send_at(struct child *c, uint64_t due_ns)
{
	struct filter *f = c->filter;
	struct child **at = &f->waiting;

	c->due_ns = due_ns;
	lock_take(&f->lock);
	while (*at && (*at)->due_ns <= due_ns)
		at = &(*at)->link;
	c->link = *at;
	*at = c;
	if (f->waiting == c)
		set_timer(f);
	lock_drop(&f->lock);
}

/* one whose time has come, or NULL */
static struct child *take_due(struct filter *f, uint64_t now_ns)
{
	struct child *c;

	lock_take(&f->lock);
	c = f->waiting;
	if (c && c->due_ns > now_ns)
		c = NULL;
	if (c)
		f->waiting = c->link;
	else
		set_timer(f);
	lock_drop(&f->lock);
	return c;
}

/* ---- what the next store says or does ---------------------------------------------------- */

int filter_length(void *state, uint64_t *ret)
{
	struct filter *f = state;

	*ret = uffd_store_length(f->next);
	return 0;
}

int filter_flush(void *state)
{
	struct filter *f = state;

	return uffd_store_flush(f->next);
}

int filter_discard(void *state, uint64_t offset, uint64_t len)
{
	struct filter *f = state;

	return uffd_store_discard(f->next, offset, len);
}

int filter_extents(void *state, uint64_t offset, uint64_t len,
		   struct uffd_extent *ret, unsigned cap)
{
	struct filter *f = state;

	return uffd_store_extents(f->next, offset, len, ret, cap);
}

void filter_prefetch(void *state, uint64_t offset, uint64_t len)
{
	struct filter *f = state;

	uffd_store_prefetch(f->next, offset, len);
}

int filter_map(void *state, uint64_t offset, size_t len, const void **ret)
{
	struct filter *f = state;

	return uffd_store_map(f->next, offset, len, ret);
}

void filter_stats(void *state, struct uffd_store_stats *ret)
{
	struct filter *f = state;
	struct uffd_store_stats next;

	uffd_store_stats(f->next, &next);
	ret->held_bytes += next.held_bytes;
	ret->packed_bytes += next.packed_bytes;
	ret->memory_bytes += next.memory_bytes;
	ret->retries += next.retries;
	ret->hits += next.hits;
	ret->misses += next.misses;
}

int filter_fd(void *state)
{
	struct filter *f = state;

	return f->timed ? f->epoll : uffd_store_fd(f->next);
}

int filter_dispatch(void *state)
{
	struct filter *f = state;
	uint64_t now_ns = f->timed ? filter_now_ns() : 0;
	struct child *c;

	while (f->timed && (c = take_due(f, now_ns)))
		filter_send(c);
	return uffd_store_dispatch(f->next);
}

/* a filter can what it has a function for and the next store can */
unsigned filter_can(void *state, unsigned suggested)
{
	struct filter *f = state;
	unsigned can = uffd_store_can(f->next);

	if (f->async)
		can |= LIBUFFD_STORE_CAN_SUBMIT;
	else
		can &= ~LIBUFFD_STORE_CAN_SUBMIT;
	return suggested & can;
}
