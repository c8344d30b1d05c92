/* SPDX-License-Identifier: MIT */
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int say_error(const char *program, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return 1;
}

int finish_output(const char *program, int status)
{
	errno = 0;
	if (ferror(stdout) | fclose(stdout))
		return say_error(program, "standard output can't be written: %s",
				 strerror(errno ? errno : EIO));
	return status;
}
