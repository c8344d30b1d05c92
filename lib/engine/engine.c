/* SPDX-License-Identifier: MIT */
/*
 * Making and freeing engines, and their ranges.
 */
#include <string.h>

#include "../kernel/opts.h"
#include "engine.h"

#define EVENTS \
	((uint64_t)(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | \
		    UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP))

#define MOST_HANDLERS 1024

/* ---- options --------------------------------------------------------------------- */

static bool good_cpus(const struct uffd_engine_opts *o)
{
	if (o->place != LIBUFFD_PLACE_CPUS)
		return true;
	for (uint32_t i = 0; o->cpus && i < o->nr_cpus; i++)
		if (o->cpus[i] >= CPU_SETSIZE)
			return false;
	return o->cpus && o->nr_cpus > 0 && o->nr_cpus <= CPU_SETSIZE;
}

static bool good_opts(const struct uffd_engine_opts *o)
{
	return (o->kind == LIBUFFD_ENGINE_THREAD ||
		o->kind == LIBUFFD_ENGINE_SIGBUS) &&
	       o->place <= LIBUFFD_PLACE_NONE &&
	       o->nr_handlers <= MOST_HANDLERS && good_cpus(o);
}

/* ---- making, part by part ----------------------------------------------------------- */

static int open_uffd(struct uffd_engine *e)
{
	struct uffd_open_opts o = {
		.sz = sizeof(o),
		.need = e->opts.need,
		.want = e->opts.want,
		/* how it sleeps is the engine's business */
		.flags = e->opts.open_flags & ~LIBUFFD_OPEN_BLOCKING,
	};

	if (e->kind == LIBUFFD_ENGINE_SIGBUS)
		o.need |= UFFD_FEATURE_SIGBUS;
	else
		o.want |= UFFD_FEATURE_THREAD_ID;
	e->fd = uffd_open(&o, &e->opened);
	return e->fd < 0 ? e->fd : 0;
}

static int copy_cpus(struct uffd_engine *e)
{
	if (e->opts.place != LIBUFFD_PLACE_CPUS)
		return 0;
	e->cpus_len = e->opts.nr_cpus * sizeof(*e->cpus);
	e->cpus = own_map(e->cpus_len);
	if (!e->cpus)
		return -ENOMEM;
	memcpy(e->cpus, e->opts.cpus, e->cpus_len);
	return 0;
}

/* Memory besides the struct itself. */
static int map_parts(struct uffd_engine *e)
{
	e->counters = own_map(NR_STRIPES * sizeof(*e->counters));
	e->here = own_map(e->page_size);
	e->zeros = own_zeros(ZEROS_LEN);
	if (!e->counters || !e->here || !e->zeros)
		return -ENOMEM;
	*e->here = 1;
	return sys_madvise(e->here, e->page_size, MADV_WIPEONFORK);
}

/* The page whose fault ends a handler's sleep, and sleeping in read(2). */
static int make_direct(struct uffd_engine *e)
{
	uint64_t at;
	int err = sys_mmap(0, e->page_size, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, &at);

	if (err < 0)
		return err;
	e->stop_page = (void *)(uintptr_t)at;
	err = uffd_register(e->fd, at, e->page_size,
			    UFFDIO_REGISTER_MODE_MISSING, NULL);
	if (err == 0)
		err = SYS_RESULT(int, fcntl(e->fd, F_SETFL, 0));
	e->direct = err == 0;
	return err;
}

static int make_sleep(struct uffd_engine *e)
{
	if (e->kind == LIBUFFD_ENGINE_THREAD && !e->opts.spin_us)
		return make_direct(e);
	e->stop_fd = sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return e->stop_fd < 0 ? e->stop_fd : 0;
}

static int make_kind(struct uffd_engine *e)
{
	e->nr_handlers = e->opts.nr_handlers ? e->opts.nr_handlers : 1;
	if (e->kind == LIBUFFD_ENGINE_THREAD)
		return 0;
	e->nr_handlers = e->opened.enabled & EVENTS ? 1 : 0;
	return sigbus_install();
}

/* Whatever fails, uffd_engine_free() undoes what is done. */
static int make(struct uffd_engine *e)
{
	int err = map_parts(e);

	if (!err)
		err = open_uffd(e);
	if (!err)
		err = copy_cpus(e);
	if (!err)
		err = make_kind(e);
	if (!err && e->nr_handlers)
		err = make_sleep(e);
	if (!err)
		err = place_init(e);
	if (!err && e->nr_handlers)
		err = handlers_start(e);
	if (!err)
		err = stay_init(e);
	return err;
}

/* State of the process, so that what threads remember of an engine is never
 * taken for another's. */
static uint64_t new_id(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add(&last, 1) + 1;
}

PUBLIC int uffd_engine_new(const struct uffd_engine_opts *opts,
			   struct uffd_engine **ret)
{
	struct uffd_engine_opts o;
	struct uffd_engine *e;
	int err;

