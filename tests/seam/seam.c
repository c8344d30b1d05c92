/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "seam.h"

#define MAX_STEPS 64
#define MAX_CLOSED 64
#define MAX_CALLS 1000000

/* interposed functions have no argument to carry this in */
static struct {
	seam_model *model;
	void *data;
	struct seam_step steps[MAX_STEPS];
	unsigned nr;
	unsigned next;
	long used;		/* of steps[next], when it has times */
	unsigned calls;
	unsigned unexpected;
	int closed[MAX_CLOSED];
	unsigned nr_closed;
} seam;

static void reset(seam_model *model, void *data)
{
	seam.model = model;
	seam.data = data;
	seam.calls = seam.unexpected = seam.nr_closed = 0;
	seam.nr = seam.next = 0;
	seam.used = 0;
}

void seam_use(seam_model *model, void *data)
{
	reset(model, data);
}

static bool matches(const struct seam_step *step, const struct seam_args *args)
{
	if (step->call != SEAM_ANY && step->call != args->call)
		return false;
	if (!step->what)
		return true;
	if (args->call == SEAM_IOCTL)
		return (unsigned long)args->a[1] == step->what;
	return args->call != SEAM_SYSCALL ||
	       (unsigned long)args->a[0] == step->what;
}

static long play_script(const struct seam_args *args, void *data)
{
	const struct seam_step *step = &seam.steps[seam.next];

	(void)data;
	if (seam.next < seam.nr && seam.used && !matches(step, args)) {
		step++; /* a repeated step ends when another call comes */
		seam.next++;
		seam.used = 0;
	}
	if (seam.next == seam.nr || !matches(step, args)) {
		printf("# unexpected call %d (%#lx, %#lx), step %u of %u\n",
		       args->call, (unsigned long)args->a[0],
		       (unsigned long)args->a[1], seam.next, seam.nr);
		seam.unexpected++;
		return -ENOTRECOVERABLE;
	}
	if (++seam.used >= step->times) {
		seam.next++;
		seam.used = 0;
	}
	if (step->effect)
		step->effect(args, step->value);
	return step->answer;
}

void seam_script(const struct seam_step *steps, unsigned nr)
{
	if (nr > MAX_STEPS)
		abort();
	reset(play_script, NULL);
	memcpy(seam.steps, steps, nr * sizeof(steps[0]));
	seam.nr = nr;
}

bool seam_end(void)
{
	bool good = !seam.unexpected;

	if (seam.used) /* as often as it was asked for is enough */
		seam.next++;
	if (seam.next < seam.nr) {
		printf("# only %u of %u steps were used\n", seam.next,
		       seam.nr);
		good = false;
	}
	seam.model = NULL;
	return good;
}

unsigned seam_calls(void)
{
	return seam.calls;
}

unsigned seam_closed(const int **ret)
{
	*ret = seam.closed;
	return seam.nr_closed;
}

/* what the real one is not asked for: an answer, with errno set as libc does */
static bool answered(const struct seam_args *args, long *ret)
{
	if (!seam.model)
		return false;
	if (args->call == SEAM_CLOSE) {
		if (seam.nr_closed < MAX_CLOSED)
			seam.closed[seam.nr_closed++] = (int)args->a[0];
		if (seam.model == play_script)
			return *ret = 0, true;
	} else if (++seam.calls > MAX_CALLS) {
		printf("Bail out! this never ends\n");
		exit(1);
	}
	*ret = seam.model(args, seam.data);
	if (*ret == SEAM_REAL)
		return false;
	if (*ret < 0) {
		errno = (int)-*ret;
		*ret = -1;
	}
	return true;
}

#define ARGS(which, ...) \
	const struct seam_args args = { which, { __VA_ARGS__ } }; \
	long ret

/* the compiler wants to see functions declared that only the linker calls */
#define WRAP(type, name, params) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list list;

	va_start(list, request);
	long arg = va_arg(list, long);
	va_end(list);

	ARGS(SEAM_IOCTL, fd, (long)request, arg);

	if (answered(&args, &ret))
		return (int)ret;
	return __real_ioctl(fd, request, arg);
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
long __wrap_syscall(long nr, ...)
{
	long a[5];
	va_list list;

	va_start(list, nr);
	for (int i = 0; i < 5; i++)
		a[i] = va_arg(list, long);
	va_end(list);

	ARGS(SEAM_SYSCALL, nr, a[0], a[1], a[2], a[3], a[4]);

	if (answered(&args, &ret))
		return ret;
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4]);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) :
							0;
	va_end(list);

	ARGS(SEAM_OPEN, (long)path, flags);

	if (answered(&args, &ret))
		return (int)ret;
	return __real_open64(path, flags, mode);
}

