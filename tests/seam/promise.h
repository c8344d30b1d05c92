/* SPDX-License-Identifier: MIT */
/*
 * A test program of the seam is a list of promises, told in TAP.
 */
#ifndef TESTS_SEAM_PROMISE_H
#define TESTS_SEAM_PROMISE_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

struct promise {
	const char *text;
	void (*keep)(void);
};

/* complaints about the promise at hand */
static unsigned broken;

/* why it could not be tried here, or NULL */
static const char *untried;

#define SKIP(why) \
	do { \
		untried = (why); \
		return; \
	} while (0)

static inline bool check(bool good, const char *what, const char *file,
			 int line)
{
	if (!good) {
		broken++;
		printf("# %s:%d: not so: %s\n", file, line, what);
	}
	return good;
}

#define CHECK(what) check((what), #what, __FILE__, __LINE__)

/* two numbers that should be the same, told when they are not */
static inline bool same(long long got, long long want, const char *what,
			const char *file, int line)
{
	if (check(got == want, what, file, line))
		return true;
	printf("#   got %lld, want %lld\n", got, want);
	return false;
}

#define SAME(got, want) \
	same((long long)(got), (long long)(want), #got " == " #want, __FILE__, \
	     __LINE__)

/* no function of the library may touch errno */
#define ERRNO_BEFORE 4242
#define CALL(call) \
	__extension__({ \
		errno = ERRNO_BEFORE; \
		__auto_type ret_ = (call); \
		SAME(errno, ERRNO_BEFORE); \
		ret_; \
	})

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static inline int keep_all(const struct promise *promises, unsigned nr)
{
	unsigned nr_broken = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%u\n", nr);
	for (unsigned i = 0; i < nr; i++) {
		broken = 0;
		untried = NULL;
		promises[i].keep();
		nr_broken += broken > 0;
		printf("%sok %u - %s%s%s\n", broken ? "not " : "", i + 1,
		       promises[i].text, untried ? " # SKIP " : "",
		       untried ? untried : "");
	}
	return nr_broken > 0;
}

#endif
