/* SPDX-License-Identifier: MIT */
/*
 * Opening: which way is tried after which, and what is said of it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <uffd/kernel.h>

#include "promise.h"
#include "seam.h"

/* descriptors that the tests' kernel gives */
#define DEV 30
#define FIRST 40

#define ALL_OF_6_18 0x1ffffull

/* a kernel and its rules */
struct kernel {
	int syscall_err;	/* 0, or what the system call answers */
	int dev_open_err;	/* the same for opening the device */
	int dev_new_err;	/* and for its ioctl */
	int user_err;		/* the same for user-mode faults only */
	int second_err;		/* every descriptor after the first */
	uint64_t supported;
	bool fork_forbidden;
	unsigned nr_open;	/* handed out and not closed */
	unsigned nr_made;
	int flags;		/* of the first one made */
	uint64_t asked[8];	/* features of each UFFDIO_API */
	unsigned nr_asked;
	unsigned tried;		/* TRIED_* in the order of their coming */
};

enum { TRIED_SYSCALL = 1, TRIED_DEVICE = 2, TRIED_USER = 3 };

static long make(struct kernel *k, int err, int flags)
{
	if (!err && k->nr_made > 0)
		err = k->second_err;
	if (err)
		return -err;
	if (k->nr_made == 0)
		k->flags = flags;
	k->nr_open++;
	return FIRST + k->nr_made++;
}

/* remember the way, but only of the first descriptor */
static void note(struct kernel *k, unsigned way)
{
	if (k->nr_made == 0)
		k->tried = k->tried * 10 + way;
}

static long api(struct kernel *k, struct uffdio_api *arg)
{
	uint64_t features = arg->features;

	k->asked[k->nr_asked++] = features;
	memset(arg, 0, sizeof(*arg));
	if (features & ~k->supported)
		return -EINVAL;
	if (k->fork_forbidden && (features & UFFD_FEATURE_EVENT_FORK))
		return -EPERM;
	arg->features = k->supported;
	return 0;
}

static long play(const struct seam_args *args, void *data)
{
	struct kernel *k = data;

	switch (args->call) {
	case SEAM_CLOSE:
		k->nr_open--;
		return 0;
	case SEAM_SYSCALL:
		SAME(args->a[0], SYS_userfaultfd);
		if (args->a[1] & UFFD_USER_MODE_ONLY) {
			note(k, TRIED_USER);
			return make(k, k->user_err, (int)args->a[1]);
		}
		note(k, TRIED_SYSCALL);
		return make(k, k->syscall_err, (int)args->a[1]);
	case SEAM_OPEN:
		CHECK(!strcmp((const char *)args->a[0], "/dev/userfaultfd"));
		CHECK(args->a[1] & O_CLOEXEC);
		note(k, TRIED_DEVICE);
		if (k->dev_open_err)
			return -k->dev_open_err;
		k->nr_open++;
		return DEV;
	case SEAM_IOCTL:
		if (args->a[1] == (long)USERFAULTFD_IOC_NEW) {
			SAME(args->a[0], DEV);
			return make(k, k->dev_new_err, (int)args->a[2]);
		}
		SAME(args->a[1], (long)UFFDIO_API);
		return api(k, (void *)args->a[2]);
	default:
		CHECK(!"a call that opening needs");
		return -ENOSYS;
	}
}

static int open_on(struct kernel *k, uint64_t need, uint64_t want,
		   uint32_t flags, struct uffd_opened *o)
{
	struct uffd_open_opts opts = {
		.sz = sizeof(opts),
		.need = need,
		.want = want,
		.flags = flags,
	};
	int fd;

	if (!k->supported)
		k->supported = ALL_OF_6_18;
	memset(o, 0xee, sizeof(*o));
	seam_use(play, k);
	fd = CALL(uffd_open(&opts, o));
	seam_use(NULL, NULL);
	/* whatever happened, nothing else stays open */
	SAME(k->nr_open, fd >= 0 ? 1 : 0);
	return fd;
}

