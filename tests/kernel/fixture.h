/* SPDX-License-Identifier: MIT */
/*
 * Promises of the kernel and of the library's kernel layer, kept one by one on
 * each kind of memory that they hold for.
 *
 * Every promise runs in a process of its own: a thread that is never woken, a
 * SIGBUS nobody expected or a deadlock ends that process and not the others.
 * A check that fails ends it at once. So nothing needs cleaning up, and helper
 * functions and threads may check as well.
 */
#ifndef TESTS_KERNEL_FIXTURE_H
#define TESTS_KERNEL_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <uffd/kernel.h>
#include <unistd.h>

/* ---- kinds of memory ---------------------------------------------------- */

enum {
	ANON = 1 << 0,			/* private, anonymous */
	SHARED = 1 << 1,		/* shared, anonymous */
	MEMFD = 1 << 2,
	MEMFD_PRIVATE = 1 << 3,
	HUGE = 1 << 4,			/* hugetlb, 2 MiB, shared */
	HUGE_PRIVATE = 1 << 5,
	NR_MEMORY = 6,

	SHMEM = SHARED | MEMFD | MEMFD_PRIVATE,
	HUGETLB = HUGE | HUGE_PRIVATE,
	SMALL = ANON | SHMEM,
	CACHED = SHMEM | HUGETLB,	/* a page cache is behind it */
	WITH_FILE = MEMFD | MEMFD_PRIVATE | HUGETLB,
	TO_ALL = SHARED | MEMFD | HUGE,	/* what is written, all can see */
	TO_ONE = ANON | MEMFD_PRIVATE | HUGE_PRIVATE,
	ALL = SMALL | HUGETLB,
};

struct memory {
	const char *name;
	unsigned is;			/* one of the above */
};

const struct memory *memory_kind(unsigned n);	/* NULL past the last */

struct area {
	char *p;
	uint64_t at;			/* the same as a number */
	uint64_t page;
	uint64_t len;
	unsigned is;
	int fd;				/* of the file behind it, or -1 */
};

/* Map nr pages, none of them there yet. Skips if no huge page is free. */
struct area map_area(const struct memory *m, unsigned nr);
/* map other pages of the same file, or of the same kind */
char *map_alias(const struct area *a);
/* nr bytes of resident memory, all c, at a page's start */
char *bytes_of(char c, size_t nr);
/* normal private memory */
char *map_anon(size_t len);
/* Skips if a file lies in memory. */
void need_regular(int file);

bool all_are(const char *p, char c, size_t len);
static inline char *page_of(const struct area *a, unsigned n)
{
	return a->p + n * a->page;
}
static inline uint64_t at_page(const struct area *a, unsigned n)
{
	return a->at + n * a->page;
}

/* ---- promises ----------------------------------------------------------- */

enum {
	NEED_ROOT = 1 << 0,
	NEED_FORK = 1 << 1,		/* may EVENT_FORK be enabled? */
	NEED_KERNEL_FAULTS = 1 << 2,
	NEED_SCAN = 1 << 3,
	NEED_WP = 1 << 4,		/* for the memory at hand */
	NEED_MINOR = 1 << 5,
	NEED_LIFT = 1 << 6,
	NEED_DROP = 1 << 7,		/* MADV_DONTNEED; hugetlb: 5.18 */
	NEED_MREMAP = 1 << 8,		/* hugetlb: 5.16 */
	NEED_USER_ONLY = 1 << 9,
	NEED_WP_BIT = 1 << 10,		/* protection seen in pagemap */
};

struct promise {
	const char *text;
	void (*keep)(const struct memory *m);
	unsigned memory;	/* kept once for each; 0: once, m is NULL */
	unsigned needs;
	uint64_t features;	/* UFFD_FEATURE_* that must be there */
};

/* main: -l lists, -f TEXT keeps only those whose line has TEXT in it */
int keep_all(const struct promise *promises, unsigned nr, int argc,
	     char **argv);

#define NR(array) (sizeof(array) / sizeof((array)[0]))

#define MAIN(promises) \
	int main(int argc, char **argv) \
	{ \
		return keep_all(promises, NR(promises), argc, argv); \
	}

/* This promise can't be kept or broken here. */
__attribute__((noreturn, format(printf, 1, 2)))
void skip(const char *why, ...);

__attribute__((noreturn))
void broken(const char *what, const char *file, int line);
void same(long long got, long long want, const char *what, const char *file,
	  int line);

#define CHECK(what) ((what) ? (void)0 : broken(#what, __FILE__, __LINE__))
#define SAME(got, want) \
	same((long long)(got), (long long)(want), #got " == " #want, __FILE__, \
	     __LINE__)

/* ---- descriptors and messages ------------------------------------------- */

/* nothing in here takes longer, whatever else the machine does */
#define LIMIT_MS 60000

int open_uffd(uint64_t features);
bool kernel_has(uint64_t features);
/* addresses for something as large and as aligned as the area */
char *place_for(const struct area *a);
void watch(int fd, const struct area *a, uint64_t mode);

/* the next message: waits for it */
struct uffd_event next_event(int fd);
/* is no message there? */
bool silent(int fd);
/* threads that wait for a page, whether their message was read or not */
unsigned waiters(int fd);
void await_waiters(int fd, unsigned nr);
/* Fill while the layout may still be changing; what it said in the end. */
int64_t copy_when_quiet(int fd, uint64_t at, const void *src, uint64_t len);

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define WP UFFDIO_REGISTER_MODE_WP
#define MINOR UFFDIO_REGISTER_MODE_MINOR

/* ---- threads and processes ---------------------------------------------- */

struct actor {
	void (*act)(void *arg);
	void *arg;
	pthread_t thread;
	atomic_int tid;			/* 0 until it runs */
	atomic_bool over;
};

void start(struct actor *actor, void (*act)(void *arg), void *arg);
/* wait for its end */
void finish(struct actor *actor);
/* Wait until it waits for something; false if it came to its end instead. */
bool falls_asleep(struct actor *actor);

/* one access to memory, in a thread of its own */
struct touch {
	volatile char *p;
	bool write;
	char value;			/* to write; or what was read */
	struct actor actor;
};

void touch_read(struct touch *t, char *p);
void touch_write(struct touch *t, char *p, char value);
/* wait for its end; what was read or written */
char touched(struct touch *t);

/* One access in this thread. 0, or the signal that it raised. */
int try_touch(char *p, bool write, siginfo_t *ret);

/* A child process that runs fn, and then exits with 0. */
pid_t start_child(void (*fn)(void *arg), void *arg);
/* Wait for the end of a child: its wait status. */
int end_of(pid_t child);

/* entries of /proc/self/fd */
unsigned nr_fds(void);

/* a bit of /proc/self/pagemap */
bool pagemap_bit(const void *p, unsigned bit);
#define PAGEMAP_UFFD_WP 57
#define PAGEMAP_PRESENT 63

#endif
