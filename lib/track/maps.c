/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "../kernel/path.h"
#include "../kernel/sys.h"
#include "maps.h"

int maps_open(struct maps *m, pid_t pid)
{
	struct path path;

	path_proc(&path, pid);
	path_add(&path, "/maps");
	m->at = m->len = 0;
	m->fd = sys_open(path.text, O_RDONLY | O_CLOEXEC);
	return m->fd < 0 ? m->fd : 0;
}

void maps_close(struct maps *m)
{
	sys_close(m->fd);
}

/* Keep what is not taken yet, and read more behind it. Bytes, 0 or -errno. */
static ssize_t read_more(struct maps *m)
{
	ssize_t n;

	memmove(m->text, m->text + m->at, m->len - m->at);
	m->len -= m->at;
	m->at = 0;
	if (m->len == sizeof(m->text))
		return -E2BIG;
	do {
		n = sys_read(m->fd, m->text + m->len, sizeof(m->text) - m->len);
	} while (n == -EINTR);
	if (n > 0)
		m->len += (size_t)n;
	return n;
}

/* The next line, ended by a NUL: 1, 0 or -errno. */
static int next_line(struct maps *m, const char **ret)
{
	char *end;

	while (!(end = memchr(m->text + m->at, '\n', m->len - m->at))) {
		ssize_t n = read_more(m);

		if (n <= 0)
			return (int)n;
	}
	*end = '\0';
	*ret = m->text + m->at;
	m->at = (size_t)(end - m->text) + 1;
	return 1;
}

static uint64_t hex(const char **at)
{
	uint64_t value = 0;

	for (;; (*at)++) {
		const char c = **at;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return value;
	}
}

/* "7f00-7f10 rw-p 00000000 00:00 0  name": the kernel's, so well-formed */
static void parse(const char *at, struct mapping *ret)
{
	bool shared;

	ret->start = hex(&at);
	at += *at == '-';
	ret->end = hex(&at);
	at += *at == ' ';
	ret->readable = *at == 'r';
	shared = strnlen(at, 4) == 4 && at[3] == 's';
	for (int blanks = 0; *at && blanks < 3; at++)
		blanks += *at == ' ';
	/* the inode; /dev/zero, mapped privately, is anonymous as well */
	ret->anonymous = !shared &&
			 (strncmp(at, "0 ", 2) == 0 || strcmp(at, "0") == 0 ||
			  strstr(at, " /dev/zero"));
}

int maps_next(struct maps *m, struct mapping *ret)
{
	const char *line;
	int n = next_line(m, &line);

	if (n == 1)
		parse(line, ret);
	return n;
}

int maps_find(struct maps *m, pid_t pid, uint64_t addr, struct mapping *ret)
{
	int n = maps_open(m, pid);

	if (n < 0)
		return n;
	do {
		n = maps_next(m, ret);
	} while (n == 1 && ret->end <= addr);
	maps_close(m);
	return n;
}
