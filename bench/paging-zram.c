/* SPDX-License-Identifier: MIT */
/*
 * Swap on a zram device that is ours alone: added, formatted, used, and taken
 * away again. The device that a system has already is left as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

#include "paging-inner.h"

#define CONTROL "/sys/class/zram-control"

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int write_number(const char *path, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", n);
	return write_text(path, text);
}

/* Reads a small file whole. */
static int read_text(const char *path, char *text, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	if (fd < 0)
		return -errno;
	n = read(fd, text, cap - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return err;
}

static void attribute(const struct paging_zram *z, const char *name,
		      char *path, size_t cap)
{
	snprintf(path, cap, "/sys/block/zram%d/%s", z->id, name);
}

static void device(const struct paging_zram *z, char *path, size_t cap)
{
	snprintf(path, cap, "/dev/zram%d", z->id);
}

static int set(const struct paging_zram *z, const char *name, uint64_t n)
{
	char path[64];

	attribute(z, name, path, sizeof(path));
	return write_number(path, n);
}

/* lz4 if it can be had; then the name of what it is. */
static int choose_algorithm(struct paging_zram *z)
{
	char path[64], text[256], *left, *right;
	int err;

	attribute(z, "comp_algorithm", path, sizeof(path));
	/* where there is no lz4, it stays as it is */
	write_text(path, "lz4");
	err = read_text(path, text, sizeof(text));
	if (err)
		return err;
	left = strchr(text, '[');
	right = left ? strchr(left, ']') : NULL;
	if (!right)
		return -EINVAL;
	snprintf(z->algorithm, sizeof(z->algorithm), "%.*s",
		 (int)(right - left - 1), left + 1);
	return 0;
}

/* What mkswap(8) writes: version 1, the last page, and a magic word. */
static int format(const struct paging_zram *z, uint64_t size)
{
	_Alignas(8) char page[PAGING_PAGE] = { 0 };
	const uint32_t header[] = { 1, (uint32_t)(size / PAGING_PAGE - 1), 0 };
	char path[32];
	int fd, err = 0;

	memcpy(page + 1024, header, sizeof(header));
	memcpy(page + PAGING_PAGE - 10, "SWAPSPACE2", 10);
	device(z, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pwrite(fd, page, sizeof(page), 0) != sizeof(page) || fsync(fd) < 0)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

/* In front of whatever swap there is: our process has to use this one. */
static int start(struct paging_zram *z)
{
	char path[32];

	device(z, path, sizeof(path));
	if (swapon(path, SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK) < 0)
		return -errno;
	z->swapping = true;
	return 0;
}

static int add(struct paging_zram *z)
{
	char text[32];
	int err = read_text(CONTROL "/hot_add", text, sizeof(text));

	if (!err)
		z->id = atoi(text);
	return err;
}

static const char *set_up(struct paging_zram *z, uint64_t size, int *err)
{
	*err = add(z);
	if (*err)
		return "no zram device can be added";
	*err = choose_algorithm(z);
	if (*err)
		return "zram's algorithm can't be chosen";
	*err = set(z, "disksize", size);
	if (*err)
		return "zram's size can't be set";
	*err = format(z, size);
	if (*err)
		return "the zram device can't be written";
	*err = start(z);
	return "swapon on the zram device fails";
}

int paging_zram_make(struct paging_zram *z, uint64_t size,
		     char why[PAGING_WHY_LEN])
{
	const char *what;
	int err;

	*z = (struct paging_zram){ .id = -1 };
	if (access(CONTROL "/hot_add", F_OK) < 0) {
		snprintf(why, PAGING_WHY_LEN, "the kernel has no zram (no %s): "
			 "modprobe zram", CONTROL);
		return -ENOENT;
	}
	what = set_up(z, size, &err);
	if (!err)
		return 0;
	paging_zram_remove(z);
	snprintf(why, PAGING_WHY_LEN, "%s (%s)%s", what, strerror(-err),
		 geteuid() ? ": run it as root" : "");
	return err;
}

void paging_zram_remove(struct paging_zram *z)
{
	char path[32];

	if (z->id < 0)
		return;
	device(z, path, sizeof(path));
	if (z->swapping)
		swapoff(path);
	set(z, "reset", 1);
	write_number(CONTROL "/hot_remove", (uint64_t)z->id);
	z->id = -1;
	z->swapping = false;
}

void paging_zram_count(const struct paging_zram *z, uint64_t *ret_read,
		       uint64_t *ret_written)
{
	unsigned long reads, merged, read, ticks, writes, wmerged, written;
	char path[64], text[256];

	*ret_read = *ret_written = 0;
	attribute(z, "stat", path, sizeof(path));
	if (read_text(path, text, sizeof(text)) < 0)
		return;
	if (sscanf(text, "%lu %lu %lu %lu %lu %lu %lu", &reads, &merged, &read,
		   &ticks, &writes, &wmerged, &written) != 7)
		return;
	*ret_read = read * 512;
	*ret_written = written * 512;
}
