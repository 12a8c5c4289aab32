// SPDX-License-Identifier: Apache-2.0
/*
 * Loading: open the skeleton, put pinned maps that fit in the place of its own, load, pin what is not pinned yet.
 * A program is "the same" when the kernel's tag (a hash of its instructions) and the ids of its maps agree; otherwise the
 * new one is pinned beside the old and renamed over it, so that a plugin always finds one or the other.
 */
#include "netpolicy-bpf/user/np_loader.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/rpc/rpc.h"

#include "np_pod.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

_Static_assert(NP_IFINDEX_BASE == VW_IFINDEX_BASE, "plugin and eBPF must agree on which index is which slot");

#define NP_PATH_MAX 256
#define NP_LOG_MAX (64 * 1024)
#define NP_PROG_MAPS 8

struct np {
	struct np_pod *skel;
	int slots_fd, drops_fd;         /* owned by skel */
	int prog_fd;                    /* ours */
	bool replaced;
	char dir[NP_PATH_MAX];          /* <bpf_dir>/v<NP_ABI> */
	char prog_path[NP_PATH_MAX];
};

/** to_log() - libbpf writes to stderr unless told otherwise. */
static int __attribute__((format(printf, 2, 0))) to_log(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[256];

	if (level == LIBBPF_DEBUG)
		return 0;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = 0;
	vw_debug("libbpf", "text=\"%s\"", line);
	return 0;
}

/* --- the folder */

static bool on_bpffs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned long)st.f_type == BPF_FS_MAGIC;
}

/** require_bpffs() - @bpf_dir or, where it is not there yet, its nearest ancestor must be on a bpf file system. */
static int require_bpffs(const char *bpf_dir, struct vw_err *err)
{
	char path[NP_PATH_MAX];
	struct stat st;
	char *slash;

	if (bpf_dir[0] != '/' || vw_fmt(path, sizeof(path), "%s", bpf_dir) < 0)
		return vw_err_set(err, EINVAL, 0, "bpf_dir '%s' must be an absolute path of less than %d bytes", bpf_dir,
				  NP_PATH_MAX);
	while (stat(path, &st) < 0) {
		slash = strrchr(path, '/');
		if (errno != ENOENT || slash == path)
			return vw_err_sys(err, errno, 0, "looking at bpf_dir '%s'", bpf_dir);
		*slash = 0;
	}
	if (!on_bpffs(path))
		return vw_err_set(err, EINVAL, 0,
				  "bpf_dir '%s' is not on a bpf file system: run 'mount -t bpf bpf /sys/fs/bpf', or choose a "
				  "folder on one",
				  bpf_dir);
	return 0;
}

static int make_dir(struct np *np, const char *bpf_dir, struct vw_err *err)
{
	int r = require_bpffs(bpf_dir, err);

	if (r < 0)
		return r;
	if (vw_fmt(np->dir, sizeof(np->dir), "%s/v%d", bpf_dir, NP_ABI) < 0 ||
	    vw_fmt(np->prog_path, sizeof(np->prog_path), "%s/%s", np->dir, NP_PROG_FROM_POD) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "bpf_dir '%s' is too long", bpf_dir);
	return vw_mkdir_p(np->dir, 0700, err);
}

/* --- maps */

/** map_fits() - is the pinned object a map of the shape that @want declares? */
static bool map_fits(int fd, const struct bpf_map *want)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return false;
	return info.type == bpf_map__type(want) && info.key_size == bpf_map__key_size(want) &&
	       info.value_size == bpf_map__value_size(want) && info.max_entries == bpf_map__max_entries(want) &&
	       info.map_flags == bpf_map__map_flags(want);
}

