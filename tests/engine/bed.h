/* SPDX-License-Identifier: MIT */
/*
 * A test bed: memory of some kind, an engine, a fault function that does what
 * the test says and writes down what it was asked.
 */
#ifndef TESTS_ENGINE_BED_H
#define TESTS_ENGINE_BED_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uffd/engine.h>

#define BED_ASKED 4096
#define BED_FAILED 64
#define BED_EVENTS 64

enum bed_memory {
	BED_PRIVATE,
	BED_MEMFD,
	BED_HUGE,	/* hugetlb, 2 MiB, shared */
};

struct bed;
typedef bool bed_hook(struct bed *b, const struct uffd_fault *f,
		      struct uffd_answer *ret);

struct bed {
	enum uffd_engine_kind kind;
	struct uffd_engine *e;
	enum bed_memory memory;
	uint8_t *at;		/* the range */
	uint8_t *alias;		/* the same memory, not served; or NULL */
	uint64_t len;
	uint64_t page;
	int fd;
	unsigned huge_taken;	/* huge pages that we added to the pool */

	/* what the fault function answers */
	_Atomic enum uffd_action action;
	_Atomic int error;	/* or this instead */
	uint8_t *_Atomic data;	/* page i of the range gets data of page i */
	_Atomic bool widen;	/* answer with ahead_* */
	/* called first, if not NULL; true: *ret is answered already */
	_Atomic(bed_hook *) hook;
	void *_Atomic hook_data;

	/* what was asked and told, by several threads perhaps */
	pthread_mutex_t lock;
	_Atomic unsigned nr_asked;
	struct uffd_fault asked[BED_ASKED];
	_Atomic unsigned nr_failed;
	struct uffd_failure failed[BED_FAILED];
	_Atomic unsigned nr_events;
	struct uffd_event events[BED_EVENTS];
};

/* the nth of them; all zero if there is none */
struct uffd_fault bed_asked(struct bed *b, unsigned n);
struct uffd_failure bed_failed(struct bed *b, unsigned n);
struct uffd_event bed_event(struct bed *b, unsigned n);

/* what page i is filled with */
static inline uint8_t bed_value(uint64_t i)
{
	return (uint8_t)(i % 251 + 1);
}

/* Memory of nr_pages, filled source, no engine yet. NULL, or why not. */
const char *bed_memory(struct bed *b, enum bed_memory memory,
		       unsigned nr_pages);
/* An engine over it, with the range added. 0 or -errno. */
int bed_engine(struct bed *b, struct uffd_engine_opts *opts, uint64_t mode,
	       uint64_t ahead_max);
/* Both, with private memory and default options; true if it went well. */
bool bed_open(struct bed *b, enum uffd_engine_kind kind, unsigned nr_pages,
	      enum uffd_action action);
void bed_close(struct bed *b);

/* Counters that don't change any more: a thread that was woken may look before
 * the handler has counted. */
void bed_stats(const struct bed *b, struct uffd_engine_stats *ret);

/* the first byte of a page, by a real access */
uint8_t bed_read(const struct bed *b, uint64_t page);
void bed_write(const struct bed *b, uint64_t page, uint8_t value);
/* first and last byte of the page are what they should be */
bool bed_holds(const struct bed *b, uint64_t page);
bool bed_zero(const struct bed *b, uint64_t page);
/* Is there a page at that address now? Without touching it. */
bool bed_present(const struct bed *b, uint64_t page);

/* Touch in another thread; join waits for it. */
struct toucher {
	pthread_t thread;
	const struct bed *b;
	uint64_t page;
	bool write;
	uint8_t got;
	_Atomic uint32_t tid;
	_Atomic bool done;
};
bool touch_begin(struct toucher *t, const struct bed *b, uint64_t page,
		 bool write);
void touch_end(struct toucher *t);

/* Wait until it is so, a few seconds at most; false: it never was. */
bool soon(bool (*so)(void *data), void *data);
bool soon_count(_Atomic unsigned *count, unsigned least);
/* so many threads sleep in a fault of this engine, read or not */
bool soon_waiting(const struct bed *b, unsigned nr);
void nap_ms(unsigned ms);

/* Run this program again, with these arguments, as a process without a past:
 * how it ended, as wait(2) says; -1: not at all. */
int run_again(const char *arg1, const char *arg2);

unsigned count_entries(const char *dir);
unsigned count_threads_named(const char *name);
/* the affinity of the first thread of that name; false: none */
bool affinity_of_thread(const char *name, cpu_set_t *ret);

bool under_tsan(void);

#endif
