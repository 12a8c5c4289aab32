// SPDX-License-Identifier: Apache-2.0
/*
 * Which labs there are: one file per lab in LAB_DIR. A lab lives while its outer process does, or, after
 * `--keep`, while its init does. Cleaning up ends an init only when pid *and* start time are those of the
 * file, through a pidfd, so that no process that got the number later is ever hit.
 */
#include "sim/lab.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/lab_cgroup.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define STOP_MS 5000
#define KILL_MS 10000

static const char *const suffixes[] = { ".json", ".control", ".exec" };

const char *lab_dir(void)
{
	const char *dir = getenv("VPCWIRE_LAB_DIR");

	return dir && dir[0] == '/' ? dir : LAB_DIR;
}

void lab_path(const char *id, const char *suffix, char buf[LAB_PATH_LEN])
{
	if (vw_fmt(buf, LAB_PATH_LEN, "%s/%s%s", lab_dir(), id, suffix) < 0)
		buf[0] = '\0';
}

int lab_start_time(pid_t pid, uint64_t *ret_start)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char path[64], *field;
	struct vw_err err;

	if (pid <= 0 || vw_fmt(path, sizeof(path), "/proc/%d/stat", (int)pid) < 0)
		return -ESRCH;
	if (vw_read_file(path, 4096, &text, &err) < 0)
		return -ESRCH;
	/* The name in parentheses may hold anything; what follows is fields 3, 4, ... parted by blanks. */
	field = strrchr(text.data, ')');
	for (int i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	if (!field)
		return -ESRCH;
	field++;
	field[strcspn(field, " \n")] = '\0';
	return vw_parse_u64(field, 0, UINT64_MAX, ret_start) < 0 ? -ESRCH : 0;
}

static bool alive(pid_t pid, uint64_t start)
{
	uint64_t now;

	return lab_start_time(pid, &now) >= 0 && now == start;
}

int lab_registry_write(const struct lab_entry *e, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char path[LAB_PATH_LEN];
	int r = -ENOENT;

	vw_json_set_str(j, "id", e->id);
	vw_json_set_int(j, "outer_pid", e->outer);
	vw_json_set_int(j, "outer_start", (int64_t)e->outer_start);
	vw_json_set_int(j, "init_pid", e->init);
	vw_json_set_int(j, "init_start", (int64_t)e->init_start);
	if (!j || vw_json_print(j, 1, &text) < 0)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	lab_path(e->id, ".json", path);
	/* Another lab that ends removes the folder when it is empty, perhaps just now. */
	for (int tries = 0; r == -ENOENT && tries < 10; tries++) {
		r = vw_mkdir_p(lab_dir(), 0700, err);
		if (r >= 0)
			r = vw_replace_file(path, text.data, text.len, 0600, err);
	}
	return r;
}

static int entry_read(const char *id, struct lab_entry *ret_e, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = NULL;
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	int64_t v[4] = { 0 };
	static const char *const keys[4] = { "outer_pid", "outer_start", "init_pid", "init_start" };
	char path[LAB_PATH_LEN];
	int r;

	lab_path(id, ".json", path);
	r = vw_read_file(path, 4096, &text, err);
	if (r >= 0)
		r = vw_json_parse(vw_buf_str(&text), text.len, NULL, path, &j, err);
	for (size_t i = 0; r >= 0 && i < 4; i++)
		r = vw_json_get_int(j, keys[i], 0, INT64_MAX, &v[i], err);
	if (r < 0)
		return r;
	*ret_e = (struct lab_entry){
		.outer = (pid_t)v[0],
		.outer_start = (uint64_t)v[1],
		.init = (pid_t)v[2],
		.init_start = (uint64_t)v[3],
	};
	return vw_fmt(ret_e->id, sizeof(ret_e->id), "%s", id) < 0 ? vw_err_set(err, EINVAL, 0, "bad id") : 0;
}

void lab_registry_remove(const char *id)
{
	char path[LAB_PATH_LEN];

	for (size_t i = 0; i < VW_ARRAY_SIZE(suffixes); i++) {
		lab_path(id, suffixes[i], path);
		unlink(path);
	}
	rmdir(lab_dir());         /* fails, rightly, when another lab is there */
}

/** id_of() - the lab that a file of LAB_DIR belongs to. Return: false when it is none of ours. */
static bool id_of(const char *name, const char *suffix, char ret_id[LAB_ID_LEN])
{
	size_t n = strlen(name), s = strlen(suffix);

	if (n <= s || n - s >= LAB_ID_LEN || strcmp(name + n - s, suffix) != 0)
		return false;
	memcpy(ret_id, name, n - s);
	ret_id[n - s] = '\0';
	return ret_id[strspn(ret_id, "0123456789abcdef")] == '\0';
}

