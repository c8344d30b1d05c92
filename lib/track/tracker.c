/* SPDX-License-Identifier: MIT */
/*
 * Making a tracker: which method, whose memory, by which descriptor.
 */
#include <sched.h>

#include "../kernel/opts.h"
#include "../public.h"
#include "memory.h"
#include "track.h"

/* The thread's, in the same mapping as the tracker: that must not be tracked
 * either. The write function runs on it. */
#define STACK ((size_t)1 << 20)

#define KNOWN_FLAGS (LIBUFFD_TRACK_GIVEN | LIBUFFD_TRACK_ON_CPU)

int may_call(const struct uffd_track *t)
{
	if (t->owner != getpid())
		return -ECHILD;
	return in_thread(t) ? -EDEADLK : 0;
}

/* ---- which method ----------------------------------------------------------- */

static bool can_scan(const struct uffd_track *t)
{
	struct uffd_page_region region;
	struct uffd_scan_arg arg = {
		.start = t->page_size,
		.end = 2 * t->page_size,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
	};

	return uffd_pagemap_scan(t->pagemap, &arg) >= 0;
}

static enum uffd_track_method choose(const struct uffd_track *t,
				     const struct uffd_track_opts *o,
				     uint64_t features)
{
	if (o->method != LIBUFFD_TRACK_AUTO)
		return o->method;
	return !o->write && t->has_scan && features & UFFD_FEATURE_WP_ASYNC ?
		       LIBUFFD_TRACK_ASYNC :
		       LIBUFFD_TRACK_SYNC;
}

/* Whether these features, of which some may be switched on later, will do. */
static bool will_do(const struct uffd_track *t, uint64_t features)
{
	if (t->method == LIBUFFD_TRACK_ASYNC)
		return t->has_scan && features & UFFD_FEATURE_WP_ASYNC;
	return features & UFFD_FEATURE_PAGEFAULT_FLAG_WP &&
	       (t->has_scan || sync_sees(t->page_size) > 0);
}

/* what each method asks for, beside what it needs */
static uint64_t need(const struct uffd_track *t)
{
	return t->method == LIBUFFD_TRACK_ASYNC ?
		       UFFD_FEATURE_WP_ASYNC :
		       UFFD_FEATURE_PAGEFAULT_FLAG_WP;
}

static uint64_t want(const struct uffd_track *t)
{
	return t->method == LIBUFFD_TRACK_ASYNC ?
		       0 :
		       UFFD_FEATURE_WP_UNPOPULATED |
			       UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
			       UFFD_FEATURE_THREAD_ID;
}

/* ---- by which descriptor ------------------------------------------------------ */

static int open_ours(struct uffd_track *t, const struct uffd_track_opts *o)
{
	struct uffd_open_opts open = {
		.sz = sizeof(open),
		.flags = o->open_flags & ~LIBUFFD_OPEN_BLOCKING,
	};
	struct uffd_opened opened;
	uint64_t features;
	int ret = uffd_features(&features);

	if (ret < 0)
		return ret;
	t->method = choose(t, o, features);
	if (!will_do(t, features))
		return -EOPNOTSUPP;
	open.need = need(t);
	open.want = want(t);
	if (t->method == LIBUFFD_TRACK_SYNC &&
	    !(open.flags & LIBUFFD_OPEN_USER_ONLY))
		open.flags |= LIBUFFD_OPEN_NEED_KERNEL_FAULTS;
	t->fd = uffd_open(&open, &opened);
	t->fd_is_ours = t->fd >= 0;
	t->marks_holes = opened.enabled & UFFD_FEATURE_WP_UNPOPULATED;
	return t->fd < 0 ? t->fd : 0;
}

/* Perhaps nobody has asked it for features yet: then we do. */
static int ask_given(struct uffd_track *t, const struct uffd_track_opts *o)
{
	uint64_t features;
	int ret = uffd_features(&features);

	if (ret < 0)
		return ret;
	t->method = choose(t, o, features);
	if (!will_do(t, features))
		return -EOPNOTSUPP;
	features &= need(t) | want(t);
	t->marks_holes = features & UFFD_FEATURE_WP_UNPOPULATED;
	return uffd_api(t->fd, features, NULL);
}

static int take_given(struct uffd_track *t, const struct uffd_track_opts *o)
{
	struct uffd_fdinfo info;
	int ret;

	t->fd = o->uffd;
	ret = sys_fcntl_getfl(t->fd);
	if (ret < 0)
		return ret;
	if (!(ret & O_NONBLOCK)) /* can't be polled */
		return -EINVAL;
	ret = uffd_fdinfo(0, t->fd, &info);
	if (ret < 0)
		return ret;
	if (!info.features) {
		ret = ask_given(t, o);
		if (ret != -EINVAL) /* it was asked, but for none of them */
			return ret;
	}
	t->method = choose(t, o, info.features);
	t->marks_holes = info.features & UFFD_FEATURE_WP_UNPOPULATED;
	if (t->method == LIBUFFD_TRACK_SYNC &&
	    info.features & UFFD_FEATURE_WP_ASYNC)
		return -EOPNOTSUPP;
	/* a plain WP feature has no effect, and may not have been asked for */
	return will_do(t, info.features | UFFD_FEATURE_PAGEFAULT_FLAG_WP) ?
		       0 :
		       -EOPNOTSUPP;
}

