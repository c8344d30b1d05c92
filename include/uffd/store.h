/* SPDX-License-Identifier: MIT */
/*
 * Stores: where pages come from and go to.
 *
 * A store is an array of bytes with a length, opened by URI:
 *
 *	zero:?size=1G			nothing but zeros; forgets what is written
 *	memory:?size=1G&compress=lz4	memory of this process (none, lz4, zstd)
 *	file:/path?offset=1M&size=1G	a file or a block device
 *	delay?ms=5:URI			each request to URI takes longer
 *	error?rate=0.01&seed=7:URI	some requests to URI fail
 *	retry?times=5&deadline_ms=2000:URI	those that fail are tried again
 *	cache?size=1G:URI		what was read is kept in memory
 *
 * The last four stand before another URI and can be stacked. Values of keys,
 * and paths, may hold any byte as %XX; '?', '&' and '%' must be written so, and
 * ':' in the keys of those four.
 * More stores come as plug-ins, one file each, from the library's directory.
 *
 * CAVEATS
 *
 * - Never lose an error: a page whose bytes could not be read is not zeros.
 * - The memory given to a store's functions is the caller's and is never part
 *   of a region that the same store serves; a store that touches a served
 *   region waits for itself.
 * - A store that is not LIBUFFD_STORE_PARALLEL is entered by one thread at a
 *   time, whatever threads the program has; the functions below see to that.
 *
 * Functions return 0 or a count, or a negative errno. All of it since 0.1.
 */
#ifndef UFFD_STORE_H
#define UFFD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uffd_store;		/* an open store; opaque */

/* Why a call failed, for people: one line without a newline, or "". */
struct uffd_reason {
	char text[256];
};

/* ---- using a store ------------------------------------------------------------ */

/* flags of uffd_store_open */
#define LIBUFFD_STORE_RDONLY (1u << 0)	/* writing fails with -EROFS */
#define LIBUFFD_STORE_CREATE (1u << 1)	/* make a file that is not there; needs
					 * the key size */

/*
 * Open the store that a URI names. reason, if not NULL, gets a line that names
 * the thing, the reason and what would be accepted. *ret only on success.
 * -EINVAL: an unknown scheme or key, a bad value, or a missing one. -ENOENT,
 * -EACCES, …: as the store says. -ENOEXEC: a plug-in of another version.
 * Any thread.
 */
int uffd_store_open(const char *uri, unsigned flags,
		    struct uffd_reason *reason, struct uffd_store **ret);

/* Finish what is in flight (done is called here then; with -ECANCELED if the
 * store itself has not answered for 30 s), and close it. NULL is fine. Not
 * while another thread uses it. What was written is durable only after a
 * flush. */
void uffd_store_close(struct uffd_store *s);

/* The URI that it was opened by; the store's, until it is closed. */
const char *uffd_store_uri(const struct uffd_store *s);

/* Bytes. */
uint64_t uffd_store_length(const struct uffd_store *s);

/* what a store can do */
#define LIBUFFD_STORE_CAN_WRITE (1u << 0)
#define LIBUFFD_STORE_CAN_DISCARD (1u << 1)	/* else discarding writes zeros */
#define LIBUFFD_STORE_CAN_EXTENTS (1u << 2)	/* knows its holes */
#define LIBUFFD_STORE_CAN_SUBMIT (1u << 3)	/* works on many at a time */
#define LIBUFFD_STORE_CAN_MAP (1u << 4)		/* its bytes lie in memory */
#define LIBUFFD_STORE_IS_PARALLEL (1u << 5)	/* any number of threads */
#define LIBUFFD_STORE_IS_SIGNAL_SAFE (1u << 6)	/* read, write, discard, map may
						 * be called in a signal handler
						 * (all signals blocked) */
unsigned uffd_store_can(const struct uffd_store *s);

/*
 * Read len bytes at offset: all of them, or a negative errno and buf holds
 * nothing of use. What lies past the end of the store reads as zeros. A short
 * read can't happen.
 */
int uffd_store_read(struct uffd_store *s, uint64_t offset, void *buf,
		    size_t len);

/*
 * Write len bytes at offset: all of them, or a negative errno, and then any
 * part may have been written, but of each aligned 4096 bytes (512 on a block
 * device) all or nothing, as far as the medium promises it. -ENOSPC; -EROFS;
 * -EINVAL past the end.
 */
int uffd_store_write(struct uffd_store *s, uint64_t offset, const void *buf,
		     size_t len);

/* Make durable what was written before: it survives the machine's crash. A
 * store without durability (zero, memory) does nothing. */
int uffd_store_flush(struct uffd_store *s);

