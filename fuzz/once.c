/* SPDX-License-Identifier: MIT */
/*
 * once FOLDER: hands every file of a corpus to the target, once, and then the
 * same cut short in every place. For compilers that have no fuzzer.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "target.h"

#define MOST 65536

static size_t load(const char *folder, const char *name, uint8_t *data)
{
	char path[4096];
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (!file) {
		printf("Bail out! %s can't be read\n", path);
		exit(1);
	}
	len = fread(data, 1, MOST, file);
	fclose(file);
	return len;
}

/* Each length has memory of its own, so that reading on is found. */
static void try_all_lengths(const uint8_t *data, size_t len)
{
	for (size_t n = 0; n <= len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		PROMISE(copy);
		memcpy(copy, data, n);
		LLVMFuzzerTestOneInput(copy, n);
		free(copy);
	}
}

int main(int argc, char **argv)
{
	uint8_t *data = malloc(MOST);
	struct dirent **entries;
	int nr, done = 0;

	nr = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
	PROMISE(data);
	if (nr < 0) {
		puts("Bail out! usage: once FOLDER");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < nr; i++) {
		if (entries[i]->d_name[0] != '.') {
			try_all_lengths(data, load(argv[1], entries[i]->d_name,
						   data));
			printf("ok %d - %s does no harm, whole or cut short\n",
			       ++done, entries[i]->d_name);
		}
		free(entries[i]);
	}
	free(entries);
	free(data);
	printf("1..%d\n", done);
	return 0;
}
