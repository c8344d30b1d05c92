/* SPDX-License-Identifier: MIT */
/*
 * libuffd's kernel layer: userfaultfd and what belongs to it, as functions.
 *
 * CAVEATS, before anything else
 *
 * - Whoever holds a userfaultfd can put bytes into the address space it was
 *   made in. Treat it like the right to ptrace.
 * - Closing the last copy of a userfaultfd lets every waiting thread go on,
 *   and pages still missing become zeros: a handler that dies corrupts what
 *   it served. Keep a copy in another process where that matters.
 * - A thread must never touch memory that only itself can fill, and a thread
 *   that reads messages must never cause an event (munmap, madvise, mremap,
 *   fork) on memory registered with the descriptor it reads: it would wait
 *   for itself for ever.
 * - Never read messages into a buffer that may itself be missing: the message
 *   would be lost.
 * - A descriptor for user-mode faults only (LIBUFFD_BY_USER_ONLY) makes
 *   system calls on missing memory fail with EFAULT instead of waiting.
 *
 * CONVENTIONS
 *
 * Functions return 0 or a count on success and a negative errno on failure;
 * errno itself is left alone. The kernel's constants are passed through as
 * they are; constants of ours begin with LIBUFFD_. Addresses in served memory
 * are uint64_t, since they may belong to another process. Lengths are bytes.
 * Nothing here allocates memory, takes a lock or keeps state, and every
 * function may be called from any thread at any time and from a signal
 * handler, unless its comment says otherwise. All of it is there since 0.1.
 *
 * THE ONE KIND OF RESULT
 *
 * Every call on a range returns int64_t:
 *
 *	== len		done, and waiting threads were woken (unless DONTWAKE)
 *	0 < n < len	the first n bytes are done and woken. The rest is not:
 *			call again from there to go on or to learn why not.
 *	-EAGAIN		a race inside the kernel that is over by now; call again
 *	-EINPROGRESS	the layout of the address space is changing: an event
 *			(fork, mremap, madvise, munmap) is queued, or was read
 *			but its thread has not run yet. Nothing can be filled
 *			anywhere until then. Read the descriptor, do other
 *			things or sched_yield(2), and only then call again: a
 *			reader that spins here instead waits for ever.
 *	-EEXIST		a page is there already. It was NOT woken: uffd_wake().
 *			hugetlb: also "the pool is empty" (see uffd_copy).
 *	-ENOENT		the address is not mapped, not registered, or the range
 *			crosses from one mapping into the next. Not woken.
 *	-ESRCH		the process is dead, or has called execve
 *	other		as the function's comment says
 *
 * The kernel says EAGAIN for the first three of these that are not "done";
 * they are told apart here on every kernel since 4.18, at the price of one
 * more system call when, and only when, the kernel has said EAGAIN without
 * progress.
 */
#ifndef UFFD_KERNEL_H
#define UFFD_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uffd/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version ------------------------------------------------------------ */

#define LIBUFFD_VERSION_MAJOR 0
#define LIBUFFD_VERSION_MINOR 1

/* "0.1.0": of the library that is loaded. Static, never freed. */
const char *uffd_version(void);

/* ---- opening a descriptor ------------------------------------------------ */

/* how a descriptor was opened */
enum uffd_how {
	LIBUFFD_BY_SYSCALL = 1,	/* userfaultfd(2): all faults */
	LIBUFFD_BY_DEVICE,	/* /dev/userfaultfd: all faults (6.1) */
	LIBUFFD_BY_USER_ONLY,	/* userfaultfd(2): user-mode faults only */
};

/* flags of struct uffd_open_opts */
/* Fail rather than fall back to user-mode faults only. */
#define LIBUFFD_OPEN_NEED_KERNEL_FAULTS (1u << 0)
/* Ask for user-mode faults only, although more might be had. */
#define LIBUFFD_OPEN_USER_ONLY (1u << 1)
/* Leave O_NONBLOCK off. poll(2) then always says POLLERR; you rarely want it. */
#define LIBUFFD_OPEN_BLOCKING (1u << 2)

struct uffd_open_opts {
	size_t sz;		/* sizeof(struct uffd_open_opts) */
	uint64_t need;		/* UFFD_FEATURE_*: fail without any of them */
	uint64_t want;		/* UFFD_FEATURE_*: enable those that can be had */
	uint32_t flags;		/* LIBUFFD_OPEN_* */
	uint32_t reserved;	/* 0 */
};

