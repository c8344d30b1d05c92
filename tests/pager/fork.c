/* SPDX-License-Identifier: MIT */
/*
 * A fork while regions are there: nothing of them is in the child, not even
 * zeros, and nothing of the parent's changes.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seam/promise.h"
#include "bed.h"

/* how a child ends that reads this byte */
static int child_reads(const volatile uint8_t *at)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		(void)*at;
		_exit(0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void not_inherited(uint32_t engine, uint32_t memory)
{
	struct bed b;

	if (!CHECK(bed_open(&b, &(struct bed_want){
		.uri = LZ4, .engine = engine, .memory = memory })))
		return;
	bed_stamp_all(&b, 1);
	CHECK(stamped(bed_page(&b, 0), 0, 1));	/* here */
	SAME(child_reads(bed_page(&b, 0)), SIGSEGV);
	SAME(uffd_evict(b.r, 0, PAGE), 0);	/* not here */
	SAME(child_reads(bed_page(&b, 0)), SIGSEGV);
	CHECK(bed_stamped_all(&b, 1));
	bed_close(&b);
}

static void sigbus_private(void)
{
	not_inherited(LIBUFFD_ENGINE_SIGBUS, LIBUFFD_MEM_PRIVATE);
}

static void thread_private(void)
{
	not_inherited(LIBUFFD_ENGINE_THREAD, LIBUFFD_MEM_PRIVATE);
}

static void thread_file(void)
{
	not_inherited(LIBUFFD_ENGINE_THREAD, LIBUFFD_MEM_MEMFD_SHARED);
}

static const struct promise promises[] = {
	{ "a child has no region, sigbus", sigbus_private },
	{ "a child has no region, thread", thread_private },
	{ "a child has no region, memory file", thread_file },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
