// SPDX-License-Identifier: Apache-2.0
/*
 * What is ours and should be in the kernel, beside what is there. Each kind is listed, compared and restored by itself, in the order in
 * which one needs the other: sysctls before a link comes up, the link before its addresses, these before routes. Only what
 * is missing is written, so that a comparison which finds nothing changes nothing, and what others have put beside it stays.
 */
#include "daemon/hostnet_priv.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/conf6.h"
#include "lib/net/link.h"
#include "lib/net/sysctl.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WHAT_LEN 240

struct repair {
	struct hostnet *hn;
	const struct hostnet_truth *t;
	struct vw_err *err;
};

const char *hostnet_kind_name(enum hostnet_kind kind)
{
	static const char *const names[HOSTNET_KINDS] = {
		[HOSTNET_SYSCTL] = "sysctl", [HOSTNET_LINK] = "link", [HOSTNET_ADDRESS] = "address", [HOSTNET_ROUTE] = "route",
		[HOSTNET_RULE] = "rule", [HOSTNET_NFT] = "nft", [HOSTNET_FILTER] = "filter",
	};

	return names[kind];
}

__attribute__((format(printf, 3, 4))) static bool found(const struct repair *rp, enum hostnet_kind kind, const char *fmt, ...)
{
	char what[WHAT_LEN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return rp->t->found(kind, what, rp->t->arg);
}

/* nothing to send: no system call; a link that has just gone takes all of its own along */
static int send_batch(struct repair *rp)
{
	struct hostnet *hn = rp->hn;

	return hn->batch.n || hn->batch.sour_eno ? hostnet_commit(hn, rp->err) : 0;
}

static void put(struct repair *rp, int op)
{
	(void)op;       /* what is wrong with a message is told at commit */
	vw_nl_tolerate(&rp->hn->batch, VW_NL_OK_EXISTS | VW_NL_OK_GONE);
}

/* --- sysctls */

struct knob {
	uint8_t family;
	const char *ifname, *key, *want, *only;         /* @only: changed from this value alone, NULL = from any other */
};

static int turn(struct repair *rp, const struct knob *k)
{
	char now[16];
	int r = vw_sysctl_if_get(k->family, k->ifname, k->key, now, sizeof(now), rp->err);

	if (r == -ENOENT)
		return 0;       /* the interface has gone, or has no IPv6 (an MTU below 1280) */
	if (r < 0 || !strcmp(now, k->want) || (k->only && strcmp(now, k->only)))
		return r;
	if (!found(rp, HOSTNET_SYSCTL, "net.%s.conf.%s.%s is %s", k->family == AF_INET ? "ipv4" : "ipv6", k->ifname, k->key, now))
		return 0;
	r = vw_sysctl_if_set(k->family, k->ifname, k->key, k->want, rp->err);
	return r == -ENOENT ? 0 : r;
}

static int turn_all(struct repair *rp, const struct knob *knobs, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int one = turn(rp, &knobs[i]);

		r = r < 0 ? r : one;
	}
	return r;
}

static int eni_sysctls(struct repair *rp, const struct hostnet_eni *e)
{
	const struct knob four[] = { { AF_INET, e->ifname, "rp_filter", "2" }, { AF_INET, e->ifname, "forwarding", "1" } };
	/* hostnet_sysctls_changed() looks at all but the first */
	const struct knob six[] = {
		{ AF_INET6, e->ifname, "forwarding", "1" },
		{ AF_INET6, e->ifname, "accept_ra", e->number ? "0" : "2", e->number ? NULL : "1" },
		/* of secondary ones only */
		{ AF_INET6, e->ifname, "disable_ipv6", "0" },
		{ AF_INET6, e->ifname, "accept_dad", "0" },
	};
	int r = turn_all(rp, four, VW_ARRAY_SIZE(four));

	return r == 0 && e->ipv6 ? turn_all(rp, six, e->number ? VW_ARRAY_SIZE(six) : 2) : r;
}

static int branch_sysctls(struct repair *rp, const struct hostnet_branch *b)
{
	struct knob knobs[HOSTNET_BRANCH_SETTINGS];

	for (size_t i = 0; i < HOSTNET_BRANCH_SETTINGS; i++) {
		const struct hostnet_setting *s = &hostnet_branch_settings[i];

		knobs[i] = (struct knob){ s->family, b->ifname, s->key, s->value };
	}
	return b->ifindex ? turn_all(rp, knobs, HOSTNET_BRANCH_SETTINGS) : 0;
}

