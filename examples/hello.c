/* SPDX-License-Identifier: MIT */
/*
 * Touch 100,000 pages that are not there, fill them in user space, and print
 * what each access took: the program of 2016, on libuffd.
 *	cc -O2 -o hello hello.c $(pkg-config --cflags --libs libuffd)
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <uffd/engine.h>

/* Which bytes belong at fault->start? These. */
static int fill(void *user, const struct uffd_fault *fault,
		struct uffd_answer *ret)
{
	(void)fault;
	ret->action = LIBUFFD_DO_COPY;
	ret->src = user;
	return 0;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int main(int argc, char **argv)
{
	static char page[4096] = "hello";
	size_t nr = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	char *mem = mmap(NULL, nr * sizeof(page), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffd_engine_opts opts = { .sz = sizeof(opts),
		.kind = LIBUFFD_ENGINE_THREAD };
	struct uffd_range_opts range = { .sz = sizeof(range), .fault = fill,
		.start = (uintptr_t)mem, .len = nr * sizeof(page),
		.mode = UFFDIO_REGISTER_MODE_MISSING, .user = page };
	struct uffd_engine *engine;
	int error = uffd_engine_new(&opts, &engine);

	if (error || (error = uffd_engine_add(engine, &range)))
		errx(1, "can't serve %zu pages: %s", nr, strerror(-error));
	for (size_t i = 0; i < nr; i++) {
		uint64_t start = now();
		char byte = *(volatile char *)(mem + i * sizeof(page));

		printf("%lu\n", now() - start);
		if (byte != *page)
			errx(1, "page %zu holds %d", i, byte);
	}
	uffd_engine_free(engine);
	return 0;
}
