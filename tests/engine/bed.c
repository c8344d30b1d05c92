/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bed.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#define HUGE_2M (21u << 26)
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

/* ---- huge pages: a few more for us, and back ------------------------------------ */

static long pool_read(void)
{
	FILE *f = fopen(POOL, "re");
	long nr = -1;

	if (f) {
		if (fscanf(f, "%ld", &nr) != 1)
			nr = -1;
		fclose(f);
	}
	return nr;
}

static void pool_add(long more)
{
	long nr = pool_read();
	FILE *f = nr < 0 ? NULL : fopen(POOL, "we");

	if (f) {
		fprintf(f, "%ld\n", nr + more);
		fclose(f);
	}
}

/* ---- memory ------------------------------------------------------------------------ */

static void *map(uint64_t len, int flags, int fd)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static const char *map_file(struct bed *b)
{
	unsigned flags = b->memory == BED_HUGE ? MFD_HUGETLB | HUGE_2M : 0;

	if (b->memory == BED_HUGE) {
		b->huge_taken = (unsigned)(b->len / b->page) + 1;
		pool_add(b->huge_taken);
	}
	b->fd = memfd_create("bed", MFD_CLOEXEC | flags);
	if (b->fd < 0 || ftruncate(b->fd, (off_t)b->len) < 0)
		return "no memory file of that kind";
	b->at = map(b->len, MAP_SHARED, b->fd);
	b->alias = map(b->len, MAP_SHARED, b->fd);
	return b->at && b->alias ? NULL : "no free huge pages (2 MiB)";
}

