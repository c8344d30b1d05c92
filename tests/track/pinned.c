/* SPDX-License-Identifier: MIT */
/*
 * Who may do less, and who writes without being seen: an account without
 * privileges, and a device that has pinned pages (io_uring's registered
 * buffers, read into by the kernel).
 */
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "look.h"

/* ---- an io_uring of one entry, without a library ------------------------------ */

struct ring {
	int fd;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
	struct io_uring_params p;
};

static void *map_ring(const struct ring *r, size_t len, off_t what)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, what);
}

static bool ring_open(struct ring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = (int)syscall(SYS_io_uring_setup, 1, &r->p);
	if (r->fd < 0)
		return false;
	r->sq = map_ring(r, r->p.sq_off.array + sizeof(unsigned),
			 IORING_OFF_SQ_RING);
	r->cq = map_ring(r, r->p.cq_off.cqes +
			    r->p.cq_entries * sizeof(struct io_uring_cqe),
			 IORING_OFF_CQ_RING);
	r->sqes = map_ring(r, sizeof(*r->sqes), IORING_OFF_SQES);
	return r->sq != MAP_FAILED && r->cq != MAP_FAILED &&
	       r->sqes != MAP_FAILED;
}

/* its mappings go with the program */
static void ring_close(struct ring *r)
{
	if (r->fd >= 0)
		close(r->fd);
}

static int submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned *tail = (unsigned *)(r->sq + r->p.sq_off.tail);
	unsigned *head = (unsigned *)(r->cq + r->p.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(r->cq + r->p.cq_off.cqes);
	int ret;

	*r->sqes = *sqe;
	*(unsigned *)(r->sq + r->p.sq_off.array) = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) != 1)
		return -1;
	ret = cqes[*head & (r->p.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return ret;
}

static int fill(struct ring *r, int opcode, int fd, char *to)
{
	const struct io_uring_sqe sqe = {
		.opcode = (__u8)opcode,
		.fd = fd,
		.addr = (uintptr_t)to,
		.len = 1,
	};

	return submit(r, &sqe);
}

static void by_ring(struct ring *r, enum uffd_track_method method)
{
	struct uffd_track *t;
	struct iovec buffer;
	struct place p;
	int fd;

	CHECK(place_open(&p, PRIVATE));
	poke_all(&p);
	t = track(&p, method);
	fd = memfd_create("libuffd-test", MFD_CLOEXEC);
	SAME(write(fd, "x", 1), 1);

	SAME(fill(r, IORING_OP_READ, fd, at(&p, 2)), 1);
	SAME(look(t, &p), P(2));

	/* pinning asks for the right to write, and counts as a write */
	buffer = (struct iovec){ at(&p, 4), p.page };
	SAME(syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS,
		     &buffer, 1), 0);
	SAME(look(t, &p), P(4));
	SAME(fill(r, IORING_OP_READ_FIXED, fd, at(&p, 4)), 1);
	SAME(*at(&p, 4), 'x');
	SAME(look(t, &p), 0); /* the documented limit ... */
	SAME(uffd_track_mark(t, addr(&p, 4), p.page), 0);
	SAME(look(t, &p), P(4)); /* ... and its mend */
	SAME(syscall(SYS_io_uring_register, r->fd, IORING_UNREGISTER_BUFFERS,
		     NULL, 0), 0);
	close(fd);
	uffd_track_free(t);
	place_close(&p);
}

static void pinned(void)
{
	struct ring r;

	if (!ring_open(&r)) {
		ring_close(&r);
		SKIP("no io_uring");
	}
	by_ring(&r, LIBUFFD_TRACK_ASYNC);
	by_ring(&r, LIBUFFD_TRACK_SYNC);
	ring_close(&r);
}

/* ---- without privileges ------------------------------------------------------------ */

#define NOBODY 65534

static void as_nobody(void)
{
	struct uffd_track_opts sync = { .sz = sizeof(sync),
		.method = LIBUFFD_TRACK_SYNC };
	struct uffd_track *t;
	struct place p;
	int fds[2];

	CHECK(place_open(&p, PRIVATE));
	t = track(&p, LIBUFFD_TRACK_ASYNC);
	SAME(pipe(fds), 0);
	SAME(write(fds[1], "x", 1), 1);
	SAME(read(fds[0], at(&p, 3), 1), 1);
	poke(&p, 5);
	SAME(look(t, &p), P(3) | P(5));
	uffd_track_free(t);

	/* system calls would fail, so SYNC wants to be asked for it */
	CHECK(uffd_track_new(&sync, &t) < 0);
	sync.open_flags = LIBUFFD_OPEN_USER_ONLY;
	SAME(uffd_track_new(&sync, &t), 0);
	SAME(uffd_track_add(t, (uintptr_t)p.m, p.len), 0);
	SAME(uffd_track_start(t), 0);
	poke(&p, 5);
	SAME(write(fds[1], "x", 1), 1);
	SAME(read(fds[0], at(&p, 3), 1), -1);
	SAME(errno, EFAULT);
	SAME(look(t, &p), P(5));
	uffd_track_free(t);
}

static bool is_restricted(void)
{
	FILE *file = fopen("/proc/sys/vm/unprivileged_userfaultfd", "r");
	int value = 1;

	if (!file)
		return false;
	if (fscanf(file, "%d", &value) != 1)
		value = 1;
	fclose(file);
	return value == 0;
}

static void unprivileged(void)
{
	int status;
	pid_t child;

	if (getuid() != 0)
		SKIP("only root can become nobody");
	if (!is_restricted())
		SKIP("vm.unprivileged_userfaultfd is set");
	child = fork();
	if (child == 0) {
		CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
		CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
		prctl(PR_SET_DUMPABLE, 1); /* or /proc/self is root's */
		as_nobody();
		fflush(stdout);
		_exit(broken != 0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static const struct promise promises[] = {
	{ "io_uring's writes are seen, but not to pages pinned before",
	  pinned },
	{ "ASYNC needs no privilege; SYNC without one must be asked for",
	  unprivileged },
};

int main(void)
{
	return have_async() ? keep_all(promises, NR(promises)) : 0;
}