static void first_way(void)
{
	struct uffd_opened o;
	struct kernel k = { 0 };

	SAME(open_on(&k, 0, 0, 0, &o), FIRST);
	SAME(o.how, LIBUFFD_BY_SYSCALL);
	SAME(o.kernel_faults, true);
	SAME(o.err_syscall, 0);
	SAME(o.err_device, 1);
	SAME(o.err_user_only, 1);
	SAME(o.supported, ALL_OF_6_18);
	SAME(o.enabled, 0);
	SAME(o.missing, 0);
	SAME(k.tried, 1);
	SAME(k.flags, O_CLOEXEC | O_NONBLOCK);
}

/* an answer by which another way may still be open */
static bool closed_way(int err)
{
	return err == EPERM || err == EACCES || err == ENOSYS;
}

struct want {
	int how;	/* 0: fails */
	int ret;
	unsigned tried;
};

/* the documented order, once more in the test's own words */
static struct want expected(const struct kernel *k, bool need)
{
	if (!k->syscall_err)
		return (struct want){ LIBUFFD_BY_SYSCALL, 0, 1 };
	if (!closed_way(k->syscall_err))
		return (struct want){ 0, -k->syscall_err, 1 };
	if (!k->dev_open_err && !k->dev_new_err)
		return (struct want){ LIBUFFD_BY_DEVICE, 0, 12 };
	if (k->dev_open_err == EMFILE || k->dev_open_err == ENFILE)
		return (struct want){ 0, -k->dev_open_err, 12 };
	if (!k->dev_open_err && k->dev_new_err == EMFILE)
		return (struct want){ 0, -EMFILE, 12 };
	if (need)
		return (struct want){ 0, -k->syscall_err, 12 };
	if (!k->user_err)
		return (struct want){ LIBUFFD_BY_USER_ONLY, 0, 123 };
	/* EINVAL there: a kernel that does not know the flag */
	return (struct want){ 0, k->user_err == EINVAL ? -k->syscall_err :
							 -k->user_err, 123 };
}

static void combination(int a, int b, int c, int d, bool need)
{
	struct kernel k = { .syscall_err = a, .dev_open_err = b,
			    .dev_new_err = c, .user_err = d };
	struct want want = expected(&k, need);
	struct uffd_opened o;
	int fd = open_on(&k, 0, 0, need ? LIBUFFD_OPEN_NEED_KERNEL_FAULTS : 0,
			 &o);

	SAME(o.how, want.how);
	SAME(fd, want.how ? FIRST : want.ret);
	SAME(k.tried, want.tried);
	SAME(o.kernel_faults, want.how == LIBUFFD_BY_SYSCALL ||
				      want.how == LIBUFFD_BY_DEVICE);
	SAME(o.err_syscall, -a);
	SAME(o.err_device, want.tried < 12 ? 1 : b ? -b : -c);
	SAME(o.err_user_only, want.tried < 123 ? 1 : -d);
	if (broken)
		printf("# with %d %d %d %d, need %d\n", a, b, c, d, need);
}

static void order(void)
{
	static const int a[] = { 0, EPERM, ENOSYS, EACCES, EMFILE, ENFILE,
				 ENOMEM };
	static const int b[] = { 0, ENOENT, EACCES, EPERM, ENXIO, EMFILE,
				 ENFILE };
	static const int c[] = { 0, EMFILE, EPERM, ENOTTY };
	static const int d[] = { 0, EPERM, ENOSYS, EACCES, EINVAL, EMFILE };

	for (unsigned n = 0; n < 2 * NR(a) * NR(b) * NR(c) * NR(d); n++) {
		unsigned i = n / 2;

		combination(a[i % NR(a)], b[i / NR(a) % NR(b)],
			    c[i / NR(a) / NR(b) % NR(c)],
			    d[i / NR(a) / NR(b) / NR(c)], n % 2);
		if (broken)
			return;
	}
}

