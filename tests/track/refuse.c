/* SPDX-License-Identifier: MIT */
/*
 * What is wrong is refused at the call, and leaves nothing behind.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "look.h"

static struct uffd_track *make(enum uffd_track_method method)
{
	const struct uffd_track_opts opts = {
		.sz = sizeof(opts),
		.method = method,
	};
	struct uffd_track *t = NULL;

	SAME(CALL(uffd_track_new(&opts, &t)), 0);
	return t;
}

static int no_write(void *user, const struct uffd_write *w)
{
	(void)user;
	(void)w;
	return LIBUFFD_WRITE_GO;
}

static int new_with(struct uffd_track_opts opts)
{
	struct uffd_track *t = (void *)1;
	int ret;

	opts.sz = opts.sz ? opts.sz : sizeof(opts);
	ret = CALL(uffd_track_new(&opts, &t));
	if (ret == 0)
		uffd_track_free(t);
	else
		CHECK(t == (void *)1);
	return ret;
}

#define NEW(...) new_with((struct uffd_track_opts){ __VA_ARGS__ })

static void options(void)
{
	struct {
		struct uffd_track_opts opts;
		uint64_t more;
	} longer = { .opts.sz = sizeof(longer) };
	struct uffd_track *t;

	SAME(NEW(0), 0);
	SAME(NEW(.method = 3), -EINVAL);
	SAME(NEW(.flags = 4), -EINVAL);
	SAME(NEW(.cpu = 1), -EINVAL);
	SAME(NEW(.flags = LIBUFFD_TRACK_ON_CPU, .cpu = 100000), -EINVAL);
	SAME(NEW(.method = LIBUFFD_TRACK_SYNC, .flags = LIBUFFD_TRACK_ON_CPU,
		 .cpu = 1023), -EINVAL);
	SAME(NEW(.method = LIBUFFD_TRACK_SYNC, .flags = LIBUFFD_TRACK_ON_CPU),
	     0);
	SAME(NEW(.method = LIBUFFD_TRACK_ASYNC, .write = no_write), -EINVAL);
	SAME(NEW(.open_flags = 1u << 20), -EINVAL);
	SAME(NEW(.uffd = 3), -EINVAL);
	SAME(NEW(.pid = 3), -EINVAL);
	SAME(NEW(.sz = 3), -EINVAL);
	SAME(NEW(.flags = LIBUFFD_TRACK_GIVEN, .uffd = 99, .pid = getpid()),
	     -EBADF);
	SAME(NEW(.flags = LIBUFFD_TRACK_GIVEN, .uffd = -1, .pid = getpid()),
	     -EINVAL);
	SAME(NEW(.flags = LIBUFFD_TRACK_GIVEN, .uffd = 0, .pid = 0), -EINVAL);
	SAME(CALL(uffd_track_new(&longer.opts, &t)), 0);
	uffd_track_free(t);
	longer.more = 1;
	SAME(CALL(uffd_track_new(&longer.opts, &t)), -EINVAL);
	SAME(CALL(uffd_track_new(NULL, &t)), 0);
	uffd_track_free(t);
	uffd_track_free(NULL);
}

static void bad_ranges(enum uffd_track_method method)
{
	struct uffd_track *t = make(method);
	struct place p;
	uint64_t m;

	CHECK(place_open(&p, PRIVATE));
	m = (uintptr_t)p.m;
	SAME(CALL(uffd_track_add(t, m, 0)), -EINVAL);
	SAME(CALL(uffd_track_add(t, m + 1, 4096)), -EINVAL);
	SAME(CALL(uffd_track_add(t, m, 4097)), -EINVAL);
	SAME(CALL(uffd_track_add(t, m, -UINT64_C(4096))), -EINVAL);
	SAME(CALL(uffd_track_add(t, -UINT64_C(8192), 4096)), -EFAULT);
	SAME(CALL(uffd_track_add(t, 4096, 4096)), -EFAULT);
	munmap(at(&p, 7), p.page);
	SAME(CALL(uffd_track_add(t, m, p.len)), -EFAULT);
	SAME(CALL(uffd_track_add(t, m, 8 * p.page)), -EFAULT);
	SAME(CALL(uffd_track_add(t, m, 7 * p.page)), 0);
	SAME(CALL(uffd_track_mark(t, m, 4096)), -EINVAL); /* not running */
	SAME(CALL(uffd_track_start(t)), 0);
	SAME(CALL(uffd_track_mark(t, m, 0)), -EINVAL);
	SAME(CALL(uffd_track_mark(t, m + 1, 4096)), -EINVAL);
	SAME(CALL(uffd_track_mark(t, m, 8 * p.page)), -ENOENT);
	SAME(CALL(uffd_track_mark(t, 4096, 4096)), -ENOENT);
	SAME(CALL(uffd_track_release(t, m + 1, 4096)), -EINVAL);
	SAME(CALL(uffd_track_release(t, m, p.len)), 0);
	uffd_track_free(t);
	place_close(&p);
}

