/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with a URI is said at the call: the thing, the reason, and
 * what would be accepted.
 */
#include <stdlib.h>
#include <string.h>
#include <uffd/store.h>
#include <unistd.h>

#include "../../lib/store/number.h"
#include "../../lib/store/uri.h"
#include "../seam/promise.h"

struct bad {
	const char *uri;
	int error;
	const char *said[4];	/* words of the reason */
	unsigned flags;
};

static void refuse_all(const struct bad *bad, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		struct uffd_store *store = (void *)1;
		struct uffd_reason why = { "old" };

		if (!SAME(uffd_store_open(bad[i].uri, bad[i].flags, &why,
					  &store), bad[i].error))
			printf("#   %s\n", bad[i].uri);
		CHECK(store == (void *)1);
		CHECK(!strchr(why.text, '\n'));
		for (unsigned w = 0; w < 4 && bad[i].said[w]; w++)
			if (!CHECK(strstr(why.text, bad[i].said[w])))
				printf("#   %s: '%s' says nothing of '%s'\n",
				       bad[i].uri, why.text, bad[i].said[w]);
		/* nobody is made to listen */
		SAME(uffd_store_open(bad[i].uri, bad[i].flags, NULL, &store),
		     bad[i].error);
	}
}

#define REFUSE(...) \
	refuse_all((const struct bad[]){ __VA_ARGS__ }, \
		   NR(((const struct bad[]){ __VA_ARGS__ })))

static void schemes(void)
{
	REFUSE({ "", -EINVAL, { "scheme" } },
	       { "/some/path", -EINVAL, { "'/some/path'", "file:PATH" } },
	       { "memory", -EINVAL, { "'memory'", "scheme" } },
	       { ":x", -EINVAL, { "scheme" } },
	       { "File:/x", -EINVAL, { "scheme" } },
	       { "a/b:/x", -EINVAL, { "scheme" } },
	       { "x.................................:y", -EINVAL,
		 { "scheme" } },
	       { "fil:/x", -EINVAL, { "'fil'", "uffd-store-fil.so", "file",
				      "cache" } },
	       { "fil?size=1:/x", -EINVAL, { "'fil'" } },
	       { "delay?ms=1:fil:/x", -EINVAL, { "'fil'", "memory" } });
}

static void form(void)
{
	REFUSE({ "memory?size=1M", -EINVAL, { "memory: ", "':'" } },
	       { "memory:size=1M", -EINVAL, { "memory: ", "size" } },
	       { "memory:?", -EINVAL, { "KEY=VALUE" } },
	       { "memory:?size", -EINVAL, { "'size'", "KEY=VALUE" } },
	       { "memory:?=1M", -EINVAL, { "'=1M'", "KEY=VALUE" } },
	       { "memory:?size=1M&", -EINVAL, { "KEY=VALUE" } },
	       { "memory:?size=1M&size=2M", -EINVAL, { "size", "twice" } },
	       { "memory:?size=1?M", -EINVAL, { "size", "%3F" } },
	       { "file:/a%", -EINVAL, { "'%'", "hexadecimal" } },
	       { "file:/a%4", -EINVAL, { "'%4'" } },
	       { "file:/a%zz/b", -EINVAL, { "'%zz'" } },
	       { "file:/a%00b", -EINVAL, { "'%00'", "not 00" } },
	       { "memory:?size=%g0", -EINVAL, { "'%g0'" } },
	       { "delay:", -EINVAL, { "delay: ", "another URI" } },
	       { "delay?ms=5", -EINVAL, { "delay: ", "another URI" } },
	       { "delay?ms=5:", -EINVAL, { "delay: ", "another URI" } },
	       { "delay:?ms=5:zero:?size=1", -EINVAL, { "scheme" } },
	       { "zero:?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1&l=1&m=1&"
		 "n=1&o=1&p=1&q=1", -EINVAL, { "16 keys" } },
	       { "cache?size=4K:cache?size=4K:cache?size=4K:cache?size=4K:"
		 "cache?size=4K:cache?size=4K:cache?size=4K:cache?size=4K:"
		 "cache?size=4K:cache?size=4K:cache?size=4K:cache?size=4K:"
		 "cache?size=4K:cache?size=4K:cache?size=4K:cache?size=4K:"
		 "zero:?size=1", -EINVAL, { "16 stores" } });
}

