/* SPDX-License-Identifier: MIT */
/*
 * The file store: any offset, any end, and no byte that was lost reads as
 * zero.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "file-bed.h"

/* ---- opening ------------------------------------------------------------------------------- */

static void create(void)
{
	struct uffd_store *s = must_open("new?size=10000&offset=4096",
					 LIBUFFD_STORE_CREATE);
	struct uffd_reason why;
	struct stat st;
	char buf[16];

	SAME(uffd_store_length(s), 10000);
	SAME(stat(path_of("new"), &st), 0);
	SAME(st.st_size, 14096);
	SAME(st.st_mode & 07777, 0600);
	SAME(uffd_store_read(s, 9990, buf, 10), 0);
	CHECK(!memcmp(buf, "\0\0\0\0\0\0\0\0\0\0", 10));
	SAME(uffd_store_write(s, 0, "kept", 4), 0);
	uffd_store_close(s);
	/* what is there is not made again */
	s = must_open("new?size=9999&offset=4096", LIBUFFD_STORE_CREATE);
	SAME(uffd_store_read(s, 0, buf, 4), 0);
	CHECK(!memcmp(buf, "kept", 4));
	uffd_store_close(s);
	SAME(try_open("new?size=20000", LIBUFFD_STORE_CREATE, &why, &s),
	     -EINVAL);
	CHECK(strstr(why.text, "14096 bytes") && strstr(why.text, "20000"));
	SAME(try_open("new?offset=14096", 0, &why, &s), -EINVAL);
	CHECK(strstr(why.text, "offset=14096"));
	/* what can't be made whole is not left in pieces */
	t.allocate_error = ENOSPC;
	SAME(try_open("full?size=1M&sparse=off", LIBUFFD_STORE_CREATE, &why,
		      &s), -ENOSPC);
	t.allocate_error = 0;
	CHECK(strstr(why.text, "full: No space"));
	SAME(stat(path_of("full"), &st), -1);
	s = must_open("dense?size=1M&sparse=off", LIBUFFD_STORE_CREATE);
	SAME(stat(path_of("dense"), &st), 0);
	CHECK(st.st_blocks >= 2048);
	uffd_store_close(s);
}

static void empty(void)
{
	struct uffd_reason why;
	struct uffd_store *s;

	make_file("empty", 0);
	SAME(try_open("empty", 0, &why, &s), -EINVAL);
	CHECK(strstr(why.text, "0 bytes"));
	if (mkfifo(path_of("fifo"), 0600))
		abort();
	SAME(try_open("fifo", LIBUFFD_STORE_RDONLY, &why, &s), -EINVAL);
	CHECK(strstr(why.text, "neither a file nor a block device"));
}

static void in_use(void)
{
	struct uffd_reason why;
	struct uffd_store *a, *b;
	int status;

	make_file("used", 3 * PAGE);
	a = must_open("used", 0);
	SAME(try_open("used", 0, &why, &b), -EBUSY);
	CHECK(strstr(why.text, "in use"));
	SAME(try_open("used", LIBUFFD_STORE_RDONLY, &why, &b), -EBUSY);
	if (fork() == 0)
		_exit(try_open("used", 0, NULL, &b) == -EBUSY ? 0 : 1);
	wait(&status);
	SAME(status, 0);
	uffd_store_close(a);
	a = must_open("used", LIBUFFD_STORE_RDONLY);
	b = must_open("used", LIBUFFD_STORE_RDONLY);
	uffd_store_close(b);
	SAME(try_open("used", 0, &why, &b), -EBUSY);
	uffd_store_close(a);
	/* parts that don't meet */
	a = must_open("used?size=4096", 0);
	b = must_open("used?offset=4096", 0);
	uffd_store_close(a);
	uffd_store_close(b);
}

static void direct(void)
{
	struct uffd_reason why;
	struct uffd_store *s;
	char buf[PAGE];

	make_file("plain", 3 * PAGE + 5);
	for (int i = 0; i < 2; i++) {
		t.no_direct = i == 0;
		t.no_direct_read = i == 1;
		SAME(try_open("plain?direct=on", 0, &why, &s), -EINVAL);
		CHECK(strstr(why.text, "no O_DIRECT"));
		s = must_open("plain", 0);
		SAME(uffd_store_read(s, PAGE, buf, PAGE), 0);
		CHECK(is_file(buf, PAGE, PAGE));
		uffd_store_close(s);
	}
	t.no_direct = t.no_direct_read = false;
}

/* ---- reading and writing --------------------------------------------------------------------- */

