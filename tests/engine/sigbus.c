/* SPDX-License-Identifier: MIT */
/*
 * The signal handler among others: what it takes, what it passes on and how.
 * Each case that needs a certain handler to be there before is a process of
 * its own, since there is one SIGBUS in a process.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

#define PAGES 8

/* ---- cases: each in its own process -------------------------------------------------- */

static sigjmp_buf out;
static volatile sig_atomic_t nr_foreign;
static volatile uintptr_t foreign_addr;
static volatile sig_atomic_t foreign_code;
static volatile sig_atomic_t usr1_was_blocked, bus_was_blocked;

static void look_at_mask(void)
{
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	usr1_was_blocked = sigismember(&mask, SIGUSR1);
	bus_was_blocked = sigismember(&mask, SIGBUS);
}

static void foreign(int sig, siginfo_t *info, void *ucontext)
{
	(void)ucontext;
	nr_foreign++;
	foreign_addr = (uintptr_t)info->si_addr;
	foreign_code = info->si_code;
	look_at_mask();
	if (sig == SIGBUS && info->si_code > 0)
		siglongjmp(out, 1);
}

static void foreign_plain(int sig)
{
	(void)sig;
	nr_foreign++;
	look_at_mask();
	siglongjmp(out, 1);
}

/* a page past the end of its file: not ours, whoever maps it */
static uint8_t *past_the_end(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	void *at;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return NULL;
	at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return at == MAP_FAILED ? NULL : (uint8_t *)at + 4096;
}

/* true if it ended in the foreign handler */
static bool touch(volatile uint8_t *at)
{
	if (sigsetjmp(out, 1))
		return true;
	*at = 1;
	return false;
}

static bool bed(struct bed *b)
{
	return CHECK(bed_open(b, LIBUFFD_ENGINE_SIGBUS, PAGES,
			      LIBUFFD_DO_COPY)) &&
	       CHECK(bed_holds(b, 1));
}

static void handler_before(void)
{
	struct sigaction act = { .sa_sigaction = foreign,
				 .sa_flags = SA_SIGINFO };
	uint8_t *end = past_the_end();
	struct bed b;
	union sigval value = { .sival_int = 7 };

	sigaddset(&act.sa_mask, SIGUSR1);
	sigaction(SIGBUS, &act, NULL);
	if (!bed(&b))
		return;
	CHECK(touch(end));
	SAME(nr_foreign, 1);
	SAME(foreign_addr, (uintptr_t)end);
	SAME(foreign_code, BUS_ADRERR);
	CHECK(usr1_was_blocked && bus_was_blocked);
	CHECK(touch(end));
	CHECK(bed_holds(&b, 2));
	SAME(nr_foreign, 2);
	/* sent, not raised: passed on as well, and we go on */
	sigqueue(getpid(), SIGBUS, value);
	SAME(nr_foreign, 3);
	SAME(foreign_code, SI_QUEUE);
	bed_close(&b);
	CHECK(touch(end));
	SAME(nr_foreign, 4);
}

static void plain_before(void)
{
	struct sigaction act = { .sa_handler = foreign_plain,
				 .sa_flags = SA_NODEFER };
	struct bed b;

	sigaction(SIGBUS, &act, NULL);
	if (!bed(&b))
		return;
	CHECK(touch(past_the_end()));
	SAME(nr_foreign, 1);
	/* the sanitizer blocks all signals by itself */
	CHECK(under_tsan() || (!usr1_was_blocked && !bus_was_blocked));
	CHECK(bed_holds(&b, 2));
	bed_close(&b);
}

/* the second one takes the default: the process dies of SIGBUS */
static void once_before(void)
{
	struct sigaction act = { .sa_sigaction = foreign,
				 .sa_flags = SA_SIGINFO | SA_RESETHAND };
	uint8_t *end = past_the_end();
	struct bed b;

	sigaction(SIGBUS, &act, NULL);
	if (!bed(&b))
		return;
	CHECK(touch(end));
	SAME(nr_foreign, 1);
	if (broken == 0)
		touch(end);
}