static void user_only(void)
{
	struct uffd_opened o;
	struct kernel k = { 0 };

	SAME(open_on(&k, 0, 0, LIBUFFD_OPEN_USER_ONLY, &o), FIRST);
	SAME(o.how, LIBUFFD_BY_USER_ONLY);
	SAME(o.kernel_faults, false);
	SAME(o.err_syscall, 1);
	SAME(o.err_device, 1);
	SAME(o.err_user_only, 0);
	SAME(k.tried, 3);

	k = (struct kernel){ .user_err = EINVAL };
	SAME(open_on(&k, 0, 0, LIBUFFD_OPEN_USER_ONLY, &o), -ENOSYS);
	SAME(o.how, 0);
	SAME(o.err_user_only, -EINVAL);
}

static void blocking(void)
{
	struct uffd_opened o;
	struct kernel k = { 0 };

	SAME(open_on(&k, 0, 0, LIBUFFD_OPEN_BLOCKING, &o), FIRST);
	SAME(k.flags, O_CLOEXEC);
}

static void features(void)
{
	const uint64_t some = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_THREAD_ID;
	struct uffd_opened o;
	struct kernel k = { 0 };

	SAME(open_on(&k, some, 0, 0, &o), FIRST);
	SAME(o.enabled, some);
	SAME(k.nr_asked, 2);
	SAME(k.asked[0], 0); /* the throw-away one */
	SAME(k.asked[1], some);

	/* what is wanted and not there is left out, on an old kernel */
	k = (struct kernel){ .supported = 0x1ff };
	SAME(open_on(&k, UFFD_FEATURE_SIGBUS,
		     UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_MOVE |
			     UFFD_FEATURE_WP_ASYNC,
		     0, &o),
	     FIRST);
	SAME(o.supported, 0x1ff);
	SAME(o.enabled, some);
	SAME(o.missing, 0);
}

static void feature_missing(void)
{
	struct uffd_opened o;
	struct kernel k = { .supported = 0x1ff };

	SAME(open_on(&k, UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MOVE, 0, 0, &o),
	     -EOPNOTSUPP);
	SAME(o.missing, UFFD_FEATURE_MOVE);
	SAME(o.enabled, 0);
	SAME(o.supported, 0x1ff);
	SAME(o.how, LIBUFFD_BY_SYSCALL);
	/* a bit that nobody knows */
	k = (struct kernel){ 0 };
	SAME(open_on(&k, UINT64_C(1) << 40, 0, 0, &o), -EOPNOTSUPP);
	SAME(o.missing, UINT64_C(1) << 40);
	k = (struct kernel){ 0 };
	SAME(open_on(&k, 0, UINT64_C(1) << 40, 0, &o), FIRST);
	SAME(o.enabled, 0);
}

static void fork_forbidden(void)
{
	const uint64_t events = UFFD_FEATURE_EVENT_FORK |
				UFFD_FEATURE_EVENT_REMAP;
	struct uffd_opened o;
	struct kernel k = { .fork_forbidden = true };

	SAME(open_on(&k, 0, events, 0, &o), FIRST);
	SAME(o.enabled, UFFD_FEATURE_EVENT_REMAP);
	SAME(o.missing, 0);
	SAME(k.nr_asked, 3);

	k = (struct kernel){ .fork_forbidden = true };
	SAME(open_on(&k, UFFD_FEATURE_EVENT_FORK, UFFD_FEATURE_EVENT_REMAP, 0,
		     &o),
	     -EPERM);
	SAME(o.missing, UFFD_FEATURE_EVENT_FORK);
	SAME(o.enabled, 0);
}

static void rwp_async_alone(void)
{
	const uint64_t rwp = UFFD_FEATURE_RWP, async = UFFD_FEATURE_RWP_ASYNC;
	struct uffd_opened o;
	struct kernel k = { .supported = 0x7ffff };

	SAME(open_on(&k, 0, async, 0, &o), FIRST);
	SAME(o.enabled, 0);
	k = (struct kernel){ .supported = 0x7ffff };
	SAME(open_on(&k, 0, rwp | async, 0, &o), FIRST);
	SAME(o.enabled, rwp | async);
}

static void no_second(void)
{
	struct uffd_opened o;
	struct kernel k = { .second_err = EMFILE };

	SAME(open_on(&k, 0, 0, 0, &o), -EMFILE);
	SAME(o.enabled, 0);
}

