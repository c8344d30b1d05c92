/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include <stddef.h>
#include <strings.h>

/* digits at *text; moves *text behind them */
static bool digits(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	*text = p;
	*ret = n;
	return true;
}

bool parse_count(const char *text, uint64_t *ret)
{
	uint64_t n;

	if (!digits(&text, &n) || *text)
		return false;
	*ret = n;
	return true;
}

static const struct {
	const char *name;
	unsigned shift;
} units[] = {
	{ "", 0 },
	{ "K", 10 },	{ "KiB", 10 },
	{ "M", 20 },	{ "MiB", 20 },
	{ "G", 30 },	{ "GiB", 30 },
	{ "T", 40 },	{ "TiB", 40 },
};

bool parse_size(const char *text, uint64_t *ret)
{
	uint64_t n;

	if (!digits(&text, &n))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(text, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(n, 1ull << units[i].shift, &n))
			return false;
		*ret = n;
		return true;
	}
	return false;
}

bool parse_cpus(const char *text, uint32_t *cpus, unsigned cap,
		unsigned *ret_nr)
{
	unsigned nr = 0;

	for (;;) {
		uint64_t first, last;

		if (!digits(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!digits(&text, &last))
				return false;
		}
		if (last < first || last > UINT32_MAX)
			return false;
		for (uint64_t cpu = first; cpu <= last; cpu++) {
			if (nr == cap)
				return false;
			cpus[nr++] = (uint32_t)cpu;
		}
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return false;
	}
	*ret_nr = nr;
	return true;
}