/* everything at every end, against the file itself */
static void try_end(uint64_t len, const char *keys, bool crumbs)
{
	char rest[80], *buf = aligned_alloc(PAGE, 4 * PAGE);
	struct uffd_store *s;
	int fd;

	make_file("end", len + 512);
	snprintf(rest, sizeof(rest), "end?size=%llu%s",
		 (unsigned long long)len, keys);
	s = must_open(rest, 0);
	t.crumbs = crumbs;
	memset(buf, 'x', 4 * PAGE);
	SAME(uffd_store_read(s, 0, buf, 4 * PAGE), 0);
	CHECK(is_file(buf, 0, len));
	for (uint64_t i = len; i < 4 * PAGE; i++)
		if (buf[i] && CHECK(!"zeros past the end"))
			break;
	memset(buf, 'w', len);
	SAME(uffd_store_write(s, 0, buf, len), 0);
	SAME(uffd_store_write(s, 0, buf, len + 1), -EINVAL);
	SAME(uffd_store_flush(s), 0);
	t.crumbs = false;
	uffd_store_close(s);
	fd = open(path_of("end"), O_RDONLY);
	SAME(pread(fd, buf, 4 * PAGE, 0), len + 512);
	for (uint64_t i = 0; i < len; i++)
		if (buf[i] != 'w' && CHECK(!"all is written"))
			break;
	CHECK(is_file(buf + len, len, 512));
	close(fd);
	free(buf);
}

static void ends(void)
{
	static const uint64_t lens[] = { 1, 511, 512, 513, 4095, 4096, 4097,
					 8191, 8192, 10000 };

	for (unsigned i = 0; i < NR(lens); i++) {
		try_end(lens[i], "", false);
		try_end(lens[i], "&direct=off", false);
	}
}

static void crumbs(void)
{
	try_end(10000, "", true);
	try_end(10000, "&direct=off", true);
	try_end(8192, "", true);
}

/* O_DIRECT does what it is for: nothing is left in the page cache */
static void past_cache(void)
{
	char *buf = aligned_alloc(PAGE, 4 * PAGE);
	struct uffd_store *s;
	struct uffd_reason why;
	unsigned char in[4];
	void *map;
	int fd;

	s = must_open("past?size=16K", LIBUFFD_STORE_CREATE);
	uffd_store_close(s);
	if (try_open("past?direct=on", 0, &why, &s)) {
		printf("# not tried: %s\n", why.text);
		free(buf);
		return;
	}
	memset(buf, 1, 4 * PAGE);
	SAME(uffd_store_write(s, 0, buf, 4 * PAGE), 0);
	SAME(uffd_store_read(s, 0, buf, 4 * PAGE), 0);
	fd = open(path_of("past"), O_RDONLY);
	map = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	SAME(mincore(map, 4 * PAGE, in), 0);
	CHECK(!((in[0] | in[1] | in[2] | in[3]) & 1));
	munmap(map, 4 * PAGE);
	close(fd);
	uffd_store_close(s);
	free(buf);
}

/* ---- holes ------------------------------------------------------------------------------------- */

static void holes(void)
{
	struct uffd_store *s = must_open("holes?size=1M&offset=8192",
					 LIBUFFD_STORE_CREATE);
	struct uffd_extent e[8];
	char *buf = aligned_alloc(PAGE, 1 << 16);
	struct stat before, after;

	CHECK(uffd_store_can(s) & LIBUFFD_STORE_CAN_EXTENTS);
	memset(buf, 1, 1 << 16);
	SAME(uffd_store_write(s, 1 << 17, buf, 1 << 16), 0);
	SAME(uffd_store_write(s, 1 << 19, buf, 1 << 16), 0);
	SAME(uffd_store_flush(s), 0);
	SAME(uffd_store_extents(s, 0, 2 << 20, e, 8), 5);
	CHECK(e[0].flags && e[0].len == 1 << 17);
	CHECK(!e[1].flags && e[1].len == 1 << 16);
	CHECK(e[4].flags && e[4].offset + e[4].len == 2 << 20);
	SAME(uffd_store_extents(s, (1 << 17) + 100, 50, e, 8), 1);
	CHECK(e[0].offset == (1 << 17) + 100 && e[0].len == 50 && !e[0].flags);
	stat(path_of("holes"), &before);
	SAME(uffd_store_discard(s, 1 << 17, 1 << 16), 0);
	stat(path_of("holes"), &after);
	CHECK(after.st_blocks < before.st_blocks);
	SAME(after.st_size, before.st_size);
	SAME(uffd_store_extents(s, 0, 1 << 20, e, 8), 3);
	/* where no hole can be punched, zeros are written */
	t.punch_error = EOPNOTSUPP;
	SAME(uffd_store_discard(s, (1 << 19) + 1, 1 << 15), 0);
	t.punch_error = 0;
	SAME(uffd_store_read(s, 1 << 19, buf, 1 << 16), 0);
	CHECK(buf[0] == 1 && !buf[1] && !buf[1 << 15] && buf[(1 << 15) + 1]);
	uffd_store_close(s);
	free(buf);
}

/* ---- what is lost is not zeros ------------------------------------------------------------------- */

