/*
 * One pod, explained. What should be in the kernel is compared by the functions that repair it (hostnet_repair(), programs_repair_pod()),
 * told to write nothing: so an explanation cannot believe anything else than the daemon does. Beside that the kernel is asked
 * which way it takes, to the pod and from it, whatever the tables look like.
 */
#include "daemon/explain.h"

#include "daemon/daemon.h"
#include "daemon/egress.h"
#include "daemon/hostnet.h"
#include "daemon/policy.h"
#include "daemon/programs.h"
#include "daemon/sgp.h"
#include "daemon/store.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/link.h"
#include "lib/net/route.h"
#include "lib/rpc/check.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <string.h>

#define NEW_POD "delete the pod: its controller makes a new one"

/** struct look - one attachment under the lens. @eni: NULL when it is on a branch ENI, or its ENI is gone. */
struct look {
	struct daemon *d;
	struct attachment *a;
	const struct eni *e;
	struct vw_json *checks;
	unsigned int differences[HOSTNET_KINDS];
	int failed;
};

#define check(l, ...) ((l)->failed |= vw_check((l)->checks, __VA_ARGS__))

/* --- the books */

static void check_ipv4(struct look *l)
{
	char ip[VW_IP_STRLEN], slot[VW_CIDR_STRLEN];
	struct ipam_addr at;

	vw_ip_str(&l->a->addr, ip);
	if (!ipam_pool_by_key(l->d->pool, l->a->key_text, &at) || !vw_ip_eq(&at.ip, &l->a->addr))
		check(l, "address", false, NEW_POD, "%s is not the pod's in the pool's books", ip);
	else if (at.orphaned)
		check(l, "address", false, NEW_POD, "%s is on no ENI of this node any more: EC2 has taken it away", ip);
	else
		check(l, "address", true, NULL, "%s of %s on %s", ip, vw_cidr_str(&at.slot, slot), at.eni ? at.eni->id : "no ENI");
}

static void check_ipv6(struct look *l)
{
	const struct vw_cidr *block = l->e ? ipam_v6_block(l->d->v6, l->e->row.id) : NULL;
	char ip[VW_IP_STRLEN], text[VW_CIDR_STRLEN];
	bool in = block && vw_cidr_has(block, &l->a->addr6);

	check(l, "address", in, NEW_POD, "%s %s %s", vw_ip_str(&l->a->addr6, ip), in ? "of" : "is not in the ENI's",
	      block ? vw_cidr_str(block, text) : "/80, which is gone");
}

static void check_addresses(struct look *l)
{
	if (l->a->branch.vlan)
		return;
	if (l->a->addr.family && !egress_is(&l->a->addr))
		check_ipv4(l);
	if (l->a->addr6.family && !egress_is(&l->a->addr6))
		check_ipv6(l);
}

/* --- links */

static void check_eni(struct look *l)
{
	const struct eni *e = l->e;
	struct vw_link link;
	struct vw_err err;

	if (l->a->branch.vlan) {
		check(l, "eni", true, NULL, "branch ENI %s, VLAN %u of the trunk", l->a->branch.eni_id, l->a->branch.vlan);
		return;
	}
	if (!e) {
		check(l, "eni", false, NEW_POD, "%s is not an ENI of this node any more", *l->a->eni_id ? l->a->eni_id : "its ENI");
		return;
	}
	if (vw_link_get(&l->d->nl, e->ifindex, &link, &err) < 0)
		check(l, "eni", false, "attach the ENI again, or " NEW_POD, "%s has no link: %s", e->row.id, err.msg);
	else if (!vw_mac_eq(&link.mac, &e->row.mac))
		check(l, "eni", false, "restart vpcwired: it looks for the ENI by its MAC", "the link of %s, %s, has another MAC address", e->row.id,
		      link.name);
	else
		check(l, "eni", e->at_ec2 || !l->d->discovered, "attach the ENI again, or " NEW_POD, "%s is %s, number %u, MTU %u%s", e->row.id,
		      link.name, e->row.number, link.mtu, e->at_ec2 || !l->d->discovered ? "" : "; EC2 does not show it attached");
}

