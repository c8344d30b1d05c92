/* SPDX-License-Identifier: MIT */
/*
 * An array of 1 TiB on 64 MiB of memory: a sheet of 2^20 x 2^20 points, with
 * sixteen discs painted on it, 430 MiB of paint.
 *
 *	cc -O2 -o sparse sparse.c $(pkg-config --cflags --libs libuffd)
 *	./sparse
 *
 * There is no store and no file: what was never written is zeros, and what has
 * to leave memory is kept compressed. The program never says what that is.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <uffd/pager.h>

enum { SIDE = 1 << 20, TILE = 64, DISCS = 16, RADIUS = 3000 };

/* Points that are near each other are in the same page: a page is a square of
 * 64 x 64 points. */
static uint8_t *point(uint8_t *sheet, int64_t x, int64_t y)
{
	int64_t tile = y / TILE * (SIDE / TILE) + x / TILE;

	return sheet + tile * TILE * TILE + y % TILE * TILE + x % TILE;
}

/* each in a part of the sheet of its own */
static int64_t middle_x(int disc)
{
	return disc % 4 * (SIDE / 4) + SIDE / 8 + disc * 1001;
}

static int64_t middle_y(int disc)
{
	return disc / 4 * (SIDE / 4) + SIDE / 8 - disc * 999;
}

static int64_t half_width(int64_t dy)
{
	int64_t dx = RADIUS;

	while (dx * dx + dy * dy > (int64_t)RADIUS * RADIUS)
		dx--;
	return dx;
}

/* Do something for each stretch of points that lie one after another. */
static int64_t each_stretch(uint8_t *sheet, int disc,
			    int64_t (*what)(uint8_t *at, int64_t nr, int paint))
{
	int64_t sum = 0;

	for (int64_t dy = -RADIUS; dy <= RADIUS; dy++) {
		int64_t x = middle_x(disc) - half_width(dy), stop;
		int64_t end = middle_x(disc) + half_width(dy) + 1;

		for (; x < end; x = stop) {
			stop = x / TILE * TILE + TILE;
			if (stop > end)
				stop = end;
			sum += what(point(sheet, x, middle_y(disc) + dy),
				    stop - x, disc + 1);
		}
	}
	return sum;
}

static int64_t paint_it(uint8_t *at, int64_t nr, int paint)
{
	memset(at, paint, (size_t)nr);
	return nr;
}

static int64_t count_it(uint8_t *at, int64_t nr, int paint)
{
	int64_t sum = 0;

	for (int64_t i = 0; i < nr; i++)
		sum += at[i] == paint;
	return sum;
}

int main(void)
{
	struct uffd_pager_opts opts = { .sz = sizeof(opts), .budget = 64 << 20,
		.engine = LIBUFFD_ENGINE_SIGBUS, .pins = LIBUFFD_PINS_CALLED };
	struct uffd_region_opts map = { .sz = sizeof(map),
		.len = (uint64_t)SIDE * SIDE };
	int64_t painted = 0, found = 0;
	struct uffd_pager_stats did;
	struct uffd_reason why;
	struct uffd_pager *pager;
	struct uffd_region *region;
	struct rusage used;

	if (uffd_pager_new(&opts, &why, &pager) < 0 ||
	    uffd_region_new(pager, &map, &why, &region) < 0)
		errx(1, "%s", why.text);
	for (int disc = 0; disc < DISCS; disc++)
		painted += each_stretch(uffd_region_start(region), disc,
					paint_it);
	for (int disc = 0; disc < DISCS; disc++)
		found += each_stretch(uffd_region_start(region), disc,
				      count_it);
	if (found != painted)
		errx(1, "%lld points are lost", (long long)(painted - found));

	uffd_pager_stats(pager, &did);
	getrusage(RUSAGE_SELF, &used);
	printf("%lld MiB painted on a sheet of 1 TiB, %llu pages packed away; "
	       "at most %ld MiB resident, metadata and packed pages included\n",
	       (long long)painted >> 20,
	       (unsigned long long)did.written_pages, used.ru_maxrss >> 10);
	uffd_pager_free(pager);
	return 0;
}
