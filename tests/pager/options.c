/* SPDX-License-Identifier: MIT */
/*
 * What is refused when pagers and regions are made, and what is said then.
 */
#include <stdlib.h>
#include <string.h>

#include "../seam/promise.h"
#include "bed.h"

static const struct uffd_pager_opts good_pager = {
	.sz = sizeof(good_pager),
	.budget = LIBUFFD_BUDGET_MIN,
	.engine = LIBUFFD_ENGINE_SIGBUS,
	.pins = LIBUFFD_PINS_CALLED,
};

/* refused with this error, and a line that names what is wrong */
static void no_pager(const struct uffd_pager_opts *opts, int error,
		     const char *word)
{
	struct uffd_pager *p = NULL;
	struct uffd_reason why;

	SAME(uffd_pager_new(opts, &why, &p), error);
	if (!CHECK(strstr(why.text, word)))
		printf("#   said: %s\n", why.text);
	CHECK(!p);
	SAME(uffd_pager_new(opts, NULL, &p), error);
}

static void pager_options(void)
{
	struct uffd_pager_opts o = good_pager;

	o.budget = LIBUFFD_BUDGET_MIN - 1;
	no_pager(&o, -EINVAL, "budget");
	o.budget = UINT64_MAX;
	no_pager(&o, -EINVAL, "budget");
	o = good_pager;
	o.engine = 0;
	no_pager(&o, -EINVAL, "engine");
	o.engine = 3;
	no_pager(&o, -EINVAL, "engine");
	o = good_pager;
	o.pins = 0;
	no_pager(&o, -EINVAL, "pins");
	o.pins = 3;
	no_pager(&o, -EINVAL, "pins");
	o = good_pager;
	o.engine = LIBUFFD_ENGINE_THREAD;
	o.place = 77;
	no_pager(&o, -EINVAL, "place");
	o.place = LIBUFFD_PLACE_CPUS;
	no_pager(&o, -EINVAL, "place");
	o = good_pager;
	o.reserved = 1;
	no_pager(&o, -EINVAL, "unknown");
}

/* a caller of a later version, whose options we don't know */
static void later_options(void)
{
	struct {
		struct uffd_pager_opts opts;
		uint64_t more;
	} p = { .opts = good_pager };
	struct {
		struct uffd_region_opts opts;
		uint64_t more;
	} r = { .opts = { .len = PAGE } };
	struct uffd_region *region = NULL;
	struct uffd_pager *pager = NULL;
	struct uffd_reason why;

	p.opts.sz = sizeof(p);
	p.more = 1;
	no_pager(&p.opts, -EINVAL, "unknown");
	p.more = 0;
	SAME(uffd_pager_new(&p.opts, &why, &pager), 0);
	r.opts.sz = sizeof(r);
	r.more = 1;
	SAME(uffd_region_new(pager, &r.opts, &why, &region), -EINVAL);
	CHECK(strstr(why.text, "unknown"));
	r.more = 0;
	SAME(uffd_region_new(pager, &r.opts, &why, &region), 0);
	SAME(uffd_region_free(region), 0);
	uffd_pager_free(pager);
}

/* ---- regions ------------------------------------------------------------------- */

static void no_region(struct bed *b, const struct uffd_region_opts *opts,
		      int error, const char *word)
{
	struct uffd_region *r = NULL;
	struct uffd_reason why;

	SAME(uffd_region_new(b->p, opts, &why, &r), error);
	if (!CHECK(strstr(why.text, word)))
		printf("#   said: %s\n", why.text);
	CHECK(!r);
	SAME(uffd_region_new(b->p, opts, NULL, &r), error);
}

static bool open_store(const char *uri, unsigned flags, struct uffd_store **ret)
{
	struct uffd_reason why;
	int err = uffd_store_open(uri, flags, &why, ret);

	if (!SAME(err, 0))
		printf("#   %s: %s\n", uri, why.text);
	return err == 0;
}

