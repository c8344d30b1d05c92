/* SPDX-License-Identifier: MIT */
/*
 * On which processor is a thread? Asked of /proc, whose files are kept open
 * for the threads that fault most recently; a few microseconds each time.
 */
#include <string.h>

#include "../kernel/path.h"
#include "engine.h"

#define FIELD_STATE 3		/* the first one behind the name's ')' */
#define FIELD_PROCESSOR 39

void watch_init(struct watch *w)
{
	for (unsigned i = 0; i < NR_WATCHED; i++)
		w->threads[i] = (struct watched){ .fd = -1 };
	w->next = 0;
}

static void forget(struct watched *t)
{
	if (t->fd >= 0)
		sys_close(t->fd);
	*t = (struct watched){ .fd = -1 };
}

void watch_finish(struct watch *w)
{
	for (unsigned i = 0; i < NR_WATCHED; i++)
		forget(&w->threads[i]);
}

static int open_stat(uint32_t tid)
{
	struct path path = { .len = 0 };

	path_proc(&path, 0);
	path_add(&path, "/task/");
	path_add_number(&path, (int)tid);
	path_add(&path, "/stat");
	return sys_open(path.text, O_RDONLY | O_CLOEXEC);
}

static struct watched *find(struct watch *w, uint32_t tid)
{
	struct watched *t;

	for (unsigned i = 0; i < NR_WATCHED; i++)
		if (w->threads[i].tid == tid && w->threads[i].fd >= 0)
			return &w->threads[i];
	t = &w->threads[w->next++ % NR_WATCHED];
	forget(t);
	t->tid = tid;
	t->fd = open_stat(tid);
	return t->fd < 0 ? NULL : t;
}

/* The number in that field; the name, the second one, may hold anything. */
static int field(const char *text, int nr)
{
	const char *at = strrchr(text, ')');
	int value = 0;

	for (int i = FIELD_STATE - 1; at && i < nr; i++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	if (!at || *at < '0' || *at > '9')
		return -1;
	for (; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (*at - '0');
	return value;
}

int watch_cpu_of(struct watch *w, uint32_t tid)
{
	struct watched *t = tid ? find(w, tid) : NULL;
	char text[640];
	ssize_t n;

	if (!t)
		return -1;
	n = pread(t->fd, text, sizeof(text) - 1, 0);
	if (n <= 0) {
		forget(t);
		return -1;
	}
	text[n] = '\0';
	return field(text, FIELD_PROCESSOR);
}
