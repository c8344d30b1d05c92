/* SPDX-License-Identifier: MIT */
/*
 * The file store: any offset, any end, and no byte that was lost reads as
 * zero. Some calls of the library come to this test first, by ld --wrap.
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uffd/store.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "../seam/promise.h"
#include "dir.h"
#include "rnd.h"

#define PAGE 4096u

/* what the wrapped calls do; they have no argument for it */
static struct {
	struct dir dir;
	bool crumbs;		/* reads and writes are short, or interrupted */
	unsigned turn;
	int write_error;	/* of every write */
	int sync_error;		/* of the next fdatasync */
	int allocate_error;	/* of posix_fallocate */
	int punch_error;	/* of fallocate */
	bool no_direct;		/* O_DIRECT can't be opened ... */
	bool no_direct_read;	/* ... or not read */
	bool no_uring;
	bool cancels;		/* requests in flight are interrupted */
	bool refuses;		/* or not taken */
} t;

/* ---- the wrapped calls ------------------------------------------------------------------ */

#define WRAP(type, name, params) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params

static int fail(int error)
{
	errno = error;
	return -1;
}

/* all of it, a part, or an interruption; O_DIRECT wants its sectors */
static size_t crumb(int fd, size_t len)
{
	if (!t.crumbs || len < 2)
		return len;
	if (++t.turn % 3 == 0)
		return 0;
	if (!(fcntl(fd, F_GETFL) & O_DIRECT))
		return 1 + t.turn * 7 % (len - 1);
	return len > PAGE ? len / PAGE / 2 * PAGE + PAGE : len;
}

WRAP(ssize_t, pread64, (int fd, void *buf, size_t len, off_t at))
{
	size_t n = crumb(fd, len);

	if (t.no_direct_read && fcntl(fd, F_GETFL) & O_DIRECT)
		return fail(EINVAL);
	return n ? __real_pread64(fd, buf, n, at) : fail(EINTR);
}

WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at))
{
	size_t n = crumb(fd, len);

	if (t.write_error)
		return fail(t.write_error);
	return n ? __real_pwrite64(fd, buf, n, at) : fail(EINTR);
}

WRAP(int, fdatasync, (int fd))
{
	int error = t.sync_error;

	t.sync_error = 0;
	return error ? fail(error) : __real_fdatasync(fd);
}

WRAP(int, posix_fallocate64, (int fd, off_t at, off_t len))
{
	return t.allocate_error ? t.allocate_error :
				  __real_posix_fallocate64(fd, at, len);
}

WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t len))
{
	return t.punch_error ? fail(t.punch_error) :
			       __real_fallocate64(fd, mode, at, len);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
	va_end(list);
	if (t.no_direct && flags & O_DIRECT)
		return fail(EINVAL);
	return __real_open64(path, flags, mode);
}

#ifdef HAVE_LIBURING
WRAP(int, io_uring_queue_init, (unsigned nr, struct io_uring *ring,
				unsigned flags))
{
	return t.no_uring ? -EPERM :
			    __real_io_uring_queue_init(nr, ring, flags);
}

/* have the kernel answer the request that was queued last with an error,
 * which it does since 6.10; before, it answers -EINVAL */
static void inject(struct io_uring *ring, int error)
{
	unsigned last = (ring->sq.sqe_tail - 1) & *ring->sq.kring_mask;
	struct io_uring_sqe *sqe = &ring->sq.sqes[last];
	uint64_t data = sqe->user_data;

	io_uring_prep_nop(sqe);
	sqe->user_data = data;
	sqe->rw_flags = 1; /* IORING_NOP_INJECT_RESULT */
	sqe->len = (unsigned)error;
}

static void shorten(struct io_uring *ring)
{
	unsigned last = (ring->sq.sqe_tail - 1) & *ring->sq.kring_mask;
	struct io_uring_sqe *sqe = &ring->sq.sqes[last];

	sqe->len = (unsigned)crumb(sqe->fd, sqe->len) ?: sqe->len;
}

WRAP(int, io_uring_submit, (struct io_uring *ring))
{
	static const int errors[] = { -ECANCELED, -EINTR, -EAGAIN };

	if (t.crumbs)
		shorten(ring);
	if (t.cancels && ++t.turn % 3 == 0)
		inject(ring, errors[t.turn / 3 % 3]);
	if (t.refuses && ++t.turn % 3 == 0)
		return -EAGAIN;
	return __real_io_uring_submit(ring);
}
#endif

/* ---- tools ------------------------------------------------------------------------------- */

static char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", t.dir.path, name);
	return path;
}

static int try_open(const char *rest, unsigned flags, struct uffd_reason *why,
		    struct uffd_store **ret)
{
	char uri[PATH_MAX + 8];

	snprintf(uri, sizeof(uri), "file:%s/%s", t.dir.path, rest);
	*ret = NULL;
	return uffd_store_open(uri, flags, why, ret);
}

static struct uffd_store *must_open(const char *rest, unsigned flags)
{
	struct uffd_reason why;
	struct uffd_store *s;

	if (try_open(rest, flags, &why, &s)) {
		printf("Bail out! %s\n", why.text);
		dir_remove(&t.dir);
		exit(1);
	}
	return s;
}

/* a file of len bytes, each of which is its place's */
static char byte_at(uint64_t at)
{
	return (char)(at * 131 + at / PAGE + 1);
}

static void make_file(const char *name, uint64_t len)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *bytes = malloc(len);

	for (uint64_t i = 0; i < len; i++)
		bytes[i] = byte_at(i);
	if (__real_pwrite64(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	free(bytes);
	close(fd);
}

static bool is_file(const char *buf, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte_at(at + i))
			return false;
	return true;
}

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

