/*
 * The kernel's part of an ADD: pair -> its host end named and with a clsact -> pod half -> host half.
 *
 * The pair is one request of its own, because everything else on the host names the link by the index that
 * the daemon chose: had the request failed and the rest been carried out, it would hit whatever has that
 * index (a link that is about to be reaped). The pod's end is born in its namespace with its final name, so
 * nothing is moved or renamed. Whoever is in the pod may put it up at once: the host's end is down until its
 * filters hang, so that no packet passes unseen; and it comes up last, when the pod answers for its addresses.
 */
#include "plugins/vpcwire/wire.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/addr.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/route.h"
#include "lib/net/tc.h"
#include "lib/pod/pod.h"

#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define BURST_MS 10 /* of the rate, where no burst was said */
#define QUEUE_MS 50 /* what may wait */

int interface_exists(const struct wiring_job *job, struct vw_err *err)
{
	return vw_err_set(err, EEXIST, VW_CNI_INTERFACE_EXISTS,
			  "interface %s already exists in '%s'; it was left as it is", job->key.ifname,
			  job->netns_path);
}

/* NEWLINK said EEXIST or EBUSY: which of the three things that may not be there twice is it? */
static int explain_taken(struct wiring_job *job, struct vw_err *err)
{
	const struct vw_rpc_wiring *w = job->w;
	struct vw_err cause = *err, ignored;
	struct vw_link link;

	if (vw_netns_enter(job->netns_fd, err) < 0 || vw_nl_open(&job->pod, err) < 0)
		return -err->eno;
	if (vw_link_get_name(&job->pod, job->key.ifname, &link, &ignored) == 0)
		return interface_exists(job, err);
	if (vw_link_get_name(&job->host, w->host_ifname, &link, &ignored) == 0 ||
	    vw_link_get(&job->host, w->host_ifindex, &link, &ignored) == 0)
		return vw_err_set(err, EBUSY, VW_CNI_TRY_AGAIN,
				  "the node still has interface %s (index %u, alias \"%.100s\") where %s is "
				  "to be: it goes when its pod does",
				  link.name, link.ifindex, link.alias, w->host_ifname);
	*err = cause;
	return -err->eno;
}

/* The kernel's answer got lost. Our link would have no alias yet; any other of that index is not ours. */
static bool was_made(struct wiring_job *job)
{
	const struct vw_rpc_wiring *w = job->w;
	struct vw_err ignored;
	struct vw_link link;

	return vw_link_get(&job->host, w->host_ifindex, &link, &ignored) == 0 &&
	       !strcmp(link.name, w->host_ifname) && vw_mac_eq(&link.mac, &w->host_mac) && !link.alias[0];
}

static int make_pair(struct wiring_job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rpc_wiring *w = job->w;
	struct vw_link_end host = {
		.name = w->host_ifname,
		.ifindex = w->host_ifindex,
		.mac = w->host_mac,
		.mtu = w->mtu,
		.group = VW_GROUP_PODS,
		.netns_fd = -1,
	};
	struct vw_link_end pod = {
		.name = job->key.ifname,
		.mac = w->pod_mac,
		.mtu = w->mtu,
		.netns_fd = job->netns_fd,
	};
	int r;

	vw_link_add_veth(&b, &host, &pod);
	r = vw_nl_commit(&job->host, &b, err);
	if (r < 0 && b.n && b.ops[0].outcome == VW_NL_NOT_SENT)
		job->made = was_made(job);
	if (r == -EEXIST || r == -EBUSY)
		return explain_taken(job, err);
	if (r == -EOPNOTSUPP)
		return vw_err_wrap(err, "this kernel makes no veth pair (modprobe veth)");
	if (r < 0)
		return r;
	job->made = true;
	return 0;
}

/* A pinned program, by tcx attached at once: that goes by the namespace that we are in, and we have not left the node's yet. */
static int program_open(const struct wiring_job *job, enum vw_tc_dir dir, const char *pin, int *ret_fd, struct vw_err *err)
{
	if (!pin[0])
		return 0;
	*ret_fd = vw_bpf_pin_open(pin, err);
	if (*ret_fd < 0)
		return *ret_fd;
	return job->w->attach == VW_ATTACH_TCX ? vw_bpf_tcx_attach(job->w->host_ifindex, dir, *ret_fd, err) : 0;
}

