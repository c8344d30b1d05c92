/* SPDX-License-Identifier: MIT */
/*
 * Out of memory, at each place in turn: the call says so, leaves nothing
 * behind, and what was stored stays. The library's allocations come to this
 * test first, by ld --wrap.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <uffd/store.h>

#include "../seam/promise.h"
#include "dir.h"
#include "rnd.h"

#define PAGE 4096u

/* wrapped functions have no argument for it */
static struct {
	bool on;
	unsigned left;		/* allocations that succeed */
	bool failed;		/* one did not */
	long blocks, maps;	/* that are out */
	bool no_growth;		/* mprotect and MADV_POPULATE_WRITE fail */
	struct dir dir;
} t;

#define WRAP(type, name, params) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params

static bool fails(void)
{
	if (!t.on || t.left-- > 0)
		return false;
	t.failed = true;
	t.left = 0;
	errno = ENOMEM;
	return true;
}

static void *block(void *at)
{
	t.blocks += at != NULL;
	return at;
}

WRAP(void *, malloc, (size_t len))
{
	return fails() ? NULL : block(__real_malloc(len));
}

WRAP(void *, calloc, (size_t nr, size_t len))
{
	return fails() ? NULL : block(__real_calloc(nr, len));
}

WRAP(void *, aligned_alloc, (size_t align, size_t len))
{
	return fails() ? NULL : block(__real_aligned_alloc(align, len));
}

WRAP(char *, strdup, (const char *text))
{
	return fails() ? NULL : block(__real_strdup(text));
}

WRAP(void, free, (void *at))
{
	t.blocks -= at != NULL;
	__real_free(at);
}

WRAP(void *, mmap64, (void *hint, size_t len, int prot, int flags, int fd,
		      off_t offset))
{
	if (fails())
		return MAP_FAILED;
	t.maps++;
	return __real_mmap64(hint, len, prot, flags, fd, offset);
}

WRAP(int, munmap, (void *at, size_t len))
{
	t.maps--;
	return __real_munmap(at, len);
}

WRAP(int, mprotect, (void *at, size_t len, int prot))
{
	if (t.no_growth)
		return errno = ENOMEM, -1;
	return __real_mprotect(at, len, prot);
}

WRAP(int, madvise, (void *at, size_t len, int advice))
{
	if (t.no_growth && advice == 23)
		return errno = ENOMEM, -1;
	return __real_madvise(at, len, advice);
}

/* ---- opening ------------------------------------------------------------------------------- */

static unsigned nr_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* with one more allocation each time, until it opens */
static void try_open(const char *uri)
{
	unsigned fds = nr_fds(), good = 0;
	struct uffd_reason why;
	struct uffd_store *s = NULL;
	int err = -ENOMEM;

	t.blocks = t.maps = 0;
	for (unsigned n = 0; n < 100; n++) {
		t.left = n;
		t.failed = false;
		t.on = true;
		err = uffd_store_open(uri, 0, &why, &s);
		t.on = false;
		if (err == 0) /* some do with less, as without io_uring */
			uffd_store_close(s);
		else if (err != -EOPNOTSUPP)
			CHECK(strstr(why.text, "memory"));
		CHECK(err == 0 || err == -ENOMEM || err == -EOPNOTSUPP);
		SAME(t.blocks, 0);
		SAME(t.maps, 0);
		good += !t.failed;
		if (good)
			break;
	}
	if (!CHECK(good && (err == 0 || err == -EOPNOTSUPP)))
		printf("# %s: %s\n", uri, why.text);
	SAME(nr_fds(), fds);
}

static void opening(void)
{
	char uri[PATH_MAX];
	FILE *file;

	snprintf(uri, sizeof(uri), "%s/file", t.dir.path);
	file = fopen(uri, "w");
	fputs("something", file);
	fclose(file);
	try_open("zero:?size=1M");
	try_open("memory:?size=1M");
	try_open("memory:?size=1M&compress=lz4");
	try_open("memory:?size=1M&compress=zstd");
	try_open("retry:error?rate=0:delay?ms=1:cache?size=1M:zero:?size=1M");
	snprintf(uri, sizeof(uri), "file:%s/file", t.dir.path);
	try_open(uri);
	snprintf(uri, sizeof(uri), "cache?size=1M:file:%s/file", t.dir.path);
	try_open(uri);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void fill(struct rnd *r, char *page, unsigned n)
{
	memset(page, (int)n, PAGE);
	for (unsigned i = 0; i < 1000; i++)
		page[i] = (char)(rnd_next(r) >> 9);
}

/* until there is no room; all that was written is there; and again, when there
 * is */
static void growth(void)
{
	static char pages[10000][PAGE];
	struct rnd r = { 1 };
	struct uffd_store *s;
	char got[PAGE];
	unsigned nr = 0;
	int err = 0;

	err = uffd_store_open("memory:?size=64M&compress=lz4", 0, NULL, &s);
	if (err == -EOPNOTSUPP)
		return;
	SAME(err, 0);
	for (; nr < 10000 && !err; nr++) {
		fill(&r, pages[nr], nr);
		t.no_growth = nr >= 500;
		err = CALL(uffd_store_write(s, nr * PAGE, pages[nr], PAGE));
	}
	SAME(err, -ENOSPC);
	nr--;
	CHECK(nr >= 500 && nr < 9999);
	for (unsigned i = 0; i < nr; i++) {
		SAME(uffd_store_read(s, i * PAGE, got, PAGE), 0);
		CHECK(!memcmp(got, pages[i], PAGE));
	}
	/* a page that is there can be written over with as much */
	SAME(uffd_store_write(s, 0, pages[0], PAGE), 0);
	SAME(uffd_store_discard(s, PAGE, PAGE), 0);
	SAME(uffd_store_write(s, nr * PAGE, pages[nr], PAGE), 0);
	t.no_growth = false;
	SAME(uffd_store_write(s, PAGE, pages[1], PAGE), 0);
	SAME(uffd_store_read(s, nr * PAGE, got, PAGE), 0);
	CHECK(!memcmp(got, pages[nr], PAGE));
	uffd_store_close(s);
}

/* signal handlers may call them: nothing is allocated after opening */
static void no_malloc(void)
{
	static const char *const uris[] = {
		"memory:?size=1M",
		"memory:?size=1M&compress=lz4",
		"memory:?size=1M&compress=zstd",
		"retry:error?rate=0:delay?us=1:cache?size=64K:memory:?size=1M",
	};
	static char buf[8 * PAGE];
	struct rnd r = { 2 };

	for (unsigned u = 0; u < NR(uris); u++) {
		struct uffd_store *s;
		long blocks;

		if (uffd_store_open(uris[u], 0, NULL, &s))
			continue;
		blocks = t.blocks;
		t.left = 0;
		t.failed = false;
		t.on = true;
		for (unsigned i = 0; i < 100; i++) {
			fill(&r, buf, i);
			uffd_store_write(s, i * 77, buf, sizeof(buf));
			uffd_store_read(s, i * 770, buf, sizeof(buf));
			uffd_store_discard(s, i * 7700, PAGE);
			uffd_store_flush(s);
		}
		t.on = false;
		CHECK(!t.failed);
		SAME(t.blocks, blocks);
		uffd_store_close(s);
	}
}

static const struct promise promises[] = {
	{ "a failing open says so and leaves nothing behind", opening },
	{ "without room for more, nothing is lost", growth },
	{ "nothing is allocated after opening", no_malloc },
};

int main(void)
{
	int status;

	dir_make(&t.dir);
	status = keep_all(promises, NR(promises));
	dir_remove(&t.dir);
	return status;
}
