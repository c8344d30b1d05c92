/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "../public.h"
#include "args.h"
#include "number.h"
#include "reason.h"

PUBLIC const char *uffd_store_scheme(const struct uffd_store_args *args)
{
	return args->scheme;
}

PUBLIC const char *uffd_store_target(const struct uffd_store_args *args)
{
	return args->uri.target;
}

PUBLIC unsigned uffd_store_flags(const struct uffd_store_args *args)
{
	return args->flags;
}

PUBLIC struct uffd_store *uffd_store_next(const struct uffd_store_args *args)
{
	return args->next;
}

PUBLIC const char *uffd_store_key(const struct uffd_store_args *args,
				  const char *name)
{
	for (unsigned i = 0; i < args->uri.nr_keys; i++)
		if (!strcmp(args->uri.keys[i].name, name))
			return args->uri.keys[i].value;
	return NULL;
}

PUBLIC int uffd_store_refuse(const struct uffd_store_args *args, int error,
			     const char *format, ...)
{
	va_list list;

	va_start(list, format);
	reason_vgive(args->reason, error, format, list);
	va_end(list);
	return error;
}

static int bad_value(const struct uffd_store_args *args, const char *name,
		     const char *value, const char *accepted)
{
	return uffd_store_refuse(args, -EINVAL, "%s=%.60s: it must be %s", name,
				 value, accepted);
}

PUBLIC int uffd_store_key_size(const struct uffd_store_args *args,
			       const char *name, uint64_t *ret)
{
	const char *value = uffd_store_key(args, name);

	if (!value || number_size(value, ret))
		return 0;
	return bad_value(args, name, value,
			 "a size: bytes, or a number with K, M, G or T");
}

PUBLIC int uffd_store_key_count(const struct uffd_store_args *args,
				const char *name, uint64_t *ret)
{
	const char *value = uffd_store_key(args, name);

	if (!value || number_count(value, ret))
		return 0;
	return bad_value(args, name, value, "a number of decimal digits");
}

PUBLIC int uffd_store_key_fraction(const struct uffd_store_args *args,
				   const char *name, double *ret)
{
	const char *value = uffd_store_key(args, name);

	if (!value || number_fraction(value, ret))
		return 0;
	return bad_value(args, name, value, "a fraction from 0 to 1, like 0.01");
}

int args_word(const struct uffd_store_args *args, const char *name,
	      const char *const *words, unsigned *ret)
{
	const char *value = uffd_store_key(args, name);

	if (!value)
		return 0;
	for (unsigned i = 0; words[i]; i++) {
		if (!strcmp(words[i], value)) {
			*ret = i;
			return 0;
		}
	}
	bad_value(args, name, value, "one of");
	for (unsigned i = 0; words[i]; i++)
		reason_add(args->reason, "%s %s", i ? "," : "", words[i]);
	return -EINVAL;
}

static bool has_key(const struct uffd_store_ops *ops, const char *name)
{
	for (unsigned i = 0; ops->keys && ops->keys[i].name; i++)
		if (!strcmp(ops->keys[i].name, name))
			return true;
	return false;
}

int args_check_keys(const struct uffd_store_args *args,
		    const struct uffd_store_ops *ops)
{
	for (unsigned i = 0; i < args->uri.nr_keys; i++) {
		const char *name = args->uri.keys[i].name;

		if (has_key(ops, name))
			continue;
		uffd_store_refuse(args, -EINVAL, "there is no key '%.60s'; %s",
				  name, ops->keys && ops->keys[0].name ?
				  "there are" : "it has no keys");
		for (unsigned k = 0; ops->keys && ops->keys[k].name; k++)
			reason_add(args->reason, "%s %s", k ? "," : "",
				   ops->keys[k].name);
		return -EINVAL;
	}
	return 0;
}