void *__real_mremap(void *from, size_t len, size_t new_len, int flags, ...);
void *__wrap_mremap(void *from, size_t len, size_t new_len, int flags, ...);
void *__wrap_mremap(void *from, size_t len, size_t new_len, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	void *to = flags & MREMAP_FIXED ? va_arg(list, void *) : NULL;
	va_end(list);

	ARGS(SEAM_MREMAP, (long)from, (long)len, (long)new_len, flags,
	     (long)to);

	if (answered(&args, &ret))
		return ret < 0 ? MAP_FAILED : (void *)ret;
	return __real_mremap(from, len, new_len, flags, to);
}

WRAP(ssize_t, read, (int fd, void *buf, size_t len))
{
	ARGS(SEAM_READ, fd, (long)buf, (long)len);

	return answered(&args, &ret) ? ret : __real_read(fd, buf, len);
}

WRAP(int, close, (int fd))
{
	ARGS(SEAM_CLOSE, fd);

	return answered(&args, &ret) ? (int)ret : __real_close(fd);
}

WRAP(int, poll, (struct pollfd *fds, nfds_t nr, int timeout))
{
	ARGS(SEAM_POLL, (long)fds, (long)nr, timeout);

	return answered(&args, &ret) ? (int)ret :
				       __real_poll(fds, nr, timeout);
}

WRAP(int, eventfd, (unsigned value, int flags))
{
	ARGS(SEAM_EVENTFD, value, flags);

	return answered(&args, &ret) ? (int)ret : __real_eventfd(value, flags);
}

WRAP(int, madvise, (void *start, size_t len, int advice))
{
	ARGS(SEAM_MADVISE, (long)start, (long)len, advice);

	return answered(&args, &ret) ? (int)ret :
				       __real_madvise(start, len, advice);
}

WRAP(int, fallocate64, (int fd, int mode, off_t offset, off_t len))
{
	ARGS(SEAM_FALLOCATE, fd, mode, offset, len);

	return answered(&args, &ret) ? (int)ret :
				       __real_fallocate64(fd, mode, offset,
							  len);
}

WRAP(ssize_t, sendmsg, (int sock, const struct msghdr *msg, int flags))
{
	ARGS(SEAM_SENDMSG, sock, (long)msg, flags);

	return answered(&args, &ret) ? ret : __real_sendmsg(sock, msg, flags);
}

WRAP(ssize_t, recvmsg, (int sock, struct msghdr *msg, int flags))
{
	ARGS(SEAM_RECVMSG, sock, (long)msg, flags);

	return answered(&args, &ret) ? ret : __real_recvmsg(sock, msg, flags);
}

/* from here on only for uffd_try */

void *__real_mmap64(void *hint, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *hint, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *hint, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	ARGS(SEAM_OTHER, 0);

	if (answered(&args, &ret))
		return ret < 0 ? MAP_FAILED : (void *)ret;
	return __real_mmap64(hint, len, prot, flags, fd, offset);
}

WRAP(int, memfd_create, (const char *name, unsigned flags))
{
	ARGS(SEAM_OTHER, 0);

	return answered(&args, &ret) ? (int)ret :
				       __real_memfd_create(name, flags);
}

WRAP(int, ftruncate64, (int fd, off_t len))
{
	ARGS(SEAM_OTHER, 0);

	return answered(&args, &ret) ? (int)ret : __real_ftruncate64(fd, len);
}

WRAP(int, pipe2, (int *fds, int flags))
{
	ARGS(SEAM_OTHER, 0);

	return answered(&args, &ret) ? (int)ret : __real_pipe2(fds, flags);
}

WRAP(ssize_t, write, (int fd, const void *buf, size_t len))
{
	ARGS(SEAM_OTHER, 0);

	return answered(&args, &ret) ? ret : __real_write(fd, buf, len);
}

WRAP(int, socketpair, (int domain, int type, int protocol, int *fds))
{
	ARGS(SEAM_OTHER, 0);

	return answered(&args, &ret) ? (int)ret :
				       __real_socketpair(domain, type, protocol,
							 fds);
}

WRAP(ssize_t, send, (int sock, const void *buf, size_t len, int flags))
{
	ARGS(SEAM_OTHER, 0);

	return answered(&args, &ret) ? ret :
				       __real_send(sock, buf, len, flags);
}
