/* SPDX-License-Identifier: MIT */
#include "pack.h"

#ifdef HAVE_ZSTD

/* contexts in memory that we give, so that nothing is allocated later; Debian
 * and others export these from the shared library */
#define ZSTD_STATIC_LINKING_ONLY
#include <stdint.h>
#include <zstd.h>

#include "zeros.h"

#define LEVEL_MAX 19

/* at the beginning of the working memory; both contexts lie behind it */
struct work {
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
};

#define WORK_HEAD 64

static size_t pack_len(int level)
{
	ZSTD_compressionParameters params = ZSTD_getCParams(level, STORE_PAGE,
							    0);
	size_t len = ZSTD_estimateCCtxSize_usingCParams(params);

	return ZSTD_isError(len) ? 0 : (len + 63) & ~(size_t)63;
}

static size_t zstd_work_len(int level)
{
	size_t len = pack_len(level);

	return len ? WORK_HEAD + len + ZSTD_estimateDCtxSize() : 0;
}

/* small frames: no magic number, no length, no sum; pages know theirs */
static bool set_up(const struct work *w, int level)
{
	ZSTD_CCtx *p = w->pack;

	return !ZSTD_isError(ZSTD_CCtx_setParameter(
		       p, ZSTD_c_format, ZSTD_f_zstd1_magicless)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(
		       p, ZSTD_c_compressionLevel, level)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(
		       p, ZSTD_c_contentSizeFlag, 1)) &&
	       !ZSTD_isError(ZSTD_DCtx_setParameter(
		       w->unpack, ZSTD_d_format, ZSTD_f_zstd1_magicless));
}

static bool zstd_prepare(void *work, size_t len, int level)
{
	char *behind = (char *)work + WORK_HEAD;
	size_t part = pack_len(level);
	struct work *w = work;
	char trial[256];

	if (len < zstd_work_len(level))
		return false;
	w->pack = ZSTD_initStaticCCtx(behind, part);
	w->unpack = ZSTD_initStaticDCtx(behind + part, ZSTD_estimateDCtxSize());
	return w->pack && w->unpack && set_up(w, level) &&
	       !ZSTD_isError(ZSTD_compress2(w->pack, trial, sizeof(trial),
					    zeros, STORE_PAGE));
}

static size_t zstd_pack(void *work, const void *page, void *to, size_t cap)
{
	const struct work *w = work;
	size_t n = ZSTD_compress2(w->pack, to, cap, page, STORE_PAGE);

	return ZSTD_isError(n) ? 0 : n;
}

static bool zstd_unpack(void *work, const void *from, size_t len, void *page)
{
	const struct work *w = work;

	return ZSTD_decompressDCtx(w->unpack, page, STORE_PAGE, from, len) ==
	       STORE_PAGE;
}

const struct packer *packer_zstd(void)
{
	static const struct packer packer = {
		.level = 1,
		.level_max = LEVEL_MAX,
		.unpack_works = true,
		.work_len = zstd_work_len,
		.prepare = zstd_prepare,
		.pack = zstd_pack,
		.unpack = zstd_unpack,
	};

	return &packer;
}

#else

const struct packer *packer_zstd(void)
{
	return NULL;
}

#endif
