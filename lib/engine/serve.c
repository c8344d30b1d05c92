/* SPDX-License-Identifier: MIT */
/*
 * From a run of faults to pages: ask the fault function, carry its answer out,
 * and deal with what the kernel says to it.
 */
#include "engine.h"

/* ---- doubts ------------------------------------------------------------------ */

/*
 * "There already, so wake" goes round for ever where the page is not there:
 * hugetlb with an empty pool answers so. Who is told the same of one address
 * many times in a row, without any success between, stops believing it.
 */
static struct doubt *doubt_of(struct uffd_engine *e, uint64_t addr)
{
	return &e->doubts[(addr * 0x9e3779b97f4a7c15u) >> 58];
}

/* Once more; returns how often before. */
unsigned doubt_again(struct uffd_engine *e, uint64_t addr)
{
	struct doubt *d = doubt_of(e, addr);

	if (atomic_exchange_explicit(&d->addr, addr, memory_order_relaxed) !=
	    addr)
		atomic_store_explicit(&d->times, 0, memory_order_relaxed);
	atomic_store_explicit(&e->in_doubt, 1, memory_order_relaxed);
	return atomic_fetch_add_explicit(&d->times, 1, memory_order_relaxed);
}

bool doubt_any(struct uffd_engine *e, uint64_t addr)
{
	const struct doubt *d = doubt_of(e, addr);

	return atomic_load_explicit(&d->addr, memory_order_relaxed) == addr &&
	       atomic_load_explicit(&d->times, memory_order_relaxed) > 0;
}

static void believe(struct uffd_engine *e, uint64_t addr)
{
	struct doubt *d;

	if (!atomic_load_explicit(&e->in_doubt, memory_order_relaxed))
		return;
	d = doubt_of(e, addr);
	if (atomic_load_explicit(&d->addr, memory_order_relaxed) == addr)
		atomic_store_explicit(&d->times, 0, memory_order_relaxed);
}

/* ---- carrying out and counting -------------------------------------------------- */

static int carry_out(struct range *r, const struct uffd_answer *a,
		     uintptr_t thread, struct uffd_progress *p)
{
	int err;

	if (a->action == LIBUFFD_DO_POISON)
		atomic_store_explicit(&r->poisoned, 1, memory_order_relaxed);
	err = answer_carry_out(r, a, p);
	if (p->filled && a->action != LIBUFFD_DO_UNPROTECT &&
	    a->action != LIBUFFD_DO_POISON)
		engine_count(r->e, thread, COUNT_PAGES,
			     p->filled / r->page_size);
	if (p->existed)
		engine_count(r->e, thread, COUNT_EXISTED,
			     p->existed / r->page_size);
	if (p->filled)
		believe(r->e, a->start);
	return err;
}

PUBLIC int uffd_engine_resolve(struct uffd_engine *e,
			       const struct uffd_answer *answer)
{
	struct range *r = table_get(e->table, answer->start);
	struct uffd_progress p;
	int err;

	if (!r)
		return -ENOENT;
	if (r->e != e || answer->len > r->len ||
	    answer->start - r->start > r->len - answer->len)
		err = -ENOENT;
	else if (answer->action == LIBUFFD_DO_LATER ||
		 answer_check(r, answer) < 0)
		err = -EINVAL;
	else
		err = carry_out(r, answer, (uintptr_t)pthread_self(), &p);
	range_put(r);
	return err;
}

/* ---- one run --------------------------------------------------------------------- */

/* the part of a run that is still to be served */
struct serving {
	struct range *r;
	struct uffd_fault *f;
	uintptr_t thread;
};

static void advance(struct uffd_fault *f, uint64_t to)
{
	f->len -= to - f->start;
	f->start = to;
}

/*
 * There are no such pages. A page that is there (a write that may not go on)
 * can't be poisoned, and waking its threads would only bring them back: they
 * are left to wait, as are all where the kernel can't poison.
 */
static enum served give_up(const struct serving *s, int error, const char *what)
{
	struct uffd_answer poison = {
		.action = LIBUFFD_DO_POISON,
		.start = s->f->start,
		.len = s->f->len,
	};
	struct uffd_progress p;
	int err = 0;

	engine_report(s->r->e, error, s->f->start, what);
	if (s->f->kind == LIBUFFD_FAULT_MISSING ||
	    s->f->kind == LIBUFFD_FAULT_MINOR)
		err = carry_out(s->r, &poison, s->thread, &p);
	if (err == -EINPROGRESS || err == -EAGAIN)
		return SERVE_AGAIN;
	if (err == -ESRCH)
		return SERVE_NEVER;
	if (err)
		engine_report(s->r->e, err, s->f->start, "poison");
	advance(s->f, s->f->start + s->f->len);
	return SERVED_BUS;
}

