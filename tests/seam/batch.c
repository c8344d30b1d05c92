/* SPDX-License-Identifier: MIT */
/*
 * Reading messages: order, descriptors in them, and none left for one more.
 */
#include <uffd/kernel.h>

#include "promise.h"
#include "seam.h"

#define CAP 8
#define SPARE 50

static struct uffd_msg fault(uint64_t flags, uint64_t address)
{
	struct uffd_msg msg = { .event = UFFD_EVENT_PAGEFAULT };

	msg.arg.pagefault.flags = flags;
	msg.arg.pagefault.address = address;
	msg.arg.pagefault.feat.ptid = 77;
	return msg;
}

static struct uffd_msg forked(int fd)
{
	struct uffd_msg msg = { .event = UFFD_EVENT_FORK };

	msg.arg.fork.ufd = (unsigned)fd;
	return msg;
}

static struct uffd_msg range_event(unsigned event, uint64_t start, uint64_t end)
{
	struct uffd_msg msg = { .event = (__u8)event };

	msg.arg.remove.start = start;
	msg.arg.remove.end = end;
	return msg;
}

/* what the next read finds in the queue */
static struct uffd_msg queue[64];

/* SEAM_READ: value messages of the queue, as many as fit */
static void put_messages(const struct seam_args *args, long value)
{
	size_t len = (size_t)value * sizeof(queue[0]);

	CHECK(len <= (size_t)args->a[2]);
	memcpy((void *)args->a[1], queue, len);
}

#define READ(nr) { SEAM_READ, 0, (nr) * 32, 0, put_messages, nr }
#define READ_FAILS(err) { SEAM_READ, 0, -(err) }
#define SPARE_OPENS { SEAM_EVENTFD, 0, SPARE }
#define SPARE_FAILS(err) { SEAM_EVENTFD, 0, -(err) }

static struct uffd_batch begin(struct uffd_msg *msgs)
{
	struct uffd_batch b;

	SCRIPT(SPARE_OPENS);
	SAME(CALL(uffd_batch_init(&b, msgs, CAP)), 0);
	SAME(b.spare_fd, SPARE);
	CHECK(seam_end());
	return b;
}

static bool closed(unsigned nr, const int *want)
{
	const int *fds;
	bool good = SAME(seam_closed(&fds), nr);

	for (unsigned i = 0; good && i < nr; i++)
		good = SAME(fds[i], want[i]);
	return good;
}

#define CLOSED(...) \
	closed(sizeof((int[]){ __VA_ARGS__ }) / sizeof(int), \
	       (int[]){ __VA_ARGS__ })

static void ordered(void)
{
	static const uint64_t want[] = { 0x20, 0x40, 0x50, 1, 3, 6, 7 };
	struct uffd_msg msgs[CAP];
	struct uffd_batch b = begin(msgs);
	struct uffd_event e;

	queue[0] = fault(0, 1);
	queue[1] = range_event(UFFD_EVENT_REMOVE, 0x20, 0x30);
	queue[2] = fault(1, 3);
	queue[3] = range_event(UFFD_EVENT_UNMAP, 0x40, 0x50);
	queue[4] = range_event(0x77, 0, 0);
	queue[5] = fault(2, 6);
	queue[6] = fault(4, 7);
	SCRIPT(READ(7));
	SAME(CALL(uffd_batch_read(9, &b)), 7);
	for (unsigned i = 0; i < 7; i++) {
		CHECK(CALL(uffd_batch_next(&b, &e)));
		if (i == 2)
			SAME(e.kind, LIBUFFD_EVENT_UNKNOWN);
		else
			SAME(i < 2 ? e.start : e.addr, want[i]);
	}
	CHECK(!CALL(uffd_batch_next(&b, &e)));
	CHECK(!uffd_batch_next(&b, &e));
	CHECK(seam_end());
	SCRIPT();
	uffd_batch_finish(&b);
	CHECK(CLOSED(SPARE));
	CHECK(seam_end());
}

