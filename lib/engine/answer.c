/* SPDX-License-Identifier: MIT */
/*
 * Carrying an answer out: the one funnel to the kernel for all who install
 * pages here. One call does it nearly always, and wakes; what it leaves over
 * is finished without waking, and woken in one go.
 */
#include "engine.h"

/* one action, over the part of the answer that begins at `at` */
struct job {
	const struct range *r;
	const struct uffd_answer *a;
	int fd;
	/* one call, waking */
	int64_t (*once)(const struct job *j);
	/* the rest, to its end, not waking */
	int (*rest)(const struct job *j, uint64_t at, struct uffd_progress *p);
};

/* every operation on a range has this bit for it but WRITEPROTECT */
#define DONTWAKE UINT64_C(1)

static uint64_t mode_of(const struct uffd_answer *a)
{
	return a->mode & ~DONTWAKE;
}

static const uint8_t *source(const struct job *j, uint64_t at)
{
	return (const uint8_t *)j->a->src + at;
}

static int64_t once_copy(const struct job *j)
{
	return uffd_copy(j->fd, j->a->start, j->a->src, j->a->len,
			 mode_of(j->a));
}

static int rest_copy(const struct job *j, uint64_t at, struct uffd_progress *p)
{
	return uffd_copy_all(j->fd, j->a->start + at, source(j, at),
			     j->a->len - at, mode_of(j->a) | DONTWAKE,
			     j->r->page_size, p);
}

static int64_t once_continue(const struct job *j)
{
	return uffd_continue(j->fd, j->a->start, j->a->len, mode_of(j->a));
}

static int rest_continue(const struct job *j, uint64_t at,
			 struct uffd_progress *p)
{
	return uffd_continue_all(j->fd, j->a->start + at, j->a->len - at,
				 mode_of(j->a) | DONTWAKE, j->r->page_size, p);
}

static int64_t once_unprotect(const struct job *j)
{
	return uffd_writeprotect(j->fd, j->a->start, j->a->len, 0);
}

static int rest_unprotect(const struct job *j, uint64_t at,
			  struct uffd_progress *p)
{
	return uffd_writeprotect_all(j->fd, j->a->start + at, j->a->len - at,
				     UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
				     j->r->page_size, p);
}

static int64_t once_zeropage(const struct job *j)
{
	/* where markers may stand it would fail: the way of rest_zeropage */
	if (mode_of(j->a) || j->r->page_size != j->r->e->page_size)
		return 0;
	return uffd_zeropage(j->fd, j->a->start, j->a->len, 0);
}

/* zeros by copying them: huge pages, markers, and pages to be protected */
static int copy_zeros(const struct job *j, uint64_t at, struct uffd_progress *p)
{
	const uint64_t most = j->r->zeros_len;
	int err = 0;

	*p = (struct uffd_progress){ 0 };
	while (!err && at + p->done < j->a->len) {
		uint64_t len = j->a->len - at - p->done;
		struct uffd_progress q;

		err = uffd_copy_all(j->fd, j->a->start + at + p->done,
				    j->r->zeros, len < most ? len : most,
				    mode_of(j->a) | DONTWAKE, j->r->page_size,
				    &q);
		p->done += q.done;
		p->filled += q.filled;
		p->existed += q.existed;
		p->gone += q.gone;
	}
	return err;
}

static int rest_zeropage(const struct job *j, uint64_t at,
			 struct uffd_progress *p)
{
	if (mode_of(j->a) || (j->r->mode & UFFDIO_REGISTER_MODE_WP) ||
	    j->r->page_size != j->r->e->page_size)
		return copy_zeros(j, at, p);
	return uffd_zeropage_all(j->fd, j->a->start + at, j->a->len - at,
				 DONTWAKE, j->r->page_size, p);
}

static int64_t once_poison(const struct job *j)
{
	/* a write-protect marker would stand in the way */
	if (j->r->mode & UFFDIO_REGISTER_MODE_WP)
		uffd_writeprotect(j->fd, j->a->start, j->a->len,
				  UFFDIO_WRITEPROTECT_MODE_DONTWAKE);
	return uffd_poison(j->fd, j->a->start, j->a->len, 0);
}

static int rest_poison(const struct job *j, uint64_t at,
		       struct uffd_progress *p)
{
	return uffd_poison_all(j->fd, j->a->start + at, j->a->len - at,
			       DONTWAKE, j->r->page_size, p);
}

static int64_t once_move(const struct job *j)
{
	return uffd_move(j->fd, j->a->start, (uintptr_t)j->a->src, j->a->len,
			 mode_of(j->a));
}

/*
 * What can't be moved (pinned, shared by a fork, not such memory) is copied,
 * and then dropped at its old place, since that is what moving means; but not
 * where that would raise an event that this very thread has to read.
 */
