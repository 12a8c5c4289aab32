// SPDX-License-Identifier: Apache-2.0
/*
 * ADD, under the lock of the ENI's bridge: file -> bridge (if there is none yet) -> ports, pair, route -> inside the container ->
 * result. What fails is undone, and with the first container's failure the bridge, so that the ENI is on the host as it was.
 */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/eni/eni.h"
#include "lib/net/addr.h"
#include "lib/net/netns.h"
#include "lib/net/sysctl.h"
#include "lib/pod/pod.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define FIND_MS 5000 /* an ENI's interface appears a second or two after AttachNetworkInterface has answered */

#define invalid(err, ...) vw_err_set((err), EINVAL, VW_CNI_INVALID_CONFIG, __VA_ARGS__)

struct add_job {
	struct vw_cni_call *call;
	struct br_conf conf;
	struct eni_state st, br;
	struct eni_link eni;
	struct br_place place;
	struct vw_link end;
	struct vw_mac gw_mac;
	struct vw_nl pod;
	char bridges[VW_PATH_MAX];
	int pod_netns;
	bool moved;
};

/* --- what there is */

static int open_all(struct add_job *job, struct vw_err *err)
{
	int same;

	job->pod_netns = vw_call_open_netns(job->call, err);
	if (job->pod_netns < 0 || br_place_open(job->conf.netns, &job->place, err) < 0 || vw_nl_open_at(&job->pod, job->pod_netns, err) < 0)
		return -err->eno;
	same = vw_netns_same(job->place.fd, job->pod_netns, err);
	return same > 0 ? invalid(err, "key 'bridgeNetNSPath' is the container's own namespace") : same;
}

/* The MAC names the bridge: of the ENI of a bridge that is there, else of the one on the host. */
static int find_mac(struct add_job *job, uint64_t deadline_ms, struct vw_err *err)
{
	int r = br_find(&job->conf, &job->br, err);

	job->st.mac = job->conf.eni_mac;
	if (r > 0 && !job->br.orphaned)
		job->st.mac = job->br.mac;
	if (r < 0 || !vw_mac_is_zero(&job->st.mac))
		return r < 0 ? r : 0;
	r = eni_link_find(&job->place.host, &job->conf.eni_mac, job->conf.eni_name, deadline_ms, false, &job->eni, err);
	job->st.mac = job->eni.link.mac;
	eni_link_done(&job->eni);
	return r;
}

/* --- the bridge's file */

static int default_gateways(struct eni_addrs *a)
{
	static const struct vw_ip router6 = {.family = AF_INET6, .b = {0xfe, 0x80, 0x0e, 0xc2, [15] = 0x01}};

	for (size_t i = 0; i < a->n; i++) {
		struct vw_cidr subnet = vw_cidr_masked(&a->v[i]);
		bool have = false;

		for (size_t g = 0; g < a->n_gw; g++)
			have |= a->gw[g].family == subnet.ip.family;
		if (have || subnet.len == vw_ip_bits(&subnet.ip))
			continue;
		/* VPC User Guide, subnet-sizing.html: the first address is the router's, which IPv6 hosts know as fe80:ec2::1 */
		a->gw[a->n_gw++] = subnet.ip.family == AF_INET ? vw_ip_add(&subnet.ip, 1) : router6;
	}
	return 0;
}

static int eni_addresses(struct add_job *job, struct vw_err *err)
{
	static const struct vw_cidr link_local = {{.family = AF_INET6, .b = {0xfe, 0x80}}, 10};
	struct eni_addrs *a = &job->br.addrs;

	*a = job->conf.eni;
	for (size_t i = 0; !job->conf.eni.n && i < job->eni.n_addrs && a->n < ENI_MAX_ADDRS; i++) {
		if (!vw_cidr_has(&link_local, &job->eni.addrs[i].addr.ip))
			a->v[a->n++] = job->eni.addrs[i].addr;
	}
	if (!a->n)
		return invalid(err, "ENI %s has no addresses, and key 'eniIPAddresses' gives none", job->eni.link.name);
	memcpy(a->gw, job->conf.gw, sizeof(a->gw));
	a->n_gw = job->conf.n_gw;
	return default_gateways(a);
}

static bool has_ip(const struct vw_addr *addrs, size_t n, const struct vw_ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (vw_ip_eq(&addrs[i].addr.ip, ip))
			return true;
	}
	return false;
}

