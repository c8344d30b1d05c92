/* SPDX-License-Identifier: MIT */
/*
 * Stores that fail: nothing is lost, nobody reads zeros or other bytes for what
 * was lost, and all goes on when the store does.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "../store/dir.h"
#include "bed.h"

static const uint32_t engines[] = {
	LIBUFFD_ENGINE_SIGBUS,
	LIBUFFD_ENGINE_THREAD,
};

#define EACH_ENGINE(i) for (unsigned i = 0; i < NR(engines); i++)

/* ---- now and then ------------------------------------------------------------ */

/* one request of a hundred fails, is tried again, and nobody notices */
static void now_and_then(void)
{
	EACH_ENGINE(i) {
		const struct bed_want want = {
			.engine = engines[i],
			.uri = "error?rate=0.01&seed=5:" MEMORY,
			.deadline_ms = 5000,
			.ahead_max = 1,
		};
		struct bed b;

		if (!CHECK(bed_open(&b, &want)))
			return;
		for (unsigned v = 1; v <= 4; v++) {
			bed_stamp_all(&b, v);
			CHECK(bed_stamped_all(&b, v));
		}
		/* writes are told each time; reads only when they are given
		 * up */
		SAME(b.nr_failed, b.nr_failed_writes);
		CHECK(b.nr_failed_writes > 0);
		SAME(b.error, -EIO);
		bed_close(&b);
	}
}

/* A region of its store's pages, all written, and out again. */
static bool filled(struct bed *b, const struct bed_want *want,
		   struct uffd_store *store)
{
	static uint8_t page[PAGE];

	for (uint64_t i = 0; i < 512; i++) {
		memset(page, 0, sizeof(page));
		stamp(page, i, 1);
		if (!SAME(uffd_store_write(store, i * PAGE, page, PAGE), 0))
			return false;
	}
	return CHECK(bed_open(b, want));
}

/* ---- always ---------------------------------------------------------------------- */

/* the first 512 requests go well: those that fill the store */
static bool open_failing(const char *how, struct uffd_store **ret)
{
	struct uffd_reason why;
	char uri[128];

	snprintf(uri, sizeof(uri), "error?after=512&%s:%s", how, MEMORY);
	return SAME(uffd_store_open(uri, 0, &why, ret), 0);
}

static void told(const struct bed *b, uint64_t page, int error,
		 const char *what)
{
	CHECK(b->nr_failed > 0);
	SAME(b->nr_failed_writes, 0);
	SAME(b->offset, page * PAGE);
	SAME(b->error, error);
	CHECK(b->region == b->r);
	CHECK(b->what && strcmp(b->what, what) == 0);
}

/* with and without readahead, which must not change what the page gets */
static void always_one(uint32_t engine, const char *how, int error,
		       const char *what)
{
	struct bed_want want = { .engine = engine, .deadline_ms = 20 };
	struct bed b;

	for (want.ahead_max = 0; want.ahead_max < 2; want.ahead_max++) {
		if (!open_failing(how, &want.store) ||
		    !filled(&b, &want, want.store))
			return;
		CHECK(dies(bed_page(&b, 7)));
		told(&b, 7, error, what);
		/* again, and the next */
		CHECK(dies(bed_page(&b, 7)));
		CHECK(dies(bed_page(&b, 8)));
		SAME(uffd_touch(b.r, 100 * PAGE, PAGE), error);
		CHECK(dies(bed_page(&b, 100)));
		SAME(uffd_pin(b.r, 200 * PAGE, PAGE), error);
		uffd_prefetch(b.r, 300 * PAGE, PAGE);
		CHECK(dies(bed_page(&b, 300)));
		bed_close(&b);
		uffd_store_close(want.store);
	}
}

static void always(void)
{
	EACH_ENGINE(i)
		always_one(engines[i], "read_rate=1", -EIO, "read");
}

static void other_error(void)
{
	EACH_ENGINE(i)
		always_one(engines[i], "read_rate=1&errno=ETIMEDOUT",
			   -ETIMEDOUT, "read");
}

