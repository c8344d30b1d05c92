/* SPDX-License-Identifier: MIT */
/*
 * Another process, by its descriptor: handed over, or taken from it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "look.h"

/* a process that writes where it is told to */
struct other {
	pid_t pid;
	int sock;
	int fd;			/* its userfaultfd, ours as well */
	int its_fd;		/* the number that it has there */
	struct place p;		/* its memory; addresses are its own */
};

static char ask(const struct other *o, char command, char page)
{
	const char text[2] = { command, page };
	char answer = '?';

	CHECK(write(o->sock, text, 2) == 2);
	CHECK(read(o->sock, &answer, 1) == 1);
	return answer;
}

static void serve(int sock, const struct place *p)
{
	char text[2];

	while (read(sock, text, 2) == 2) {
		const unsigned page = (unsigned)text[1];

		if (text[0] == 'w')
			poke(p, page);
		else if (text[0] == 'd')
			madvise(at(p, page), p->page, MADV_DONTNEED);
		if (write(sock, text, 1) != 1)
			break;
		if (text[0] == 'x')
			execl("/proc/self/exe", "remote", "sleep",
			      (char *)NULL);
	}
	_exit(0);
}

/* the other process: memory, a descriptor, and then only what it is told */
static void be_other(int sock, uint64_t features)
{
	const struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = features,
	};
	struct place p;
	int fd = features == UINT64_MAX ?
			 (int)syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC) :
			 uffd_open(&opts, NULL);

	if (!place_open(&p, PRIVATE))
		_exit(1);
	poke_all(&p);
	if (fd < 0 || uffd_send_fds(sock, &fd, 1, &fd, sizeof(fd)) < 0 ||
	    write(sock, &p, sizeof(p)) != sizeof(p))
		_exit(1);
	serve(sock, &p);
}

/* features UINT64_MAX: none asked for yet */
static bool other_begin(struct other *o, uint64_t features)
{
	unsigned nr;
	int socks[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) == 0);
	o->pid = fork();
	if (o->pid == 0) {
		close(socks[0]);
		be_other(socks[1], features);
	}
	close(socks[1]);
	o->sock = socks[0];
	return CHECK(uffd_recv_fds(o->sock, &o->fd, 1, &nr, &o->its_fd,
				   sizeof(o->its_fd)) > 0 &&
		     nr == 1) &&
	       CHECK(read(o->sock, &o->p, sizeof(o->p)) == sizeof(o->p));
}

static void other_end(struct other *o)
{
	kill(o->pid, SIGKILL);
	waitpid(o->pid, NULL, 0);
	close(o->sock);
	if (o->fd >= 0)
		close(o->fd);
}

static int begin(const struct other *o, enum uffd_track_method method,
		 uffd_write_fn *write, void *user, struct uffd_track **ret)
{
	const struct uffd_track_opts opts = {
		.sz = sizeof(opts),
		.method = method,
		.flags = LIBUFFD_TRACK_GIVEN,
		.uffd = o->fd,
		.pid = o->pid,
		.write = write,
		.user = user,
	};
	int err = uffd_track_new(&opts, ret);

	if (err < 0)
		return err;
	SAME(uffd_track_add(*ret, (uintptr_t)o->p.m, o->p.len), 0);
	SAME(uffd_track_start(*ret), 0);
	return 0;
}

static void follow(const struct other *o, struct uffd_track *t)
{
	SAME(look(t, &o->p), 0);
	ask(o, 'w', 3);
	ask(o, 'w', 3);
	ask(o, 'w', 4);
	ask(o, 'w', 9);
	SAME(look(t, &o->p), P(3) | P(4) | P(9));
	SAME(look(t, &o->p), 0);
	ask(o, 'w', 9);
	ask(o, 'd', 5);
	SAME(look(t, &o->p), P(9) | P(5));
	SAME(uffd_track_stop(t), 0);
	ask(o, 'w', 9);
}

static void each_method(uint64_t for_async, uint64_t for_sync)
{
	for (unsigned m = LIBUFFD_TRACK_ASYNC; m <= LIBUFFD_TRACK_SYNC; m++) {
		struct uffd_track *t;
		struct other o;

		if (!other_begin(&o, m == LIBUFFD_TRACK_ASYNC ? for_async :
								for_sync))
			return;
		if (SAME(begin(&o, m, NULL, NULL, &t), 0)) {
			follow(&o, t);
			uffd_track_free(t);
			CHECK(fcntl(o.fd, F_GETFD) >= 0); /* still ours */
		}
		ask(&o, 'w', 1);
		other_end(&o);
	}
}

static void not_asked(void)
{
	each_method(UINT64_MAX, UINT64_MAX);
}

static void asked(void)
{
	each_method(UFFD_FEATURE_WP_ASYNC,
		    UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_WP_UNPOPULATED);
}

/* what the descriptor was asked for decides */
static void decides(void)
{
	struct uffd_track *t;
	struct other o;

	if (other_begin(&o, UFFD_FEATURE_WP_ASYNC)) {
		SAME(begin(&o, LIBUFFD_TRACK_SYNC, NULL, NULL, &t),
		     -EOPNOTSUPP);
		SAME(begin(&o, LIBUFFD_TRACK_AUTO, NULL, NULL, &t), 0);
		SAME(uffd_track_method(t), LIBUFFD_TRACK_ASYNC);
		uffd_track_free(t);
		other_end(&o);
	}
	if (other_begin(&o, UFFD_FEATURE_WP_UNPOPULATED)) {
		SAME(begin(&o, LIBUFFD_TRACK_ASYNC, NULL, NULL, &t),
		     -EOPNOTSUPP);
		SAME(begin(&o, LIBUFFD_TRACK_AUTO, NULL, NULL, &t), 0);
		SAME(uffd_track_method(t), LIBUFFD_TRACK_SYNC);
		uffd_track_free(t);
		other_end(&o);
	}
}