/* what uffd_open found; every field is filled, also when it fails */
struct uffd_opened {
	enum uffd_how how;	/* 0 when nothing could be opened */
	bool kernel_faults;	/* system calls on missing memory wait, too */
	int err_syscall;	/* 0, -errno, or 1: not tried */
	int err_device;		/* the same, for /dev/userfaultfd */
	int err_user_only;	/* the same, for UFFD_USER_MODE_ONLY */
	uint64_t supported;	/* UFFD_FEATURE_* this kernel knows */
	uint64_t enabled;	/* UFFD_FEATURE_* switched on in this descriptor */
	uint64_t missing;	/* of opts->need: what could not be had */
};

/*
 * Open a userfaultfd, negotiate its features and return it: close-on-exec,
 * non-blocking, ready for uffd_register.
 *
 * Tried in order: userfaultfd(2); on EPERM, ENOSYS or EACCES /dev/userfaultfd;
 * last userfaultfd(2) with UFFD_USER_MODE_ONLY. What this kernel supports is
 * asked on a throw-away descriptor, because the kernel lets each descriptor be
 * asked only once.
 *
 * UFFD_FEATURE_EVENT_FORK needs CAP_SYS_PTRACE: under `want` it is dropped
 * silently where it can't be had, under `need` the call fails with -EPERM.
 *
 * opts may be NULL: no features. ret may be NULL.
 * Errors: -EINVAL (bad opts, or unknown bytes in it not zero),
 * -EOPNOTSUPP (a feature in `need` is not there: ret->missing), -EPERM,
 * -EACCES, -ENOSYS, -EMFILE, -ENFILE, -ENOMEM.
 */
int uffd_open(const struct uffd_open_opts *opts, struct uffd_opened *ret);

/*
 * UFFDIO_API on a descriptor that you opened yourself. 0, or -errno: EINVAL
 * when a feature is unknown or when the descriptor was asked before, EPERM for
 * EVENT_FORK without CAP_SYS_PTRACE. ret_supported, if not NULL, gets all the
 * features that the kernel has, not only the ones switched on.
 */
int uffd_api(int fd, uint64_t features, uint64_t *ret_supported);

/*
 * Ask, on a throw-away descriptor, what this kernel supports. UFFD_FEATURE_*
 * into ret. Being in the set does not mean that this account may use it, nor
 * that each kind of memory can: uffd_try() finds that out.
 */
int uffd_features(uint64_t *ret);

/* One line of knowledge for each feature bit. Static. */
struct uffd_feature_info {
	uint64_t bit;
	const char *name;	/* "EVENT_FORK" */
	const char *since;	/* "4.11": the kernel that brought it */
	const char *what;	/* one sentence */
};
/* The nth known feature, lowest bit first, or NULL past the end. */
const struct uffd_feature_info *uffd_feature_info(unsigned n);

/* ---- ioctls, one function each ------------------------------------------- */

/*
 * Register a range for modes UFFDIO_REGISTER_MODE_*. The kernel REPLACES the
 * modes of what is registered already (unless it has all of these), and going
 * from WP to non-WP leaves stale protection behind (on hugetlb a writer then
 * faults for ever): unregister first, then register the union. ret_ioctls, if
 * not NULL, gets a mask of 1 << _UFFDIO_*; an upper bound, since the kernel
 * promises some that it then refuses. Takes the address space's lock for
 * writing: not for the hot path.
 * Errors: EINVAL, EPERM (memory that can't be made writable), EBUSY (another
 * descriptor has it), ENOMEM (also: the process is dead).
 */
int uffd_register(int fd, uint64_t start, uint64_t len, uint64_t mode,
		  uint64_t *ret_ioctls);

/*
 * Unregister a range, then wake it: the kernel itself wakes only those who
 * wait for a missing page and leaves the others blocked. What another
 * descriptor has is EINVAL; older kernels (6.1) unregister it all the same.
 */
int uffd_unregister(int fd, uint64_t start, uint64_t len);

/*
 * Wake all threads that wait for a fault in the range, resolved or not; those
 * whose page is still not there fault again and send a new message. 0 or
 * -EINVAL; needs no mapping at that address and no living process.
 */
int uffd_wake(int fd, uint64_t start, uint64_t len);

/*
 * Fill [dst, dst+len) with bytes from src, each page appearing whole. src is
 * in the caller's memory and need not be aligned. mode: UFFDIO_COPY_MODE_*.
 * EFAULT: src can't be read, or dst lies past the end of its file.
 * hugetlb with an empty pool answers EEXIST (older kernels: ENOMEM): a page
 * that faults again after "EEXIST, so wake" is the sign.
 */