/*
 * Whose it is; and the clsact long before its filters: between the two the kernel wants an RCU grace period, and if none has passed it waits
 * for one with RTNL held (mini_qdisc_pair_swap(), net/sched/sch_generic.c, 5.16). While many ADDs wait for RTNL one has mostly passed.
 */
static int claim_host(struct wiring_job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rpc_wiring *w = job->w;
	char alias[VW_IFALIAS_MAX];
	struct vw_link_set mark = {
		.ifindex = w->host_ifindex, .name = w->host_ifname, .what = VW_LINK_ALIAS, .alias = alias};

	alias_of(&job->key, alias);
	vw_link_set(&b, &mark);
	if (w->attach == VW_ATTACH_CLSACT && (w->pin_from_pod[0] || w->pin_to_pod[0])) {
		vw_clsact_add(&b, w->host_ifindex, w->host_ifname);
		vw_nl_tolerate(&b, VW_NL_OK_EXISTS);    /* the daemon was quicker: it found the link without */
	}
	return vw_nl_commit(&job->host, &b, err);
}

static void add_filters(struct vw_nl_batch *b, const struct vw_rpc_wiring *w, int from_pod, int to_pod)
{
	struct vw_filter f = {.ifindex = w->host_ifindex, .dev = w->host_ifname, .fresh = true};

	if (w->attach != VW_ATTACH_CLSACT)
		return;
	if (from_pod >= 0) {
		f.dir = VW_TC_INGRESS;
		f.name = "vpcwire_from_pod";
		f.prog_fd = from_pod;
		vw_filter_replace(b, &f);
		vw_nl_tolerate(b, VW_NL_OK_EXISTS);
	}
	if (to_pod >= 0) {
		f.dir = VW_TC_EGRESS;
		f.name = "vpcwire_to_pod";
		f.prog_fd = to_pod;
		vw_filter_replace(b, &f);
		vw_nl_tolerate(b, VW_NL_OK_EXISTS);
	}
}

/*
 * The gateway's link-local address on the node's end, usable at once: the kernel asks for the pod's neighbour entry from a
 * link-local address, and its own is in DAD for a second. It also answers a pod whose permanent entry was lost.
 */
static void add_gateway6(struct vw_nl_batch *b, const struct vw_rpc_wiring *w, const struct vw_ip *gateway)
{
	struct vw_addr addr = {
		.ifindex = w->host_ifindex, .addr = vw_cidr_of(gateway, 64), .flags = VW_ADDR_NODAD, .dev = w->host_ifname,
	};

	vw_addr_replace(b, &addr);
}

static int wire_host(struct wiring_job *job, int from_pod, int to_pod, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rpc_wiring *w = job->w;

	if (job->to_pod.bits_per_s) {
		struct vw_tbf tbf = tbf_of(&job->to_pod, w->mtu, w->host_ifindex, w->host_ifname);

		vw_tbf_add(&b, &tbf);
	}
	add_filters(&b, w, from_pod, to_pod);
	/* only now, judged both ways: a process in the pod may have put its end up long ago. And a qdisc costs an RCU wait later. */
	vw_link_set_up(&b, w->host_ifindex, w->host_ifname);
	for (unsigned int i = 0; i < w->n_addr; i++) {
		struct vw_route route = {
			.dst = w->addr[i],
			.table = w->pods_table,
			.scope = RT_SCOPE_LINK,
			.ifindex = w->host_ifindex,
			.dev = w->host_ifname,
		};

		if (route.dst.ip.family == AF_INET6) {
			route.scope = RT_SCOPE_UNIVERSE; /* IPv6 knows no other */
			add_gateway6(&b, w, &w->gateway[i]);
		}
		/* replace: the daemon says whose address this is; a stale route must not win over it */
		vw_route_replace(&b, &route);
	}
	return vw_nl_commit(&job->host, &b, err);
}