static void taken_from_it(void)
{
	struct uffd_track *t;
	struct other o;
	int pidfd;

	if (!other_begin(&o, UINT64_MAX))
		return;
	close(o.fd);
	pidfd = uffd_pidfd_open(o.pid);
	o.fd = uffd_pidfd_getfd(pidfd, o.its_fd);
	CHECK(o.fd >= 0);
	if (SAME(begin(&o, LIBUFFD_TRACK_AUTO, NULL, NULL, &t), 0)) {
		follow(&o, t);
		uffd_track_free(t);
	}
	close(pidfd);
	other_end(&o);
}

struct seen {
	const struct other *o;
	struct uffd_write w;
	char before;
	ssize_t got;
	atomic_uint nr;
};

static int on_write(void *user, const struct uffd_write *w)
{
	struct seen *seen = user;
	struct iovec to = { .iov_base = &seen->before, .iov_len = 1 };
	struct iovec from = { .iov_base = (void *)(uintptr_t)w->addr,
			      .iov_len = 1 };

	seen->w = *w;
	seen->got = process_vm_readv(seen->o->pid, &to, 1, &from, 1, 0);
	seen->nr++;
	return LIBUFFD_WRITE_GO;
}

static void events(void)
{
	struct uffd_track *t;
	struct other o;
	struct seen seen = { .o = &o };

	if (!other_begin(&o, UINT64_MAX))
		return;
	if (SAME(begin(&o, LIBUFFD_TRACK_AUTO, on_write, &seen, &t), 0)) {
		ask(&o, 'w', 0); /* page 0 was written once before */
		SAME(seen.nr, 1);
		SAME(seen.w.addr, (uintptr_t)o.p.m);
		SAME(seen.w.tid, o.pid);
		SAME(seen.got, 1);
		SAME(seen.before, 1);
		SAME(look(t, &o.p), P(0));
		uffd_track_free(t);
	}
	other_end(&o);
}

static void gone(void)
{
	for (unsigned m = LIBUFFD_TRACK_ASYNC; m <= LIBUFFD_TRACK_SYNC; m++) {
		for (int exec = 0; exec < 2; exec++) {
			struct uffd_written w;
			struct uffd_track *t;
			struct other o;
			unsigned nr;

			if (!other_begin(&o, UINT64_MAX))
				return;
			SAME(begin(&o, m, NULL, NULL, &t), 0);
			ask(&o, 'w', 3);
			if (exec) {
				char c;

				ask(&o, 'x', 0);
				CHECK(read(o.sock, &c, 1) == 0);
			} else {
				kill(o.pid, SIGKILL);
				waitpid(o.pid, NULL, 0);
			}
			SAME(uffd_track_collect(t, &w, 1, &nr), -ESRCH);
			SAME(uffd_track_add(t, 4096, 4096), -ESRCH);
			SAME(uffd_track_mark(t, (uintptr_t)o.p.m, 4096),
			     -ESRCH);
			SAME(uffd_track_stop(t), 0);
			SAME(uffd_track_start(t), -ESRCH);
			uffd_track_free(t);
			other_end(&o);
		}
	}
}

static void refused(void)
{
	struct uffd_track *t;
	struct other o;

	if (!other_begin(&o, UINT64_MAX))
		return;
	fcntl(o.fd, F_SETFL, 0); /* blocking */
	SAME(begin(&o, LIBUFFD_TRACK_AUTO, NULL, NULL, &t), -EINVAL);
	fcntl(o.fd, F_SETFL, O_NONBLOCK);
	o.pid += 1 << 21; /* no such process */
	SAME(begin(&o, LIBUFFD_TRACK_AUTO, NULL, NULL, &t), -ESRCH);
	o.pid -= 1 << 21;
	other_end(&o);
}

/* a descriptor with events: whoever changes its layout waits until somebody
 * has read about it, and meanwhile nothing can be protected */
static void with_events(void)
{
	struct uffd_track *t;
	struct other o;

	if (!other_begin(&o, UFFD_FEATURE_EVENT_REMOVE |
				     UFFD_FEATURE_EVENT_UNMAP |
				     UFFD_FEATURE_WP_UNPOPULATED))
		return;
	if (SAME(begin(&o, LIBUFFD_TRACK_SYNC, NULL, NULL, &t), 0)) {
		for (char i = 0; i < PAGES; i++) {
			ask(&o, 'd', i);
			ask(&o, 'w', i);
			SAME(look(t, &o.p), P(i));
		}
		uffd_track_free(t);
	}
	other_end(&o);
}

static const struct promise promises[] = {
	{ "a descriptor handed over, not asked for features", not_asked },
	{ "a descriptor handed over, with features", asked },
	{ "its features decide about the method", decides },
	{ "a descriptor taken from the process", taken_from_it },
	{ "write events of another process", events },
	{ "a process that died or called exec is told, not taken for clean",
	  gone },
	{ "descriptors and processes that will not do are refused", refused },
	{ "a descriptor with events", with_events },
};

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) { /* the other process, after exec */
		pause();
		return 0;
	}
	return have_async() ? keep_all(promises, NR(promises)) : 0;
}
