/* SPDX-License-Identifier: MIT */
/*
 * A limit to the memory of a process, by a control group of its own: version 1
 * or 2, whichever has the memory controller. The group stands right below the
 * root of the hierarchy: in version 2 it could not be made below a group that
 * has processes in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "paging-inner.h"

#define TRIES 200	/* of 10 ms */

static const struct hierarchy {
	const char *root;
	const char *sign;	/* a file that only this one has there */
	const char *limit;
	const char *control;	/* where "+memory" is to be written, or NULL */
} hierarchies[] = {
	{ "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
	  "memory.limit_in_bytes", NULL },
	{ "/sys/fs/cgroup", "cgroup.subtree_control", "memory.max",
	  "cgroup.subtree_control" },
	{ "/sys/fs/cgroup/unified", "cgroup.subtree_control", "memory.max",
	  "cgroup.subtree_control" },
};

#define NR (sizeof(hierarchies) / sizeof(hierarchies[0]))

static int write_text(const char *dir, const char *name, const char *text)
{
	char path[256];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static bool has(const char *dir, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

/* Make the group's folder, with the file for the limit in it. */
static int make(struct paging_limit *l, const struct hierarchy *h, unsigned nth)
{
	int err;

	if (!has(h->root, h->sign))
		return -ENOENT;
	if (h->control) {
		err = write_text(h->root, h->control, "+memory");
		if (err)
			return err == -EINVAL ? -ENOENT : err;
	}
	snprintf(l->path, sizeof(l->path), "%s/uffd-bench-%d-%u", h->root,
		 (int)getpid(), nth);
	if (mkdir(l->path, 0755) < 0) {
		err = -errno;
		l->path[0] = '\0';
		return err;
	}
	return 0;
}

/* Make it where the memory controller is. -ENOENT: it is nowhere. */
static int make_somewhere(struct paging_limit *l, unsigned nth,
			  const struct hierarchy **ret)
{
	int err = -ENOENT;

	for (unsigned i = 0; i < NR && err == -ENOENT; i++) {
		*ret = &hierarchies[i];
		err = make(l, *ret, nth);
	}
	return err;
}

int paging_limit_make(struct paging_limit *l, unsigned nth, uint64_t bytes,
		      char why[PAGING_WHY_LEN])
{
	const struct hierarchy *h = NULL;
	char text[32];
	int err;

	err = make_somewhere(l, nth, &h);
	if (!err) {
		snprintf(text, sizeof(text), "%lu", bytes);
		err = write_text(l->path, h->limit, text);
	}
	if (!err)
		return 0;
	paging_limit_remove(l);
	if (err == -ENOENT)
		snprintf(why, PAGING_WHY_LEN, "no memory controller is "
			 "mounted below /sys/fs/cgroup to limit its memory");
	else
		snprintf(why, PAGING_WHY_LEN, "its memory can't be limited by "
			 "a control group (%s)%s", strerror(-err),
			 geteuid() ? ": run it as root" : "");
	return err;
}

int paging_limit_enter(const struct paging_limit *l)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	return write_text(l->path, "cgroup.procs", text);
}

void paging_limit_count(const struct paging_limit *l)
{
	char path[256], text[1024];
	int fd;

	if (!l->path[0])
		return;
	snprintf(path, sizeof(path), "%s/memory.stat", l->path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
}

void paging_limit_remove(struct paging_limit *l)
{
	const struct timespec moment = { .tv_nsec = 10000000 };

	/* A process that was just waited for may still be on its way out. */
	for (unsigned i = 0; l->path[0] && i < TRIES; i++) {
		if (rmdir(l->path) == 0 || errno != EBUSY)
			break;
		nanosleep(&moment, NULL);
	}
	l->path[0] = '\0';
}