/** map_reuse() - before load: take the pinned one if it fits. Return: 1 = taken, 0 = ours will be pinned, -errno. */
static int map_reuse(const struct np *np, struct bpf_map *map, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	char path[NP_PATH_MAX];

	if (vw_fmt(path, sizeof(path), "%s/%s", np->dir, bpf_map__name(map)) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", np->dir);
	fd = bpf_obj_get(path);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0 && map_fits(fd, map)) {
		if (bpf_map__reuse_fd(map, fd) < 0)
			return vw_err_sys(err, errno, 0, "taking over the pinned map %s", path);
		return 1;
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return vw_err_sys(err, errno, 0, "removing %s, which is no map of this version", path);
	return 0;
}

/** pin() - under a temporary name, then renamed over whatever is at @path. */
static int pin(int fd, const char *path, struct vw_err *err)
{
	char temp[NP_PATH_MAX + 8];

	/* bpffs refuses names with dots */
	if (vw_fmt(temp, sizeof(temp), "%s_new", path) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", path);
	if (unlink(temp) < 0 && errno != ENOENT)
		return vw_err_sys(err, errno, 0, "removing %s", temp);
	if (bpf_obj_pin(fd, temp) < 0)
		return vw_err_sys(err, errno, 0, "pinning %s", temp);
	if (rename(temp, path) < 0) {
		int eno = errno;

		(void)unlink(temp);
		return vw_err_sys(err, eno, 0, "pinning %s", path);
	}
	return 0;
}

static int map_pin(const struct np *np, const struct bpf_map *map, struct vw_err *err)
{
	char path[NP_PATH_MAX];

	if (vw_fmt(path, sizeof(path), "%s/%s", np->dir, bpf_map__name(map)) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", np->dir);
	return pin(bpf_map__fd(map), path, err);
}

/* --- program */

struct prog_shape {
	struct bpf_prog_info info;
	__u32 maps[NP_PROG_MAPS];
};

static int prog_shape(int fd, struct prog_shape *s)
{
	__u32 len = sizeof(s->info);

	memset(s, 0, sizeof(*s));
	s->info.map_ids = (__u64)(uintptr_t)s->maps;
	s->info.nr_map_ids = NP_PROG_MAPS;
	return bpf_obj_get_info_by_fd(fd, &s->info, &len);
}

static int cmp_id(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool same_program(int a_fd, int b_fd)
{
	struct prog_shape a, b;

	if (prog_shape(a_fd, &a) < 0 || prog_shape(b_fd, &b) < 0)
		return false;
	if (a.info.type != b.info.type || memcmp(a.info.tag, b.info.tag, sizeof(a.info.tag)) != 0 ||
	    a.info.nr_map_ids != b.info.nr_map_ids || a.info.nr_map_ids > NP_PROG_MAPS)
		return false;
	qsort(a.maps, a.info.nr_map_ids, sizeof(a.maps[0]), cmp_id);
	qsort(b.maps, b.info.nr_map_ids, sizeof(b.maps[0]), cmp_id);
	return memcmp(a.maps, b.maps, a.info.nr_map_ids * sizeof(a.maps[0])) == 0;
}

/** prog_pin() - keep the pinned program if it is the one just loaded, else replace it. */
static int prog_pin(struct np *np, struct vw_err *err)
{
	int loaded = bpf_program__fd(np->skel->progs.from_pod);
	vw_auto_close int pinned = bpf_obj_get(np->prog_path);
	int r;

	if (pinned >= 0 && same_program(pinned, loaded)) {
		np->prog_fd = VW_TAKE_FD(pinned);
		return 0;
	}
	r = pin(loaded, np->prog_path, err);
	if (r < 0)
		return r;
	np->replaced = true;
	np->prog_fd = fcntl(loaded, F_DUPFD_CLOEXEC, 3);
	if (np->prog_fd < 0)
		return vw_err_sys(err, errno, 0, "keeping the program %s", np->prog_path);
	return 0;
}

/** last_line() - of the verifier's log: the reason, usually before the statistics line. */
static const char *last_line(char *log)
{
	char *stats = strstr(log, "\nprocessed ");
	char *nl;

	if (stats)
		*stats = 0;
	while ((nl = strrchr(log, '\n')) && !nl[1])
		*nl = 0;
	return nl ? nl + 1 : log;
}

static int load(struct np *np, struct vw_err *err)
{
	vw_auto_free char *log = calloc(1, NP_LOG_MAX);
	int r;

	if (!log)
		return vw_err_set(err, ENOMEM, 0, "out of memory for the verifier's log");
	(void)bpf_program__set_log_buf(np->skel->progs.from_pod, log, NP_LOG_MAX);
	r = np_pod__load(np->skel);
	(void)bpf_program__set_log_buf(np->skel->progs.from_pod, NULL, 0);
	if (r == -EPERM)
		return vw_err_set(err, EPERM, 0, "loading eBPF programs needs root (CAP_BPF, CAP_NET_ADMIN)");
	if (r < 0)
		return vw_err_set(err, EOPNOTSUPP, 0, "the kernel refused the eBPF program from_pod (errno %d): %s", -r,
				  log[0] ? last_line(log) : "no reason given");
	return 0;
}

static int open_all(struct np *np, struct vw_err *err)
{
	struct bpf_map *maps[2];
	bool reused[2];
	int r;

	np->skel = np_pod__open();
	if (!np->skel)
		return vw_err_sys(err, errno, 0, "opening the built-in eBPF object");
	maps[0] = np->skel->maps.np_slots;
	maps[1] = np->skel->maps.np_drops;
	for (int i = 0; i < 2; i++) {
		r = map_reuse(np, maps[i], err);
		if (r < 0)
			return r;
		reused[i] = r;
	}
	r = load(np, err);
	for (int i = 0; i < 2 && r == 0; i++)
		if (!reused[i])
			r = map_pin(np, maps[i], err);
	if (r < 0)
		return r;
	np->slots_fd = bpf_map__fd(maps[0]);
	np->drops_fd = bpf_map__fd(maps[1]);
	return prog_pin(np, err);
}

int np_open(const char *bpf_dir, struct np **ret_np, struct vw_err *err)
{
	struct np *np = calloc(1, sizeof(*np));
	int r;

	if (!np)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	np->prog_fd = -EBADF;
	(void)libbpf_set_print(to_log);
	r = make_dir(np, bpf_dir, err);
	if (r == 0)
		r = open_all(np, err);
	if (r < 0) {
		np_close(np);
		return r;
	}
	*ret_np = np;
	return 0;
}

struct np *np_close(struct np *np)
{
	if (np) {
		np_pod__destroy(np->skel);
		vw_close_fd(&np->prog_fd);
	}
	free(np);
	return NULL;
}

/* --- removal */

/** empty_version_dir() - unlink the pins in one v<N> folder: regular names only, which is all that bpffs has. */
static int empty_version_dir(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	for (const struct dirent *e; r == 0 && (e = readdir(dir));)
		if (e->d_name[0] != '.' && unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
			r = -errno;
	closedir(dir);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

static bool is_version(const char *name)
{
	uint64_t v;

	return name[0] == 'v' && vw_parse_u64(name + 1, 0, 1000000, &v) == 0;
}

int np_unpin(const char *bpf_dir, struct vw_err *err)
{
	DIR *dir;
	int r = 0;

	if (access(bpf_dir, F_OK) < 0 && errno == ENOENT)
		return 0;
	r = require_bpffs(bpf_dir, err);
	if (r < 0)
		return r;
	dir = opendir(bpf_dir);
	if (!dir)
		return vw_err_sys(err, errno, 0, "opening '%s'", bpf_dir);
	for (const struct dirent *e; r == 0 && (e = readdir(dir));)
		if (is_version(e->d_name))
			r = empty_version_dir(dirfd(dir), e->d_name);
	closedir(dir);
	if (r == 0 && rmdir(bpf_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		r = -errno;
	return r < 0 ? vw_err_sys(err, r, 0, "removing the pins in '%s'", bpf_dir) : 0;
}

/* --- use */

const char *np_from_pod_path(const struct np *np)
{
	return np->prog_path;
}

int np_from_pod_fd(const struct np *np)
{
	return np->prog_fd;
}

bool np_replaced(const struct np *np)
{
	return np->replaced;
}

static int slot_in_range(unsigned int slot, struct vw_err *err)
{
	if (slot >= NP_SLOTS)
		return vw_err_set(err, ERANGE, 0, "pod slot %u: there are %d", slot, NP_SLOTS);
	return 0;
}

int np_slot_publish(struct np *np, unsigned int slot, const struct np_pod_conf *pod, struct vw_err *err)
{
	struct np_slot s;
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	memset(&s, 0, sizeof(s));
	s.flags = NP_SLOT_USED;
	if (pod->ip4.family == AF_INET) {
		s.flags |= NP_SLOT_IP4;
		memcpy(&s.ip4, pod->ip4.b, sizeof(s.ip4));
	}
	if (pod->ip6.family == AF_INET6) {
		s.flags |= NP_SLOT_IP6;
		memcpy(s.ip6, pod->ip6.b, sizeof(s.ip6));
	}
	if (!(s.flags & (NP_SLOT_IP4 | NP_SLOT_IP6)) || pod->eni > NP_MARK_ENI_MASK)
		return vw_err_set(err, EINVAL, 0, "pod slot %u: needs an address and an ENI number up to %u", slot,
				  NP_MARK_ENI_MASK);
	s.eni = (__u8)pod->eni;
	if (bpf_map_update_elem(np->slots_fd, &slot, &s, BPF_ANY) < 0)
		return vw_err_sys(err, errno, 0, "publishing pod slot %u", slot);
	return 0;
}

int np_slot_clear(struct np *np, unsigned int slot, struct vw_err *err)
{
	const struct np_slot empty = { 0 };
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	if (bpf_map_update_elem(np->slots_fd, &slot, &empty, BPF_ANY) < 0)
		return vw_err_sys(err, errno, 0, "clearing pod slot %u", slot);
	return 0;
}

int np_slot_get(struct np *np, unsigned int slot, struct np_pod_conf *ret_pod, struct vw_err *err)
{
	static const __u8 zero[sizeof(((struct np_slot *)0)->pad)];
	const __u32 known = NP_SLOT_USED | NP_SLOT_IP4 | NP_SLOT_IP6;
	struct np_pod_conf pod = { 0 };
	struct np_slot s;
	int r = slot_in_range(slot, err);

	if (r < 0)
		return r;
	if (bpf_map_lookup_elem(np->slots_fd, &slot, &s) < 0)
		return vw_err_sys(err, errno, 0, "reading pod slot %u", slot);
	if (s.flags == 0)
		return 0;
	if ((s.flags & ~known) || !(s.flags & NP_SLOT_USED) || !(s.flags & (NP_SLOT_IP4 | NP_SLOT_IP6)) ||
	    s.eni > NP_MARK_ENI_MASK || memcmp(s.pad, zero, sizeof(zero)) != 0)
		return vw_err_set(err, EBADMSG, 0, "pod slot %u holds what this version never writes", slot);
	if (s.flags & NP_SLOT_IP4) {
		pod.ip4.family = AF_INET;
		memcpy(pod.ip4.b, &s.ip4, sizeof(s.ip4));
	}
	if (s.flags & NP_SLOT_IP6) {
		pod.ip6.family = AF_INET6;
		memcpy(pod.ip6.b, s.ip6, sizeof(s.ip6));
	}
	pod.eni = s.eni;
	*ret_pod = pod;
	return 1;
}

int np_drops(struct np *np, uint64_t ret_drops[NP_DROP_MAX], struct vw_err *err)
{
	int cpus = libbpf_num_possible_cpus();
	vw_auto_free __u64 *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;

	if (!values)
		return vw_err_set(err, cpus > 0 ? ENOMEM : -cpus, 0, "reading drop counters");
	for (__u32 i = 0; i < NP_DROP_MAX; i++) {
		if (bpf_map_lookup_elem(np->drops_fd, &i, values) < 0)
			return vw_err_sys(err, errno, 0, "reading drop counter %s", np_drop_name(i));
		ret_drops[i] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			ret_drops[i] += values[cpu];
	}
	return 0;
}

const char *np_drop_name(unsigned int reason)
{
	static const char *const names[NP_DROP_MAX] = {
		[NP_DROP_NO_SLOT] = "no_slot",     [NP_DROP_TRUNCATED] = "truncated", [NP_DROP_MALFORMED] = "malformed",
		[NP_DROP_ETHERTYPE] = "ethertype", [NP_DROP_VLAN] = "vlan",           [NP_DROP_SPOOF4] = "spoof_ip4",
		[NP_DROP_SPOOF6] = "spoof_ip6",    [NP_DROP_SPOOF_ARP] = "spoof_arp", [NP_DROP_LOCAL6] = "local_ip6",
	};

	return reason < NP_DROP_MAX ? names[reason] : NULL;
}
