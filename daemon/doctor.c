/* What is local is looked at in the loop's thread, the rest by a worker on copies; the answer is given when that is back. */
#include "daemon/doctor.h"

#include "daemon/cloud.h"
#include "daemon/creds.h"
#include "daemon/daemon.h"
#include "daemon/ec2.h"
#include "daemon/hostnet.h"
#include "daemon/imds_hops.h"
#include "daemon/later.h"
#include "daemon/loop.h"
#include "daemon/placement.h"
#include "daemon/policy.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/rpc/check.h"
#include "netpolicy-bpf/user/np_loader.h"

#include <errno.h>
#include <string.h>

#define ASK_MS 25000            /* all that is asked of the cloud together */
#define SKEW_LIMIT_S 60

/** struct job - copies of what is named to EC2. @asks: EC2 may be asked. */
struct job {
	struct daemon *d;
	struct later *later;
	struct vw_json *checks;
	int failed;
	bool asks;
	char imds[256], eni[EC2_ID_LEN], attachment[EC2_ID_LEN], subnet[IMDS_ID_LEN], vpc[IMDS_ID_LEN], type[IMDS_ID_LEN], instance[IMDS_ID_LEN];
	char address[VW_IP_STRLEN], ipv6[VW_IP_STRLEN];
	char groups[EC2_MAX_GROUPS][IMDS_ID_LEN];
	const char *group[EC2_MAX_GROUPS];
	size_t n_groups;
};

#define check(j, ...) ((j)->failed |= vw_check((j)->checks, __VA_ARGS__))

/* --- in the loop's thread */

/* effective ones, "CapEff:\t000001ffffffffff" */
static int capabilities(uint64_t *ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char hex[20];
	const char *at;
	int r = vw_read_file("/proc/self/status", 16384, &b, err);

	if (r < 0)
		return r;
	at = strstr(vw_buf_str(&b), "CapEff:\t");
	if (!at || vw_fmt(hex, sizeof(hex), "%.16s", at + 8) < 0 || vw_parse_hex(hex, UINT64_MAX, ret) < 0)
		return vw_err_set(err, EBADMSG, 0, "/proc/self/status has no CapEff");
	return 0;
}

static void check_capabilities(struct job *j)
{
	static const struct {
		const char *name;
		unsigned int bit, instead;      /* linux/capability.h */
	} needed[] = { { "CAP_NET_ADMIN", 12, 12 }, { "CAP_BPF", 39, 21 }, { "CAP_PERFMON", 38, 21 } };
	struct vw_err err;
	uint64_t have;
	bool all = true;

	if (capabilities(&have, &err) < 0) {
		check(j, "capabilities", false, "mount /proc", "%s", err.msg);
		return;
	}
	for (size_t i = 0; i < VW_ARRAY_SIZE(needed); i++) {
		if (have & (1ull << needed[i].bit | 1ull << needed[i].instead))
			continue;
		all = false;
		check(j, "capabilities", false, "add it to CapabilityBoundingSet of the unit, or to securityContext.capabilities of the container",
		      "vpcwired has no %s", needed[i].name);
	}
	if (all)
		check(j, "capabilities", true, NULL, "NET_ADMIN, BPF, PERFMON");
}

static void check_kernel(struct job *j)
{
	struct daemon *d = j->d;
	struct hostnet_eni enis[ENI_MAX];
	struct vw_err err;
	size_t n = 0;
	bool fine;

	for (size_t i = 0; i < d->enis.n; i++)
		if (d->enis.v[i].wired)
			eni_hostnet(d, &d->enis.v[i], &enis[n++]);
	fine = hostnet_verify(d->hostnet, enis, n, &err) == 0;
	check(j, "kernel", fine, "vpcwired puts it back; if it does not stay, vpcwirectl status says who removes it", "%s",
	      fine ? "sysctls, links, addresses, routes, rules and nftables are as vpcwired made them" : err.msg);
}

static void check_mtu(struct job *j)
{
	const struct daemon *d = j->d;
	bool all = true;

	for (size_t i = 0; i < d->enis.n; i++) {
		const struct eni *e = &d->enis.v[i];
		struct vw_link l;
		struct vw_err err;

		if (!e->wired || vw_link_get(&j->d->nl, e->ifindex, &l, &err) < 0 || l.mtu >= d->cfg->pod_mtu)
			continue;
		all = false;
		check(j, "mtu", false, "set eni_mtu (or pod_mtu) to what the network carries: large packets of pods are lost on the way",
		      "%s has an MTU of %u, pods have %u", e->ifname, l.mtu, d->cfg->pod_mtu);
	}
	if (all)
		check(j, "mtu", true, NULL, "ENIs %u, pods %u", d->cfg->eni_mtu, d->cfg->pod_mtu);
}

