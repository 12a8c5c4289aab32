// SPDX-License-Identifier: Apache-2.0
/*
 * The folder of manifests: what is in it, what has changed since it was read, what of it was refused and why. A file that cannot be looked at
 * or read for want of memory, descriptors or luck is neither changed nor gone: it keeps what it has, and is tried again in a second.
 */
#include "daemon/daemon.h"
#include "daemon/loop.h"
#include "daemon/policy_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/k8s/objects.h"
#include "netpolicy-bpf/user/np_world.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SAY_MS 200              /* a refusal that lasts so long is no file that is still being written */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct policy_file *file_of(struct policy *p, const char *name)
{
	struct policy_file *f;

	HASH_FIND_STR(p->files, name, f);
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f || !(f->name = strdup(name))) {
		free(f);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, p->files, f->name, strlen(f->name), f);
	if (!f->hh.tbl) {
		free(f->name);
		free(f);
		return NULL;
	}
	return f;
}

static void unexplain(struct policy_file *f)
{
	free(f->object);
	free(f->place);
	free(f->reason);
	f->object = f->place = f->reason = NULL;
}

void policy_file_drop(struct policy *p, struct policy_file *f)
{
	np_world_drop(p->world, f->name);
	HASH_DEL(p->files, f);
	vw_buf_done(&f->text);
	unexplain(f);
	free(f->name);
	free(f);
}

/* where in the file, while the world knows: it may be put back to what it was */
static void explain(struct policy *p, struct policy_file *f)
{
	size_t n;
	const struct np_note *note = np_world_notes(p->world, &n);

	for (size_t i = 0; i < n; i++) {
		if (!note[i].refused || strcmp(note[i].file, f->name))
			continue;
		/* what finds no memory is in the sentence, too */
		f->object = *note[i].object ? strdup(note[i].object) : NULL;
		f->place = *note[i].path ? strdup(note[i].path) : NULL;
		f->reason = strdup(note[i].text);
		return;
	}
}

void policy_file_unread(struct policy *p, struct policy_file *f)
{
	f->st = (struct stat){ 0 };
	loop_timer_set(p->scan, POLICY_RETRY_MS);
}

bool policy_will_pass(int eno)
{
	return eno == ENOMEM || eno == EMFILE || eno == ENFILE || eno == ENOBUFS || eno == EINTR || eno == EAGAIN || eno == EIO;
}

void policy_file_refuse(struct policy *p, struct policy_file *f, const struct vw_err *why)
{
	if (policy_will_pass(why->eno))
		policy_file_unread(p, f);
	f->why = *why;
	f->said = false;
	loop_timer_set(p->say, SAY_MS);
}

int policy_file_take(struct policy *p, struct policy_file *f, struct vw_err *err)
{
	char path[VW_PATH_MAX + 256];
	int r;

	if (vw_fmt(path, sizeof(path), "%s/%s", p->watched, f->name) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "%.64s: the path is too long", f->name);
	vw_buf_done(&f->text);
	unexplain(f);
	r = vw_read_file(path, VW_K8S_FILE_MAX_BYTES, &f->text, err);
	if (r < 0)
		return r;
	r = np_world_take(p->world, f->name, vw_buf_str(&f->text), f->text.len, err);
	if (r < 0)
		explain(p, f);
	return r;
}

int policy_is_manifest(const struct dirent *e)
{
	return vw_k8s_is_manifest(e->d_name);
}

/* 1: a file to be read; 0: none; -errno: it is there, and cannot be looked at just now */
static int peek(const struct policy *p, const char *name, struct stat *ret_st)
{
	char path[VW_PATH_MAX + 256];

	if (vw_fmt(path, sizeof(path), "%s/%s", p->watched, name) < 0)
		return 0;
	if (stat(path, ret_st) < 0)
		return policy_will_pass(errno) ? -errno : 0;
	return S_ISREG(ret_st->st_mode);
}

/* -ENOMEM: it is there, and there is no memory to take notes of it */
static int look_at(struct policy *p, const char *name, struct policy_file **changed, int *n_changed)
{
	struct stat st;
	int r = peek(p, name, &st);
	struct policy_file *f = r ? file_of(p, name) : NULL;

	if (!f)
		return r ? -ENOMEM : 0;
	f->seen = true;
	if (r < 0) {
		policy_file_unread(p, f);
	} else if (!same_file(&f->st, &st)) {
		f->st = st;
		changed[(*n_changed)++] = f;
	}
	return 0;
}

int policy_folder_look(struct policy *p, struct policy_file ***ret_changed)
{
	vw_auto_free struct policy_file **changed = NULL;
	struct dirent **names = NULL;
	struct policy_file *f, *tmp;
	int n = scandir(p->watched, &names, policy_is_manifest, alphasort), n_changed = 0, r = 0;

	if (n < 0 && errno != ENOENT)
		return -errno;
	n = n < 0 ? 0 : n;
	changed = calloc((size_t)n + 1, sizeof(*changed));
	r = changed ? 0 : -ENOMEM;
	HASH_ITER(hh, p->files, f, tmp)
		f->seen = false;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = look_at(p, names[i]->d_name, changed, &n_changed);
		free(names[i]);
	}
	free(names);
	for (int i = 0; r < 0 && i < n_changed; i++)
		policy_file_unread(p, changed[i]);
	if (r < 0)
		return r;
	*ret_changed = VW_TAKE_PTR(changed);
	return n_changed;
}

void policy_folder_drop_gone(struct policy *p)
{
	struct policy_file *f, *tmp;

	HASH_ITER(hh, p->files, f, tmp)
		if (!f->seen) {
			policy_kept_drop(p, f->name);
			policy_file_drop(p, f);
		}
}