static void decoded(void)
{
	struct uffd_msg msg = fault(UFFD_PAGEFAULT_FLAG_WRITE |
					    UFFD_PAGEFAULT_FLAG_WP,
				    0x1234);
	struct uffd_event e;

	uffd_event_decode(&msg, &e);
	SAME(e.kind, LIBUFFD_FAULT_WP);
	SAME(e.write, true);
	SAME(e.addr, 0x1234);
	SAME(e.tid, 77);
	SAME(e.fork_fd, -1);

	msg = range_event(UFFD_EVENT_UNMAP, 0x1000, 0x5000);
	uffd_event_decode(&msg, &e);
	SAME(e.kind, LIBUFFD_EVENT_UNMAP);
	SAME(e.start, 0x1000);
	SAME(e.len, 0x4000);

	msg = (struct uffd_msg){ .event = UFFD_EVENT_REMAP };
	msg.arg.remap.from = 0x1000;
	msg.arg.remap.to = 0x9000;
	msg.arg.remap.len = 0x2000;
	uffd_event_decode(&msg, &e);
	SAME(e.kind, LIBUFFD_EVENT_REMAP);
	SAME(e.start, 0x1000);
	SAME(e.to, 0x9000);
	SAME(e.len, 0x2000);
	SAME(e.fork_fd, -1);

	msg = forked(12);
	uffd_event_decode(&msg, &e);
	SAME(e.kind, LIBUFFD_EVENT_FORK);
	SAME(e.fork_fd, 12);
}

static void unknown(void)
{
	for (unsigned event = 0; event < 256; event++) {
		struct uffd_msg msg = { .event = (__u8)event };
		struct uffd_event e;

		if (event >= UFFD_EVENT_PAGEFAULT && event <= UFFD_EVENT_UNMAP)
			continue;
		uffd_event_decode(&msg, &e);
		SAME(e.kind, LIBUFFD_EVENT_UNKNOWN);
		SAME(e.fork_fd, -1);
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		static const enum uffd_event_kind known[] = {
			LIBUFFD_FAULT_MISSING, LIBUFFD_FAULT_WP,
			LIBUFFD_FAULT_MINOR, LIBUFFD_FAULT_RWP,
		};
		struct uffd_msg msg = fault(UINT64_C(1) << bit, 0x1000);
		struct uffd_event e;

		uffd_event_decode(&msg, &e);
		SAME(e.kind, bit < NR(known) ? known[bit] :
					       LIBUFFD_EVENT_UNKNOWN);
		/* enough to wake whoever waits there */
		SAME(e.addr, 0x1000);
	}
}

static void names(void)
{
	CHECK(!strcmp(uffd_event_name(LIBUFFD_FAULT_MISSING), "MISSING"));
	CHECK(!strcmp(uffd_event_name(LIBUFFD_EVENT_REMAP), "REMAP"));
	for (int i = -2; i < 300; i++)
		CHECK(uffd_event_name((enum uffd_event_kind)i) != NULL);
}

static void nothing_there(void)
{
	static const int errs[] = { EAGAIN, EINTR };
	struct uffd_msg msgs[CAP];
	struct uffd_batch b = begin(msgs);
	struct uffd_event e;

	for (unsigned i = 0; i < NR(errs); i++) {
		SCRIPT(READ_FAILS(errs[i]));
		SAME(CALL(uffd_batch_read(9, &b)), 0);
		CHECK(!uffd_batch_next(&b, &e));
		CHECK(seam_end());
	}
	SCRIPT(READ_FAILS(EINVAL));
	SAME(CALL(uffd_batch_read(9, &b)), -EINVAL);
	CHECK(!uffd_batch_next(&b, &e));
	CHECK(seam_end());
}

static void short_reads(void)
{
	static const long lens[] = { 0, 1, 31, 32, 33, 63, 64, 95 };
	struct uffd_msg msgs[CAP];
	struct uffd_batch b = begin(msgs);
	struct uffd_event e;

	for (unsigned i = 0; i < NR(lens); i++) {
		int n = 0;

		queue[0] = queue[1] = queue[2] = fault(0, 0x1000);
		SCRIPT({ SEAM_READ, 0, lens[i], 0, put_messages, 3 });
		SAME(CALL(uffd_batch_read(9, &b)), lens[i] / 32);
		while (uffd_batch_next(&b, &e))
			n++;
		SAME(n, lens[i] / 32);
		CHECK(seam_end());
	}
}

