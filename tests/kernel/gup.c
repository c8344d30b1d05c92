/* SPDX-License-Identifier: MIT */
/*
 * Accesses that no instruction makes: system calls, other processes, the
 * kernel on somebody's behalf.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixture.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

struct call {
	struct area a;
	int fd;
	int pipe[2];
	int arg;
	long ret;
	struct actor actor;
};

static struct call call_on(const struct memory *m, unsigned nr)
{
	struct call c = { .a = map_area(m, nr), .fd = open_uffd(0) };

	watch(c.fd, &c.a, MISSING);
	CHECK(pipe2(c.pipe, O_CLOEXEC) == 0);
	return c;
}

static void resolve(struct call *c, unsigned page, bool write)
{
	struct uffd_event ev = next_event(c->fd);

	SAME(ev.kind, LIBUFFD_FAULT_MISSING);
	SAME(ev.addr, at_page(&c->a, page));
	SAME(ev.write, write);
	SAME(uffd_copy(c->fd, ev.addr, bytes_of('a', c->a.page), c->a.page, 0),
	     c->a.page);
}

static void do_write(void *data)
{
	struct call *c = data;

	c->ret = write(c->pipe[1], c->a.p, 1);
}

static void do_read(void *data)
{
	struct call *c = data;

	c->ret = read(c->pipe[0], c->a.p, 1);
}

static void call_waits(const struct memory *m)
{
	struct call c = call_on(m, 1);
	char got;

	start(&c.actor, do_write, &c);
	resolve(&c, 0, false);
	finish(&c.actor);
	SAME(c.ret, 1);
	SAME(read(c.pipe[0], &got, 1), 1);
	SAME(got, 'a');
}

static void call_waits_writing(const struct memory *m)
{
	struct call c = call_on(m, 1);

	SAME(write(c.pipe[1], "x", 1), 1);
	start(&c.actor, do_read, &c);
	resolve(&c, 0, true);
	finish(&c.actor);
	SAME(c.ret, 1);
	SAME(c.a.p[0], 'x');
	SAME(c.a.p[1], 'a');
}

static void do_direct(void *data)
{
	struct call *c = data;

	c->ret = pread(c->arg, c->a.p, c->a.page, 0);
}

/* a disk that reads straight into the page */
static void direct_waits(const struct memory *m)
{
	struct call c = call_on(m, 1);
	char path[] = "/var/tmp/libuffd-direct.XXXXXX";
	char *block = bytes_of('d', c.a.page);

	c.arg = mkostemp(path, O_CLOEXEC);
	CHECK(c.arg >= 0);
	unlink(path);
	SAME(write(c.arg, block, c.a.page), c.a.page);
	if (fcntl(c.arg, F_SETFL, O_DIRECT) < 0)
		skip("no O_DIRECT in /var/tmp");
	start(&c.actor, do_direct, &c);
	resolve(&c, 0, true);
	finish(&c.actor);
	SAME(c.ret, c.a.page);
	CHECK(all_are(c.a.p, 'd', c.a.page));
}

/* A pipe is locked while its writer waits for memory: a non-blocking reader
 * of the same pipe waits, too. No handler may use such a pipe. */
static void read_nonblocking(void *data)
{
	struct call *c = data;
	char got;

	c->ret = read(c->pipe[0], &got, 1);
}

static void pipe_is_locked(const struct memory *m)
{
	struct call c = call_on(m, 1), r;

	CHECK(fcntl(c.pipe[0], F_SETFL, O_NONBLOCK) == 0);
	start(&c.actor, do_write, &c);
	await_waiters(c.fd, 1);
	r = c;
	start(&r.actor, read_nonblocking, &r);
	CHECK(falls_asleep(&r.actor));
	resolve(&c, 0, false);
	finish(&c.actor);
	finish(&r.actor);
	CHECK(r.ret == 1 || r.ret == -1);
}

static void do_mlock(void *data)
{
	struct call *c = data;

	/* not by mlock(3), which sanitizers make do nothing */
	c->ret = syscall(SYS_mlock, c->a.p, c->a.len);
}

