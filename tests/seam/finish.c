/* SPDX-License-Identifier: MIT */
/*
 * The uffd_*_all functions against a kernel of a few pages, in which mappings
 * end, pages exist, are unmapped, or fail, and the layout changes.
 */
#include <stdlib.h>
#include <uffd/kernel.h>

#include "promise.h"
#include "seam.h"

#define PAGE 4096ull
#define AT 0x100000ull
#define SRC 0x900000ull
#define MOST 64u

enum state { MISSING, PRESENT, GONE, FILLED };

struct kernel {
	unsigned nr;
	enum state page[MOST];
	unsigned mapping[MOST];	/* pages of one mapping have one number */
	bool src_hole[MOST];	/* for MOVE */
	unsigned woken[MOST];
	unsigned fail_at;	/* page at which fail is the answer, or MOST */
	int fail;
	unsigned again;		/* every nth fill is -EAGAIN; 0: none */
	bool changing;
	unsigned fills;		/* fills and protects asked for */
	bool mistaken;		/* was called as it must not be */
};

/* dst and len of a request; src, where it has one, must belong to dst */
static void range_of(struct kernel *k, const struct seam_args *args,
		     uint64_t *ret_start, uint64_t *ret_len)
{
	const struct uffdio_copy *copy = (void *)args->a[2];
	const struct uffdio_range *range = (void *)args->a[2];
	unsigned long request = (unsigned long)args->a[1];

	if (request == UFFDIO_COPY || request == UFFDIO_MOVE) {
		*ret_start = copy->dst;
		*ret_len = copy->len;
		if (copy->src - SRC != copy->dst - AT)
			k->mistaken = true;
	} else {
		*ret_start = range->start;
		*ret_len = range->len;
	}
	if (*ret_len && (*ret_start < AT ||
			 *ret_start + *ret_len > AT + k->nr * PAGE ||
			 *ret_start % PAGE || *ret_len % PAGE))
		k->mistaken = true;
}

static long border(const struct kernel *k, unsigned first, unsigned nr,
		   bool move)
{
	for (unsigned i = first; i < first + nr; i++) {
		if (k->page[i] == GONE)
			return i == first || !move ? -ENOENT : -EINVAL;
		if (k->mapping[i] != k->mapping[first])
			return move ? -EINVAL : -ENOENT;
	}
	return 0;
}

/* fill until one page stops it; the bytes done, or its errno */
static long fill(struct kernel *k, unsigned first, unsigned nr, bool move)
{
	long err = border(k, first, nr, move);
	unsigned i;

	for (i = first; !err && i < first + nr; i++) {
		if (i == k->fail_at)
			err = k->fail;
		else if (k->page[i] != MISSING)
			err = -EEXIST;
		else if (move && k->src_hole[i])
			err = -ENOENT;
		if (err)
			break;
		k->page[i] = FILLED;
		k->woken[i]++;
	}
	return i > first ? (long)((i - first) * PAGE) : err;
}

/* protect mapping by mapping, and stop at what is not registered */
static long protect(struct kernel *k, unsigned first, unsigned nr)
{
	for (unsigned i = first; i < first + nr; i++) {
		if (i == k->fail_at)
			return k->fail;
		if (k->page[i] == GONE)
			return -ENOENT;
		k->page[i] = FILLED;
	}
	return 0;
}

static long play(const struct seam_args *args, void *data)
{
	unsigned long request = (unsigned long)args->a[1];
	struct kernel *k = data;
	uint64_t start, len;
	__s64 *out;
	long ret;

	if (args->call != SEAM_IOCTL)
		return k->mistaken = true, -ENOSYS;
	range_of(k, args, &start, &len);
	if (k->mistaken)
		return -ENOTRECOVERABLE;
	if (request == UFFDIO_WAKE) {
		for (unsigned i = 0; i < len / PAGE; i++)
			k->woken[(start - AT) / PAGE + i]++;
		return 0;
	}
	if (k->changing)
		return k->fills++, -EAGAIN;
	if (!len)
		return -EINVAL;
	if (k->again && ++k->fills % k->again == 0)
		return -EAGAIN;
	if (request == UFFDIO_WRITEPROTECT)
		return protect(k, (start - AT) / PAGE, len / PAGE);

	ret = fill(k, (start - AT) / PAGE, len / PAGE, request == UFFDIO_MOVE);
	out = (__s64 *)((char *)args->a[2] + _IOC_SIZE(request) - 8);
	*out = ret;
	if (ret > 0)
		return (uint64_t)ret == len ? 0 : -EAGAIN;
	return ret;
}

