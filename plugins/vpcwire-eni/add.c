// SPDX-License-Identifier: Apache-2.0
/*
 * ADD: namespace -> ENI on the host -> file -> move -> addresses and routes -> result. Everything that can be refused before
 * the move is; what fails after it is undone: the ENI goes back, and is set up there as it was.
 */
#include "plugins/vpcwire-eni/eni.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/net/nl.h"
#include "lib/pod/pod.h"
#include "netpolicy-bpf/user/br_loader.h"

#include <string.h>
#include <sys/socket.h>

#define FIND_MS 5000 /* an ENI's interface appears a second or two after AttachNetworkInterface has answered */

struct add_job {
	struct vw_cni_call *call;
	struct eni_conf conf;
	struct eni_state st;
	struct eni_link eni;
	struct vw_nl host, pod;
	int host_netns, pod_netns;
	struct br *br; /* for a branch */
};

void eni_key_of(const struct vw_cni_call *call, struct vw_attach_key *ret)
{
	/* lib/cni has checked both lengths */
	(void)VW_COPY(ret->container_id, call->env.container_id);
	(void)VW_COPY(ret->ifname, call->env.ifname);
}

struct vw_pod_net eni_net_of(const struct eni_state *st, unsigned int ifindex)
{
	return (struct vw_pod_net){
		.ifname = st->key.ifname,
		.ifindex = ifindex,
		.addr = st->addrs.v,
		.n_addr = st->addrs.n,
		.gw = st->addrs.gw,
		.n_gw = st->addrs.n_gw,
		.block_metadata = st->block_metadata,
	};
}

static int open_both(struct add_job *job, struct vw_err *err)
{
	job->host_netns = vw_netns_open_self(err);
	if (job->host_netns < 0)
		return job->host_netns;
	job->pod_netns = vw_call_open_netns(job->call, err);
	if (job->pod_netns < 0 || vw_nl_open(&job->host, err) < 0 || vw_nl_open_at(&job->pod, job->pod_netns, err) < 0)
		return -err->eno;
	return 0;
}

/* An ADD of this container that was killed in the middle, whose DEL never came. */
static int clear_former(struct add_job *job, struct vw_err *err)
{
	struct eni_state former;
	int r = eni_state_read(job->conf.state_dir, &job->st.key, &former, err);

	if (r <= 0)
		return r;
	return give_back(job->call, &job->host, job->host_netns, &former, "", err);
}

static int fill_state(struct add_job *job, struct vw_err *err)
{
	const struct vw_link *link = &job->eni.link;
	struct eni_state *st = &job->st;

	_Static_assert(VW_CALL_NETNS_MAX <= VW_PATH_MAX, "what was opened fits");
	(void)VW_COPY(st->netns, job->call->env.netns);
	(void)VW_COPY(st->network, job->call->conf.name);
	st->mtu = job->conf.mtu ? job->conf.mtu : link->mtu;
	st->addrs = job->conf.addrs;
	st->stay_down = job->conf.stay_down;
	st->block_metadata = job->conf.block_metadata;
	if (vw_netns_id(job->pod_netns, &st->netns_id, err) < 0)
		return -err->eno;
	if (job->conf.vlan) {
		st->mac = job->conf.branch_mac;
		st->vlan = job->conf.vlan;
		st->trunk = link->ifindex;
		st->iface = job->conf.iface;
		branch_name(link, st->vlan, st->host_name);
		return 0;
	}
	(void)VW_COPY(st->host_name, link->name);
	/* a mark of ours is of an attachment that ended while nobody looked: the name in it is the ENI's own */
	if (eni_alias_host_name(link->alias, st->host_name))
		st->host_alias[0] = '\0';
	else
		(void)VW_COPY(st->host_alias, link->alias);
	st->mac = link->mac;
	st->host_mtu = link->mtu;
	return 0;
}

/* One message moves, renames and marks it: there is no moment in which the container has it under another name. */
static int move_in(struct add_job *job, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	char alias[VW_IFALIAS_MAX];
	struct vw_link_set set = {
		.ifindex = job->eni.link.ifindex,
		.name = job->eni.link.name,
		.what = VW_LINK_NETNS | VW_LINK_NAME | VW_LINK_ALIAS,
		.netns_fd = job->pod_netns,
		.new_name = job->st.key.ifname,
		.alias = alias,
	};
	int r;

	eni_alias_make(job->st.host_name, &job->st.key, alias);
	vw_link_set(&b, &set);
	r = vw_nl_commit(&job->host, &b, err);
	if (r == -ENODEV)
		return vw_err_set(err, ENODEV, VW_CNI_TRY_AGAIN, "ENI %s left the host meanwhile: another container took it",
				  job->eni.link.name);
	return r < 0 ? vw_err_wrap(err, "giving ENI %s to '%s'", job->eni.link.name, job->call->env.netns) : 0;
}

