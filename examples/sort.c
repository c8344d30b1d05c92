/* SPDX-License-Identifier: MIT */
/*
 * Sort a file of 8-byte numbers in a quarter of its size of memory.
 *
 *	cc -O2 -o sort sort.c $(pkg-config --cflags --libs libuffd)
 *	./sort [FILE]		(without one: 64 MiB of random numbers)
 *
 * It is quicksort, as one would write it for memory: two pointers that run
 * towards each other, which the pager sees as two streams and reads ahead of.
 * After two rounds each part fits in the budget, and no more is read.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uffd/pager.h>

static uint64_t random_number(uint64_t *dice)
{
	*dice ^= *dice << 13;
	*dice ^= *dice >> 7;
	*dice ^= *dice << 17;
	return *dice;
}

/* A scratch file, opened; its name goes to path. */
static int make_file(char *path)
{
	static uint64_t numbers[1 << 17];
	uint64_t dice = 88172645463325252;
	int fd = mkstemp(path);

	if (fd < 0)
		err(1, "%s", path);
	for (int mib = 0; mib < 64; mib++) {
		for (size_t i = 0; i < 1 << 17; i++)
			numbers[i] = random_number(&dice);
		if (write(fd, numbers, sizeof(numbers)) != sizeof(numbers))
			err(1, "%s", path);
	}
	/* no whole number of pages */
	if (write(fd, numbers, 24) != 24)
		err(1, "%s", path);
	return fd;
}

static void insert(uint64_t *first, uint64_t *end)
{
	for (uint64_t *p = first + 1; p < end; p++) {
		uint64_t number = *p, *at = p;

		for (; at > first && at[-1] > number; at--)
			*at = at[-1];
		*at = number;
	}
}

static uint64_t middle_of(uint64_t a, uint64_t b, uint64_t c)
{
	if (a > b)
		return c > a ? a : c > b ? c : b;
	return c > b ? b : c > a ? c : a;
}

static void sort(uint64_t *first, uint64_t *end)
{
	while (end - first > 16) {
		uint64_t pivot = middle_of(*first, first[(end - first) / 2],
					   end[-1]);
		uint64_t *low = first - 1, *high = end;

		for (;;) {
			while (*++low < pivot)
				;
			while (*--high > pivot)
				;
			if (low >= high)
				break;
			uint64_t swapped = *low;
			*low = *high;
			*high = swapped;
		}
		/* the shorter part first: the stack stays small */
		if (high + 1 - first < end - high - 1) {
			sort(first, high + 1);
			first = high + 1;
		} else {
			sort(high + 1, end);
			end = high + 1;
		}
	}
	insert(first, end);
}

/* The sum of a file's numbers, read the usual way; says if they ascend. */
static uint64_t sum_of(int fd, int *ret_sorted)
{
	static uint64_t numbers[1 << 13];
	uint64_t sum = 0, last = 0;
	ssize_t n;

	*ret_sorted = 1;
	for (off_t at = 0; (n = pread(fd, numbers, sizeof(numbers), at)) > 0;
	     at += n)
		for (ssize_t i = 0; i < n / 8; i++) {
			*ret_sorted &= numbers[i] >= last;
			last = numbers[i];
			sum += last;
		}
	if (n < 0)
		err(1, "can't read");
	return sum;
}

static void sort_file(const char *path)
{
	struct uffd_pager_opts opts = { .sz = sizeof(opts),
		.engine = LIBUFFD_ENGINE_SIGBUS, .pins = LIBUFFD_PINS_CALLED };
	/* streams: larger pages make fewer requests */
	struct uffd_region_opts map = { .sz = sizeof(map),
		.page_size = 64 << 10 };
	struct uffd_pager_stats did;
	struct uffd_reason why;
	struct uffd_pager *pager;
	struct uffd_region *region;
	uint64_t len, *numbers;
	char uri[4096];

	/* '?', '&' and '%' of a path would have to be written as %XX */
	snprintf(uri, sizeof(uri), "file:%s", path);
	if (uffd_store_open(uri, 0, &why, &map.store) < 0)
		errx(1, "%s", why.text);
	len = uffd_store_length(map.store);
	opts.budget = len / 4 > 1 << 20 ? len / 4 : 1 << 20;
	if (uffd_pager_new(&opts, &why, &pager) < 0 ||
	    uffd_region_new(pager, &map, &why, &region) < 0)
		errx(1, "%s", why.text);

	numbers = uffd_region_start(region);
	sort(numbers, numbers + len / 8);

	int error = uffd_sync(region, 0, len);
	if (error)
		errx(1, "%s: %s", path, strerror(-error));
	uffd_pager_stats(pager, &did);
	printf("%llu MiB sorted in %llu MiB: %llu MiB read, %llu written\n",
	       (unsigned long long)len >> 20,
	       (unsigned long long)opts.budget >> 20,
	       (unsigned long long)did.read_pages * map.page_size >> 20,
	       (unsigned long long)did.written_pages * map.page_size >> 20);
	uffd_pager_free(pager);
	uffd_store_close(map.store);
}

int main(int argc, char **argv)
{
	char scratch[] = "/var/tmp/sort.XXXXXX";
	const char *path = argc > 1 ? argv[1] : scratch;
	int fd = argc > 1 ? open(path, O_RDONLY) : make_file(scratch);
	int sorted;

	if (fd < 0)
		err(1, "%s", path);
	uint64_t before = sum_of(fd, &sorted);
	sort_file(path);
	uint64_t after = sum_of(fd, &sorted);

	if (argc == 1)
		unlink(path);
	if (!sorted || before != after)
		errx(1, "%s is not sorted", path);
	return 0;
}