static const char *part_of(enum hostnet_kind kind)
{
	static const char *const parts[HOSTNET_KINDS] = {
		[HOSTNET_SYSCTL] = "sysctls", [HOSTNET_LINK] = "links", [HOSTNET_ADDRESS] = "node addresses", [HOSTNET_ROUTE] = "routes",
		[HOSTNET_RULE] = "rules", [HOSTNET_NFT] = "nftables", [HOSTNET_FILTER] = "filters",
	};

	return parts[kind];
}

static const char *put_back(const struct daemon *d)
{
	return d->cfg->drift_repair ? "vpcwired puts it back within a second; when it does not stay, vpcwirectl status says who removes it"
				    : "restart vpcwired, which puts it back, or set drift_repair";
}

/* for hostnet_repair(): hear of differences, repair nothing */
static bool differs(enum hostnet_kind kind, const char *what, void *arg)
{
	struct look *l = arg;

	l->differences[kind]++;
	check(l, part_of(kind), false, put_back(l->d), "%s", what);
	return false;
}

static void check_veth(struct look *l, const struct hostnet_truth *t)
{
	const struct attachment *a = l->a;
	struct hostnet_pod pod;
	char owner[ATTACH_OWNER_MAX];
	struct vw_link link;
	struct vw_err err;
	int r;
	unsigned int before = l->differences[HOSTNET_LINK] + l->differences[HOSTNET_SYSCTL] + l->differences[HOSTNET_ADDRESS];

	attach_host_side(a, &pod);
	attach_owner(a, owner);
	if (vw_link_get(&l->d->nl, pod.ifindex, &link, &err) < 0) {
		check(l, "veth", false, NEW_POD, "%s (index %u) is gone", a->host_ifname, pod.ifindex);
		return;
	}
	r = hostnet_pod_repair(l->d->hostnet, &pod, owner, t, &err);
	if (r < 0)
		check(l, "veth", false, put_back(l->d), "%s", err.msg);
	else if (r == 0 || strcmp(link.name, a->host_ifname) != 0)
		check(l, "veth", false, NEW_POD, "index %u is '%s' of '%s', not %s of %s", pod.ifindex, link.name, link.alias, a->host_ifname, owner);
	else if (before == l->differences[HOSTNET_LINK] + l->differences[HOSTNET_SYSCTL] + l->differences[HOSTNET_ADDRESS])
		check(l, "veth", true, NULL, "%s, index %u, MTU %u, up", link.name, link.ifindex, link.mtu);
}

/* --- which way the kernel takes */

static void check_way(struct look *l, const char *part, const struct vw_route_query *q, unsigned int want, const char *want_name)
{
	char to[VW_IP_STRLEN];
	struct vw_route got;
	struct vw_link link;
	struct vw_err err;
	int r = vw_route_lookup(&l->d->nl, q, &got, &err);

	vw_ip_str(&q->dst, to);
	if (r < 0) {
		check(l, part, false, put_back(l->d), "to %s: %s", to, err.msg);
		return;
	}
	if (vw_link_get(&l->d->nl, got.ifindex, &link, &err) < 0)
		(void)!vw_fmt(link.name, sizeof(link.name), "index %u", got.ifindex);
	check(l, part, got.ifindex == want, put_back(l->d), "to %s: %s by table %u%s%s", to, link.name, got.table,
	      got.ifindex == want ? "" : ", wanted ", got.ifindex == want ? "" : want_name);
}

/* a strict pod's: both by its branch's table, seen from the branch's interface and from the pod's */
static void check_branch_ways(struct look *l, const struct hostnet_branch *b)
{
	const struct attachment *a = l->a;
	struct vw_route_query in = { .dst = a->addr.family ? a->addr : a->addr6, .iif = b->ifindex };
	struct vw_route_query out = { .dst = b->gw4, .src = a->addr, .iif = attach_ifindex(a) };

	if (!a->branch.strict || !b->ifindex)
		return;
	in.src = in.dst.family == b->gw4.family ? b->gw4 : in.src;
	check_way(l, "way to the pod", &in, attach_ifindex(a), a->host_ifname);
	if (a->addr.family && b->gw4.family)
		check_way(l, "way from the pod", &out, b->ifindex, b->ifname);
}

/* --- routes, rules, NAT, filters */