/* One that the kernel does not have is 0, and stays so. */
static int read_number(const struct add_job *job, uint8_t family, const char *key, int *ret, struct vw_err *err)
{
	char value[16];
	int64_t v;
	int r = vw_sysctl_if_get(family, job->br.host_name, key, value, sizeof(value), err);

	if (r == -ENOENT && family == AF_INET6)
		return 0;
	if (r < 0)
		return r;
	if (vw_parse_i64(value, INT32_MIN, INT32_MAX, &v) < 0)
		return vw_err_set(err, EBADMSG, VW_CNI_KERNEL, "%s of %s is \"%s\", which is no number", key, job->br.host_name, value);
	*ret = (int)v;
	return 0;
}

/* How an ENI that stays on the host is set up there. One that is moved loses all of it by that. */
static int remember(struct add_job *job, struct vw_err *err)
{
	struct eni_kept *k = &job->br.kept;

	if (read_number(job, AF_INET, "rp_filter", &k->rp_filter, err) < 0 ||
	    read_number(job, AF_INET, "forwarding", &k->forwarding, err) < 0 ||
	    read_number(job, AF_INET6, "accept_dad", &k->accept_dad, err) < 0 ||
	    read_number(job, AF_INET6, "disable_ipv6", &k->disable_ipv6, err) < 0 ||
	    read_number(job, AF_INET6, "force_forwarding", &k->force_forwarding, err) < 0)
		return -err->eno;
	k->known = true;
	k->was_down = !(job->eni.link.flags & IFF_UP);
	for (size_t i = 0; i < job->br.addrs.n; i++) {
		if (!has_ip(job->eni.addrs, job->eni.n_addrs, &job->br.addrs.v[i].ip))
			k->added.v[k->added.n++] = job->br.addrs.v[i];
	}
	return 0;
}

static int fill_bridge(struct add_job *job, struct vw_err *err)
{
	const struct vw_link *link = &job->eni.link;
	struct eni_state *br = &job->br;

	*br = (struct eni_state){.mac = link->mac, .host_mtu = link->mtu, .mtu = job->conf.mtu ? job->conf.mtu : link->mtu};
	br_key(&link->mac, &br->key);
	(void)VW_COPY(br->network, job->call->conf.name);
	(void)VW_COPY(br->netns, job->conf.netns);
	(void)VW_COPY(br->host_name, link->name);
	if (!eni_alias_host_name(link->alias, br->host_name))
		(void)VW_COPY(br->host_alias, link->alias);
	br->vpc = job->conf.vpc;
	if (eni_addresses(job, err) < 0 || (!*br->netns && remember(job, err) < 0))
		return -err->eno;
	return vw_netns_id(job->place.fd, &br->netns_id, err);
}

/* --- the bridge */

static int move_eni(struct add_job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char alias[VW_IFALIAS_MAX];
	struct vw_link_set set = {
		.ifindex = job->eni.link.ifindex,
		.name = job->eni.link.name,
		.what = VW_LINK_NETNS | VW_LINK_NAME | VW_LINK_ALIAS,
		.netns_fd = job->place.fd,
		.new_name = job->br.host_name,
		.alias = alias,
	};

	eni_alias_make(job->br.host_name, &job->br.key, alias);
	vw_link_set(&b, &set);
	if (vw_nl_commit(&job->place.host, &b, err) < 0)
		return vw_err_wrap(err, "giving ENI %s to '%s'", job->br.host_name, job->conf.netns);
	job->moved = true;
	return 0;
}

/* The ENI may be where the bridge is already: an ADD was killed behind the move, or its namespace is the ENI's home. */
static int fetch_eni(struct add_job *job, uint64_t deadline_ms, struct vw_err *err)
{
	bool leaves = *job->conf.netns != '\0';
	struct vw_link link;
	struct vw_err ignored;

	(void)eni_settle_orphans(&job->place.host, job->bridges, &job->st.mac, &ignored);
	if (eni_link_find(&job->place.host, &job->st.mac, "", deadline_ms, leaves, &job->eni, err) < 0 || fill_bridge(job, err) < 0 ||
	    eni_state_write(job->bridges, &job->br, err) < 0)
		return -err->eno;
	return leaves && eni_find_in(&job->place.nl, &job->br, &link, &ignored) < 0 ? move_eni(job, err) : 0;
}

