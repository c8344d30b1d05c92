/* SPDX-License-Identifier: MIT */
/* Many messages with one read, from a pipe that plays the userfaultfd. */
#include <string.h>
#include <unistd.h>
#include <uffd/kernel.h>

#include "target.h"

#define CAP 64

/* A descriptor that a message names would really be closed: none that exists */
static void put(int to, const uint8_t *data, size_t len)
{
	struct uffd_msg msgs[CAP + 1];

	len = len < sizeof(msgs) ? len : sizeof(msgs);
	memcpy(msgs, data, len);
	for (size_t i = 0; i < len / sizeof(msgs[0]); i++)
		if (msgs[i].event == UFFD_EVENT_FORK)
			msgs[i].arg.fork.ufd |= 0x40000000;
	PROMISE(write(to, msgs, len) == (ssize_t)len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unsigned cap = len ? 1 + data[0] % CAP : 1;
	struct uffd_msg msgs[CAP];
	bool faults = false;
	struct uffd_event e;
	struct uffd_batch b;
	int fds[2], nr, n = 0;

	if (len < 2)
		return 0;
	PROMISE(pipe(fds) == 0);
	PROMISE(uffd_batch_init(&b, msgs, cap) == 0);
	put(fds[1], data + 1, len - 1);
	nr = uffd_batch_read(fds[0], &b);
	PROMISE(nr >= 0 && nr <= (int)cap);
	for (; uffd_batch_next(&b, &e); n++) {
		bool fault = msgs[b.next - 1].event == UFFD_EVENT_PAGEFAULT;

		/* once faults have begun, no event comes any more */
		PROMISE(fault || !faults);
		faults = fault;
	}
	PROMISE(n == nr);
	uffd_batch_finish(&b);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
