// SPDX-License-Identifier: Apache-2.0
/*
 * Loading: open the skeleton, put pinned maps that fit in the place of its own, load, pin what is not pinned yet. Nothing is
 * loaded when what is pinned is known to be just that (np_keep.c).
 * A program is "the same" when the kernel's tag (a hash of its instructions) and the ids of its maps agree; otherwise the
 * new one is pinned beside the old and renamed over it, so that a plugin always finds one or the other.
 */
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_loader.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/rpc/rpc.h"
#include "netpolicy-bpf/user/np_kernel.h"
#include "netpolicy-bpf/user/np_priv.h"

#include "np_node.skel.h"
#include "np_pod.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

_Static_assert(NP_IFINDEX_BASE == VW_IFINDEX_BASE, "plugin and eBPF must agree on which index is which slot");

#define NP_LOG_MAX (64 * 1024)
#define NP_PROG_MAPS 32

static const char *const pinned_progs[NP_PROGS] = {
	[NP_FROM_POD] = NP_PROG_FROM_POD,
	[NP_TO_POD] = NP_PROG_TO_POD,
	[NP_TO_WIRE] = NP_PROG_TO_WIRE,
	[NP_AT_NODE4] = NP_PROG_AT_NODE4,
	[NP_AT_NODE6] = NP_PROG_AT_NODE6,
};

unsigned int np_prog_type(enum np_prog which)
{
	return which < NP_AT_NODE4 ? BPF_PROG_TYPE_SCHED_CLS : BPF_PROG_TYPE_SOCKET_FILTER;
}

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

/* --- what the kernel has */

static bool has_mapped_arrays(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	vw_auto_close int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "np_probe", 4, 8, 1, &opts);

	return fd >= 0;
}

/** missing() - after a refusal: what the programs cannot do without and the kernel has not; NULL = nothing known. */
static const char *missing(void)
{
	if (!has_mapped_arrays())
		return "BPF arrays in mapped memory (Linux 5.5)";
	if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) == 0)
		return "BPF ring buffers (Linux 5.8)";
	return NULL;
}

/** warn_if_interpreted() - correct, but each packet costs several times as much. */
static void warn_if_interpreted(int prog_fd)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len) == 0 && info.jited_prog_len == 0)
		vw_warn("this kernel interprets eBPF programs: set net.core.bpf_jit_enable=1, packets cost much more otherwise");
}

/* --- programs */

/** wants_locks() - whether flows are opened under locks. */
static bool wants_locks(bool ct_locks)
{
	if (ct_locks || np_kernel_has_exchange())
		return ct_locks;
	vw_info("this kernel has no atomic exchange for eBPF programs (Linux 5.12): each new flow takes a lock; those to sockets of "
		"this node behind a service are judged packet by packet");
	return true;
}

