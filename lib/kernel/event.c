/* SPDX-License-Identifier: MIT */
/*
 * Messages: many with one read(2), sorted so that what changes the layout
 * comes before the faults, and no descriptor in them ever lost.
 */
#include <string.h>
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

/* what tells one kind of fault from another; none of them: missing */
#define KIND_FLAGS \
	(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_MINOR | \
	 UFFD_PAGEFAULT_FLAG_RWP)

static enum uffd_event_kind fault_kind(uint64_t flags)
{
	if (flags & ~(uint64_t)(UFFD_PAGEFAULT_FLAG_WRITE | KIND_FLAGS))
		return LIBUFFD_EVENT_UNKNOWN;
	switch (flags & KIND_FLAGS) {
	case 0:
		return LIBUFFD_FAULT_MISSING;
	case UFFD_PAGEFAULT_FLAG_WP:
		return LIBUFFD_FAULT_WP;
	case UFFD_PAGEFAULT_FLAG_MINOR:
		return LIBUFFD_FAULT_MINOR;
	case UFFD_PAGEFAULT_FLAG_RWP:
		return LIBUFFD_FAULT_RWP;
	default:
		return LIBUFFD_EVENT_UNKNOWN;
	}
}

PUBLIC void uffd_event_decode(const struct uffd_msg *msg,
			      struct uffd_event *ret)
{
	*ret = (struct uffd_event){
		.kind = LIBUFFD_EVENT_UNKNOWN,
		.fork_fd = -1,
	};
	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		ret->kind = fault_kind(msg->arg.pagefault.flags);
		ret->write = msg->arg.pagefault.flags &
			     UFFD_PAGEFAULT_FLAG_WRITE;
		ret->tid = msg->arg.pagefault.feat.ptid;
		ret->addr = msg->arg.pagefault.address;
		break;
	case UFFD_EVENT_FORK:
		ret->kind = LIBUFFD_EVENT_FORK;
		ret->fork_fd = (int)msg->arg.fork.ufd;
		break;
	case UFFD_EVENT_REMAP:
		ret->kind = LIBUFFD_EVENT_REMAP;
		ret->start = msg->arg.remap.from;
		ret->to = msg->arg.remap.to;
		ret->len = msg->arg.remap.len;
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		ret->kind = msg->event == UFFD_EVENT_REMOVE ?
				    LIBUFFD_EVENT_REMOVE :
				    LIBUFFD_EVENT_UNMAP;
		ret->start = msg->arg.remove.start;
		ret->len = msg->arg.remove.end - msg->arg.remove.start;
		break;
	default:
		break;
	}
}

PUBLIC const char *uffd_event_name(enum uffd_event_kind kind)
{
	static const char *const names[] = {
		[LIBUFFD_EVENT_FORK] = "FORK",
		[LIBUFFD_EVENT_REMAP] = "REMAP",
		[LIBUFFD_EVENT_REMOVE] = "REMOVE",
		[LIBUFFD_EVENT_UNMAP] = "UNMAP",
		[LIBUFFD_FAULT_MISSING] = "MISSING",
		[LIBUFFD_FAULT_WP] = "WP",
		[LIBUFFD_FAULT_MINOR] = "MINOR",
		[LIBUFFD_FAULT_RWP] = "RWP",
		[LIBUFFD_EVENT_UNKNOWN] = "UNKNOWN",
	};
	const unsigned n = (unsigned)kind;

	if (n >= sizeof(names) / sizeof(names[0]) || !names[n])
		return "UNKNOWN";
	return names[n];
}

/* Close the fork descriptors of messages that nobody took. */
static void drop_rest(struct uffd_batch *b)
{
	for (; b->next < b->nr; b->next++)
		if (b->msgs[b->next].event == UFFD_EVENT_FORK)
			sys_close((int)b->msgs[b->next].arg.fork.ufd);
	b->next = b->nr = 0;
}

/* Bring what is not a fault to the front; order is kept among both. */
static void events_first(struct uffd_msg *msgs, unsigned nr)
{
	unsigned front = 0;

	for (unsigned i = 0; i < nr; i++) {
		if (msgs[i].event == UFFD_EVENT_PAGEFAULT)
			continue;
		if (i != front) {
			struct uffd_msg event = msgs[i];

			memmove(&msgs[front + 1], &msgs[front],
				(i - front) * sizeof(msgs[0]));
			msgs[front] = event;
		}
		front++;
	}
}

/* The reserve: a file of its own, so that it helps against ENFILE as well. */
static int open_spare(void)
{
	return sys_eventfd(0, EFD_CLOEXEC);
}

static void close_spare(struct uffd_batch *b)
{
	if (b->spare_fd >= 0)
		sys_close(b->spare_fd);
	b->spare_fd = -1;
}

PUBLIC int uffd_batch_init(struct uffd_batch *b, struct uffd_msg *msgs,
			   unsigned cap)
{
	*b = (struct uffd_batch){ .spare_fd = -1 };
	if (!msgs || !cap)
		return -EINVAL;
	int fd = open_spare();

	if (fd < 0)
		return fd;
	b->msgs = msgs;
	b->cap = cap;
	b->spare_fd = fd;
	return 0;
}

PUBLIC void uffd_batch_finish(struct uffd_batch *b)
{
	if (!b || !b->msgs)
		return;
	drop_rest(b);
	close_spare(b);
	b->msgs = NULL;
}

PUBLIC int uffd_batch_read(int fd, struct uffd_batch *b)
{
	const size_t len = b->cap * sizeof(b->msgs[0]);
	ssize_t n;

	drop_rest(b);
	if (b->spare_fd < 0)
		b->spare_fd = open_spare();

	n = sys_read(fd, b->msgs, len);
	if ((n == -EMFILE || n == -ENFILE) && b->spare_fd >= 0) {
		close_spare(b);
		n = sys_read(fd, b->msgs, len);
	}
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n < 0)
		return (int)n;
	b->nr = (unsigned)((size_t)n / sizeof(b->msgs[0]));
	events_first(b->msgs, b->nr);
	return (int)b->nr;
}

PUBLIC bool uffd_batch_next(struct uffd_batch *b, struct uffd_event *ret)
{
	if (b->next >= b->nr)
		return false;
	uffd_event_decode(&b->msgs[b->next++], ret);
	return true;
}