static void default_before(void)
{
	struct bed b;

	signal(SIGBUS, SIG_DFL);	/* a sanitizer has its own */
	if (bed(&b))
		touch(past_the_end());
}

static void default_sent(void)
{
	struct bed b;

	signal(SIGBUS, SIG_DFL);
	if (bed(&b))
		kill(getpid(), SIGBUS);
	nap_ms(100);
}

static void ignored_before(void)
{
	struct bed b;

	signal(SIGBUS, SIG_IGN);
	if (!bed(&b))
		return;
	kill(getpid(), SIGBUS);	/* can be ignored */
	CHECK(bed_holds(&b, 2));
	if (broken == 0)
		touch(past_the_end());	/* can't */
}

/* a program's own handler, on top of ours */
static void on_top(int sig, siginfo_t *info, void *ucontext)
{
	if (uffd_engine_sigbus(sig, info, ucontext))
		return;
	nr_foreign++;
	siglongjmp(out, 1);
}

static void handler_after(void)
{
	struct sigaction act = { .sa_sigaction = on_top,
				 .sa_flags = SA_SIGINFO };
	struct bed b;

	if (!bed(&b))
		return;
	sigaction(SIGBUS, &act, NULL);
	CHECK(bed_holds(&b, 2));
	SAME(nr_foreign, 0);
	CHECK(touch(past_the_end()));
	SAME(nr_foreign, 1);
	CHECK(bed_holds(&b, 3));
	bed_close(&b);
}

/* on a small stack, with the alternative one for signals */
static void *with_own_stack(void *arg)
{
	const struct bed *b = arg;
	stack_t ss = { .ss_size = 65536 };

	ss.ss_sp = malloc(ss.ss_size);
	CHECK(sigaltstack(&ss, NULL) == 0);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(bed_holds(b, i));
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	free(ss.ss_sp);
	return NULL;
}

static void alternate_stack(void)
{
	pthread_t t;
	struct bed b;

	if (!bed(&b))
		return;
	CHECK(!pthread_create(&t, NULL, with_own_stack, &b));
	pthread_join(t, NULL);
	bed_close(&b);
}

static const struct {
	const char *name;
	void (*run)(void);
	int dies_of;
} cases[] = {
	{ "handler-before", handler_before, 0 },
	{ "plain-before", plain_before, 0 },
	{ "once-before", once_before, SIGBUS },
	{ "default-before", default_before, SIGBUS },
	{ "default-sent", default_sent, SIGBUS },
	{ "ignored-before", ignored_before, SIGBUS },
	{ "handler-after", handler_after, 0 },
	{ "alternate-stack", alternate_stack, 0 },
};

static int run_case(const char *name)
{
	struct rlimit none = { 0 };

	setrlimit(RLIMIT_CORE, &none);
	for (unsigned i = 0; i < NR(cases); i++)
		if (strcmp(cases[i].name, name) == 0)
			cases[i].run();
	return broken > 0;
}

static void in_process(unsigned i)
{
	int status = run_again(cases[i].name, NULL);

	if (cases[i].dies_of) {
		CHECK(WIFSIGNALED(status));
		SAME(WTERMSIG(status), cases[i].dies_of);
	} else {
		SAME(status, 0);
	}
}

#define CASE(n) \
	static void case_##n(void) \
	{ \
		in_process(n); \
	}
CASE(0)
CASE(1)
CASE(2)
CASE(3)
CASE(4)
CASE(5)
CASE(6)
CASE(7)

/* ---- in this process ---------------------------------------------------------------------- */

#if defined(__x86_64__) || defined(__aarch64__)
#define TELLS_WRITES true
#else
#define TELLS_WRITES false
#endif

static void access_type(void)
{
	struct bed b;

	if (!TELLS_WRITES)
		SKIP("the context tells no writes on this architecture");
	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_SIGBUS, PAGES,
			   LIBUFFD_DO_COPY))) {
		CHECK(bed_holds(&b, 0));
		bed_write(&b, 1, 3);
		CHECK(!bed_asked(&b, 0).write);
		CHECK(bed_asked(&b, 1).write);
		SAME(bed_read(&b, 1), 3);
		SAME(b.data[b.page], bed_value(1));
	}
	bed_close(&b);
}

