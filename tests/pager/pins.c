/* SPDX-License-Identifier: MIT */
/*
 * Pages that a device writes to while others come and go: by an io_uring
 * registered buffer, which keeps its pages pinned for as long as it is
 * registered, and which the kernel writes to without looking at the page table.
 * What it wrote must be in the region, whichever way of keeping pages in place
 * the pager was opened with.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "../seam/promise.h"
#include "bed.h"

/* ---- what pins promise --------------------------------------------------------- */

static void budget_of_pins(void)
{
	struct bed b;

	if (!CHECK(bed_open(&b, &(struct bed_want){ .budget = 64 })))
		return;
	SAME(uffd_pin(b.r, 0, 56 * PAGE), 0);
	SAME(uffd_pin(b.r, 100 * PAGE, PAGE), -ENOMEM);
	/* an eighth is left for all else */
	bed_stamp_all(&b, 1);
	CHECK(bed_stamped_all(&b, 1));
	SAME(uffd_evict(b.r, 0, PAGE), -EBUSY);
	SAME(uffd_sync(b.r, 0, 56 * PAGE), 0);
	uffd_unpin(b.r, 0, 56 * PAGE);
	SAME(uffd_evict(b.r, 0, PAGE), 0);
	/* they add up */
	SAME(uffd_pin(b.r, 0, 8 * PAGE), 0);
	SAME(uffd_pin(b.r, 4 * PAGE, 8 * PAGE), 0);
	uffd_unpin(b.r, 0, 8 * PAGE);
	SAME(uffd_evict(b.r, 5 * PAGE, PAGE), -EBUSY);
	uffd_unpin(b.r, 4 * PAGE, 8 * PAGE);
	SAME(uffd_evict(b.r, 5 * PAGE, PAGE), 0);
	/* a region may go with pins in it */
	SAME(uffd_pin(b.r, 0, 8 * PAGE), 0);
	SAME(uffd_region_free(b.r), 0);
	SAME(bed_region(&b, &(struct bed_want){ 0 }, NULL, &b.r), 0);
	SAME(uffd_pin(b.r, 0, 56 * PAGE), 0);
	bed_close(&b);
}

#ifdef HAVE_LIBURING

#define NR_HELD 8u

struct kind {
	const char *name;
	struct bed_want want;
};

#define SIGBUS_ LIBUFFD_ENGINE_SIGBUS
#define THREAD_ LIBUFFD_ENGINE_THREAD
#define CHECKED LIBUFFD_PINS_CHECKED
#define FILE_ LIBUFFD_MEM_MEMFD_SHARED

static const struct kind called[] = {
	{ "sigbus", { .engine = SIGBUS_, .uri = LZ4 } },
	{ "sigbus, 16 KiB",
	  { .engine = SIGBUS_, .uri = LZ4, .page_size = 16384 } },
	{ "sigbus, memory file",
	  { .engine = SIGBUS_, .uri = LZ4, .memory = FILE_ } },
	{ "thread", { .engine = THREAD_, .uri = LZ4 } },
	{ "thread, memory file",
	  { .engine = THREAD_, .uri = LZ4, .memory = FILE_ } },
};

static const struct kind checked[] = {
	{ "sigbus, checked",
	  { .engine = SIGBUS_, .pins = CHECKED, .uri = LZ4 } },
	{ "sigbus, checked, 16 KiB",
	  { .engine = SIGBUS_, .pins = CHECKED, .uri = LZ4,
	    .page_size = 16384 } },
	{ "sigbus, checked, anonymous",
	  { .engine = SIGBUS_, .pins = CHECKED } },
	{ "thread, checked",
	  { .engine = THREAD_, .pins = CHECKED, .uri = LZ4 } },
	{ "thread, checked, 64 KiB",
	  { .engine = THREAD_, .pins = CHECKED, .uri = LZ4, .budget = 256,
	    .page_size = 65536 } },
};

struct held {
	struct io_uring ring;
	int fd;			/* a stamped page for each, version 2 */
	uint64_t pages[NR_HELD];
};

static int make_source(void)
{
	uint8_t *page = aligned_alloc(PAGE, PAGE);
	int fd = memfd_create("source", MFD_CLOEXEC);

	for (uint64_t i = 0; i < 512; i++) {
		stamp(page, i, 2);
		if (pwrite(fd, page, PAGE, (off_t)(i * PAGE)) < 0)
			break;
	}
	free(page);
	return fd;
}

