/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <strings.h>

#include "number.h"

/* digits at *text; moves *text behind them */
static bool digits(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*ret = n;
	return true;
}

bool number_count(const char *text, uint64_t *ret)
{
	uint64_t n;

	if (!digits(&text, &n) || *text)
		return false;
	*ret = n;
	return true;
}

bool number_size(const char *text, uint64_t *ret)
{
	static const char *const units[][2] = {
		{ "", "" },    { "K", "KiB" }, { "M", "MiB" },
		{ "G", "GiB" }, { "T", "TiB" },
	};
	uint64_t n;

	if (!digits(&text, &n))
		return false;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(text, units[i][0]) &&
		    strcasecmp(text, units[i][1]))
			continue;
		if (__builtin_mul_overflow(n, 1ull << 10 * i, &n))
			return false;
		*ret = n;
		return true;
	}
	return false;
}

/* by hand, as strtod listens to the program's locale */
bool number_fraction(const char *text, double *ret)
{
	uint64_t whole, part = 0;
	double scale = 1, n;

	if (!digits(&text, &whole))
		return false;
	if (*text == '.') {
		const char *point = ++text;

		if (!digits(&text, &part) || text - point > 18)
			return false;
		for (; point < text; point++)
			scale *= 10;
	}
	n = (double)whole + (double)part / scale;
	if (*text || n > 1)
		return false;
	*ret = n;
	return true;
}