/* Let [offset, +len) read as zeros from now on, and give its space back where
 * the store can. */
int uffd_store_discard(struct uffd_store *s, uint64_t offset, uint64_t len);

/* what a part of a store holds */
#define LIBUFFD_EXTENT_HOLE (1u << 0)	/* no space is allocated */
#define LIBUFFD_EXTENT_ZERO (1u << 1)	/* reads as zeros */

struct uffd_extent {
	uint64_t offset;
	uint64_t len;
	uint32_t flags;		/* LIBUFFD_EXTENT_*; 0: data */
	uint32_t reserved;
};

/*
 * What lies in [offset, +len): at least one extent beginning at offset, at
 * most cap, neighbours merged. A store that doesn't know says "data". Returns
 * how many; what they don't reach is asked for again.
 */
int uffd_store_extents(struct uffd_store *s, uint64_t offset, uint64_t len,
		       struct uffd_extent *ret, unsigned cap);

/* [offset, +len) will be read soon. Only a hint; never blocks for long. */
void uffd_store_prefetch(struct uffd_store *s, uint64_t offset, uint64_t len);

/*
 * Where the bytes lie in memory, to be read in place: 0 and *ret, valid until
 * the range is written or discarded; -EOPNOTSUPP where they don't (not only by
 * the kind of store: each page may be different).
 */
int uffd_store_map(struct uffd_store *s, uint64_t offset, size_t len,
		   const void **ret);

/* counters since it was opened; each exact, not of one moment */
struct uffd_store_stats {
	uint64_t reads, read_bytes;
	uint64_t writes, write_bytes;
	uint64_t discards, flushes, errors;
	uint64_t held_bytes;	/* memory: bytes of pages that it holds ... */
	uint64_t packed_bytes;	/* ... and what they take, compressed */
	uint64_t retries;	/* retry: requests repeated */
	uint64_t hits, misses;	/* cache: pages read from memory, from below */
	uint64_t memory_bytes;	/* memory, cache: what it takes from the system
				 * for them, gaps included (and 8 bytes a page
				 * of its length besides, when compressed) */
};
void uffd_store_stats(const struct uffd_store *s, struct uffd_store_stats *ret);

/* ---- many requests at a time ---------------------------------------------------- */

enum uffd_io_op {
	LIBUFFD_IO_READ = 1,
	LIBUFFD_IO_WRITE,
	LIBUFFD_IO_FLUSH,
};

/* nobody waits for it: everything else goes first */
#define LIBUFFD_IO_AHEAD (1u << 0)

/*
 * A request. The caller's, untouched by him from uffd_store_submit until its
 * done function is called, which happens exactly once, in uffd_store_submit or
 * in uffd_store_dispatch, in that thread. done may submit again, and may free
 * or reuse the request.
 */
struct uffd_io {
	enum uffd_io_op op;
	uint32_t flags;		/* LIBUFFD_IO_* */
	uint64_t offset;
	size_t len;
	void *buf;		/* aligned to 4096 for O_DIRECT to be used */
	void (*done)(struct uffd_io *io, int error);	/* 0 or -errno */
	void *user;
	uint64_t store[4];	/* the store's, while in flight */
};

/*
 * Start a request. 0: done will be (or was already) called. -EAGAIN: too many
 * are in flight, dispatch first; done is not called. A store that works on one
 * request at a time does it here and now. Submitted by a done function, it may
 * be done only after that function has returned.
 */
int uffd_store_submit(struct uffd_store *s, struct uffd_io *io);

/* A descriptor that poll(2) reports as readable when uffd_store_dispatch has
 * something to do, or -1: everything is done by submit. The store's. */
int uffd_store_fd(const struct uffd_store *s);

/* Call done for what is finished. Returns for how many. Never blocks. */
int uffd_store_dispatch(struct uffd_store *s);

/* ---- writing a store ------------------------------------------------------------ */

#define LIBUFFD_STORE_API 1

/* The URI's parts, for open. Opaque; valid until open returns. */
struct uffd_store_args;

/* The scheme: the store's name, or one of its other names. */
const char *uffd_store_scheme(const struct uffd_store_args *args);
/* What stands behind the scheme: the path, host or nothing. Never NULL. */
const char *uffd_store_target(const struct uffd_store_args *args);
/* The LIBUFFD_STORE_RDONLY, _CREATE flags of uffd_store_open. */
unsigned uffd_store_flags(const struct uffd_store_args *args);
/* The value of a key, decoded, or NULL when it is not in the URI. */
const char *uffd_store_key(const struct uffd_store_args *args,
			   const char *name);
/* The same as a number: bytes with K, M, G, T; a count; a fraction from 0 to
 * 1. *ret is left alone when the key is not there. -EINVAL and a reason when
 * it is there and is no such thing. */