static bool same_ips(const struct eni_addrs *a, const struct br_conf *conf)
{
	for (size_t i = 0; i < conf->n_gw; i++) {
		bool found = false;

		for (size_t g = 0; g < a->n_gw; g++)
			found |= vw_ip_eq(&a->gw[g], &conf->gw[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool same_cidrs(const struct eni_cidrs *a, const struct eni_cidrs *b)
{
	return a->n == b->n && !memcmp(a->v, b->v, a->n * sizeof(a->v[0]));
}

/* A bridge is what its first ADD made it: another word on what all its containers share is a mistake. */
static int refuse_other_bridge(const struct add_job *job, struct vw_err *err)
{
	const struct br_conf *c = &job->conf;
	const struct eni_state *br = &job->br;
	const char *key = strcmp(c->netns, br->netns)	       ? "bridgeNetNSPath"
			  : c->mtu && c->mtu != br->mtu	       ? "mtu"
			  : !same_cidrs(&c->vpc, &br->vpc)     ? "vpcCIDRs"
			  : !same_ips(&br->addrs, c)	       ? "gatewayIPAddress"
							       : NULL;

	if (!key)
		return 0;
	return invalid(err, "key '%s' differs from that of the containers that are behind ENI %s already; it can change when the last "
			    "of them has gone", key, br->host_name);
}

/* Return: how many the ENI has, 0 as well when it is not in the bridge's namespace (yet); -errno. */
static int addresses_there(struct add_job *job, struct vw_addr **ret, struct vw_err *err)
{
	struct vw_link link;
	int r = eni_find_in(&job->place.nl, &job->br, &link, err);

	return r < 0 ? (r == -ENODEV ? 0 : r) : vw_addr_list(&job->place.nl, link.ifindex, 0, ret, err);
}

/*
 * The ENI may have been given more addresses since. One that it has on the host already is the host's, and stays when the bridge
 * goes. Return: 1 = there are new ones, 0.
 */
static int take_new_addresses(struct add_job *job, struct vw_err *err)
{
	vw_auto_free struct vw_addr *there = NULL;
	struct eni_addrs *a = &job->br.addrs;
	int new = 0, n_there = 0;

	for (size_t i = 0; i < job->conf.eni.n; i++) {
		const struct vw_cidr *want = &job->conf.eni.v[i];
		bool found = false;

		for (size_t k = 0; k < a->n; k++)
			found |= vw_ip_eq(&a->v[k].ip, &want->ip);
		if (found)
			continue;
		if (a->n == ENI_MAX_ADDRS)
			return invalid(err, "the ENI would have more than %d addresses", ENI_MAX_ADDRS);
		if (!new && (n_there = addresses_there(job, &there, err)) < 0)
			return n_there;
		a->v[a->n++] = *want;
		if (!has_ip(there, (size_t)n_there, &want->ip))
			job->br.kept.added.v[job->br.kept.added.n++] = *want;
		new = 1;
	}
	return new ? default_gateways(a), 1 : 0;
}

static int have_bridge(struct add_job *job, uint64_t deadline_ms, struct vw_err *err)
{
	struct vw_link link;
	int r, new = 0;

	r = eni_state_read(job->bridges, &job->br.key, &job->br, err);
	if (r < 0)
		return r;
	if (r > 0 && !job->br.orphaned) {
		if (refuse_other_bridge(job, err) < 0 || (new = take_new_addresses(job, err)) < 0)
			return -err->eno;
		r = new ? 0 : br_is_whole(&job->place, &job->br, &link, err);
		if (r != 0)
			return r < 0 ? r : 0;
		if (new && eni_state_write(job->bridges, &job->br, err) < 0)
			return -err->eno;
		r = eni_find_in(&job->place.nl, &job->br, &link, err);
		if (r == -ENODEV)       /* it was never moved: that ADD was killed */
			r = fetch_eni(job, deadline_ms, err);
	} else {
		r = fetch_eni(job, deadline_ms, err);
	}
	return r < 0 ? r : br_make(&job->place, job->conf.state_dir, &job->br, &job->st.key, err);
}

/* --- the container */

static int fill_state(struct add_job *job, struct vw_err *err)
{
	struct eni_state *st = &job->st;
	char alias[VW_IFALIAS_MAX];

	if (!job->conf.pod.n)
		return invalid(err, "the container has no address: key 'ipAddresses' is wanted");
	(void)VW_COPY(st->netns, job->call->env.netns);        /* vw_call_open_netns() has checked its length */
	(void)VW_COPY(st->network, job->call->conf.name);
	br_host_end(&st->key, st->host_name, alias, &st->pod_mac);
	if (job->call->wish.has_mac)
		st->pod_mac = job->call->wish.mac;
	for (size_t i = 0; i < job->conf.pod.n; i++)
		st->addrs.v[i] = vw_cidr_host(&job->conf.pod.v[i].ip);
	st->addrs.n = job->conf.pod.n;
	st->ports = job->conf.ports;
	st->stay_down = job->conf.tap;
	return vw_netns_id(job->pod_netns, &st->netns_id, err);
}

static bool has_family(const struct eni_addrs *a, uint8_t family)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].ip.family == family)
			return true;
	}
	return false;
}

