/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target takes any bytes and must neither crash nor break a promise. It
 * is linked with libFuzzer (-Dfuzz=true), or with once.c, which hands it the
 * corpus and nothing else.
 */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* a broken promise, found as a crash */
#define PROMISE(what) \
	do { \
		if (!(what)) \
			abort(); \
	} while (0)

#endif
