/*
 * What each manifest held when it was last in force, as a copy in run_dir: a file that is refused, or was broken while no daemon
 * ran, keeps its former content in force over a restart too. A copy has the time of what it was made of, so that a start reads
 * only those of files that have changed since.
 */
#include "daemon/daemon.h"
#include "daemon/policy_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"
#include "netpolicy-bpf/user/np_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define KEPT_PATH_MAX (2 * VW_PATH_MAX + 288)

/* each policy_dir has its own, so that none is taken for another's file of the same name. @name: "" = the folder */
static int kept_path(const struct policy *p, const char *name, char ret[KEPT_PATH_MAX])
{
	return vw_fmt(ret, KEPT_PATH_MAX, "%s/policy.kept/%s/%s", p->d->cfg->run_dir, p->watched, name);
}

static bool is_copy_of(const struct stat *copy, const struct stat *file)
{
	return copy->st_size == file->st_size && copy->st_mtim.tv_sec == file->st_mtim.tv_sec &&
	       copy->st_mtim.tv_nsec == file->st_mtim.tv_nsec;
}

void policy_kept_put(struct policy *p, const struct policy_file *f, const struct vw_buf *text)
{
	const struct timespec times[2] = { f->st.st_mtim, f->st.st_mtim };
	char path[KEPT_PATH_MAX], dir[KEPT_PATH_MAX];
	struct vw_err err;
	int r = kept_path(p, f->name, path) < 0 || kept_path(p, "", dir) < 0 ? vw_err_set(&err, ENAMETOOLONG, 0, "the path is too long") : 0;

	if (r == 0)
		r = vw_mkdir_p(dir, 0700, &err);
	if (r == 0)
		r = vw_replace_file(path, vw_buf_str(text), text->len, 0600, &err);
	if (r == 0 && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = vw_err_sys(&err, errno, 0, "setting the time of '%s'", path);
	if (r < 0)
		vw_warn("a manifest is in force, but no copy could be kept for the next start", "file=%s err=\"%s\"", f->name, err.msg);
}

void policy_kept_drop(const struct policy *p, const char *name)
{
	char path[KEPT_PATH_MAX];

	if (kept_path(p, name, path) > 0)
		(void)unlink(path);
}

/* Return: 1 = the copy's content is in the world now, 0 = there is no need or no use. */
static int recall(struct policy *p, const char *name)
{
	char path[KEPT_PATH_MAX], from[VW_PATH_MAX + 256];
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct stat copy, file;
	struct vw_err err = { .msg = "it is no file" };

	if (kept_path(p, name, path) < 0 || vw_fmt(from, sizeof(from), "%s/%s", p->watched, name) < 0 || lstat(path, &copy) < 0)
		return 0;
	if (stat(from, &file) < 0) {
		/* removed while nobody looked */
		(void)unlink(path);
		return 0;
	}
	if (is_copy_of(&copy, &file))
		return 0;
	if (!S_ISREG(copy.st_mode) || vw_read_file(path, VW_K8S_FILE_MAX_BYTES, &text, &err) < 0 ||
	    np_world_take(p->world, name, vw_buf_str(&text), text.len, &err) < 0) {
		vw_warn("what a manifest held before cannot be read, ignoring it", "file=%s err=\"%s\"", name, err.msg);
		(void)unlink(path);
		np_world_drop(p->world, name);
		return 0;
	}
	return 1;
}

void policy_kept_recall(struct policy *p)
{
	struct dirent **names = NULL;
	char dir[KEPT_PATH_MAX];
	int n, n_taken = 0;

	if (kept_path(p, "", dir) < 0)
		return;
	(void)vw_tidy_temps(dir, NULL);         /* of a daemon that was killed while it wrote */
	n = scandir(dir, &names, policy_is_manifest, alphasort);
	for (int i = 0; i < n; i++) {
		n_taken += recall(p, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	if (n_taken)
		vw_info("manifests have changed since they were last in force; beginning with what they held then", "files=%d", n_taken);
}
