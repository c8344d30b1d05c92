/* SPDX-License-Identifier: MIT */
/*
 * One ioctl each: what the kernel answers, and what is made of it.
 */
#include <uffd/kernel.h>

#include "promise.h"
#include "seam.h"

#define PAGE 4096
#define LEN (16 * PAGE)
#define AT 0x100000
#define SRC ((void *)0x700000)

/* what the tests' kernel finds in an output field before it writes */
static long found_in_output;

/* every request with an output field has it last */
static __s64 *output(const struct seam_args *args)
{
	char *arg = (char *)args->a[2];

	return (__s64 *)(arg + _IOC_SIZE((unsigned long)args->a[1]) - 8);
}

static void put_output(const struct seam_args *args, long value)
{
	found_in_output = *output(args);
	*output(args) = value;
}

static void leave_output(const struct seam_args *args, long value)
{
	(void)value;
	found_in_output = *output(args);
}

/* The question whether the layout changes: an empty ZEROPAGE. */
static void check_question(const struct seam_args *args, long value)
{
	struct uffdio_zeropage *ask = (void *)args->a[2];

	(void)value;
	SAME(ask->range.start, 0);
	SAME(ask->range.len, 0);
}

#define QUESTION(answer_) \
	{ SEAM_IOCTL, UFFDIO_ZEROPAGE, answer_, 0, check_question, 0 }

static int64_t copy(void)
{
	return uffd_copy(7, AT, SRC, LEN, 0);
}

static int64_t zeropage(void)
{
	return uffd_zeropage(7, AT, LEN, 0);
}

static int64_t move(void)
{
	return uffd_move(7, AT, 0x700000, LEN, 0);
}

static int64_t cont(void)
{
	return uffd_continue(7, AT, LEN, 0);
}

static int64_t poison(void)
{
	return uffd_poison(7, AT, LEN, 0);
}

static int64_t writeprotect(void)
{
	return uffd_writeprotect(7, AT, LEN, 0);
}

static int64_t rwprotect(void)
{
	return uffd_rwprotect(7, AT, LEN, 0);
}

struct fill {
	unsigned long request;
	int64_t (*call)(void);
};

static const struct fill fills[] = {
	{ UFFDIO_COPY, copy },
	{ UFFDIO_ZEROPAGE, zeropage },
	{ UFFDIO_MOVE, move },
	{ UFFDIO_CONTINUE, cont },
	{ UFFDIO_POISON, poison },
};

static const struct fill protects[] = {
	{ UFFDIO_WRITEPROTECT, writeprotect },
	{ UFFDIO_RWPROTECT, rwprotect },
};

static void whole(void)
{
	for (unsigned i = 0; i < NR(fills); i++) {
		SCRIPT({ SEAM_IOCTL, fills[i].request, 0, 0, put_output, LEN });
		SAME(CALL(fills[i].call()), LEN);
		SAME(found_in_output, 0);
		CHECK(seam_end());
	}
	for (unsigned i = 0; i < NR(protects); i++) {
		SCRIPT({ SEAM_IOCTL, protects[i].request });
		SAME(CALL(protects[i].call()), LEN);
		CHECK(seam_end());
	}
}

static void partial(void)
{
	for (unsigned i = 0; i < NR(fills); i++) {
		SCRIPT({ SEAM_IOCTL, fills[i].request, -EAGAIN, 0, put_output,
			 2 * PAGE });
		SAME(CALL(fills[i].call()), 2 * PAGE);
		CHECK(seam_end());
	}
}

static void changing(void)
{
	for (unsigned i = 0; i < NR(fills); i++) {
		SCRIPT({ SEAM_IOCTL, fills[i].request, -EAGAIN, 0, put_output,
			 -EAGAIN },
		       QUESTION(-EAGAIN));
		SAME(CALL(fills[i].call()), -EINPROGRESS);
		CHECK(seam_end());
	}
}

static void changing_old(void)
{
	for (unsigned i = 0; i < NR(fills); i++) {
		SCRIPT({ SEAM_IOCTL, fills[i].request, -EAGAIN, 0,
			 leave_output },
		       QUESTION(-EAGAIN));
		SAME(CALL(fills[i].call()), -EINPROGRESS);
		SAME(found_in_output, 0);
		CHECK(seam_end());
	}
}

static void protects_changing(void)
{
	for (unsigned i = 0; i < NR(protects); i++) {
		SCRIPT({ SEAM_IOCTL, protects[i].request, -EAGAIN },
		       QUESTION(-EAGAIN));
		SAME(CALL(protects[i].call()), -EINPROGRESS);
		CHECK(seam_end());
		SCRIPT({ SEAM_IOCTL, protects[i].request, -EAGAIN },
		       QUESTION(-EINVAL));
		SAME(CALL(protects[i].call()), -EAGAIN);
		CHECK(seam_end());
	}
}

