#include "tests/policy/net.h"

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/ct.h"
#include "lib/net/link.h"
#include "lib/net/neigh.h"
#include "lib/net/netns.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/sysctl.h"
#include "lib/net/view/nft.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES 16
#define SLOTS 128
#define ADDRS 1024
#define READY_MS 10000

/** struct place - @parent: towards the fabric, NULL = the fabric itself. @down: the link there that leads here. */
struct place {
	struct net_place p;
	struct vw_nl nl;
	struct place *parent;
	unsigned int down;
};

struct net {
	int home;
	struct place place[NET_PLACES];
	unsigned int n_place, n_wire, n_ready;
	struct place *fabric, *outside, *node[NODES], *snat[NODES], *pod[NODES][SLOTS];
	char *nft[NODES];
	struct owned {
		struct vw_ip ip;
		struct place *at;
		bool ready;
	} addr[ADDRS];
	size_t n_addr;
};

static struct vw_ip ip_of(const char *text)
{
	struct vw_ip ip = { 0 };

	(void)vw_ip_parse(text, &ip);
	return ip;
}

static int fresh_ns(void *arg, struct vw_err *err)
{
	static const char *const sysctls[][2] = {
		{ "net/ipv4/ip_forward", "1" }, { "net/ipv6/conf/all/forwarding", "1" }, { "net/ipv6/conf/all/disable_ipv6", "0" },
		{ "net/ipv6/conf/default/accept_dad", "0" }, { "net/ipv4/conf/all/rp_filter", "0" }, { "net/ipv4/conf/default/rp_filter", "0" },
		{ "net/ipv4/ping_group_range", "0 2147483647" }, { "net/ipv4/ip_local_port_range", "61000 65000" },
	};
	int r;

	(void)arg;
	if (unshare(CLONE_NEWNET) < 0)
		return vw_err_set(err, errno, 0, "making a network namespace");
	for (size_t i = 0; i < VW_ARRAY_SIZE(sysctls); i++) {
		r = vw_sysctl_set(sysctls[i][0], sysctls[i][1], err);
		if (r < 0)
			return r;
	}
	return vw_netns_open_self(err);
}

static int add_place(struct net *n, struct place *parent, struct place **ret, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct place *p = &n->place[n->n_place];
	int r;

	if (n->n_place == NET_PLACES)
		return vw_err_set(err, E2BIG, 0, "more than %d places", NET_PLACES);
	*p = (struct place){ .p = { .id = n->n_place }, .nl = VW_NL_INIT, .parent = parent };
	p->p.ns = r = vw_netns_run(n->home, fresh_ns, NULL, err);
	if (r < 0)
		return r;
	n->n_place++;
	r = vw_nl_open_at(&p->nl, p->p.ns, err);
	if (r < 0)
		return r;
	(void)vw_link_set_up(&b, 1, "lo");
	*ret = p;
	return vw_nl_commit(&p->nl, &b, err);
}

static void add_neighbour(struct vw_nl_batch *b, unsigned int ifindex, const struct vw_mac *mac)
{
	const struct vw_ip ip[] = { ip_of("169.254.0.2"), ip_of("fe80::2") };

	(void)vw_link_set_up(b, ifindex, NULL);
	for (int i = 0; i < 2; i++)
		(void)vw_neigh_replace(b, &(struct vw_neigh){ .ifindex = ifindex, .ip = ip[i], .mac = *mac });
}

static void add_route(struct vw_nl_batch *b, const struct vw_cidr *dst, unsigned int ifindex)
{
	(void)vw_route_replace(b, &(struct vw_route){ .dst = *dst, .onlink = dst->ip.family == AF_INET, .ifindex = ifindex,
						      .via = ip_of(dst->ip.family == AF_INET ? "169.254.0.2" : "fe80::2") });
}

