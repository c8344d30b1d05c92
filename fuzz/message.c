/* SPDX-License-Identifier: MIT */
/* One message of the kernel, decoded. */
#include <string.h>
#include <uffd/kernel.h>

#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct uffd_msg msg = { 0 };
	struct uffd_event e;

	memset(&e, 0x5a, sizeof(e));
	memcpy(&msg, data, len < sizeof(msg) ? len : sizeof(msg));
	uffd_event_decode(&msg, &e);
	PROMISE(e.kind >= LIBUFFD_EVENT_FORK && e.kind <= LIBUFFD_EVENT_UNKNOWN);
	PROMISE(uffd_event_name(e.kind));
	/* a descriptor comes with a fork and with nothing else */
	if (e.kind == LIBUFFD_EVENT_FORK)
		PROMISE((uint32_t)e.fork_fd == msg.arg.fork.ufd);
	else
		PROMISE(e.fork_fd == -1);
	if (e.kind == LIBUFFD_EVENT_UNMAP || e.kind == LIBUFFD_EVENT_REMOVE)
		PROMISE(e.start + e.len == msg.arg.remove.end);
	return 0;
}