/* What came is not what left: refused, also when the error is in a neighbour
 * that comes along. The pager must have seen the page leave. */
static void wrong_bytes(void)
{
	EACH_ENGINE(i) {
		/* 512 writes; then every read has a bit turned over */
		struct bed_want want = {
			.engine = engines[i],
			.uri = "error?corrupt=1:" MEMORY,
			.deadline_ms = 5,
		};
		struct bed b;

		if (!CHECK(bed_open(&b, &want)))
			return;
		/* discarded pages are zeros without a read */
		SAME(uffd_discard(b.r, 0, b.pages * PAGE), 0);
		bed_stamp_all(&b, 1);
		SAME(uffd_evict(b.r, 0, b.pages * PAGE), 0);
		CHECK(dies(bed_page(&b, 3)));
		told(&b, 3, -EBADMSG, "hash");
		SAME(uffd_touch(b.r, 5 * PAGE, PAGE), -EBADMSG);
		CHECK(dies(bed_page(&b, 5)));
		bed_close(&b);
	}
}

/* ---- only some ------------------------------------------------------------------- */

/*
 * Half of all requests fail: no page that comes is another, and each comes in
 * the end. With readahead most runs fail; their pages must come all the same.
 */
static void neighbours(void)
{
	EACH_ENGINE(i) {
		struct bed_want want = {
			.engine = engines[i],
			.deadline_ms = 60000,
		};
		struct bed b;

		if (!open_failing("read_rate=0.5", &want.store) ||
		    !filled(&b, &want, want.store))
			return;
		/* a hint that fails is no failure */
		for (uint64_t p = 0; p < 60; p++)
			SAME(uffd_prefetch(b.r, p * PAGE, PAGE), 0);
		CHECK(bed_stamped_all(&b, 1));
		SAME(b.nr_failed, 0);
		bed_close(&b);
		uffd_store_close(want.store);
	}
}

/* A page that could not be had comes when it can again: by touch, by a write
 * that replaces it, by discarding it. */
static void comes_again(void)
{
	EACH_ENGINE(i) {
		struct bed_want want = {
			.engine = engines[i],
			.ahead_max = 1,
		};
		struct bed b;
		unsigned n = 0;

		/* about half fail, at once */
		if (!open_failing("read_rate=0.5&seed=3", &want.store) ||
		    !filled(&b, &want, want.store))
			return;
		for (uint64_t p = 0; p < 40; p++)
			n += dies(bed_page(&b, p));
		CHECK(n > 0 && n < 40);
		for (uint64_t p = 0; p < 40; p++) {
			for (n = 0; n < 100 && uffd_touch(b.r, p * PAGE, PAGE);)
				n++;
			CHECK(n < 100 && !dies(bed_page(&b, p)) &&
			      stamped(bed_page(&b, p), p, 1));
		}
		bed_close(&b);
		uffd_store_close(want.store);
	}
}

static void discarded(void)
{
	EACH_ENGINE(i) {
		struct bed_want want = { .engine = engines[i] };
		struct bed b;

		if (!open_failing("read_rate=1", &want.store) ||
		    !filled(&b, &want, want.store))
			return;
		CHECK(dies(bed_page(&b, 9)));
		SAME(uffd_discard(b.r, 9 * PAGE, PAGE), 0);
		CHECK(!dies(bed_page(&b, 9)) && stamped(bed_page(&b, 9), 9, 0));
		stamp(bed_page(&b, 9), 9, 2);
		CHECK(stamped(bed_page(&b, 9), 9, 2));
		bed_close(&b);
		uffd_store_close(want.store);
	}
}

/* ---- writing ------------------------------------------------------------------------ */