static int fit_kernel(struct bpf_object *obj, struct vw_err *err)
{
	struct bpf_program *prog;
	int r = 0;

	bpf_object__for_each_program(prog, obj)
		if (r == 0)
			r = np_without_exchange(prog);
	return r < 0 ? vw_err_sys(err, r, 0, "fitting the eBPF programs to this kernel") : 0;
}

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
static int prog_pin(struct np *np, const struct bpf_object *obj, enum np_prog which, struct vw_err *err)
{
	int loaded = bpf_program__fd(bpf_object__find_program_by_name(obj, pinned_progs[which]));
	struct np_prog_held *p = &np->prog[which];
	vw_auto_close int pinned = -EBADF;
	int r;

	pinned = bpf_obj_get(p->path);
	if (pinned >= 0 && same_program(pinned, loaded)) {
		p->fd = VW_TAKE_FD(pinned);
		return 0;
	}
	r = pinned < 0 ? 0 : np_former_pin(p->path, pinned, err);
	if (r == 0)
		r = vw_bpf_obj_pin(loaded, p->path, err);
	if (r < 0)
		return r;
	np->replaced = true;
	p->fd = fcntl(loaded, F_DUPFD_CLOEXEC, 3);
	if (p->fd < 0)
		return vw_err_sys(err, errno, 0, "keeping the program %s", p->path);
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

/** refused() - the kernel did not take the object: say why. @log: the verifier's words, or "". */
static int refused(int r, const char *prog, char *log, struct vw_err *err)
{
	const char *lacks;

	if (r == -EPERM)
		return vw_err_set(err, EPERM, 0, "loading eBPF programs needs root (CAP_BPF, CAP_NET_ADMIN)");
	if (r == -ENOMEM)
		return vw_err_set(err, ENOMEM, 0, "the kernel has no memory for the eBPF maps");
	lacks = missing();
	if (lacks)
		return vw_err_set(err, EOPNOTSUPP, 0, "the kernel has no %s: Linux 5.10 or later is needed", lacks);
	return vw_err_set(err, EOPNOTSUPP, 0, "the kernel refused the eBPF program%s%s (errno %d): %s", prog ? " " : "s",
			  prog ? prog : "", -r, log[0] ? last_line(log) : "no reason given");
}

static int load(struct bpf_object *obj, struct vw_err *err)
{
	vw_auto_free char *logs = calloc(NP_LOGS, NP_LOG_MAX);
	struct bpf_program *prog;
	const char *culprit = NULL;
	char *log = logs;
	int n = 0, r;

	if (!logs)
		return vw_err_set(err, ENOMEM, 0, "out of memory for the verifier's log");
	bpf_object__for_each_program(prog, obj)
		if (n < NP_LOGS)
			(void)bpf_program__set_log_buf(prog, logs + (size_t)n++ * NP_LOG_MAX, NP_LOG_MAX);
	r = bpf_object__load(obj);
	n = 0;
	bpf_object__for_each_program(prog, obj) {
		char *mine = logs + (size_t)n++ * NP_LOG_MAX;

		(void)bpf_program__set_log_buf(prog, NULL, 0);
		if (r < 0 && n <= NP_LOGS && mine[0]) {         /* the last one that the verifier spoke of */
			culprit = bpf_program__name(prog);
			log = mine;
		}
	}
	return r < 0 ? refused(r, culprit, log, err) : 0;
}

static int prog_paths(struct np *np, struct vw_err *err)
{
	for (int i = 0; i < NP_PROGS; i++)
		if (vw_fmt(np->prog[i].path, sizeof(np->prog[i].path), "%s/%s", np->dir, pinned_progs[i]) < 0)
			return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", np->dir);
	return 0;
}

/** load_node() - the programs of the second object, on the maps of the first. It is held no longer than it takes to pin them. */
static int load_node(struct np *np, bool locks, struct vw_err *err)
{
	struct np_node *skel = np_node__open();
	int r = skel ? np_maps_lend(np, skel->obj, err) : vw_err_sys(err, errno, 0, "opening the built-in eBPF object of the node");

	if (r == 0 && locks)
		r = fit_kernel(skel->obj, err);
	if (r == 0)
		r = load(skel->obj, err);
	for (int i = NP_AT_NODE4; i < NP_PROGS && r == 0; i++)
		r = prog_pin(np, skel->obj, i, err);
	np_node__destroy(skel);
	return r;
}

static int load_and_pin(struct np *np, bool ct_locks, struct vw_err *err)
{
	const bool locks = wants_locks(ct_locks);
	int r = locks ? fit_kernel(np->skel->obj, err) : 0;

	if (r == 0)
		r = load(np->skel->obj, err);
	if (r == 0)
		r = np_maps_take(np, np->skel->obj, err);
	for (int i = 0; i < NP_AT_NODE4 && r == 0; i++)
		r = prog_pin(np, np->skel->obj, i, err);
	if (r == 0)
		r = load_node(np, locks, err);
	if (r == 0)
		np_keep_note(np, np->skel->obj);
	return r;
}

static int open_all(struct np *np, const struct np_sizes *sizes, struct vw_err *err)
{
	int r = prog_paths(np, err);

	if (r < 0)
		return r;
	np->skel = np_pod__open();
	if (!np->skel)
		return vw_err_sys(err, errno, 0, "opening the built-in eBPF object");
	r = np_maps_reuse(np, np->skel->obj, sizes, err);
	if (r == 0)
		r = np_keep_pinned(np, np->skel->obj) ? np_maps_take(np, np->skel->obj, err) :
							load_and_pin(np, sizes && sizes->ct_locks, err);
	if (r == 0)
		warn_if_interpreted(np->prog[NP_FROM_POD].fd);
	return r;
}

int np_open(const char *bpf_dir, const struct np_sizes *sizes, struct np **ret_np, struct vw_err *err)
{
	struct np *np = calloc(1, sizeof(*np));
	int r;

	if (!np)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (int i = 0; i < NP_PROGS; i++)
		np->prog[i].fd = -EBADF;
	(void)libbpf_set_print(to_log);
	r = np_dir_make(np, bpf_dir, err);
	if (r == 0)
		r = open_all(np, sizes, err);
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
		np_maps_unmap(np);
		np_pod__destroy(np->skel);
		for (int i = 0; i < NP_PROGS; i++)
			vw_close_fd(&np->prog[i].fd);
	}
	free(np);
	return NULL;
}

const char *np_from_pod_path(const struct np *np)
{
	return np->prog[NP_FROM_POD].path;
}

const char *np_to_pod_path(const struct np *np)
{
	return np->prog[NP_TO_POD].path;
}

const char *np_to_wire_path(const struct np *np)
{
	return np->prog[NP_TO_WIRE].path;
}

int np_from_pod_fd(const struct np *np)
{
	return np->prog[NP_FROM_POD].fd;
}

int np_to_pod_fd(const struct np *np)
{
	return np->prog[NP_TO_POD].fd;
}

int np_to_wire_fd(const struct np *np)
{
	return np->prog[NP_TO_WIRE].fd;
}

int np_at_node_fd(const struct np *np, int family)
{
	return np->prog[family == 4 ? NP_AT_NODE4 : NP_AT_NODE6].fd;
}

bool np_replaced(const struct np *np)
{
	return np->replaced;
}
