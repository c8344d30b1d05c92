/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a store, and what is known of an open one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../public.h"
#include "args.h"
#include "inside.h"
#include "plugin.h"
#include "reason.h"
#include "registry.h"

/* how many stores may stand behind each other */
#define DEPTH_MAX 16

static int open_uri(const char *uri, unsigned flags, unsigned depth,
		    struct uffd_reason *reason, struct uffd_store **ret);

/* what the functions in its table suggest that it can */
static unsigned suggested(const struct uffd_store_ops *ops, unsigned flags)
{
	unsigned can = 0;

	if (ops->write && !(flags & LIBUFFD_STORE_RDONLY))
		can |= LIBUFFD_STORE_CAN_WRITE;
	if (ops->discard && (can & LIBUFFD_STORE_CAN_WRITE))
		can |= LIBUFFD_STORE_CAN_DISCARD;
	if (ops->extents)
		can |= LIBUFFD_STORE_CAN_EXTENTS;
	if (ops->submit && ops->fd && ops->dispatch)
		can |= LIBUFFD_STORE_CAN_SUBMIT;
	if (ops->map)
		can |= LIBUFFD_STORE_CAN_MAP;
	if (ops->flags & LIBUFFD_STORE_PARALLEL)
		can |= LIBUFFD_STORE_IS_PARALLEL;
	if (ops->flags & LIBUFFD_STORE_SIGNAL_SAFE)
		can |= LIBUFFD_STORE_IS_SIGNAL_SAFE;
	return can;
}

static int ask(struct uffd_store *s, unsigned flags)
{
	int err = s->ops.length(s->state, &s->length);
	unsigned can = suggested(&s->ops, flags);

	if (err)
		return err < 0 ? err : -EIO;
	if (s->length > INT64_MAX)
		return -EFBIG;
	s->can = s->ops.can ? can & s->ops.can(s->state, can) : can;
	if (s->can & LIBUFFD_STORE_CAN_SUBMIT) {
		s->flight = flight_new(s);
		if (!s->flight)
			return -ENOMEM;
	}
	return 0;
}

static void free_store(struct uffd_store *s)
{
	uffd_store_close(s->next);
	flight_free(s->flight);
	free(s->uri);
	free(s);
}

static int open_state(struct uffd_store *s, struct uffd_store_args *args)
{
	int err = s->ops.open(args, &s->state);

	if (err)
		return err < 0 ? err : -EIO;
	err = ask(s, args->flags);
	if (err)
		s->ops.close(s->state);
	return err;
}

static int open_parsed(const char *uri, const struct uffd_store_ops *ops,
		       struct uffd_store_args *args, struct uffd_store **ret)
{
	/* its lines of counters want their alignment */
	struct uffd_store *s = aligned_alloc(_Alignof(struct uffd_store),
					     sizeof(*s));
	int err;

	if (!s) {
		uffd_store_close(args->next);
		return -ENOMEM;
	}
	memset(s, 0, sizeof(*s));
	ops_take(&s->ops, ops);
	s->next = args->next;
	s->serial = !(s->ops.flags & LIBUFFD_STORE_PARALLEL);
	s->uri = strdup(uri);
	err = s->uri ? open_state(s, args) : -ENOMEM;
	if (err)
		free_store(s);
	else
		*ret = s;
	return err;
}

static int open_known(const char *uri, unsigned depth,
		      const struct uffd_store_ops *ops,
		      struct uffd_store_args *args, struct uffd_store **ret)
{
	int err = uri_parse(uri, ops->flags & LIBUFFD_STORE_STACKS, &args->uri,
			    args->reason);

	if (!err)
		err = args_check_keys(args, ops);
	if (!err && args->uri.behind) {
		err = open_uri(args->uri.behind, args->flags, depth + 1,
			       args->reason, &args->next);
		args->behind_failed = err < 0;
	}
	if (!err)
		err = open_parsed(uri, ops, args, ret);
	uri_free(&args->uri);
	return err;
}

