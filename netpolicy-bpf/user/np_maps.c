// SPDX-License-Identifier: Apache-2.0
/*
 * The maps, by a table. Before the object is loaded, pinned maps that fit take the place of its own; after, what is new is
 * pinned and what is shared with the programs by memory is mapped.
 */
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/bpf.h"
#include "netpolicy-bpf/user/np_priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/* of a new np_conf */
#define CT_QUOTA 32768
#define EVENT_RATE 100
#define EVENT_BURST 200
#define DNS_MIN_TTL 30

static const struct {
	const char *name;
	bool mapped, sizable;
} table[NP_MAPS] = {
	[NP_M_SLOTS] = { "np_slots", .mapped = true },
	[NP_M_ARENA] = { "np_arena", .mapped = true },
	[NP_M_IDENTS] = { "np_idents", .mapped = true },
	[NP_M_PORTS] = { "np_ports", .mapped = true },
	[NP_M_CONF] = { "np_conf", .mapped = true },
	[NP_M_RT] = { "np_rt", .mapped = true },
	[NP_M_CLOCK] = { "np_clock" },
	[NP_M_JOURNAL] = { "np_journal", .mapped = true },
	[NP_M_RULE_KEYS] = { "np_rule_keys", .mapped = true },
	[NP_M_DROPS] = { "np_drops" },
	[NP_M_STATS] = { "np_stats" },
	[NP_M_COUNTS] = { "np_counts" },
	[NP_M_IP4] = { "np_ip4", .sizable = true },
	[NP_M_IP6] = { "np_ip6", .sizable = true },
	[NP_M_CIDR4] = { "np_cidr4", .sizable = true },
	[NP_M_CIDR6] = { "np_cidr6", .sizable = true },
	[NP_M_CT] = { "np_ct", .mapped = true, .sizable = true },
	[NP_M_CT_LOCKS] = { "np_ct_locks", .sizable = true },
	[NP_M_FRAG] = { "np_frag", .sizable = true },
	[NP_M_FQDN4] = { "np_fqdn4", .sizable = true },
	[NP_M_FQDN6] = { "np_fqdn6", .sizable = true },
	[NP_M_DNS] = { "np_dns", .sizable = true },
	[NP_M_EVENTS] = { "np_events", .sizable = true },
	[NP_M_TAILS] = { "np_tails" },
	[NP_M_SCRATCH] = { "np_scratch" },
	[NP_M_DNS_WORK] = { "np_dns_work" },
	[NP_M_ADOPTED] = { "np_adopted" },
};

/** map_fits() - is the pinned object the map that @want declares? libbpf takes over the name, too, by which it is found later. */
static bool map_fits(int fd, const struct bpf_map *want)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return false;
	if (strncmp(info.name, bpf_map__name(want), sizeof(info.name) - 1) != 0)
		return false;
	return info.type == bpf_map__type(want) && info.key_size == bpf_map__key_size(want) &&
	       info.value_size == bpf_map__value_size(want) && info.max_entries == bpf_map__max_entries(want) &&
	       info.map_flags == bpf_map__map_flags(want);
}

/** map_reuse() - take the pinned one if it fits. Return: 1 = taken, 0 = ours will be pinned, -errno. */
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

static int map_resize(struct bpf_map *map, enum np_map which, unsigned int max, struct vw_err *err)
{
	if (!table[which].sizable)
		return vw_err_set(err, EINVAL, 0, "the size of the map %s cannot be chosen", table[which].name);
	if (bpf_map__set_max_entries(map, max) < 0)
		return vw_err_sys(err, errno, 0, "choosing %u as the size of the map %s", max, table[which].name);
	return 0;
}

int np_maps_reuse(struct np *np, struct bpf_object *obj, const struct np_sizes *sizes, struct vw_err *err)
{
	for (int i = 0; i < NP_MAPS; i++) {
		const enum np_map of = i == NP_M_CT_LOCKS ? NP_M_CT : (enum np_map)i;  /* a lock each */
		struct bpf_map *map = bpf_object__find_map_by_name(obj, table[i].name);
		int r = 0;

		if (!map)
			return vw_err_set(err, EINVAL, 0, "the built-in eBPF object has no map %s", table[i].name);
		if (sizes && sizes->max[of])
			r = map_resize(map, i, sizes->max[of], err);
		if (r == 0)
			r = map_reuse(np, map, err);
		if (r < 0)
			return r;
		np->map[i].kept = r;
	}
	return 0;
}