static void check_kernel(struct look *l)
{
	static const struct {
		enum hostnet_kind kind;
		const char *fine;
	} said[] = {
		{ HOSTNET_SYSCTL, "as set" }, { HOSTNET_ADDRESS, "169.254.1.1, and those of secondary ENIs" },
		{ HOSTNET_ROUTE, "the pod's in table 22103, its ENI's own table, unreachable ones behind free addresses" },
		{ HOSTNET_RULE, "those of the node and of the pod's ENI" }, { HOSTNET_NFT, "both tables as they were written" },
		{ HOSTNET_FILTER, "both programs on the veth, to_wire on ENIs and the pod's branch" },
	};
	struct hostnet_eni eni;
	struct hostnet_pod pod;
	struct hostnet_truth t = { .found = differs, .arg = l };
	enum attach_hung hung = l->a->hung;
	struct hostnet_branch branch;
	struct vw_err err;

	attach_host_side(l->a, &pod);
	if (l->e && l->e->wired) {
		eni_hostnet(l->d, l->e, &eni);
		t.enis = &eni;
		t.n_enis = 1;
	}
	if (!l->a->branch.strict) {     /* those of a strict one stand in its branch's table */
		t.pods = &pod;
		t.n_pods = 1;
	}
	if (l->a->branch.vlan) {
		if (sgp_repair(l->d, l->a, &t, &branch, &err) < 0) {
			check(l, "branch", false, "see the message", "%s", err.msg);
		} else {
			t.branches = &branch;
			t.n_branches = 1;
			check_branch_ways(l, &branch);
		}
	}
	check_veth(l, &t);
	if (hostnet_repair(l->d->hostnet, HOSTNET_ALL & ~HOSTNET_BIT(HOSTNET_FILTER), &t, &err) < 0)
		check(l, "kernel", false, "see the message", "%s", err.msg);
	if (programs_repair_pod(l->d, l->a, &hung, &t, &err) < 0 || programs_repair_enis(l->d, &t, &err) < 0)
		check(l, "filters", false, "see the message", "%s", err.msg);
	for (size_t i = 0; i < VW_ARRAY_SIZE(said); i++)
		if (!l->differences[said[i].kind])
			check(l, part_of(said[i].kind), true, NULL, "%s", said[i].fine);
}

/* --- which way a packet of the pool goes */

/* inside the VPC: what leaves it is translated and goes by the primary ENI, whatever the pod's */
static bool vpc_address(const struct daemon *d, struct vw_ip *ret)
{
	if (!d->node.n_vpc_cidrs)
		return false;
	*ret = d->node.vpc_cidrs[0].ip;
	ret->b[3] = (uint8_t)(ret->b[3] + 2);   /* the VPC's resolver: base + 2 */
	return true;
}

static void check_ways(struct look *l)
{
	const struct attachment *a = l->a;
	unsigned int veth = attach_ifindex(a);
	struct vw_route_query in = { .dst = a->addr.family ? a->addr : a->addr6 };
	struct vw_route_query out = { .src = a->addr, .iif = veth };

	if (a->branch.strict)
		return;
	check_way(l, "way to the pod", &in, veth, a->host_ifname);
	if (!l->e || !a->addr.family || egress_is(&a->addr) || !vpc_address(l->d, &out.dst))
		return;
	out.mark = l->e->row.number;
	check_way(l, "way from the pod", &out, l->e->ifindex, l->e->ifname);
}

/* --- what its programs go by */

static void check_slot(struct look *l)
{
	const struct attachment *a = l->a;
	struct np_pod_conf now;
	struct vw_err err;
	int r = np_slot_get(l->d->np, a->slot, &now, &err);
	bool same = r == 1 && (!a->addr.family || vw_ip_eq(&now.ip4, &a->addr)) && (!a->addr6.family || vw_ip_eq(&now.ip6, &a->addr6));

	if (same && l->e && now.eni != l->e->row.number)
		check(l, "slot", false, "restart vpcwired, which writes it again", "slot %u sends by ENI number %u, its address is of number %u", a->slot,
		      now.eni, l->e->row.number);
	else
		check(l, "slot", same, "restart vpcwired, which writes it again", "slot %u %s", a->slot,
		      same ? "has the pod's addresses and its ENI's number" : r == 1 ? "has other addresses" : r == 0 ? "is empty" : err.msg);
}

static struct vw_json *explained(struct daemon *d, const char *from, const char *to, struct vw_err *err)
{
	vw_auto_json struct vw_json *args = vw_json_new_object();
	struct vw_json *ret = NULL;

