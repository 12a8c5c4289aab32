// SPDX-License-Identifier: Apache-2.0
/*
 * Opening: lock the folder -> are all five pins there, and of the right shape? -> take them; else load, and pin all anew. The lock
 * is on the folder itself (a bpf file system holds no plain files), so two that come first at once do not mix theirs.
 */
#include "netpolicy-bpf/user/br_loader.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* generated; it counts bytes from void pointers */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpointer-arith"
#include "branch.lskel.h"
#pragma GCC diagnostic pop

#define PATH_SIZE 256
#define VLAN_MAX 4094

enum { PIN_IN, PIN_OUT, PIN_DROPS, PIN_FROM_POD, PIN_FROM_TRUNK, PINS };

static const struct {
	const char *name;
	struct vw_bpf_map_shape shape; /* type 0: a program */
} pins[PINS] = {
	[PIN_IN] = {BR_MAP_IN, {BPF_MAP_TYPE_HASH, sizeof(struct br_key), sizeof(struct br_in), BR_BRANCHES}},
	[PIN_OUT] = {BR_MAP_OUT, {BPF_MAP_TYPE_HASH, sizeof(__u32), sizeof(struct br_out), BR_BRANCHES}},
	[PIN_DROPS] = {BR_MAP_DROPS, {BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(__u32), sizeof(__u64), BR_DROP_MAX}},
	[PIN_FROM_POD] = {BR_PROG_FROM_POD, {0}},
	[PIN_FROM_TRUNK] = {BR_PROG_FROM_TRUNK, {0}},
};

struct br {
	int fd[PINS];
	char dir[PATH_SIZE];
	char path[PINS][PATH_SIZE];
};

/* --- opening */

static void close_all(struct br *br)
{
	for (int i = 0; i < PINS; i++)
		vw_close_fd(&br->fd[i]);
}

static bool fits(int fd, const struct vw_bpf_map_shape *want)
{
	struct vw_bpf_map_shape is;

	return vw_bpf_map_shape(fd, &is) == 0 && is.type == want->type && is.key_size == want->key_size &&
	       is.value_size == want->value_size && is.max_entries == want->max_entries;
}

/* All or nothing: half a set is of somebody who was killed in between, and its maps are not those of the other half. */
static bool take_pins(struct br *br)
{
	for (int i = 0; i < PINS; i++) {
		br->fd[i] = vw_bpf_obj_open(br->path[i]);
		if (br->fd[i] < 0 || (pins[i].shape.type && !fits(br->fd[i], &pins[i].shape))) {
			close_all(br);
			return false;
		}
	}
	return true;
}

static int keep(int fd)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return kept < 0 ? -errno : kept;
}

