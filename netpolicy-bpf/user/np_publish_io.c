// SPDX-License-Identifier: Apache-2.0
/* The publisher's system calls. An LPM trie allocates as it grows; what finds no memory is tried again for a while. */
#include "netpolicy-bpf/user/np_publish.h"

#include "lib/base/cleanup.h"
#include "netpolicy-bpf/user/np_loader.h"
#include "netpolicy-bpf/user/np_walk.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define NOMEM_TRIES 5           /* 1 + 2 + 4 + 8 ms */

union key {
	__be32 ip4;
	__u8 ip6[16];
	struct np_cidr4_key cidr4;
	struct np_cidr6_key cidr6;
};

static enum np_map addr_key(const struct vw_ip *ip, union key *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (ip->family == AF_INET) {
		memcpy(&ret->ip4, ip->b, sizeof(ret->ip4));
		return NP_M_IP4;
	}
	memcpy(ret->ip6, ip->b, sizeof(ret->ip6));
	return NP_M_IP6;
}

static enum np_map cidr_key(const struct vw_cidr *c, union key *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (c->ip.family == AF_INET) {
		ret->cidr4.len = c->len;
		memcpy(&ret->cidr4.ip, c->ip.b, sizeof(ret->cidr4.ip));
		return NP_M_CIDR4;
	}
	ret->cidr6.len = c->len;
	memcpy(ret->cidr6.ip, c->ip.b, sizeof(ret->cidr6.ip));
	return NP_M_CIDR6;
}