	if (vw_json_set_str(args, "from", from) < 0 || vw_json_set_str(args, "to", to) < 0 || vw_json_set_str(args, "port", "443/tcp") < 0) {
		(void)vw_err_set(err, ENOMEM, 0, "no memory for a question");
		return NULL;
	}
	return policy_query_explain(d, args, &ret, err) < 0 ? NULL : ret;
}

/* those that have a say */
static struct vw_json *counting(const struct vw_json *policies)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; i < vw_json_len(policies); i++)
		if (vw_json_int(vw_json_get(vw_json_at(policies, i), "counts")))
			failed |= vw_json_append(arr, vw_json_copy(vw_json_at(policies, i)));
	if (!failed)
		return arr;
	vw_json_free(arr);
	return NULL;
}

/* one direction: the policies that have a say, and whether objects, tables and maps agree about a stranger */
static int policy_direction(struct look *l, struct vw_json *policy, enum np_dir dir, const char *pod)
{
	const char *name = dir == NP_EGRESS ? "egress" : "ingress", *stranger = l->a->addr.family ? "192.0.2.1" : "2001:db8::1", *odd;
	struct vw_err err;
	vw_auto_json struct vw_json *x = dir == NP_EGRESS ? explained(l->d, pod, stranger, &err) : explained(l->d, stranger, pod, &err);

	if (!x) {
		check(l, "policy", err.eno == ENOENT, "see the message", "%s: %s", name, err.msg);
		return 0;
	}
	odd = vw_json_string(vw_json_get(x, "disagreement"));
	check(l, "policy", !odd, "restart vpcwired; if it stays, report it with vpcwirectl dump", "%s: %s", name,
	      odd ? odd : "objects, tables and the kernel's maps agree");
	return vw_json_set(policy, name, counting(vw_json_get(vw_json_get(x, name), "policies")));
}

static struct vw_json *policy_json(struct look *l)
{
	static const char *const modes[] = { "standard", "strict", "off" };
	struct vw_json *o = vw_json_new_object();
	char ip[VW_IP_STRLEN];
	int failed = vw_json_set_str(o, "mode", modes[l->d->cfg->network_policy]);

	vw_ip_str(l->a->addr.family ? &l->a->addr : &l->a->addr6, ip);
	failed |= policy_direction(l, o, NP_EGRESS, ip) | policy_direction(l, o, NP_INGRESS, ip);
	if (!failed)
		return o;
	vw_json_free(o);
	return NULL;
}

/* --- facts */

static struct vw_json *eni_json(const struct look *l)
{
	const struct eni *e = l->e;
	struct vw_json *o = vw_json_new_object();
	char ip[VW_IP_STRLEN];
	struct hostnet_eni h;
	int failed = vw_json_set_str(o, "id", l->a->branch.vlan ? l->a->branch.eni_id : e ? e->row.id : l->a->eni_id);

	if (e) {
		eni_hostnet(l->d, e, &h);
		failed |= vw_json_set_str(o, "ifname", e->ifname) | vw_json_set_int(o, "number", e->row.number) |
			  vw_json_set_int(o, "table", h.number ? h.table : 254) | vw_json_set_str(o, "subnet_id", e->row.subnet_id) |
			  vw_json_set_str(o, "address", vw_ip_str(&e->row.primary_ip, ip)) | vw_json_set_bool(o, "primary", e->row.primary);
	}
	if (l->a->branch.vlan)
		failed |= vw_json_set_int(o, "vlan", l->a->branch.vlan);
	if (!failed)
		return o;
	vw_json_free(o);
	return NULL;
}

/** struct sought - the row of one attachment, for the one thing that memory has not. */
struct sought {
	const struct attachment *a;
	char *netns;
};

static int netns_row(const struct store_attachment *row, void *arg)
{
	const struct sought *s = arg;

	if (!strcmp(row->key.container_id, s->a->container_id) && !strcmp(row->key.ifname, s->a->ifname))
		(void)!vw_fmt(s->netns, VW_PATH_MAX, "%s", row->netns);
	return 0;
}

/* where vpcwirectl can look inside; NULL: of a pod that was found in the kernel nobody has said it */
static const char *netns_of(const struct look *l, char buf[VW_PATH_MAX])
{
	struct sought s = { l->a, buf };
	struct vw_err err;

	buf[0] = 0;
	if (store_attach_each(l->d->store, netns_row, &s, &err) < 0)
		return NULL;
	return *buf ? buf : NULL;
}

