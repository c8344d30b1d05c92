/* SPDX-License-Identifier: MIT */
/*
 * Advice on many ranges in few calls, dropping, and punching holes.
 */
#include <uffd/kernel.h>

#include "../public.h"
#include "sys.h"

/* the most that the kernel takes in one call (UIO_MAXIOV) */
#define CHUNK 1024u

static int advise_one(uint64_t start, uint64_t len, int advice)
{
	return sys_madvise((void *)(uintptr_t)start, len, advice);
}

/* How far into `ranges` did n bytes get? *ret_into gets the bytes done of the
 * range that is begun. */
static unsigned ranges_in(const struct iovec *ranges, unsigned nr, uint64_t n,
			  uint64_t *ret_into)
{
	unsigned i = 0;

	while (i < nr && n >= ranges[i].iov_len)
		n -= ranges[i++].iov_len;
	*ret_into = i < nr ? n : 0;
	return i;
}

/* this advice, or the call itself, is not for us: go on with madvise */
static bool not_here(int64_t err)
{
	return err == -EINVAL || err == -ENOSYS || err == -EPERM ||
	       err == -EACCES || err == -ESRCH;
}

/*
 * Advise one chunk by process_madvise. Returns the number of ranges done and
 * adds their bytes to *done; a range that was left in its middle (the kernel
 * goes through 2 GiB a call at most) is finished by itself.
 */
static int64_t advise_chunk(int pidfd, const struct iovec *ranges, unsigned nr,
			    int advice, uint64_t *done)
{
	ssize_t n = sys_process_madvise(pidfd, ranges, nr, advice);
	uint64_t into, rest;
	unsigned i;
	int err;

	if (n < 0)
		return n;
	*done += (uint64_t)n;
	i = ranges_in(ranges, nr, (uint64_t)n, &into);
	if (i == nr || (i > 0 && into == 0))
		return i;
	rest = ranges[i].iov_len - into;
	err = advise_one((uintptr_t)ranges[i].iov_base + into, rest, advice);
	if (err < 0)
		return err;
	*done += rest;
	return i + 1;
}

/* the same for the first range alone, by madvise */
static int64_t advise_first(const struct iovec *ranges, int advice,
			    uint64_t *done)
{
	int err = advise_one((uintptr_t)ranges[0].iov_base, ranges[0].iov_len,
			     advice);

	if (err < 0)
		return err;
	*done += ranges[0].iov_len;
	return 1;
}

PUBLIC int64_t uffd_advise(const struct iovec *ranges, unsigned nr, int advice)
{
	int pidfd = nr > 1 ? sys_pidfd_open(getpid()) : -1;
	bool many = pidfd >= 0;
	uint64_t done = 0;
	int64_t n = 0;

	while (nr > 0) {
		if (many)
			n = advise_chunk(pidfd, ranges, nr < CHUNK ? nr : CHUNK,
					 advice, &done);
		else
			n = advise_first(ranges, advice, &done);
		if (n < 0 && (!many || !not_here(n)))
			break;
		if (n < 0) {
			many = false;
			continue;
		}
		ranges += n;
		nr -= (unsigned)n;
	}
	if (pidfd >= 0)
		sys_close(pidfd);
	return n < 0 && !done ? n : (int64_t)done;
}

PUBLIC int uffd_drop(uint64_t start, uint64_t len)
{
	return advise_one(start, len, MADV_DONTNEED);
}

PUBLIC int uffd_punch(int memfd, uint64_t offset, uint64_t len)
{
	return sys_fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     (off_t)offset, (off_t)len);
}