/* a store that takes nothing any more: nothing is lost, the region stays */
static void no_writing(void)
{
	EACH_ENGINE(i) {
		const struct bed_want want = {
			.engine = engines[i],
			.uri = "error?write_rate=1&errno=ENOSPC:" MEMORY,
			.budget = 64,
		};
		struct bed b;
		int err;

		if (!CHECK(bed_open(&b, &want)))
			return;
		for (uint64_t p = 0; p < 40; p++)
			stamp(bed_page(&b, p), p, 1);
		SAME(uffd_evict(b.r, 0, b.pages * PAGE), -ENOSPC);
		CHECK(b.nr_failed_writes > 0);
		SAME(b.error, -ENOSPC);
		CHECK(b.region == b.r && b.offset < 40 * PAGE);
		SAME(uffd_sync(b.r, 0, b.pages * PAGE), -ENOSPC);
		SAME(uffd_pager_set_budget(b.p, LIBUFFD_BUDGET_MIN), -EBUSY);
		SAME(uffd_pager_set_budget(b.p, 64 * PAGE), 0);
		for (uint64_t p = 0; p < 40; p++)
			CHECK(stamped(bed_page(&b, p), p, 1));
		err = uffd_region_free(b.r);
		SAME(err, -ENOSPC);
		for (uint64_t p = 0; p < 40 && err; p++)
			CHECK(stamped(bed_page(&b, p), p, 1));
		if (err)
			uffd_region_abandon(b.r);
		/* the next has all the budget */
		SAME(bed_region(&b, &(struct bed_want){ 0 }, NULL, &b.r), 0);
		b.mem = uffd_region_start(b.r);
		bed_stamp_all(&b, 1);
		CHECK(bed_stamped_all(&b, 1));
		bed_close(&b);
	}
}

/* ---- a full disk ---------------------------------------------------------------- */

struct writer {
	const struct bed *b;
	atomic_bool done;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;

	bed_stamp_all(w->b, 1);
	w->done = true;
	return NULL;
}

static void fill_disk(const char *path)
{
	static const char block[4096];
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
}

static void on_full_disk(const char *dir, uint32_t engine)
{
	char uri[PATH_MAX], hog[PATH_MAX];
	struct bed_want want = { .engine = engine, .uri = uri };
	struct bed b;
	struct writer w = { .b = &b };
	pthread_t t;

	snprintf(uri, sizeof(uri), "%s/hog", dir);
	strcpy(hog, uri);
	snprintf(uri, sizeof(uri), "%s/pages", dir);
	close(open(uri, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	if (truncate(uri, 512 * PAGE) < 0)
		return;
	snprintf(uri, sizeof(uri), "file:%s/pages", dir);
	if (CHECK(bed_open(&b, &want))) {
		fill_disk(hog);
		pthread_create(&t, NULL, write_all, &w);
		for (unsigned n = 0; n < 5000 && !b.nr_failed_writes; n++)
			nap_ms(1);
		CHECK(b.nr_failed_writes > 0);
		SAME(b.error, -ENOSPC);
		CHECK(!w.done);
		unlink(hog);
		pthread_join(t, NULL);
		CHECK(bed_stamped_all(&b, 1));
		SAME(uffd_sync(b.r, 0, b.pages * PAGE), 0);
		bed_close(&b);
	}
	snprintf(uri, sizeof(uri), "%s/pages", dir);
	unlink(uri);
}

static void full_disk(void)
{
	struct dir d;

	dir_make(&d);
	/* of our own, gone with us whatever happens */
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", d.path, "tmpfs", 0, "size=4M") < 0) {
		dir_remove(&d);
		SKIP("a small file system needs mount(2)");
	}
	EACH_ENGINE(i)
		on_full_disk(d.path, engines[i]);
	umount(d.path);
	dir_remove(&d);
}

static const struct promise promises[] = {
	{ "a request that fails now and then is tried again", now_and_then },
	{ "a page that can't be read is SIGBUS, and told", always },
	{ "the store's own error is the one that is told", other_error },
	{ "bytes that are not those that left are refused", wrong_bytes },
	{ "an error in a neighbour does no harm", neighbours },
	{ "a page that failed comes when its store can", comes_again },
	{ "a page that failed can be discarded", discarded },
	{ "what can't be written stays, and the region with it", no_writing },
	{ "a full disk loses nothing and goes on when there is room",
	  full_disk },
};

int main(void)
{
	dies_begin();
	return keep_all(promises, NR(promises));
}