static int early_demux(struct repair *rp)
{
	char now[16];

	for (size_t i = 0; i < HOSTNET_DEMUX_SETTINGS; i++) {
		const char *key = hostnet_demux_settings[i];
		int r = vw_sysctl_get(key, now, sizeof(now), rp->err);

		if (r == -ENOENT || (r == 0 && !strcmp(now, "0")))
			continue;
		if (r == 0 && found(rp, HOSTNET_SYSCTL, "%s is %s", key, now))
			r = vw_sysctl_set(key, "0", rp->err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int sysctls(struct repair *rp)
{
	static const struct knob four[] = { { AF_INET, "all", "forwarding", "1" }, { AF_INET, "default", "forwarding", "1" } };
	static const struct knob six[] = {
		{ AF_INET6, "all", "disable_ipv6", "0" },
		{ AF_INET6, "all", "forwarding", "1" },
		{ AF_INET6, "default", "forwarding", "1" },
	};
	int r = turn_all(rp, four, VW_ARRAY_SIZE(four));

	if (r == 0 && rp->hn->ipv6)
		r = turn_all(rp, six, VW_ARRAY_SIZE(six));
	for (size_t i = 0; r == 0 && i < rp->t->n_enis; i++)
		r = eni_sysctls(rp, &rp->t->enis[i]);
	for (size_t i = 0; r == 0 && i < rp->t->n_branches; i++)
		r = branch_sysctls(rp, &rp->t->branches[i]);
	return r == 0 && rp->hn->local_behind ? early_demux(rp) : r;
}

bool hostnet_sysctls_changed(struct hostnet *hn, const struct hostnet_eni *enis, size_t n)
{
	unsigned int ifindex[HOSTNET_ENI_MAX];
	struct vw_conf6 conf[HOSTNET_ENI_MAX];
	const struct hostnet_eni *of[HOSTNET_ENI_MAX];
	struct vw_err err;
	size_t m = 0;

	for (size_t i = 0; i < n && m < HOSTNET_ENI_MAX; i++) {
		if (!enis[i].ipv6)
			continue;
		of[m] = &enis[i];
		ifindex[m++] = enis[i].ifindex;
	}
	if (m == 0 || vw_conf6_get(&hn->nl, ifindex, m, conf, &err) < 0)
		return false;   /* the next look will tell */
	for (size_t i = 0; i < m; i++) {
		if (!conf[i].known)
			continue;
		if (of[i]->number ? conf[i].accept_ra || conf[i].accept_dad || conf[i].disable_ipv6 : conf[i].accept_ra == 1)
			return true;
	}
	return false;
}

/* --- links and addresses */

static int branch_links(struct repair *rp)
{
	for (size_t i = 0; i < rp->t->n_branches; i++) {
		const struct hostnet_branch *b = &rp->t->branches[i];
		char alias[VW_IFALIAS_MAX];
		struct vw_link_set set = { .ifindex = b->ifindex, .name = b->ifname, .alias = alias };
		struct vw_link l;
		int r = b->ifindex ? vw_link_get(&rp->hn->nl, b->ifindex, &l, rp->err) : -ENODEV;

		if (r == -ENODEV)
			continue;
		if (r < 0)
			return r;
		hostnet_branch_alias(b, alias);
		if (!(l.flags & IFF_UP) && found(rp, HOSTNET_LINK, "interface %s of %s is down", b->ifname, b->id))
			set.what |= VW_LINK_UP;
		if (strcmp(l.alias, alias) && found(rp, HOSTNET_LINK, "interface %s of %s has lost its alias", b->ifname, b->id))
			set.what |= VW_LINK_ALIAS;
		if (set.what)
			put(rp, vw_link_set(&rp->hn->batch, &set));
	}
	return send_batch(rp);
}

static int links(struct repair *rp)
{
	for (size_t i = 0; i < rp->t->n_enis; i++) {
		const struct hostnet_eni *e = &rp->t->enis[i];
		struct vw_link_set set = { .ifindex = e->ifindex, .name = e->ifname, .mtu = e->mtu };
		struct vw_link l;
		int r = vw_link_get(&rp->hn->nl, e->ifindex, &l, rp->err);

		if (r == -ENODEV)
			continue;
		if (r < 0)
			return r;
		if (!(l.flags & IFF_UP) && found(rp, HOSTNET_LINK, "interface %s of %s is down", e->ifname, e->id))
			set.what |= VW_LINK_UP;
		if (e->mtu && l.mtu != e->mtu &&
		    found(rp, HOSTNET_LINK, "interface %s of %s has an MTU of %u", e->ifname, e->id, l.mtu))
			set.what |= VW_LINK_MTU;
		if (set.what)
			put(rp, vw_link_set(&rp->hn->batch, &set));
	}
	return branch_links(rp);
}

static int address(struct repair *rp, const struct vw_addr *want, const char *of, bool label, const struct hostnet_eni *e)
{
	const unsigned int flag = want->flags & VW_ADDR_NOPREFIXROUTE;
	vw_auto_free struct vw_addr *have = NULL;
	char text[VW_CIDR_STRLEN];
	int n = vw_addr_list(&rp->hn->nl, want->ifindex, want->addr.ip.family, &have, rp->err);
	bool same = false, other = false;

	if (n < 0)
		return n == -ENODEV ? 0 : n;
	for (int i = 0; i < n; i++) {
		bool it = vw_cidr_eq(&have[i].addr, &want->addr);

		same |= it && (have[i].flags & flag) == flag;
		other |= it && (have[i].flags & flag) != flag;
	}
	if (same || !found(rp, HOSTNET_ADDRESS, "address %s of %s is missing", vw_cidr_str(&want->addr, text), of))
		return 0;
	if (other)      /* somebody's, which has put the subnet into main */
		put(rp, vw_addr_del(&rp->hn->batch, want));
	if (label)
		hostnet6_put_addr(rp->hn, e);
	else
		put(rp, vw_addr_add(&rp->hn->batch, want));
	return 0;
}

static int addresses(struct repair *rp)
{
	const struct vw_addr gw = hostnet_gateway();
	int r = address(rp, &gw, "lo", false, NULL);

	for (size_t i = 0; r == 0 && i < rp->t->n_enis; i++) {
		const struct hostnet_eni *e = &rp->t->enis[i];
		const struct vw_addr four = hostnet4_eni_addr(e), six = hostnet6_eni_addr(e);

		if (e->number == 0)
			continue;
		r = address(rp, &four, e->ifname, false, e);
		if (r == 0 && e->ipv6 && e->addr6.family)
			r = address(rp, &six, e->ifname, true, e);
	}
	return r < 0 ? r : send_batch(rp);
}

/* --- routes */

bool hostnet_holds_route(const struct vw_route *have, int n, const struct vw_route *want)
{
	for (int i = 0; i < n; i++) {
		const struct vw_route *h = &have[i];

		if (vw_cidr_eq(&h->dst, &want->dst) && h->table == want->table && h->ifindex == want->ifindex && h->type == want->type &&
		    h->protocol == want->protocol && vw_ip_eq(&h->via, &want->via) && h->priority == want->priority &&
		    (want->dst.ip.family == AF_INET6 || h->scope == want->scope))
			return true;
	}
	return false;
}

static int eni_table(struct repair *rp, const struct hostnet_eni *e, uint8_t family)
{
	vw_auto_free struct vw_route *have = NULL;
	char text[VW_ROUTE_STRLEN];
	struct vw_route want[2];
	int n = vw_route_list(&rp->hn->nl, family, e->table, 0, 0, &have, rp->err);

	if (n < 0)
		return n;
	(family == AF_INET ? hostnet4_eni_routes : hostnet6_eni_routes)(e, want);
	for (int w = 0; w < 2; w++)
		if (!hostnet_holds_route(have, n, &want[w]) &&
		    found(rp, HOSTNET_ROUTE, "%sroute %s of %s is missing", family == AF_INET ? "" : "IPv6 ",
			  vw_route_str(&want[w], text), e->id))
			put(rp, vw_route_replace(&rp->hn->batch, &want[w]));
	return 0;
}

static int by_dst(const void *a, const void *b)
{
	const struct vw_route *x = a, *y = b;
	int r = vw_ip_cmp(&x->dst.ip, &y->dst.ip);

	return r ? r : (x->dst.len > y->dst.len) - (x->dst.len < y->dst.len);
}

/* @have is sorted. A destination may have two: a pod's, and the one behind it that makes it unreachable */
static bool pods_table_has(const struct vw_route *have, int n, const struct vw_route *want)
{
	const struct vw_route *at = bsearch(want, have, (size_t)n, sizeof(*have), by_dst);

	if (!at)
		return false;
	while (at > have && by_dst(at - 1, want) == 0)
		at--;
	for (; at < have + n && by_dst(at, want) == 0; at++)
		/* IPv6 shows lo as the device of one that leads nowhere */
		if (at->protocol == VW_RTPROT && at->type == want->type && (at->type != RTN_UNICAST || at->ifindex == want->ifindex))
			return true;
	return false;
}

static struct vw_route pod_route(const struct hostnet_pod *p, unsigned int i)
{
	return (struct vw_route){
		.dst = p->addr[i],
		.table = p->table ? p->table : HOSTNET_TABLE_PODS,
		.protocol = VW_RTPROT,
		.scope = p->addr[i].ip.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.type = RTN_UNICAST,
		.ifindex = p->ifindex,
		.dev = p->ifname,
	};
}

int hostnet_pod_route(struct hostnet *hn, const struct hostnet_pod *pod, struct vw_err *err)
{
	for (unsigned int i = 0; i < pod->n_addr; i++) {
		const struct vw_route route = pod_route(pod, i);

		(void)vw_route_replace(&hn->batch, &route);
		vw_nl_tolerate(&hn->batch, VW_NL_OK_GONE);      /* its link went with the pod, and the DEL comes */
	}
	return hostnet_commit(hn, err);
}

static void pod_routes(struct repair *rp, const struct hostnet_pod *p, uint8_t family, const struct vw_route *have, int n)
{
	char text[VW_ROUTE_STRLEN];
	struct vw_err gone;
	struct vw_link l;

	for (unsigned int i = 0; i < p->n_addr; i++) {
		const struct vw_route want = pod_route(p, i);

		if (want.dst.ip.family != family || pods_table_has(have, n, &want))
			continue;
		/* one whose link is gone, or down, can have none */
		if (vw_link_get(&rp->hn->nl, p->ifindex, &l, &gone) < 0 || !(l.flags & IFF_UP))
			continue;
		if (found(rp, HOSTNET_ROUTE, "route %s is missing", vw_route_str(&want, text)))
			put(rp, vw_route_replace(&rp->hn->batch, &want));
	}
}

static int pods_table(struct repair *rp, uint8_t family)
{
	struct hostnet *hn = rp->hn;
	vw_auto_free struct vw_route *have = NULL;
	char text[VW_CIDR_STRLEN];
	int n = vw_route_list(&hn->nl, family, HOSTNET_TABLE_PODS, 0, VW_RTPROT, &have, rp->err);

	if (n < 0)
		return n;
	if (n)
		qsort(have, (size_t)n, sizeof(*have), by_dst);
	for (size_t i = 0; hn->frees_known && i < hn->n_frees; i++) {
		const struct vw_route want = hostnet_free_route(&hn->frees[i].cidr);

		if (want.dst.ip.family == family && !pods_table_has(have, n, &want) &&
		    found(rp, HOSTNET_ROUTE, "route unreachable %s is missing", vw_cidr_str(&want.dst, text)))
			put(rp, vw_route_replace(&hn->batch, &want));
	}
	for (size_t i = 0; i < rp->t->n_pods; i++)
		if (pod_route(&rp->t->pods[i], 0).table == HOSTNET_TABLE_PODS)
			pod_routes(rp, &rp->t->pods[i], family, have, n);
	return 0;
}

static int branch_table(struct repair *rp, const struct hostnet_branch *b, uint8_t family)
{
	const struct hostnet_eni e = hostnet_branch_eni(b);
	vw_auto_free struct vw_route *have = NULL;
	int n, r = eni_table(rp, &e, family);

	if (r < 0 || b->pod.table != e.table)
		return r;
	n = vw_route_list(&rp->hn->nl, family, e.table, 0, VW_RTPROT, &have, rp->err);
	if (n > 0)
		qsort(have, (size_t)n, sizeof(*have), by_dst);
	if (n >= 0)
		pod_routes(rp, &b->pod, family, have, n);
	return n < 0 ? n : 0;
}

static int routes(struct repair *rp)
{
	int r = pods_table(rp, AF_INET);

	if (r == 0 && hostnet_have_ipv6())
		r = pods_table(rp, AF_INET6);
	for (size_t i = 0; r == 0 && i < rp->t->n_branches; i++) {
		const struct hostnet_branch *b = &rp->t->branches[i];

		if (b->ifindex && b->gw4.family)
			r = branch_table(rp, b, AF_INET);
		if (r == 0 && b->ifindex && b->ipv6)
			r = branch_table(rp, b, AF_INET6);
	}
	for (size_t i = 0; r == 0 && i < rp->t->n_enis; i++) {
		const struct hostnet_eni *e = &rp->t->enis[i];

		if (e->number)
			r = eni_table(rp, e, AF_INET);
		if (r == 0 && e->number && e->ipv6)
			r = eni_table(rp, e, AF_INET6);
	}
	return r < 0 ? r : send_batch(rp);
}

/* --- rules */

/* whoever put it back: the kernel takes no second one of the same sense */
static bool has_rule(const struct vw_rule *have, int n, const struct vw_rule *want)
{
	for (int i = 0; i < n; i++) {
		struct vw_rule h = have[i];

		h.protocol = want->protocol;
		if (vw_rule_eq(&h, want))
			return true;
	}
	return false;
}

static void rule(struct repair *rp, const struct vw_rule *have, int n, const struct vw_rule *want)
{
	char text[VW_RULE_STRLEN];

	if (!has_rule(have, n, want) &&
	    found(rp, HOSTNET_RULE, "%srule %s is missing", want->family == AF_INET ? "" : "IPv6 ", vw_rule_str(want, text)))
		put(rp, vw_rule_add(&rp->hn->batch, want));
}

static int rules_of(struct repair *rp, uint8_t family)
{
	vw_auto_free struct vw_rule *have = NULL;
	struct vw_rule base[HOSTNET_BASE_RULES];
	int n = vw_rule_list(&rp->hn->nl, family, &have, rp->err);
	size_t n_base = hostnet_base_rules(rp->hn, base);
	struct vw_rule local[HOSTNET_LOCAL_RULES];
	size_t n_local = rp->hn->local_behind ? hostnet_local_rules(family, local) : 0;

	if (n < 0)
		return n;
	for (size_t i = 0; i < n_local; i++)
		rule(rp, have, n, &local[i]);   /* first: without them the node has no addresses */
	for (size_t i = 0; i < n_base; i++)
		if (base[i].family == family)
			rule(rp, have, n, &base[i]);
	for (size_t i = 0; i < rp->t->n_branches; i++) {
		struct vw_rule want[2];
		size_t n_want = hostnet_branch_rules(&rp->t->branches[i], family, want);

		for (size_t w = 0; w < n_want; w++)
			rule(rp, have, n, &want[w]);
	}
	for (size_t i = 0; i < rp->t->n_enis; i++) {
		const struct vw_rule want = hostnet_eni_rule(&rp->t->enis[i], family);

		if (rp->t->enis[i].number && (family == AF_INET || rp->t->enis[i].ipv6))
			rule(rp, have, n, &want);
	}
	return 0;
}

static int rules(struct repair *rp)
{
	int r = rules_of(rp, AF_INET);

	if (r == 0 && hostnet_have_ipv6())
		r = rules_of(rp, AF_INET6);
	return r < 0 ? r : send_batch(rp);
}

/* --- nftables */

static int table(struct repair *rp, int (*verify)(struct hostnet *hn, struct vw_err *err), int (*write)(struct hostnet *hn, struct vw_err *err))
{
	int r = verify(rp->hn, rp->err);

	if (r != -ESTALE)
		return r;
	return found(rp, HOSTNET_NFT, "%s", rp->err->msg) ? write(rp->hn, rp->err) : 0;
}

static int nft(struct repair *rp)
{
	int r = 0;

	if (rp->hn->nat.known)
		r = table(rp, hostnet_nat_verify, hostnet_nat_write);
	if (r == 0 && rp->hn->judge.known)
		r = table(rp, hostnet_judge_verify, hostnet_judge_write);
	return r;
}

/* --- all of it */

int hostnet_repair(struct hostnet *hn, unsigned int kinds, const struct hostnet_truth *t, struct vw_err *err)
{
	static int (*const work[])(struct repair *rp) = {
		[HOSTNET_SYSCTL] = sysctls, [HOSTNET_LINK] = links, [HOSTNET_ADDRESS] = addresses,
		[HOSTNET_ROUTE] = routes,   [HOSTNET_RULE] = rules, [HOSTNET_NFT] = nft,
	};
	struct vw_err one = { 0 };
	struct repair rp = { .hn = hn, .t = t, .err = &one };
	int r = 0;

	for (size_t kind = 0; kind < VW_ARRAY_SIZE(work); kind++) {
		int done = kinds & HOSTNET_BIT(kind) ? work[kind](&rp) : 0;

		vw_nl_batch_reset(&hn->batch);
		if (done < 0 && r == 0) {
			r = done;
			*err = one;
		}
	}
	return r;
}

/* --- one pod's link */

static int pod_link(struct repair *rp, const struct hostnet_pod *p, const char *owner, const struct vw_link *l)
{
	struct vw_link_set set = { .ifindex = p->ifindex, .name = p->ifname, .mtu = p->mtu, .mac = p->mac, .group = VW_GROUP_PODS };
	char mac[VW_MAC_STRLEN];

	if (!(l->flags & IFF_UP) && found(rp, HOSTNET_LINK, "interface %s of pod %s is down", p->ifname, owner))
		set.what |= VW_LINK_UP;
	if (p->mtu && l->mtu != p->mtu && found(rp, HOSTNET_LINK, "interface %s of pod %s has an MTU of %u", p->ifname, owner, l->mtu))
		set.what |= VW_LINK_MTU;
	/* the pod's neighbour entry for its gateway is permanent */
	if (!vw_mac_is_zero(&p->mac) && !vw_mac_eq(&l->mac, &p->mac) &&
	    found(rp, HOSTNET_LINK, "interface %s of pod %s has MAC %s", p->ifname, owner, vw_mac_str(&l->mac, mac)))
		set.what |= VW_LINK_MAC;
	if (l->group != VW_GROUP_PODS && found(rp, HOSTNET_LINK, "interface %s of pod %s is in group %#x", p->ifname, owner, l->group))
		set.what |= VW_LINK_GROUP;
	if (set.what)
		put(rp, vw_link_set(&rp->hn->batch, &set));
	return send_batch(rp);
}

int hostnet_pod_repair(struct hostnet *hn, struct hostnet_pod *pod, const char *owner, const struct hostnet_truth *t,
		       struct vw_err *err)
{
	const struct knob knobs[] = {
		{ AF_INET, pod->ifname, "forwarding", "1" },
		/* of those with IPv6 only */
		{ AF_INET6, pod->ifname, "disable_ipv6", "0" },
		{ AF_INET6, pod->ifname, "forwarding", "1" },
	};
	struct repair rp = { .hn = hn, .t = t, .err = err };
	struct vw_addr gw6 = { .ifindex = pod->ifindex, .flags = VW_ADDR_NODAD, .dev = pod->ifname };
	bool six = false;
	struct vw_link l;
	int r = vw_link_get(&hn->nl, pod->ifindex, &l, err);

	if (r == -ENODEV || (r == 0 && (strncmp(l.alias, HOSTNET_ALIAS_PREFIX, strlen(HOSTNET_ALIAS_PREFIX)) ||
					strcmp(l.alias + strlen(HOSTNET_ALIAS_PREFIX), owner))))
		return 0;
	if (r == 0 && !pod->mtu)
		pod->mtu = l.mtu;
	for (unsigned int i = 0; i < pod->n_addr; i++)
		six |= pod->addr[i].ip.family == AF_INET6;
	if (r == 0)
		r = turn_all(&rp, knobs, six ? VW_ARRAY_SIZE(knobs) : 1);
	if (r == 0)
		r = pod_link(&rp, pod, owner, &l);
	(void)vw_cidr_parse(HOSTNET_GATEWAY6 "/64", &gw6.addr);
	if (r == 0 && six)
		r = address(&rp, &gw6, pod->ifname, false, NULL);
	if (r == 0)
		r = send_batch(&rp);
	vw_nl_batch_reset(&hn->batch);
	return r < 0 ? r : 1;
}

/* --- comparing alone */

static bool note_first(enum hostnet_kind kind, const char *what, void *arg)
{
	struct vw_err *err = arg;

	if (!err->eno)
		(void)vw_err_set(err, ESTALE, 0, "%s", what);
	return false;
}

int hostnet_verify(struct hostnet *hn, const struct hostnet_eni *enis, size_t n_enis, struct vw_err *err)
{
	struct vw_err first = { 0 };
	const struct hostnet_truth t = { .enis = enis, .n_enis = n_enis, .found = note_first, .arg = &first };
	struct vw_link l;
	int r;

	for (size_t i = 0; i < n_enis; i++)
		if (vw_link_get(&hn->nl, enis[i].ifindex, &l, err) == -ENODEV)
			return vw_err_set(err, ESTALE, 0, "interface %s of %s is gone", enis[i].ifname, enis[i].id);
	r = hostnet_repair(hn, HOSTNET_ALL, &t, err);
	if (r < 0 || !first.eno)
		return r;
	*err = first;
	return -ESTALE;
}
