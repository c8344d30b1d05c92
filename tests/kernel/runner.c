/* SPDX-License-Identifier: MIT */
/*
 * Keeping promises: each in a child process, with a limit, told in TAP.
 *
 *	runner ---- fork ----> the promise (its own process group)
 *	   |  <-- VERDICT_FD ---- why it was skipped
 *	   |  <-- exit status --- 0 kept, 77 skipped, else broken
 *	   |
 *	   +------- fork ----> the keeper of huge pages: reserves some, gives
 *				them back when the runner is gone, however
 */
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "fixture.h"

#define SECONDS 180
#define HUGE_PAGES 14
#define SKIPPED 77
/* where a promise says why it is skipped */
#define VERDICT_FD 200

/* ---- what a promise may say --------------------------------------------- */

void broken(const char *what, const char *file, int line)
{
	dprintf(STDOUT_FILENO, "# %s:%d: not so: %s\n", file, line, what);
	_exit(1);
}

void same(long long got, long long want, const char *what, const char *file,
	  int line)
{
	if (got == want)
		return;
	dprintf(STDOUT_FILENO, "# %s:%d: got %lld, want %lld: %s\n", file, line,
		got, want, what);
	_exit(1);
}

void skip(const char *why, ...)
{
	va_list args;

	va_start(args, why);
	vdprintf(VERDICT_FD, why, args);
	va_end(args);
	_exit(SKIPPED);
}

/* ---- huge pages --------------------------------------------------------- */

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* Add n (or, negative, take back) to the machine's pool; how many it became
 * more. Others do the same at the same time, hence the lock. */
static long grow_pool(long n)
{
	int fd = open(POOL, O_RDWR | O_CLOEXEC);
	char text[32] = "";
	long before, after;

	if (fd < 0)
		return 0;
	flock(fd, LOCK_EX);
	before = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atol(text) : 0;
	snprintf(text, sizeof(text), "%ld", before + n > 0 ? before + n : 0);
	if (pwrite(fd, text, strlen(text), 0) < 0)
		n = 0;
	memset(text, 0, sizeof(text));
	after = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atol(text) : 0;
	close(fd);
	return n ? after - before : 0;
}

struct keeper {
	pid_t pid;
	int sock;
};

static void keep_pages(int sock)
{
	long got;
	char c;

	setsid();
	signal(SIGTERM, SIG_IGN);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	got = grow_pool(HUGE_PAGES);
	if (write(sock, "", 1) == 1)
		while (read(sock, &c, 1) > 0)
			;
	if (got > 0)
		grow_pool(-got);
	_exit(0);
}

static struct keeper start_keeper(void)
{
	struct keeper k = { .pid = -1, .sock = -1 };
	int ends[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return k;
	fflush(stdout);
	k.pid = fork();
	if (k.pid == 0) {
		close(ends[0]);
		keep_pages(ends[1]);
	}
	close(ends[1]);
	k.sock = ends[0];
	if (read(k.sock, &c, 1) != 1)
		puts("# no huge pages could be reserved");
	return k;
}

static void end_keeper(struct keeper *k)
{
	if (k->pid < 0)
		return;
	close(k->sock);
	waitpid(k->pid, NULL, 0);
}

/* ---- what a promise needs ----------------------------------------------- */

static int try_open(uint64_t features, uint32_t flags)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = features,
		.flags = flags,
	};
	int fd = uffd_open(&opts, NULL);

	if (fd >= 0)
		close(fd);
	return fd;
}

static void need_features(uint64_t features)
{
	const struct uffd_feature_info *f;
	uint64_t have = 0;

	if (uffd_features(&have) < 0)
		skip("no right to open a userfaultfd");
	for (unsigned i = 0; (f = uffd_feature_info(i)); i++)
		if (features & ~have & f->bit)
			skip("no UFFD_FEATURE_%s in this kernel", f->name);
}

static bool have_scan(void)
{
	struct uffd_scan_arg arg = { 0 };
	int fd = uffd_pagemap_open(0);
	int ret = uffd_pagemap_scan(fd, &arg);

	close(fd);
	return ret != -ENOTTY;
}

static void need_drop(const struct memory *m)
{
	struct area a = map_area(m, 1);

	if (uffd_drop(a.at, a.len) < 0)
		skip("no MADV_DONTNEED on %s in this kernel", m->name);
	munmap(a.p, a.len);
	close(a.fd);
}