static void keys(void)
{
	REFUSE({ "memory:?siez=1M", -EINVAL,
		 { "memory: ", "'siez'", "size, compress", "level" } },
	       { "zero:?offset=1", -EINVAL, { "zero: ", "'offset'", "size" } },
	       { "delay?size=4:zero:?size=1", -EINVAL,
		 { "delay: ", "'size'", "read_ms" } },
	       { "cache?size=4K:zero:?sise=1", -EINVAL,
		 { "zero: ", "'sise'" } });
}

static void values(void)
{
	REFUSE({ "memory:?size=", -EINVAL, { "size=", "K, M, G" } },
	       { "memory:?size=1X", -EINVAL, { "size=1X", "K, M, G" } },
	       { "memory:?size=-1", -EINVAL, { "size=-1" } },
	       { "memory:?size= 1", -EINVAL, { "size= 1" } },
	       { "memory:?size=20000000T", -EINVAL, { "size=20000000T" } },
	       { "memory:?size=9T", -EINVAL, { "8T" } },
	       { "memory:?size=99999999999999999999", -EINVAL, { "size=9" } },
	       { "memory:?size=1%0aM", -EINVAL, { "size=1?M" } },
	       { "memory:", -EINVAL, { "memory: ", "size=1G" } },
	       { "memory:?size=0", -EINVAL, { "size" } },
	       { "memory:?size=1M&compress=lz5", -EINVAL,
		 { "compress=lz5", "none, lz4, zstd" } },
	       { "memory:?size=1M&level=1", -EINVAL, { "compress=zstd" } },
	       { "memory:?size=1M&limit=1", -EINVAL, { "compress=lz4" } },
	       { "memory:?size=1M&huge=yes", -EINVAL,
		 { "huge=yes", "off, on" } },
	       { "memory:x?size=1M", -EINVAL, { "memory:?size" } },
	       { "zero:", -EINVAL, { "zero:?size=1G" } },
	       { "zero:x?size=1", -EINVAL, { "zero:?size=1G" } },
	       { "delay:zero:?size=1", -EINVAL, { "delay?ms=5:URI" } },
	       { "delay?ms=x:zero:?size=1", -EINVAL, { "ms=x" } },
	       { "delay?ms=20001:zero:?size=1", -EINVAL, { "20 seconds" } },
	       { "error?rate=1.01:zero:?size=1", -EINVAL,
		 { "rate=1.01", "0 to 1" } },
	       { "error?rate=1e-2:zero:?size=1", -EINVAL, { "rate=1e-2" } },
	       { "error?rate=-0:zero:?size=1", -EINVAL, { "rate=-0" } },
	       { "error?rate=.5:zero:?size=1", -EINVAL, { "rate=.5" } },
	       { "error?rate=0.:zero:?size=1", -EINVAL, { "rate=0." } },
	       { "error?errno=EFOO:zero:?size=1", -EINVAL,
		 { "errno=EFOO", "ENOSPC" } },
	       { "error?errno=4096:zero:?size=1", -EINVAL, { "errno=4096" } },
	       { "retry?times=1000001:zero:?size=1", -EINVAL, { "1000000" } },
	       { "retry?deadline_ms=86400001:zero:?size=1", -EINVAL,
		 { "86400000" } },
	       { "cache:zero:?size=1", -EINVAL, { "cache?size=64M:URI" } },
	       { "cache?size=4095:zero:?size=1", -EINVAL, { "4096" } },
	       { "cache?size=7000000T:zero:?size=1", -EINVAL,
		 { "too large" } });
}

static void files(void)
{
	REFUSE({ "file:", -EINVAL, { "file: ", "file:/path" } },
	       { "file:/nowhere/x", -ENOENT,
		 { "file: /nowhere/x", "No such file" } },
	       { "cache?size=4K:file:/nowhere/x", -ENOENT,
		 { "file: /nowhere/x" } },
	       { "file:/", -EINVAL, { "neither a file" },
		 LIBUFFD_STORE_RDONLY },
	       { "file:/dev/null", -EINVAL, { "neither a file" } },
	       { "file:/x?size=1M&offset=8388608T", -EINVAL, { "too large" } },
	       { "file:/x?size=0", -EINVAL, { "size=0" } },
	       { "file:/x?direct=maybe", -EINVAL, { "auto, on, off" } },
	       { "file:/x?direct=on&offset=512", -EINVAL,
		 { "multiple of 4096" } },
	       { "file:/nowhere/x", -EINVAL, { "needs a size" },
		 LIBUFFD_STORE_CREATE },
	       { "file:/nowhere/x?size=1", -EINVAL, { "read-only" },
		 LIBUFFD_STORE_CREATE | LIBUFFD_STORE_RDONLY },
	       { "file:/nowhere/x?size=1", -ENOENT, { "/nowhere/x" },
		 LIBUFFD_STORE_CREATE },
	       { "zero:?size=1", -EINVAL, { "flags", "0x8" }, 8 });
}