static bool open_both(struct bed *b, struct uffd_store **store)
{
	*b = (struct bed){ 0 };
	return CHECK(bed_pager(b, &(struct bed_want){ 0 })) &&
	       open_store("memory:?size=1000000&compress=none", 0, store);
}

static void region_options(void)
{
	struct uffd_region_opts good = { .sz = sizeof(good) }, o;
	struct uffd_store *store = NULL;
	struct bed b;

	if (!open_both(&b, &store))
		return;
	good.store = store;
	o = good;
	o.page_size = 8192;
	no_region(&b, &o, -EINVAL, "page size");
	o.page_size = 1;
	no_region(&b, &o, -EINVAL, "page size");
	o = good;
	o.memory = 99;
	no_region(&b, &o, -EINVAL, "memory");
	o.memory = LIBUFFD_MEM_HUGETLB_2M;
	no_region(&b, &o, -EINVAL, "page size");
	o = good;
	o.flags = 1u << 31;
	no_region(&b, &o, -EINVAL, "unknown");
	o = good;
	o.offset = 512;
	no_region(&b, &o, -EINVAL, "offset");
	o.offset = 4096;
	o.page_size = 16384;
	no_region(&b, &o, -EINVAL, "offset");
	o = (struct uffd_region_opts){ .sz = sizeof(o) };
	no_region(&b, &o, -EINVAL, "length");
	o.len = UINT64_MAX;
	no_region(&b, &o, -EINVAL, "length");
	bed_close(&b);
	uffd_store_close(store);
}

static void store_too_short(void)
{
	struct uffd_region_opts o = { .sz = sizeof(o) };
	struct uffd_store *store = NULL;
	struct uffd_region *r = NULL;
	struct bed b;

	if (!open_both(&b, &store))
		return;
	/* 1,000,000 bytes are 244 pages and 576 bytes */
	o.store = store;
	o.offset = 245 * PAGE;
	no_region(&b, &o, -EINVAL, "1000000");
	o.offset = 0;
	o.len = 246 * PAGE;
	no_region(&b, &o, -EINVAL, "1000000");
	o.len = UINT64_MAX - PAGE;
	no_region(&b, &o, -EINVAL, "1000000");
	o.offset = 100 * PAGE;
	o.len = 146 * PAGE;
	no_region(&b, &o, -EINVAL, "1000000");
	/* the last page may be cut short, and ends in zeros then */
	o.len = 145 * PAGE;
	SAME(uffd_region_new(b.p, &o, NULL, &r), 0);
	SAME(uffd_region_len(r), 145 * PAGE);
	SAME(uffd_region_free(r), 0);
	o.len = 0;
	SAME(uffd_region_new(b.p, &o, NULL, &r), 0);
	SAME(uffd_region_len(r), 145 * PAGE);
	bed_close(&b);
	uffd_store_close(store);
}

static void read_only_store(void)
{
	struct uffd_region_opts o = { .sz = sizeof(o) };
	struct uffd_store *store = NULL;
	struct uffd_region *r = NULL;
	struct bed b;

	if (!open_both(&b, &store))
		return;
	uffd_store_close(store);
	if (!open_store("memory:?size=1M", LIBUFFD_STORE_RDONLY, &store))
		return;
	o.store = store;
	no_region(&b, &o, -EROFS, "RDONLY");
	o.flags = LIBUFFD_REGION_RDONLY;
	SAME(uffd_region_new(b.p, &o, NULL, &r), 0);
	SAME(uffd_discard(r, 0, PAGE), -EROFS);
	o.flags = LIBUFFD_REGION_PRIVATE;
	SAME(uffd_region_new(b.p, &o, NULL, &r), 0);
	bed_close(&b);
	uffd_store_close(store);
}

