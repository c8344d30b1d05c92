/* SPDX-License-Identifier: MIT */
/*
 * The sigbus engine: the thread that faults is told by SIGBUS, fills the page
 * in the signal handler, and goes on.
 *
 *   SIGBUS ──► in one of our ranges? ──► serve() ──► return: the access again
 *                   │ no, or "there is no such page"
 *                   └──► the handler that was there before us, or the default
 *
 * Everything here runs in signal handlers: no lock, no allocation, errno kept.
 */
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "engine.h"

/*
 * State of the process, because what it describes is the process's: there is
 * one disposition of SIGBUS, one handler before ours, and a signal handler has
 * nothing but an address to find its range by.
 */
static struct {
	struct table ranges;
	pthread_mutex_t lock;		/* of installing */
	bool installed;
	struct sigaction before;
	atomic_flag used;		/* it asked for SA_RESETHAND */
	uint32_t keys_at;		/* for resume() */
} sigbus = {
	.ranges = TABLE_INIT,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.used = ATOMIC_FLAG_INIT,
};

struct table *sigbus_table(void)
{
	return &sigbus.ranges;
}

/* ---- passing on ---------------------------------------------------------------- */

/* Raised by an access of this very thread, or sent from somewhere? */
static bool synchronous(const siginfo_t *info)
{
	return info->si_code == BUS_ADRALN || info->si_code == BUS_ADRERR ||
	       info->si_code == BUS_OBJERR || info->si_code == BUS_MCEERR_AR;
}

/*
 * What the default does: end the process. A synchronous one comes again by
 * itself when its instruction does, and the core then shows where; one that
 * was sent has to be sent once more.
 */
static void take_default(int sig, siginfo_t *info)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigaction(sig, &dfl, NULL);
	if (!synchronous(info))
		syscall(SYS_rt_tgsigqueueinfo, getpid(),
			(pid_t)syscall(SYS_gettid), sig, info);
}

/* Call the handler before ours as the kernel would have: with its mask. */
static void call_before(int sig, siginfo_t *info, void *ucontext)
{
	const struct sigaction *before = &sigbus.before;
	sigset_t mask = before->sa_mask;

	if (!(before->sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (before->sa_flags & SA_SIGINFO)
		before->sa_sigaction(sig, info, ucontext);
	else
		before->sa_handler(sig);
}

/* A handler with SA_RESETHAND is called once; after it comes the default. */
static bool used_up(void)
{
	return (sigbus.before.sa_flags & SA_RESETHAND) &&
	       atomic_flag_test_and_set(&sigbus.used);
}

static void pass_on(int sig, siginfo_t *info, void *ucontext)
{
	const struct sigaction *before = &sigbus.before;
	bool plain = !(before->sa_flags & SA_SIGINFO);
	bool ignored = plain && before->sa_handler == SIG_IGN;

	if (ignored && !synchronous(info))
		return;
	/* what its own access raises can't be ignored */
	if (ignored || (plain && before->sa_handler == SIG_DFL) || used_up())
		take_default(sig, info);
	else
		call_before(sig, info, ucontext);
}

/* ---- what the context tells ------------------------------------------------------ */

#if defined(__x86_64__)
static bool was_write(const ucontext_t *uc)
{
	return uc->uc_mcontext.gregs[REG_ERR] & 2;
}
#elif defined(__aarch64__)
/* among the records behind the registers, the one with the syndrome */
static bool was_write(const ucontext_t *uc)
{
	const uint32_t esr_magic = 0x45535201;
	const unsigned char *at = uc->uc_mcontext.__reserved;
	const unsigned char *end = at + sizeof(uc->uc_mcontext.__reserved);

	while (at + 16 <= end) {
		uint32_t head[2];
		uint64_t esr;

		memcpy(head, at, sizeof(head));
		if (head[0] == esr_magic) {
			memcpy(&esr, at + 8, sizeof(esr));
			return esr & (1u << 6);
		}
		if (head[0] == 0 || head[1] < 8)
			break;
		at += head[1];
	}
	return false;
}
#else
static bool was_write(const ucontext_t *uc)
{
	(void)uc;
	return false;
}
#endif

/*
 * Which kind of fault it is the signal does not say, and it need not where the
 * range has one mode only. With several, the page's state tells: a page that
 * is there was written to; one that is not is missing, or, in a range that
 * only waits for minor ones, in the page cache.
 */
static bool is_there(uint64_t page)
{
	unsigned char there = 0;
	int saved = errno;
	int err = mincore((void *)(uintptr_t)page, 1, &there);

	errno = saved;
	return err == 0 && (there & 1);
}

static uint64_t pagemap_entry(uint64_t addr)
{
	uint64_t entry = 0;
	int fd = uffd_pagemap_open(0);
	int saved = errno;

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry),
		  (off_t)(addr / (uint64_t)getpagesize() * sizeof(entry))) !=
	    (ssize_t)sizeof(entry))
		entry = 0;
	sys_close(fd);
	errno = saved;
	return entry;
}

