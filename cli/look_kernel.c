/*
 * Features of the kernel, each asked for by doing it: a version says nothing about what was left out of a build, or whose module is not there. What
 * it makes goes with the namespace.
 */
#include "cli/look_priv.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/ct.h"
#include "lib/net/link.h"
#include "lib/net/netns.h"
#include "lib/net/nftnl.h"
#include "lib/net/nl.h"
#include "lib/net/rule.h"
#include "lib/net/tc.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#define TABLE "vpcwire_probe"

static int veth(struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_link_end host = { .name = "probe0", .netns_fd = -1 }, peer = { .name = "probe1", .netns_fd = -1 };

	if (vw_nl_open(&nl, err) < 0)
		return -err->eno;
	vw_link_add_veth(&b, &host, &peer);
	return vw_nl_commit(&nl, &b, err);
}

/* on the loopback, which is there whatever became of the veth */
static int clsact(struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	if (vw_nl_open(&nl, err) < 0)
		return -err->eno;
	vw_clsact_add(&b, 1, "lo");
	return vw_nl_commit(&nl, &b, err);
}

/* a filter whose program is no open descriptor: a kernel that knows the kind looks for it, another one not so far */
static int cls_bpf(struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_filter filter = { .ifindex = 1, .prog_fd = INT_MAX, .name = "probe", .dev = "lo" };
	int r;

	if (vw_nl_open(&nl, err) < 0)
		return -err->eno;
	vw_clsact_add(&b, 1, "lo");
	vw_nl_tolerate(&b, VW_NL_OK_EXISTS);
	vw_filter_replace(&b, &filter);
	r = vw_nl_commit(&nl, &b, err);
	return r == -EBADF ? 0 : r;
}

static int rules(struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_rule rule = { .family = AF_INET, .priority = 1536, .fwmark = 1, .fwmask = 0x7f, .table = 2 };

	if (vw_nl_open(&nl, err) < 0)
		return -err->eno;
	vw_rule_add(&b, &rule);
	return vw_nl_commit(&nl, &b, err);
}

/* a chain of type nat with a rule that looks at the connection's mark: nf_tables, its NAT, and connection tracking */
static int nftables(struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	const struct vw_nftnl_chain chain = { TABLE, "source", "nat", NF_INET_POST_ROUTING, 100 };
	const struct vw_nftnl_chain own = { TABLE, "own", "route", NF_INET_LOCAL_OUT, -150 };
	const uint32_t mark = 0x80, address = 0x0100007f;
	struct vw_nftnl_rule r;

	if (vw_nftnl_open(&nl, err) < 0)
		return -err->eno;
	vw_nftnl_begin(&b);
	vw_nftnl_table_add(&b, TABLE);
	vw_nftnl_chain_add(&b, &chain);
	vw_nftnl_chain_add(&b, &own);
	vw_nftnl_rule_begin(&r, &b, TABLE, chain.name);
	vw_nftnl_ct(&r, NFT_CT_MARK, 0);
	vw_nftnl_cmp(&r, 0, &mark, sizeof(mark));
	vw_nftnl_load(&r, 1, &address, sizeof(address));
	vw_nftnl_snat(&r, AF_INET, 1);
	vw_nftnl_rule_end(&r);
	return vw_nftnl_commit(&nl, &b, err);
}

/* the table of connections, read by netlink; it is empty here */
static int conntrack(struct vw_err *err)
{
	const struct vw_ip nobody = { .family = AF_INET, .b = { 192, 0, 2, 1 } };
	int r = vw_ct_purge_to(&nobody, IPPROTO_UDP, 9, err);

	return r < 0 ? r : 0;
}

static const struct {
	const char *part, *fine, *todo;
	int (*make)(struct vw_err *err);
} features[] = {
	{ "veth", "pairs can be made", "modprobe veth (CONFIG_VETH): each pod has a pair", veth },
	{ "clsact", "can be put on an interface", "modprobe sch_ingress (CONFIG_NET_SCH_INGRESS): pods' programs hang there, unless \"attach\" is tcx", clsact },
	{ "cls_bpf", "is a kind of filter", "modprobe cls_bpf (CONFIG_NET_CLS_BPF): it is how pods' programs hang on a clsact, unless \"attach\" is tcx", cls_bpf },
	{ "policy routing", "rules by mark can be made", "boot a kernel with CONFIG_IP_MULTIPLE_TABLES: each ENI has a rule and a table", rules },
	{ "nftables", "NAT by connection mark can be made", "modprobe nf_tables nft_chain_nat nft_ct nf_conntrack (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, "
	  "CONFIG_NFT_CT): what leaves the VPC is translated by it", nftables },
	{ "connection table", "can be read and written by netlink", "modprobe nf_conntrack_netlink (CONFIG_NF_CT_NETLINK): connections of pods that are gone "
	  "are taken out of it, or an address' next pod would get their packets", conntrack },
};

void look_at_features(struct look *l)
{
	vw_auto_close int home = -EBADF;
	struct vw_err err;

	home = vw_netns_open_self(&err);
	if (home < 0 || unshare(CLONE_NEWNET) < 0) {
		if (home >= 0)
			(void)vw_err_sys(&err, errno, 0, "making a network namespace");
		check(l, "kernel features", false, "run it as root, on the node itself", "could not be tried out: %s", err.msg);
		return;
	}
	for (size_t i = 0; i < VW_ARRAY_SIZE(features); i++) {
		bool there = features[i].make(&err) == 0;

		check(l, features[i].part, there, features[i].todo, "%s", there ? features[i].fine : err.msg);
	}
	/* nothing is done on the wrong network: what follows would be told of this one */
	if (vw_netns_enter(home, &err) < 0)
		abort();
}
