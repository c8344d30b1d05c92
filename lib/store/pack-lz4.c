/* SPDX-License-Identifier: MIT */
#include "pack.h"

#ifdef HAVE_LZ4

#include <lz4.h>

#include "zeros.h"

static size_t lz4_work_len(int level)
{
	(void)level;
	return (size_t)LZ4_sizeofState();
}

static bool lz4_prepare(void *work, size_t len, int level)
{
	(void)work;
	(void)len;
	(void)level;
	return true;
}

static size_t lz4_pack(void *work, const void *page, void *to, size_t cap)
{
	int n = LZ4_compress_fast_extState(work, page, to, STORE_PAGE, (int)cap,
					   1);

	return n > 0 ? (size_t)n : 0;
}

static bool lz4_unpack(void *work, const void *from, size_t len, void *page)
{
	(void)work;
	return LZ4_decompress_safe(from, page, (int)len, STORE_PAGE) ==
	       (int)STORE_PAGE;
}

const struct packer *packer_lz4(void)
{
	static const struct packer packer = {
		.work_len = lz4_work_len,
		.prepare = lz4_prepare,
		.pack = lz4_pack,
		.unpack = lz4_unpack,
	};

	return &packer;
}

#else

const struct packer *packer_lz4(void)
{
	return NULL;
}

#endif