/* The same for the first page only. */
static enum served give_up_page(const struct serving *s, int error,
				const char *what)
{
	struct uffd_fault page = *s->f;
	struct serving one = { .r = s->r, .f = &page, .thread = s->thread };
	enum served ret;

	page.len = s->r->page_size;
	ret = give_up(&one, error, what);
	if (ret == SERVED_BUS)
		advance(s->f, s->f->start + s->r->page_size);
	return ret;
}

/*
 * The kernel refused the first page of the run. What will pass is tried again
 * later; what may be gone by itself (the end of a file, a hole) is woken and
 * comes back if it is not, but not for ever.
 */
static enum served refused(const struct serving *s, int error,
			   const char *what)
{
	struct uffd_engine *e = s->r->e;
	unsigned times;

	switch (error) {
	case -EINPROGRESS:
	case -EAGAIN:
		engine_count(e, s->thread, COUNT_RETRIES, 1);
		return SERVE_AGAIN;
	case -ENOMEM:
		if (doubt_again(e, s->f->start) == 0)
			engine_report(e, error, s->f->start, what);
		return SERVE_AGAIN;
	case -ESRCH:
		return SERVE_NEVER;
	case -EFAULT:
	case -ENOENT:
		times = doubt_again(e, s->f->start);
		if (times >= MOST_DOUBTS)
			return give_up_page(s, error, what);
		if (times == 0)
			engine_report(e, error, s->f->start, what);
		uffd_wake(e->fd, s->f->start, s->r->page_size);
		advance(s->f, s->f->start + s->r->page_size);
		return SERVED;
	default:
		return give_up_page(s, error, what);
	}
}

/* the part of the answer that is about the run itself */
static void narrow(const struct uffd_fault *f, struct uffd_answer *a)
{
	uint64_t skip = f->start > a->start ? f->start - a->start : 0;
	uint64_t end = a->start + a->len;

	if (end > f->start + f->len)
		end = f->start + f->len;
	if (a->src)
		a->src = (const uint8_t *)a->src + skip;
	a->start += skip;
	a->len = end - a->start;
}

/* Everything that was answered existed: is that to be believed? */
static bool nothing_new(const struct uffd_answer *a,
			const struct uffd_progress *p)
{
	return p->existed && !p->filled && a->action != LIBUFFD_DO_POISON;
}

static enum served carry_out_for(const struct serving *s, struct uffd_answer *a)
{
	struct uffd_fault *f = s->f;
	const char *what = answer_name(a->action);
	struct uffd_progress p;
	int err = carry_out(s->r, a, s->thread, &p);
	uint64_t end = f->start + f->len;

	/* what is beyond the run is best effort, in front of it as well */
	if (err && err != -EINPROGRESS && a->start + p.done < f->start) {
		narrow(f, a);
		err = carry_out(s->r, a, s->thread, &p);
	}
	if (!err && nothing_new(a, &p) && f->kind == LIBUFFD_FAULT_MISSING &&
	    doubt_again(s->r->e, f->start) >= MOST_DOUBTS)
		return give_up_page(s, -ENOMEM, what);
	if (a->start + p.done > f->start)
		advance(f, a->start + p.done < end ? a->start + p.done : end);
	if (!err || f->len == 0)
		return SERVED;
	return refused(s, err, what);
}

static enum served ask(const struct serving *s)
{
	struct uffd_fault *f = s->f;
	struct uffd_answer a = { .start = f->start, .len = f->len };
	int err;

	engine_count(s->r->e, s->thread, COUNT_RUNS, 1);
	err = s->r->fault(s->r->user, f, &a);
	if (err == 0)
		err = answer_check(s->r, &a);
	if (err == 0 && (a.start > f->start || a.start + a.len <= f->start))
		err = -EINVAL;	/* about something else */
	if (err == 0 && a.action == LIBUFFD_DO_LATER &&
	    s->r->e->kind == LIBUFFD_ENGINE_SIGBUS)
		err = -EINVAL;
	if (err)
		return give_up(s, err, "fault function");
	enum served ret = carry_out_for(s, &a);

	return ret == SERVED && a.action == LIBUFFD_DO_POISON ? SERVED_BUS :
								ret;
}

enum served serve(struct range *r, struct uffd_fault *f, uintptr_t thread)
{
	const struct serving s = { .r = r, .f = f, .thread = thread };
	enum served ret = SERVED;

	ahead_suggest(r->e->streams, thread, r, f);
	while (f->len > 0) {
		enum served one = ask(&s);

		if (one == SERVE_AGAIN || one == SERVE_NEVER)
			return one;
		if (one == SERVED_BUS)
			ret = SERVED_BUS;
		f->ahead_start = f->start;
		f->ahead_len = f->len;
	}
	return ret;
}
