/* SPDX-License-Identifier: MIT */
/*
 * Mapping stores: checking what is asked for, address space, metadata.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kernel/opts.h"
#include "../public.h"
#include "quiet.h"
#include "region.h"

/* pages that a slice should hold when the budget is full: what one mremap is
 * worth its shootdown for */
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif

#define PAGES_WANTED 102u
/* no slice may be more than this part of the budget when its pages are spread
 * as usual */
#define BUDGET_PART 32u
/* the fewest pages that a budget must hold */
#define BUDGET_PAGES 4u
#define SLICE_USUAL (UINT64_C(2) << 20)
#define SLICE_MOST (UINT64_C(1) << 30)
#define AHEAD_USUAL (UINT64_C(512) << 10)

static unsigned log2_up(uint64_t n)
{
	unsigned shift = 0;

	while (UINT64_C(1) << shift < n)
		shift++;
	return shift;
}

/* ---- what is asked for ---------------------------------------------------------- */

static int check_pages(const struct uffd_pager *p,
		       const struct uffd_region_opts *o,
		       struct uffd_reason *reason)
{
	if (o->page_size != 4096 && o->page_size != 16384 &&
	    o->page_size != 65536 && o->page_size != LIBUFFD_PAGE_MOST)
		return refuse(reason, -EINVAL,
			      "page size: %llu; 4096, 16384, 65536 or 2097152",
			      (unsigned long long)o->page_size);
	if (o->memory != LIBUFFD_MEM_PRIVATE &&
	    o->memory != LIBUFFD_MEM_MEMFD_SHARED &&
	    o->memory != LIBUFFD_MEM_HUGETLB_2M)
		return refuse(reason, -EINVAL,
			      "memory: PRIVATE, MEMFD_SHARED or HUGETLB_2M");
	if (o->memory != LIBUFFD_MEM_PRIVATE && p->pins == LIBUFFD_PINS_CHECKED)
		return refuse(reason, -EOPNOTSUPP,
			      "memory: who has pinned pages of a memory file "
			      "can't be found out; a pager with pins CALLED, "
			      "or PRIVATE");
	if (o->page_size > (uint64_t)p->budget / BUDGET_PAGES)
		return refuse(reason, -EINVAL,
			      "page size: the budget of %llu bytes holds fewer "
			      "than %u pages of %llu",
			      (unsigned long long)p->budget, BUDGET_PAGES,
			      (unsigned long long)o->page_size);
	if (o->memory == LIBUFFD_MEM_HUGETLB_2M &&
	    o->page_size != LIBUFFD_PAGE_MOST)
		return refuse(reason, -EINVAL,
			      "page size: %llu; hugetlb has pages of 2 MiB",
			      (unsigned long long)o->page_size);
	if (o->offset % o->page_size)
		return refuse(reason, -EINVAL,
			      "offset: %llu is not a multiple of the page "
			      "size, %llu", (unsigned long long)o->offset,
			      (unsigned long long)o->page_size);
	if (o->flags & ~(LIBUFFD_REGION_RDONLY | LIBUFFD_REGION_PRIVATE))
		return refuse(reason, -EINVAL, "options: unknown ones are set");
	return 0;
}

/* Against the store's length; its last page may be cut short by its end. */
static int check_length(struct uffd_region_opts *o, struct uffd_reason *reason)
{
	uint64_t there = uffd_store_length(o->store);

	if (o->offset >= there)
		return refuse(reason, -EINVAL,
			      "offset: the store is %llu bytes long",
			      (unsigned long long)there);
	if (!o->len)
		o->len = there - o->offset;
	if (o->len > there - o->offset + o->page_size - 1 ||
	    (o->len > there - o->offset &&
	     o->len % o->page_size == 0 &&
	     o->len - (there - o->offset) >= o->page_size))
		return refuse(reason, -EINVAL,
			      "length: %llu bytes from offset %llu on, but the "
			      "store is %llu bytes long",
			      (unsigned long long)o->len,
			      (unsigned long long)o->offset,
			      (unsigned long long)there);
	return 0;
}

static bool writes_to_store(const struct uffd_region_opts *o)
{
	return !(o->flags & (LIBUFFD_REGION_RDONLY | LIBUFFD_REGION_PRIVATE));
}

static int check_store(const struct uffd_pager *p,
		       const struct uffd_region_opts *o,
		       struct uffd_reason *reason)
{
	const unsigned can = uffd_store_can(o->store);

