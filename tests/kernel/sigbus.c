/* SPDX-License-Identifier: MIT */
/*
 * UFFD_FEATURE_SIGBUS: a fault is a signal to its own thread.
 */
#include <sys/syscall.h>

#include "fixture.h"

static struct area watched(const struct memory *m, unsigned nr, uint64_t mode,
			   int *ret_fd)
{
	struct area a = map_area(m, nr);

	*ret_fd = open_uffd(UFFD_FEATURE_SIGBUS);
	watch(*ret_fd, &a, mode);
	return a;
}

static void raised(int fd, char *p, bool write)
{
	siginfo_t info;

	SAME(try_touch(p, write, &info), SIGBUS);
	SAME(info.si_code, BUS_ADRERR);
	SAME((uintptr_t)info.si_addr & ~4095ull, (uintptr_t)p & ~4095ull);
	CHECK(silent(fd));
	SAME(waiters(fd), 0);
}

static void missing(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, MISSING, &fd);

	raised(fd, a.p + 5, false);
	raised(fd, a.p + 5, true);
	SAME(uffd_copy(fd, a.at, bytes_of('a', a.page), a.page, 0), a.page);
	SAME(try_touch(a.p, true, NULL), 0);
	SAME(a.p[1], 'a');
	raised(fd, page_of(&a, 1), false);
}

static void minor(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MINOR, &fd);

	memset(map_alias(&a), 'a', a.page);
	raised(fd, a.p, false);
	SAME(uffd_continue(fd, a.at, a.page, 0), a.page);
	SAME(a.p[0], 'a');
}

static void protected(const struct memory *m)
{
	struct area a = map_area(m, 1);
	int fd = open_uffd(UFFD_FEATURE_SIGBUS);

	memset(a.p, 'a', a.len);
	watch(fd, &a, WP);
	SAME(uffd_writeprotect(fd, a.at, a.len, 1), a.len);
	SAME(try_touch(a.p, false, NULL), 0);
	raised(fd, a.p, true);
	SAME(a.p[0], 'a');
	SAME(uffd_writeprotect(fd, a.at, a.len, 0), a.len);
	SAME(try_touch(a.p, true, NULL), 0);
}

static void system_calls(const struct memory *m)
{
	int fd, pipe[2];
	struct area a = watched(m, 1, MISSING, &fd);

	CHECK(pipe2(pipe, O_CLOEXEC) == 0);
	CHECK(write(pipe[1], a.p, 1) < 0);
	SAME(errno, EFAULT);
	CHECK(write(pipe[1], "x", 1) == 1);
	CHECK(read(pipe[0], a.p, 1) < 0);
	SAME(errno, EFAULT);
	CHECK(silent(fd));
}

/* what would fault page by page can't */
static void populating(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 2, MISSING, &fd);

	/* not by mlock(3), which sanitizers make do nothing */
	CHECK(syscall(SYS_mlock, a.p, a.len) < 0);
	CHECK(!pagemap_bit(a.p, PAGEMAP_PRESENT));
	CHECK(silent(fd));
}

static void touch_in_child(void *data)
{
	SAME(try_touch(data, false, NULL), 0);
}

static void child_raises(void *data)
{
	SAME(try_touch(data, false, NULL), SIGBUS);
}

static void child_without(const struct memory *m)
{
	int fd;
	struct area a = watched(m, 1, MISSING, &fd);

	SAME(end_of(start_child(touch_in_child, a.p)), 0);
}

struct forker {
	char *p;
	int status;
};

static void fork_child(void *data)
{
	struct forker *f = data;

	f->status = end_of(start_child(child_raises, f->p));
}

/* With EVENT_FORK the child's memory is registered and raises as well. */
static void child_with(const struct memory *m)
{
	struct area a = map_area(m, 1);
	struct forker f = { .p = a.p };
	struct actor actor;
	struct uffd_event ev;
	int fd = open_uffd(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_EVENT_FORK);

	watch(fd, &a, MISSING);
	start(&actor, fork_child, &f);
	ev = next_event(fd);
	SAME(ev.kind, LIBUFFD_EVENT_FORK);
	finish(&actor);
	SAME(f.status, 0);
	close(ev.fork_fd);
}

static const struct promise promises[] = {
	{ "a missing page raises SIGBUS at its address, and no message",
	  missing, ALL, 0, 0 },
	{ "so does a minor fault", minor, CACHED, NEED_MINOR, 0 },
	{ "so does a write to a protected page", protected, ALL, NEED_WP, 0 },
	{ "a system call says EFAULT", system_calls, ALL, 0, 0 },
	{ "mlock fails and brings nothing", populating, SMALL, 0, 0 },
	{ "a child has ordinary memory without EVENT_FORK", child_without, ALL,
	  0, 0 },
	{ "a child raises as well with EVENT_FORK", child_with, ALL, NEED_FORK,
	  0 },
};

MAIN(promises)
