// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups of a lab. A container runtime in a node makes cgroups (runc: /default/<id>) and a killed one leaves
 * them, which no namespace takes away. So each node sees, at the mount point of every hierarchy, a cgroup of
 * its own instead of the root: <mount point>/vpcwire-lab-<id>/<node>. When the lab has ended, the whole
 * vpcwire-lab-<id> goes.
 *
 * A hierarchy that cannot be written (read-only in some containers) stays as it is.
 */
#include "sim/lab_cgroup.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "sim/lab.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define ROOT "/sys/fs/cgroup"
#define PREFIX "vpcwire-lab-"
#define MAX_DEPTH 8
#define REMOVE_MS 5000

struct hierarchy {
	char path[LAB_PATH_LEN];
	bool v2;
};

struct hierarchies {
	struct hierarchy v[32];
	size_t n;
};

/** take_line() - of mountinfo: "id parent dev root MOUNTPOINT options [tags] - TYPE source options". */
static void take_line(struct hierarchies *h, char *line)
{
	char *dash = strstr(line, " - "), *field = line;
	struct hierarchy *one = &h->v[h->n];

	if (!dash || h->n == VW_ARRAY_SIZE(h->v))
		return;
	for (int i = 0; i < 4 && field; i++) {
		field = strchr(field, ' ');
		field = field ? field + 1 : NULL;
	}
	one->v2 = !strncmp(dash, " - cgroup2 ", 11);
	if (!field || (!one->v2 && strncmp(dash, " - cgroup ", 10) != 0) ||
	    strncmp(field, ROOT, strlen(ROOT)) != 0)
		return;
	field[strcspn(field, " ")] = '\0';
	if (vw_fmt(one->path, sizeof(one->path), "%s", field) < 0)
		return;
	for (size_t i = 0; i < h->n; i++)
		if (!strcmp(h->v[i].path, one->path))
			return;         /* the mount of a lab above that of the machine: the same place */
	h->n++;
}

static int find(struct hierarchies *ret_h, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char *line, *rest;
	int r = vw_read_file("/proc/self/mountinfo", 1 << 20, &text, err);

	ret_h->n = 0;
	if (r < 0)
		return r;
	rest = text.data;
	while ((line = strsep(&rest, "\n")))
		take_line(ret_h, line);
	return 0;
}

/**
 * copy_setting() - a child cgroup's @name from its parent's: cpuset is empty at birth and then takes no
 * process.
 */
static void copy_setting(const char *parent, const char *child, const char *name)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char from[LAB_PATH_LEN * 2], to[LAB_PATH_LEN * 2];
	struct vw_err err;

	if (vw_fmt(from, sizeof(from), "%s/%s", parent, name) < 0 ||
	    vw_fmt(to, sizeof(to), "%s/%s", child, name) < 0)
		return;
	if (vw_read_file(from, 4096, &text, &err) >= 0 && text.len > 1)
		(void)vw_write_once(to, vw_buf_str(&text));     /* of no hierarchy but cpuset's */
}

/** enable_all() - on the unified hierarchy, let children of @path have every controller that @path has. */
static void enable_all(const char *path)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char file[LAB_PATH_LEN * 2], one[64], *rest, *name;
	struct vw_err err;

	if (vw_fmt(file, sizeof(file), "%s/cgroup.controllers", path) < 0 ||
	    vw_read_file(file, 4096, &text, &err) < 0 ||
	    vw_fmt(file, sizeof(file), "%s/cgroup.subtree_control", path) < 0)
		return;
	rest = text.data;
	while ((name = strsep(&rest, " \n")))
		if (*name && vw_fmt(one, sizeof(one), "+%s", name) >= 0)
			(void)vw_write_once(file, one); /* one that refuses is one the runtime does without */
}

static bool make(const struct hierarchy *h, const char *parent, const char *child)
{
	if (mkdir(child, 0755) < 0 && errno != EEXIST)
		return false;
	if (h->v2) {
		enable_all(child);
		return true;
	}
	copy_setting(parent, child, "cpuset.cpus");
	copy_setting(parent, child, "cpuset.mems");
	return true;
}

int lab_cgroup_cover(const char *id, const char *node, struct vw_err *err)
{
	struct hierarchies all;
	int r = find(&all, err);

	for (size_t i = 0; r >= 0 && i < all.n; i++) {
		const struct hierarchy *h = &all.v[i];
		char lab[LAB_PATH_LEN * 2], mine[LAB_PATH_LEN * 3];

		if (vw_fmt(lab, sizeof(lab), "%s/" PREFIX "%s", h->path, id) < 0 ||
		    vw_fmt(mine, sizeof(mine), "%s/%s", lab, node) < 0 || !make(h, h->path, lab) ||
		    !make(h, lab, mine))
			continue;
		if (mount(mine, h->path, NULL, MS_BIND, NULL) < 0)
			return vw_err_sys(err, errno, 0, "covering %s", h->path);
	}
	return r;
}

/** remove_tree() - a cgroup with those below it: directories only, the files in them belong to the kernel. */
static int remove_tree(int parent, const char *name, int depth)
{
	int fd = depth < MAX_DEPTH ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
				   : -1;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (d = readdir(dir)))
		if (d->d_type == DT_DIR && strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			remove_tree(dirfd(dir), d->d_name, depth + 1);
	if (dir)
		closedir(dir);
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static void remove_one(const struct hierarchy *h, const char *name)
{
	vw_auto_close int fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t deadline = vw_mono_ms() + REMOVE_MS;

	/*
	 * A cgroup is busy until the last of its processes has been collected, which follows its namespace's
	 * end.
	 */
	while (fd >= 0 && remove_tree(fd, name, 0) == -EBUSY && vw_mono_ms() < deadline)
		poll(NULL, 0, 10);
}

void lab_cgroup_remove(const char *id)
{
	struct hierarchies all;
	struct vw_err err;
	char name[LAB_PATH_LEN];

	if (find(&all, &err) < 0 || vw_fmt(name, sizeof(name), PREFIX "%s", id) < 0)
		return;
	for (size_t i = 0; i < all.n; i++)
		remove_one(&all.v[i], name);
}
