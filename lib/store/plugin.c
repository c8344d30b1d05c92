/* SPDX-License-Identifier: MIT */
/*
 * A plug-in stays loaded: the table that it gives must stay, and so must the
 * code that it points to.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"
#include "reason.h"
#include "registry.h"

typedef const struct uffd_store_ops *plugin_fn(void);

/* what dlopen opened: its table, checked and known */
static int make_known(void *handle, const char *scheme,
		      struct uffd_reason *reason,
		      const struct uffd_store_ops **ret)
{
	plugin_fn *plugin;
	const struct uffd_store_ops *ops;
	int err;

	*(void **)&plugin = dlsym(handle, "uffd_store_plugin");
	ops = plugin ? plugin() : NULL;
	if (!ops)
		return reason_give(reason, -ENOEXEC,
				   "it has no uffd_store_plugin()");
	err = ops_check(ops, reason);
	if (err)
		return err;
	if (!ops_answers(ops, scheme))
		return reason_give(reason, -ENOEXEC, "it is the store '%.60s'",
				   ops->name);
	err = uffd_store_add(ops);
	if (err && err != -EEXIST) /* another thread was faster */
		return reason_give(reason, err, "there are too many stores");
	*ret = registry_find(scheme);
	return 0;
}

/* what is wrong with a file is told behind its name */
static int load(const char *path, const char *scheme,
		struct uffd_reason *reason, const struct uffd_store_ops **ret)
{
	struct uffd_reason why = { "" };
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int err;

	if (handle)
		err = make_known(handle, scheme, &why, ret);
	else
		err = reason_give(&why, -ENOEXEC, "%s", dlerror());
	if (err == 0)
		return 0;
	if (handle)
		dlclose(handle);
	return reason_give(reason, err, "%.100s: %s", path, why.text);
}

static int load_from(const char *dir, size_t len, const char *scheme,
		     struct uffd_reason *reason,
		     const struct uffd_store_ops **ret)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%.*s/uffd-store-%s.so", (int)len,
			 dir, scheme);

	if (len == 0 || n < 0 || (size_t)n >= sizeof(path) ||
	    access(path, F_OK) < 0)
		return -ENOENT;
	return load(path, scheme, reason, ret);
}

static int load_from_path(const char *dirs, const char *scheme,
			  struct uffd_reason *reason,
			  const struct uffd_store_ops **ret)
{
	int err = -ENOENT;

	while (dirs && err == -ENOENT) {
		size_t len = strcspn(dirs, ":");

		err = load_from(dirs, len, scheme, reason, ret);
		dirs = dirs[len] ? dirs + len + 1 : NULL;
	}
	return err;
}

/* uffd/stores beside the file that this very function was loaded from */
static int load_from_own(const char *scheme, struct uffd_reason *reason,
			 const struct uffd_store_ops **ret)
{
	char dir[PATH_MAX];
	const char *slash;
	Dl_info info;
	int n;

	if (!dladdr((void *)(uintptr_t)plugin_load, &info) ||
	    info.dli_fname[0] != '/')
		return -ENOENT;
	slash = strrchr(info.dli_fname, '/');
	n = snprintf(dir, sizeof(dir), "%.*s/uffd/stores",
		     (int)(slash - info.dli_fname), info.dli_fname);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return -ENOENT;
	return load_from(dir, (size_t)n, scheme, reason, ret);
}

int plugin_load(const char *scheme, struct uffd_reason *reason,
		const struct uffd_store_ops **ret)
{
	/* NULL where the process runs with raised privileges */
	const char *dirs = secure_getenv("LIBUFFD_STORE_PATH");
	int err = load_from_path(dirs, scheme, reason, ret);

	return err == -ENOENT ? load_from_own(scheme, reason, ret) : err;
}
