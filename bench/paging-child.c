/* SPDX-License-Identifier: MIT */
/*
 * A contestant as the measuring process sees it. While it works, what it has
 * resident is looked at every 10 ms, and signals that would end us are heard:
 * first everything is put away.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "paging-inner.h"

#define LOOK_MS 10
/* a process that says nothing for so long has got stuck */
#define PATIENCE_MS 300000
#define PATIENCE_TURN_MS 60000

/* ---- its process ------------------------------------------------------- */

static _Noreturn void be_child(struct paging_child *c,
			       struct paging_stage *stage, int sock, pid_t parent)
{
	struct paging_seat seat = {
		.system = paging_system_of(c->who.system),
		.who = c->who,
		.ground = &stage->ground,
		.expected = stage->expected,
		.size = stage->ground.pages * PAGING_PAGE,
		.budget = paging_budget(stage->plan),
		.limit = &c->limit,
		.zram = &c->zram,
		.file = c->file,
	};
	sigset_t none;

	/* Never outlive the one who takes away what we use. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* Ctrl-C is the measuring process's business. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	paging_work(&seat, c->mail, sock);
}

static int start_process(struct paging_child *c, struct paging_stage *stage)
{
	const pid_t parent = getpid();
	char path[64];
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return -errno;
	c->pid = fork();
	if (c->pid == 0) {
		close(sock[0]);
		be_child(c, stage, sock[1], parent);
	}
	close(sock[1]);
	c->sock = sock[0];
	if (c->pid < 0) {
		c->pid = 0;
		return -errno;
	}
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)c->pid);
	c->statm = open(path, O_RDONLY | O_CLOEXEC);
	return 0;
}

/* ---- waiting for it ---------------------------------------------------- */

static void look(struct paging_child *c)
{
	unsigned long pages;
	uint64_t bytes;
	char text[64], *at;
	ssize_t n = pread(c->statm, text, sizeof(text) - 1, 0);

	paging_limit_count(&c->limit);
	if (n <= 0)
		return;
	text[n] = '\0';
	at = strchr(text, ' ');
	pages = at ? strtoul(at, NULL, 10) : 0;
	bytes = pages * PAGING_PAGE;
	bytes -= bytes < c->mail->resident_before ? bytes :
						    c->mail->resident_before;
	if (bytes > c->resident_max)
		c->resident_max = bytes;
}

static int hear_signal(struct paging_stage *stage)
{
	struct signalfd_siginfo info;

	if (read(stage->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	stage->caught = (int)info.ssi_signo;
	return -EINTR;
}

/* It has died, or closed its end: why? */
static int bury(struct paging_child *c, char why[PAGING_WHY_LEN])
{
	int status = 0;

	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && c->limit.path[0])
		snprintf(why, PAGING_WHY_LEN, "its process was killed: too "
			 "little memory under its limit, or by someone");
	else if (WIFSIGNALED(status))
		snprintf(why, PAGING_WHY_LEN, "its process died: %s",
			 strsignal(WTERMSIG(status)));
	else
		snprintf(why, PAGING_WHY_LEN, "its process ended by itself, "
			 "with status %d", WEXITSTATUS(status));
	return -ECHILD;
}

static int answered(struct paging_child *c, char why[PAGING_WHY_LEN])
{
	char byte;

	if (recv(c->sock, &byte, 1, 0) != 1)
		return bury(c, why);
	if (c->mail->error)
		memcpy(why, c->mail->why, PAGING_WHY_LEN);
	return c->mail->error;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static int wait_for(struct paging_child *c, struct paging_stage *stage,
		    uint64_t patience_ms, char why[PAGING_WHY_LEN])
{
	struct pollfd fds[] = {
		{ .fd = c->sock, .events = POLLIN },
		{ .fd = stage->signals, .events = POLLIN },
	};
	const uint64_t deadline = now_ms() + patience_ms;

	while (now_ms() < deadline) {
		int n = poll(fds, 2, LOOK_MS);

		look(c);
		if (n > 0 && fds[1].revents && hear_signal(stage) < 0)
			return -EINTR;
		if (n > 0 && fds[0].revents)
			return answered(c, why);
	}
	snprintf(why, PAGING_WHY_LEN, "it got stuck: no answer for %lu s",
		 patience_ms / 1000);
	return -ETIMEDOUT;
}

int paging_child_ask(struct paging_child *c, struct paging_stage *stage,
		     char why[PAGING_WHY_LEN])
{
	const bool turn = c->mail->ask == PAGING_ASK_TURN;
	int err;

	if (send(c->sock, "", 1, MSG_NOSIGNAL) != 1)
		err = bury(c, why);
	else
		err = wait_for(c, stage, turn ? PATIENCE_TURN_MS +
			       c->mail->nanoseconds / 1000000 : PATIENCE_MS,
			       why);
	if (err)
		paging_child_stop(c);
	return err;
}

/* ---- beginning and end ------------------------------------------------- */

/* The budget, and what the kernel needs beside the pages: page tables, what its
 * counters hold back for each processor, and some room for reclaim. */
static uint64_t limit_for(const struct paging_stage *stage)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return paging_budget(stage->plan) + (2u << 20) +
	       stage->ground.pages * 8 + (uint64_t)(cpus > 0 ? cpus : 1) *
	       (256u << 10);
}

static int make_needs(struct paging_child *c, struct paging_stage *stage,
		      char why[PAGING_WHY_LEN])
{
	const struct paging_system *system = paging_system_of(c->who.system);
	int err = 0;

	if (system->reads_file || c->who.store == PAGING_FILE) {
		c->file = paging_file_make(stage->plan->dir, &stage->ground);
		if (c->file < 0) {
			err = c->file;
			snprintf(why, PAGING_WHY_LEN, "its file can't be made "
				 "in %s: %s", stage->plan->dir, strerror(-err));
		}
	}
	if (!err && system->limited)
		err = paging_limit_make(&c->limit, c->nth, limit_for(stage),
					why);
	if (!err && system->swaps)
		err = paging_zram_make(&c->zram, stage->ground.pages *
				       PAGING_PAGE * 5 / 4 + (4u << 20), why);
	return err;
}

static int map_mail(struct paging_child *c)
{
	c->mail = mmap(NULL, sizeof(*c->mail), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (c->mail != MAP_FAILED)
		return 0;
	c->mail = NULL;
	return -ENOMEM;
}

void paging_child_init(struct paging_child *c)
{
	c->pid = 0;
	c->sock = c->statm = c->file = -1;
	c->mail = NULL;
	c->limit.path[0] = '\0';
	c->zram = (struct paging_zram){ .id = -1 };
}

int paging_child_start(struct paging_child *c, struct paging_stage *stage,
		       char why[PAGING_WHY_LEN])
{
	int err = make_needs(c, stage, why);

	if (!err) {
		err = map_mail(c);
		if (!err)
			err = start_process(c, stage);
		if (err)
			snprintf(why, PAGING_WHY_LEN, "no process for it: %s",
				 strerror(-err));
	}
	if (!err)
		err = wait_for(c, stage, PATIENCE_MS, why);
	c->resident_max = 0;
	if (err)
		paging_child_stop(c);
	return err;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void paging_child_stop(struct paging_child *c)
{
	char why[PAGING_WHY_LEN];

	if (c->pid > 0)
		bury(c, why);
	close_one(&c->sock);
	close_one(&c->statm);
	close_one(&c->file);
	paging_zram_remove(&c->zram);
	paging_limit_remove(&c->limit);
	if (c->mail)
		munmap(c->mail, sizeof(*c->mail));
	c->mail = NULL;
}
