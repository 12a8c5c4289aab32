// SPDX-License-Identifier: Apache-2.0
/*
 * Which labs there are: one file per lab in LAB_DIR. A lab lives while its outer process does, or, after `--keep`, while its
 * init does. Cleaning up ends an init only when pid *and* start time are those of the file, through a pidfd, so
 * that no process that got the number later is ever hit.
 */
#include "sim/lab.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define STOP_MS 5000
#define KILL_MS 10000

static const char *const suffixes[] = { ".json", ".control", ".exec" };

void lab_path(const char *id, const char *suffix, char buf[LAB_PATH_LEN])
{
	if (vw_fmt(buf, LAB_PATH_LEN, LAB_DIR "/%s%s", id, suffix) < 0)
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

	vw_json_set_str(j, "id", e->id);
	vw_json_set_int(j, "outer_pid", e->outer);
	vw_json_set_int(j, "outer_start", (int64_t)e->outer_start);
	vw_json_set_int(j, "init_pid", e->init);
	vw_json_set_int(j, "init_start", (int64_t)e->init_start);
	if (!j || vw_json_print(j, 1, &text) < 0)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	lab_path(e->id, ".json", path);
	return vw_replace_file(path, text.data, text.len, 0600, err);
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
		.outer = (pid_t)v[0], .outer_start = (uint64_t)v[1], .init = (pid_t)v[2], .init_start = (uint64_t)v[3],
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
	rmdir(LAB_DIR);         /* fails, rightly, when another lab is there */
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

int lab_find(const char *wanted, char ret_id[LAB_ID_LEN], struct vw_err *err)
{
	const char *env = getenv("VPCWIRE_LAB");
	char one[LAB_ID_LEN] = "";
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	if (!wanted && env && *env)
		wanted = env;
	if (wanted) {
		if (vw_fmt(ret_id, LAB_ID_LEN, "%s", wanted) < 0 || strchr(wanted, '/'))
			return vw_err_set(err, EINVAL, 0, "'%s' is not the id of a lab", wanted);
		return 0;
	}
	dir = opendir(LAB_DIR);
	while (dir && (d = readdir(dir)))
		if (id_of(d->d_name, ".exec", one))
			n++;
	if (dir)
		closedir(dir);
	if (n == 0)
		return vw_err_set(err, ENOENT, 0, "no lab is running; start one with 'vpcwire-sim lab'");
	if (n > 1)
		return vw_err_set(err, EINVAL, 0, "%zu labs are running; say which with --lab ID (see " LAB_DIR ")", n);
	dir = opendir(LAB_DIR);
	while (dir && (d = readdir(dir)))
		if (id_of(d->d_name, ".exec", ret_id))
			break;
	if (dir)
		closedir(dir);
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

/** cleanup_one() - Return: 1 = cleaned up, 0 = it is in use, -errno. */
static int cleanup_one(const char *id, struct vw_err *err)
{
	struct lab_entry e = { 0 };
	struct vw_err why;
	int r = entry_read(id, &e, &why);

	if (r >= 0 && alive(e.outer, e.outer_start))
		return 0;
	/* A file that cannot be read names no process; nobody can use that lab, so its files go. */
	r = r < 0 ? 0 : end_init(&e, err);
	if (r < 0)
		return r;
	lab_registry_remove(id);
	return 1;
}

int lab_cleanup(struct vw_err *err)
{
	int n = 0, failed = 0;
	struct dirent *d;
	DIR *dir = opendir(LAB_DIR);

	if (!dir)
		return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "reading " LAB_DIR);
	while ((d = readdir(dir))) {
		char id[LAB_ID_LEN];

		for (size_t i = 0; i < VW_ARRAY_SIZE(suffixes); i++) {
			int r = id_of(d->d_name, suffixes[i], id) ? cleanup_one(id, err) : 0;

			failed = r < 0 ? r : failed;
			n += r > 0;
			if (r)
				break;
		}
	}
	closedir(dir);
	rmdir(LAB_DIR);
	return failed < 0 ? failed : n;
}