/* Spread over the region; each is registered, which pins it. */
static int hold(struct held *h, const struct bed *b, bool by_call)
{
	struct iovec buffers[NR_HELD];

	for (unsigned i = 0; i < NR_HELD; i++) {
		h->pages[i] = i * 61 % b->pages;
		buffers[i] = (struct iovec){ bed_page(b, h->pages[i]), PAGE };
		if (by_call)
			SAME(uffd_pin(b->r, h->pages[i] * PAGE, PAGE), 0);
	}
	/* registering is a system call: with sigbus its pages must be here */
	for (unsigned n = 0; n < 1000; n++) {
		int err;

		for (unsigned i = 0; i < NR_HELD; i++)
			(void)*(volatile uint8_t *)buffers[i].iov_base;
		err = io_uring_register_buffers(&h->ring, buffers, NR_HELD);
		if (err != -EFAULT)
			return err;
	}
	return -EFAULT;
}

static void device_writes(struct held *h, const struct bed *b)
{
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < NR_HELD; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&h->ring);

		io_uring_prep_read_fixed(sqe, h->fd, bed_page(b, h->pages[i]),
					 PAGE, h->pages[i] * PAGE, (int)i);
	}
	io_uring_submit(&h->ring);
	for (unsigned i = 0; i < NR_HELD; i++) {
		if (!SAME(io_uring_wait_cqe(&h->ring, &cqe), 0))
			return;
		SAME(cqe->res, PAGE);
		io_uring_cqe_seen(&h->ring, cqe);
	}
}

/* the device writes again and again; the rest of the region keeps coming and
 * going; what the device wrote last is there each time */
static void under_pressure(struct held *h, const struct bed *b)
{
	for (unsigned n = 0; n < 10 && !broken; n++) {
		device_writes(h, b);
		for (uint64_t p = 0; p < b->pages; p++)
			(void)*(volatile uint8_t *)bed_page(b, p);
		uffd_evict(b->r, 0, b->pages * PAGE);
		for (unsigned i = 0; i < NR_HELD; i++) {
			uint64_t p = h->pages[i];

			CHECK(stamped(bed_page(b, p), p, 2));
			stamp(bed_page(b, p), p, 3);
		}
		for (uint64_t p = 0; p < b->pages; p++)
			(void)*(volatile uint8_t *)bed_page(b, p);
		for (unsigned i = 0; i < NR_HELD; i++)
			CHECK(stamped(bed_page(b, h->pages[i]), h->pages[i],
				      3));
	}
	device_writes(h, b);
}

static bool was_held(const struct held *h, uint64_t page)
{
	for (unsigned i = 0; i < NR_HELD; i++)
		if (h->pages[i] == page)
			return true;
	return false;
}

/* after all, and after what is dirty has gone to the store and come back */
static void look_at_all(const struct held *h, const struct bed *b)
{
	for (unsigned n = 0; n < 2; n++) {
		for (uint64_t p = 0; p < b->pages; p++)
			CHECK(stamped(bed_page(b, p), p,
				      was_held(h, p) ? 2 : 1));
		SAME(uffd_evict(b->r, 0, b->pages * PAGE), 0);
	}
}

static void held_by(const struct kind *k, bool by_call)
{
	struct held h;
	struct bed b;

	if (io_uring_queue_init(16, &h.ring, 0) < 0)
		SKIP("no io_uring here");
	if (!CHECK(bed_open(&b, &k->want)))
		return;
	h.fd = make_source();
	bed_stamp_all(&b, 1);
	if (SAME(hold(&h, &b, by_call), 0))
		under_pressure(&h, &b);
	io_uring_unregister_buffers(&h.ring);
	for (unsigned i = 0; i < NR_HELD && by_call; i++)
		uffd_unpin(b.r, h.pages[i] * PAGE, PAGE);
	look_at_all(&h, &b);
	io_uring_queue_exit(&h.ring);
	close(h.fd);
	bed_close(&b);
	if (broken)
		printf("# %s\n", k->name);
}

static void by_calls(void)
{
	for (unsigned i = 0; i < NR(called) && !broken && !untried; i++)
		held_by(&called[i], true);
}

static void by_checks(void)
{
	for (unsigned i = 0; i < NR(checked) && !broken && !untried; i++)
		held_by(&checked[i], false);
}

#else

static void by_calls(void)
{
	SKIP("built without liburing");
}

static void by_checks(void)
{
	SKIP("built without liburing");
}

#endif

static const struct promise promises[] = {
	{ "pins count, add up, and leave an eighth", budget_of_pins },
	{ "what a device writes to a pinned page is there", by_calls },
	{ "with the check nobody has to call", by_checks },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
