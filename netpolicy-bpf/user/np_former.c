// SPDX-License-Identifier: Apache-2.0
/*
 * Programs of former builds that links may still have. One that is replaced under its path is first pinned beside it, as
 * <path>_f<id>; those of another version lie in that version's folder. All go when no link has them any more.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/abi/np_abi.h"
#include "netpolicy-bpf/user/np_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

int np_former_pin(const char *path, int fd, struct vw_err *err)
{
	char former[NP_PATH_MAX];
	uint32_t id;

	if (vw_bpf_prog_id(fd, &id, err) < 0)
		return -err->eno;
	if (vw_fmt(former, sizeof(former), "%s_f%" PRIu32, path, id) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", path);
	return vw_bpf_obj_pin(fd, former, err);
}

/* "<program>_f<id>" */
static bool is_former_of(const char *name, const char *program)
{
	size_t n = strlen(program);
	uint64_t id;

	return strncmp(name, program, n) == 0 && name[n] == '_' && name[n + 1] == 'f' &&
	       vw_parse_u64(name + n + 2, 1, UINT32_MAX, &id) == 0;
}

bool np_is_former(const char *name)
{
	const char *at = strrchr(name, '_');
	uint64_t id;

	return at && at[1] == 'f' && vw_parse_u64(at + 2, 1, UINT32_MAX, &id) == 0;
}

static void take(int fds[NP_FORMERS_MAX], unsigned int *n, const char *dir, const char *name)
{
	char path[NP_PATH_MAX];
	int fd;

	if (*n == NP_FORMERS_MAX || vw_fmt(path, sizeof(path), "%s/%s", dir, name) < 0)
		return;
	fd = vw_bpf_obj_open(path);
	if (fd >= 0)
		fds[(*n)++] = fd;
}

/* @own: the folder is this build's, where the plain name is the present program's */
static int scan(struct np_formers *f, const char *path, bool own, struct vw_err *err)
{
	DIR *dir = opendir(path);

	if (!dir)
		return vw_err_sys(err, errno, 0, "opening '%s'", path);
	for (const struct dirent *e; (e = readdir(dir));) {
		if (is_former_of(e->d_name, NP_PROG_FROM_POD) || (!own && !strcmp(e->d_name, NP_PROG_FROM_POD)))
			take(f->from_pod, &f->n_from_pod, path, e->d_name);
		if (is_former_of(e->d_name, NP_PROG_TO_POD) || (!own && !strcmp(e->d_name, NP_PROG_TO_POD)))
			take(f->to_pod, &f->n_to_pod, path, e->d_name);
		if (is_former_of(e->d_name, NP_PROG_TO_WIRE) || (!own && !strcmp(e->d_name, NP_PROG_TO_WIRE)))
			take(f->to_wire, &f->n_to_wire, path, e->d_name);
	}
	closedir(dir);
	return 0;
}

int np_formers_open(const struct np *np, struct np_formers *ret_formers, struct vw_err *err)
{
	char root[NP_PATH_MAX], path[NP_PATH_MAX];
	char *own = strrchr(memcpy(root, np->dir, sizeof(root)), '/');
	DIR *dir;
	int r = 0;

	*ret_formers = (struct np_formers){ 0 };
	*own++ = '\0';
	dir = opendir(root);
	if (!dir)
		return vw_err_sys(err, errno, 0, "opening '%s'", root);
	for (const struct dirent *e; r == 0 && (e = readdir(dir));)
		if (np_is_version(e->d_name) && vw_fmt(path, sizeof(path), "%s/%s", root, e->d_name) > 0)
			r = scan(ret_formers, path, !strcmp(e->d_name, own), err);
	closedir(dir);
	return r;
}

void np_formers_close(struct np_formers *f)
{
	for (unsigned int i = 0; i < f->n_from_pod; i++)
		vw_close_fd(&f->from_pod[i]);
	for (unsigned int i = 0; i < f->n_to_pod; i++)
		vw_close_fd(&f->to_pod[i]);
	for (unsigned int i = 0; i < f->n_to_wire; i++)
		vw_close_fd(&f->to_wire[i]);
	f->n_from_pod = f->n_to_pod = f->n_to_wire = 0;
}