int64_t uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len,
		  uint64_t mode);

/* Map zeros. Not on hugetlb (EINVAL). On private memory EEXIST where a
 * write-protect, poison or guard marker stands; on shared memory it is gone
 * over, as uffd_copy does. mode: UFFDIO_ZEROPAGE_MODE_*. */
int64_t uffd_zeropage(int fd, uint64_t start, uint64_t len, uint64_t mode);

/*
 * Move whole pages from src to dst without copying (6.8). Private anonymous
 * memory of the calling process only, dst registered with fd, each side inside
 * one mapping. mode: UFFDIO_MOVE_MODE_*.
 * EBUSY: a page of src is pinned, shared by a fork, or merged: copy it instead.
 * ENOENT: a hole in src (unless ALLOW_SRC_HOLES). EINVAL: not such memory.
 */
int64_t uffd_move(int fd, uint64_t dst, uint64_t src, uint64_t len,
		  uint64_t mode);

/*
 * Write-protect (UFFDIO_WRITEPROTECT_MODE_WP) or release (0) a range. All or
 * nothing by its result, but ranges before the one that failed are changed;
 * doing it again is harmless. ENOENT: no mapping there is registered for WP,
 * or, on older kernels (6.1), the range is not inside one mapping; then nothing
 * is changed. uffd_writeprotect_all() does the same on all kernels.
 */
int64_t uffd_writeprotect(int fd, uint64_t start, uint64_t len, uint64_t mode);

/*
 * Map pages that the page cache has already: minor faults of shared memory and
 * hugetlb (5.13). mode: UFFDIO_CONTINUE_MODE_*. EFAULT: not in the page cache.
 */
int64_t uffd_continue(int fd, uint64_t start, uint64_t len, uint64_t mode);

/*
 * Make each access to the range fail with SIGBUS (6.6), EFAULT in system
 * calls. The page must not be there: EEXIST otherwise, also for a page that is
 * poisoned already. MADV_DONTNEED and uffd_copy heal it. A child made by fork
 * inherits it in private memory, and not in shared.
 */
int64_t uffd_poison(int fd, uint64_t start, uint64_t len, uint64_t mode);

/* Read-write protection, published after 6.18. EINVAL where it is not there.
 * mode: UFFDIO_RWPROTECT_MODE_*. */
int64_t uffd_rwprotect(int fd, uint64_t start, uint64_t len, uint64_t mode);

/* Switch UFFD_FEATURE_RWP_ASYNC on or off later; published after 6.18. */
int uffd_set_mode(int fd, uint64_t enable, uint64_t disable);

/*
 * Is the layout of fd's address space changing right now (see -EINPROGRESS)?
 * 1 yes, 0 no, or -errno.
 */
int uffd_changing(int fd);

/* ---- finishing a range ---------------------------------------------------- */

/* how far a uffd_*_all call came; all in bytes */
struct uffd_progress {
	uint64_t done;		/* from the start: dealt with. Resume here. */
	uint64_t filled;	/* of that: installed (or changed) by this call */
	uint64_t existed;	/* of that: was there already; woken */
	uint64_t gone;		/* of that: not mapped any more; woken */
};

/*
 * The same operations, carried through to the end of the range: partial
 * progress is continued, pages that exist are woken and passed over, mappings
 * that were split are done piece by piece, pages whose mapping is gone are
 * woken (their threads then get what the kernel gives them) and counted.
 *
 * 0: all of the range is dealt with. A negative errno: stopped at ret->done,
 * before which all is done; call again with the rest when the cause is gone.
 * -EINPROGRESS comes back at once, always: the caller drains the descriptor
 * first. -EAGAIN comes back when a race lasts longer than a few tries. Neither
 * ever spins. ret may not be NULL; it is filled also on failure. page_size is
 * the memory's: 4096, or the huge page size on hugetlb.
 */
int uffd_copy_all(int fd, uint64_t dst, const void *src, uint64_t len,
		  uint64_t mode, uint64_t page_size,
		  struct uffd_progress *ret);
int uffd_zeropage_all(int fd, uint64_t start, uint64_t len, uint64_t mode,
		      uint64_t page_size, struct uffd_progress *ret);
int uffd_move_all(int fd, uint64_t dst, uint64_t src, uint64_t len,
		  uint64_t mode, uint64_t page_size,
		  struct uffd_progress *ret);
