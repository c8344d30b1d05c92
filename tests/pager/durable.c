/* SPDX-License-Identifier: MIT */
/*
 * What is in the file after a sync, and after the process was killed in the
 * middle of writing back: each page whole, old or new, and what was synced.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "../store/dir.h"
#include "bed.h"

#define PAGES 256u
#define SYNCED 128u		/* the first so many are synced in each round */
#define VERSIONS 400u

static const uint32_t engines[] = {
	LIBUFFD_ENGINE_SIGBUS,
	LIBUFFD_ENGINE_THREAD,
};

static bool make_file(const struct dir *d, char *path, size_t len)
{
	int fd;

	snprintf(path, len, "%s/pages", d->path);
	unlink(path);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, PAGES * PAGE) < 0)
		return false;
	close(fd);
	return true;
}

static bool open_it(struct bed *b, const char *path, uint32_t engine)
{
	char uri[PATH_MAX + 8];
	const struct bed_want want = {
		.engine = engine,
		.uri = uri,
		.budget = 32,
		.pages = PAGES,
	};

	snprintf(uri, sizeof(uri), "file:%s", path);
	return bed_open(b, &want);
}

/* ---- synced ----------------------------------------------------------------------- */

static bool in_file(int fd, uint64_t page, unsigned version)
{
	uint64_t bytes[PAGE / 8];

	return pread(fd, bytes, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE &&
	       stamped(bytes, page, version);
}

static void synced(void)
{
	char path[PATH_MAX];
	struct dir d;

	dir_make(&d);
	for (unsigned i = 0; i < NR(engines); i++) {
		struct bed b;
		int fd;

		if (!CHECK(make_file(&d, path, sizeof(path))) ||
		    !CHECK(open_it(&b, path, engines[i])))
			break;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		for (unsigned v = 1; v < 12; v++) {
			uint64_t first = v * 19 % (PAGES - 40);

			bed_stamp_all(&b, v);
			SAME(uffd_sync(b.r, first * PAGE, 40 * PAGE), 0);
			for (uint64_t p = first; p < first + 40; p++)
				CHECK(in_file(fd, p, v));
			/* and it is still here */
			CHECK(bed_stamped_all(&b, v));
		}
		SAME(uffd_region_free(b.r), 0);
		for (uint64_t p = 0; p < PAGES; p++)
			CHECK(in_file(fd, p, 11));
		close(fd);
		bed_close(&b);
	}
	dir_remove(&d);
}

/* ---- killed ------------------------------------------------------------------------- */

/* in a process of its own: on and on, until it is killed */
static int write_on(const char *path, uint32_t engine, int tell)
{
	struct bed b;

	if (!open_it(&b, path, engine))
		return 1;
	for (unsigned v = 1; v < VERSIONS; v++) {
		bed_stamp_all(&b, v);
		if (uffd_sync(b.r, 0, SYNCED * PAGE) < 0 ||
		    write(tell, &v, sizeof(v)) != sizeof(v))
			return 1;
	}
	pause();
	return 1;
}

static pid_t start(const char *path, uint32_t engine, int tell)
{
	char number[2][16];
	char *argv[] = { (char *)"again", (char *)path, number[0], number[1],
			 NULL };
	pid_t pid;

	snprintf(number[0], sizeof(number[0]), "%u", engine);
	snprintf(number[1], sizeof(number[1]), "%d", tell);
	pid = fork();
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	return pid;
}

/* the last version that it said was synced, once it has said `least` */
static unsigned told(int fd, unsigned least)
{
	unsigned v = 0;

	while (v < least && read(fd, &v, sizeof(v)) == sizeof(v))
		;
	return v;
}

static void look_at_file(const char *path, unsigned least)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);

	close(fd);
	if (!CHECK(at != MAP_FAILED))
		return;
	for (uint64_t p = 0; p < PAGES; p++) {
		int v = stamp_version((const uint8_t *)at + p * PAGE, p,
				      VERSIONS);

		if (v < 0)
			printf("# page %llu is torn\n", (unsigned long long)p);
		CHECK(v >= 0);
		if (p < SYNCED)
			CHECK(v >= (int)least);
	}
	munmap(at, PAGES * PAGE);
}

static void kill_one(const struct dir *d, uint32_t engine, unsigned round)
{
	char path[PATH_MAX];
	int fds[2] = { -1, -1 }, status;
	unsigned least, more;
	struct bed b;
	pid_t pid;

	if (!CHECK(make_file(d, path, sizeof(path))) ||
	    !SAME(pipe(fds), 0))
		return;
	pid = start(path, engine, fds[1]);
	close(fds[1]);
	told(fds[0], 1 + round % 4);
	/* at another moment of a round each time */
	nap_ms(round * 3 % 17);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* all that it had said before it died */
	for (least = 0; read(fds[0], &more, sizeof(more)) == sizeof(more);)
		least = more;
	close(fds[0]);
	look_at_file(path, least);
	/* and it can be paged again */
	if (CHECK(open_it(&b, path, engine))) {
		bed_stamp_all(&b, VERSIONS);
		SAME(uffd_sync(b.r, 0, PAGES * PAGE), 0);
		bed_close(&b);
	}
}

static void killed(void)
{
	struct dir d;

	dir_make(&d);
	for (unsigned i = 0; i < NR(engines); i++)
		for (unsigned n = 0; n < 8 && !broken; n++)
			kill_one(&d, engines[i], n);
	dir_remove(&d);
}

static const struct promise promises[] = {
	{ "what uffd_sync() has returned for is in the file", synced },
	{ "of a process that is killed each page is whole", killed },
};

int main(int argc, char **argv)
{
	if (argc == 4)
		return write_on(argv[1], (uint32_t)atoi(argv[2]),
				atoi(argv[3]));
	return keep_all(promises, NR(promises));
}
