/* SPDX-License-Identifier: MIT */
/*
 * `uffd bench paging`: paging compared with what else there is.
 */
#include "bench-paging.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "progress.h"
#include "say.h"

/* ---- measuring --------------------------------------------------------- */

static void show_progress(void *arg, unsigned done, unsigned total)
{
	(void)arg;
	progress_draw(done, total);
}

static int show(const char *program, const struct paging_options *o,
		const struct paging_report *report)
{
	int status = 0;

	if (o->format == PAGING_JSON)
		status = paging_show_json(program, &o->plan, report);
	else if (o->format == PAGING_CSV)
		paging_show_csv(&o->plan, report);
	else
		paging_show_table(&o->plan, report);
	fflush(stdout);
	/* The table tells them itself; what broke is an error in each form. */
	for (unsigned i = 0; i < report->nr_gaps; i++) {
		const struct paging_gap *gap = &report->gaps[i];

		if (gap->broken || o->format == PAGING_CSV)
			say_error(program, "%s is left out: %s", gap->name,
				  gap->why);
		status |= gap->broken;
	}
	return status;
}

static int measure(const char *program, struct paging_options *o)
{
	struct paging_report report;
	int err, status;

	o->plan.progress = show_progress;
	err = paging_run(&o->plan, &report);
	progress_clear();
	status = err ? say_error(program, "%s", report.error) :
		       show(program, o, &report);
	paging_report_free(&report);
	return finish_output(program, status);
}

/* ---- in a process of its own ------------------------------------------- */

static const int ending[] = { SIGINT, SIGTERM, SIGHUP };

static int wait_for(const char *program, pid_t pid, const sigset_t *signals)
{
	int status, sig;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		sig = sigwaitinfo(signals, NULL);
		if (sig > 0 && sig != SIGCHLD)
			kill(pid, sig);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return say_error(program, "the measuring process died: %s; a zram "
			 "device or a control group named uffd-bench-%d-N may "
			 "be left", strsignal(WTERMSIG(status)), (int)pid);
}

/*
 * Swap and control groups must be taken away whatever happens to us. So it is
 * another process that makes them, which hears of our death.
 */
static int measure_apart(const char *program, struct paging_options *o)
{
	const pid_t parent = getpid();
	sigset_t signals, before;
	pid_t pid;

	sigemptyset(&signals);
	for (unsigned i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaddset(&signals, ending[i]);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	pid = fork();
	if (pid == 0) {
		/* Not in our group, or what kills it would kill both. */
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			raise(SIGTERM);
		exit(measure(program, o));
	}
	if (pid < 0)
		return say_error(program, "no process to measure in: %s",
				 strerror(errno));
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &before);
	return wait_for(program, pid, &signals);
}

int bench_paging(int argc, char **argv)
{
	struct paging_options o;

	switch (paging_options_parse(argc, argv, &o)) {
	case PAGING_BAD:
		return 1;
	case PAGING_TOLD:
		return finish_output(argv[0], 0);
	default:
		return measure_apart(argv[0], &o);
	}
}