static int set(struct np *np, enum np_map map, const union key *key, uint32_t ident)
{
	int fd = np_map_fd(np, map), r = 0;

	for (int i = 0; i < NOMEM_TRIES; i++) {
		const struct timespec pause = { .tv_nsec = 1000000L << i };

		r = bpf_map_update_elem(fd, key, &ident, BPF_ANY) < 0 ? -errno : 0;
		if (r != -ENOMEM || i + 1 == NOMEM_TRIES)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return r;
}

static int del(struct np *np, enum np_map map, const union key *key)
{
	return bpf_map_delete_elem(np_map_fd(np, map), key) < 0 && errno != ENOENT ? -errno : 0;
}

static int addr_set(void *arg, const struct vw_ip *ip, uint32_t ident)
{
	union key k;
	enum np_map m = addr_key(ip, &k);

	return set(arg, m, &k, ident);
}

static int addr_del(void *arg, const struct vw_ip *ip)
{
	union key k;
	enum np_map m = addr_key(ip, &k);

	return del(arg, m, &k);
}

static int cidr_set(void *arg, const struct vw_cidr *c, uint32_t ident)
{
	union key k;
	enum np_map m = cidr_key(c, &k);

	return set(arg, m, &k, ident);
}

static int cidr_del(void *arg, const struct vw_cidr *c)
{
	union key k;
	enum np_map m = cidr_key(c, &k);

	return del(arg, m, &k);
}

static int ident_of(void *np, const struct vw_ip *ip, uint32_t *ret)
{
	const struct vw_cidr host = vw_cidr_host(ip);
	union key k;
	enum np_map m = addr_key(ip, &k);

	if (bpf_map_lookup_elem(np_map_fd(np, m), &k, ret) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	m = cidr_key(&host, &k);
	return bpf_map_lookup_elem(np_map_fd(np, m), &k, ret) < 0 ? -errno : 0;
}

/* --- reading back: one key after the other works for tries as well, and nobody else writes */

struct each {
	int (*addr)(void *fn_arg, const struct vw_ip *ip, uint32_t ident);
	int (*cidr)(void *fn_arg, const struct vw_cidr *c, uint32_t ident);
	void *arg;
};

static int give(const struct each *e, enum np_map map, const union key *k, uint32_t ident)
{
	struct vw_cidr c = { 0 };

	switch (map) {
	case NP_M_IP4:
		c.ip.family = AF_INET;
		memcpy(c.ip.b, &k->ip4, sizeof(k->ip4));
		return e->addr(e->arg, &c.ip, ident);
	case NP_M_IP6:
		c.ip.family = AF_INET6;
		memcpy(c.ip.b, k->ip6, sizeof(k->ip6));
		return e->addr(e->arg, &c.ip, ident);
	case NP_M_CIDR4:
		if (k->cidr4.len > 32)
			return -EBADMSG;
		c.ip.family = AF_INET;
		c.len = (uint8_t)k->cidr4.len;
		memcpy(c.ip.b, &k->cidr4.ip, sizeof(k->cidr4.ip));
		return e->cidr(e->arg, &c, ident);
	default:
		if (k->cidr6.len > 128)
			return -EBADMSG;
		c.ip.family = AF_INET6;
		c.len = (uint8_t)k->cidr6.len;
		memcpy(c.ip.b, k->cidr6.ip, sizeof(k->cidr6.ip));
		return e->cidr(e->arg, &c, ident);
	}
}

static int each(struct np *np, enum np_map map, const struct each *e)
{
	int fd = np_map_fd(np, map);
	union key now, next;
	bool first = true;

	memset(&now, 0, sizeof(now));
	memset(&next, 0, sizeof(next));
	while (bpf_map_get_next_key(fd, first ? NULL : &now, &next) == 0) {
		uint32_t ident;
		int r;

		first = false;
		now = next;
		if (bpf_map_lookup_elem(fd, &now, &ident) < 0)
			return -errno;
		r = give(e, map, &now, ident);
		if (r)
			return r;
	}
	return errno == ENOENT ? 0 : -errno;
}

static int each_addr(void *np, int (*fn)(void *fn_arg, const struct vw_ip *ip, uint32_t ident), void *fn_arg)
{
	const struct each e = { .addr = fn, .arg = fn_arg };
	int r = each(np, NP_M_IP4, &e);

	return r ? r : each(np, NP_M_IP6, &e);
}

static int each_cidr(void *np, int (*fn)(void *fn_arg, const struct vw_cidr *c, uint32_t ident), void *fn_arg)
{
	const struct each e = { .cidr = fn, .arg = fn_arg };
	int r = each(np, NP_M_CIDR4, &e);

	return r ? r : each(np, NP_M_CIDR6, &e);
}

static int dns_set(void *np, const struct np_dns_key *key, const struct np_dns_names *names)
{
	return bpf_map_update_elem(np_map_fd(np, NP_M_DNS), key, names, BPF_ANY) < 0 ? -errno : 0;
}

static int dns_del(void *np, const struct np_dns_key *key)
{
	return bpf_map_delete_elem(np_map_fd(np, NP_M_DNS), key) < 0 && errno != ENOENT ? -errno : 0;
}

static int each_dns(void *np, int (*fn)(void *fn_arg, const struct np_dns_key *key, const struct np_dns_names *names), void *fn_arg)
{
	int fd = np_map_fd(np, NP_M_DNS), r;
	struct np_dns_key now, next;
	struct np_dns_names names;
	bool first = true;

	while (bpf_map_get_next_key(fd, first ? NULL : &now, &next) == 0) {
		first = false;
		now = next;
		if (bpf_map_lookup_elem(fd, &now, &names) < 0)
			return -errno;
		r = fn(fn_arg, &now, &names);
		if (r)
			return r;
	}
	return errno == ENOENT ? 0 : -errno;
}

/* --- what was learnt: programs write it too, under its lock */

union fqdn_key {
	struct np_fqdn4_key v4;
	struct np_fqdn6_key v6;
};

static enum np_map fqdn_key(uint32_t set, const struct vw_ip *ip, union fqdn_key *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->v4.set = set;      /* where v6 has it */
	if (ip->family == AF_INET) {
		memcpy(&ret->v4.ip, ip->b, sizeof(ret->v4.ip));
		return NP_M_FQDN4;
	}
	memcpy(ret->v6.ip, ip->b, sizeof(ret->v6.ip));
	return NP_M_FQDN6;
}

static int fqdn_get(void *np, uint32_t set, const struct vw_ip *ip, struct np_fqdn *ret)
{
	union fqdn_key k;
	enum np_map m = fqdn_key(set, ip, &k);

	return bpf_map_lookup_elem_flags(np_map_fd(np, m), &k, ret, BPF_F_LOCK) < 0 ? -errno : 0;
}

static int fqdn_set(void *np, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f)
{
	union fqdn_key k;
	enum np_map m = fqdn_key(set, ip, &k);

	return bpf_map_update_elem(np_map_fd(np, m), &k, f, BPF_ANY | BPF_F_LOCK) < 0 ? -errno : 0;
}

struct each_fqdn {
	int (*fn)(void *fn_arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f);
	void *arg;
};

static int give_fqdn4(void *arg, const void *key, const void *value)
{
	const struct each_fqdn *e = arg;
	const struct np_fqdn4_key *k = key;
	struct vw_ip ip = { .family = AF_INET };

	memcpy(ip.b, &k->ip, sizeof(k->ip));
	return e->fn(e->arg, k->set, &ip, value);
}

static int give_fqdn6(void *arg, const void *key, const void *value)
{
	const struct each_fqdn *e = arg;
	const struct np_fqdn6_key *k = key;
	struct vw_ip ip = { .family = AF_INET6 };

	memcpy(ip.b, k->ip, sizeof(k->ip));
	return e->fn(e->arg, k->set, &ip, value);
}

static int each_fqdn(void *np, int (*fn)(void *fn_arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f), void *fn_arg)
{
	struct each_fqdn e = { fn, fn_arg };
	const struct np_walk v4 = { np_map_fd(np, NP_M_FQDN4), sizeof(struct np_fqdn4_key), sizeof(struct np_fqdn), give_fqdn4, &e, true },
			     v6 = { np_map_fd(np, NP_M_FQDN6), sizeof(struct np_fqdn6_key), sizeof(struct np_fqdn), give_fqdn6, &e, true };
	int r = np_walk(&v4);

	return r ? r : np_walk(&v6);
}

static int rule_clear(void *np, uint32_t rule)
{
	int cpus = libbpf_num_possible_cpus();
	vw_auto_free struct np_count *zero = cpus > 0 ? calloc((size_t)cpus, sizeof(*zero)) : NULL;

	if (!zero)
		return cpus > 0 ? -ENOMEM : cpus;
	return bpf_map_update_elem(np_map_fd(np, NP_M_COUNTS), &rule, zero, BPF_ANY) < 0 ? -errno : 0;
}

/* GLOBAL waits for a grace period, which every program that runs holds up; measured here: 9 ms, at most 24 */
static int barrier(void *np)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0 ? -errno : 0;
}

struct np_pub_io np_publish_io(struct np *np)
{
	return (struct np_pub_io){
		.arena = np_map_mem(np, NP_M_ARENA),
		.ports = np_map_mem(np, NP_M_PORTS),
		.idents = np_map_mem(np, NP_M_IDENTS),
		.slots = np_map_mem(np, NP_M_SLOTS),
		.journal = np_map_mem(np, NP_M_JOURNAL),
		.rule_keys = np_map_mem(np, NP_M_RULE_KEYS),
		.addr_set = addr_set,
		.addr_del = addr_del,
		.cidr_set = cidr_set,
		.cidr_del = cidr_del,
		.each_addr = each_addr,
		.each_cidr = each_cidr,
		.dns_key = ((const struct np_conf *)np_map_mem(np, NP_M_CONF))->dns_key,
		.dns_set = dns_set,
		.dns_del = dns_del,
		.each_dns = each_dns,
		.each_fqdn = each_fqdn,
		.fqdn_get = fqdn_get,
		.fqdn_set = fqdn_set,
		.ident_of = ident_of,
		.rule_clear = rule_clear,
		.barrier = barrier,
		.arg = np,
	};
}
