/* SPDX-License-Identifier: MIT */
/*
 * Incremental back-up of an array: whole once, then only what was written.
 *	cc -O2 -o backup backup.c $(pkg-config --cflags --libs libuffd)
 *	./backup FILE [MEGABYTES [ROUNDS]]
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uffd/track.h>

#define NR_RANGES 256

static char *array;
static size_t len;

static void check(int error, const char *what)
{
	if (error < 0)
		errx(1, "%s: %s", what, strerror(-error));
}

static void save(int file, const struct uffd_written *w)
{
	char *from = (char *)(uintptr_t)w->start;

	if (pwrite(file, from, w->len, from - array) != (ssize_t)w->len)
		err(1, "writing the back-up");
}

/* What was written since the last time, into the file. Bytes. */
static size_t back_up(struct uffd_track *track, int file)
{
	struct uffd_written w[NR_RANGES];
	size_t sum = 0;
	unsigned nr;
	int more;

	do {
		more = uffd_track_collect(track, w, NR_RANGES, &nr);
		for (unsigned i = 0; i < nr; i++) {
			save(file, &w[i]);
			sum += w[i].len;
		}
		check(more, "looking for what was written");
	} while (more);
	return sum;
}

/* Is the file what the array is? */
static void compare(int file)
{
	char *saved = mmap(NULL, len, PROT_READ, MAP_SHARED, file, 0);

	if (saved == MAP_FAILED)
		err(1, "mapping the back-up");
	if (memcmp(saved, array, len) != 0)
		errx(1, "the back-up differs from the array");
	munmap(saved, len);
}

static void work(void)
{
	for (int i = 0; i < 100; i++)
		array[(size_t)random() % len] = (char)i;
}

int main(int argc, char **argv)
{
	int rounds = argc > 3 ? atoi(argv[3]) : 5;
	struct uffd_track *track;
	int file;

	if (argc < 2)
		errx(1, "usage: backup FILE [MEGABYTES [ROUNDS]]");
	len = (argc > 2 ? strtoul(argv[2], NULL, 10) : 64) << 20;
	array = mmap(NULL, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	file = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!len || array == MAP_FAILED)
		errx(1, "no memory for %zu bytes", len);
	if (file < 0 || ftruncate(file, (off_t)len) < 0)
		err(1, "%s", argv[1]);
	work();

	check(uffd_track_new(NULL, &track), "making a tracker");
	check(uffd_track_add(track, (uintptr_t)array, len), "tracking");
	check(uffd_track_start(track), "starting");
	save(file, &(struct uffd_written){ (uintptr_t)array, len });
	printf("whole      %10zu bytes\n", len);
	for (int i = 1; i <= rounds; i++) {
		work();
		printf("increment  %10zu bytes\n", back_up(track, file));
		compare(file);
	}
	uffd_track_free(track);
	return 0;
}