int uffd_continue_all(int fd, uint64_t start, uint64_t len, uint64_t mode,
		      uint64_t page_size, struct uffd_progress *ret);
int uffd_poison_all(int fd, uint64_t start, uint64_t len, uint64_t mode,
		    uint64_t page_size, struct uffd_progress *ret);
int uffd_writeprotect_all(int fd, uint64_t start, uint64_t len, uint64_t mode,
			  uint64_t page_size, struct uffd_progress *ret);

/* ---- messages -------------------------------------------------------------- */

enum uffd_event_kind {
	LIBUFFD_EVENT_FORK = 1,	/* the process forked: fork_fd is the child's */
	LIBUFFD_EVENT_REMAP,	/* [start, +len) is now at to */
	LIBUFFD_EVENT_REMOVE,	/* [start, +len) is about to be discarded */
	LIBUFFD_EVENT_UNMAP,	/* [start, +len) is not mapped any more */
	LIBUFFD_FAULT_MISSING,	/* no page */
	LIBUFFD_FAULT_WP,	/* write to a write-protected page */
	LIBUFFD_FAULT_MINOR,	/* in the page cache, not mapped */
	LIBUFFD_FAULT_RWP,	/* access to a read-write-protected page */
	LIBUFFD_EVENT_UNKNOWN,	/* of a kernel newer than this library */
};

struct uffd_event {
	enum uffd_event_kind kind;
	bool write;		/* faults: the access is a write */
	uint32_t tid;		/* faults: thread, if THREAD_ID is on, else 0;
				 * in the pid namespace of that thread */
	uint64_t addr;		/* faults: as the kernel gave it; mask it to the
				 * page size of the memory yourself */
	uint64_t start;		/* events: range in bytes */
	uint64_t len;
	uint64_t to;		/* REMAP: the new place */
	int fork_fd;		/* FORK: yours from now on, close it; else -1 */
};

/* Messages of one read(2), in a buffer of the caller's. */
struct uffd_batch {
	struct uffd_msg *msgs;	/* private from here on */
	unsigned cap;
	unsigned nr;
	unsigned next;
	int spare_fd;
};

/*
 * Prepare a batch over an array of cap messages (16 to 64 is a good size). The
 * array must be resident and outside every registered range, and live as long
 * as the batch. Opens one descriptor and keeps it in reserve, so that a FORK
 * event can be taken even when the process has no descriptor left.
 * 0, -EINVAL (cap is 0), or -EMFILE, -ENFILE.
 */
int uffd_batch_init(struct uffd_batch *b, struct uffd_msg *msgs, unsigned cap);

/* Close what was not taken: fork descriptors still inside, and the reserve. */
void uffd_batch_finish(struct uffd_batch *b);

/*
 * Read as many messages as are there. Fork descriptors left over in the batch
 * from the last read are closed first. Returns their number; 0 when there is
 * none (the descriptor is non-blocking) or a signal came; -errno otherwise.
 * -EMFILE, -ENFILE: a FORK event waits, no descriptor is left, and the reserve
 * is used up, too; the event stays queued and poll(2) goes on saying POLLIN,
 * so leave the descriptor out of poll for a while instead of asking again.
 * One thread at a time for each batch.
 */
int uffd_batch_read(int fd, struct uffd_batch *b);

/*
 * Take the next message: all events first, in their order, then all faults.
 * True: *ret is filled. The kernel queues faults before events, so this is the
 * order in which they must be worked off.
 */
bool uffd_batch_next(struct uffd_batch *b, struct uffd_event *ret);

/* Decode one message. A fork descriptor inside becomes the caller's. */
void uffd_event_decode(const struct uffd_msg *msg, struct uffd_event *ret);

/* "MISSING", "REMAP", … Static. */
const char *uffd_event_name(enum uffd_event_kind kind);

/* ---- taking pages away ----------------------------------------------------- */

/*
 * Lift a range of the calling process: mremap(MREMAP_DONTUNMAP) every page of
 * [from, +len) to [to, +len), leaving `from` mapped, empty and registered.
 * Nothing is copied, no write can slip in between, and other processors are
 * interrupted once for each 2 MiB instead of once a page.
 *
 * Private anonymous memory since 5.7, other memory since 5.13, hugetlb never.
 * `to` is a place of the caller's, page-aligned, not overlapping; what was
 * mapped there is gone. Where mprotect or madvise has split `from`, it is
 * lifted piece by piece; a hole in it stays a hole, and `to` keeps there what
 * it had. Pieces of the new place may have different protections, as the old
 * ones had.
 *
 * Returns the bytes lifted, holes not counted, or -errno when nothing was:
 * EINVAL (alignment, overlap, memory that can't), EFAULT (nothing is mapped),
 * ENOMEM (vm.max_map_count).
 *
 * Beware: pinned pages (direct I/O in flight, registered buffers) are lifted,
 * too, and the device goes on writing into what the program no longer has;
 * only uffd_move() can tell. With UFFD_FEATURE_EVENT_REMAP the caller sleeps
 * until another thread has read the event, and the new place is registered
 * as well; without it 1 GiB-aligned ranges can't be moved by whole tables.
 */