/* on one side of an ENI: how many programs, by tc and by tcx, are not ours. Return: as many, 0 when they cannot be listed */
static unsigned int foreign_programs(struct daemon *d, const struct eni *e, enum vw_tc_dir dir)
{
	const struct vw_filter ours = { .ifindex = e->ifindex, .dir = dir, .dev = e->ifname };
	uint32_t ids[16] = { 0 }, own = 0;
	struct vw_filter_info info;
	struct vw_err err;
	int by_tc = vw_filter_count(&d->nl, e->ifindex, dir, &err), by_tcx = vw_bpf_tcx_list(e->ifindex, dir, ids, VW_ARRAY_SIZE(ids), &err);
	unsigned int n = (by_tc > 0 ? (unsigned int)by_tc : 0) + (by_tcx > 0 ? (unsigned int)by_tcx : 0);

	if (dir != VW_TC_EGRESS || !n)
		return n;
	if (vw_bpf_prog_id(np_to_wire_fd(d->np), &own, &err) < 0)
		own = 0;
	if (by_tc > 0 && vw_filter_get(&d->nl, &ours, &info, &err) == 0 && info.prog_id == own)
		n--;
	for (int i = 0; i < by_tcx && (size_t)i < VW_ARRAY_SIZE(ids); i++)
		n -= ids[i] == own;
	return n;
}

/* XDP comes before all that the kernel does with a packet, and neither tc nor tcx shows it. None is ours */
static bool has_xdp(struct daemon *d, const struct eni *e)
{
	struct vw_link l;
	struct vw_err err;

	return e->wired && vw_link_get(&d->nl, e->ifindex, &l, &err) == 0 && l.xdp_prog;
}

/* Cilium and others see, redirect and drop there what comes and goes, before and behind the kernel's routing */
static void check_programs(struct job *j)
{
	struct daemon *d = j->d;
	bool all = true;

	for (size_t i = 0; i < d->enis.n; i++) {
		const struct eni *e = &d->enis.v[i];
		unsigned int in = e->wired ? foreign_programs(d, e, VW_TC_INGRESS) : 0, out = e->wired ? foreign_programs(d, e, VW_TC_EGRESS) : 0;

		if (has_xdp(d, e)) {
			all = false;
			check(j, "programs on ENIs", false, "see whose it is (bpftool net), and remove the other CNI or load balancer; \"ip link set dev "
			      "eth0 xdp off\" takes it away", "%s has an XDP program, which is not vpcwire's", e->ifname);
		}
		if (!in && !out)
			continue;
		all = false;
		check(j, "programs on ENIs", false, "see whose they are (tc filter show dev eth0 ingress; bpftool net), and remove the other CNI",
		      "%s has %u programs on its way in and %u on its way out that are not vpcwire's", e->ifname, in, out);
	}
	if (all)
		check(j, "programs on ENIs", true, NULL, "none but vpcwire's, by tc, tcx or XDP");
}

static void check_state(struct job *j)
{
	const struct daemon *d = j->d;
	const struct place *p = placement(d);
	struct policy_figures *f = policy_figures_new(j->d);

	check(j, "daemon", d->ready, "see the message; it is tried again", "%s", d->ready ? "serves pods" : d->trouble.eno ? d->trouble.msg : "has just started");
	if (d->ready && d->trouble.eno)
		check(j, "cloud", false, "see the message; it is tried again", "%s", d->trouble.msg);
	if (d->config_refused.eno)
		check(j, "settings", false, "mend the file; it is read again at once", "%s", d->config_refused.msg);
	check(j, "subnets", !p->why.eno, "see the message", "%s", p->why.eno ? p->why.msg : "new ENIs have a place");
	if (f)
		check(j, "manifests", !f->refused && !f->failed, "vpcwirectl policy status says which, and why", "%u refused%s", f->refused,
		      f->failed ? ", the last change could not be put into force" : "");
	free(f);
}

static void name_things(struct job *j)
{
	struct daemon *d = j->d;
	const struct place *p = placement(d);

	(void)VW_COPY(j->imds, *d->cfg->endpoint_imds ? d->cfg->endpoint_imds : IMDS_DEFAULT_ENDPOINT);
	(void)VW_COPY(j->subnet, d->node.subnet_id);
	(void)VW_COPY(j->vpc, d->node.vpc_id);
	(void)VW_COPY(j->type, d->node.instance_type);
	(void)VW_COPY(j->instance, d->node.instance_id);
	for (size_t i = 0; i < p->n_groups && i < EC2_MAX_GROUPS; i++) {
		(void)VW_COPY(j->groups[i], p->groups[i]);
		j->group[j->n_groups++] = j->groups[i];
	}
	for (size_t i = 0; i < d->enis.n; i++) {
		const struct store_eni *e = &d->enis.v[i].row;

		if (!e->primary)
			continue;
		(void)VW_COPY(j->eni, e->id);
		(void)VW_COPY(j->attachment, e->attachment_id);
		vw_ip_str(&e->primary_ip, j->address);
		if (d->cfg->enable_ipv6)
			(void)VW_COPY(j->ipv6, "2001:db8::1");
		if (d->cfg->enable_ipv6 && e->ip6.family)
			vw_ip_str(&e->ip6, j->ipv6);
	}
	j->asks = d->cloud->ec2 && !d->cfg->imds_only && *j->eni && *j->attachment;
	if (d->cfg->imds_only)
		check(j, "permissions", true, NULL, "imds_only: EC2 is not asked");
	else if (!j->asks)
		check(j, "permissions", false, "see the other messages, and ask again", "EC2 cannot be asked before the node is known");
}