/* The kernel can't fault for us while it copies: have the source here first. */
static bool touch_first(struct bed *b, const struct uffd_fault *f,
			struct uffd_answer *ret)
{
	(void)ret;
	*(volatile uint8_t *)(b->data + (f->start - (uintptr_t)b->at));
	return false;
}

/* the source is itself in a range that is filled on demand */
static void nested(void)
{
	struct bed inner, outer;

	if (under_tsan())
		SKIP("the thread sanitizer blocks SIGBUS in handlers");
	if (CHECK(bed_open(&inner, LIBUFFD_ENGINE_SIGBUS, PAGES,
			   LIBUFFD_DO_COPY)) &&
	    CHECK(bed_open(&outer, LIBUFFD_ENGINE_SIGBUS, PAGES,
			   LIBUFFD_DO_COPY))) {
		uint8_t *own = outer.data;

		outer.data = inner.at;
		outer.hook = touch_first;
		for (unsigned i = 0; i < PAGES; i++)
			CHECK(bed_holds(&outer, i));
		SAME(inner.nr_asked, PAGES);
		SAME(outer.nr_asked, PAGES);
		outer.data = own;
	}
	bed_close(&outer);
	bed_close(&inner);
}

#if defined(__x86_64__)
/* in the fault function: leave nothing in registers as it was */
static bool clobber(struct bed *b, const struct uffd_fault *f,
		    struct uffd_answer *ret)
{
	(void)b;
	(void)f;
	(void)ret;
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\t"
			 "pcmpeqd %%xmm7, %%xmm7\n\t"
			 "pcmpeqd %%xmm15, %%xmm15\n\t"
			 "fld1\n\t"
			 "stc" ::: "xmm0", "xmm7", "xmm15", "st", "cc");
	__asm__ volatile("fstp %%st(0)" ::: "st");
	return false;
}

struct registers {
	uint64_t general[14];
	uint64_t vectors[4];
	uint64_t unused[2];
	uint64_t flags;
	uint64_t sp[2];
};

/* Fill registers, fault, and write down what is in them then. */
static void fault_with_registers(const uint8_t *at, struct registers *r)
{
	__asm__ volatile(
		"subq $256, %%rsp\n\t"		/* not the compiler's */
		"pushq %%rbp\n\t"
		"movq $0x111111, %%rax\n\t"
		"movq %%rax, %%xmm0\n\t"
		"movq $0x222222, %%rax\n\t"
		"movq %%rax, %%xmm7\n\t"
		"movq $0x333333, %%rax\n\t"
		"movq %%rax, %%xmm15\n\t"
		"movq $1, %%rax\n\t"
		"movq $2, %%rbx\n\t"
		"movq $3, %%rcx\n\t"
		"movq $4, %%rdx\n\t"
		"movq $5, %%rbp\n\t"
		"movq $8, %%r8\n\t"
		"movq $9, %%r9\n\t"
		"movq $10, %%r10\n\t"
		"movq $11, %%r11\n\t"
		"movq $12, %%r12\n\t"
		"movq $13, %%r13\n\t"
		"movq $14, %%r14\n\t"
		"movq $15, %%r15\n\t"
		"movq %%rsp, 21*8(%%rdi)\n\t"
		"movq $-1, -64(%%rsp)\n\t"	/* red zone */
		"xorl %%eax, %%eax\n\t"		/* ZF, not CF */
		"movb (%%rsi), %%al\n\t"
		"pushfq\n\t"
		"popq 20*8(%%rdi)\n\t"
		"movq %%rsp, 22*8(%%rdi)\n\t"
		"movq %%rax, 0*8(%%rdi)\n\t"
		"movq %%rbx, 1*8(%%rdi)\n\t"
		"movq %%rcx, 2*8(%%rdi)\n\t"
		"movq %%rdx, 3*8(%%rdi)\n\t"
		"movq %%rbp, 4*8(%%rdi)\n\t"
		"movq %%rsi, 5*8(%%rdi)\n\t"
		"movq %%r8, 6*8(%%rdi)\n\t"
		"movq %%r9, 7*8(%%rdi)\n\t"
		"movq %%r10, 8*8(%%rdi)\n\t"
		"movq %%r11, 9*8(%%rdi)\n\t"
		"movq %%r12, 10*8(%%rdi)\n\t"
		"movq %%r13, 11*8(%%rdi)\n\t"
		"movq %%r14, 12*8(%%rdi)\n\t"
		"movq %%r15, 13*8(%%rdi)\n\t"
		"movq %%xmm0, 14*8(%%rdi)\n\t"
		"movq %%xmm7, 15*8(%%rdi)\n\t"
		"movq %%xmm15, 16*8(%%rdi)\n\t"
		"movq -64(%%rsp), %%rax\n\t"
		"movq %%rax, 17*8(%%rdi)\n\t"
		"popq %%rbp\n\t"
		"addq $256, %%rsp"
		:
		: "D"(r), "S"(at)
		: "memory", "cc", "rax", "rbx", "rcx", "rdx", "r8", "r9",
		  "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm7",
		  "xmm15");
}

