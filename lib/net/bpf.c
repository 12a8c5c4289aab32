// SPDX-License-Identifier: Apache-2.0
/* bpf(2) by hand: load a program, open a pin, ask for an id, attach by tcx. */
#include "lib/net/bpf.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <string.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* linux/bpf.h of 6.6 and up has these as BPF_TCX_INGRESS and BPF_TCX_EGRESS; Debian 12's is older. */
#define TCX_INGRESS   46
#define TCX_EGRESS    47
#define TCX_PROGS_MAX 64 /* BPF_MPROG_MAX, include/linux/bpf_mprog.h */

static int sys_bpf(int cmd, union bpf_attr *attr, unsigned int size)
{
	return (int)syscall(__NR_bpf, cmd, attr, size);
}

static unsigned int attach_type(enum vw_tc_dir dir)
{
	return dir == VW_TC_INGRESS ? TCX_INGRESS : TCX_EGRESS;
}

int vw_bpf_pin_open(const char *path, struct vw_err *err)
{
	union bpf_attr attr = {0};
	int fd;

	attr.pathname = (uint64_t)(uintptr_t)path;
	fd = sys_bpf(BPF_OBJ_GET, &attr, sizeof(attr)); /* close-on-exec by itself */
	if (fd < 0 && errno == ENOENT)
		return vw_err_set(err, ENOENT, VW_CNI_KERNEL,
				  "the pinned eBPF program '%s' is gone: is bpffs mounted there? Restart "
				  "vpcwired to pin it again",
				  path);
	if (fd < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "opening the pinned eBPF program '%s'", path);
	return fd;
}

int vw_bpf_prog_id(int prog_fd, uint32_t *ret_id, struct vw_err *err)
{
	struct bpf_prog_info info = {0};
	union bpf_attr attr = {0};

	attr.info.bpf_fd = (uint32_t)prog_fd;
	attr.info.info = (uint64_t)(uintptr_t)&info;
	attr.info.info_len = sizeof(info);
	if (sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return vw_err_sys(err, errno, VW_CNI_KERNEL, "identifying an eBPF program");
	*ret_id = info.id;
	return 0;
}

int vw_bpf_tcx_attach(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, struct vw_err *err)
{
	union bpf_attr attr = {0};

	attr.target_fd = ifindex; /* shares its place with target_ifindex */
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = attach_type(dir);
	if (sys_bpf(BPF_PROG_ATTACH, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno == EINVAL)
		return vw_err_set(
			err, EINVAL, VW_CNI_KERNEL,
			"this kernel takes no tcx program (6.6 and up do): use \"attach\": \"clsact\"");
	return vw_err_sys(err, errno, VW_CNI_KERNEL, "attaching a tcx program to interface %u", ifindex);
}

int vw_bpf_tcx_replace(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, int old_fd, struct vw_err *err)
{
	union bpf_attr attr = {0};

	attr.target_fd = ifindex;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = attach_type(dir);
	attr.attach_flags = BPF_F_REPLACE;
	attr.replace_bpf_fd = (uint32_t)old_fd;
	return sys_bpf(BPF_PROG_ATTACH, &attr, sizeof(attr)) == 0 ?
		       0 : vw_err_sys(err, errno, VW_CNI_KERNEL, "replacing a tcx program of interface %u", ifindex);
}

int vw_bpf_tcx_detach(unsigned int ifindex, enum vw_tc_dir dir, int prog_fd, struct vw_err *err)
{
	union bpf_attr attr = {0};

	attr.target_fd = ifindex;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = attach_type(dir);
	/* EINVAL: a kernel without tcx */
	return sys_bpf(BPF_PROG_DETACH, &attr, sizeof(attr)) == 0 || errno == ENOENT || errno == ENODEV || errno == EINVAL ?
		       0 : vw_err_sys(err, errno, VW_CNI_KERNEL, "detaching a tcx program from interface %u", ifindex);
}

/* Return: how many of @ids were filled, -errno */
static int tcx_query(unsigned int ifindex, enum vw_tc_dir dir, uint32_t ids[TCX_PROGS_MAX], struct vw_err *err)
{
	union bpf_attr attr = {0};

	attr.query.target_fd = ifindex;
	attr.query.attach_type = attach_type(dir);
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = TCX_PROGS_MAX;
	if (sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr)) < 0)
		return errno == ENOENT ? 0
				       : vw_err_sys(err, errno, VW_CNI_KERNEL,
						    "listing tcx programs of interface %u", ifindex);
	return (int)(attr.query.prog_cnt < TCX_PROGS_MAX ? attr.query.prog_cnt : TCX_PROGS_MAX);
}

int vw_bpf_tcx_has(unsigned int ifindex, enum vw_tc_dir dir, uint32_t prog_id, struct vw_err *err)
{
	uint32_t ids[TCX_PROGS_MAX] = {0};
	int n = tcx_query(ifindex, dir, ids, err);

	for (int i = 0; i < n; i++) {
		if (ids[i] == prog_id)
			return 1;
	}
	return n < 0 ? n : 0;
}

int vw_bpf_tcx_list(unsigned int ifindex, enum vw_tc_dir dir, uint32_t *ret_ids, unsigned int max, struct vw_err *err)
{
	uint32_t ids[TCX_PROGS_MAX] = {0};
	int n = tcx_query(ifindex, dir, ids, err);

	if (n == -EINVAL) /* a kernel without it */
		return 0;
	for (int i = 0; i < n && (unsigned int)i < max; i++)
		ret_ids[i] = ids[i];
	return n;
}

