/* Other CNIs: what they leave on a node translates, drops and routes what is not theirs. Each is known by the names that it gives. */
#include "cli/look_priv.h"

#include "cli/run.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/net/link.h"
#include "lib/net/nftnl.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"

#include <linux/netfilter.h>
#include <string.h>
#include <sys/socket.h>

#define SAVE_MS 10000
#define SAVE_MAX (8u * 1024 * 1024)     /* kube-proxy writes thousands of rules */

struct known {
	const char *prefix, *who;
};

static const struct known interfaces[] = {
	{ "cali", "Calico" }, { "vxlan.calico", "Calico" }, { "cilium_", "Cilium" }, { "lxc_health", "Cilium" }, { "flannel.", "Flannel" },
	{ "weave", "Weave" }, { "antrea-", "Antrea" },      { "ovn-k8s", "OVN" },    { "kube-bridge", "kube-router" },
};

/* chains of iptables, and those of nftables that are named like them; kube-proxy's, which live beside ours, are none of these */
static const struct known chains[] = {
	{ "AWS-SNAT-CHAIN", "aws-node" },  { "AWS-CONNMARK-CHAIN", "aws-node" }, { "CILIUM_", "Cilium" },	   { "OLD_CILIUM_", "Cilium" },
	{ "cali-", "Calico" },		   { "KUBE-ROUTER-", "kube-router" },	 { "KUBE-NWPLCY-", "kube-router" }, { "KUBE-POD-FW-", "kube-router" },
	{ "FLANNEL-", "Flannel" },	   { "WEAVE", "Weave" },		 { "ANTREA-", "Antrea" },	   { "OVN-KUBE-", "OVN" },
};

#define AWAY "remove the other CNI, then reboot: its interfaces, routes and nftables stay otherwise"

static const char *whose(const struct known *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strncmp(name, list[i].prefix, strlen(list[i].prefix)))
			return list[i].who;
	return NULL;
}

static void links(struct look *l, struct vw_nl *nl)
{
	vw_auto_free struct vw_link *v = NULL;
	struct vw_err err;
	int n = vw_link_list(nl, &v, &err);

	for (int i = 0; i < n; i++) {
		const char *who = whose(interfaces, VW_ARRAY_SIZE(interfaces), v[i].name);

		if (!who)
			continue;
		check(l, "other CNIs", false, AWAY, "interface %s is %s's", v[i].name, who);
		return;
	}
	if (n >= 0)
		check(l, "other CNIs", true, NULL, "no interface of another CNI");
}

/* its rules for pods stand at 512 (to) and 1536 (from); ours carry our protocol */
static void aws_node(struct look *l, struct vw_nl *nl)
{
	vw_auto_free struct vw_rule *v = NULL;
	struct vw_err err;
	int n = vw_rule_list(nl, AF_INET, &v, &err), foreign = 0;

	for (int i = 0; i < n; i++)
		foreign += v[i].protocol != VW_RTPROT && (v[i].priority == 512 || v[i].priority == 1536);
	if (n >= 0)
		check(l, "aws-node", !foreign, "stop aws-node: two masters of one node's ENIs take addresses from each other", foreign ?
		      "%d rules at 512 or 1536 are not vpcwire's" : "no rules of its", foreign);
}

/** struct tally - chains of others: how many, and the first one. */
struct tally {
	unsigned int n;
	const char *who;
	char where[160];
};

static void count_chain(struct tally *t, const char *table, const char *chain)
{
	const char *who = whose(chains, VW_ARRAY_SIZE(chains), chain);

	if (!who)
		return;
	if (!t->n++) {
		t->who = who;
		(void)!vw_fmt(t->where, sizeof(t->where), "%s of %s", chain, table);
	}
}

static int count_nft(struct tally *t, struct vw_err *err)
{
	vw_auto_free struct vw_nftnl_chain_name *v = NULL;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	int n;

	if (vw_nftnl_open(&nl, err) < 0)
		return -err->eno;
	n = vw_nftnl_chain_list(&nl, &v, err);
	for (int i = 0; i < n; i++) {
		char table[96];

		(void)!vw_fmt(table, sizeof(table), "nftables' table %s %s", v[i].family == NFPROTO_IPV4 ? "ip" : v[i].family == NFPROTO_IPV6 ? "ip6" :
			      v[i].family == NFPROTO_INET ? "inet" : "of another family", v[i].table);
		count_chain(t, table, v[i].chain);
	}
	return n < 0 ? n : 0;
}

/* the other iptables, which nftables does not show: lines ":CHAIN policy [counters]" behind "*table" */
static void count_saved(struct tally *t, char *text)
{
	char table[48] = "iptables-legacy";

	for (char *line = text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (*line == '*')
			(void)!vw_fmt(table, sizeof(table), "iptables-legacy's table %.16s", line + 1);
		if (*line != ':')
			continue;
		line[strcspn(line, " ")] = 0;
		count_chain(t, table, line + 1);
	}
}

/* Return: 0; 1 = there are tables, but nobody to list them; -errno */
static int count_legacy(struct tally *t, const char *names, const char *save, struct vw_err *err)
{
	vw_auto_buf struct vw_buf tables = VW_BUF_INIT, out = VW_BUF_INIT_MAX(SAVE_MAX);
	const char *const argv[] = { save, NULL };

	/* asked without tables, the program would make them */
	if (vw_read_file(names, 4096, &tables, err) < 0 || !tables.len)
		return 0;
	if (run_program(argv, vw_mono_ms() + SAVE_MS, &out, err) != 0)
		return 1;
	count_saved(t, out.data);
	return 0;
}

static void iptables(struct look *l)
{
	struct tally t = { 0 };
	struct vw_err err;

	if (count_nft(&t, &err) < 0)
		check(l, "iptables", false, "modprobe nf_tables", "nftables cannot be looked at: %s", err.msg);
	if (count_legacy(&t, "/proc/net/ip_tables_names", "iptables-legacy-save", &err) ||
	    count_legacy(&t, "/proc/net/ip6_tables_names", "ip6tables-legacy-save", &err))
		check(l, "iptables", false, "install iptables, or look at them by yourself", "there are tables of iptables-legacy that cannot be listed: %s", err.msg);
	if (t.n)
		check(l, "iptables", false, !strcmp(t.who, "aws-node") ? "stop aws-node; vpcwired --from-aws-node-done takes its chains away (docs/MIGRATION.md)" : AWAY,
		      "%u chains of other CNIs: %s is %s's", t.n, t.where, t.who);
	else
		check(l, "iptables", true, NULL, "no chain of another CNI, in nftables or iptables");
}

void look_at_others(struct look *l, struct vw_nl *nl)
{
	links(l, nl);
	aws_node(l, nl);
	iptables(l);
}
