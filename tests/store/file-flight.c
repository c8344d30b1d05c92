/* SPDX-License-Identifier: MIT */
/*
 * Many requests to a file at a time, and what gets in their way.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "file-bed.h"

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
	{ "many requests, even of a thread that ends", flight },
	{ "requests in flight go on after short answers and interruptions",
	  hindrances },
	{ "without io_uring submit does it here and now", no_uring },
	{ "a shorter file is told in flight as well", lost_in_flight },
	{ "a child process reads without the parent's ring", forked },
};

int main(void)
{
	return keep_in_bed(promises, NR(promises));
}