static void ranges(void)
{
	bad_ranges(LIBUFFD_TRACK_ASYNC);
	bad_ranges(LIBUFFD_TRACK_SYNC);
}

static void overlap(void)
{
	struct uffd_track *a = make(LIBUFFD_TRACK_ASYNC);
	struct uffd_track *b = make(LIBUFFD_TRACK_SYNC);
	struct place p;

	CHECK(place_open(&p, PRIVATE));
	SAME(CALL(uffd_track_add(a, addr(&p, 4), 4 * p.page)), 0);
	for (unsigned i = 2; i < 8; i++) {
		SAME(CALL(uffd_track_add(a, addr(&p, i), 3 * p.page)),
		     -EEXIST);
		SAME(CALL(uffd_track_add(b, addr(&p, i), 3 * p.page)), -EBUSY);
	}
	SAME(CALL(uffd_track_add(b, addr(&p, 1), 3 * p.page)), 0);
	SAME(CALL(uffd_track_start(a)), 0);
	SAME(CALL(uffd_track_start(b)), 0);
	poke_all(&p);
	SAME(look(a, &p), 0x0f0);
	SAME(look(b, &p), 0x00e);
	uffd_track_free(a);
	SAME(CALL(uffd_track_add(b, addr(&p, 4), 4 * p.page)), 0);
	poke_all(&p);
	SAME(look(b, &p), 0x0fe);
	uffd_track_free(b);
	place_close(&p);
}

static void file_sync(void)
{
	struct uffd_track *t = make(LIBUFFD_TRACK_SYNC);
	struct place p;

	if (place_open(&p, DISK)) {
		SAME(CALL(uffd_track_add(t, (uintptr_t)p.m, p.len)),
		     -EOPNOTSUPP);
		place_close(&p);
	}
	uffd_track_free(t);
}

static void read_only(void)
{
	struct uffd_track *t = make(LIBUFFD_TRACK_ASYNC);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(m != MAP_FAILED);
	SAME(CALL(uffd_track_add(t, (uintptr_t)m, 4096)), -EPERM);
	munmap(m, 4096);
	close(fd);
	uffd_track_free(t);
}

/* the vvar pages: no pages of the kernel's page allocator to look at */
static void device(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	struct uffd_track *t = make(LIBUFFD_TRACK_ASYNC);
	unsigned long start, end;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2) {
			int ret = CALL(uffd_track_add(t, start, end - start));

			CHECK(ret == -EOPNOTSUPP || ret == -EPERM);
		}
	if (maps)
		fclose(maps);
	uffd_track_free(t);
}