/* In the container's namespace, for the sysctls; the way back out is needed when something fails. */
static int configure(void *arg, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct add_job *job = arg;
	struct vw_pod_net net;
	struct vw_link link;
	bool second;

	if (job->st.iface != ENI_IFACE_VLAN && guest_make(&job->pod, &job->st, job->conf.uid, job->conf.gid, err) < 0)
		return -err->eno;
	if (vw_link_get_name(&job->pod, job->st.key.ifname, &link, err) < 0)
		return -err->eno;
	if (job->st.mtu != link.mtu) {
		struct vw_link_set mtu = {
			.ifindex = link.ifindex, .name = link.name, .what = VW_LINK_MTU, .mtu = job->st.mtu};

		vw_link_set(&b, &mtu);
	}
	if (vw_nl_commit(&job->pod, &b, err) < 0)
		return -err->eno;
	if (job->st.stay_down)
		return 0;
	net = eni_net_of(&job->st, link.ifindex);
	/* addresses and routes are the guest's */
	if (job->st.iface != ENI_IFACE_VLAN)
		net.n_addr = net.n_gw = 0;
	return vw_pod_configure(&job->pod, &net, &second, err);
}

/* --- the result */

static int fill_result(const struct add_job *job, struct vw_cni_result *r, const char *mac)
{
	const struct eni_state *st = &job->st;
	struct vw_cni_iface pod = {
		.name = st->key.ifname, .mac = mac, .mtu = st->mtu, .sandbox = job->call->env.netns};
	int index = vw_cni_result_add_iface(r, &pod);

	if (index < 0 || eni_addrs_report(&st->addrs, index, !st->stay_down && st->iface == ENI_IFACE_VLAN, r) < 0)
		return -ENOMEM;
	if (job->call->conf.dns)
		r->dns = job->call->conf.dns;
	return 0;
}

static int answer(const struct add_job *job, struct vw_cni_result *r, struct vw_err *err)
{
	char mac[VW_MAC_STRLEN];

	if (fill_result(job, r, vw_mac_str(&job->st.mac, mac)) < 0)
		return vw_err_sys(err, ENOMEM, 0, "making the result");
	return vw_cni_result_print(r, job->call->conf.version, job->call->out, err);
}

/* --- all of it */

/* What went wrong is @err's and stays so; what goes wrong here is for DEL, which finds the file. */
static void roll_back(struct add_job *job)
{
	struct vw_link link;
	struct vw_err err;

	if (give_back(job->call, &job->host, job->host_netns, &job->st, job->call->env.netns, &err) == 0 && !job->st.vlan &&
	    vw_link_get_name(&job->host, job->st.host_name, &link, &err) == 0 && vw_mac_eq(&link.mac, &job->st.mac))
		eni_link_restore(&job->host, link.ifindex, &job->eni);
}

/* The ENI, or the trunk of a branch, which may well be the host's way out: it stays where it is. */
static int find_eni(struct add_job *job, uint64_t deadline, struct vw_err *err)
{
	struct vw_err ignored;

	if (job->conf.vlan) {
		/* before anything is written: a kernel that refuses the programs is known then */
		if (br_open(job->conf.bpf_dir, &job->br, err) < 0)
			return -err->eno;
		return eni_trunk_find(&job->host, &job->conf.eni_mac, job->conf.eni_name, deadline, &job->eni.link, err);
	}
	if (!vw_mac_is_zero(&job->conf.eni_mac))
		(void)eni_settle_orphans(&job->host, job->conf.state_dir, &job->conf.eni_mac, &ignored);
	return eni_link_find(&job->host, &job->conf.eni_mac, job->conf.eni_name, deadline, true, &job->eni, err);
}

static int add_to(struct add_job *job, struct vw_cni_result *result, struct vw_err *err)
{
	uint64_t deadline = vw_call_deadline(job->call, FIND_MS);
	struct vw_err ignored;
	int r;

	if (open_both(job, err) < 0 || vw_call_refuse_taken_name(job->call, &job->pod, err) < 0 || clear_former(job, err) < 0)
		return -err->eno;
	if (find_eni(job, deadline, err) < 0 || fill_state(job, err) < 0 ||
	    guest_refuse_taken_names(&job->pod, &job->st, err) < 0)
		return -err->eno;
	if (eni_state_write(job->conf.state_dir, &job->st, err) < 0) {
		(void)eni_state_remove(job->conf.state_dir, &job->st.key, &ignored);
		return -err->eno;
	}
	r = job->br ? branch_make(job->br, &job->host, &job->st, &job->eni.link, job->pod_netns, err) : move_in(job, err);
	if (r == 0)
		r = vw_netns_run(job->pod_netns, configure, job, err);
	if (r == 0)
		r = answer(job, result, err);
	if (r < 0) {
		roll_back(job);
		vw_buf_reset(job->call->out);
	}
	return r;
}

int eni_add(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_cni_result struct vw_cni_result result = VW_CNI_RESULT_INIT;
	struct add_job job = {.call = call, .host = VW_NL_INIT, .pod = VW_NL_INIT, .host_netns = -EBADF, .pod_netns = -EBADF};
	int r;

	if (vw_call_refuse_to_be_ipam(call, PLUGIN_NAME, err) < 0 || vw_call_refuse_ipam(call, PLUGIN_NAME, "'eniIPAddresses'", err) < 0 ||
	    eni_conf_parse(call, &job.conf, err) < 0)
		return -err->eno;
	/* Before anything is touched: a prevResult that cannot be passed on must not cost a move. */
	if (call->conf.prev_result &&
	    vw_cni_result_parse(call->conf.prev_result, call->conf.version, &result, err) < 0)
		return -err->eno;
	eni_key_of(call, &job.st.key);
	r = add_to(&job, &result, err);
	eni_link_done(&job.eni);
	br_close(job.br);
	vw_nl_close(&job.pod);
	vw_nl_close(&job.host);
	vw_close_fd(&job.pod_netns);
	vw_close_fd(&job.host_netns);
	return r;
}
