/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#define WIDTH 50

void progress_draw(unsigned done, unsigned total)
{
	char bar[WIDTH + 1];
	unsigned filled = total ? done * WIDTH / total : WIDTH;

	if (!isatty(STDERR_FILENO))
		return;
	for (unsigned i = 0; i < WIDTH; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[WIDTH] = '\0';
	fprintf(stderr, "\rmeasuring [%s] %3u %%", bar,
		total ? done * 100 / total : 100);
	fflush(stderr);
}

void progress_clear(void)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r%*s\r", WIDTH + 20, "");
	fflush(stderr);
}