#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_SWAP (UINT64_C(1) << 62)
#define PM_GUARD (UINT64_C(1) << 58)
#define PM_UFFD_WP (UINT64_C(1) << 57)

/* A poison marker shows as a page in swap that nobody protects. */
static bool is_poisoned(const struct range *r, uint64_t page)
{
	uint64_t entry;

	if (!atomic_load_explicit(&r->poisoned, memory_order_relaxed))
		return false;
	entry = pagemap_entry(page);
	return (entry & (PM_PRESENT | PM_SWAP | PM_GUARD | PM_UFFD_WP)) ==
	       PM_SWAP;
}

static enum uffd_event_kind kind_of(const struct range *r, uint64_t page,
				    bool write)
{
	const bool missing = r->mode & UFFDIO_REGISTER_MODE_MISSING;
	const bool minor = r->mode & UFFDIO_REGISTER_MODE_MINOR;
	const bool wp = r->mode & UFFDIO_REGISTER_MODE_WP;

	if (!wp && !(missing && minor))
		return minor ? LIBUFFD_FAULT_MINOR : LIBUFFD_FAULT_MISSING;
	if (wp && !missing && !minor)
		return LIBUFFD_FAULT_WP;
	if (wp && write && (pagemap_entry(page) & PM_PRESENT))
		return LIBUFFD_FAULT_WP;
	/* in swap it is not seen, but then filling it does not help */
	if (minor && (!missing || is_there(page) || doubt_any(r->e, page)))
		return LIBUFFD_FAULT_MINOR;
	return LIBUFFD_FAULT_MISSING;
}

/*
 * gettid(2) is a twentieth of the whole fault, so each thread remembers its
 * number; but not across a fork, after which engines have other ids. Memory of
 * the initial-exec kind is never allocated on first use.
 */
static uint32_t my_tid(const struct uffd_engine *e)
{
	static _Thread_local struct {
		uint64_t engine;
		uint32_t tid;
	} known __attribute__((tls_model("initial-exec")));

	if (known.engine != e->id) {
		known.tid = (uint32_t)syscall(SYS_gettid);
		known.engine = e->id;
	}
	return known.tid;
}

/* ---- the fault ---------------------------------------------------------------------- */

static bool fill(struct range *r, uint64_t addr, const ucontext_t *uc)
{
	const struct timespec moment = { .tv_nsec = 200000 };
	const uint64_t page = addr & ~(r->page_size - 1);
	const uintptr_t thread = (uintptr_t)pthread_self();
	struct uffd_fault f = {
		.write = was_write(uc),
		.tid = my_tid(r->e),
		.nr = 1,
		.start = page,
		.len = r->page_size,
	};

	if (is_poisoned(r, page))
		return false;
	f.kind = kind_of(r, page, f.write);
	engine_count(r->e, thread, COUNT_FAULTS, 1);
	switch (serve(r, &f, thread)) {
	case SERVE_AGAIN:
		/* return and fault again, but let the others go first */
		if (uffd_changing(r->e->fd) == 1)
			sched_yield();
		else
			nanosleep(&moment, NULL);
		return true;
	case SERVED:
		return true;
	default:
		return false;
	}
}

PUBLIC bool uffd_engine_sigbus(int sig, void *siginfo, void *ucontext)
{
	const siginfo_t *info = siginfo;
	const uint64_t addr = (uintptr_t)info->si_addr;
	int saved = errno;
	struct range *r;
	bool done;

	if (sig != SIGBUS || info->si_code != BUS_ADRERR)
		return false;
	r = table_get(&sigbus.ranges, addr);
	if (!r)
		return false;
	done = engine_is_here(r->e) && fill(r, addr, ucontext);
	range_put(r);
	errno = saved;
	return done;
}

static void on_sigbus(int sig, siginfo_t *info, void *ucontext)
{
	int saved = errno;
	bool done = uffd_engine_sigbus(sig, info, ucontext);

	if (!done)
		pass_on(sig, info, ucontext);
	errno = saved;
	if (done)
		resume(__builtin_frame_address(0), ucontext, sigbus.keys_at);
}

static int install(void)
{
	struct sigaction ours = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK,
	};

	sigemptyset(&ours.sa_mask);
	sigbus.keys_at = resume_prepare();
	/* known before ours can be called */
	if (sigaction(SIGBUS, NULL, &sigbus.before) < 0 ||
	    sigaction(SIGBUS, &ours, NULL) < 0)
		return -errno;
	return 0;
}

int sigbus_install(void)
{
	int saved = errno;
	int err = 0;

	pthread_mutex_lock(&sigbus.lock);
	if (!sigbus.installed)
		err = install();
	sigbus.installed = err == 0;
	pthread_mutex_unlock(&sigbus.lock);
	errno = saved;
	return err;
}