static void leftovers_closed(void)
{
	struct uffd_msg msgs[CAP];
	struct uffd_batch b = begin(msgs);
	struct uffd_event e;

	queue[0] = forked(20);
	queue[1] = fault(0, 1);
	queue[2] = forked(21);
	queue[3] = forked(22);
	SCRIPT(READ(4), READ_FAILS(EAGAIN));
	SAME(CALL(uffd_batch_read(9, &b)), 4);
	CHECK(uffd_batch_next(&b, &e));
	SAME(e.fork_fd, 20); /* taken: ours */
	SAME(CALL(uffd_batch_read(9, &b)), 0);
	CHECK(CLOSED(21, 22));
	CHECK(!uffd_batch_next(&b, &e));
	CHECK(seam_end());

	SCRIPT(READ(4));
	SAME(CALL(uffd_batch_read(9, &b)), 4);
	uffd_batch_finish(&b);
	CHECK(CLOSED(20, 21, 22, SPARE));
	CHECK(seam_end());
	SCRIPT();
	uffd_batch_finish(&b); /* once more does no harm */
	uffd_batch_finish(NULL);
	CHECK(closed(0, NULL));
	CHECK(seam_end());
}

static void spare(void)
{
	static const int errs[] = { EMFILE, ENFILE };
	struct uffd_event e;

	for (unsigned i = 0; i < NR(errs); i++) {
		struct uffd_msg msgs[CAP];
		struct uffd_batch b = begin(msgs);

		queue[0] = forked(SPARE);
		SCRIPT(READ_FAILS(errs[i]), READ(1));
		SAME(CALL(uffd_batch_read(9, &b)), 1);
		CHECK(CLOSED(SPARE));
		CHECK(uffd_batch_next(&b, &e));
		SAME(e.fork_fd, SPARE);
		CHECK(seam_end());

		/* none left still, and one more fork: told, not lost */
		SCRIPT(SPARE_FAILS(errs[i]), READ_FAILS(errs[i]));
		SAME(CALL(uffd_batch_read(9, &b)), -errs[i]);
		CHECK(closed(0, NULL));
		CHECK(seam_end());

		/* once there is one again, it is kept in reserve again */
		queue[0] = forked(61);
		SCRIPT(SPARE_OPENS, READ_FAILS(errs[i]), READ(1));
		SAME(CALL(uffd_batch_read(9, &b)), 1);
		CHECK(CLOSED(SPARE));
		CHECK(seam_end());
		SCRIPT();
		uffd_batch_finish(&b);
		CHECK(CLOSED(61));
		CHECK(seam_end());
	}
}

static void spare_taken(void)
{
	struct uffd_msg msgs[CAP];
	struct uffd_batch b = begin(msgs);

	/* somebody else was faster: no endless loop, and the error is told */
	SCRIPT(READ_FAILS(EMFILE), READ_FAILS(EMFILE));
	SAME(CALL(uffd_batch_read(9, &b)), -EMFILE);
	SAME(seam_calls(), 2);
	CHECK(seam_end());
	/* or the event is gone */
	SCRIPT(SPARE_OPENS, READ_FAILS(EMFILE), READ_FAILS(EAGAIN));
	SAME(CALL(uffd_batch_read(9, &b)), 0);
	CHECK(seam_end());
	SCRIPT();
	uffd_batch_finish(&b);
	CHECK(closed(0, NULL));
	CHECK(seam_end());
}

static void bad_init(void)
{
	struct uffd_msg msgs[CAP];
	struct uffd_batch b;

	SCRIPT();
	SAME(CALL(uffd_batch_init(&b, msgs, 0)), -EINVAL);
	uffd_batch_finish(&b);
	SAME(CALL(uffd_batch_init(&b, NULL, CAP)), -EINVAL);
	uffd_batch_finish(&b);
	CHECK(seam_end());
	SCRIPT(SPARE_FAILS(EMFILE));
	SAME(CALL(uffd_batch_init(&b, msgs, CAP)), -EMFILE);
	uffd_batch_finish(&b);
	CHECK(closed(0, NULL));
	CHECK(seam_end());
	b = (struct uffd_batch){ 0 };
	SCRIPT();
	uffd_batch_finish(&b); /* never initialised: descriptor 0 stays */
	CHECK(closed(0, NULL));
	CHECK(seam_end());
}

static const struct promise promises[] = {
	{ "events come before faults, both in their order", ordered },
	{ "each message is decoded with all its fields", decoded },
	{ "what this library does not know is UNKNOWN, never a guess",
	  unknown },
	{ "every kind has a name, and any other number one, too", names },
	{ "nothing there and a signal are 0, errors are told", nothing_there },
	{ "of a short read only whole messages count", short_reads },
	{ "fork descriptors that nobody took are closed", leftovers_closed },
	{ "without descriptors the reserve lets a fork through, once", spare },
	{ "a reserve that did not help is no endless loop", spare_taken },
	{ "a batch that was not made can be finished", bad_init },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