static void cut_huge(void)
{
	bool some;
	struct uffd_track *t[2] = { make(LIBUFFD_TRACK_ASYNC),
				    make(LIBUFFD_TRACK_SYNC) };
	struct place p;

	huge_begin();
	some = place_open(&p, HUGE_PRIVATE);
	if (some) {
		for (int i = 0; i < 2; i++) {
			SAME(CALL(uffd_track_add(t[i], addr(&p, 1), 4096)),
			     -EOPNOTSUPP);
			SAME(CALL(uffd_track_add(t[i], addr(&p, 1) + 4096,
						 p.page)),
			     -EOPNOTSUPP);
			SAME(CALL(uffd_track_add(t[i], addr(&p, 1), p.page)),
			     0);
			uffd_track_remove(t[i], addr(&p, 1));
		}
		/* and, for SYNC, pages of several sizes */
		munmap(p.m, p.page);
		CHECK(mmap(p.m, p.page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			   0) == p.m);
		SAME(CALL(uffd_track_add(t[1], addr(&p, 0), p.len)), -EINVAL);
		SAME(CALL(uffd_track_add(t[0], addr(&p, 0), p.len)), 0);
		place_close(&p);
	}
	huge_end();
	uffd_track_free(t[0]);
	uffd_track_free(t[1]);
	if (!some)
		SKIP("no free huge pages");
}

static void own_memory(void)
{
	struct uffd_track *t = make(LIBUFFD_TRACK_SYNC);

	SAME(CALL(uffd_track_add(t, (uintptr_t)t, 4096)), -EDEADLK);
	uffd_track_free(t);
}

static void not_running(void)
{
	struct uffd_track *t = make(LIBUFFD_TRACK_ASYNC);
	struct uffd_written w;
	unsigned nr = 7;

	SAME(CALL(uffd_track_collect(t, &w, 1, &nr)), -EINVAL);
	SAME(nr, 0);
	SAME(CALL(uffd_track_start(t)), 0);
	SAME(CALL(uffd_track_collect(t, &w, 0, &nr)), -EINVAL);
	SAME(CALL(uffd_track_collect(t, NULL, 1, &nr)), -EINVAL);
	SAME(CALL(uffd_track_collect(t, &w, 1, &nr)), 0);
	uffd_track_free(t);
}

/* another descriptor has taken a place mapped anew: told, and remembered */
static void taken_by_others(enum uffd_track_method method)
{
	struct uffd_track *b = make(LIBUFFD_TRACK_ASYNC);
	struct uffd_track *a;
	struct uffd_written w[PAGES];
	struct place p;
	unsigned nr;

	CHECK(place_open(&p, PRIVATE));
	a = track(&p, method);
	poke_all(&p);
	look(a, &p);
	poke(&p, 2);
	CHECK(mmap(at(&p, 6), 2 * p.page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == at(&p, 6));
	SAME(uffd_track_add(b, addr(&p, 6), 2 * p.page), 0);
	SAME(uffd_track_collect(a, w, PAGES, &nr), -EBUSY);
	SAME(uffd_track_remove(b, addr(&p, 6)), 0);
	poke(&p, 12);
	/* what was found before it stopped is in neither or one of them */
	CHECK((look(a, &p) | (nr ? P(2) : 0)) ==
	      (P(2) | P(6) | P(7) | P(12)));
	SAME(look(a, &p), 0);
	uffd_track_free(a);
	uffd_track_free(b);
	place_close(&p);
}

static void taken(void)
{
	taken_by_others(LIBUFFD_TRACK_ASYNC);
	taken_by_others(LIBUFFD_TRACK_SYNC);
}

static const struct promise promises[] = {
	{ "bad options are refused, unknown ones, too", options },
	{ "ranges not aligned, empty or not mapped are refused", ranges },
	{ "ranges that overlap are refused, by the same tracker or another",
	  overlap },
	{ "regular files are refused by SYNC", file_sync },
	{ "shared memory that can't be made writable is refused", read_only },
	{ "memory without pages of its own is refused", device },
	{ "huge pages can't be cut, nor (SYNC) mixed with small ones",
	  cut_huge },
	{ "a tracker can't track itself", own_memory },
	{ "there is no look without a start or an array", not_running },
	{ "a place that another descriptor took is told, and nothing is lost",
	  taken },
};

int main(void)
{
	return have_async() ? keep_all(promises, NR(promises)) : 0;
}
