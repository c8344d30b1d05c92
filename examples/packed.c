/* SPDX-License-Identifier: MIT */
/*
 * Compressed data, mapped: a file is packed into memory once, and then read
 * with plain pointers, at any place, a sixteenth of it unpacked at a time.
 *
 *	cc -O2 -o packed packed.c $(pkg-config --cflags --libs libuffd)
 *	./packed [FILE]		(without one: 64 MiB of a made-up log)
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uffd/pager.h>

enum { PIECE = 1 << 20, MADE_UP = 64 };

static uint64_t lines_of(const char *text, uint64_t len)
{
	const char *end = text + len;
	uint64_t nr = 0;

	while (text < end) {
		const char *at = memchr(text, '\n', (size_t)(end - text));

		if (!at)
			break;
		text = at + 1;
		nr++;
	}
	return nr;
}

/* Lines of 64 bytes that begin with their number, so that line n is easy to
 * find. */
static void make_up(char *piece, uint64_t at)
{
	for (unsigned long long n = at / 64; n < (at + PIECE) / 64; n++) {
		char line[96];

		memset(line, ' ', sizeof(line));
		int len = snprintf(line, sizeof(line),
				   "%010llu GET /page/%llu 200 %llu us", n,
				   n * 7919 % 100003, n * 104729 % 99991);
		line[len] = ' ';
		line[63] = '\n';
		memcpy(piece + n * 64 - at, line, 64);
	}
}

/* The best packing that this library was built with. */
static struct uffd_store *open_packed(uint64_t len)
{
	static const char *const packings[] = { "zstd", "lz4", "none" };
	struct uffd_reason why;
	struct uffd_store *store;
	char uri[80];

	for (int i = 0; i < 3; i++) {
		snprintf(uri, sizeof(uri), "memory:?size=%llu&compress=%s",
			 (unsigned long long)len, packings[i]);
		if (uffd_store_open(uri, 0, &why, &store) == 0)
			return store;
	}
	errx(1, "%s", why.text);
}

/* Fill the packed store, from a store or made up; how many lines went in. */
static uint64_t pack(struct uffd_store *from, struct uffd_store *to)
{
	char *piece = malloc(PIECE);
	uint64_t len = uffd_store_length(to), nr = 0;
	int error = piece ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < len && !error; at += PIECE) {
		uint64_t n = len - at < PIECE ? len - at : PIECE;

		if (from)
			error = uffd_store_read(from, at, piece, n);
		else
			make_up(piece, at);
		nr += error ? 0 : lines_of(piece, n);
		if (!error)
			error = uffd_store_write(to, at, piece, n);
	}
	if (error)
		errx(1, "can't be packed: %s", strerror(-error));
	free(piece);
	return nr;
}

/* Lines here and there, as one would look them up. */
static void look_up(const char *text, uint64_t lines)
{
	for (uint64_t i = 0, n = 17; i < 1000; i++, n = (n + 611953) % lines)
		if (strtoull(text + n * 64, NULL, 10) != n)
			errx(1, "line %llu is another",
			     (unsigned long long)n);
}

int main(int argc, char **argv)
{
	struct uffd_pager_opts opts = { .sz = sizeof(opts),
		.engine = LIBUFFD_ENGINE_SIGBUS, .pins = LIBUFFD_PINS_CALLED };
	struct uffd_region_opts map = { .sz = sizeof(map),
		.flags = LIBUFFD_REGION_RDONLY };
	uint64_t len = MADE_UP * PIECE, lines;
	struct uffd_store *file = NULL;
	struct uffd_store_stats packed;
	struct uffd_reason why;
	struct uffd_pager *pager;
	struct uffd_region *region;
	char uri[4096];

	if (argc > 1) {
		snprintf(uri, sizeof(uri), "file:%s", argv[1]);
		if (uffd_store_open(uri, LIBUFFD_STORE_RDONLY, &why, &file) < 0)
			errx(1, "%s", why.text);
		len = uffd_store_length(file);
	}
	map.store = open_packed(len);
	lines = pack(file, map.store);
	uffd_store_close(file);

	opts.budget = len / 16 > 1 << 20 ? len / 16 : 1 << 20;
	if (uffd_pager_new(&opts, &why, &pager) < 0 ||
	    uffd_region_new(pager, &map, &why, &region) < 0)
		errx(1, "%s", why.text);
	if (argc == 1)
		look_up(uffd_region_start(region), lines);
	if (lines_of(uffd_region_start(region), len) != lines)
		errx(1, "lines are lost");

	uffd_store_stats(map.store, &packed);
	printf("%llu lines, %llu MiB in %llu MiB, looked at through %llu MiB\n",
	       (unsigned long long)lines, (unsigned long long)len >> 20,
	       (unsigned long long)packed.packed_bytes >> 20,
	       (unsigned long long)opts.budget >> 20);
	uffd_pager_free(pager);
	uffd_store_close(map.store);
	return 0;
}
