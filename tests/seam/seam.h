/* SPDX-License-Identifier: MIT */
/*
 * Standing between the library and the C library: by ld --wrap every system
 * call of the kernel layer comes here first. A test answers them from a
 * script, step by step, or from a model, a function that plays the kernel.
 * Without either they go through to the real one.
 */
#ifndef TESTS_SEAM_H
#define TESTS_SEAM_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum seam_call {
	SEAM_ANY,
	SEAM_IOCTL,		/* fd, request, argument */
	SEAM_READ,		/* fd, buffer, length */
	SEAM_OPEN,		/* path, flags */
	SEAM_CLOSE,		/* fd */
	SEAM_POLL,		/* pollfd, number, timeout */
	SEAM_SYSCALL,		/* number, its arguments */
	SEAM_EVENTFD,		/* value, flags */
	SEAM_MADVISE,		/* start, length, advice */
	SEAM_MREMAP,		/* from, length, new length, flags, to */
	SEAM_FALLOCATE,		/* fd, mode, offset, length */
	SEAM_SENDMSG,		/* socket, msghdr, flags */
	SEAM_RECVMSG,		/* socket, msghdr, flags */
	SEAM_OTHER,		/* anything else: which is not told */
};

struct seam_args {
	enum seam_call call;
	long a[6];
};

/* the answer that means "ask the real one" */
#define SEAM_REAL (-100000L)

/* plays the kernel: a result, -errno or SEAM_REAL */
typedef long seam_model(const struct seam_args *args, void *data);

/* Have everything answered by a model; NULL: by the real system again. */
void seam_use(seam_model *model, void *data);

struct seam_step {
	enum seam_call call;
	unsigned long what;	/* ioctl's request or syscall's number; 0: any */
	long answer;		/* a result, -errno or SEAM_REAL */
	long times;		/* 0 is once; SEAM_FOREVER */
	/* what the kernel writes to memory besides, or NULL */
	void (*effect)(const struct seam_args *args, long value);
	long value;		/* for effect */
};

#define SEAM_FOREVER 1000000000L

/* Answer from these steps, in their order; any other call is a failure. close
 * need not be in the script: it succeeds, and is counted. */
void seam_script(const struct seam_step *steps, unsigned nr);
#define SCRIPT(...) \
	seam_script((const struct seam_step[]){ __VA_ARGS__ }, \
		    sizeof((const struct seam_step[]){ __VA_ARGS__ }) / \
			    sizeof(struct seam_step))

/* The script is over: true if each step was used and nothing else called. */
bool seam_end(void);

/* calls since the script or model was set, close not counted */
unsigned seam_calls(void);

/* descriptors that were closed since then, in their order, the first 64 */
unsigned seam_closed(const int **ret);

#endif