/* --- in a worker */

static void check_imds(struct job *j, uint64_t deadline_ms)
{
	struct vw_err err;
	int hops = imds_hops(j->imds, deadline_ms, &err);

	if (hops < 0)
		check(j, "metadata", false, "route to 169.254.169.254; IMDS switched on for the instance; with vpcwired outside the host's network a "
		      "hop limit of 2: aws ec2 modify-instance-metadata-options --http-endpoint enabled --http-put-response-hop-limit 2", "%s", err.msg);
	else if (hops == 1)
		check(j, "metadata", true, NULL, "answers; hop limit 1: pods cannot reach it (if they must: aws ec2 modify-instance-metadata-options "
		      "--instance-id %s --http-put-response-hop-limit 2)", j->instance);
	else
		check(j, "metadata", true, NULL, "answers; hop limit 2 or more: pods can reach it, and this node's role (to keep them out: aws ec2 "
		      "modify-instance-metadata-options --instance-id %s --http-put-response-hop-limit 1)", j->instance);
}

static bool check_credentials(struct job *j, uint64_t deadline_ms)
{
	vw_auto_creds_set struct creds_set keys = { 0 };
	struct vw_err err;
	bool have = creds_get(j->d->cloud->creds, deadline_ms, &keys, &err) == 0;

	check(j, "credentials", have, "attach an instance profile, or give the service account a role", "%s",
	      have ? creds_source_name(creds_source(j->d->cloud->creds)) : err.msg);
	return have;
}

static void check_permissions(struct job *j, uint64_t deadline_ms)
{
	const struct ec2_rights named = {
		.eni_id = j->eni, .attachment_id = j->attachment, .subnet_id = j->subnet, .vpc_id = j->vpc, .instance_type = j->type,
		.address = j->address, .ipv6 = *j->ipv6 ? j->ipv6 : NULL, .groups = j->group, .n_groups = j->n_groups,
	};

	for (unsigned int i = 0; i < EC2_MAY_ACTIONS; i++) {
		struct ec2_error err;
		const char *action;
		int r = ec2_may(j->d->cloud->ec2, deadline_ms, i, &named, &action, &err);

		if (!action)
			continue;
		if (r == 1)
			check(j, "permission", true, NULL, "ec2:%s", action);
		else if (r == 0)
			check(j, "permission", false, "add it to the role; deploy/iam/policy.json has all that are needed", "ec2:%s is missing", action);
		else
			check(j, "permission", false, "see the message, and ask again", "ec2:%s could not be asked about: %s", action, err.why.msg);
	}
}

static void work(void *arg)
{
	struct job *j = arg;
	uint64_t deadline_ms = vw_mono_ms() + ASK_MS;
	int64_t skew;

	check_imds(j, deadline_ms);
	if (!j->asks || !check_credentials(j, deadline_ms))
		return;
	check_permissions(j, deadline_ms);
	skew = ec2_clock_skew_s(j->d->cloud->ec2);
	check(j, "clock", skew > -SKEW_LIMIT_S && skew < SKEW_LIMIT_S, "set the clock: chronyc with 169.254.169.123", "%lld s behind EC2's",
	      (long long)skew);
}

static void done(void *arg)
{
	struct job *j = arg;
	struct vw_json *root = vw_json_new_object();

	j->failed |= vw_json_set(root, "checks", j->checks);
	if (j->failed) {
		vw_json_free(root);
		root = NULL;
	}
	later_answer(j->later, root);
	free(j);
}

int doctor_query(struct daemon *d, struct rpc_conn *conn, const struct vw_json *args, struct vw_err *err)
{
	struct job *j = calloc(1, sizeof(*j));

	(void)args;
	if (!j)
		return vw_err_set(err, ENOMEM, 0, "no memory for a look at the node");
	j->d = d;
	j->checks = vw_json_new_array();
	check_state(j);
	check_capabilities(j);
	check_kernel(j);
	check_mtu(j);
	check_programs(j);
	name_things(j);
	j->later = later_new(d, conn, NULL, NULL);
	if (j->later && loop_job(d->loop, work, done, j) == 0)
		return 0;
	if (j->later)
		later_forget(j->later);
	vw_json_free(j->checks);
	free(j);
	return vw_err_set(err, ENOMEM, 0, "no memory for a look at the node");
}