/* ---- in flight ------------------------------------------------------------------------------------ */

#define NR_IOS 100u

struct batch {
	struct uffd_store *store;
	struct uffd_io io[NR_IOS];
	char *bufs;
	unsigned nr_done;
	int error;
};

static void batch_done(struct uffd_io *io, int error)
{
	struct batch *b = io->user;

	b->nr_done++;
	if (error)
		b->error = error;
}

/* every page of a file of NR_IOS pages, and the end */
static void *submit_all(void *data)
{
	struct batch *b = data;

	for (unsigned i = 0; i < NR_IOS; i++) {
		b->io[i] = (struct uffd_io){
			.op = LIBUFFD_IO_READ,
			.flags = i % 2 ? LIBUFFD_IO_AHEAD : 0,
			.offset = i * PAGE,
			.len = PAGE,
			.buf = b->bufs + i * PAGE,
			.done = batch_done,
			.user = b,
		};
		while (uffd_store_submit(b->store, &b->io[i]) == -EAGAIN)
			uffd_store_dispatch(b->store);
	}
	return NULL;
}

static void land_all(struct batch *b)
{
	struct pollfd pfd = { uffd_store_fd(b->store), POLLIN, 0 };

	while (b->nr_done < NR_IOS && poll(&pfd, 1, 10000) > 0)
		uffd_store_dispatch(b->store);
	SAME(b->nr_done, NR_IOS);
}

static struct batch *batch_new(const char *rest)
{
	struct batch *b = calloc(1, sizeof(*b));

	make_file("many", NR_IOS * PAGE - 100);
	b->store = must_open(rest, 0);
	b->bufs = aligned_alloc(PAGE, NR_IOS * PAGE);
	return b;
}

static void batch_free(struct batch *b)
{
	uffd_store_close(b->store);
	free(b->bufs);
	free(b);
}

static void try_flight(const char *rest, bool ends)
{
	struct batch *b = batch_new(rest);
	pthread_t thread;

	if (ends) { /* what it has started goes on without it */
		pthread_create(&thread, NULL, submit_all, b);
		pthread_join(thread, NULL);
	} else {
		submit_all(b);
	}
	if (uffd_store_can(b->store) & LIBUFFD_STORE_CAN_SUBMIT)
		land_all(b);
	SAME(b->nr_done, NR_IOS);
	SAME(b->error, 0);
	CHECK(is_file(b->bufs, 0, NR_IOS * PAGE - 100));
	batch_free(b);
}

static void flight(void)
{
	try_flight("many", false);
	try_flight("many?direct=off", false);
	try_flight("many", true);
	try_flight("many?direct=off", true);
}

/* as try_flight, with something in the way of every third, the last too */
static int hindered(const char *rest, bool *how)
{
	struct batch *b = batch_new(rest);
	int error;

	*how = true;
	t.turn = 2;
	submit_all(b);
	if (uffd_store_can(b->store) & LIBUFFD_STORE_CAN_SUBMIT)
		land_all(b);
	*how = false;
	error = b->error;
	SAME(b->nr_done, NR_IOS);
	CHECK(error || is_file(b->bufs, 0, NR_IOS * PAGE - 100));
	batch_free(b);
	return error;
}

static void hindrances(void)
{
	int error;

	SAME(hindered("many?direct=off", &t.crumbs), 0);
	SAME(hindered("many", &t.crumbs), 0);
	SAME(hindered("many", &t.refuses), 0);
	/* as when the thread that started it ends */
	error = hindered("many", &t.cancels);
	if (error == -EINVAL)
		printf("# interruptions were not tried: needs Linux 6.10\n");
	else
		SAME(error, 0);
}

static void no_uring(void)
{
	struct batch *b;

	t.no_uring = true;
	b = batch_new("many");
	SAME(uffd_store_can(b->store) & LIBUFFD_STORE_CAN_SUBMIT, 0);
	SAME(uffd_store_fd(b->store), -1);
	submit_all(b);
	SAME(b->nr_done, NR_IOS);
	SAME(uffd_store_dispatch(b->store), 0);
	CHECK(is_file(b->bufs, 0, NR_IOS * PAGE - 100));
	batch_free(b);
	t.no_uring = false;
}

static void lost_in_flight(void)
{
	struct batch *b = batch_new("many");

	if (truncate(path_of("many"), 50 * PAGE))
		abort();
	submit_all(b);
	if (uffd_store_can(b->store) & LIBUFFD_STORE_CAN_SUBMIT)
		land_all(b);
	SAME(b->nr_done, NR_IOS);
	SAME(b->error, -EIO);
	batch_free(b);
}

static void forked(void)
{
	struct batch *b = batch_new("many");
	int status;

	if (fork() == 0) { /* the ring is the parent's; the file is not */
		submit_all(b);
		_exit(b->nr_done == NR_IOS && !b->error &&
		      is_file(b->bufs, 0, NR_IOS * PAGE - 100) ? 0 : 1);
	}
	wait(&status);
	SAME(status, 0);
	submit_all(b);
	if (uffd_store_can(b->store) & LIBUFFD_STORE_CAN_SUBMIT)
		land_all(b);
	SAME(b->error, 0);
	batch_free(b);
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
	{ "many requests, even of a thread that ends", flight },
	{ "requests in flight go on after short answers and interruptions",
	  hindrances },
	{ "without io_uring submit does it here and now", no_uring },
	{ "a shorter file is told in flight as well", lost_in_flight },
	{ "a child process reads without the parent's ring", forked },
};

int main(void)
{
	int status;

	dir_make(&t.dir);
	status = keep_all(promises, NR(promises));
	dir_remove(&t.dir);
	return status;
}