int64_t uffd_lift(uint64_t from, uint64_t to, uint64_t len);

/*
 * The same, saying how far it came: needed where the range may have holes or
 * the process may be near vm.max_map_count, since lifting a second time what
 * is lifted already would lose it. 0: all of the range is dealt with. -errno:
 * stopped at ret->done; before it all is done, from there on nothing is.
 * filled is what was lifted, gone what is not mapped. ret may not be NULL.
 */
int uffd_lift_all(uint64_t from, uint64_t to, uint64_t len,
		  struct uffd_progress *ret);

/*
 * madvise many ranges of the calling process in few calls: one interruption
 * of other processors for up to 1024 ranges instead of one each, where
 * process_madvise(2) takes this advice (MADV_DONTNEED on oneself: about 6.13);
 * one madvise(2) each elsewhere. Shared dirty pages cost one each anyway.
 * Returns the bytes advised, from the first range on, or -errno for the first.
 * With UFFD_FEATURE_EVENT_REMOVE the caller sleeps until the event is read.
 */
int64_t uffd_advise(const struct iovec *ranges, unsigned nr, int advice);

/* Drop the pages of a range (MADV_DONTNEED): private pages are lost, shared
 * ones stay in the page cache. 0 or -errno. */
int uffd_drop(uint64_t start, uint64_t len);

/* Free [offset, +len) of a shared memory file (punch a hole). Cheap when
 * nothing maps it. 0 or -errno. */
int uffd_punch(int memfd, uint64_t offset, uint64_t len);

/* ---- which pages ------------------------------------------------------------ */

/*
 * Open /proc/PID/pagemap for scanning; pid 0 is the caller. Needs the right to
 * ptrace for another process. A descriptor (close-on-exec) or -errno.
 */
int uffd_pagemap_open(pid_t pid);

/*
 * PAGEMAP_SCAN (6.7), one call; arg->size is set for you. Returns the number
 * of regions found, or -errno: ENOTTY where the kernel has no such call,
 * EPERM where PM_SCAN_CHECK_WPASYNC met memory not registered for WP_ASYNC.
 */
int uffd_pagemap_scan(int pagemap_fd, struct uffd_scan_arg *arg);

/* A walk over a range in steps; fields are private but for the first four. */
struct uffd_scan {
	struct uffd_page_region *vec;	/* the caller's; 512 is the most used */
	unsigned nr;			/* valid after uffd_scan_next */
	uint64_t start, end;		/* what is left */
	int fd;
	unsigned cap;
	uint64_t flags;
	uint64_t mask;
};

/*
 * Begin a walk over [start, end) that looks for pages with all of `mask`
 * (PAGE_IS_*) and returns these categories; flags PM_SCAN_*. PM_SCAN_WP_MATCHING
 * always gets PM_SCAN_CHECK_WPASYNC added: without it memory that can't be
 * armed is passed over in silence.
 */
void uffd_scan_begin(struct uffd_scan *s, int pagemap_fd, uint64_t start,
		     uint64_t end, uint64_t mask, uint64_t flags,
		     struct uffd_page_region *vec, unsigned cap);

/*
 * Fill vec with the next regions, in s->nr. 1: there are some; 0: the walk is
 * over; -errno: it stopped at s->start. No region is given twice, and none is
 * lost by a buffer too small or by a signal.
 */
int uffd_scan_next(struct uffd_scan *s);

/* ---- what works here, by trying --------------------------------------------- */

enum uffd_memory {
	LIBUFFD_MEM_PRIVATE,		/* MAP_PRIVATE | MAP_ANONYMOUS */
	LIBUFFD_MEM_SHARED,		/* MAP_SHARED | MAP_ANONYMOUS */
	LIBUFFD_MEM_MEMFD_SHARED,
	LIBUFFD_MEM_MEMFD_PRIVATE,
	LIBUFFD_MEM_HUGETLB_2M,
	LIBUFFD_MEM_HUGETLB_1G,
	LIBUFFD_MEM_FILE,		/* a regular file, shared */
	LIBUFFD_NR_MEM
};