static void registers_kept(void)
{
	static const uint64_t want[] = { 0, 2, 3, 4, 5, 0, 8,
					 9, 10, 11, 12, 13, 14, 15 };
	struct registers r;
	sigset_t before, after;
	struct bed b;

	pthread_sigmask(SIG_BLOCK, NULL, &before);
	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_SIGBUS, PAGES,
			   LIBUFFD_DO_COPY))) {
		b.hook = clobber;
		fault_with_registers(b.at + 3 * b.page, &r);
		SAME(r.general[0], bed_value(3));
		for (unsigned i = 1; i < NR(want); i++)
			if (i != 5)
				SAME(r.general[i], want[i]);
		SAME(r.general[5], (uintptr_t)b.at + 3 * b.page);
		SAME(r.vectors[0], 0x111111);
		SAME(r.vectors[1], 0x222222);
		SAME(r.vectors[2], 0x333333);
		SAME(r.vectors[3], UINT64_MAX);		/* the red zone */
		SAME(r.flags & 0x41, 0x40);
		SAME(r.sp[0], r.sp[1]);
		SAME(b.nr_asked, 1);
	}
	bed_close(&b);
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}
#else
static void registers_kept(void)
{
	SKIP("written for x86-64 only");
}
#endif

/* what was in errno stays there, whatever the handler did */
static void errno_kept(void)
{
	struct bed b;

	if (CHECK(bed_open(&b, LIBUFFD_ENGINE_SIGBUS, PAGES,
			   LIBUFFD_DO_COPY))) {
		errno = ERRNO_BEFORE;
		bed_read(&b, 1);
		SAME(errno, ERRNO_BEFORE);
	}
	bed_close(&b);
}

static void not_foreign(void)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = BUS_ADRERR };
	ucontext_t context = { 0 };

	info.si_addr = &info;
	CHECK(!uffd_engine_sigbus(SIGBUS, &info, &context));
	CHECK(!uffd_engine_sigbus(SIGSEGV, &info, &context));
}

static const struct promise promises[] = {
	{ "a handler before ours gets what is not ours, as it asked",
	  case_0 },
	{ "so does a plain one", case_1 },
	{ "one that is for once is called once", case_2 },
	{ "without one the process dies of SIGBUS", case_3 },
	{ "also when it was sent", case_4 },
	{ "ignoring works for what is sent, not for what is raised", case_5 },
	{ "a handler on top of ours may ask us first", case_6 },
	{ "alternative stacks are used", case_7 },
	{ "reads and writes are told apart", access_type },
	{ "a fault function may fault in another range", nested },
	{ "all registers are as before the fault", registers_kept },
	{ "errno is left alone", errno_kept },
	{ "what is in no range is refused", not_foreign },
};

int main(int argc, char **argv)
{
	if (argc == 2)
		return run_case(argv[1]);
	return keep_all(promises, NR(promises));
}