static void refuses(const void *opts)
{
	struct kernel k = { .supported = ALL_OF_6_18 };
	struct uffd_opened o;

	memset(&o, 0xee, sizeof(o));
	seam_use(play, &k);
	SAME(CALL(uffd_open(opts, &o)), -EINVAL);
	SAME(seam_calls(), 0);
	seam_use(NULL, NULL);
	SAME(o.how, 0);
	SAME(o.err_syscall, 1);
	SAME(o.missing, 0);
}

static void bad_options(void)
{
	struct uffd_open_opts good = { .sz = sizeof(good) }, opts;

	for (int bit = 3; bit < 32; bit++) {
		opts = good;
		opts.flags = 1u << bit;
		refuses(&opts);
	}
	opts = good;
	opts.flags = LIBUFFD_OPEN_USER_ONLY | LIBUFFD_OPEN_NEED_KERNEL_FAULTS;
	refuses(&opts);
	opts = good;
	opts.reserved = 1;
	refuses(&opts);
	for (size_t sz = 0; sz < sizeof(sz); sz++) {
		opts = good;
		opts.sz = sz;
		refuses(&opts);
	}
	opts = good;
	opts.sz = SIZE_MAX;
	refuses(&opts);
}

static void other_versions(void)
{
	struct {
		struct uffd_open_opts opts;
		unsigned char more[16];
	} longer = { .opts = { .sz = sizeof(longer) } };
	struct uffd_open_opts shorter = {
		.sz = offsetof(struct uffd_open_opts, flags),
		.need = UFFD_FEATURE_SIGBUS,
		.flags = 0xffffffff, /* not there, by its size */
	};
	struct kernel k = { .supported = ALL_OF_6_18 };

	seam_use(play, &k);
	SAME(CALL(uffd_open((void *)&longer, NULL)), FIRST);
	SAME(CALL(uffd_open(&shorter, NULL)), FIRST + 2);
	SAME(k.asked[3], UFFD_FEATURE_SIGBUS);
	SAME(CALL(uffd_open(NULL, NULL)), FIRST + 4);
	seam_use(NULL, NULL);
	for (unsigned i = 0; i < sizeof(longer.more); i++) {
		longer.more[i] = 1;
		refuses(&longer);
		longer.more[i] = 0;
	}
}

static void asks_only(void)
{
	struct kernel k = { .supported = 0x1ff, .syscall_err = EPERM };
	uint64_t features = 0;

	seam_use(play, &k);
	SAME(CALL(uffd_features(&features)), 0);
	SAME(features, 0x1ff);
	SAME(k.nr_open, 0);
	k = (struct kernel){ .syscall_err = EPERM, .dev_open_err = ENOENT,
			     .user_err = EPERM };
	SAME(CALL(uffd_features(&features)), -EPERM);
	k = (struct kernel){ .syscall_err = EPERM, .dev_open_err = ENOENT,
			     .user_err = EINVAL };
	SAME(CALL(uffd_features(&features)), -EPERM);
	SAME(k.nr_open, 0);
	seam_use(NULL, NULL);
}

static const struct promise promises[] = {
	{ "the system call is the first way, and says so", first_way },
	{ "every combination of errors takes the documented way", order },
	{ "user-mode faults only, when asked for, is the only way tried",
	  user_only },
	{ "O_NONBLOCK is left off on request", blocking },
	{ "what is needed and wanted is switched on, as far as it is there",
	  features },
	{ "what is needed and not there is named", feature_missing },
	{ "FORK without the right: dropped when wanted, fails when needed",
	  fork_forbidden },
	{ "RWP_ASYNC is not wanted without RWP", rwp_async_alone },
	{ "no descriptor left to ask with is an error, and nothing leaks",
	  no_second },
	{ "bad options are refused before anything is called", bad_options },
	{ "shorter and longer option structs are understood", other_versions },
	{ "asking for features leaves nothing open", asks_only },
};

int main(void)
{
	return keep_all(promises, NR(promises));
}