static void numbers(void)
{
	uint64_t n = 77;
	double d = 77;

	CHECK(number_size("0", &n) && n == 0);
	CHECK(number_size("12", &n) && n == 12);
	CHECK(number_size("3k", &n) && n == 3072);
	CHECK(number_size("3KiB", &n) && n == 3072);
	CHECK(number_size("16383T", &n) && n == 16383ull << 40);
	CHECK(number_size("18446744073709551615", &n) && n == UINT64_MAX);
	n = 77;
	CHECK(!number_size("16777216T", &n) && n == 77);
	CHECK(!number_size("18446744073709551616", &n) && n == 77);
	CHECK(!number_size("1KB", &n) && !number_size("K", &n));
	CHECK(!number_count("", &n) && !number_count("1K", &n) && n == 77);
	CHECK(number_fraction("0", &d) && d == 0);
	CHECK(number_fraction("1", &d) && d == 1);
	CHECK(number_fraction("1.000", &d) && d == 1);
	CHECK(number_fraction("0.25", &d) && d == 0.25);
	d = 77;
	CHECK(!number_fraction("1.0001", &d) && !number_fraction("2", &d));
	CHECK(!number_fraction("0.1234567890123456789", &d));
	CHECK(!number_fraction("0,5", &d) && d == 77);
}

static void parts(void)
{
	struct uri uri;

	SAME(uri_parse("file:/a%3fb%25?size=1&x=%26%3D%c3%a4", false, &uri,
		       NULL), 0);
	CHECK(!strcmp(uri.target, "/a?b%"));
	CHECK(!uri.behind && uri.nr_keys == 2);
	CHECK(!strcmp(uri.keys[1].name, "x"));
	CHECK(!strcmp(uri.keys[1].value, "&=\xc3\xa4"));
	uri_free(&uri);
	SAME(uri_parse("error?rate=0.5&errno=%3A:file:/x?y=%z", true, &uri,
		       NULL), 0);
	CHECK(!strcmp(uri.behind, "file:/x?y=%z"));
	CHECK(!strcmp(uri.keys[1].value, ":"));
	uri_free(&uri);
	SAME(uri_parse("retry:error?rate=1:zero:", true, &uri, NULL), 0);
	CHECK(!strcmp(uri.behind, "error?rate=1:zero:") && !uri.nr_keys);
	uri_free(&uri);
}

/* the process runs with raised privileges, or does it not? */
static bool raised;

char *__real_secure_getenv(const char *name);
char *__wrap_secure_getenv(const char *name);
char *__wrap_secure_getenv(const char *name)
{
	return raised ? NULL : __real_secure_getenv(name);
}

char *__wrap_getenv(const char *name);
char *__wrap_getenv(const char *name)
{
	CHECK(strcmp(name, "LIBUFFD_STORE_PATH"));
	return NULL;
}

static void privileges(void)
{
	char path[] = "/tmp/uffd-store-XXXXXX", file[100];

	if (!mkdtemp(path))
		abort();
	snprintf(file, sizeof(file), "%s/uffd-store-trap.so", path);
	fclose(fopen(file, "w"));
	setenv("LIBUFFD_STORE_PATH", path, 1);
	REFUSE({ "trap:", -ENOEXEC, { "uffd-store-trap.so", "too short" } });
	raised = true;
	REFUSE({ "trap:", -EINVAL, { "no store 'trap'" } });
	raised = false;
	unlink(file);
	rmdir(path);
}

static const struct promise promises[] = {
	{ "no scheme, or an unknown one, is refused with the known ones",
	  schemes },
	{ "a URI that is put together wrongly is refused", form },
	{ "an unknown key is refused with the known ones", keys },
	{ "a bad value is refused with key, value and what is accepted",
	  values },
	{ "a file that can't be used is refused with its path", files },
	{ "with raised privileges the environment is not asked", privileges },
	{ "all of a text must be the number, and nothing overflows", numbers },
	{ "values and paths may hold any byte as %XX", parts },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