	if (writes_to_store(o) && !(can & LIBUFFD_STORE_CAN_WRITE))
		return refuse(reason, -EROFS,
			      "store: it can't be written; map it RDONLY or "
			      "PRIVATE");
	if (p->kind == LIBUFFD_ENGINE_SIGBUS &&
	    !(can & LIBUFFD_STORE_IS_SIGNAL_SAFE))
		return refuse(reason, -EOPNOTSUPP,
			      "store: it may not be called in a signal "
			      "handler, as the sigbus engine does; use thread");
	return 0;
}

static int check(const struct uffd_pager *p, struct uffd_region_opts *o,
		 struct uffd_reason *reason)
{
	int err;

	if (!o->page_size)
		o->page_size = 4096;
	err = check_pages(p, o, reason);
	if (err == 0 && o->store)
		err = check_length(o, reason);
	if (err == 0 && o->store)
		err = check_store(p, o, reason);
	if (err < 0)
		return err;
	if (!o->store)
		o->flags |= LIBUFFD_REGION_PRIVATE;
	if (!o->len || o->len > UINT64_C(1) << 46)
		return refuse(reason, -EINVAL, "length: %llu",
			      (unsigned long long)o->len);
	o->len = (o->len + o->page_size - 1) / o->page_size * o->page_size;
	return 0;
}

/* ---- making it ----------------------------------------------------------------------- */

/*
 * How large a slice? With a full budget its share of pages should be worth
 * lifting; but a few tens of slices should fill the budget. Regions of usual
 * spread get 2 MiB, one page table; sparser ones more.
 */
static unsigned slice_shift_for(const struct uffd_pager *p,
				const struct uffd_region *r)
{
	const uint64_t budget = (uint64_t)p->budget >> r->page_shift;
	uint64_t want = budget / BUDGET_PART, spread, pages;
	unsigned shift, most = log2_up(SLICE_MOST) - r->page_shift;
	unsigned usual = log2_up(SLICE_USUAL) - r->page_shift;

	if (want > PAGES_WANTED)
		want = PAGES_WANTED;
	if (!want)
		want = 1;
	spread = r->nr_pages / (budget ? budget : 1);
	pages = want * (spread ? spread : 1);
	shift = log2_up(pages);
	if (shift > most)
		shift = most;
	/* a whole page table moves as cheaply as most of one */
	if (want == PAGES_WANTED && shift < usual)
		shift = usual;
	return shift;
}