int vw_bpf_prog_load(const struct bpf_insn *insns, size_t n, const char *name, struct vw_err *err)
{
	union bpf_attr attr = {0};
	int fd;

	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uint64_t)(uintptr_t) "Dual BSD/GPL";
	memccpy(attr.prog_name, name, 0, sizeof(attr.prog_name) - 1);
	fd = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr)); /* close-on-exec by itself */
	return fd < 0 ? vw_err_sys(err, errno, VW_CNI_KERNEL, "loading the eBPF program %s", name) : fd;
}

/* --- maps, pins, the file system that they are in */

static bool on_bpffs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned long)st.f_type == BPF_FS_MAGIC;
}

int vw_bpffs_require(const char *wanted, struct vw_err *err)
{
	char path[PATH_MAX];
	struct stat st;
	char *slash;

	if (wanted[0] != '/' || vw_fmt(path, sizeof(path), "%s", wanted) < 0)
		return vw_err_set(err, EINVAL, 0, "bpf_dir '%.200s' must be an absolute path", wanted);
	while (stat(path, &st) < 0) {
		slash = strrchr(path, '/');
		if (errno != ENOENT || slash == path)
			return vw_err_sys(err, errno, 0, "looking at bpf_dir '%s'", wanted);
		*slash = 0;
	}
	if (!on_bpffs(path))
		return vw_err_set(err, EINVAL, 0,
				  "bpf_dir '%s' is not on a bpf file system: run 'mount -t bpf bpf /sys/fs/bpf', or choose a "
				  "folder on one",
				  wanted);
	return 0;
}

int vw_bpf_obj_open(const char *path)
{
	union bpf_attr attr = {0};
	int fd;

	attr.pathname = (uint64_t)(uintptr_t)path;
	fd = sys_bpf(BPF_OBJ_GET, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

int vw_bpf_obj_pin(int fd, const char *path, struct vw_err *err)
{
	union bpf_attr attr = {0};
	char temp[PATH_MAX];

	/* bpffs refuses names with dots */
	if (vw_fmt(temp, sizeof(temp), "%s_new", path) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%.200s' is too long", path);
	if (unlink(temp) < 0 && errno != ENOENT)
		return vw_err_sys(err, errno, 0, "removing %s", temp);
	attr.pathname = (uint64_t)(uintptr_t)temp;
	attr.bpf_fd = (uint32_t)fd;
	if (sys_bpf(BPF_OBJ_PIN, &attr, sizeof(attr)) < 0)
		return vw_err_sys(err, errno, 0, "pinning %s", temp);
	if (rename(temp, path) < 0) {
		int eno = errno;

		(void)unlink(temp);
		return vw_err_sys(err, eno, 0, "pinning %s", path);
	}
	return 0;
}

static int map_info(int map_fd, struct bpf_map_info *ret_info)
{
	union bpf_attr attr = {0};

	memset(ret_info, 0, sizeof(*ret_info));
	attr.info.bpf_fd = (uint32_t)map_fd;
	attr.info.info = (uint64_t)(uintptr_t)ret_info;
	attr.info.info_len = sizeof(*ret_info);
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int vw_bpf_map_shape(int map_fd, struct vw_bpf_map_shape *ret_shape)
{
	struct bpf_map_info info;
	int r = map_info(map_fd, &info);

	if (r == 0)
		*ret_shape = (struct vw_bpf_map_shape){info.type, info.key_size, info.value_size, info.max_entries};
	return r;
}

int vw_bpf_map_id(int map_fd, uint32_t *ret_id)
{
	struct bpf_map_info info;
	int r = map_info(map_fd, &info);

	if (r == 0)
		*ret_id = info.id;
	return r;
}

static int map_op(int cmd, int map_fd, const void *key, uint64_t value, uint64_t flags)
{
	union bpf_attr attr = {0};

	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uint64_t)(uintptr_t)key;
	attr.value = value;
	attr.flags = flags;
	return sys_bpf(cmd, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int vw_bpf_map_get(int map_fd, const void *key, void *ret_value)
{
	return map_op(BPF_MAP_LOOKUP_ELEM, map_fd, key, (uint64_t)(uintptr_t)ret_value, 0);
}

int vw_bpf_map_set(int map_fd, const void *key, const void *value, bool only_new)
{
	return map_op(BPF_MAP_UPDATE_ELEM, map_fd, key, (uint64_t)(uintptr_t)value, only_new ? BPF_NOEXIST : BPF_ANY);
}

int vw_bpf_map_del(int map_fd, const void *key)
{
	return map_op(BPF_MAP_DELETE_ELEM, map_fd, key, 0, 0);
}

int vw_bpf_map_next(int map_fd, const void *key, void *ret_key)
{
	/* next_key has the place of value in union bpf_attr */
	return map_op(BPF_MAP_GET_NEXT_KEY, map_fd, key, (uintptr_t)ret_key, 0);
}

/* "0-3" or "0,2-5": one more than the last of them, for the kernel numbers without gaps what it may ever have */
int vw_bpf_possible_cpus(void)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	const char *text, *last;
	char number[16];
	uint64_t n;

	if (vw_read_file("/sys/devices/system/cpu/possible", 4096, &b, &err) < 0)
		return -err.eno;
	text = vw_buf_str(&b);
	last = text + strlen(text);
	while (last > text && strchr("0123456789\n", last[-1]))
		last--;
	if (vw_fmt(number, sizeof(number), "%.*s", (int)strcspn(last, "\n"), last) < 0 || vw_parse_u64(number, 0, 65535, &n) < 0)
		return -EBADMSG;
	return (int)n + 1;
}