static void need_mremap(const struct memory *m)
{
	struct area a = map_area(m, 1);
	char *to = place_for(&a);

	if (mremap(a.p, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		skip("no mremap on %s in this kernel", m->name);
	munmap(to, a.len);
	close(a.fd);
}

static void need_lift(const struct memory *m)
{
	static const enum uffd_memory same[] = {
		LIBUFFD_MEM_PRIVATE, LIBUFFD_MEM_SHARED,
		LIBUFFD_MEM_MEMFD_SHARED, LIBUFFD_MEM_MEMFD_PRIVATE,
	};
	enum uffd_memory kind = LIBUFFD_MEM_PRIVATE;

	for (unsigned i = 0; m && i < NR(same); i++)
		if (m == memory_kind(i))
			kind = same[i];
	if (uffd_try(kind, LIBUFFD_OP_LIFT) != 1)
		skip("no MREMAP_DONTUNMAP of %s memory in this kernel",
		     uffd_memory_name(kind));
}

static void need_wp_bit(void)
{
	char *p = bytes_of('p', 4096);
	int fd = open_uffd(0);

	if (uffd_register(fd, (uintptr_t)p, 4096, WP, NULL) < 0)
		skip("no write protection in this kernel");
	SAME(uffd_writeprotect(fd, (uintptr_t)p, 4096, 1), 4096);
	if (!pagemap_bit(p, PAGEMAP_UFFD_WP))
		skip("protection is not seen in this kernel's pagemap");
	close(fd);
}

static uint64_t features_for(const struct promise *p, const struct memory *m)
{
	uint64_t need = p->features;

	if (m && (p->needs & NEED_WP))
		need |= m->is == ANON ? UFFD_FEATURE_PAGEFAULT_FLAG_WP :
					UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	if (m && (p->needs & NEED_MINOR))
		need |= m->is & HUGETLB ? UFFD_FEATURE_MINOR_HUGETLBFS :
					  UFFD_FEATURE_MINOR_SHMEM;
	return need;
}

static void need_all(const struct promise *p, const struct memory *m)
{
	if ((p->needs & NEED_ROOT) && geteuid())
		skip("not root");
	need_features(features_for(p, m));
	if ((p->needs & NEED_FORK) &&
	    try_open(UFFD_FEATURE_EVENT_FORK, 0) == -EPERM)
		skip("no CAP_SYS_PTRACE, which EVENT_FORK needs");
	if ((p->needs & NEED_KERNEL_FAULTS) &&
	    try_open(0, LIBUFFD_OPEN_NEED_KERNEL_FAULTS) < 0)
		skip("no right to faults of system calls");
	if ((p->needs & NEED_SCAN) && !have_scan())
		skip("no PAGEMAP_SCAN in this kernel");
	if ((p->needs & NEED_USER_ONLY) &&
	    try_open(0, LIBUFFD_OPEN_USER_ONLY) < 0)
		skip("no UFFD_USER_MODE_ONLY in this kernel");
	if (p->needs & NEED_LIFT)
		need_lift(m);
	if (p->needs & NEED_DROP)
		need_drop(m);
	if (p->needs & NEED_MREMAP)
		need_mremap(m);
	if (p->needs & NEED_WP_BIT)
		need_wp_bit();
}

/* ---- one promise -------------------------------------------------------- */

static pid_t start_promise(const struct promise *p, const struct memory *m,
			   int verdict)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup3(verdict, VERDICT_FD, O_CLOEXEC);
	need_all(p, m);
	p->keep(m);
	_exit(0);
}

/* its wait status, or -1 when it took too long */
static int await(pid_t pid)
{
	int pidfd = uffd_pidfd_open(pid);
	bool ended = pidfd < 0 || uffd_pidfd_wait(pidfd, SECONDS * 1000) == 1;
	int status;

	/* what it may have left behind goes as well */
	kill(-pid, SIGKILL);
	kill(pid, ended ? 0 : SIGKILL);
	waitpid(pid, &status, 0);
	if (pidfd >= 0)
		close(pidfd);
	return ended ? status : -1;
}

static bool kept(const char *line, unsigned n, int status, const char *why)
{
	if (status == 0) {
		printf("ok %u - %s\n", n, line);
		return true;
	}
	if (status > 0 && WIFEXITED(status) &&
	    WEXITSTATUS(status) == SKIPPED) {
		printf("ok %u - %s # SKIP %s\n", n, line, why);
		return true;
	}
	if (status < 0)
		printf("# took longer than %d seconds\n", SECONDS);
	else if (WIFSIGNALED(status))
		printf("# ended by signal %d (%s)\n", WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
	printf("not ok %u - %s\n", n, line);
	return false;
}

static bool keep(const struct promise *p, const struct memory *m,
		 const char *line, unsigned n)
{
	char why[200] = "";
	int ends[2];
	int status;
	bool good;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		printf("not ok %u - %s\n", n, line);
		return false;
	}
	status = await(start_promise(p, m, ends[1]));
	if (read(ends[0], why, sizeof(why) - 1) < 0)
		why[0] = '\0';
	good = kept(line, n, status, why);
	close(ends[0]);
	close(ends[1]);
	return good;
}

/* ---- all of them -------------------------------------------------------- */

struct run {
	const char *filter;
	bool list;
	unsigned nr, nr_broken;
	unsigned memory;		/* of those asked for */
	bool count;			/* only count, do nothing */
};

static void each_memory(struct run *run, const struct promise *p,
			const struct memory *m)
{
	char line[200];

	snprintf(line, sizeof(line), m ? "%s [%s]" : "%s", p->text,
		 m ? m->name : "");
	if (run->filter && !strstr(line, run->filter))
		return;
	run->nr++;
	run->memory |= m ? m->is : 0;
	if (run->count)
		return;
	if (run->list)
		puts(line);
	else
		run->nr_broken += !keep(p, m, line, run->nr);
}

static void each_promise(struct run *run, const struct promise *promises,
			 unsigned nr)
{
	const struct memory *m;

	run->nr = 0;
	for (unsigned i = 0; i < nr; i++) {
		if (!promises[i].memory)
			each_memory(run, &promises[i], NULL);
		for (unsigned k = 0; (m = memory_kind(k)); k++)
			if (promises[i].memory & m->is)
				each_memory(run, &promises[i], m);
	}
}

static bool options(struct run *run, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "lf:")) != -1) {
		if (c == 'l')
			run->list = true;
		else if (c == 'f')
			run->filter = optarg;
		else
			return false;
	}
	return optind == argc;
}

int keep_all(const struct promise *promises, unsigned nr, int argc, char **argv)
{
	struct keeper keeper = { .pid = -1 };
	struct run run = { .count = true };

	if (!options(&run, argc, argv)) {
		fprintf(stderr, "usage: %s [-l] [-f TEXT]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	each_promise(&run, promises, nr);
	run.count = false;
	if (!run.list) {
		printf("1..%u\n", run.nr);
		if (run.memory & HUGETLB)
			keeper = start_keeper();
	}
	each_promise(&run, promises, nr);
	end_keeper(&keeper);
	return run.nr_broken > 0;
}