static void mlock_asks(const struct memory *m)
{
	struct call c = call_on(m, 3);

	start(&c.actor, do_mlock, &c);
	for (unsigned i = 0; i < 3; i++)
		resolve(&c, i, true);
	finish(&c.actor);
	SAME(c.ret, 0);
	CHECK(all_are(c.a.p, 'a', c.a.len));
}

static void do_populate(void *data)
{
	struct call *c = data;

	c->ret = madvise(c->a.p, c->a.len, c->arg);
}

static void populate_asks(const struct memory *m)
{
	struct call c = call_on(m, 2);
	char *p = map_anon(4096);

	if (madvise(p, 4096, MADV_POPULATE_READ) < 0)
		skip("no MADV_POPULATE_READ in this kernel");
	c.arg = MADV_POPULATE_WRITE;
	start(&c.actor, do_populate, &c);
	for (unsigned i = 0; i < 2; i++)
		resolve(&c, i, true);
	finish(&c.actor);
	SAME(c.ret, 0);
}

struct remote {
	pid_t pid;
	struct iovec there;
	long ret;
	char got;
	struct actor actor;
};

static void do_remote_read(void *data)
{
	struct remote *r = data;
	struct iovec here = { &r->got, 1 };

	r->ret = process_vm_readv(r->pid, &here, 1, &r->there, 1, 0);
}

/* Another process reads: the message comes to the owner's descriptor, and the
 * reader waits. */
static void peeked_at(void *data)
{
	struct remote *r = data;

	do_remote_read(r);
	SAME(r->ret, 1);
	SAME(r->got, 'a');
}

static void remote_read(const struct memory *m)
{
	struct call c = call_on(m, 1);
	struct remote r = { .pid = getpid(), .there = { c.a.p, 1 } };
	pid_t child = start_child(peeked_at, &r);

	resolve(&c, 0, false);
	SAME(end_of(child), 0);
}

/* /proc/PID/mem does not wait and sends nothing: it fails. */
static void proc_mem(const struct memory *m)
{
	struct call c = call_on(m, 1);
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	char got;

	CHECK(mem >= 0);
	CHECK(pread(mem, &got, 1, (off_t)c.a.at) < 0);
	SAME(errno, EIO);
	CHECK(silent(c.fd));
}

/* COPY from memory that is missing itself asks for it: the one who fills
 * must not be the only one who can. */
static void do_copy(void *data)
{
	struct call *c = data;

	c->ret = (long)uffd_copy(c->arg, at_page(&c->a, 1), c->a.p, c->a.page,
				 0);
}

static void source_missing(const struct memory *m)
{
	struct call c = call_on(m, 2);

	c.arg = c.fd;
	start(&c.actor, do_copy, &c);
	resolve(&c, 0, false);
	finish(&c.actor);
	SAME(c.ret, c.a.page);
	CHECK(all_are(page_of(&c.a, 1), 'a', c.a.page));
}

static const struct promise promises[] = {
	{ "/proc/PID/mem of a missing page is EIO and no message", proc_mem,
	  ALL, 0, 0 },
	{ "a system call that reads a missing page waits", call_waits, ALL,
	  NEED_KERNEL_FAULTS, 0 },
	{ "a system call that writes one waits, too", call_waits_writing, ALL,
	  NEED_KERNEL_FAULTS, 0 },
	{ "O_DIRECT into a missing page waits", direct_waits, ALL,
	  NEED_KERNEL_FAULTS, 0 },
	{ "a pipe whose writer waits for memory blocks everybody",
	  pipe_is_locked, ANON, NEED_KERNEL_FAULTS, 0 },
	{ "mlock asks for page after page", mlock_asks, ANON,
	  NEED_KERNEL_FAULTS, 0 },
	{ "MADV_POPULATE_WRITE asks for page after page", populate_asks, ALL,
	  NEED_KERNEL_FAULTS, 0 },
	{ "process_vm_readv waits, and the owner is asked", remote_read, ALL,
	  NEED_KERNEL_FAULTS, 0 },
	{ "COPY from a missing page waits for that page", source_missing,
	  SMALL, NEED_KERNEL_FAULTS, 0 },
};

MAIN(promises)