static int put_facts(const struct look *l, struct vw_json *o)
{
	const struct attachment *a = l->a;
	struct ipam_addr at;
	char ip[VW_IP_STRLEN], cidr[VW_CIDR_STRLEN], netns[VW_PATH_MAX];
	int failed = vw_json_set_str(o, "pod_namespace", a->pod_namespace) | vw_json_set_str(o, "pod_name", a->pod_name) |
		     vw_json_set_str(o, "container_id", a->container_id) | vw_json_set_str(o, "ifname", a->ifname) |
		     vw_json_set_str(o, "address", a->addr.family ? vw_ip_str(&a->addr, ip) : NULL);

	failed |= vw_json_set_str(o, "address6", a->addr6.family ? vw_ip_str(&a->addr6, ip) : NULL);
	if (!a->branch.vlan && a->addr.family && ipam_pool_by_key(l->d->pool, a->key_text, &at))
		failed |= vw_json_set_str(o, "prefix", at.slot.len < 32 ? vw_cidr_str(&at.slot, cidr) : NULL);
	failed |= vw_json_set_str(o, "netns", netns_of(l, netns));
	return failed | vw_json_set_str(o, "host_ifname", a->host_ifname) | vw_json_set_int(o, "host_ifindex", attach_ifindex(a)) |
	       vw_json_set_int(o, "slot", a->slot) | vw_json_set_int(o, "pods_table", sgp_table(a)) | vw_json_set(o, "eni", eni_json(l));
}

static const struct eni *eni_of(struct daemon *d, const struct attachment *a)
{
	struct ipam_addr at;

	if (a->branch.vlan)
		return NULL;
	if (a->addr.family && ipam_pool_by_key(d->pool, a->key_text, &at))
		return at.eni ? eni_by_id(d, at.eni->id) : NULL;
	return *a->eni_id ? eni_by_id(d, a->eni_id) : NULL;
}

static struct vw_json *interface_json(struct daemon *d, struct attachment *a)
{
	struct look l = { .d = d, .a = a, .e = eni_of(d, a), .checks = vw_json_new_array() };
	struct vw_json *o = vw_json_new_object();
	int failed = put_facts(&l, o);

	check_addresses(&l);
	check_eni(&l);
	check_kernel(&l);
	check_ways(&l);
	check_slot(&l);
	failed |= vw_json_set(o, "policy", policy_json(&l));
	failed |= l.failed | vw_json_set(o, "checks", l.checks);
	if (!failed)
		return o;
	vw_json_free(o);
	return NULL;
}

/* --- which pod */

static bool is_asked_for(const struct attachment *a, const char *pod, const struct vw_ip *ip)
{
	char name[2 * VW_ID_MAX];

	if (a->superseded)
		return false;
	if (ip)
		return vw_ip_eq(&a->addr, ip) || vw_ip_eq(&a->addr6, ip);
	return *a->pod_name && vw_fmt(name, sizeof(name), "%s/%s", a->pod_namespace, a->pod_name) > 0 && !strcmp(name, pod);
}

int explain_query_pod(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *root = vw_json_new_object();
	struct vw_json *interfaces = vw_json_new_array();
	struct attachment *a;
	const char *pod = "";
	struct vw_ip ip;
	int failed = 0, r = vw_json_get_str(args, "pod", &pod, err);
	bool by_ip = vw_ip_parse(pod, &ip) == 0;

	if (r == 0 || (r > 0 && !by_ip && !strchr(pod, '/')))
		r = vw_err_set(err, EINVAL, 0, "'%.128s' is neither NAMESPACE/NAME nor an address", pod);
	for (a = d->attach.by_key; a && r > 0; a = a->hh.next)
		if (is_asked_for(a, pod, by_ip ? &ip : NULL))
			failed |= vw_json_append(interfaces, interface_json(d, a));
	if (r > 0 && !failed && !vw_json_len(interfaces))
		r = vw_err_set(err, ENOENT, 0, "there is no pod '%.128s' on this node: vpcwirectl pods lists them", pod);
	failed |= vw_json_set_str(root, "pod", pod);
	failed |= vw_json_set(root, "interfaces", interfaces);
	if (r < 0)
		return r;
	if (failed)
		return vw_err_set(err, ENOMEM, 0, "no memory for an explanation");
	*ret = VW_TAKE_PTR(root);
	return 0;
}