enum uffd_op {
	LIBUFFD_OP_MISSING,		/* register, and get the message */
	LIBUFFD_OP_MINOR,
	LIBUFFD_OP_WP,
	LIBUFFD_OP_WP_ASYNC,		/* with PAGEMAP_SCAN get and re-arm */
	LIBUFFD_OP_COPY,
	LIBUFFD_OP_ZEROPAGE,
	LIBUFFD_OP_CONTINUE,
	LIBUFFD_OP_MOVE,
	LIBUFFD_OP_POISON,
	LIBUFFD_OP_RWP,			/* read-write protection */
	LIBUFFD_OP_SIGBUS,		/* a fault as a signal in its thread */
	LIBUFFD_OP_LIFT,		/* mremap(MREMAP_DONTUNMAP) */
	LIBUFFD_NR_OP
};

/* "private", "memfd-shared", "hugetlb-2m", … Static; NULL if out of range. */
const char *uffd_memory_name(enum uffd_memory memory);
/* "missing", "copy", … Static; NULL if out of range. */
const char *uffd_op_name(enum uffd_op op);

/*
 * Try an operation on a scratch mapping of this kind of memory, look at the
 * result, and clean up. 1: it works. 0: this kernel can't, on this memory.
 * -errno: it could not be tried here: -ENOMEM no huge page is free, -EPERM or
 * -EACCES no descriptor may be opened, -ENOENT no such page size or no place
 * for a file (TMPDIR, /tmp, /var/tmp; LIBUFFD_MEM_FILE wants a file system on a
 * disk).
 * Takes well under a millisecond, except with huge pages. Not from a signal
 * handler. Starts no thread: what needs a fault makes it in a child process.
 */
int uffd_try(enum uffd_memory memory, enum uffd_op op);

/* ---- handing descriptors over ------------------------------------------------ */

/*
 * Send nr (1 to 253) descriptors and at least one byte of data over a Unix
 * socket. Bytes sent, or -errno. Never raises SIGPIPE.
 */
ssize_t uffd_send_fds(int sock, const int *fds, unsigned nr, const void *data,
		      size_t len);

/*
 * Receive one message of up to len bytes and exactly the descriptors it
 * carries, at most cap; all get close-on-exec. Returns its bytes (0: the peer
 * has closed) and *ret_nr descriptors in fds, which are the caller's.
 * -EMSGSIZE: data or descriptors did not fit or were cut off by the kernel
 * (that happens under EMFILE, too). Then every descriptor that did arrive is
 * closed again and *ret_nr is 0.
 */
ssize_t uffd_recv_fds(int sock, int *fds, unsigned cap, unsigned *ret_nr,
		      void *data, size_t len);

/* ---- other processes ----------------------------------------------------------- */

/*
 * A descriptor for process pid, that poll(2) reports as readable once the
 * process is dead (5.3). The only sign there is: a userfaultfd whose process
 * dies stays silent.
 */
int uffd_pidfd_open(pid_t pid);

/* Wait up to timeout_ms (-1: for ever) for the process to end. 1: it has;
 * 0: it lives; -errno. Signals don't cut the time short. */
int uffd_pidfd_wait(int pidfd, int timeout_ms);

/* Copy descriptor number fd of the process pidfd into this one (5.6; needs
 * the right to ptrace it). Close-on-exec. */
int uffd_pidfd_getfd(int pidfd, int fd);

/* what /proc/PID/fdinfo/FD says of a userfaultfd */
struct uffd_fdinfo {
	uint64_t pending;	/* faults that nobody has read */
	uint64_t total;		/* and those read but not resolved */
	uint64_t api;		/* 0xaa */
	uint64_t features;	/* enabled UFFD_FEATURE_* */
	uint64_t ioctls;	/* 1 << _UFFDIO_* */
};

/* Parse the text of such a file. -EINVAL: it is not a userfaultfd's. */
int uffd_fdinfo_parse(const char *text, size_t len, struct uffd_fdinfo *ret);

/* Read and parse it; pid 0 is the caller. -ENOENT: no such process or
 * descriptor; -EINVAL: not a userfaultfd. */
int uffd_fdinfo(pid_t pid, int fd, struct uffd_fdinfo *ret);

#ifdef __cplusplus
}
#endif

#endif /* UFFD_KERNEL_H */