const char *bed_memory(struct bed *b, enum bed_memory memory,
		       unsigned nr_pages)
{
	const char *why = NULL;

	pthread_mutex_init(&b->lock, NULL);
	b->fd = -1;
	b->memory = memory;
	b->page = memory == BED_HUGE ? 2 << 20 : (uint64_t)getpagesize();
	b->len = nr_pages * b->page;
	if (memory == BED_PRIVATE) {
		b->at = map(b->len, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		if (b->at)
			madvise(b->at, b->len, MADV_NOHUGEPAGE);
	} else {
		why = map_file(b);
	}
	b->data = map(b->len, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (!why && (!b->at || !b->data))
		why = "no memory";
	for (unsigned i = 0; !why && i < nr_pages; i++)
		memset(b->data + i * b->page, bed_value(i), b->page);
	return why;
}

static void unmap(uint8_t *at, uint64_t len)
{
	if (at)
		munmap(at, len);
}

void bed_close(struct bed *b)
{
	uffd_engine_free(b->e);
	unmap(b->at, b->len);
	unmap(b->alias, b->len);
	unmap(b->data, b->len);
	if (b->fd >= 0)
		close(b->fd);
	if (b->huge_taken)
		pool_add(-(long)b->huge_taken);
	*b = (struct bed){ .fd = -1 };
}

/* ---- the engine ------------------------------------------------------------------------ */

static int answer(void *user, const struct uffd_fault *f,
		  struct uffd_answer *ret)
{
	struct bed *b = user;
	bed_hook *hook = b->hook;
	unsigned n;

	pthread_mutex_lock(&b->lock);
	n = b->nr_asked;
	if (n < BED_ASKED)
		b->asked[n] = *f;
	b->nr_asked = n + 1;
	pthread_mutex_unlock(&b->lock);
	if (hook && hook(b, f, ret))
		return 0;
	if (b->error)
		return b->error;
	ret->action = b->action;
	if (b->widen) {
		ret->start = f->ahead_start;
		ret->len = f->ahead_len;
	}
	if (ret->action == LIBUFFD_DO_COPY || ret->action == LIBUFFD_DO_MOVE)
		ret->src = b->data + (ret->start - (uintptr_t)b->at);
	return 0;
}

static void failed(void *user, const struct uffd_failure *failure)
{
	struct bed *b = user;

	pthread_mutex_lock(&b->lock);
	if (b->nr_failed < BED_FAILED)
		b->failed[b->nr_failed] = *failure;
	b->nr_failed++;
	pthread_mutex_unlock(&b->lock);
}

static void event(void *user, const struct uffd_event *ev)
{
	struct bed *b = user;

	if (ev->fork_fd >= 0)
		close(ev->fork_fd);
	pthread_mutex_lock(&b->lock);
	if (b->nr_events < BED_EVENTS)
		b->events[b->nr_events] = *ev;
	b->nr_events++;
	pthread_mutex_unlock(&b->lock);
}

struct uffd_fault bed_asked(struct bed *b, unsigned n)
{
	struct uffd_fault f = { .nr = 0 };

	pthread_mutex_lock(&b->lock);
	if (n < b->nr_asked && n < BED_ASKED)
		f = b->asked[n];
	pthread_mutex_unlock(&b->lock);
	return f;
}

struct uffd_failure bed_failed(struct bed *b, unsigned n)
{
	struct uffd_failure f = { .error = 0 };

	pthread_mutex_lock(&b->lock);
	if (n < b->nr_failed && n < BED_FAILED)
		f = b->failed[n];
	pthread_mutex_unlock(&b->lock);
	return f;
}

struct uffd_event bed_event(struct bed *b, unsigned n)
{
	struct uffd_event ev = { .kind = LIBUFFD_EVENT_UNKNOWN };

	pthread_mutex_lock(&b->lock);
	if (n < b->nr_events && n < BED_EVENTS)
		ev = b->events[n];
	pthread_mutex_unlock(&b->lock);
	return ev;
}

int bed_engine(struct bed *b, struct uffd_engine_opts *opts, uint64_t mode,
	       uint64_t ahead_max)
{
	struct uffd_range_opts range = {
		.sz = sizeof(range),
		.start = (uintptr_t)b->at,
		.len = b->len,
		.mode = mode,
		.page_size = b->page,
		.ahead_max = ahead_max,
		.fault = answer,
		.user = b,
	};
	int err;

	opts->sz = sizeof(*opts);
	opts->failed = failed;
	if (opts->need || opts->want)
		opts->event = event;
	opts->user = b;
	b->kind = opts->kind;
	err = uffd_engine_new(opts, &b->e);
	return err ? err : uffd_engine_add(b->e, &range);
}

bool bed_open(struct bed *b, enum uffd_engine_kind kind, unsigned nr_pages,
	      enum uffd_action action)
{
	struct uffd_engine_opts opts = { .kind = kind };
	const char *why;
	int err;

	*b = (struct bed){ .action = action };
	why = bed_memory(b, BED_PRIVATE, nr_pages);
	err = why ? -ENOMEM :
		    bed_engine(b, &opts, UFFDIO_REGISTER_MODE_MISSING, 0);
	if (err)
		printf("# no test bed: %s\n", why ? why : strerror(-err));
	return !err;
}

/* ---- looking ------------------------------------------------------------------------------ */

void bed_stats(const struct bed *b, struct uffd_engine_stats *ret)
{
	struct uffd_engine_stats before;

	uffd_engine_stats(b->e, ret);
	do {
		before = *ret;
		nap_ms(20);
		uffd_engine_stats(b->e, ret);
	} while (memcmp(&before, ret, sizeof(before)) != 0);
}

uint8_t bed_read(const struct bed *b, uint64_t page)
{
	return __atomic_load_n(b->at + page * b->page, __ATOMIC_RELAXED);
}

void bed_write(const struct bed *b, uint64_t page, uint8_t value)
{
	__atomic_store_n(b->at + page * b->page, value, __ATOMIC_RELAXED);
}

static bool holds(const struct bed *b, uint64_t page, uint8_t value)
{
	const uint8_t *at = b->at + page * b->page;

	return __atomic_load_n(at, __ATOMIC_RELAXED) == value &&
	       __atomic_load_n(at + b->page - 1, __ATOMIC_RELAXED) == value;
}

bool bed_holds(const struct bed *b, uint64_t page)
{
	return holds(b, page, bed_value(page));
}

bool bed_zero(const struct bed *b, uint64_t page)
{
	return holds(b, page, 0);
}

bool bed_present(const struct bed *b, uint64_t page)
{
	uint64_t addr = (uintptr_t)b->at + page * b->page, entry = 0;
	int fd = uffd_pagemap_open(0);
	ssize_t n = pread(fd, &entry, sizeof(entry),
			  (off_t)(addr / (uint64_t)getpagesize() * 8));

	close(fd);
	return n == sizeof(entry) && (entry >> 63);
}

/* ---- other threads -------------------------------------------------------------------------- */

static void *touch(void *arg)
{
	struct toucher *t = arg;

	atomic_store(&t->tid, (uint32_t)syscall(SYS_gettid));
	if (t->write)
		bed_write(t->b, t->page, 0x5a);
	t->got = bed_read(t->b, t->page);
	atomic_store(&t->done, true);
	return NULL;
}

bool touch_begin(struct toucher *t, const struct bed *b, uint64_t page,
		 bool write)
{
	*t = (struct toucher){ .b = b, .page = page, .write = write };
	return pthread_create(&t->thread, NULL, touch, t) == 0;
}

void touch_end(struct toucher *t)
{
	pthread_join(t->thread, NULL);
}

void nap_ms(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
			      .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

bool soon(bool (*so)(void *data), void *data)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (so(data))
			return true;
		nap_ms(1);
	}
	return false;
}

struct counting {
	_Atomic unsigned *count;
	unsigned least;
};

static bool counted(void *data)
{
	const struct counting *c = data;

	return atomic_load(c->count) >= c->least;
}

bool soon_count(_Atomic unsigned *count, unsigned least)
{
	struct counting c = { count, least };

	return soon(counted, &c);
}

struct waiting {
	const struct bed *b;
	unsigned nr;
};

static bool waits(void *data)
{
	const struct waiting *w = data;
	struct uffd_fdinfo info;

	return uffd_fdinfo(0, uffd_engine_fd(w->b->e), &info) == 0 &&
	       info.total >= w->nr;
}

bool soon_waiting(const struct bed *b, unsigned nr)
{
	struct waiting w = { b, nr };

	return soon(waits, &w);
}

int run_again(const char *arg1, const char *arg2)
{
	char *argv[] = { (char *)"again", (char *)arg1, (char *)arg2, NULL };
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return status;
}

/* ---- what there is in this process ------------------------------------------------------------ */

unsigned count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned nr = 0;

	while (d && readdir(d))
		nr++;
	if (d)
		closedir(d);
	return nr;
}

/* the next thread of that name, or 0 */
static pid_t next_named(DIR *d, const char *name)
{
	struct dirent *entry;
	char path[300], text[32];

	while ((entry = readdir(d)) != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
			 entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (!fgets(text, sizeof(text), f))
			text[0] = '\0';
		fclose(f);
		text[strcspn(text, "\n")] = '\0';
		if (strcmp(text, name) == 0)
			return (pid_t)atoi(entry->d_name);
	}
	return 0;
}

unsigned count_threads_named(const char *name)
{
	DIR *d = opendir("/proc/self/task");
	unsigned nr = 0;

	while (d && next_named(d, name))
		nr++;
	if (d)
		closedir(d);
	return nr;
}

bool affinity_of_thread(const char *name, cpu_set_t *ret)
{
	DIR *d = opendir("/proc/self/task");
	pid_t tid = d ? next_named(d, name) : 0;

	if (d)
		closedir(d);
	return tid && sched_getaffinity(tid, sizeof(*ret), ret) == 0;
}

bool under_tsan(void)
{
#if defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}
