/* SPDX-License-Identifier: MIT */
/*
 * A build with checks stops at a store that breaks its contract, with one line
 * that says how. Each case runs in a process of its own.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uffd/store.h>

#include "../../lib/store/check.h"
#include "../seam/promise.h"

enum breach {
	NONE,
	SHORT_READ,	/* half of the buffer is left as it was */
	OVERRUN,	/* a byte too many */
	UNDERRUN,	/* a byte before */
	SCRIBBLE,	/* changes what is to be written */
	COUNT,		/* returns how many bytes */
	TWICE,		/* two answers */
	BOTH,		/* an answer, and an error from submit */
	NEVER,		/* none */
	POSITIVE,	/* an answer that is no errno */
};

/* open is given nothing to hold it */
static struct {
	enum breach breach;
	struct uffd_io *held;
	const struct uffd_store *entered;
} t;

static int breach_open(const struct uffd_store_args *args, void **ret)
{
	(void)args;
	*ret = &t;
	return 0;
}

static void breach_close(void *state)
{
	(void)state;
}

static int breach_length(void *state, uint64_t *ret)
{
	(void)state;
	*ret = 1 << 20;
	return 0;
}

static int breach_read(void *state, uint64_t offset, void *buf, size_t len)
{
	volatile char *bytes = buf;

	(void)state;
	(void)offset;
	t.entered = check_entered();
	/* bytes that look like what the buffer was filled with */
	for (size_t i = 0; i < (t.breach == SHORT_READ ? len / 2 : len); i++)
		bytes[i] = (char)0xa5;
	if (t.breach == OVERRUN)
		bytes[len] = 1;
	if (t.breach == UNDERRUN)
		bytes[-1] = 1;
	return t.breach == COUNT ? (int)len : 0;
}

static int breach_write(void *state, uint64_t offset, const void *buf,
			size_t len)
{
	(void)state;
	(void)offset;
	(void)len;
	if (t.breach == SCRIBBLE)
		*(volatile char *)(uintptr_t)buf = 1;
	return 0;
}

static int breach_submit(void *state, struct uffd_io *io)
{
	(void)state;
	t.held = io;
	if (t.breach == BOTH)
		io->done(io, 0);
	return t.breach == BOTH ? -EIO : 0;
}

static int breach_fd(void *state)
{
	(void)state;
	return -1;
}

static int breach_dispatch(void *state)
{
	struct uffd_io *io = t.held;

	(void)state;
	t.held = NULL;
	if (io)
		io->done(io, t.breach == POSITIVE ? 8 : 0);
	if (io && t.breach == TWICE)
		io->done(io, 0);
	return 0;
}

static const struct uffd_store_ops breach_ops = {
	.sz = sizeof(breach_ops),
	.api = LIBUFFD_STORE_API,
	.flags = LIBUFFD_STORE_PARALLEL,
	.name = "breach",
	.open = breach_open,
	.close = breach_close,
	.length = breach_length,
	.read = breach_read,
	.write = breach_write,
	.submit = breach_submit,
	.fd = breach_fd,
	.dispatch = breach_dispatch,
};

/* nobody waits 30 seconds: the silence is over at once */
int __wrap_poll(struct pollfd *fds, nfds_t nr, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t nr, int timeout_ms)
{
	(void)fds;
	(void)nr;
	return timeout_ms == 30000 ? 0 : -1;
}

static void done(struct uffd_io *io, int error)
{
	(void)io;
	(void)error;
}

static void use(void)
{
	struct uffd_store *s;
	char buf[100] = "";
	struct uffd_io io = {
		.op = LIBUFFD_IO_READ,
		.buf = buf,
		.len = 100,
		.done = done,
	};

	if (uffd_store_open("breach:", 0, NULL, &s))
		_exit(1);
	uffd_store_read(s, 0, buf, 100);
	uffd_store_write(s, 0, buf, 100);
	uffd_store_submit(s, &io);
	if (t.breach != NEVER)
		uffd_store_dispatch(s);
	uffd_store_close(s);
	_exit(0);
}

/* how a process ends that uses such a store, and what it says */
static int end_of(enum breach breach, char *said, size_t cap)
{
	int fds[2], status;
	ssize_t n;

	if (pipe(fds))
		abort();
	fflush(stdout);
	if (fork() == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		dup2(fds[1], STDERR_FILENO);
		t.breach = breach;
		use();
	}
	close(fds[1]);
	n = read(fds[0], said, cap - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	wait(&status);
	return status;
}

static void stops(enum breach breach, const char *want)
{
	char said[600];
	int status = end_of(breach, said, sizeof(said));

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	if (!CHECK(strstr(said, "libuffd: the store 'breach:' broke its "
			  "contract: ") && strstr(said, want)))
		printf("# it said: %s", said);
	CHECK(strchr(said, '\n') == said + strlen(said) - 1);
}

static void buffers(void)
{
	stops(SHORT_READ, "left 50 of 100 bytes of a read unfilled");
	stops(OVERRUN, "behind the buffer");
	stops(UNDERRUN, "before the buffer");
	stops(SCRIBBLE, "changed the bytes");
	stops(COUNT, "answered 100:");
}

static void answers(void)
{
	stops(TWICE, "answered a request at offset 0 twice");
	stops(BOTH, "answered a request that it refused");
	stops(NEVER, "never answered a request at offset 0");
	stops(POSITIVE, "answered 8:");
}

static void good(void)
{
	char said[600];

	SAME(end_of(NONE, said, sizeof(said)), 0);
	SAME(said[0], 0);
}

static void inside(void)
{
	struct uffd_store *s;
	char buf[8];

	SAME(uffd_store_open("breach:", 0, NULL, &s), 0);
	CHECK(!check_entered());
	SAME(uffd_store_read(s, 0, buf, 8), 0);
	CHECK(t.entered == s);
	CHECK(!check_entered());
	uffd_store_close(s);
	SAME(uffd_store_open("retry:breach:", 0, NULL, &s), 0);
	t.entered = NULL;
	SAME(uffd_store_read(s, 0, buf, 8), 0);
	CHECK(t.entered && t.entered != s);
	uffd_store_close(s);
}

static const struct promise promises[] = {
	{ "a store that is careless with buffers is stopped", buffers },
	{ "a store that answers twice or never is stopped", answers },
	{ "a store that keeps its contract is not", good },
	{ "it is known which store a thread is in", inside },
};

int main(void)
{
	if (uffd_store_add(&breach_ops))
		return 1;
	return keep_all(promises, NR(promises));
}