static int load(struct br *br, struct vw_err *err)
{
	struct branch *skel = branch__open();
	int r = skel ? branch__load(skel) : -ENOMEM;

	if (r < 0) {
		branch__destroy(skel);
		return vw_err_sys(err, r == -ENOMEM ? ENOMEM : EOPNOTSUPP, 0,
				  "the kernel refused the programs of branch ENIs (errno %d; it takes root and Linux 5.14 or later)", -r);
	}
	br->fd[PIN_IN] = keep(skel->maps.br_in.map_fd);
	br->fd[PIN_OUT] = keep(skel->maps.br_out.map_fd);
	br->fd[PIN_DROPS] = keep(skel->maps.br_drops.map_fd);
	br->fd[PIN_FROM_POD] = keep(skel->progs.br_from_pod.prog_fd);
	br->fd[PIN_FROM_TRUNK] = keep(skel->progs.br_from_trunk.prog_fd);
	branch__destroy(skel);
	for (int i = 0; i < PINS; i++) {
		if (br->fd[i] < 0)
			return vw_err_sys(err, br->fd[i], 0, "keeping the programs of branch ENIs");
		r = vw_bpf_obj_pin(br->fd[i], br->path[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int lock_dir(const char *dir, struct vw_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		int eno = errno;

		vw_close_fd(&fd);
		return vw_err_sys(err, eno, 0, "locking '%s'", dir);
	}
	return fd;
}

int br_lock(const struct br *br, struct vw_err *err)
{
	return lock_dir(br->dir, err);
}

static int open_dir(const char *bpf_dir, char dir[PATH_SIZE], struct vw_err *err)
{
	int r = vw_bpffs_require(bpf_dir, err);

	if (r < 0)
		return r;
	if (vw_fmt(dir, PATH_SIZE, "%s/branch%d", bpf_dir, BR_ABI) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%.200s' is too long", bpf_dir);
	r = vw_mkdir_p(dir, 0700, err);
	if (r < 0)
		return r;
	return lock_dir(dir, err);
}

int br_open(const char *bpf_dir, struct br **ret_br, struct vw_err *err)
{
	vw_auto_close int lock = -EBADF;
	char dir[PATH_SIZE];
	struct br *br;
	int r;

	lock = open_dir(bpf_dir, dir, err);
	if (lock < 0)
		return lock;
	br = calloc(1, sizeof(*br));
	if (!br)
		return vw_err_sys(err, ENOMEM, 0, "opening the programs of branch ENIs");
	memcpy(br->dir, dir, sizeof(br->dir));
	for (int i = 0; i < PINS; i++) {
		br->fd[i] = -EBADF;
		if (vw_fmt(br->path[i], PATH_SIZE, "%s/%s", dir, pins[i].name) < 0) {
			br_close(br);
			return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%.200s' is too long", bpf_dir);
		}
	}
	r = take_pins(br) ? 0 : load(br, err);
	if (r < 0) {
		br_close(br);
		return r;
	}
	*ret_br = br;
	return 0;
}

struct br *br_close(struct br *br)
{
	if (br)
		close_all(br);
	free(br);
	return NULL;
}

int br_unpin(const char *bpf_dir, struct vw_err *err)
{
	char path[PATH_SIZE];

	for (int i = 0; i < PINS; i++) {
		if (vw_fmt(path, sizeof(path), "%s/branch%d/%s", bpf_dir, BR_ABI, pins[i].name) < 0)
			return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%.200s' is too long", bpf_dir);
		if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
			return vw_err_sys(err, errno, 0, "removing '%s'", path);
	}
	*strrchr(path, '/') = '\0';
	if (rmdir(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return vw_err_sys(err, errno, 0, "removing '%s'", path);
	return 0;
}

const char *br_from_pod_path(const struct br *br)
{
	return br->path[PIN_FROM_POD];
}

const char *br_from_trunk_path(const struct br *br)
{
	return br->path[PIN_FROM_TRUNK];
}

int br_from_pod_fd(const struct br *br)
{
	return br->fd[PIN_FROM_POD];
}

int br_from_trunk_fd(const struct br *br)
{
	return br->fd[PIN_FROM_TRUNK];
}

/* --- branches */

static struct br_key key_of(unsigned int trunk, unsigned int vlan)
{
	return (struct br_key){.trunk = trunk, .vlan = (__u16)vlan};
}

static int refused(int r, const struct br_branch *b, struct vw_err *err)
{
	if (r == -EEXIST)
		return vw_err_set(err, EEXIST, 0, "VLAN %u of the trunk with index %u belongs to another interface", b->vlan, b->trunk);
	if (r == -E2BIG)
		return vw_err_set(err, E2BIG, 0, "%d branch ENIs are in use, which is all there is room for", BR_BRANCHES);
	return vw_err_sys(err, r, 0, "publishing VLAN %u of the trunk with index %u", b->vlan, b->trunk);
}

int br_publish(struct br *br, const struct br_branch *b, struct vw_err *err)
{
	struct br_key key = key_of(b->trunk, b->vlan);
	struct br_in in = {.ifindex = b->ifindex}, there;
	struct br_out out = {.trunk = b->trunk, .vlan = (__u16)b->vlan};
	__u32 index = b->ifindex;
	int r;

	if (!b->trunk || !b->ifindex || !b->vlan || b->vlan > VLAN_MAX)
		return vw_err_set(err, EINVAL, 0, "trunk %u, VLAN %u, interface %u: not a branch", b->trunk, b->vlan, b->ifindex);
	memcpy(out.mac, b->mac.b, sizeof(out.mac));
	r = vw_bpf_map_set(br->fd[PIN_IN], &key, &in, true);
	if (r == -EEXIST && vw_bpf_map_get(br->fd[PIN_IN], &key, &there) == 0 && there.ifindex == b->ifindex)
		r = 0;
	if (r < 0)
		return refused(r, b, err);
	r = vw_bpf_map_set(br->fd[PIN_OUT], &index, &out, false);
	if (r < 0) {
		(void)vw_bpf_map_del(br->fd[PIN_IN], &key);
		return refused(r, b, err);
	}
	return 0;
}

int br_withdraw(struct br *br, const struct br_branch *b, struct vw_err *err)
{
	struct br_key key = key_of(b->trunk, b->vlan);
	__u32 index = b->ifindex;
	struct br_out out;
	struct br_in in;
	int r = 0;

	if (vw_bpf_map_get(br->fd[PIN_IN], &key, &in) == 0 && in.ifindex == b->ifindex)
		r = vw_bpf_map_del(br->fd[PIN_IN], &key);
	if ((r == 0 || r == -ENOENT) && vw_bpf_map_get(br->fd[PIN_OUT], &index, &out) == 0 && out.trunk == b->trunk &&
	    out.vlan == b->vlan)
		r = vw_bpf_map_del(br->fd[PIN_OUT], &index);
	return r < 0 && r != -ENOENT ? vw_err_sys(err, r, 0, "withdrawing VLAN %u of the trunk with index %u", b->vlan, b->trunk) : 0;
}

int br_find(struct br *br, unsigned int trunk, unsigned int vlan, struct br_branch *ret_branch, struct vw_err *err)
{
	struct br_key key = key_of(trunk, vlan);
	struct br_out out = {0};
	struct br_in in;
	int r = vw_bpf_map_get(br->fd[PIN_IN], &key, &in);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return vw_err_sys(err, r, 0, "looking for VLAN %u of the trunk with index %u", vlan, trunk);
	(void)vw_bpf_map_get(br->fd[PIN_OUT], &in.ifindex, &out);
	*ret_branch = (struct br_branch){.trunk = trunk, .vlan = vlan, .ifindex = in.ifindex};
	memcpy(ret_branch->mac.b, out.mac, sizeof(out.mac));
	return 1;
}

int br_of(struct br *br, unsigned int ifindex, struct br_branch *ret_branch, struct vw_err *err)
{
	__u32 index = ifindex;
	struct br_out out;
	int r = vw_bpf_map_get(br->fd[PIN_OUT], &index, &out);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return vw_err_sys(err, r, 0, "looking for the branch of the interface with index %u", ifindex);
	*ret_branch = (struct br_branch){.trunk = out.trunk, .vlan = out.vlan, .ifindex = ifindex};
	memcpy(ret_branch->mac.b, out.mac, sizeof(out.mac));
	return 1;
}

int br_in_use(struct br *br, unsigned int trunk, struct vw_err *err)
{
	struct br_key key, next;
	int r = vw_bpf_map_next(br->fd[PIN_IN], NULL, &next);

	/* who deletes meanwhile may make this start again: more than all there can be is no end */
	for (int i = 0; r == 0 && i < 2 * BR_BRANCHES; i++) {
		if (next.trunk == trunk)
			return 1;
		key = next;
		r = vw_bpf_map_next(br->fd[PIN_IN], &key, &next);
	}
	return r == -ENOENT ? 0 : r == 0 ? 1 : vw_err_sys(err, r, 0, "looking for branches of the trunk with index %u", trunk);
}

int br_drops(struct br *br, uint64_t ret_drops[BR_DROP_MAX], struct vw_err *err)
{
	int n = vw_bpf_possible_cpus();
	vw_auto_free uint64_t *each = n > 0 ? calloc((size_t)n, sizeof(*each)) : NULL;

	if (!each)
		return vw_err_sys(err, n < 0 ? n : ENOMEM, 0, "reading the counters of branch ENIs");
	for (__u32 reason = 0; reason < BR_DROP_MAX; reason++) {
		int r = vw_bpf_map_get(br->fd[PIN_DROPS], &reason, each);

		if (r < 0)
			return vw_err_sys(err, r, 0, "reading the counters of branch ENIs");
		ret_drops[reason] = 0;
		for (int i = 0; i < n; i++)
			ret_drops[reason] += each[i];
	}
	return 0;
}

const char *br_drop_name(unsigned int reason)
{
	static const char *const names[BR_DROP_MAX] = {"unknown", "short", "tagged", "mac", "push", "pop"};

	return reason < BR_DROP_MAX ? names[reason] : NULL;
}
