/* SPDX-License-Identifier: MIT */
/*
 * Transparent huge pages stay whole until they are written to.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "look.h"

#define HUGE (2ul << 20)
#define NR_HUGE 4

/* bytes of the range that are mapped by huge pages, by smaps */
static long huge_bytes(const char *m)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	char line[512];
	bool inside = false;
	long kib, sum = 0;

	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start < (uintptr_t)m + NR_HUGE * HUGE &&
				 end > (uintptr_t)m;
		else if (inside &&
			 sscanf(line, "AnonHugePages: %ld kB", &kib) == 1)
			sum += kib * 1024;
	}
	if (smaps)
		fclose(smaps);
	return sum;
}

static char *map_huge(void)
{
	char *room = mmap(NULL, (NR_HUGE + 1) * HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *m = (char *)(((uintptr_t)room + HUGE - 1) & -HUGE);

	madvise(m, NR_HUGE * HUGE, MADV_HUGEPAGE);
	memset(m, 1, NR_HUGE * HUGE);
	return m;
}

static void whole(enum uffd_track_method method)
{
	const struct uffd_track_opts opts = {
		.sz = sizeof(opts),
		.method = method,
	};
	char *m = map_huge();
	struct uffd_written w[2];
	struct uffd_track *t;
	unsigned nr;

	SAME(uffd_track_new(&opts, &t), 0);
	SAME(uffd_track_add(t, (uintptr_t)m, NR_HUGE * HUGE), 0);
	SAME(uffd_track_start(t), 0);
	for (int i = 0; i < 3; i++) {
		SAME(uffd_track_collect(t, w, 2, &nr), 0);
		SAME(nr, 0);
	}
	SAME(huge_bytes(m), NR_HUGE * HUGE);
	/* one small page is written: one huge page is split, no more is said
	 * to be written */
	m[HUGE + 5 * 4096] = 2;
	SAME(uffd_track_collect(t, w, 2, &nr), 0);
	SAME(nr, 1);
	SAME(w[0].start, (uintptr_t)m + HUGE + 5 * 4096);
	SAME(w[0].len, 4096);
	SAME(huge_bytes(m), (NR_HUGE - 1) * HUGE);
	SAME(uffd_track_collect(t, w, 2, &nr), 0);
	SAME(nr, 0);
	SAME(huge_bytes(m), (NR_HUGE - 1) * HUGE);
	uffd_track_free(t);
	munmap(m, NR_HUGE * HUGE);
}

static bool has_huge(void)
{
	char *m = map_huge();
	bool has = huge_bytes(m) == NR_HUGE * HUGE;

	munmap(m, NR_HUGE * HUGE);
	return has;
}

int main(void)
{
	const unsigned first = first_method();
	bool good = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!has_huge()) {
		puts("1..0 # SKIP no transparent huge pages");
		return 0;
	}
	printf("1..%u\n", LIBUFFD_TRACK_SYNC - first + 1);
	for (unsigned m = first; m <= LIBUFFD_TRACK_SYNC; m++) {
		broken = 0;
		whole(m);
		printf("%sok %u - %s: only the huge page that is written to is "
		       "split\n", broken ? "not " : "", m - first + 1,
		       method_name(m));
		good = good && !broken;
	}
	return !good;
}
