/* SPDX-License-Identifier: MIT */
#include "check.h"

#ifdef CHECK_STORES

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "zeros.h"

void check_broken(const struct uffd_store *s, const char *format, ...)
{
	char text[512];
	va_list args;
	int n = snprintf(text, sizeof(text),
			 "libuffd: the store '%.100s' broke its contract: ",
			 s->uri);

	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "%s\n", text);
	abort();
}

const struct uffd_store *check_entered(void)
{
	return *flight_entered();
}

const struct uffd_store *check_enter(const struct uffd_store *s)
{
	const struct uffd_store *before = *flight_entered();

	*flight_entered() = s;
	return before;
}

void check_leave(const struct uffd_store *s, const struct uffd_store *before,
		 int answer)
{
	*flight_entered() = before;
	if (answer > 0 || answer < -4095)
		check_broken(s, "answered %d: it must be 0 or a negative errno",
			     answer);
}

/*
 *	| page of a pattern | the buffer | page of a pattern, or more |
 *
 * Made by mmap, as stores are called in signal handlers.
 */
struct show {
	unsigned char *map;
	size_t map_len;
	unsigned char *buf;
	size_t len;
};

static struct show show_make(size_t len, int fill)
{
	size_t whole = (len + STORE_PAGE - 1) / STORE_PAGE * STORE_PAGE;
	struct show show = { .map_len = whole + 2 * STORE_PAGE, .len = len };

	show.map = mmap(NULL, show.map_len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (show.map == MAP_FAILED)
		return (struct show){ 0 };
	memset(show.map, fill, show.map_len);
	show.buf = show.map + STORE_PAGE;
	return show;
}

static bool is_all(const unsigned char *p, size_t len, int fill)
{
	while (len && *p == fill)
		p++, len--;
	return len == 0;
}

static void show_check(const struct uffd_store *s, const struct show *show,
		       int fill)
{
	const unsigned char *end = show->buf + show->len;

	if (!is_all(show->map, STORE_PAGE, fill))
		check_broken(s, "wrote before the buffer that it was given");
	if (!is_all(end, (size_t)(show->map + show->map_len - end), fill))
		check_broken(s, "wrote behind the buffer that it was given");
}

/* bytes at the end that still are what the buffer was filled with */
static size_t untouched(const struct show *show, int fill)
{
	size_t n = 0;

	while (n < show->len && show->buf[show->len - 1 - n] == fill)
		n++;
	return n;
}

/* one read into a buffer filled with this; copies out, returns its answer */
static int show_read(struct uffd_store *s, uint64_t offset, void *buf,
		     size_t len, int fill, size_t *left)
{
	struct show show = show_make(len, fill);
	int err;

	if (!show.map)
		return -ENOMEM;
	err = s->ops.read(s->state, offset, show.buf, len);
	show_check(s, &show, fill);
	*left = untouched(&show, fill);
	if (!err)
		memcpy(buf, show.buf, len);
	munmap(show.map, show.map_len);
	return err;
}

/*
 * What is left at the end as it was may just be equal. With another filling,
 * what is read stays and what was never filled changes; only then is asked
 * twice.
 */
int check_read(struct uffd_store *s, uint64_t offset, void *buf, size_t len)
{
	size_t left, again = 0;
	int err = show_read(s, offset, buf, len, 0xa5, &left);

	if (err || !left)
		return err;
	err = show_read(s, offset, buf, len, 0x5a, &again);
	if (!err && again)
		check_broken(s, "left %zu of %zu bytes of a read unfilled",
			     again < left ? again : left, len);
	return err;
}

int check_write(struct uffd_store *s, uint64_t offset, const void *buf,
		size_t len)
{
	struct show show = show_make(len, 0xa5);
	int err;

	if (!show.map)
		return -ENOMEM;
	memcpy(show.buf, buf, len);
	err = s->ops.write(s->state, offset, show.buf, len);
	show_check(s, &show, 0xa5);
	if (memcmp(show.buf, buf, len))
		check_broken(s, "changed the bytes that it was to write");
	munmap(show.map, show.map_len);
	return err;
}

#endif