/* What only the bridge knows: MTU and gateways, and whether its ENI has what the container asks for. */
static int complete_state(struct add_job *job, struct vw_err *err)
{
	const struct eni_addrs *eni = &job->br.addrs;
	struct eni_state *st = &job->st;
	char text[VW_IP_STRLEN];

	st->mtu = job->br.mtu;
	for (size_t i = 0; i < st->addrs.n; i++) {
		if (!has_family(eni, st->addrs.v[i].ip.family))
			return invalid(err, "address %s: the ENI has none of its family", vw_ip_str(&st->addrs.v[i].ip, text));
		for (size_t k = 0; k < eni->n; k++) {
			if (vw_ip_eq(&eni->v[k].ip, &st->addrs.v[i].ip))
				return invalid(err, "address %s is the ENI's own", vw_ip_str(&st->addrs.v[i].ip, text));
		}
	}
	for (size_t i = 0; i < eni->n_gw; i++) {
		if (has_family(&st->addrs, eni->gw[i].family))
			st->addrs.gw[st->addrs.n_gw++] = eni->gw[i];
	}
	for (size_t i = 0; i < st->ports.n; i++) {
		bool found = !st->ports.v[i].at.family;

		for (size_t k = 0; k < eni->n; k++)
			found |= vw_ip_eq(&eni->v[k].ip, &st->ports.v[i].at);
		if (!found)
			return invalid(err, "hostIP %s of port %u is no address of ENI %s", vw_ip_str(&st->ports.v[i].at, text),
				       st->ports.v[i].host, job->br.host_name);
	}
	return eni_state_write(job->conf.state_dir, st, err);
}

struct vw_pod_net br_net_of(const struct eni_state *st, const struct vw_mac *gw_mac, unsigned int ifindex)
{
	return (struct vw_pod_net){
		.ifname = st->key.ifname,
		.ifindex = ifindex,
		.addr = st->addrs.v,
		.n_addr = st->addrs.n,
		.gw = st->addrs.gw,
		.n_gw = st->addrs.n_gw,
		.gw_mac = gw_mac,
	};
}

static int configure(void *arg, struct vw_err *err)
{
	struct add_job *job = arg;
	struct vw_pod_net net;
	struct vw_link link;
	bool second;

	if (job->st.stay_down)
		return br_tap_make(&job->pod, &job->st, job->conf.tap_owner, err);
	if (vw_link_get_name(&job->pod, job->st.key.ifname, &link, err) < 0)
		return -err->eno;
	net = br_net_of(&job->st, &job->gw_mac, link.ifindex);
	return vw_pod_configure(&job->pod, &net, &second, err);
}

/* --- the result */

/*
 * The end on the bridge has no place in a result when it is neither on the host nor in the container. A result borrows its texts:
 * @mac and @end_mac are the caller's, who prints it.
 */
static int fill_result(const struct add_job *job, struct vw_cni_result *r, char mac[VW_MAC_STRLEN], char end_mac[VW_MAC_STRLEN])
{
	const struct eni_state *st = &job->st;
	struct vw_cni_iface end = {.name = st->host_name, .mac = vw_mac_str(&job->end.mac, end_mac), .mtu = st->mtu};
	struct vw_cni_iface pod = {
		.name = st->key.ifname, .mac = vw_mac_str(&st->pod_mac, mac), .mtu = st->mtu, .sandbox = job->call->env.netns};
	int index;

	if (!*job->conf.netns && vw_cni_result_add_iface(r, &end) < 0)
		return -ENOMEM;
	index = vw_cni_result_add_iface(r, &pod);
	return index < 0 ? index : eni_addrs_report(&st->addrs, index, true, r);
}