	if (!opts || opts_take(&o, sizeof(o), opts) < 0 || !good_opts(&o))
		return -EINVAL;
	e = own_map(sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->id = new_id();
	e->fd = -1;
	e->stop_fd = -1;
	e->page_size = (uint64_t)getpagesize();
	e->kind = o.kind;
	e->opts = o;
	e->table = o.kind == LIBUFFD_ENGINE_SIGBUS ? sigbus_table() :
						     &e->own_table;
	pthread_mutex_init(&e->own_table.lock, NULL);
	pthread_mutex_init(&e->reading, NULL);
	err = make(e);
	if (err) {
		uffd_engine_free(e);
		return err;
	}
	*ret = e;
	return 0;
}

/* ---- freeing ---------------------------------------------------------------------------- */

/* The zeros of its own, for pages larger than the engine's. */
static void drop_zeros(const struct range *r)
{
	if (r->zeros_len > ZEROS_LEN)
		own_unmap((void *)(uintptr_t)r->zeros, r->zeros_len);
}

static void remove_range(struct uffd_engine *e, struct range *r)
{
	const struct range was = *r;

	/* first the kernel: nobody faults there any more */
	uffd_unregister(e->fd, r->start, r->len);
	table_remove(e->table, r);
	drop_zeros(&was);
}

/* No handler and no range is left, or all that is another process's. */
static void release(struct uffd_engine *e)
{
	if (e->fd >= 0)
		sys_close(e->fd);
	if (e->stop_fd >= 0)
		sys_close(e->stop_fd);
	own_unmap(e->stop_page, e->page_size);
	own_unmap(e->zeros, ZEROS_LEN);
	own_unmap(e->cpus, e->cpus_len);
	table_finish(&e->own_table);
	own_unmap(e->counters, NR_STRIPES * sizeof(*e->counters));
	own_unmap(e->here, e->page_size);
	own_unmap(e, sizeof(*e));
}

static void stop(struct uffd_engine *e)
{
	struct range *r;

	stay_finish(e);
	handlers_stop(e);
	while ((r = table_any(e->table, e)) != NULL)
		remove_range(e, r);
	if (e->stop_page)
		uffd_unregister(e->fd, (uintptr_t)e->stop_page, e->page_size);
	pthread_mutex_destroy(&e->reading);
	pthread_mutex_destroy(&e->own_table.lock);
}

/*
 * In a child process the threads don't exist, the descriptor still acts on the
 * parent's memory, and locks may be held by nobody: only what is this
 * process's own is given back. The signal handler may still find the ranges of
 * a sigbus engine, so that stays.
 */
PUBLIC void uffd_engine_free(struct uffd_engine *e)
{
	if (!e)
		return;
	if (!e->here || engine_is_here(e))
		stop(e);
	else if (e->kind == LIBUFFD_ENGINE_SIGBUS)
		return;
	release(e);
}

/* ---- ranges ------------------------------------------------------------------------------- */

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static bool good_range(const struct uffd_engine *e,
		       const struct uffd_range_opts *o)
{
	return power_of_two(o->page_size) && o->page_size >= e->page_size &&
	       o->len && !((o->start | o->len) % o->page_size) &&
	       o->start + o->len - 1 >= o->start && o->fault && o->mode &&
	       !o->flags && !o->reserved;
}

/* Zeros for pages of this size. */
static int find_zeros(const struct uffd_engine *e, struct range *like)
{
	like->zeros = e->zeros;
	like->zeros_len = ZEROS_LEN;
	if (like->page_size <= ZEROS_LEN)
		return 0;
	like->zeros = own_zeros(like->page_size);
	like->zeros_len = like->page_size;
	return like->zeros ? 0 : -ENOMEM;
}

/* In the table first: so its first fault finds it. */
static int insert_and_register(struct uffd_engine *e, const struct range *like)
{
	struct range *r;
	int err = table_insert(e->table, like, &r);

	if (err)
		return err;
	err = uffd_register(e->fd, like->start, like->len, like->mode, NULL);
	if (err)
		table_remove(e->table, r);
	return err;
}

PUBLIC int uffd_engine_add(struct uffd_engine *e,
			   const struct uffd_range_opts *opts)
{
	struct uffd_range_opts o;
	int err;

	if (!opts || opts_take(&o, sizeof(o), opts) < 0)
		return -EINVAL;
	if (!o.page_size)
		o.page_size = e->page_size;
	if (!good_range(e, &o))
		return -EINVAL;
	if (!engine_is_here(e))
		return -ESRCH;
	struct range like = {
		.e = e,
		.start = o.start,
		.len = o.len,
		.mode = o.mode,
		.page_size = o.page_size,
		.ahead_max = o.ahead_max,
		.fault = o.fault,
		.user = o.user,
	};

	err = find_zeros(e, &like);
	if (!err)
		err = insert_and_register(e, &like);
	if (err)
		drop_zeros(&like);
	return err;
}

PUBLIC int uffd_engine_remove(struct uffd_engine *e, uint64_t start)
{
	struct range *r;

	if (!engine_is_here(e))
		return -ESRCH;
	r = table_find(e->table, e, start);
	if (!r)
		return -ENOENT;
	remove_range(e, r);
	return 0;
}

PUBLIC int uffd_engine_fd(const struct uffd_engine *e)
{
	return e->fd;
}

PUBLIC const struct uffd_opened *uffd_engine_opened(const struct uffd_engine *e)
{
	return &e->opened;
}
