/* SPDX-License-Identifier: MIT */
/*
 * What pages must hold, and the first thing that went wrong.
 */
#include <errno.h>
#include <string.h>

#include "scene.h"

/* splitmix64: neighbouring numbers become unrelated ones */
uint64_t bench_mark(uint64_t key, uint64_t page)
{
	uint64_t x = key + page * 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return (x ^ (x >> 31)) | 1;	/* never 0, which is an empty page */
}

static uint64_t *word(const void *at, uint64_t offset)
{
	return (uint64_t *)((uintptr_t)at + offset);
}

void bench_stamp(void *at, uint64_t page_size, uint64_t mark)
{
	*word(at, 0) = mark;
	*word(at, page_size / 2) = mark;
	*word(at, page_size - sizeof(mark)) = mark;
}

bool bench_holds(const void *at, uint64_t page_size, uint64_t mark,
		 uint64_t *got)
{
	const uint64_t offsets[] = { 0, page_size / 2,
				     page_size - sizeof(mark) };

	for (unsigned i = 0; i < 3; i++) {
		*got = *(volatile uint64_t *)word(at, offsets[i]);
		if (*got != mark)
			return false;
	}
	return true;
}

void bench_trouble(struct bench_trouble *t, int error, const char *what)
{
	if (atomic_exchange(&t->taken, true))
		return;
	t->what = what;
	atomic_store(&t->error, error);
}

void bench_wrong_page(struct bench_trouble *t, uint64_t page, uint64_t got,
		      uint64_t want)
{
	if (atomic_exchange(&t->taken, true))
		return;
	t->page = page;
	t->got = got;
	t->want = want;
	atomic_store(&t->error, -EILSEQ);
}
