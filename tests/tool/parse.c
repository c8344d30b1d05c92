/* SPDX-License-Identifier: MIT */
/*
 * Numbers as people write them, and as they had better not.
 */
#include <string.h>

#include "seam/promise.h"
#include "tool/parse.h"

#define UNTOUCHED 4242

/* what each of the texts is refused as; nothing may have been written */
static void refuse(bool (*parse)(const char *, uint64_t *),
		   const char *const *texts)
{
	for (; *texts; texts++) {
		uint64_t n = UNTOUCHED;

		if (!CHECK(!parse(*texts, &n)) || !SAME(n, UNTOUCHED))
			printf("#   of '%s'\n", *texts);
	}
}

static void counts(void)
{
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "007", 7 },
		{ "100000", 100000 },
		{ "18446744073709551615", UINT64_MAX },
	};

	for (unsigned i = 0; i < NR(good); i++) {
		uint64_t n = UNTOUCHED;

		CHECK(parse_count(good[i].text, &n));
		SAME(n, good[i].want);
	}
}

static void no_counts(void)
{
	static const char *const bad[] = {
		"", " ", "4x", "x4", "-1", "+1", " 1", "1 ", "1\n", "0x10",
		"1e3", "1.5", "1,000", "4K", "18446744073709551616",
		"99999999999999999999999", "\xd9\xa3", NULL,
	};

	refuse(parse_count, bad);
}

static void sizes(void)
{
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "4K", 4096 },
		{ "4k", 4096 },
		{ "4KiB", 4096 },
		{ "4kib", 4096 },
		{ "2M", 2ull << 20 },
		{ "2MiB", 2ull << 20 },
		{ "3G", 3ull << 30 },
		{ "1GiB", 1ull << 30 },
		{ "1T", 1ull << 40 },
		{ "1TiB", 1ull << 40 },
		{ "16777215T", 16777215ull << 40 },
		{ "0T", 0 },
	};

	for (unsigned i = 0; i < NR(good); i++) {
		uint64_t n = UNTOUCHED;

		CHECK(parse_size(good[i].text, &n));
		SAME(n, good[i].want);
	}
}

static void no_sizes(void)
{
	static const char *const bad[] = {
		"", "K", "MiB", "4x", "4KB", "4Ki", "4 K", "4K ", "4KK", "-4K",
		"1.5G", "4P", "16777216T", "18446744073709551615K",
		"18446744073709551616", NULL,
	};

	refuse(parse_size, bad);
}

#define CAP 8

static void cpus_are(const char *text, unsigned nr_want, const uint32_t *want)
{
	uint32_t cpus[CAP];
	unsigned nr = UNTOUCHED;

	if (!CHECK(parse_cpus(text, cpus, CAP, &nr)) || !SAME(nr, nr_want)) {
		printf("#   of '%s'\n", text);
		return;
	}
	for (unsigned i = 0; i < nr; i++)
		SAME(cpus[i], want[i]);
}

#define CPUS(text, ...) \
	cpus_are(text, NR(((uint32_t[]){ __VA_ARGS__ })), \
		 (uint32_t[]){ __VA_ARGS__ })

static void cpu_lists(void)
{
	CPUS("0", 0);
	CPUS("0,2", 0, 2);
	CPUS("2,0", 2, 0);
	CPUS("0-3,7", 0, 1, 2, 3, 7);
	CPUS("5-5", 5);
	CPUS("4294967295", UINT32_MAX);
	CPUS("4294967294-4294967295", UINT32_MAX - 1, UINT32_MAX);
	CPUS("1,1", 1, 1);
	CPUS("0-7", 0, 1, 2, 3, 4, 5, 6, 7);
}

static void no_cpu_lists(void)
{
	static const char *const bad[] = {
		"", ",", "0,", ",0", "0,,1", "-", "0-", "-1", "1-0", "0--1",
		"0-1-2", "0x1", "a", "0 1", "0, 1", "4294967296",
		"0-4294967296", "18446744073709551616",
	};

	for (unsigned i = 0; i < NR(bad); i++) {
		uint32_t cpus[CAP];
		unsigned nr = UNTOUCHED;

		if (!CHECK(!parse_cpus(bad[i], cpus, CAP, &nr)) ||
		    !SAME(nr, UNTOUCHED))
			printf("#   of '%s'\n", bad[i]);
	}
}

static void too_many_cpus(void)
{
	static const char *const bad[] = {
		"0-8", "0-4294967295", "0-7,0", "0,1,2,3,4,5,6,7,8",
	};

	for (unsigned i = 0; i < NR(bad); i++) {
		uint32_t cpus[CAP + 1];
		unsigned nr = UNTOUCHED;

		cpus[CAP] = UNTOUCHED;
		CHECK(!parse_cpus(bad[i], cpus, CAP, &nr));
		SAME(cpus[CAP], UNTOUCHED);
		SAME(nr, UNTOUCHED);
	}
}

static const struct promise promises[] = {
	{ "a count is decimal digits, up to 64 bits", counts },
	{ "anything else is no count, and nothing is written", no_counts },
	{ "a size may end in K, M, G, T or KiB to TiB, in any case", sizes },
	{ "anything else, and what overflows, is no size", no_sizes },
	{ "a list of processors keeps its order", cpu_lists },
	{ "anything else is no list of processors", no_cpu_lists },
	{ "more processors than there is room for are refused",
	  too_many_cpus },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