static int copy_one(const struct job *j, uint64_t at, struct uffd_progress *p)
{
	const struct range *r = j->r;
	int err = uffd_copy_all(j->fd, j->a->start + at, source(j, at),
				r->page_size, DONTWAKE, r->page_size, p);

	if (p->filled && !(r->e->opened.enabled & UFFD_FEATURE_EVENT_REMOVE))
		uffd_drop((uintptr_t)source(j, at), r->page_size);
	return err;
}

static int rest_move(const struct job *j, uint64_t at, struct uffd_progress *p)
{
	*p = (struct uffd_progress){ 0 };
	while (at + p->done < j->a->len) {
		uint64_t from = at + p->done;
		struct uffd_progress q;
		int err = uffd_move_all(j->fd, j->a->start + from,
					(uintptr_t)source(j, from),
					j->a->len - from,
					mode_of(j->a) | DONTWAKE,
					j->r->page_size, &q);

		p->done += q.done;
		p->filled += q.filled;
		p->existed += q.existed;
		if (err != -EBUSY && err != -EINVAL)
			return err;
		err = copy_one(j, at + p->done, &q);
		p->done += q.done;
		p->filled += q.filled;
		p->existed += q.existed;
		p->gone += q.gone;
		if (err)
			return err;
	}
	return 0;
}

static int64_t once_wake(const struct job *j)
{
	int err = uffd_wake(j->fd, j->a->start, j->a->len);

	return err ? err : (int64_t)j->a->len;
}

static const struct {
	const char *name;
	int64_t (*once)(const struct job *j);
	int (*rest)(const struct job *j, uint64_t at, struct uffd_progress *p);
} actions[] = {
	[LIBUFFD_DO_COPY] = { "copy", once_copy, rest_copy },
	[LIBUFFD_DO_ZERO] = { "zero", once_zeropage, rest_zeropage },
	[LIBUFFD_DO_MOVE] = { "move", once_move, rest_move },
	[LIBUFFD_DO_CONTINUE] = { "continue", once_continue, rest_continue },
	[LIBUFFD_DO_UNPROTECT] = { "unprotect", once_unprotect,
				   rest_unprotect },
	[LIBUFFD_DO_POISON] = { "poison", once_poison, rest_poison },
	[LIBUFFD_DO_WAKE] = { "wake", once_wake, NULL },
	[LIBUFFD_DO_NOTHING] = { "nothing", NULL, NULL },
	[LIBUFFD_DO_LATER] = { "later", NULL, NULL },
};

#define NR_ACTIONS (sizeof(actions) / sizeof(actions[0]))

const char *answer_name(enum uffd_action action)
{
	return (unsigned)action < NR_ACTIONS && actions[action].name ?
		       actions[action].name :
		       "answer";
}

int answer_check(const struct range *r, const struct uffd_answer *a)
{
	bool needs_src = a->action == LIBUFFD_DO_COPY ||
			 a->action == LIBUFFD_DO_MOVE;

	if ((unsigned)a->action >= NR_ACTIONS || !actions[a->action].name)
		return -EINVAL;
	if (!a->len || (a->start | a->len) % r->page_size)
		return -EINVAL;
	if (a->start < r->start || a->start - r->start >= r->len ||
	    a->len > r->len - (a->start - r->start))
		return -EINVAL;
	return needs_src && !a->src ? -EINVAL : 0;
}

/* Finish what one call did not, from p->done on. */
static int finish(const struct job *j, struct uffd_progress *p)
{
	uint64_t at = p->done;
	struct uffd_progress q;
	int err = j->rest(j, at, &q);

	p->done += q.done;
	p->filled += q.filled;
	p->existed += q.existed;
	p->gone += q.gone;
	if (q.done)
		uffd_wake(j->fd, j->a->start + at, q.done);
	return err;
}

int answer_carry_out(const struct range *r, const struct uffd_answer *a,
		     struct uffd_progress *p)
{
	struct job j = {
		.r = r,
		.a = a,
		.fd = r->e->fd,
		.once = actions[a->action].once,
		.rest = actions[a->action].rest,
	};
	int64_t n;

	*p = (struct uffd_progress){ 0 };
	if (!j.once) {
		p->done = a->len;
		return 0;
	}
	n = j.once(&j);
	if (n > 0)
		p->done = n;
	if (j.rest)
		p->filled = p->done;
	if (p->done == a->len)
		return 0;
	if (n == -EINPROGRESS || n == -ESRCH || !j.rest)
		return (int)n;
	/* the usual race: another thread's fault has brought it. A "zero" may
	 * have met a marker instead, which finish() sees to */
	if (n == -EEXIST && a->len == r->page_size &&
	    a->action != LIBUFFD_DO_ZERO) {
		p->done = p->existed = a->len;
		return uffd_wake(j.fd, a->start, a->len);
	}
	return finish(&j, p);
}
