/* SPDX-License-Identifier: MIT */
/*
 * Advice on many ranges, dropping and punching.
 */
#include <sys/uio.h>

#include "fixture.h"

static struct area full(const struct memory *m, unsigned nr)
{
	struct area a = map_area(m, nr);

	memset(a.p, 'a', a.len);
	return a;
}

/* every second page, far more ranges than the kernel takes in one call */
static void many_ranges(const struct memory *m)
{
	const unsigned nr = m->is & HUGETLB ? 3 : 2500;
	struct area a = full(m, 2 * nr);
	struct iovec ranges[2500];
	char want = m->is & TO_ONE ? 0 : 'a';

	for (unsigned i = 0; i < nr; i++)
		ranges[i] = (struct iovec){ page_of(&a, 2 * i), a.page };
	SAME(uffd_advise(ranges, nr, MADV_DONTNEED), nr * a.page);
	for (unsigned i = 0; i < nr; i++)
		CHECK(!pagemap_bit(page_of(&a, 2 * i), PAGEMAP_PRESENT));
	for (unsigned i = 0; i < nr; i++) {
		CHECK(m->is == MEMFD_PRIVATE ||
		      page_of(&a, 2 * i)[9] == want);
		SAME(page_of(&a, 2 * i + 1)[9], 'a');
	}
}

static void one_range(const struct memory *m)
{
	struct area a = full(m, 2);
	struct iovec range = { a.p, a.page };

	SAME(uffd_advise(&range, 1, MADV_DONTNEED), a.page);
	CHECK(!pagemap_bit(a.p, PAGEMAP_PRESENT));
	CHECK(pagemap_bit(page_of(&a, 1), PAGEMAP_PRESENT));
	SAME(uffd_advise(&range, 0, MADV_DONTNEED), 0);
}

/* a bad one in the middle: what came before it is done and told */
static void stops_at_bad(const struct memory *m)
{
	struct area a = full(m, 3);
	struct iovec ranges[] = {
		{ a.p, a.page },
		{ a.p + 1, a.page },
		{ page_of(&a, 2), a.page },
	};

	SAME(uffd_advise(ranges, 3, MADV_DONTNEED), a.page);
	CHECK(!pagemap_bit(a.p, PAGEMAP_PRESENT));
	SAME(uffd_advise(ranges + 1, 2, MADV_DONTNEED), -EINVAL);
	CHECK(pagemap_bit(page_of(&a, 2), PAGEMAP_PRESENT));
	SAME(uffd_advise(ranges, 1, 12345), -EINVAL);
}

static void drops(const struct memory *m)
{
	struct area a = full(m, 2);

	SAME(uffd_drop(a.at, a.page), 0);
	CHECK(!pagemap_bit(a.p, PAGEMAP_PRESENT));
	CHECK(pagemap_bit(page_of(&a, 1), PAGEMAP_PRESENT));
	SAME(a.p[0], m->is & TO_ALL ? 'a' : 0);
	SAME(uffd_drop(a.at + 1, a.page), -EINVAL);
	munmap(a.p, a.len);
	SAME(uffd_drop(a.at, a.page), -ENOMEM);
}

static void punches(const struct memory *m)
{
	struct area a = full(m, 2);

	SAME(uffd_punch(a.fd, 0, a.page), 0);
	SAME(a.p[0], 0);
	SAME(page_of(&a, 1)[0], 'a');
	SAME(lseek(a.fd, 0, SEEK_END), a.len);
	SAME(uffd_punch(a.fd, 0, 0), -EINVAL);
	SAME(uffd_punch(-1, 0, a.page), -EBADF);
}

static void mapped_nowhere(const struct memory *m)
{
	struct area a = full(m, 2);
	char c = 0;

	munmap(a.p, a.len);
	SAME(uffd_punch(a.fd, 0, a.page), 0);
	SAME(pread(a.fd, &c, 1, (off_t)a.page), 1);
	SAME(c, 'a');
	SAME(pread(a.fd, &c, 1, 0), 1);
	SAME(c, 0);
}

struct deed {
	struct area a;
	int64_t n;
	struct actor actor;
};

static void do_advise(void *data)
{
	struct deed *d = data;
	struct iovec ranges[] = {
		{ d->a.p, d->a.page },
		{ page_of(&d->a, 2), d->a.page },
	};

	d->n = uffd_advise(ranges, 2, MADV_DONTNEED);
}

/* with EVENT_REMOVE each range is told, and waits to be read */
static void tells(const struct memory *m)
{
	struct deed d = { .a = full(m, 3) };
	int fd = open_uffd(UFFD_FEATURE_EVENT_REMOVE);

	watch(fd, &d.a, MISSING);
	start(&d.actor, do_advise, &d);
	for (unsigned i = 0; i < 3; i += 2) {
		struct uffd_event ev = next_event(fd);

		SAME(ev.kind, LIBUFFD_EVENT_REMOVE);
		SAME(ev.start, at_page(&d.a, i));
	}
	finish(&d.actor);
	SAME(d.n, 2 * d.a.page);
}

static const struct promise promises[] = {
	{ "a bad range stops; what came before it is done and told",
	  stops_at_bad, SMALL, 0, 0 },
	{ "thousands of ranges are advised", many_ranges, ALL, NEED_DROP, 0 },
	{ "one range, or none", one_range, ALL, NEED_DROP, 0 },
	{ "with EVENT_REMOVE each range is told", tells, ALL, NEED_DROP, 0 },
	{ "dropping loses private pages and keeps shared ones", drops,
	  ANON | TO_ALL, NEED_DROP, 0 },
	{ "punching empties the file and keeps its length", punches,
	  MEMFD | HUGE, 0, 0 },
	{ "punching works where nothing is mapped", mapped_nowhere,
	  MEMFD | HUGE, 0, 0 },
};

MAIN(promises)