static int answer(const struct add_job *job, struct vw_cni_result *r, struct vw_err *err)
{
	char mac[VW_MAC_STRLEN], end_mac[VW_MAC_STRLEN];

	if (fill_result(job, r, mac, end_mac) < 0)
		return vw_err_sys(err, ENOMEM, 0, "making the result");
	if (job->call->conf.dns)
		r->dns = job->call->conf.dns;
	return vw_cni_result_print(r, job->call->conf.version, job->call->out, err);
}

/* --- all of it */

/* An ADD of this container that was killed in the middle, whose DEL never came. */
static int clear_former(struct add_job *job, struct vw_err *err)
{
	struct eni_state former;
	int r = eni_state_read(job->conf.state_dir, &job->st.key, &former, err);

	return r <= 0 ? r : br_remove(job->conf.state_dir, &former, false, err);
}

static int wire(struct add_job *job, uint64_t deadline_ms, struct vw_cni_result *result, struct vw_err *err)
{
	struct br_names n;

	br_names_of(&job->st.mac, &n);
	job->gw_mac = n.mac;
	if (have_bridge(job, deadline_ms, err) < 0 || complete_state(job, err) < 0 ||
	    br_attach(&job->place, &job->br, &job->st, job->pod_netns, &job->end, err) < 0 ||
	    vw_netns_run(job->pod_netns, configure, job, err) < 0)
		return -err->eno;
	return answer(job, result, err);
}

/* What went wrong is @err's and stays so; what goes wrong here is for DEL, which finds the file. */
static void roll_back(struct add_job *job)
{
	struct vw_link link;
	struct vw_err err;

	vw_buf_reset(job->call->out);
	if (br_remove(job->conf.state_dir, &job->st, true, &err) < 0 || !job->moved)
		return;
	if (vw_link_get_name(&job->place.host, job->br.host_name, &link, &err) == 0 && vw_mac_eq(&link.mac, &job->br.mac))
		eni_link_restore(&job->place.host, link.ifindex, &job->eni);
}

static int add_locked(struct add_job *job, uint64_t deadline_ms, struct vw_cni_result *result, struct vw_err *err)
{
	struct vw_err ignored;
	int r;

	if (fill_state(job, err) < 0 || br_refuse_clashes(job->conf.state_dir, &job->st, err) < 0)
		return -err->eno;
	br_key(&job->st.mac, &job->br.key);
	r = eni_state_write(job->conf.state_dir, &job->st, err);
	if (r < 0) {
		(void)eni_state_remove(job->conf.state_dir, &job->st.key, &ignored);
		return r;
	}
	r = wire(job, deadline_ms, result, err);
	if (r < 0)
		roll_back(job);
	return r;
}

static int add_to(struct add_job *job, struct vw_cni_result *result, struct vw_err *err)
{
	uint64_t deadline = vw_call_deadline(job->call, FIND_MS);
	vw_auto_close int lock = -EBADF;

	if (br_bridges_dir(job->conf.state_dir, job->bridges, err) < 0 || open_all(job, err) < 0 || vw_call_refuse_taken_name(job->call, &job->pod, err) < 0 ||
	    clear_former(job, err) < 0 || find_mac(job, deadline, err) < 0)
		return -err->eno;
	lock = br_lock(job->conf.state_dir, &job->st.mac, err);
	return lock < 0 ? lock : add_locked(job, deadline, result, err);
}

int br_add(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result result = VW_CNI_RESULT_INIT;
	struct add_job job = {.call = call, .place = BR_PLACE_INIT, .pod = VW_NL_INIT, .pod_netns = -EBADF};
	int r;

	if (vw_call_refuse_to_be_ipam(call, PLUGIN_NAME, err) < 0 || vw_call_refuse_ipam(call, PLUGIN_NAME, "'ipAddresses'", err) < 0 ||
	    br_conf_parse(call, &job.conf, err) < 0)
		return -err->eno;
	/* Before anything is touched: a prevResult that cannot be passed on must not cost a bridge. */
	if (call->conf.prev_result &&
	    vw_cni_result_parse(call->conf.prev_result, call->conf.version, &result, err) < 0)
		return -err->eno;
	br_key_of(call, &job.st.key);
	r = add_to(&job, &result, err);
	eni_link_done(&job.eni);
	vw_nl_close(&job.pod);
	br_place_done(&job.place);
	vw_close_fd(&job.pod_netns);
	return r;
}