int uffd_store_key_size(const struct uffd_store_args *args, const char *name,
			uint64_t *ret);
int uffd_store_key_count(const struct uffd_store_args *args, const char *name,
			 uint64_t *ret);
int uffd_store_key_fraction(const struct uffd_store_args *args,
			    const char *name, double *ret);
/* Say why open fails; printf. Returns error, to be returned by open. */
int uffd_store_refuse(const struct uffd_store_args *args, int error,
		      const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* For a store that stands before another: that one, open. Becomes the opened
 * store's, which closes it; when open fails, the core closes it. */
struct uffd_store *uffd_store_next(const struct uffd_store_args *args);

struct uffd_store_key_info {
	const char *name;
	const char *what;	/* one line for people */
};

/* flags of struct uffd_store_ops: promises */
#define LIBUFFD_STORE_PARALLEL (1u << 0)
#define LIBUFFD_STORE_SIGNAL_SAFE (1u << 1)
#define LIBUFFD_STORE_STACKS (1u << 2)	/* wants another URI behind it */

/*
 * The functions of a store, in a constant table. open, close, length and read
 * are required; any other may be NULL, and the core then does the obvious
 * thing. state is what open returned. Offsets and lengths are never past the
 * end: the core cuts them, and supplies the zeros itself. Buffers are resident
 * and, but for uffd_store_read and _write by a program, aligned to 4096.
 * Everything returns 0 or a negative errno. New members go to the end.
 *
 * submit: 0, and io->done is called exactly once, by submit or dispatch; or a
 * negative errno, and it is not called: -EAGAIN when there is no room, which
 * there is again after a dispatch. It comes with fd and dispatch. close may
 * leave requests unanswered: the core answers them.
 *
 * A store that is not LIBUFFD_STORE_PARALLEL is locked while one of its
 * functions runs, but not while a done function of its own does.
 */
struct uffd_store_ops {
	size_t sz;		/* sizeof(struct uffd_store_ops) */
	uint32_t api;		/* LIBUFFD_STORE_API */
	uint32_t flags;		/* LIBUFFD_STORE_PARALLEL, … */
	const char *name;	/* the scheme */
	const char *what;	/* one line for people */
	const struct uffd_store_key_info *keys;	/* ended by a NULL name */

	int (*open)(const struct uffd_store_args *args, void **ret);
	void (*close)(void *state);
	int (*length)(void *state, uint64_t *ret);
	int (*read)(void *state, uint64_t offset, void *buf, size_t len);

	int (*write)(void *state, uint64_t offset, const void *buf, size_t len);
	int (*flush)(void *state);
	int (*discard)(void *state, uint64_t offset, uint64_t len);
	int (*extents)(void *state, uint64_t offset, uint64_t len,
		       struct uffd_extent *ret, unsigned cap);
	void (*prefetch)(void *state, uint64_t offset, uint64_t len);
	int (*submit)(void *state, struct uffd_io *io);
	int (*fd)(void *state);
	int (*dispatch)(void *state);
	int (*map)(void *state, uint64_t offset, size_t len, const void **ret);
	/* add to what the core has counted: held, packed, retries, hits … */
	void (*stats)(void *state, struct uffd_store_stats *ret);
	/* what this opened store can really do: the LIBUFFD_STORE_CAN_* and
	 * _IS_* that its functions would suggest, less what it can't */
	unsigned (*can)(void *state, unsigned suggested);
	/* other schemes that it answers to, ended by NULL; or NULL */
	const char *const *also;
};

/*
 * Make a store known to this process under its name. The table must stay.
 * -EEXIST: there is one of this name. -ENOEXEC: another api, or required
 * functions or the name are missing. -ENOSPC: 64 are known. Any thread.
 */
int uffd_store_add(const struct uffd_store_ops *ops);

/* The nth known store, built in or added (plug-ins once they were used), or
 * NULL past the end. */
const struct uffd_store_ops *uffd_store_known(unsigned n);

/*
 * In a plug-in, uffd-store-NAME.so in the directory `uffd/stores` beside the
 * library (or in LIBUFFD_STORE_PATH, directories divided by ':', where the
 * process does not run with raised privileges): the function that is looked up
 * when a URI begins with NAME.
 */
#define LIBUFFD_STORE_PLUGIN(ops_table) \
	__attribute__((visibility("default"))) \
	const struct uffd_store_ops *uffd_store_plugin(void) \
	{ \
		return &(ops_table); \
	}
const struct uffd_store_ops *uffd_store_plugin(void);

#ifdef __cplusplus
}
#endif

#endif /* UFFD_STORE_H */