/** next_lab() - an id after @after (in order of text) that any file has. Return: false at the end. */
static bool next_lab(const char *after, char ret_id[LAB_ID_LEN])
{
	DIR *dir = opendir(lab_dir());
	struct dirent *d;
	bool found = false;
	char id[LAB_ID_LEN];

	while (dir && (d = readdir(dir))) {
		for (size_t i = 0; i < VW_ARRAY_SIZE(suffixes); i++) {
			if (!id_of(d->d_name, suffixes[i], id) || strcmp(id, after) <= 0 ||
			    (found && strcmp(id, ret_id) >= 0))
				continue;
			memcpy(ret_id, id, sizeof(id));
			found = true;
		}
	}
	if (dir)
		closedir(dir);
	return found;
}

int lab_find(const char *wanted, char ret_id[LAB_ID_LEN], struct vw_err *err)
{
	const char *env = getenv("VPCWIRE_LAB");
	char another[LAB_ID_LEN];

	if (!wanted && env && *env)
		wanted = env;
	if (wanted) {
		if (vw_fmt(ret_id, LAB_ID_LEN, "%s", wanted) < 0 || strchr(wanted, '/'))
			return vw_err_set(err, EINVAL, 0, "'%s' is not the id of a lab", wanted);
		return 0;
	}
	if (!next_lab("", ret_id))
		return vw_err_set(err, ENOENT, 0, "no lab is running; start one with 'vpcwire-sim lab'");
	if (next_lab(ret_id, another))
		return vw_err_set(err, EINVAL, 0,
				  "several labs are running; say which with --lab ID (see %s)", lab_dir());
	return 0;
}

static int wait_gone(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t deadline = vw_mono_ms() + (uint64_t)timeout_ms;
	int r;

	do {
		r = poll(&p, 1, vw_deadline_left(deadline));
	} while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : -ETIMEDOUT;
}

static int end_init(const struct lab_entry *e, struct vw_err *err)
{
	vw_auto_close int pidfd = -EBADF;

	if (!alive(e->init, e->init_start))
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, e->init, 0);
	/* Looked at again with the pidfd in hand: from here on it cannot become another process. */
	if (pidfd < 0 || !alive(e->init, e->init_start))
		return 0;
	syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	if (wait_gone(pidfd, STOP_MS) == 0)
		return 0;
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	if (wait_gone(pidfd, KILL_MS) < 0)
		return vw_err_set(err, ETIMEDOUT, 0, "lab %s: process %d does not end", e->id, (int)e->init);
	return 0;
}

/**
 * cleanup_one() - Return: 1 = cleaned up, 0 = it is in use, -errno. The outer process writes the .json before
 * the init may make anything and removes it last (lab_registry_remove() of another process aside), so sockets
 * without one, or with one that cannot be read, are nobody's.
 */
static int cleanup_one(const char *id, struct vw_err *err)
{
	struct lab_entry e = { 0 };
	struct vw_err why;
	int r = entry_read(id, &e, &why);

	if (r >= 0 && alive(e.outer, e.outer_start))
		return 0;
	r = r < 0 ? 0 : end_init(&e, err);
	if (r < 0)
		return r;
	lab_cgroup_remove(id);
	lab_registry_remove(id);
	return 1;
}

/**
 * sweep_temps() - "<id>.json.tmp.<pid>" of processes that were killed while they wrote it
 * (vw_replace_file()).
 */
static void sweep_temps(void)
{
	DIR *dir = opendir(lab_dir());
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		const char *tmp = strstr(d->d_name, ".json.tmp.");
		uint64_t pid, start;

		if (tmp && vw_parse_u64(tmp + strlen(".json.tmp."), 1, INT32_MAX, &pid) >= 0 &&
		    lab_start_time((pid_t)pid, &start) < 0)
			unlinkat(dirfd(dir), d->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

int lab_cleanup(struct vw_err *err)
{
	char id[LAB_ID_LEN] = "", next[LAB_ID_LEN] = "";
	int n = 0, failed = 0;

	while (next_lab(id, next)) {
		int r = cleanup_one(next, err);

		failed = r < 0 ? r : failed;
		n += r > 0;
		memcpy(id, next, sizeof(id));
	}
	sweep_temps();
	rmdir(lab_dir());
	return failed < 0 ? failed : n;
}
