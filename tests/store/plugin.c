/* SPDX-License-Identifier: MIT */
/*
 * Stores that come as files: where they are looked for, and what is wrong with
 * those that can't be used. Against the library as it is installed.
 *
 *	plugin DIRECTORY-OF-GOOD DIRECTORY-OF-BAD LIBRARY
 */
#include <ftw.h>
#include <string.h>
#include <sys/wait.h>
#include <uffd/store.h>

#include "../seam/promise.h"
#include "dir.h"

/* the command line; a promise takes no argument */
static struct {
	char **argv;
	const char *good, *bad, *library;
} t;

static void template(void)
{
	struct uffd_store *s = NULL, *other;
	struct uffd_reason why;
	uint64_t buf[4];

	setenv("LIBUFFD_STORE_PATH", t.good, 1);
	if (!SAME(uffd_store_open("template:?size=1M", 0, &why, &s), 0)) {
		printf("# %s\n", why.text);
		return;
	}
	SAME(uffd_store_length(s), 1 << 20);
	SAME(uffd_store_read(s, 8 * 1000, buf, sizeof(buf)), 0);
	CHECK(buf[0] == 1000 && buf[3] == 1003);
	SAME(uffd_store_write(s, 0, buf, 8), -EROFS);
	/* it is known from now on */
	unsetenv("LIBUFFD_STORE_PATH");
	SAME(uffd_store_open("cache?size=1M:template:?size=1M", 0, &why,
			     &other), 0);
	uffd_store_close(other);
	uffd_store_close(s);
	SAME(uffd_store_open("template:", 0, &why, &s), -EINVAL);
	CHECK(!strcmp(why.text, "template: it needs a size"));
	SAME(uffd_store_open("tmplate:", 0, &why, &s), -EINVAL);
	CHECK(strstr(why.text, "template"));
}

static void places(void)
{
	struct uffd_reason why;
	struct uffd_store *s;
	char dirs[PATH_MAX * 2];

	setenv("LIBUFFD_STORE_PATH", "", 1);
	SAME(uffd_store_open("badapi:", 0, &why, &s), -EINVAL);
	CHECK(strstr(why.text, "uffd-store-badapi.so"));
	snprintf(dirs, sizeof(dirs), "/nowhere::%s:%s", t.good, t.bad);
	setenv("LIBUFFD_STORE_PATH", dirs, 1);
	SAME(uffd_store_open("badapi:", 0, &why, &s), -ENOEXEC);
	unsetenv("LIBUFFD_STORE_PATH");
	SAME(uffd_store_open("badapi:", 0, &why, &s), -EINVAL);
}

static void bad(const char *uri, const char *said)
{
	struct uffd_reason why;
	struct uffd_store *s;

	SAME(uffd_store_open(uri, 0, &why, &s), -ENOEXEC);
	if (!CHECK(strstr(why.text, said) && strstr(why.text, "uffd-store-")))
		printf("# %s\n", why.text);
}

static void unusable(void)
{
	setenv("LIBUFFD_STORE_PATH", t.bad, 1);
	bad("badapi:", "it is of version 2, this libuffd takes 1");
	bad("badname:", "it is the store 'other'");
	bad("badtable:", "it lacks open, close, length or read");
	bad("badshort:", "too short");
	bad("badnull:", "no uffd_store_plugin()");
	bad("badsymbol:", "no uffd_store_plugin()");
	bad("badapi:", "it is of version 2"); /* the next time as well */
}

static void broken_file(void)
{
	struct dir dir;
	char path[PATH_MAX];
	FILE *file;

	dir_make(&dir);
	snprintf(path, sizeof(path), "%s/uffd-store-text.so", dir.path);
	file = fopen(path, "w");
	fputs("not a library", file);
	fclose(file);
	setenv("LIBUFFD_STORE_PATH", dir.path, 1);
	bad("text:", "text.so");
	dir_remove(&dir);
}

static void copy_file(const char *from, const char *to)
{
	char text[4096];
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	size_t n;

	while (in && out && (n = fread(text, 1, sizeof(text), in)) > 0)
		fwrite(text, 1, n, out);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

/* a copy of the library, with a store beside it, in a process of its own */
static void beside(void)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct dir dir;
	int status;

	dir_make(&dir);
	snprintf(to, sizeof(to), "%s/libuffd.so.0", dir.path);
	copy_file(t.library, to);
	snprintf(to, sizeof(to), "%s/uffd", dir.path);
	mkdir(to, 0700);
	snprintf(to, sizeof(to), "%s/uffd/stores", dir.path);
	mkdir(to, 0700);
	snprintf(from, sizeof(from), "%s/uffd-store-template.so", t.good);
	snprintf(to, sizeof(to), "%s/uffd/stores/uffd-store-template.so",
		 dir.path);
	copy_file(from, to);
	if (fork() == 0) {
		unsetenv("LIBUFFD_STORE_PATH");
		setenv("LD_LIBRARY_PATH", dir.path, 1);
		execl("/proc/self/exe", t.argv[0], "beside", NULL);
		_exit(127);
	}
	wait(&status);
	SAME(status, 0);
	dir_remove(&dir);
}

static int open_beside(void)
{
	struct uffd_reason why;
	struct uffd_store *s;

	if (uffd_store_open("template:?size=8", 0, &why, &s)) {
		printf("# %s\n", why.text);
		return 1;
	}
	uffd_store_close(s);
	return 0;
}

static void twice(void)
{
	static struct uffd_store_ops ops[64];
	static char names[64][16];
	int err = 0;
	unsigned n = 0;

	while (uffd_store_known(n))
		n++;
	CHECK(n >= 7);
	ops[0] = *uffd_store_known(0);
	SAME(uffd_store_add(&ops[0]), -EEXIST);
	ops[0].api++;
	SAME(uffd_store_add(&ops[0]), -ENOEXEC);
	for (unsigned i = 0; i < 64 && !err; i++) {
		snprintf(names[i], sizeof(names[i]), "some%u", i);
		ops[i] = *uffd_store_known(0);
		ops[i].name = names[i];
		err = uffd_store_add(&ops[i]);
	}
	SAME(err, -ENOSPC);
	n = 0;
	while (uffd_store_known(n))
		n++;
	SAME(n, 64);
}

static const struct promise promises[] = {
	{ "the template is loaded, and known from then on", template },
	{ "plug-ins are looked for in the path that is set", places },
	{ "a plug-in that can't be used is refused, and why", unusable },
	{ "a file that is no plug-in is refused", broken_file },
	{ "plug-ins are found beside the library", beside },
	{ "each name is taken once, and 64 are enough", twice },
};

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "beside"))
		return open_beside();
	if (argc != 4)
		return 1;
	t.argv = argv;
	t.good = argv[1];
	t.bad = argv[2];
	t.library = argv[3];
	return keep_all(promises, NR(promises));
}