/* a link from @p to its parent, which both find each other by; the default route of @p leads there */
static int wire(struct net *n, struct place *p, unsigned int ifindex, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch up = VW_NL_BATCH_INIT, down = VW_NL_BATCH_INIT;
	const struct vw_mac mac[] = { { { 2, 0, 0, 0, (uint8_t)(n->n_wire >> 8), (uint8_t)n->n_wire } },
				      { { 2, 1, 0, 0, (uint8_t)(n->n_wire >> 8), (uint8_t)n->n_wire } } };
	const struct vw_cidr all[] = { { .ip = { .family = AF_INET } }, { .ip = { .family = AF_INET6 } } };
	struct vw_link link;
	char name[16];
	int r;

	(void)snprintf(name, sizeof(name), "to%u", n->n_wire++);
	(void)vw_link_add_veth(&down, &(struct vw_link_end){ .name = name, .ifindex = ifindex, .mac = mac[0] },
			       &(struct vw_link_end){ .name = "up", .mac = mac[1], .netns_fd = p->p.ns });
	r = vw_nl_commit(&p->parent->nl, &down, err);
	if (r == 0)
		r = vw_link_get_name(&p->nl, "up", &link, err);
	if (r < 0)
		return r;
	p->p.up = link.ifindex;
	r = vw_link_get_name(&p->parent->nl, name, &link, err);
	if (r < 0)
		return r;
	p->down = link.ifindex;
	vw_nl_batch_reset(&down);
	add_neighbour(&down, p->down, &mac[1]);
	r = vw_nl_commit(&p->parent->nl, &down, err);
	/* without an address, and when the last one goes, a link has no IPv4 routes */
	(void)vw_addr_add(&up, &(struct vw_addr){ .ifindex = p->p.up, .addr = { ip_of("169.254.0.1"), 32 }, .scope = RT_SCOPE_LINK });
	add_neighbour(&up, p->p.up, &mac[0]);
	for (int i = 0; i < 2; i++)
		add_route(&up, &all[i], p->p.up);
	return r < 0 ? r : vw_nl_commit(&p->nl, &up, err);
}

static int add_wired(struct net *n, struct place *parent, unsigned int ifindex, struct place **ret, struct vw_err *err)
{
	int r = *ret ? 0 : add_place(n, parent, ret, err);

	return r < 0 ? r : wire(n, *ret, ifindex, err);
}

/* --- who there is */

int net_new(struct net **ret, struct vw_err *err)
{
	struct net *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	n->home = r = vw_netns_open_self(err);
	if (r >= 0)
		r = add_place(n, NULL, &n->fabric, err);
	if (r < 0) {
		net_free(n);
		return r;
	}
	*ret = n;
	return 0;
}

void net_free(struct net *n)
{
	if (!n)
		return;
	for (unsigned int i = 0; i < n->n_place; i++) {
		vw_nl_close(&n->place[i].nl);
		close(n->place[i].p.ns);
	}
	for (int i = 0; i < NODES; i++)
		free(n->nft[i]);
	if (n->home >= 0)
		close(n->home);
	free(n);
}

int net_outside(struct net *n, struct net_place **ret, struct vw_err *err)
{
	int r = n->outside ? 0 : add_wired(n, n->fabric, 0, &n->outside, err);

	*ret = &n->outside->p;
	return r;
}

int net_node(struct net *n, unsigned int node, struct net_place **ret, struct vw_err *err)
{
	int r = node >= NODES ? vw_err_set(err, E2BIG, 0, "more than %d nodes", NODES)
			      : n->node[node] ? 0 : add_wired(n, n->fabric, 0, &n->node[node], err);

	if (r == 0)
		*ret = &n->node[node]->p;
	return r;
}

struct vw_ip net_snat_ip(unsigned int node, int family)
{
	const struct vw_ip first = ip_of(family ? "fdfe::1" : "198.18.0.1");

	return vw_ip_add(&first, node);
}

int net_snat(struct net *n, unsigned int node, struct net_place **ret, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch up = VW_NL_BATCH_INIT, down = VW_NL_BATCH_INIT;
	struct net_place *parent;
	int r = net_node(n, node, &parent, err);

	if (r < 0)
		return r;
	if (!n->snat[node]) {
		r = add_wired(n, n->node[node], 0, &n->snat[node], err);
		for (int f = 0; f < 2 && r == 0; f++) {
			const struct vw_ip ip = net_snat_ip(node, f);
			const struct vw_cidr host = vw_cidr_host(&ip);

			(void)vw_addr_add(&up, &(struct vw_addr){ .ifindex = n->snat[node]->p.up, .addr = host, .flags = VW_ADDR_NODAD });
			add_route(&down, &host, n->snat[node]->down);
		}
		r = r < 0 ? r : vw_nl_commit(&n->snat[node]->nl, &up, err);
		r = r < 0 ? r : vw_nl_commit(&n->node[node]->nl, &down, err);
	}
	*ret = &n->snat[node]->p;
	return r;
}

int net_pod(struct net *n, unsigned int node, unsigned int slot, unsigned int ifindex, struct net_place **ret, bool *ret_new,
	    struct vw_err *err)
{
	struct net_place *parent;
	int r = slot >= SLOTS ? vw_err_set(err, E2BIG, 0, "more than %d pods", SLOTS) : net_node(n, node, &parent, err);

	if (r < 0)
		return r;
	*ret_new = !n->pod[node][slot];
	if (*ret_new)
		r = add_wired(n, n->node[node], ifindex, &n->pod[node][slot], err);
	*ret = &n->pod[node][slot]->p;
	return r;
}

