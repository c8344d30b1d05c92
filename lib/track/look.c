/* SPDX-License-Identifier: MIT */
/*
 * Epochs: start, looks, stop.
 */
#include <errno.h>

#include "../public.h"
#include "track.h"

/* ---- start and stop --------------------------------------------------------- */

static void set_epoch(struct uffd_track *t, uint64_t epoch)
{
	__atomic_store_n(&t->epoch, epoch, __ATOMIC_RELEASE);
}

static void reset_look(struct uffd_track *t)
{
	struct look *look = &t->look;

	look->begun = false;
	look->at = 0;
	look->nr = look->next = 0;
	look->last.len = 0;
	look->piece = (struct mapping){ 0 };
}

/* What is not registered is not protected, and nobody waits there. */
static void disarm(struct uffd_track *t)
{
	pthread_mutex_lock(&t->lock);
	set_epoch(t, 0);
	reset_look(t);
	for (unsigned i = 0; i < t->nr_ranges; i++)
		range_disarm(t, &t->ranges[i]);
	pthread_mutex_unlock(&t->lock);
}

static int start(struct uffd_track *t)
{
	int ret = 0;

	if (t->epoch)
		return -EALREADY;
	if (t->pid && is_dead(t))
		return -ESRCH;
	pthread_mutex_lock(&t->lock);
	set_epoch(t, 1);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; ret == 0 && i < t->nr_ranges; i++)
		ret = range_arm(t, &t->ranges[i]);
	if (ret < 0)
		disarm(t);
	return ret;
}

PUBLIC int uffd_track_start(struct uffd_track *t)
{
	int ret = may_call(t);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&t->api);
	ret = start(t);
	pthread_mutex_unlock(&t->api);
	return ret;
}

PUBLIC int uffd_track_stop(struct uffd_track *t)
{
	int ret = may_call(t);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&t->api);
	if (t->epoch)
		disarm(t);
	pthread_mutex_unlock(&t->api);
	return 0;
}

PUBLIC uint64_t uffd_track_epoch(const struct uffd_track *t)
{
	return __atomic_load_n(&t->epoch, __ATOMIC_ACQUIRE);
}

/* ---- looks --------------------------------------------------------------------- */

/* Where a user's ranges go. */
struct out {
	struct uffd_written *ranges;
	unsigned cap;
	unsigned nr;
};

/* Give out the range that has been kept back because it might grow. False:
 * there is no room. */
static bool give_last(struct uffd_track *t, struct out *out)
{
	struct uffd_written *last = &t->look.last;

	if (!last->len)
		return true;
	if (out->nr == out->cap)
		return false;
	count(&t->stats.ranges, 1);
	count(&t->stats.bytes, last->len);
	out->ranges[out->nr++] = *last;
	last->len = 0;
	return true;
}

/* Give out what the last step has found. False: there is no room. */
static bool give_found(struct uffd_track *t, struct out *out)
{
	struct look *look = &t->look;

	for (; look->next < look->nr; look->next++) {
		const struct uffd_page_region *v = &look->vec[look->next];

		if (look->last.len &&
		    look->last.start + look->last.len == v->start) {
			look->last.len += v->end - v->start;
			continue;
		}
		if (!give_last(t, out))
			return false;
		look->last.start = v->start;
		look->last.len = v->end - v->start;
	}
	return true;
}

/* The look is over once everything is given out. */
static int end_look(struct uffd_track *t, struct out *out)
{
	if (!give_last(t, out))
		return 1;
	pthread_mutex_lock(&t->lock);
	reset_look(t);
	set_epoch(t, t->epoch + 1);
	pthread_mutex_unlock(&t->lock);
	count(&t->stats.looks, 1);
	return 0;
}

/*
 * Before a range is looked at: is all of it still ours? What was mapped anew
 * may by now belong to another tracker, whose writes a look would take away,
 * and what nobody has, a look may pass over.
 */
static int take_in_new(struct uffd_track *t, const struct range *r)
{
	int ret = uffd_register(t->fd, r->start, r->end - r->start,
				UFFDIO_REGISTER_MODE_WP, NULL);

	return ret == -EINVAL || ret == -ENOMEM ? range_heal(t, r) : ret;
}

static int step(struct uffd_track *t, const struct range *r)
{
	int ret;

	t->look.nr = t->look.next = 0;
	if (t->look.at <= r->start) {
		ret = take_in_new(t, r);
		if (ret < 0)
			return ret;
	}
	return t->method == LIBUFFD_TRACK_ASYNC && !r->huge ?
		       async_step(t, r) :
		       sync_step(t, r);
}

static void begin_look(struct uffd_track *t)
{
	pthread_mutex_lock(&t->lock);
	t->look.begun = true;
	pthread_mutex_unlock(&t->lock);
}

static int collect(struct uffd_track *t, struct out *out)
{
	const struct range *r;
	int ret;

	if (!t->epoch)
		return -EINVAL;
	if (t->pid && is_dead(t))
		return -ESRCH;
	if (!t->look.begun)
		begin_look(t);
	for (;;) {
		if (!give_found(t, out))
			return 1;
		r = range_after(t, t->look.at);
		if (!r)
			return end_look(t, out);
		ret = step(t, r);
		if (ret < 0 && give_found(t, out))
			return ret;
	}
}

PUBLIC int uffd_track_collect(struct uffd_track *t, struct uffd_written *ranges,
			      unsigned cap, unsigned *ret_nr)
{
	struct out out = { .ranges = ranges, .cap = cap };
	int ret = may_call(t);

	*ret_nr = 0;
	if (ret < 0)
		return ret;
	if (!ranges || !cap)
		return -EINVAL;
	pthread_mutex_lock(&t->api);
	ret = collect(t, &out);
	pthread_mutex_unlock(&t->api);
	*ret_nr = out.nr;
	return ret;
}

/* ---- by hand --------------------------------------------------------------------- */

/* Pages of hugetlb that are not there don't show as written. */
static int mark_part(struct uffd_track *t, const struct range *r,
		     uint64_t start, uint64_t end)
{
	int ret;

	/* what was mapped anew counts as written anyway, but stands in the
	 * way of what comes behind it */
	range_register(t, r);
	ret = let_go(t, start, end - start, r->page_size);
	if (ret == -ENOENT) /* some of it is gone, all else is done */
		ret = 0;
	if (ret == 0 && is_hugetlb(t, start, end))
		pagemap_touch(t, start, end);
	return ret;
}

/* Pages whose writers are held will be written anyway, once they are let go. */
static int mark(struct uffd_track *t, const struct range *r, uint64_t start,
		uint64_t end)
{
	int ret = 0;

	if (!r->held)
		return mark_part(t, r, start, end);
	for (; ret == 0 && start < end; start += r->page_size)
		if (!held_is(r, start))
			ret = mark_part(t, r, start,
					start + r->page_size);
	return ret;
}

static int mark_in(struct uffd_track *t, uint64_t start, uint64_t end)
{
	const struct range *r = range_at(t, start);

	if (!r || r->end < end)
		return -ENOENT;
	if (!t->epoch || (start | end) % r->page_size)
		return -EINVAL;
	return mark(t, r, start, end);
}

PUBLIC int uffd_track_mark(struct uffd_track *t, uint64_t start, uint64_t len)
{
	int ret = may_call(t);

	if (ret == -ECHILD)
		return ret;
	if (!len || (start | len) % t->page_size || start + len < start)
		return -EINVAL;
	pthread_mutex_lock(&t->lock);
	ret = mark_in(t, start, start + len);
	pthread_mutex_unlock(&t->lock);
	return ret;
}
