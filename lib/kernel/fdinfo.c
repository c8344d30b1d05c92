/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/fdinfo/FD of a userfaultfd:
 *
 *	pos:	0
 *	flags:	02004002
 *	mnt_id:	16
 *	ino:	1055
 *	pending:	0
 *	total:	0
 *	API:	aa:80000000:80000000000001ff
 *
 * The last three lines are ours, each once and to the letter; the others may
 * be anything.
 */
#include <string.h>
#include <uffd/kernel.h>

#include "path.h"
#include "../public.h"
#include "sys.h"

/* "this descriptor has been asked": the kernel's own mark, not a feature */
#define INITIALIZED (UINT64_C(1) << 31)

/* what is left to read; never touched at or after end */
struct text {
	const char *at;
	const char *end;
};

static bool take(struct text *t, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len))
		return false;
	t->at += len;
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

static bool take_number(struct text *t, unsigned base, uint64_t *ret)
{
	const char *begin = t->at;
	uint64_t n = 0;

	for (; t->at < t->end; t->at++) {
		unsigned d = (unsigned)digit(*t->at);

		if (d >= base)
			break;
		if (n > (UINT64_MAX - d) / base)
			return false;
		n = n * base + d;
	}
	*ret = n;
	return t->at > begin;
}

static bool take_count(struct text *t, uint64_t *ret)
{
	return take_number(t, 10, ret) && take(t, "\n");
}

static bool take_api(struct text *t, struct uffd_fdinfo *ret)
{
	return take_number(t, 16, &ret->api) && take(t, ":") &&
	       take_number(t, 16, &ret->features) && take(t, ":") &&
	       take_number(t, 16, &ret->ioctls) && take(t, "\n");
}

static void skip_line(struct text *t)
{
	const char *nl = memchr(t->at, '\n', (size_t)(t->end - t->at));

	t->at = nl ? nl + 1 : t->end;
}

PUBLIC int uffd_fdinfo_parse(const char *text, size_t len,
			     struct uffd_fdinfo *ret)
{
	enum { PENDING = 1, TOTAL = 2, API = 4, ALL = 7 };
	struct text t = { text, text + len };
	struct uffd_fdinfo info = { 0 };
	unsigned seen = 0;

	while (t.at < t.end) {
		unsigned line = 0;
		bool good = true;

		if (take(&t, "pending:\t")) {
			line = PENDING;
			good = take_count(&t, &info.pending);
		} else if (take(&t, "total:\t")) {
			line = TOTAL;
			good = take_count(&t, &info.total);
		} else if (take(&t, "API:\t")) {
			line = API;
			good = take_api(&t, &info);
		} else {
			skip_line(&t);
		}
		if (!good || (seen & line))
			return -EINVAL;
		seen |= line;
	}
	if (seen != ALL)
		return -EINVAL;
	info.features &= ~INITIALIZED;
	*ret = info;
	return 0;
}

/* the whole file, up to cap bytes; some kinds of descriptor have long ones */
static ssize_t read_whole(int fd, char *buf, size_t cap)
{
	size_t len = 0;

	while (len < cap) {
		ssize_t n = sys_read(fd, buf + len, cap - len);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

PUBLIC int uffd_fdinfo(pid_t pid, int fd, struct uffd_fdinfo *ret)
{
	struct path path;
	char buf[1024];
	ssize_t len;
	int file;

	if (pid < 0 || fd < 0)
		return -ENOENT;
	path_proc(&path, pid);
	path_add(&path, "/fdinfo/");
	path_add_number(&path, fd);
	file = sys_open(path.text, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return file;
	len = read_whole(file, buf, sizeof(buf));
	sys_close(file);
	if (len < 0) /* gone since it was opened */
		return len == -ESRCH ? -ENOENT : (int)len;
	return uffd_fdinfo_parse(buf, (size_t)len, ret);
}