enum which { COPY, ZEROPAGE, MOVE, CONTINUE, POISON, WRITEPROTECT, NR_WHICH };

static int finish(enum which which, unsigned nr, uint64_t mode,
		  struct uffd_progress *p)
{
	const uint64_t len = nr * PAGE;

	switch (which) {
	case COPY:
		return uffd_copy_all(7, AT, (void *)SRC, len, mode, PAGE, p);
	case ZEROPAGE:
		return uffd_zeropage_all(7, AT, len, mode, PAGE, p);
	case MOVE:
		return uffd_move_all(7, AT, SRC, len, mode, PAGE, p);
	case CONTINUE:
		return uffd_continue_all(7, AT, len, mode, PAGE, p);
	case POISON:
		return uffd_poison_all(7, AT, len, mode, PAGE, p);
	default:
		return uffd_writeprotect_all(7, AT, len, mode, PAGE, p);
	}
}

static uint64_t dontwake(enum which which)
{
	return which == WRITEPROTECT ? UFFDIO_WRITEPROTECT_MODE_DONTWAKE :
				       UFFDIO_COPY_MODE_DONTWAKE;
}

static struct kernel fresh(unsigned nr)
{
	return (struct kernel){ .nr = nr, .fail_at = MOST };
}

/* anything may be anywhere */
static struct kernel random_kernel(unsigned *seed, enum which which)
{
	struct kernel k = fresh(1 + (unsigned)rand_r(seed) % MOST);
	unsigned mapping = 0, odd = 2 + (unsigned)rand_r(seed) % 8;

	for (unsigned i = 0; i < k.nr; i++) {
		if ((unsigned)rand_r(seed) % odd == 0)
			mapping++;
		if ((unsigned)rand_r(seed) % odd == 0)
			k.page[i] = rand_r(seed) % 2 || which == MOVE ||
						    which == WRITEPROTECT ?
					    PRESENT :
					    GONE;
		k.mapping[i] = mapping;
	}
	if (rand_r(seed) % 2)
		k.again = 2 + (unsigned)rand_r(seed) % 3;
	return k;
}

/* what is there after, page by page, against what was there before */
static void compare(const struct kernel *before, const struct kernel *after,
		    unsigned nr, bool wake, bool fills,
		    const struct uffd_progress *p)
{
	struct uffd_progress want = { 0 };

	for (unsigned i = 0; i < nr; i++) {
		want.done += PAGE;
		if (before->page[i] == GONE)
			want.gone += PAGE;
		else if (before->page[i] == PRESENT && fills)
			want.existed += PAGE;
		else
			want.filled += PAGE;
		if (before->page[i] == MISSING)
			SAME(after->page[i], FILLED);
		else if (fills || before->page[i] == GONE)
			SAME(after->woken[i], wake);
	}
	SAME(p->done, want.done);
	SAME(p->filled, want.filled);
	SAME(p->existed, want.existed);
	SAME(p->gone, want.gone);
	CHECK(!after->mistaken);
}

static void everything(void)
{
	unsigned seed = 1;

	for (unsigned round = 0; round < 3000 && !broken; round++) {
		enum which which = round % NR_WHICH;
		bool wake = round / NR_WHICH % 2;
		struct kernel before = random_kernel(&seed, which);
		struct kernel k = before;
		struct uffd_progress p;

		seam_use(play, &k);
		SAME(CALL(finish(which, k.nr, wake ? 0 : dontwake(which), &p)),
		     0);
		compare(&before, &k, k.nr, wake, which != WRITEPROTECT, &p);
		CHECK(seam_calls() <= 16 * k.nr + 64);
		seam_use(NULL, NULL);
	}
}

static void stops_exactly(void)
{
	static const int errs[] = { ENOMEM, ESRCH, EFAULT, EBUSY, EIO };
	unsigned seed = 2;

	for (unsigned round = 0; round < 3000 && !broken; round++) {
		enum which which = round % (NR_WHICH - 1); /* fills */
		struct kernel before = random_kernel(&seed, which);
		struct kernel k;
		struct uffd_progress p;

		before.fail_at = (unsigned)rand_r(&seed) % before.nr;
		before.page[before.fail_at] = MISSING;
		before.fail = -errs[round % NR(errs)];
		k = before;
		seam_use(play, &k);
		SAME(CALL(finish(which, k.nr, 0, &p)), before.fail);
		compare(&before, &k, k.fail_at, true, true, &p);
		for (unsigned i = k.fail_at; i < k.nr; i++)
			SAME(k.page[i], before.page[i]);
		seam_use(NULL, NULL);
	}
}