/* ---- all of it ------------------------------------------------------------------ */

/* SYNC has its stack behind the struct, above a page that nothing may touch. */
static size_t stack_at(uint64_t page_size)
{
	const size_t len = sizeof(struct uffd_track);

	return (len + page_size - 1) / page_size * page_size + page_size;
}

static struct uffd_track *allocate(void)
{
	const uint64_t page_size = (uint64_t)getpagesize();
	const size_t len = stack_at(page_size) + STACK;
	struct uffd_track *t = memory_map(len);

	if (!t)
		return NULL;
	sys_mprotect((char *)t + stack_at(page_size) - page_size, page_size,
		     PROT_NONE);
	t->bytes = len;
	t->page_size = page_size;
	t->owner = getpid();
	t->fd = t->pagemap = t->stop_fd = -1;
	pthread_mutex_init(&t->api, NULL);
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

static int check(const struct uffd_track_opts *o)
{
	if (o->method > LIBUFFD_TRACK_SYNC || o->flags & ~KNOWN_FLAGS)
		return -EINVAL;
	if (o->write && o->method == LIBUFFD_TRACK_ASYNC)
		return -EINVAL;
	if (o->flags & LIBUFFD_TRACK_ON_CPU ? o->cpu >= CPU_SETSIZE : o->cpu)
		return -EINVAL;
	if (o->flags & LIBUFFD_TRACK_GIVEN)
		return o->uffd < 0 || o->pid <= 0 || o->open_flags ? -EINVAL :
								     0;
	return o->uffd || o->pid ? -EINVAL : 0;
}

static int set_up(struct uffd_track *t, const struct uffd_track_opts *o)
{
	const bool given = o->flags & LIBUFFD_TRACK_GIVEN;
	int ret;

	t->write = o->write;
	t->user = o->user;
	t->pid = given && o->pid != t->owner ? o->pid : 0;
	t->pagemap = uffd_pagemap_open(t->pid);
	if (t->pagemap < 0)
		return t->pagemap == -ENOENT ? -ESRCH : t->pagemap;
	t->has_scan = can_scan(t);
	ret = given ? take_given(t, o) : open_ours(t, o);
	if (ret < 0 || t->method == LIBUFFD_TRACK_ASYNC)
		return ret;
	return thread_start(t, o->flags & LIBUFFD_TRACK_ON_CPU ? (int)o->cpu :
								 -1,
			    (char *)t + stack_at(t->page_size), STACK);
}

PUBLIC int uffd_track_new(const struct uffd_track_opts *opts,
			  struct uffd_track **ret)
{
	struct uffd_track_opts o;
	struct uffd_track *t;
	int err = opts_take(&o, sizeof(o), opts);

	if (err == 0)
		err = check(&o);
	if (err < 0)
		return err;
	t = allocate();
	if (!t)
		return -ENOMEM;
	err = set_up(t, &o);
	if (err < 0) {
		uffd_track_free(t);
		return err;
	}
	*ret = t;
	return 0;
}

/* A child process has copies of all but the ranges' protection, which its
 * parent goes on with, and the thread. */
PUBLIC void uffd_track_free(struct uffd_track *t)
{
	if (!t)
		return;
	if (t->owner == getpid())
		uffd_track_stop(t);
	thread_stop(t);
	ranges_free(t);
	if (t->fd_is_ours)
		sys_close(t->fd);
	if (t->pagemap >= 0)
		sys_close(t->pagemap);
	pthread_mutex_destroy(&t->api);
	pthread_mutex_destroy(&t->lock);
	memory_unmap(t, t->bytes);
}

PUBLIC enum uffd_track_method uffd_track_method(const struct uffd_track *t)
{
	return t->method;
}

PUBLIC int uffd_track_fd(const struct uffd_track *t)
{
	return t->fd;
}

PUBLIC int uffd_track_failed(struct uffd_track *t, uint64_t *ret_addr)
{
	int ret;

	pthread_mutex_lock(&t->lock);
	ret = t->failed;
	if (ret < 0 && ret_addr)
		*ret_addr = t->failed_addr;
	t->failed = 0;
	pthread_mutex_unlock(&t->lock);
	return ret;
}

PUBLIC void uffd_track_stats(const struct uffd_track *t,
			     struct uffd_track_stats *ret)
{
	const uint64_t *from = (const uint64_t *)&t->stats;
	uint64_t *to = (uint64_t *)ret;

	for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