struct vw_pod_net net_of(const char *ifname, const struct vw_rpc_wiring *w)
{
	return (struct vw_pod_net){
		.ifname = ifname,
		.addr = w->addr,
		.n_addr = w->n_addr,
		.hidden = w->egress,
		.gw = w->gateway,
		.n_gw = w->n_addr,
		.gw_mac = &w->host_mac,
	};
}

struct vw_tbf tbf_of(const struct vw_cni_rate *rate, unsigned int mtu, unsigned int ifindex, const char *dev)
{
	uint64_t bytes_per_s = rate->bits_per_s / 8, frame = mtu + ETH_HLEN;
	uint64_t burst = rate->burst_bits ? rate->burst_bits / 8 : bytes_per_s * BURST_MS / 1000;
	uint64_t least = rate->burst_bits ? frame : 2 * frame;
	uint64_t queue;

	burst = burst < least ? least : burst > UINT32_MAX ? UINT32_MAX : burst;
	queue = burst + bytes_per_s * QUEUE_MS / 1000;
	return (struct vw_tbf){
		.ifindex = ifindex,
		.bytes_per_s = bytes_per_s,
		.burst_bytes = (uint32_t)burst,
		.queue_bytes = queue > UINT32_MAX ? UINT32_MAX : (uint32_t)queue,
		.dev = dev,
	};
}

/* What leaves the pod is held back at its own end: its sockets notice, and no third interface is needed on the node. */
static int limit_pod(struct wiring_job *job, unsigned int ifindex, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_tbf tbf;

	if (!job->from_pod.bits_per_s)
		return 0;
	tbf = tbf_of(&job->from_pod, job->w->mtu, ifindex, job->key.ifname);
	vw_tbf_add(&b, &tbf);
	return vw_nl_commit(&job->pod, &b, err);
}

/* Further destinations. In main they may be there already, made by whoever wired an earlier interface. */
static int add_routes(struct wiring_job *job, unsigned int ifindex, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	for (size_t i = 0; i < job->n_routes; i++) {
		struct vw_route route = {
			.dst = job->routes[i].dst,
			.via = job->routes[i].gw,
			.onlink = true,
			.ifindex = ifindex,
			.dev = job->key.ifname,
		};

		vw_route_add(&b, &route);
		vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	}
	return vw_nl_commit(&job->pod, &b, err);
}

static int wire_pod(struct wiring_job *job, struct vw_err *err)
{
	struct vw_pod_net net = net_of(job->key.ifname, job->w);

	if (vw_netns_enter(job->netns_fd, err) < 0 || vw_nl_open(&job->pod, err) < 0 ||
	    vw_link_index(&job->pod, net.ifname, &net.ifindex, err) < 0)
		return -err->eno;
	if (limit_pod(job, net.ifindex, err) < 0 ||
	    vw_pod_configure(&job->pod, &net, &job->second, err) < 0)
		return -err->eno;
	return add_routes(job, net.ifindex, err);
}

int wire(struct wiring_job *job, struct vw_err *err)
{
	vw_auto_close int from_pod = -EBADF, to_pod = -EBADF;

	if (make_pair(job, err) < 0)
		return -err->eno;
	if (claim_host(job, err) < 0)
		return vw_err_wrap(err, "the node's end of %s", job->key.ifname);
	if (program_open(job, VW_TC_INGRESS, job->w->pin_from_pod, &from_pod, err) < 0 ||
	    program_open(job, VW_TC_EGRESS, job->w->pin_to_pod, &to_pod, err) < 0)
		return vw_err_wrap(err, "the node's end of %s", job->key.ifname);
	if (wire_pod(job, err) < 0)
		return vw_err_wrap(err, "%s in '%s'", job->key.ifname, job->netns_path);
	if (wire_host(job, from_pod, to_pod, err) < 0)
		return vw_err_wrap(err, "the node's end of %s", job->key.ifname);
	return 0;
}

void unwire(struct wiring_job *job)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_err ignored;

	if (!job->made)
		return;
	vw_link_del(&b, job->w->host_ifindex);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	/* Should even this fail, the daemon's DEL that follows deletes the link again. */
	(void)vw_nl_commit(&job->host, &b, &ignored);
	job->made = false;
}