static void *metadata(uint64_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int get_metadata(struct uffd_region *r)
{
	r->states = metadata(r->nr_pages);
	r->hashes = metadata(r->nr_pages * sizeof(struct hash));
	r->slices = metadata(r->nr_slices * sizeof(struct slice));
	if (!r->states || !r->hashes || !r->slices)
		return -ENOMEM;
	for (uint64_t i = 0; i < r->nr_slices; i++)
		r->slices[i].region = r;
	return 0;
}

/* Over the addresses that are taken already. */
static int map_file(struct uffd_region *r, int prot)
{
	void *at = (void *)(uintptr_t)r->start;

	if (mmap(at, r->len, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
		 r->memfd, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static int get_file(struct uffd_region *r, uint32_t memory)
{
	unsigned flags = MFD_CLOEXEC;

	if (memory == LIBUFFD_MEM_PRIVATE)
		return 0;
	if (memory == LIBUFFD_MEM_HUGETLB_2M)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	r->memfd = memfd_create("uffd-region", flags);
	if (r->memfd < 0 || ftruncate(r->memfd, (off_t)r->len) < 0)
		return -errno;
	return 0;
}

/* Address space, aligned so that whole page tables of a slice can move. */
static int get_addresses(struct uffd_region *r)
{
	uint64_t slice = r->page_size << r->slice_shift;
	uint64_t align = slice < SLICE_USUAL ? SLICE_USUAL : slice;
	const int prot = PROT_READ | (r->rdonly ? 0 : PROT_WRITE);
	void *at = mmap(NULL, r->len + align, prot,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t end;

	if (at == MAP_FAILED)
		return -ENOMEM;
	r->start = ((uintptr_t)at + align - 1) / align * align;
	end = (uintptr_t)at + r->len + align;
	if (r->start > (uintptr_t)at)
		munmap(at, r->start - (uintptr_t)at);
	if (end > r->start + r->len)
		munmap((void *)(uintptr_t)(r->start + r->len),
		       end - (r->start + r->len));
	return r->memfd < 0 ? 0 : map_file(r, prot);
}

/* What is missing would read as zeros in a child. Better that it has nothing
 * there, which it notices. */
static int keep_from_children(const struct uffd_region *r)
{
	return madvise((void *)(uintptr_t)r->start, r->len, MADV_DONTFORK) < 0 ?
		       -errno :
		       0;
}

static int get_own_store(struct uffd_region *r, struct uffd_reason *reason)
{
	static const char *const packings[] = { "lz4", "zstd", "none" };
	char uri[64];
	int err = -EINVAL;

	/* the first that is built in */
	for (unsigned i = 0; i < 3 && err == -EINVAL; i++) {
		snprintf(uri, sizeof(uri), "memory:?size=%llu&compress=%s",
			 (unsigned long long)r->len, packings[i]);
		err = uffd_store_open(uri, 0, reason, &r->own);
	}
	return err;
}

static bool is_fast(struct uffd_store *s)
{
	return !s || ((uffd_store_can(s) & LIBUFFD_STORE_IS_SIGNAL_SAFE) &&
		      !(uffd_store_can(s) & LIBUFFD_STORE_CAN_SUBMIT));
}

static int serve_it(struct uffd_region *r, uint64_t ahead_max)
{
	const struct uffd_range_opts opts = {
		.sz = sizeof(opts),
		.start = r->start,
		.len = r->len,
		.mode = UFFDIO_REGISTER_MODE_MISSING |
			(r->memfd >= 0 ? UFFDIO_REGISTER_MODE_MINOR : 0),
		.page_size = r->page_size,
		.ahead_max = ahead_max == 0 ? AHEAD_USUAL :
			     ahead_max < r->page_size ? 0 : ahead_max,
		.fault = on_fault,
		.user = r,
	};

	return uffd_engine_add(r->pager->engine, &opts);
}

static void region_drop(struct uffd_region *r)
{
	store_release(&r->claim);
	if (r->states)
		munmap(r->states, r->nr_pages);
	if (r->hashes)
		munmap(r->hashes, r->nr_pages * sizeof(struct hash));
	if (r->slices)
		munmap(r->slices, r->nr_slices * sizeof(struct slice));
	if (r->start)
		munmap((void *)(uintptr_t)r->start, r->len);
	if (r->memfd >= 0)
		close(r->memfd);
	uffd_store_close(r->own);
	munmap(r, sizeof(*r));
}

static int region_fill(struct uffd_region *r, const struct uffd_region_opts *o,
		       struct uffd_reason *reason)
{
	int err = 0;

	r->store = o->store;
	r->offset = o->offset;
	r->len = o->len;
	r->page_size = o->page_size;
	r->page_shift = log2_up(o->page_size);
	r->nr_pages = r->len >> r->page_shift;
	r->slice_shift = slice_shift_for(r->pager, r);
	r->nr_slices = ((r->nr_pages - 1) >> r->slice_shift) + 1;
	r->rdonly = o->flags & LIBUFFD_REGION_RDONLY;
	r->by_move = r->pager->pins == LIBUFFD_PINS_CHECKED && !r->rdonly;
	r->at_once = r->page_size == 4096 ||
		     o->memory == LIBUFFD_MEM_HUGETLB_2M;
	r->huge = r->page_size == LIBUFFD_PAGE_MOST &&
		  o->memory == LIBUFFD_MEM_PRIVATE && !r->rdonly;
	if (writes_to_store(o) &&
	    store_claim(o->store, o->offset, o->len, &r->claim) < 0)
		return refuse(reason, -EBUSY,
			      "store: this part of it is mapped writable "
			      "already");
	if (o->flags & LIBUFFD_REGION_PRIVATE && !r->rdonly)
		err = get_own_store(r, reason);
	r->fast = is_fast(r->store) && is_fast(r->own);
	if (err == 0)
		err = get_file(r, o->memory);
	if (err == 0)
		err = get_metadata(r);
	if (err == 0)
		err = get_addresses(r);
	if (err == 0)
		err = keep_from_children(r);
	if (err == 0)
		err = pool_need(r->pager, r);
	return err;
}

static int region_make(struct uffd_pager *p, const struct uffd_region_opts *o,
		       struct uffd_reason *reason, struct uffd_region **ret)
{
	struct uffd_region *r = metadata(sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->pager = p;
	r->memfd = -1;
	err = region_fill(r, o, reason);
	if (err < 0) {
		region_drop(r);
		return err;
	}
	/* from here on events are meant for it */
	r->next = p->regions;
	__atomic_store_n(&p->regions, r, __ATOMIC_RELEASE);
	err = serve_it(r, o->ahead_max);
	if (err < 0) {
		__atomic_store_n(&p->regions, r->next, __ATOMIC_RELEASE);
		region_drop(r);
		return err;
	}
	*ret = r;
	return 0;
}

PUBLIC int uffd_region_new(struct uffd_pager *p,
			   const struct uffd_region_opts *opts,
			   struct uffd_reason *reason, struct uffd_region **ret)
{
	struct uffd_region_opts o;
	struct quiet q;
	int err;

	refuse(reason, 0, "%s", "");
	if (opts_take(&o, sizeof(o), opts) < 0)
		return refuse(reason, -EINVAL, "options: unknown ones are set");
	quiet_begin(&q);
	pthread_mutex_lock(&p->regions_lock);
	err = check(p, &o, reason);
	if (err == 0)
		err = region_make(p, &o, reason, ret);
	pthread_mutex_unlock(&p->regions_lock);
	quiet_end(&q);
	if (err < 0 && reason && !reason->text[0])
		refuse(reason, err, "%s", strerror(-err));
	return err;
}

/* ---- unmaking it ------------------------------------------------------------------------ */

/* No settler may be inside any more: take all places of it, unsettled. */
static int abandon_slice(struct slice *s)
{
	abandon_place(s);
	return 0;
}

/* The reader of events may be looking at the list: wait until it has seen
 * that this one is not in it. */
static void forget_region(struct uffd_region *r)
{
	struct uffd_pager *p = r->pager;
	struct uffd_region **at = &p->regions;
	unsigned tries = 0;
	uint32_t seen;

	while (*at != r)
		at = &(*at)->next;
	__atomic_store_n(at, r->next, __ATOMIC_SEQ_CST);
	seen = __atomic_load_n(&p->in_event, __ATOMIC_SEQ_CST);
	while ((seen & 1) &&
	       seen == __atomic_load_n(&p->in_event, __ATOMIC_SEQ_CST))
		word_pause(&tries);
}

/* what is still in it goes with it */
static void give_rest(struct uffd_region *r)
{
	for (uint64_t i = 0; i < r->nr_slices; i++)
		room_give(r->pager,
			  (uint64_t)r->slices[i].nr_here << r->page_shift);
}

static int unqueue_slice(struct slice *s)
{
	queue_remove(&s->region->pager->queue, s);
	/* whoever took it from there before us is done with it after this */
	lock_take(&s->lock);
	queue_remove(&s->region->pager->queue, s);
	lock_drop(&s->lock);
	return 0;
}

static void region_end(struct uffd_region *r)
{
	struct uffd_pager *p = r->pager;

	uffd_engine_remove(p->engine, r->start);
	worker_forget(r);
	each_slice(r, 0, r->len, unqueue_slice);
	each_slice(r, 0, r->len, abandon_slice);
	forget_region(r);
	pin_remove_all(r);
	give_rest(r);
	region_drop(r);
}

PUBLIC int uffd_region_free(struct uffd_region *r)
{
	struct uffd_pager *p = r->pager;
	struct quiet q;
	int err = 0;

	quiet_begin(&q);
	pthread_mutex_lock(&p->regions_lock);
	if (!r->own && !r->rdonly)
		err = each_slice(r, 0, r->len, clean_out);
	if (err == 0)
		region_end(r);
	pthread_mutex_unlock(&p->regions_lock);
	quiet_end(&q);
	return err;
}

PUBLIC void uffd_region_abandon(struct uffd_region *r)
{
	struct uffd_pager *p;
	struct quiet q;

	if (!r)
		return;
	p = r->pager;
	quiet_begin(&q);
	pthread_mutex_lock(&p->regions_lock);
	region_end(r);
	pthread_mutex_unlock(&p->regions_lock);
	quiet_end(&q);
}

PUBLIC void *uffd_region_start(const struct uffd_region *r)
{
	return (void *)(uintptr_t)r->start;
}

PUBLIC uint64_t uffd_region_len(const struct uffd_region *r)
{
	return r->len;
}