/* --- who has which address */

/* the routes that lead to @at, from the fabric down, and the address there */
static int set_address(struct place *at, const struct vw_ip *ip, bool there, struct vw_err *err)
{
	const struct vw_cidr host = vw_cidr_host(ip);
	int r = 0;

	for (struct place *p = at; r == 0 && p; p = p->parent) {
		vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
		const struct vw_addr addr = { .ifindex = p->p.up, .addr = host, .flags = VW_ADDR_NODAD };

		if (p == at)
			(void)(there ? vw_addr_replace(&b, &addr) : vw_addr_del(&b, &addr));
		r = vw_nl_commit(&p->nl, &b, err);
		vw_nl_batch_reset(&b);
		if (r < 0 || !p->parent)
			break;
		if (there)
			add_route(&b, &host, p->down);
		else
			(void)vw_route_del(&b, &(struct vw_route){ .dst = host, .ifindex = p->down });
		r = vw_nl_commit(&p->parent->nl, &b, err);
	}
	return r;
}

int net_put(struct net *n, struct net_place *where, const struct vw_ip *ip, struct vw_err *err)
{
	struct place *at = &n->place[where->id];
	size_t i = 0;
	int r = 0;

	while (i < n->n_addr && !vw_ip_eq(&n->addr[i].ip, ip))
		i++;
	if (i == ADDRS)
		return vw_err_set(err, E2BIG, 0, "more than %d addresses", ADDRS);
	if (i < n->n_addr && n->addr[i].at == at)
		return 0;
	if (i < n->n_addr)
		r = set_address(n->addr[i].at, ip, false, err);
	if (r < 0)
		return r;
	n->addr[i] = (struct owned){ *ip, at, false };
	if (i == n->n_addr)
		n->n_addr++;
	return set_address(at, ip, true, err);
}

/* a link goes up, and a new IPv6 address becomes the host's own, when some worker of the kernel gets round to it */
static bool is_up(struct vw_nl *nl, unsigned int ifindex)
{
	struct vw_link link;
	struct vw_err err;

	return vw_link_get(nl, ifindex, &link, &err) == 0 && link.operstate == IF_OPER_UP;
}

static bool is_local(struct owned *a)
{
	struct vw_route route;
	struct vw_err err;

	a->ready = a->ready || (vw_route_lookup(&a->at->nl, &(struct vw_route_query){ .dst = a->ip }, &route, &err) == 0 &&
				route.type == RTN_LOCAL);
	return a->ready;
}

static bool is_ready(struct net *n)
{
	while (n->n_ready < n->n_place) {
		struct place *p = &n->place[n->n_ready];

		if (p->parent && (!is_up(&p->nl, p->p.up) || !is_up(&p->parent->nl, p->down)))
			return false;
		n->n_ready++;
	}
	for (size_t i = 0; i < n->n_addr; i++)
		if (!is_local(&n->addr[i]))
			return false;
	return true;
}

int net_wait(struct net *n, struct vw_err *err)
{
	uint64_t deadline = vw_mono_ms() + READY_MS;

	while (!is_ready(n)) {
		if (vw_mono_ms() > deadline)
			return vw_err_set(err, ETIMEDOUT, 0, "a link or an address is not ready after %d ms (%u of %u places)", READY_MS, n->n_ready, n->n_place);
		(void)poll(NULL, 0, 1);
	}
	return 0;
}

struct nft {
	const char *text;
};

static int run_nft(void *arg, struct vw_err *err)
{
	const struct nft *job = arg;

	return vw_nft_run(job->text, err);
}

static bool any_address(const struct vw_ip *ip, const void *arg)
{
	(void)ip;
	(void)arg;
	return true;
}

static int purge(void *arg, struct vw_err *err)
{
	(void)arg;
	return vw_ct_purge_if(any_address, NULL, err);
}

int net_forget(struct net *n, unsigned int node, struct vw_err *err)
{
	struct net_place *p = NULL;
	int r = net_node(n, node, &p, err);

	if (r == 0)
		r = vw_netns_run(p->ns, purge, NULL, err);
	return r < 0 ? r : 0;
}

int net_nft(struct net *n, unsigned int node, const char *text, struct vw_err *err)
{
	struct nft job = { .text = text };
	struct net_place *p;
	int r = net_node(n, node, &p, err);

	if (r < 0 || (n->nft[node] && !strcmp(n->nft[node], text)))
		return r;
	free(n->nft[node]);
	n->nft[node] = NULL;
	r = vw_netns_run(p->ns, run_nft, &job, err);
	if (r == 0)
		n->nft[node] = strdup(text);
	return r;
}