static void transient(void)
{
	for (unsigned i = 0; i < NR(fills); i++) {
		SCRIPT({ SEAM_IOCTL, fills[i].request, -EAGAIN, 0, put_output,
			 -EAGAIN },
		       QUESTION(-EINVAL));
		SAME(CALL(fills[i].call()), -EAGAIN);
		CHECK(seam_end());
		SCRIPT({ SEAM_IOCTL, fills[i].request, -EAGAIN, 0,
			 leave_output },
		       QUESTION(-EINVAL));
		SAME(CALL(fills[i].call()), -EAGAIN);
		CHECK(seam_end());
	}
}

static void others(void)
{
	static const int errs[] = { EEXIST, ENOENT, ESRCH, EFAULT, ENOMEM,
				    EINVAL, EBUSY, EINTR, EIO, EBADF, EPERM };

	for (unsigned i = 0; i < NR(fills); i++)
		for (unsigned e = 0; e < NR(errs); e++) {
			SCRIPT({ SEAM_IOCTL, fills[i].request, -errs[e], 0,
				 put_output, -errs[e] });
			SAME(CALL(fills[i].call()), -errs[e]);
			CHECK(seam_end());
		}
	for (unsigned i = 0; i < NR(protects); i++)
		for (unsigned e = 0; e < NR(errs); e++) {
			SCRIPT({ SEAM_IOCTL, protects[i].request, -errs[e] });
			SAME(CALL(protects[i].call()), -errs[e]);
			CHECK(seam_end());
		}
}

static void is_changing(void)
{
	SCRIPT(QUESTION(-EAGAIN));
	SAME(CALL(uffd_changing(7)), 1);
	CHECK(seam_end());
	SCRIPT(QUESTION(-EINVAL));
	SAME(CALL(uffd_changing(7)), 0);
	CHECK(seam_end());
	SCRIPT(QUESTION(-EBADF));
	SAME(CALL(uffd_changing(7)), -EBADF);
	CHECK(seam_end());
}

static void check_range(const struct seam_args *args, long value)
{
	struct uffdio_range *range = (void *)args->a[2];

	(void)value;
	SAME(range->start, AT);
	SAME(range->len, LEN);
}

static void unregister_wakes(void)
{
	SCRIPT({ SEAM_IOCTL, UFFDIO_UNREGISTER, 0, 0, check_range },
	       { SEAM_IOCTL, UFFDIO_WAKE, 0, 0, check_range });
	SAME(CALL(uffd_unregister(7, AT, LEN)), 0);
	CHECK(seam_end());
	SCRIPT({ SEAM_IOCTL, UFFDIO_UNREGISTER, -ENOMEM });
	SAME(CALL(uffd_unregister(7, AT, LEN)), -ENOMEM);
	CHECK(seam_end());
}

static void put_ioctls(const struct seam_args *args, long value)
{
	((struct uffdio_register *)args->a[2])->ioctls = (unsigned long)value;
}

static void registers(void)
{
	uint64_t ioctls = 99;

	SCRIPT({ SEAM_IOCTL, UFFDIO_REGISTER, 0, 0, put_ioctls, 0x17c });
	SAME(CALL(uffd_register(7, AT, LEN, 1, &ioctls)), 0);
	SAME(ioctls, 0x17c);
	CHECK(seam_end());
	ioctls = 99;
	SCRIPT({ SEAM_IOCTL, UFFDIO_REGISTER, -EBUSY, 0, put_ioctls, 0x17c });
	SAME(CALL(uffd_register(7, AT, LEN, 1, &ioctls)), -EBUSY);
	SAME(ioctls, 99);
	CHECK(seam_end());
	SCRIPT({ SEAM_IOCTL, UFFDIO_REGISTER, 0 });
	SAME(CALL(uffd_register(7, AT, LEN, 1, NULL)), 0);
	CHECK(seam_end());
	SCRIPT({ SEAM_IOCTL, UFFDIO_SET_MODE, -EINVAL });
	SAME(CALL(uffd_set_mode(7, 1, 2)), -EINVAL);
	CHECK(seam_end());
}

static const struct promise promises[] = {
	{ "a call that did everything returns its length", whole },
	{ "EAGAIN with progress is the progress", partial },
	{ "EAGAIN while the layout changes is EINPROGRESS", changing },
	{ "the same where the kernel leaves the output alone", changing_old },
	{ "EAGAIN of a race that is over stays EAGAIN", transient },
	{ "requests without output tell the two apart, too",
	  protects_changing },
	{ "every other error is passed on", others },
	{ "uffd_changing says yes, no, or why it can't say", is_changing },
	{ "unregistering wakes the range, failing to does not",
	  unregister_wakes },
	{ "registering gives the mask of ioctls only on success", registers },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