static void shorter(void)
{
	struct uffd_store *s;
	struct uffd_extent e;
	char *buf = aligned_alloc(PAGE, 4 * PAGE);

	for (int i = 0; i < 4; i++) {
		make_file("short", 4 * PAGE);
		s = must_open(i % 2 ? "short" : "short?direct=off", 0);
		SAME(uffd_store_read(s, 0, buf, 4 * PAGE), 0);
		if (truncate(path_of("short"), 2 * PAGE + 100))
			abort();
		SAME(uffd_store_read(s, PAGE, buf, PAGE), 0);
		if (i / 2)
			SAME(uffd_store_read(s, PAGE, buf, 2 * PAGE), -EIO);
		else
			SAME(uffd_store_write(s, 3 * PAGE, buf, PAGE), -EIO);
		/* longer again is not what it was */
		if (truncate(path_of("short"), 4 * PAGE))
			abort();
		SAME(uffd_store_read(s, 2 * PAGE, buf, PAGE), -EIO);
		SAME(uffd_store_write(s, 0, buf, PAGE), -EIO);
		SAME(uffd_store_discard(s, 0, PAGE), -EIO);
		SAME(uffd_store_extents(s, 0, PAGE, &e, 1), -EIO);
		uffd_store_close(s);
	}
	free(buf);
}

static void full(void)
{
	struct uffd_store *s = must_open("enospc?size=64K",
					 LIBUFFD_STORE_CREATE);
	char *buf = aligned_alloc(PAGE, PAGE);

	memset(buf, 1, PAGE);
	t.write_error = ENOSPC;
	SAME(CALL(uffd_store_write(s, 0, buf, PAGE)), -ENOSPC);
	t.write_error = 0;
	SAME(CALL(uffd_store_write(s, 0, buf, PAGE)), 0);
	SAME(uffd_store_flush(s), 0);
	uffd_store_close(s);
	free(buf);
}

static void flushes(void)
{
	struct uffd_store *s = must_open("sync?size=64K", LIBUFFD_STORE_CREATE);

	t.sync_error = EINTR;
	SAME(uffd_store_flush(s), 0);
	t.sync_error = EIO;
	SAME(CALL(uffd_store_flush(s)), -EIO);
	/* the kernel would say yes now, and the bytes are gone */
	SAME(uffd_store_flush(s), -EIO);
	uffd_store_close(s);
	s = must_open("sync", 0);
	SAME(uffd_store_flush(s), 0);
	uffd_store_close(s);
}

/* ---- block devices ------------------------------------------------------------------------------- */

/* a loop device over a file, or -1; name gets its path */
static int make_device(const char *file, char *name, size_t cap)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int nr = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int fd = open(path_of(file), O_RDWR | O_CLOEXEC), loop = -1;

	if (nr >= 0) {
		snprintf(name, cap, "/dev/loop%d", nr);
		loop = open(name, O_RDWR | O_CLOEXEC);
	}
	if (loop >= 0 && ioctl(loop, LOOP_SET_FD, fd)) {
		close(loop);
		loop = -1;
	}
	close(control);
	close(fd);
	return loop;
}

static void use_device(struct uffd_store *s)
{
	char *buf = aligned_alloc(PAGE, 4 * PAGE);

	SAME(uffd_store_length(s), 3 * PAGE + 512);
	SAME(uffd_store_can(s) & LIBUFFD_STORE_CAN_EXTENTS, 0);
	SAME(uffd_store_read(s, 0, buf, 4 * PAGE), 0);
	CHECK(is_file(buf, 0, 3 * PAGE + 512));
	CHECK(!buf[3 * PAGE + 512] && !buf[4 * PAGE - 1]);
	memset(buf, 'w', PAGE);
	SAME(uffd_store_write(s, 3 * PAGE, buf, 512), 0);
	SAME(uffd_store_write(s, PAGE, buf, PAGE), 0);
	SAME(uffd_store_write(s, 3 * PAGE, buf, 513), -EINVAL);
	SAME(uffd_store_discard(s, 100, PAGE), 0);
	SAME(uffd_store_flush(s), 0);
	SAME(uffd_store_read(s, 0, buf, 4 * PAGE), 0);
	CHECK(is_file(buf, 0, 100) && !buf[100] && !buf[PAGE + 99]);
	CHECK(buf[PAGE + 100] == 'w' && buf[3 * PAGE + 511] == 'w');
	free(buf);
}

static void device(void)
{
	char name[32], uri[48];
	struct uffd_store *s;
	int loop;

	make_file("disk", 3 * PAGE + 512);
	loop = make_device("disk", name, sizeof(name));
	if (loop < 0) {
		printf("# not tried: needs root and loop devices\n");
		return;
	}
	snprintf(uri, sizeof(uri), "file:%s", name);
	if (SAME(uffd_store_open(uri, 0, NULL, &s), 0)) {
		use_device(s);
		uffd_store_close(s);
	}
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
}

static const struct promise promises[] = {
	{ "a file is made once, whole or not at all", create },
	{ "an empty file and a FIFO are refused", empty },
	{ "one writer or several readers, in all processes", in_use },
	{ "without O_DIRECT it goes without, or is refused", direct },
	{ "any end, with O_DIRECT and without", ends },
	{ "short and interrupted calls go on", crumbs },
	{ "O_DIRECT leaves nothing in the page cache", past_cache },
	{ "holes are known, and made by discarding", holes },
	{ "a file that became shorter gives errors, never zeros", shorter },
	{ "a full disk is told, and goes on when there is room", full },
	{ "a flush that failed stays failed", flushes },
	{ "a block device, to its last sector", device },
};

int main(void)
{
	return keep_in_bed(promises, NR(promises));
}