static void storm(void)
{
	for (unsigned which = 0; which < NR_WHICH; which++) {
		struct kernel k = fresh(16);
		struct uffd_progress p;

		k.again = 1;
		seam_use(play, &k);
		SAME(CALL(finish(which, 16, 0, &p)), -EAGAIN);
		SAME(p.done, 0);
		CHECK(seam_calls() <= 32);
		seam_use(NULL, NULL);
	}
}

static void storm_midway(void)
{
	for (unsigned which = 0; which < WRITEPROTECT; which++) {
		struct kernel k = fresh(16);
		struct uffd_progress p;

		k.fail_at = 5;
		k.fail = -EAGAIN;
		seam_use(play, &k);
		SAME(CALL(finish(which, 16, 0, &p)), -EAGAIN);
		SAME(p.done, 5 * PAGE);
		SAME(p.filled, 5 * PAGE);
		CHECK(seam_calls() <= 32);
		seam_use(NULL, NULL);
	}
}

static void changing(void)
{
	for (unsigned which = 0; which < NR_WHICH; which++) {
		struct kernel k = fresh(16);
		struct uffd_progress p;

		k.changing = true;
		seam_use(play, &k);
		SAME(CALL(finish(which, 16, 0, &p)), -EINPROGRESS);
		SAME(p.done, 0);
		SAME(seam_calls(), 2);
		seam_use(NULL, NULL);
	}
}

static void moves_stop_at_holes(void)
{
	for (unsigned hole = 0; hole < 16; hole++) {
		struct kernel k = fresh(16);
		struct uffd_progress p;

		k.src_hole[hole] = true;
		seam_use(play, &k);
		SAME(CALL(finish(MOVE, 16, 0, &p)), -ENOENT);
		SAME(p.done, hole * PAGE);
		SAME(p.gone, 0);
		seam_use(NULL, NULL);
	}
}

static void gone_is_cheap(void)
{
	struct kernel k = fresh(MOST);
	struct uffd_progress p;

	for (unsigned i = 0; i < MOST; i++)
		k.page[i] = GONE;
	seam_use(play, &k);
	SAME(CALL(finish(COPY, MOST, 0, &p)), 0);
	SAME(p.gone, MOST * PAGE);
	/* a call and a wake a page, and finding out that it is so */
	CHECK(seam_calls() <= 2 * MOST + 8);
	seam_use(NULL, NULL);
}

static void bad_arguments(void)
{
	struct uffd_progress p;

	for (unsigned i = 0; i < 2; i++) {
		SCRIPT();
		p = (struct uffd_progress){ 1, 2, 3, 4 };
		SAME(CALL(uffd_copy_all(7, AT, (void *)SRC,
					i ? PAGE + 1 : PAGE, 0,
					i ? PAGE : 0, &p)),
		     -EINVAL);
		SAME(p.done + p.filled + p.existed + p.gone, 0);
		CHECK(seam_end());
	}
	SCRIPT();
	SAME(CALL(uffd_zeropage_all(7, AT, 0, 0, PAGE, &p)), 0);
	SAME(p.done, 0);
	CHECK(seam_end());
}

/* no kernel does this; it must not become an endless loop */
static void no_progress(void)
{
	struct uffd_progress p;

	SCRIPT({ SEAM_IOCTL, UFFDIO_COPY, 0 });
	SAME(CALL(uffd_copy_all(7, AT, (void *)SRC, PAGE, 0, PAGE, &p)), -EIO);
	SAME(p.done, 0);
	CHECK(seam_end());
}

static void steps(void)
{
	const uint64_t len = 300ull << 20;
	struct uffd_progress p;

	SCRIPT({ SEAM_IOCTL, UFFDIO_WRITEPROTECT, 0, 3 });
	SAME(CALL(uffd_writeprotect_all(7, AT, len, 1, PAGE, &p)), 0);
	SAME(p.filled, len);
	SAME(seam_calls(), 3);
	CHECK(seam_end());
}

static const struct promise promises[] = {
	{ "whatever is in the range, each page is dealt with and counted",
	  everything },
	{ "an error midway leaves exactly what is before it done",
	  stops_exactly },
	{ "EAGAIN without end is given back after a few tries", storm },
	{ "the same in the middle of a range", storm_midway },
	{ "a changing layout is told at once", changing },
	{ "a hole in the source of a move is the caller's to know",
	  moves_stop_at_holes },
	{ "a range that is gone costs two calls a page", gone_is_cheap },
	{ "impossible sizes make no call at all", bad_arguments },
	{ "success without progress ends", no_progress },
	{ "protecting goes in steps and lets others at the lock", steps },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