/* also from another pager: the store is the same */
static void writable_twice(void)
{
	struct uffd_region_opts o = { .sz = sizeof(o) };
	struct uffd_region *r = NULL, *other = NULL;
	struct uffd_store *store = NULL;
	struct bed b, b2 = { 0 };

	if (!open_both(&b, &store) ||
	    !CHECK(bed_pager(&b2, &(struct bed_want){ 0 })))
		return;
	o.store = store;
	o.len = 10 * PAGE;
	SAME(uffd_region_new(b.p, &o, NULL, &r), 0);
	no_region(&b, &o, -EBUSY, "mapped");
	no_region(&b2, &o, -EBUSY, "mapped");
	o.offset = 9 * PAGE;
	no_region(&b, &o, -EBUSY, "mapped");
	no_region(&b2, &o, -EBUSY, "mapped");
	/* another part is another matter */
	o.offset = 10 * PAGE;
	SAME(uffd_region_new(b.p, &o, NULL, &other), 0);
	SAME(uffd_region_free(other), 0);
	SAME(uffd_region_new(b2.p, &o, NULL, &other), 0);
	SAME(uffd_region_free(other), 0);
	o.offset = 0;
	o.flags = LIBUFFD_REGION_PRIVATE;
	SAME(uffd_region_new(b.p, &o, NULL, &other), 0);
	/* and when it is freed it can be had again */
	SAME(uffd_region_free(r), 0);
	o.flags = 0;
	SAME(uffd_region_new(b2.p, &o, NULL, &r), 0);
	bed_close(&b2);
	bed_close(&b);
	uffd_store_close(store);
}

/* pages of a memory file are in it as well as mapped, so nobody can tell who
 * uses them */
static void pins_of_files(void)
{
	struct uffd_region_opts o = {
		.sz = sizeof(o),
		.len = 16 * PAGE,
		.memory = LIBUFFD_MEM_MEMFD_SHARED,
	};
	struct bed b = { 0 };

	if (!bed_pager(&b, &(struct bed_want){
				   .pins = LIBUFFD_PINS_CHECKED }))
		SKIP("no UFFDIO_MOVE (6.8)");
	no_region(&b, &o, -EOPNOTSUPP, "pin");
	bed_close(&b);
}

/* ---- ranges -------------------------------------------------------------------- */

static void ranges(void)
{
	struct bed b;
	uint64_t len;

	if (!CHECK(bed_open(&b, &(struct bed_want){ .page_size = 16384 })))
		return;
	len = uffd_region_len(b.r);
	SAME(uffd_touch(b.r, 0, len + 1), -EINVAL);
	SAME(uffd_touch(b.r, len + 1, 0), -EINVAL);
	SAME(uffd_touch(b.r, PAGE, UINT64_MAX - PAGE + 1), -EINVAL);
	SAME(uffd_prefetch(b.r, len, 1), -EINVAL);
	SAME(uffd_evict(b.r, len, 1), -EINVAL);
	SAME(uffd_sync(b.r, len, 1), -EINVAL);
	SAME(uffd_pin(b.r, len, 1), -EINVAL);
	SAME(uffd_discard(b.r, len, 16384), -EINVAL);
	SAME(uffd_discard(b.r, PAGE, 16384), -EINVAL);
	SAME(uffd_discard(b.r, 0, PAGE), -EINVAL);
	SAME(uffd_touch(b.r, len, 0), 0);
	SAME(uffd_pin(b.r, len, 0), 0);
	uffd_unpin(b.r, len, 1);
	uffd_unpin(b.r, 0, 1);
	SAME(uffd_pager_set_budget(b.p, LIBUFFD_BUDGET_MIN - 1), -EINVAL);
	SAME(uffd_pager_set_budget(b.p, UINT64_MAX), -EINVAL);
	bed_close(&b);
	uffd_pager_free(NULL);
	uffd_region_abandon(NULL);
}

static const struct promise promises[] = {
	{ "a bad option of a pager is refused and named", pager_options },
	{ "options that are not known yet are refused", later_options },
	{ "a bad option of a region is refused and named", region_options },
	{ "a store shorter than the mapping is refused", store_too_short },
	{ "a store that can't be written is mapped without writing",
	  read_only_store },
	{ "the same bytes are not mapped writable twice", writable_twice },
	{ "pins of memory files can't be checked, and that is said",
	  pins_of_files },
	{ "ranges outside of the region are refused", ranges },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
