// SPDX-License-Identifier: Apache-2.0
/*
 * Files in the folder. A file is written only when it is to say something else than it does: the daemon reads anew what changes, and the
 * API server tells of changes that are none here (a pod's conditions).
 */
#include "feed/folder.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/hash.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FEED_PATH_MAX 1024
#define NAME_MAX_PLAIN 200 /* the folder's files and vw_replace_file()'s temporary names are at most 255 long (NAME_MAX) */

struct feed_name {
	char *text;
	UT_hash_handle hh;
};

int feed_names_add(struct feed_names *s, const char *name)
{
	struct feed_name *n;

	HASH_FIND_STR(s->v, name, n);
	if (n)
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n || !(n->text = strdup(name))) {
		free(n);
		return -ENOMEM;
	}
	HASH_ADD_KEYPTR(hh, s->v, n->text, strlen(n->text), n);
	if (n->hh.tbl)
		return 0;
	free(n->text);
	free(n);
	return -ENOMEM;
}

void feed_names_done(struct feed_names *s)
{
	struct feed_name *n, *next;

	HASH_ITER(hh, s->v, n, next) {
		HASH_DEL(s->v, n);
		free(n->text);
		free(n);
	}
}

/* RFC 1123 subdomains, and what some kinds allow beside (apimachinery's path segment names): never "/", "_" or a leading dot */
static bool is_name(const char *s)
{
	return *s && *s != '.' && strlen(s) <= 253 &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:")];
}

int feed_file_name(const char *kind, const char *ns, const char *name, char ret_file[256])
{
	char whole[600], hex[VW_SHA256_HEXLEN];
	int n;

	if ((*ns && !is_name(ns)) || !is_name(name))
		return -EINVAL;
	n = vw_fmt(whole, sizeof(whole), "%s_%s", ns, name);
	if (n < 0)
		return -EINVAL;
	if (n > NAME_MAX_PLAIN) {
		vw_sha256_hex(whole, (size_t)n, hex);
		n = vw_fmt(ret_file, 256, "%s_%s.json", kind, hex);
	} else {
		n = vw_fmt(ret_file, 256, "%s_%s.json", kind, whole);
	}
	return n < 0 ? -EINVAL : 0;
}

static int path_of(char path[FEED_PATH_MAX], const char *dir, const char *file, struct vw_err *err)
{
	if (vw_fmt(path, FEED_PATH_MAX, "%s/%s", dir, file) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' in '%.64s': the path is too long", file, dir);
	return 0;
}

int feed_folder_put(const char *dir, const char *file, const char *text, size_t len, struct vw_err *err)
{
	vw_auto_buf struct vw_buf old = VW_BUF_INIT;
	struct vw_err ignored;
	char path[FEED_PATH_MAX];
	int r = path_of(path, dir, file, err);

	if (r < 0)
		return r;
	/* what cannot be read is written anew */
	if (vw_read_file(path, FEED_FILE_MAX_BYTES, &old, &ignored) == 0 && old.len == len && !memcmp(vw_buf_str(&old), text, len))
		return 0;
	r = vw_replace_file(path, text, len, 0644, err);
	return r < 0 ? r : 1;
}

int feed_folder_remove(const char *dir, const char *file, struct vw_err *err)
{
	char path[FEED_PATH_MAX];
	int r = path_of(path, dir, file, err);

	if (r < 0)
		return r;
	if (unlink(path) == 0)
		return 1;
	return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "removing '%s'", path);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int feed_folder_sweep(const char *dir, const char *kind, const struct feed_names *stay, struct vw_err *err)
{
	vw_auto(close_dir) DIR *d = opendir(dir);
	struct feed_names gone = { 0 };
	struct feed_name *n, *next;
	struct dirent *e;
	int r = 0, count = 0;

	if (!d)
		return vw_err_sys(err, errno, 0, "reading folder '%s'", dir);
	/* first looked at, then changed: what readdir() says of a folder that changes meanwhile is not defined */
	while (r == 0 && (errno = 0, e = readdir(d))) {
		const char *end = strrchr(e->d_name, '.');

		if (strncmp(e->d_name, kind, strlen(kind)) || e->d_name[strlen(kind)] != '_' || !end || strcmp(end, ".json"))
			continue;
		HASH_FIND_STR(stay->v, e->d_name, n);
		if (!n && feed_names_add(&gone, e->d_name) < 0)
			r = vw_err_set(err, ENOMEM, 0, "listing folder '%s'", dir);
	}
	if (r == 0 && errno)
		r = vw_err_sys(err, errno, 0, "reading folder '%s'", dir);
	HASH_ITER(hh, gone.v, n, next) {
		if (r < 0)
			break;
		r = feed_folder_remove(dir, n->text, err);
		count += r > 0;
		r = r < 0 ? r : 0;
	}
	feed_names_done(&gone);
	return r < 0 ? r : count;
}
