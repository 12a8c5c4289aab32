/*
 * A tombstone is a DEL request in a file, named after its attachment: a repeated DEL overwrites its own, and
 * two never share one. Half-written files cannot be seen (temp file and rename); names that do not end in
 * ".json" are not ours.
 */
#include "lib/rpc/rpc.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/fnv.h"
#include "lib/base/parse.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#define SUFFIX ".json"

static int folder_of(const char *socket_path, char ret[VW_PATH_MAX], struct vw_err *err)
{
	const char *slash = strrchr(socket_path, '/');
	int dir_len = slash ? (int)(slash - socket_path) : 1;

	if (vw_fmt(ret, VW_PATH_MAX, "%.*s/tombstones", dir_len, slash ? socket_path : ".") < 0)
		return vw_err_sys(err, ENAMETOOLONG, 0, "the tombstones of '%s'", socket_path);
	return 0;
}

/* two ids that agree in what fits into a file name still get two names */
static uint64_t hash_of(const struct vw_attach_key *key)
{
	const char *const parts[] = {key->container_id, "/", key->ifname};
	uint64_t h = VW_FNV1A;

	for (size_t i = 0; i < VW_ARRAY_SIZE(parts); i++)
		h = vw_fnv1a(h, parts[i], strlen(parts[i]));
	return h;
}

bool vw_attach_key_eq(const struct vw_attach_key *a, const struct vw_attach_key *b)
{
	return !strcmp(a->container_id, b->container_id) && !strcmp(a->ifname, b->ifname);
}

void vw_attach_file(const struct vw_attach_key *key, char ret[VW_ATTACH_FILE_MAX])
{
	_Static_assert(128 + 1 + IFNAMSIZ + 1 + 16 + sizeof(SUFFIX) <= VW_ATTACH_FILE_MAX, "the name fits");
	snprintf(ret, VW_ATTACH_FILE_MAX, "%.128s.%s.%016" PRIx64 SUFFIX, key->container_id, key->ifname, hash_of(key));
}

static int path_of(const char *folder, const struct vw_attach_key *key, char *ret, size_t size,
		   struct vw_err *err)
{
	char name[VW_ATTACH_FILE_MAX];

	vw_attach_file(key, name);
	if (vw_fmt(ret, size, "%s/%s", folder, name) < 0)
		return vw_err_sys(err, ENAMETOOLONG, 0, "a tombstone in '%s'", folder);
	return 0;
}

int vw_tombstone_write(const char *socket_path, const struct vw_rpc_req *del, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char folder[VW_PATH_MAX], path[2 * VW_PATH_MAX];

	if (folder_of(socket_path, folder, err) < 0 ||
	    path_of(folder, &del->key, path, sizeof(path), err) < 0 || vw_rpc_req_encode(del, &b, err) < 0 ||
	    vw_mkdir_p(folder, 0700, err) < 0)
		return -err->eno;
	return vw_replace_file(path, vw_buf_str(&b), b.len, 0600, err);
}

int vw_tombstone_exists(const char *socket_path, const struct vw_attach_key *key, struct vw_err *err)
{
	char folder[VW_PATH_MAX], path[2 * VW_PATH_MAX];

	if (folder_of(socket_path, folder, err) < 0 || path_of(folder, key, path, sizeof(path), err) < 0)
		return -err->eno;
	if (access(path, F_OK) == 0)
		return 1;
	return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "looking for '%s'", path);
}

int vw_tombstone_remove(const char *socket_path, const struct vw_attach_key *key, struct vw_err *err)
{
	char folder[VW_PATH_MAX], path[2 * VW_PATH_MAX];

	if (folder_of(socket_path, folder, err) < 0 || path_of(folder, key, path, sizeof(path), err) < 0)
		return -err->eno;
	if (unlink(path) == 0)
		return 1;
	return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "removing '%s'", path);
}

bool vw_attach_is_file(const char *name)
{
	size_t len = strlen(name), suffix = strlen(SUFFIX);

	return len > suffix && name[0] != '.' && !strcmp(name + len - suffix, SUFFIX);
}

/* Return: 1 = handed to @fn, 0 = was none and is gone, -errno = could not be read: left where it is. */
static int replay_one(const char *path, int (*fn)(const struct vw_rpc_req *del, void *arg), void *arg)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_rpc_req req = {0};
	struct vw_err why;
	int r = vw_read_file(path, VW_RPC_MAX, &b, &why);

	if (r < 0 && r != -EFBIG)
		return r;
	if (r < 0 || vw_rpc_req_decode(vw_buf_str(&b), b.len, &req, &why) < 0 || req.op != VW_RPC_DEL) {
		vw_rpc_req_done(&req);
		(void)unlink(path);
		return 0;
	}
	if (fn(&req, arg) == 0)
		(void)unlink(path);
	vw_rpc_req_done(&req);
	return 1;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

int vw_tombstone_replay(const char *socket_path, int (*fn)(const struct vw_rpc_req *del, void *arg),
			void *arg, struct vw_err *err)
{
	vw_auto(close_dir) DIR *d = NULL;
	char folder[VW_PATH_MAX], path[2 * VW_PATH_MAX];
	struct dirent *e;
	int n = 0;

	if (folder_of(socket_path, folder, err) < 0)
		return -err->eno;
	d = opendir(folder);
	if (!d)
		return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "opening '%s'", folder);
	while ((e = readdir(d))) {
		if (vw_attach_is_file(e->d_name) && vw_fmt(path, sizeof(path), "%s/%s", folder, e->d_name) > 0 &&
		    replay_one(path, fn, arg) == 1)
			n++;
	}
	(void)vw_tidy_temps(folder, NULL);      /* of DELs that were killed while they wrote */
	return n;
}
