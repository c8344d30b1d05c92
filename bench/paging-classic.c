/* SPDX-License-Identifier: MIT */
/*
 * The pager that people write by hand. One thread waits with poll(2), read(2)s
 * one message, and answers it with one page:
 *
 * - missing: COPY from the backing memory; write-protected if the access reads,
 *   noted as changed if it writes;
 * - write-protected: noted as changed, and the protection taken off;
 * - no room: the page that came first (FIFO) leaves before: if it changed, it
 *   is write-protected, copied out, and dropped with MADV_DONTNEED; else only
 *   dropped.
 *
 * Backing memory is plain memory: no compression, no hash.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uffd/kernel.h>

#include "paging-inner.h"

enum { ABSENT, CLEAN, CHANGED };

struct classic {
	pthread_t thread;
	pthread_mutex_t lock;	/* the handler at work, or the one who asks */
	int fd;
	char *area, *backing;
	unsigned char *state;	/* of each page */
	uint32_t *fifo;		/* the pages that are there, in a ring */
	uint64_t cap, oldest, nr;
	struct paging_counts counts;
};

/* ---- taking out -------------------------------------------------------- */

static int write_out(struct classic *c, uint64_t page)
{
	const uint64_t addr = (uintptr_t)c->area + page * PAGING_PAGE;
	int64_t n = uffd_writeprotect(c->fd, addr, PAGING_PAGE,
				      UFFDIO_WRITEPROTECT_MODE_WP);

	if (n < 0)
		return (int)n;
	memcpy(c->backing + page * PAGING_PAGE, c->area + page * PAGING_PAGE,
	       PAGING_PAGE);
	c->counts.written_bytes += PAGING_PAGE;
	return 0;
}

static int evict_oldest(struct classic *c)
{
	const uint64_t page = c->fifo[c->oldest];
	int err = 0;

	if (c->state[page] == CHANGED)
		err = write_out(c, page);
	if (!err)
		err = uffd_drop((uintptr_t)c->area + page * PAGING_PAGE,
				PAGING_PAGE);
	if (err)
		return err;
	c->state[page] = ABSENT;
	c->oldest = (c->oldest + 1) % c->cap;
	c->nr--;
	return 0;
}

/* ---- bringing in ------------------------------------------------------- */

static int bring_in(struct classic *c, uint64_t page, bool write)
{
	const uint64_t addr = (uintptr_t)c->area + page * PAGING_PAGE;
	int err = c->nr == c->cap ? evict_oldest(c) : 0;
	int64_t n;

	if (err)
		return err;
	n = uffd_copy(c->fd, addr, c->backing + page * PAGING_PAGE,
		      PAGING_PAGE, write ? 0 : UFFDIO_COPY_MODE_WP);
	if (n < 0)
		return (int)n;
	c->state[page] = write ? CHANGED : CLEAN;
	c->fifo[(c->oldest + c->nr++) % c->cap] = (uint32_t)page;
	c->counts.read_bytes += PAGING_PAGE;
	return 0;
}

static int allow_write(struct classic *c, uint64_t page)
{
	c->state[page] = CHANGED;
	return (int)uffd_writeprotect(c->fd, (uintptr_t)c->area +
				      page * PAGING_PAGE, PAGING_PAGE, 0);
}

static int answer(struct classic *c, const struct uffd_event *event)
{
	const uint64_t page = (event->addr - (uintptr_t)c->area) / PAGING_PAGE;
	const bool missing = event->kind == LIBUFFD_FAULT_MISSING;
	int64_t err;

	c->counts.faults++;
	if (missing && c->state[page] == ABSENT)
		err = bring_in(c, page, event->write);
	else if (!missing && c->state[page] != ABSENT)
		err = allow_write(c, page);
	else	/* it left, or came, since the message was sent: look again */
		err = uffd_wake(c->fd, event->addr & -(uint64_t)PAGING_PAGE,
				PAGING_PAGE);
	return err < 0 ? (int)err : 0;
}

/* ---- the handler ------------------------------------------------------- */

static int handle_one(struct classic *c)
{
	struct pollfd wait = { .fd = c->fd, .events = POLLIN };
	struct uffd_msg msg;
	struct uffd_event event;
	int err;

	if (poll(&wait, 1, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (read(c->fd, &msg, sizeof(msg)) != sizeof(msg))
		return errno == EAGAIN ? 0 : -errno;
	uffd_event_decode(&msg, &event);
	pthread_mutex_lock(&c->lock);
	err = answer(c, &event);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* After an error nothing can be promised: the waiting thread would wait for
 * ever, so the process ends. */
static void *handle(void *arg)
{
	struct classic *c = arg;

	while (handle_one(c) == 0)
		;
	abort();
}

/* ---- the system -------------------------------------------------------- */

static int allocate(struct paging_seat *s, struct classic *c)
{
	const uint64_t pages = s->ground->pages;

	c->cap = s->budget / PAGING_PAGE;
	c->backing = malloc(s->size);
	c->state = malloc(pages);
	c->fifo = malloc(c->cap * sizeof(*c->fifo));
	if (!c->backing || !c->state || !c->fifo)
		return -ENOMEM;
	memset(c->state, ABSENT, pages);
	memset(c->fifo, 0, c->cap * sizeof(*c->fifo));
	for (uint64_t page = 0; page < pages; page++)
		paging_fill(s->ground->seed, page,
			    c->backing + page * PAGING_PAGE);
	return 0;
}

static int map(struct paging_seat *s, struct classic *c)
{
	s->area = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->area == MAP_FAILED)
		return -errno;
	c->area = s->area;
	madvise(s->area, s->size, MADV_NOHUGEPAGE);
	return 0;
}

static int arm(struct paging_seat *s, struct classic *c)
{
	const struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	int64_t n;

	c->fd = uffd_open(&opts, NULL);
	if (c->fd < 0)
		return c->fd;
	n = uffd_register(c->fd, (uintptr_t)s->area, s->size,
			  UFFDIO_REGISTER_MODE_MISSING |
			  UFFDIO_REGISTER_MODE_WP, NULL);
	if (n < 0)
		return (int)n;
	return -pthread_create(&c->thread, NULL, handle, c);
}

static int open_classic(struct paging_seat *s)
{
	struct classic *c = calloc(1, sizeof(*c));
	int err = c ? allocate(s, c) : -ENOMEM;

	if (err)
		return paging_fail(s, err, "its backing memory");
	s->own = c;
	pthread_mutex_init(&c->lock, NULL);
	paging_note_resident(s);
	err = map(s, c);
	if (err)
		return paging_fail(s, err, "mmap");
	err = arm(s, c);
	return err ? paging_fail(s, err, "a userfaultfd with write-protection") :
		     0;
}

static int cool(struct paging_seat *s)
{
	struct classic *c = s->own;
	int err = 0;

	pthread_mutex_lock(&c->lock);
	while (c->nr && !err)
		err = evict_oldest(c);
	pthread_mutex_unlock(&c->lock);
	return err ? paging_fail(s, err, "taking pages out") : 0;
}

static void count(const struct paging_seat *s, struct paging_counts *ret)
{
	struct classic *c = s->own;

	pthread_mutex_lock(&c->lock);
	*ret = c->counts;
	pthread_mutex_unlock(&c->lock);
}

const struct paging_system paging_classic = {
	.name = "classic",
	.what = "one handler thread, poll, read, COPY of one page; FIFO",
	.open = open_classic,
	.cool = cool,
	.count = count,
};