static int no_scheme(const char *uri, struct uffd_reason *reason)
{
	return reason_give(reason, -EINVAL,
			   "'%.60s' does not begin with a scheme, as file: or "
			   "memory: (a path is written file:PATH)", uri);
}

static int unknown(const char *scheme, struct uffd_reason *reason)
{
	const struct uffd_store_ops *ops;

	reason_give(reason, -EINVAL, "there is no store '%s' and no plug-in "
		    "uffd-store-%s.so; there are", scheme, scheme);
	for (unsigned n = 0; (ops = uffd_store_known(n)); n++)
		reason_add(reason, "%s %s", n ? "," : "", ops->name);
	return -EINVAL;
}

static int find(const char *scheme, struct uffd_reason *reason,
		const struct uffd_store_ops **ret)
{
	int err = 0;

	*ret = registry_find(scheme);
	if (!*ret)
		err = plugin_load(scheme, reason, ret);
	return err == -ENOENT ? unknown(scheme, reason) : err;
}

/* something is always said, and by whom: here, or by the one behind */
static void say_who(const struct uffd_store_args *args, int err)
{
	if (args->behind_failed)
		return;
	reason_give(args->reason, err, "%s", strerror(-err));
	reason_prefix(args->reason, args->scheme);
}

static int open_uri(const char *uri, unsigned flags, unsigned depth,
		    struct uffd_reason *reason, struct uffd_store **ret)
{
	struct uffd_store_args args = { .flags = flags, .reason = reason };
	const struct uffd_store_ops *ops;
	struct uffd_store *s = NULL;
	int err;

	if (!uri_scheme(uri, args.scheme))
		return no_scheme(uri, reason);
	if (depth == DEPTH_MAX)
		return reason_give(reason, -EINVAL,
				   "more than %d stores before each other",
				   DEPTH_MAX);
	err = find(args.scheme, reason, &ops);
	if (err)
		return err;
	err = open_known(uri, depth, ops, &args, &s);
	if (err)
		say_who(&args, err);
	else
		*ret = s;
	return err;
}

PUBLIC int uffd_store_open(const char *uri, unsigned flags,
			   struct uffd_reason *reason, struct uffd_store **ret)
{
	struct uffd_reason mine;

	if (!reason)
		reason = &mine;
	reason->text[0] = '\0';
	if (flags & ~(LIBUFFD_STORE_RDONLY | LIBUFFD_STORE_CREATE))
		return reason_give(reason, -EINVAL, "unknown flags %#x", flags);
	return open_uri(uri, flags, 0, reason, ret);
}

PUBLIC void uffd_store_close(struct uffd_store *s)
{
	if (!s)
		return;
	if (s->flight && !flight_end(s->flight)) {
		/* the silent one may be behind: what it owes comes from there,
		 * while this one can still hand it on */
		uffd_store_close(s->next);
		s->next = NULL;
	}
	s->ops.close(s->state);
	if (s->flight)
		flight_cancel(s->flight);
	free_store(s);
}

PUBLIC const char *uffd_store_uri(const struct uffd_store *s)
{
	return s->uri;
}

PUBLIC uint64_t uffd_store_length(const struct uffd_store *s)
{
	return s->length;
}

PUBLIC unsigned uffd_store_can(const struct uffd_store *s)
{
	return s->can;
}

PUBLIC void uffd_store_stats(const struct uffd_store *s,
			     struct uffd_store_stats *ret)
{
	const struct counts *c = &s->counts;

	*ret = (struct uffd_store_stats){
		.reads = count_sum(c, COUNT_READS),
		.read_bytes = count_sum(c, COUNT_READ_BYTES),
		.writes = count_sum(c, COUNT_WRITES),
		.write_bytes = count_sum(c, COUNT_WRITE_BYTES),
		.discards = count_sum(c, COUNT_DISCARDS),
		.flushes = count_sum(c, COUNT_FLUSHES),
		.errors = count_sum(c, COUNT_ERRORS),
	};
	if (s->ops.stats)
		s->ops.stats(s->state, ret);
}