static int map_map(struct np_map_held *m, const struct bpf_map *map, struct vw_err *err)
{
	const size_t page = 4096, each = (bpf_map__value_size(map) + 7u) & ~7u;
	size_t bytes = (each * bpf_map__max_entries(map) + page - 1) & ~(page - 1);
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);

	if (mem == MAP_FAILED)
		return vw_err_sys(err, errno, 0, "mapping the map %s", bpf_map__name(map));
	m->mem = mem;
	m->bytes = bytes;
	return 0;
}

static int map_pin(const struct np *np, const struct bpf_map *map, struct vw_err *err)
{
	char path[NP_PATH_MAX];

	if (vw_fmt(path, sizeof(path), "%s/%s", np->dir, bpf_map__name(map)) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "'%s' is too long", np->dir);
	return vw_bpf_obj_pin(bpf_map__fd(map), path, err);
}

/** conf_defaults() - before it is pinned, so that nobody ever finds one without a key. */
static int conf_defaults(struct np_conf *c, struct vw_err *err)
{
	if (getrandom(c->dns_key, sizeof(c->dns_key), 0) != sizeof(c->dns_key) ||
	    getrandom(c->ct_key, sizeof(c->ct_key), 0) != sizeof(c->ct_key))
		return vw_err_sys(err, errno, 0, "making a random key");
	c->ct_quota = CT_QUOTA;
	c->event_rate = EVENT_RATE;
	c->event_burst = EVENT_BURST;
	c->dns_min_ttl = DNS_MIN_TTL;
	return 0;
}

int np_maps_take(struct np *np, const struct bpf_object *obj, struct vw_err *err)
{
	for (int i = 0; i < NP_MAPS; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(obj, table[i].name);
		struct np_map_held *m = &np->map[i];
		int r = 0;

		m->fd = bpf_map__fd(map);
		m->max = bpf_map__max_entries(map);
		if (table[i].mapped)
			r = map_map(m, map, err);
		if (r == 0 && i == NP_M_CONF && !m->kept)
			r = conf_defaults(m->mem, err);
		if (r == 0 && !m->kept)
			r = map_pin(np, map, err);
		if (r < 0)
			return r;
		np->replaced |= !m->kept;
	}
	((struct np_conf *)np->map[NP_M_CONF].mem)->ct_groups = np->map[NP_M_CT].max;
	return 0;
}

static const struct np_map_held *held(const struct np *np, const char *name)
{
	for (int i = 0; i < NP_MAPS; i++)
		if (!strcmp(table[i].name, name))
			return &np->map[i];
	return NULL;
}

int np_maps_lend(const struct np *np, struct bpf_object *obj, struct vw_err *err)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		const struct np_map_held *m = held(np, bpf_map__name(map));

		if (!m)
			return vw_err_set(err, EINVAL, 0, "the built-in eBPF object of the node has a map of its own, %s", bpf_map__name(map));
		if (bpf_map__reuse_fd(map, m->fd) < 0)
			return vw_err_sys(err, errno, 0, "lending the map %s", bpf_map__name(map));
	}
	return 0;
}

void np_maps_unmap(struct np *np)
{
	for (int i = 0; i < NP_MAPS; i++) {
		if (np->map[i].mem)
			(void)munmap(np->map[i].mem, np->map[i].bytes);
		np->map[i].mem = NULL;
	}
}

const char *np_map_name(enum np_map map)
{
	return table[map].name;
}

int np_map_fd(const struct np *np, enum np_map map)
{
	return np->map[map].fd;
}

unsigned int np_map_max(const struct np *np, enum np_map map)
{
	return np->map[map].max;
}

bool np_map_kept(const struct np *np, enum np_map map)
{
	return np->map[map].kept;
}

void *np_map_mem(const struct np *np, enum np_map map)
{
	return np->map[map].mem;
}
