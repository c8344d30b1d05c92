/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Written in place: 1. By renaming: 0. Not at all: -errno. */
static int in_place(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (access(path, W_OK) < 0)
		return -errno;
	return !S_ISREG(st.st_mode);
}

/* Where the file itself is: a symbolic link shall stay one. */
static char *real_place(const char *path)
{
	char *real = realpath(path, NULL);

	return real ? real : strdup(path);
}

/* A file beside path. Its descriptor, and its name in *ret. */
static int make_temp(const char *path, char **ret)
{
	mode_t mask = umask(0);
	char *temp;
	int fd;

	umask(mask);
	if (asprintf(&temp, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		free(temp);
		return fd;
	}
	fchmod(fd, 0666 & ~mask);
	*ret = temp;
	return fd;
}

int output_check(const char *path)
{
	int there = in_place(path);
	char *real, *temp;
	int fd;

	if (there)
		return there < 0 ? there : 0;
	real = real_place(path);
	if (!real)
		return -ENOMEM;
	fd = make_temp(real, &temp);
	free(real);
	if (fd < 0)
		return fd;
	unlink(temp);
	free(temp);
	close(fd);
	return 0;
}

static void hold_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, before);
}

/* A broken pipe was an error already; it need not kill as well. */
static void release_signals(const sigset_t *before)
{
	const struct timespec at_once = { 0 };
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (!sigismember(before, SIGPIPE))
		sigtimedwait(&pipe, NULL, &at_once);
	sigprocmask(SIG_SETMASK, before, NULL);
}

static int open_file(struct output *o, int there)
{
	int fd;

	if (there) {
		o->file = fopen(o->path, "we");
		return o->file ? 0 : -errno;
	}
	fd = make_temp(o->path, &o->temp);
	if (fd < 0)
		return fd;
	o->file = fdopen(fd, "w");
	return o->file ? 0 : -errno;
}

int output_begin(struct output *o, const char *path)
{
	int there = in_place(path);
	int err;

	if (there < 0)
		return there;
	*o = (struct output){ .path = real_place(path) };
	if (!o->path)
		return -ENOMEM;
	hold_signals(&o->signals);
	err = open_file(o, there);
	if (err) {
		free(o->temp);
		free(o->path);
		release_signals(&o->signals);
	}
	return err;
}

/* fclose, telling what was lost on the way */
static int finish_file(FILE *f)
{
	int err = 0;

	errno = 0;
	if (fflush(f) != 0 || ferror(f))
		err = errno ? -errno : -EIO;
	if (fclose(f) != 0 && !err)
		err = errno ? -errno : -EIO;
	return err;
}

int output_end(struct output *o, int err)
{
	int lost = finish_file(o->file);

	if (!err)
		err = lost;
	if (o->temp) {
		if (!err && rename(o->temp, o->path) < 0)
			err = -errno;
		if (err)
			unlink(o->temp);
	}
	free(o->temp);
	free(o->path);
	release_signals(&o->signals);
	return err;
}
