/* SPDX-License-Identifier: MIT */
/*
 * Distributions in a terminal: latency from left to right on a logarithmic
 * axis that all modes share, how many from bottom to top, each mode to its
 * own scale.
 */
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench-show.h"

#define COLUMNS 70
#define LINES 3
#define MARGIN 8

struct axis {
	double low, high;	/* log10 of ns */
};

struct style {
	const char *const *blocks;	/* from empty to full */
	unsigned nr_blocks;
	bool colour;
};

static struct style style_for(FILE *out)
{
	static const char *const ascii[] = { " ", ".", ":", "#" };
	static const char *const utf8[] = {
		" ", "\u2581", "\u2582", "\u2583", "\u2584",
		"\u2585", "\u2586", "\u2587", "\u2588",
	};
	const char *term = getenv("TERM");
	const char *no_colour = getenv("NO_COLOR");
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	struct style s = { .blocks = ascii, .nr_blocks = 4 };

	if (locale && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0)
		s = (struct style){ .blocks = utf8, .nr_blocks = 9 };
	if (locale)
		freelocale(locale);
	s.colour = isatty(fileno(out)) && term && strcmp(term, "dumb") != 0 &&
		   !(no_colour && *no_colour);
	return s;
}

static double log_of(uint64_t ns)
{
	return log10(ns ? (double)ns : 1);
}

/* From the fastest access of all to the slowest. */
static struct axis axis_of(const struct bench_result *r)
{
	struct axis a = { .low = INFINITY, .high = 0 };

	for (unsigned i = 0; i < r->plan->nr_modes; i++) {
		a.low = fmin(a.low, log_of(r->figures[i].min_ns));
		a.high = fmax(a.high, log_of(r->figures[i].max_ns));
	}
	a.high = fmax(a.high, a.low + 1);
	return a;
}

static unsigned column_of(const struct axis *a, double log)
{
	double share = (log - a->low) / (a->high - a->low);
	int column = (int)(share * COLUMNS);

	return column < 0 ? 0 :
	       column >= COLUMNS ? COLUMNS - 1 : (unsigned)column;
}

static void count(const struct axis *a, const struct bench_figure *f,
		  uint64_t columns[COLUMNS])
{
	memset(columns, 0, COLUMNS * sizeof(*columns));
	for (uint64_t i = 0; i < f->count; i++)
		columns[column_of(a, log_of(f->sorted[i]))]++;
}

/* Height of a column in the smallest steps; what is there at all is seen. */
static unsigned height(uint64_t n, uint64_t most, unsigned steps)
{
	unsigned h = (unsigned)((double)n / (double)most * steps + 0.5);

	return n && !h ? 1 : h;
}

static void draw_line(FILE *out, const struct style *s, unsigned line,
		      const uint64_t columns[COLUMNS], uint64_t most)
{
	unsigned per_cell = s->nr_blocks - 1;
	unsigned below = (LINES - 1 - line) * per_cell;
	unsigned last = 0, full[COLUMNS];

	for (unsigned i = 0; i < COLUMNS; i++) {
		unsigned h = height(columns[i], most, LINES * per_cell);

		full[i] = h <= below ? 0 :
			  h - below > per_cell ? per_cell : h - below;
		if (full[i])
			last = i + 1;
	}
	for (unsigned i = 0; i < last; i++)
		fputs(s->blocks[full[i]], out);
	fputc('\n', out);
}

static void draw_mode(FILE *out, const struct style *s, unsigned nr,
		      const char *name, const uint64_t columns[COLUMNS])
{
	uint64_t most = 1;

	for (unsigned i = 0; i < COLUMNS; i++)
		if (columns[i] > most)
			most = columns[i];
	for (unsigned line = 0; line < LINES; line++) {
		fprintf(out, "%-*s ", MARGIN, line == LINES - 1 ? name : "");
		if (s->colour)
			fprintf(out, "\033[%um", 31 + nr % 6);
		draw_line(out, s, line, columns, most);
		if (s->colour)
			fputs("\033[0m", out);
	}
}

/* "100 ns", "1 us", ... at the powers of ten */
static void draw_axis(FILE *out, const struct axis *a)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	char marks[COLUMNS + 1], labels[COLUMNS + 16];

	memset(marks, '-', COLUMNS);
	memset(labels, ' ', sizeof(labels));
	marks[COLUMNS] = '\0';
	for (int power = (int)ceil(a->low); power <= a->high; power++) {
		unsigned at = column_of(a, power), unit = (unsigned)power / 3;
		static const int tens[] = { 1, 10, 100 };
		char label[16];
		int len;

		if (unit > 3)
			break;
		marks[at] = '|';
		len = snprintf(label, sizeof(label), "%d %s", tens[power % 3],
			       units[unit]);
		if (at + (unsigned)len <= COLUMNS)
			memcpy(labels + at, label, (size_t)len);
	}
	labels[COLUMNS] = '\0';
	for (unsigned i = COLUMNS; i > 0 && labels[i - 1] == ' '; i--)
		labels[i - 1] = '\0';
	fprintf(out, "%*s%s\n%*s%s\n", MARGIN + 1, "", marks, MARGIN + 1, "",
		labels);
}

void bench_show_histogram(FILE *out, const struct bench_result *r)
{
	struct style style = style_for(out);
	struct axis axis = axis_of(r);
	uint64_t columns[COLUMNS];

	fprintf(out, "\nhow many accesses took how long (each mode to its own "
		"scale)\n");
	for (unsigned i = 0; i < r->plan->nr_modes; i++) {
		count(&axis, &r->figures[i], columns);
		draw_mode(out, &style, i, r->rows[i].mode->name, columns);
	}
	draw_axis(out, &axis);
}
