/*
 * What policies do, by the tables that come of them: NetworkPolicy row by row, named ports, blocks, tiers, names, services, and the
 * limits. Whose the question is stands in case_asks().
 */
#include "lib/base/buf.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NP(name, spec) "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: " name "}\nspec: " spec "\n"
#define CNP(name, tier, prio, rest) \
	"---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: " name "}\nspec: {tier: " tier \
	", priority: " prio ", " rest "}\n"
#define ALL "subject: {namespaces: {}}"
#define POD(ns, name, labels, ports, status) \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: " ns ", name: " name ", labels: {" labels "}}\nspec: {nodeName: n1, containers: " \
	"[{ports: [" ports "]}]}\nstatus: {" status "}\n"
#define RUNS(ip4, ip6) "phase: Running, podIP: " ip4 ", podIPs: [{ip: " ip4 "}, {ip: '" ip6 "'}]"

static const char cluster[] =
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {ns: x}}\n---\n"
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: y, labels: {ns: y}}\n"
	POD("x", "a", "pod: a", "{name: web, containerPort: 80}, {name: dns, protocol: UDP, containerPort: 53}", RUNS("10.0.0.1", "fd00::1"))
	POD("x", "b", "pod: b", "{name: web, containerPort: 8080}", RUNS("10.0.0.2", "fd00::2"))
	POD("y", "a", "pod: a", "{name: web, protocol: UDP, containerPort: 80}", RUNS("10.0.1.1", "fd00:1::1"))
	POD("y", "b", "pod: b, tier: gold", "", RUNS("10.0.1.2", "fd00:1::2"))
	POD("y", "gone", "pod: a", "", "phase: Succeeded, podIP: 10.0.1.9")
	POD("y", "dead", "pod: a", "", "phase: Failed, podIP: 10.0.1.8")
	"---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: y, name: host, labels: {pod: a}}\nspec: {hostNetwork: true}\n"
	"status: {phase: Running, podIP: 10.9.0.2}\n"
	"---\napiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {r: w}}\nstatus: {addresses: [{address: 10.9.0.1}, {address: 'fd09::1'}]}\n"
	"---\napiVersion: v1\nkind: Node\nmetadata: {name: n2, labels: {r: m}}\nstatus: {addresses: [{address: 10.9.0.2}]}\n";

static struct np_case c;

static int setup(void **state)
{
	case_init(&c);
	case_take(&c, "cluster.yaml", cluster);
	case_local(&c, "x/a", "10.0.0.1", "fd00::1");
	case_local(&c, "x/b", "10.0.0.2", "fd00::2");
	return 0;
}

static int teardown(void **state)
{
	case_done(&c);
	return 0;
}

static void with(const char *policies)
{
	case_take(&c, "p.yaml", policies);
	case_compile(&c);
}

struct row {
	const char *policies, *question, *want;
};

/* Rows with the same policies share them. */
static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].policies)
			with(rows[i].policies);
		case_expect(&c, rows[i].question, rows[i].want);
	}
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))

static void isolation(void **state)
{
	static const struct row rows[] = {
		{ "", "x/a < 10.0.1.1 TCP/80", "ALLOW" },
		{ NULL, "x/a > 8.8.8.8 ICMP", "ALLOW" },
		/* all pods of the namespace, ingress alone; and it is named */
		{ NP("p", "{}"), "x/a < 10.0.1.1 TCP/80", "DENY NetworkPolicy x/p" },
		{ NULL, "x/b < 10.0.1.1 ICMP", "DENY NetworkPolicy x/p" },
		{ NULL, "x/a > 10.0.1.1 TCP/80", "ALLOW" },
		{ NP("p", "{podSelector: {matchLabels: {pod: a}}}") NP("q", "{}"), "x/a < 8.8.8.8 UDP/1", "DENY NetworkPolicy x/p,x/q" },
		{ NULL, "x/b < 8.8.8.8 UDP/1", "DENY NetworkPolicy x/q" },
		/* egress: [] without policyTypes does not isolate it, a rule does */
		{ NP("p", "{egress: []}"), "x/a > 8.8.8.8 TCP/80", "ALLOW" },
		{ NP("p", "{policyTypes: [Egress]}"), "x/a > 8.8.8.8 TCP/80", "DENY NetworkPolicy x/p" },
		{ NULL, "x/a < 8.8.8.8 TCP/80", "ALLOW" },
		/* {} allows all, whatever protocol and family */
		{ NP("p", "{ingress: [{}], egress: [{}]}"), "x/a < 8.8.8.8 TCP/80", "ALLOW NetworkPolicy x/p spec.ingress[0]" },
		{ NULL, "x/a > fd99::1 ICMP", "ALLOW NetworkPolicy x/p spec.egress[0]" },
		/* a policy of another namespace is no business of x */
		{ "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: y, name: p}", "x/a < 10.0.1.1 TCP/80", "ALLOW" },
		/* both ends count, each by itself */
		{ NP("p", "{podSelector: {matchLabels: {pod: a}}, egress: [{to: [{podSelector: {}}]}]}"), "x/a > 10.0.0.2 TCP/1", "ALLOW NetworkPolicy x/p" },
		{ NULL, "x/a > 10.0.1.2 TCP/1", "DENY NetworkPolicy x/p" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY NetworkPolicy x/p" },
		{ NULL, "x/b < 10.0.0.1 TCP/1", "ALLOW" },
	};

	CHECK(rows);
}

#define FROM(peers) NP("p", "{ingress: [{from: [" peers "]}]}")
static void peers(void **state)
{
	static const struct row rows[] = {
		{ FROM("{podSelector: {}}"), "x/a < 10.0.0.2 TCP/1", "ALLOW" },
		{ NULL, "x/a < fd00::2 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.1.1 TCP/1", "DENY" },
		{ NULL, "x/a < 10.0.0.77 TCP/1", "DENY" },
		{ FROM("{namespaceSelector: {}}"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 TCP/1", "DENY" },
		{ FROM("{namespaceSelector: {matchLabels: {ns: y}}}"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < fd00:1::2 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY" },
		{ FROM("{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: b}}}"), "x/a < 10.0.1.2 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.1.1 TCP/1", "DENY" },
		{ FROM("{namespaceSelector: {matchLabels: {ns: y}}}, {podSelector: {matchLabels: {pod: b}}}"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.0.1 TCP/1", "DENY" },
		/* the label that every namespace has */
		{ FROM("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY" },
		/* expressions */
		{ FROM("{namespaceSelector: {}, podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [gold]}]}}"),
		  "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.1.2 TCP/1", "DENY" },
		{ FROM("{namespaceSelector: {}, podSelector: {matchExpressions: [{key: tier, operator: Exists}]}}"), "x/a < 10.0.1.2 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.1.1 TCP/1", "DENY" },
		{ FROM("{namespaceSelector: {}, podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}, {key: pod, operator: In, "
		       "values: [a, c]}]}}"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.1.2 TCP/1", "DENY" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY" },
		/* pods that have ended are nobody; one on its host's network is the host */
		{ FROM("{namespaceSelector: {}}"), "x/a < 10.0.1.9 TCP/1", "DENY" },
		{ NULL, "x/a < 10.0.1.8 TCP/1", "DENY" },
		{ NULL, "x/a < 10.9.0.2 TCP/1", "DENY" },
		/* from: [] is not from nobody (A12) */
		{ NP("p", "{ingress: [{from: [], ports: [{port: 80}]}]}"), "x/a < 8.8.8.8 TCP/80", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 TCP/81", "DENY" },
	};

	CHECK(rows);
}

static void ports(void **state)
{
	static const struct row rows[] = {
		{ NP("p", "{ingress: [{ports: [{port: 80}]}]}"), "x/a < 8.8.8.8 TCP/80", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 UDP/80", "DENY" },
		{ NULL, "x/a < 8.8.8.8 SCTP/80", "DENY" },
		{ NULL, "x/a < 8.8.8.8 ICMP", "DENY" },
		{ NP("p", "{ingress: [{ports: [{protocol: UDP}]}]}"), "x/a < 8.8.8.8 UDP/0", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 UDP/65535", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 TCP/1", "DENY" },
		{ NP("p", "{ingress: [{ports: [{port: 80, endPort: 82}, {protocol: SCTP, port: 65535}]}]}"), "x/a < 8.8.8.8 TCP/79", "DENY" },
		{ NULL, "x/a < 8.8.8.8 TCP/80", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 TCP/82", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 TCP/83", "DENY" },
		{ NULL, "x/a < 8.8.8.8 SCTP/65535", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 SCTP/65534", "DENY" },
		/* a rule for all ports of all protocols is not one for ICMP */
		{ NP("p", "{ingress: [{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]}]}"), "x/a < 8.8.8.8 TCP/7", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 ICMP", "DENY" },
		/* rules and policies add up, in any order */
		{ NP("p", "{ingress: [{ports: [{port: 80}], from: [{podSelector: {}}]}]}") NP("q", "{ingress: [{ports: [{port: 81}]}, {from: [{ipBlock: "
		  "{cidr: 8.0.0.0/8}}]}]}"), "x/a < 10.0.0.2 TCP/80", "ALLOW NetworkPolicy x/p spec.ingress[0]" },
		{ NULL, "x/a < 10.0.0.2 TCP/81", "ALLOW NetworkPolicy x/q spec.ingress[0]" },
		{ NULL, "x/a < 10.0.0.2 TCP/82", "DENY NetworkPolicy x/p,x/q" },
		{ NULL, "x/a < 8.8.8.8 TCP/82", "ALLOW NetworkPolicy x/q spec.ingress[1]" },
	};

	CHECK(rows);
}

static void named_ports(void **state)
{
	static const struct row rows[] = {
		/* ingress: on each selected pod its own number (AWS: the union of all on each) */
		{ NP("p", "{ingress: [{ports: [{port: web}]}]}"), "x/a < 8.8.8.8 TCP/80", "ALLOW" },
		{ NULL, "x/a < 8.8.8.8 TCP/8080", "DENY" },
		{ NULL, "x/b < 8.8.8.8 TCP/8080", "ALLOW" },
		{ NULL, "x/b < 8.8.8.8 TCP/80", "DENY" },
		{ NULL, "x/a < 8.8.8.8 UDP/80", "DENY" },
		{ NP("p", "{ingress: [{ports: [{protocol: UDP, port: dns}]}]}"), "x/a < 8.8.8.8 UDP/53", "ALLOW" },
		{ NULL, "x/b < 8.8.8.8 UDP/53", "DENY" },
		/* egress: on each destination its own; no `to` still means pods alone (A13) */
		{ NP("p", "{policyTypes: [Egress], egress: [{ports: [{port: web}]}]}"), "x/a > 10.0.0.2 TCP/8080", "ALLOW" },
		{ NULL, "x/a > 10.0.0.2 TCP/80", "DENY" },
		{ NULL, "x/b > 10.0.0.1 TCP/80", "ALLOW" },
		{ NULL, "x/b > fd00::1 TCP/80", "ALLOW" },
		{ NULL, "x/a > 10.0.1.1 TCP/80", "DENY" }, /* its "web" is UDP */
		{ NULL, "x/a > 8.8.8.8 TCP/80", "DENY" },
		{ NP("p", "{policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: web}, {port: 9}]}]}"),
		  "x/a > 10.0.0.2 TCP/8080", "ALLOW" },
		{ NULL, "x/a > 10.0.0.2 TCP/9", "ALLOW" },
		{ NULL, "x/b > 10.0.0.1 TCP/80", "DENY" },
		/* never an ipBlock */
		{ NP("p", "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: web}]}]}"), "x/a > 10.0.0.2 TCP/8080", "DENY" },
		/* any protocol (v1alpha2) */
		{ CNP("c", "Admin", "1", ALL ", egress: [{action: Deny, to: [{namespaces: {}}], protocols: [{destinationNamedPort: web}]}]"),
		  "x/a > 10.0.1.1 UDP/80", "DENY ClusterNetworkPolicy c spec.egress[0]" },
		{ NULL, "x/a > 10.0.1.1 TCP/80", "ALLOW" },
		{ NULL, "x/a > 10.0.0.2 TCP/8080", "DENY" },
		{ CNP("c", "Admin", "1", ALL ", ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{destinationNamedPort: dns}]}]"),
		  "x/a < 10.0.1.1 UDP/53", "DENY" },
		{ NULL, "x/a < 10.0.1.1 TCP/53", "ALLOW" },
		{ NULL, "x/b < 10.0.1.1 UDP/53", "ALLOW" },
	};

	CHECK(rows);
}

#define TO(peers) NP("p", "{policyTypes: [Egress], egress: [{to: [" peers "]}]}")
static void blocks(void **state)
{
	static const struct row rows[] = {
		{ TO("{ipBlock: {cidr: 10.0.0.0/8}}"), "x/a > 10.77.0.1 TCP/1", "ALLOW" },
		{ NULL, "x/a > 11.0.0.1 TCP/1", "DENY" },
		/* pods and nodes are in blocks like anybody */
		{ NULL, "x/a > 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a > 10.9.0.2 TCP/1", "ALLOW" },
		/* one family does not match the other, though the pod is the same */
		{ NULL, "x/a > fd00:1::1 TCP/1", "DENY" },
		{ TO("{ipBlock: {cidr: 0.0.0.0/0}}"), "x/a > 8.8.8.8 ICMP", "ALLOW" },
		{ NULL, "x/a > fd99::1 TCP/1", "DENY" },
		{ TO("{ipBlock: {cidr: '::/0'}}"), "x/a > fd00::2 TCP/1", "ALLOW" },
		{ NULL, "x/a > 10.0.0.2 TCP/1", "DENY" },
		/* host bits */
		{ TO("{ipBlock: {cidr: 10.1.2.3/8}}"), "x/a > 10.9.9.9 TCP/1", "ALLOW" },
		/* except takes from its own block alone (A8) */
		{ TO("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.1.0/24]}}"), "x/a > 10.0.1.1 TCP/1", "DENY" },
		{ NULL, "x/a > 10.0.2.1 TCP/1", "ALLOW" },
		{ TO("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.1.0/24]}}, {ipBlock: {cidr: 10.0.1.1/32}}"), "x/a > 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a > 10.0.1.2 TCP/1", "DENY" },
		{ TO("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.1.0/24]}}, {podSelector: {}}") NP("q", "{policyTypes: [Egress], egress: [{to: [{ipBlock: "
		  "{cidr: 10.0.0.0/16}}]}]}"), "x/a > 10.0.1.1 TCP/1", "ALLOW NetworkPolicy x/q" },
		{ NULL, "x/a > 10.1.1.1 TCP/1", "ALLOW NetworkPolicy x/p" },
		/* a block within an except of the same rule, and an except within that */
		{ TO("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/16]}}, {ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.128/25]}}"),
		  "x/a > 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a > 10.0.1.200 TCP/1", "DENY" },
		{ NULL, "x/a > 10.0.2.1 TCP/1", "DENY" },
		{ NULL, "x/a > 10.1.2.1 TCP/1", "ALLOW" },
		/* ports differ by block */
		{ NP("p", "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 1}]}, {to: [{ipBlock: {cidr: "
			  "10.0.1.0/24}}], ports: [{port: 2}]}]}"), "x/a > 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a > 10.0.1.1 TCP/2", "ALLOW" },
		{ NULL, "x/a > 10.0.2.1 TCP/2", "DENY" },
	};

	CHECK(rows);
}

/* 10,000 ports in a rule are two classes; nothing is cut off (A7). */
static void many_ports(void **state)
{
	struct vw_buf text = VW_BUF_INIT;
	char q[64];

	vw_buf_puts(&text, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {ingress: [{ports: [");
	for (int i = 0; i < 10000; i++)
		vw_buf_printf(&text, "%s{port: %d}", i ? "," : "", 2 * i + 1);
	vw_buf_puts(&text, "]}]}\n");
	with(vw_buf_str(&text));
	assert_int_equal(c.img->n_port_class, 2);
	for (int i = 0; i < 20000; i += 777) {
		(void)snprintf(q, sizeof(q), "x/a < 8.8.8.8 TCP/%d", i);
		case_expect(&c, q, i % 2 ? "ALLOW" : "DENY");
	}
	vw_buf_done(&text);
}

#define RULE(action, peers) "{action: " action ", from: [" peers "]}"
#define NS_X "{namespaces: {matchLabels: {ns: x}}}"
#define NS_Y "{namespaces: {matchLabels: {ns: y}}}"
#define NS_ALL "{namespaces: {}}"
static void tiers(void **state)
{
	static const struct row rows[] = {
		/* the order of rules in a policy counts (A10) */
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Accept", NS_Y) ", " RULE("Deny", NS_ALL) "]"), "x/a < 10.0.1.1 TCP/1",
		  "ALLOW ClusterNetworkPolicy c spec.ingress[0]" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY ClusterNetworkPolicy c spec.ingress[1]" },
		{ NULL, "x/a < 8.8.8.8 TCP/1", "ALLOW" },
		{ NULL, "x/a > 10.0.1.1 TCP/1", "ALLOW" },
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Deny", NS_ALL) ", " RULE("Accept", NS_Y) "]"), "x/a < 10.0.1.1 TCP/1", "DENY" },
		/* lower priority first, then names */
		{ CNP("c", "Admin", "9", ALL ", ingress: [" RULE("Deny", NS_ALL) "]") CNP("z", "Admin", "8", ALL ", ingress: [" RULE("Accept", NS_ALL) "]"),
		  "x/a < 10.0.1.1 TCP/1", "ALLOW ClusterNetworkPolicy z" },
		{ CNP("c", "Admin", "9", ALL ", ingress: [" RULE("Deny", NS_ALL) "]") CNP("b", "Admin", "9", ALL ", ingress: [" RULE("Accept", NS_ALL) "]"),
		  "x/a < 10.0.1.1 TCP/1", "ALLOW ClusterNetworkPolicy b" },
		/* Admin is before NetworkPolicy, whatever that says */
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Accept", NS_Y) "]") NP("p", "{}"), "x/a < 10.0.1.1 TCP/1", "ALLOW ClusterNetworkPolicy c" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY NetworkPolicy x/p" },
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Deny", NS_Y) "]") NP("p", "{ingress: [{}]}"), "x/a < 10.0.1.1 TCP/1", "DENY ClusterNetworkPolicy c" },
		/* Pass skips the rest of the tier */
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Pass", NS_Y) "]") CNP("d", "Admin", "2", ALL ", ingress: [" RULE("Deny", NS_ALL) "]") NP("p",
		  "{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}]}]}"), "x/a < 10.0.1.1 TCP/80", "ALLOW NetworkPolicy x/p" },
		{ NULL, "x/a < 10.0.1.1 TCP/81", "DENY NetworkPolicy x/p" },
		{ NULL, "x/b < 10.0.1.1 TCP/81", "ALLOW" },
		{ NULL, "x/a < 10.0.0.2 TCP/80", "DENY ClusterNetworkPolicy d" },
		/* Baseline is for whom no NetworkPolicy isolates, in that direction (A9) */
		{ CNP("c", "Baseline", "1", ALL ", ingress: [" RULE("Deny", NS_ALL) "], egress: [{action: Deny, to: [{networks: [8.0.0.0/8]}]}]")
		  NP("p", "{podSelector: {matchLabels: {pod: a}}, ingress: [{}]}"), "x/a < 10.0.1.1 TCP/1", "ALLOW NetworkPolicy x/p" },
		{ NULL, "x/b < 10.0.1.1 TCP/1", "DENY ClusterNetworkPolicy c" },
		{ NULL, "x/a > 8.8.8.8 TCP/1", "DENY ClusterNetworkPolicy c" },
		{ NULL, "x/a > 9.9.9.9 TCP/1", "ALLOW" },
		/* Pass in Baseline decides nothing */
		{ CNP("c", "Baseline", "1", ALL ", ingress: [" RULE("Pass", NS_Y) ", " RULE("Deny", NS_ALL) "]"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY" },
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Pass", NS_Y) "]") CNP("d", "Baseline", "1", ALL ", ingress: [" RULE("Deny", NS_ALL) "]"),
		  "x/a < 10.0.1.1 TCP/1", "DENY ClusterNetworkPolicy d" },
		/* AdminNetworkPolicy and the one Baseline of old */
		{ "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\nspec: {priority: 1, " ALL ", ingress: ["
		  RULE("Allow", NS_Y) "]}\n---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\n"
		  "spec: {" ALL ", ingress: [" RULE("Deny", NS_ALL) "]}\n", "x/a < 10.0.1.1 TCP/1", "ALLOW AdminNetworkPolicy a" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY BaselineAdminNetworkPolicy default" },
		/* whom it is for */
		{ CNP("c", "Admin", "1", "subject: {pods: {podSelector: {matchLabels: {pod: a}}}}, ingress: [" RULE("Deny", NS_ALL) "]"),
		  "x/a < 10.0.1.1 TCP/1", "DENY" },
		{ NULL, "x/b < 10.0.1.1 TCP/1", "ALLOW" },
		{ CNP("c", "Admin", "1", "subject: {namespaces: {matchLabels: {ns: y}}}, ingress: [" RULE("Deny", NS_ALL) "]"), "x/a < 10.0.1.1 TCP/1", "ALLOW" },
		/* a pod on its host's network is neither pod nor peer */
		{ CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Deny", NS_ALL) "]"), "x/a < 10.9.0.2 TCP/1", "ALLOW" },
		/* an unknown peer fails closed */
		{ CNP("c", "Admin", "1", ALL ", ingress: [{action: Pass, from: [{galaxies: {}}]}]"), "x/a < 8.8.8.8 ICMP", "DENY ClusterNetworkPolicy c" },
		{ CNP("c", "Admin", "1", ALL ", ingress: [{action: Accept, from: [{galaxies: {}}]}, " RULE("Deny", NS_ALL) "]"), "x/a < 10.0.1.1 TCP/1", "DENY" },
		{ NULL, "x/a < 8.8.8.8 TCP/1", "ALLOW" },
	};

	CHECK(rows);
}

static void nodes(void **state)
{
	static const struct row rows[] = {
		/* the own node: no NetworkPolicy's business, but the cluster's */
		{ NP("p", "{policyTypes: [Egress, Ingress]}"), "x/a > 10.9.0.1 TCP/1", "ALLOW own-node" },
		{ NULL, "x/a > fd09::1 ICMP", "ALLOW own-node" },
		{ NULL, "x/a > 10.9.0.2 TCP/1", "DENY" },
		{ NULL, "x/a > 169.254.77.1 UDP/53", "ALLOW own-node" }, /* an address of the node that its object does not know */
		{ NULL, "x/a < 10.9.0.1 TCP/1", "DENY" },                /* such packets do not come by address: see node_local */
		{ CNP("c", "Admin", "1", ALL ", egress: [{action: Deny, to: [{nodes: {matchLabels: {r: w}}}]}]") NP("p", "{policyTypes: [Egress]}"),
		  "x/a > 10.9.0.1 TCP/1", "DENY ClusterNetworkPolicy c" },
		{ NULL, "x/a > 169.254.77.1 TCP/1", "ALLOW own-node" },
		{ CNP("c", "Admin", "1", ALL ", egress: [{action: Deny, to: [{nodes: {}}]}]"), "x/a > 10.9.0.1 TCP/1", "DENY" },
		{ NULL, "x/a > 10.9.0.2 TCP/1", "DENY" },
		{ NULL, "x/a > 10.0.1.1 TCP/1", "ALLOW" },
		{ CNP("c", "Baseline", "1", ALL ", egress: [{action: Deny, to: [{networks: [10.9.0.0/16]}]}]"), "x/a > 10.9.0.1 TCP/1", "DENY" },
		{ CNP("c", "Admin", "1", ALL ", egress: [{action: Accept, to: [{nodes: {matchLabels: {r: m}}}]}]") NP("p", "{policyTypes: [Egress]}"),
		  "x/a > 10.9.0.2 TCP/1", "ALLOW ClusterNetworkPolicy c" },
	};

	(void)vw_ip_parse("169.254.77.1", &c.node_ip[0]);
	(void)vw_ip_parse("10.9.0.1", &c.node_ip[1]);
	c.conf.n_node_ip = 2;
	CHECK(rows);
	/* what the node itself sends may enter, whatever address it has */
	with(NP("p", "{}") CNP("c", "Admin", "1", ALL ", ingress: [" RULE("Deny", NS_ALL) "]"));
	c.node_local = true;
	case_expect(&c, "x/a < 10.9.0.1 TCP/1", "ALLOW");
	case_expect(&c, "x/a < 8.8.8.8 TCP/1", "ALLOW");
	c.node_local = false;
}

static void strict_mode(void **state)
{
	static const struct row rows[] = {
		{ "", "x/a < 10.0.1.1 TCP/1", "DENY strict" },
		{ NULL, "x/a > 10.0.1.1 TCP/1", "DENY strict" },
		{ NULL, "x/a > 10.9.0.1 TCP/1", "ALLOW own-node" },
		{ NP("p", "{ingress: [{}]}"), "x/a < 10.0.1.1 TCP/1", "ALLOW NetworkPolicy" },
		{ NULL, "x/a > 10.0.1.1 TCP/1", "DENY strict" },
		{ CNP("c", "Baseline", "1", ALL ", ingress: [" RULE("Accept", NS_Y) "]"), "x/a < 10.0.1.1 TCP/1", "ALLOW ClusterNetworkPolicy c" },
		{ NULL, "x/a < 10.0.0.2 TCP/1", "DENY strict" },
	};

	c.conf.strict = true;
	CHECK(rows);
}

/* Pods without an object, outside Kubernetes, without a name, with an object of a pod of that name before. */
static void who_pods_are(void **state)
{
	case_local(&c, "x/new", "10.0.0.9", NULL);
	case_local(&c, "lonely/p", "10.0.2.9", NULL);
	case_local(&c, "container", "10.0.2.8", NULL);
	c.local[c.n_local - 1].name = "";
	case_local(&c, "y/gone", "10.0.1.77", NULL); /* its object has ended, with another address */
	case_local(&c, "y/dead", "10.0.1.8", NULL);  /* this one has ended itself */
	with(NP("p", "{ingress: [{from: [{podSelector: {}}]}]}")
	     "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: y, name: p}\nspec: {}\n"
	     CNP("c", "Admin", "1", "subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: lonely}}}, egress: [{action: Deny, to: "
		 "[{networks: [0.0.0.0/0]}]}]"));
	/* known by namespace alone: selected by what needs no labels, and a peer likewise */
	case_expect(&c, "x/new < 8.8.8.8 TCP/1", "DENY NetworkPolicy x/p");
	case_expect(&c, "x/new < 10.0.0.1 TCP/1", "ALLOW");
	case_expect(&c, "x/a < 10.0.0.9 TCP/1", "ALLOW");
	case_expect(&c, "lonely/p > 8.8.8.8 TCP/1", "DENY ClusterNetworkPolicy c");
	case_expect(&c, "x/a < 10.0.2.9 TCP/1", "DENY");
	c.local[4].name = "container";
	case_expect(&c, "container < 8.8.8.8 TCP/1", "ALLOW");
	case_expect(&c, "y/gone < 8.8.8.8 TCP/1", "DENY NetworkPolicy y/p");
	case_expect(&c, "y/dead < 8.8.8.8 TCP/1", "ALLOW");
	with("");
	/* an ADD without a name: the object with the address has it */
	c.local[4].name = "";
	c.local[4].ip4 = c.local[0].ip4;
	c.local[0].ip4 = c.local[0].ip6 = (struct vw_ip){ 0 };
	c.local[0].ns = "x";
	c.local[0].name = "other";
	with(NP("p", "{podSelector: {matchLabels: {pod: a}}}"));
	c.local[4].ns = "x";
	c.local[4].name = "a";
	case_expect(&c, "x/a < 8.8.8.8 TCP/1", "DENY NetworkPolicy x/p");
}

/* Of two pods with one address the one that was made later has it; an ADD knows better. */
static void one_address_two_pods(void **state)
{
	case_take(&c, "dup.yaml",
		  "apiVersion: v1\nkind: Pod\nmetadata: {namespace: y, name: old, labels: {age: old}, creationTimestamp: '2026-01-01T00:00:00Z'}\nspec: {}\n"
		  "status: {podIP: 10.0.3.3}\n---\n"
		  "apiVersion: v1\nkind: Pod\nmetadata: {namespace: y, name: young, labels: {age: young}, creationTimestamp: '2026-01-02T00:00:00Z'}\n"
		  "spec: {}\nstatus: {podIP: 10.0.3.3}\n---\n"
		  "apiVersion: v1\nkind: Pod\nmetadata: {namespace: y, name: thief, labels: {age: thief}}\nspec: {}\nstatus: {podIP: 10.0.0.1}\n");
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {age: young}}}]}]}"));
	case_expect(&c, "x/a < 10.0.3.3 TCP/1", "ALLOW");
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {age: old}}}]}]}"));
	case_expect(&c, "x/a < 10.0.3.3 TCP/1", "DENY");
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {age: thief}}}]}]}"));
	case_expect(&c, "x/b < 10.0.0.1 TCP/1", "DENY");
}

#define PE(name, ref, members, more) \
	"---\napiVersion: networking.k8s.aws/v1alpha1\nkind: PolicyEndpoint\nmetadata: {namespace: x, name: " name "}\nspec: {policyRef: {namespace: x, " \
	"name: " ref "}, podSelectorEndpoints: [" members "], " more "}\n"
#define MEMBER(name) "{namespace: x, name: " name ", podIP: 10.0.0.1, hostIP: 10.9.0.1}"
static void policy_endpoints(void **state)
{
	static const struct row rows[] = {
		{ PE("p-1", "p", MEMBER("a"), "podIsolation: [Ingress], ingress: [{cidr: 10.0.1.1, ports: [{port: 80}]}, {cidr: 8.0.0.0/8, except: [8.8.0.0/16]}]"),
		  "x/a < 10.0.1.1 TCP/80", "ALLOW PolicyEndpoint x/p spec.ingress[0]" },
		{ NULL, "x/a < 10.0.1.1 TCP/81", "DENY NetworkPolicy x/p" },
		{ NULL, "x/a < 8.9.0.1 ICMP", "ALLOW PolicyEndpoint x/p spec.ingress[1]" },
		{ NULL, "x/a < 8.8.8.8 ICMP", "DENY" },
		{ NULL, "x/b < 8.8.8.8 ICMP", "ALLOW" },
		/* chunks are one policy: who is in any has the rules of all */
		{ PE("p-1", "p", MEMBER("a"), "podIsolation: [Ingress], ingress: [{cidr: 10.0.1.1}]") PE("p-2", "p", MEMBER("b"), "podIsolation: [Ingress], ingress: "
		  "[{cidr: 10.0.1.2}]"), "x/a < 10.0.1.2 TCP/1", "ALLOW PolicyEndpoint x/p" },
		{ NULL, "x/b < 10.0.1.1 TCP/1", "ALLOW PolicyEndpoint x/p" },
		{ NULL, "x/b < 10.0.1.9 TCP/1", "DENY NetworkPolicy x/p" },
		/* not of others */
		{ PE("p-1", "p", MEMBER("a"), "podIsolation: [Ingress]") PE("q-1", "q", MEMBER("b"), "podIsolation: [Ingress], ingress: [{cidr: 10.0.1.2}]"),
		  "x/a < 10.0.1.2 TCP/1", "DENY NetworkPolicy x/p" },
		/* the policy itself says it more exactly */
		{ PE("p-1", "p", MEMBER("a"), "podIsolation: [Ingress], ingress: [{cidr: 0.0.0.0/0}]") NP("p", "{ingress: [{ports: [{port: 80}]}]}"),
		  "x/a < 8.8.8.8 TCP/81", "DENY" },
		{ NULL, "x/a < 8.8.8.8 TCP/80", "ALLOW NetworkPolicy x/p" },
	};

	CHECK(rows);
}

static void domains(void **state)
{
	with("---\napiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: app}\n"
	     "spec: {policyTypes: [Egress], egress: [{to: [{domainNames: [www.a.io, '*.b.io']}], ports: [{port: 443}]}]}\n");
	assert_int_equal(c.img->blob[c.img->subject[0].blob].n_fqdn, 2);
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "DENY NetworkPolicy x/app");
	c.n_name = 1;
	c.name[0] = "www.a.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "ALLOW ApplicationNetworkPolicy x/app spec.egress[0]");
	case_expect(&c, "x/a > 1.2.3.4 TCP/80", "DENY NetworkPolicy x/app");
	case_expect(&c, "x/a > 10.0.1.1 TCP/443", "ALLOW"); /* a pod's address may have a name too */
	c.name[0] = "b.io"; /* not the apex */
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "DENY");
	c.name[0] = "xb.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "DENY");
	c.name[0] = "x.y.b.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "ALLOW");
	/* Admin: names before a denial of all */
	with(CNP("c", "Admin", "1", ALL ", egress: [{action: Accept, to: [{domainNames: ['*.b.io']}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]"));
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "ALLOW ClusterNetworkPolicy c spec.egress[0]");
	c.n_name = 0;
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "DENY ClusterNetworkPolicy c spec.egress[1]");
	/* a name that lets through what is let through anyway is no chain */
	with(CNP("c", "Admin", "1", ALL ", egress: [{action: Accept, to: [{domainNames: ['*.b.io']}]}]"));
	case_expect(&c, "x/a > 1.2.3.4 TCP/443", "ALLOW");
	for (uint32_t i = 0; i < 4; i++)
		assert_true(NP_VERDICT_ACTION(c.img->blob[0].line[((struct np_blob *)c.img->blob[0].line)->dir[NP_EGRESS].mtx].w[i]) != NP_CHAIN);
}

/* AWS: Pass by name puts the rest of the walk, for those names alone, in front. */
static void pass_by_name(void **state)
{
#define AWS(name, tier, prio, rest) \
	"---\napiVersion: networking.k8s.aws/v1alpha1\nkind: ClusterNetworkPolicy\nmetadata: {name: " name "}\nspec: {tier: " tier ", priority: " prio \
	", " ALL ", " rest "}\n"
	with(AWS("c", "Admin", "1", "egress: [{action: Pass, to: [{domainNames: ['*.p.io']}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]")
	     "---\napiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: app}\n"
	     "spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{domainNames: ['*.a.p.io', other.io]}]}]}\n");
	c.n_name = 1;
	c.name[0] = "x.a.p.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "ALLOW ApplicationNetworkPolicy x/app");
	case_expect(&c, "x/b > 1.2.3.4 TCP/1", "ALLOW");
	c.name[0] = "x.p.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "DENY NetworkPolicy x/app");
	c.name[0] = "other.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "DENY ClusterNetworkPolicy c");
	/* known by two names, of which none does both */
	c.n_name = 2;
	c.name[0] = "x.p.io";
	c.name[1] = "other.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "DENY NetworkPolicy x/app");
	c.n_name = 0;
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "DENY ClusterNetworkPolicy c");
}

static uint16_t flags_of(const char *ip)
{
	struct vw_ip a;
	struct vw_cidr host;
	const struct np_peer *p;

	(void)vw_ip_parse(ip, &a);
	host = vw_cidr_host(&a);
	p = np_image_find_peer(c.img, &a);
	return p ? p->flags : np_image_find_cidr(c.img, &host)->flags;
}

static void services(void **state)
{
	(void)vw_cidr_parse("172.20.0.0/16", &c.service[0]);
	c.conf.n_service_cidr = 1;
	(void)vw_ip_parse("169.254.20.10", &c.resolver[0]);
	c.conf.n_resolver = 1;
	case_take(&c, "svc.yaml",
		  "apiVersion: v1\nkind: Service\nmetadata: {namespace: kube-system, name: kube-dns}\nspec: {clusterIP: 172.20.0.10, selector: {k8s-app: "
		  "kube-dns}}\n---\napiVersion: v1\nkind: Service\nmetadata: {namespace: x, name: web}\nspec: {clusterIPs: [10.100.0.1, 'fd0a::1'], "
		  "externalIPs: [10.9.0.2, 10.9.0.1]}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: kube-system, name: d, labels: "
		  "{kubernetes.io/service-name: kube-dns}}\nendpoints: [{addresses: [10.0.7.1]}]\n"
		  POD("kube-system", "dns", "k8s-app: kube-dns", "", "podIP: 10.0.7.2") POD("x", "fake", "k8s-app: kube-dns", "", "podIP: 10.0.7.3"));
	with(NP("p", "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.100.0.0/16}}, {ipBlock: {cidr: 172.20.9.9/32}}]}]}"));
	assert_int_equal(flags_of("172.20.0.10"), NP_IDENT_VIP | NP_IDENT_RESOLVER);
	assert_int_equal(flags_of("172.20.7.7"), NP_IDENT_VIP);
	assert_int_equal(flags_of("172.20.9.9"), NP_IDENT_VIP);
	assert_int_equal(flags_of("10.100.0.1"), NP_IDENT_VIP);
	assert_int_equal(flags_of("fd0a::1"), NP_IDENT_VIP);
	assert_int_equal(flags_of("10.9.0.2"), NP_IDENT_VIP);
	assert_int_equal(flags_of("10.9.0.1"), NP_IDENT_OWN_NODE);
	assert_int_equal(flags_of("169.254.20.10"), NP_IDENT_RESOLVER);
	assert_int_equal(flags_of("10.0.7.1"), NP_IDENT_RESOLVER);
	assert_int_equal(flags_of("10.0.7.2"), NP_IDENT_RESOLVER);
	assert_int_equal(flags_of("10.0.7.3"), 0);
	assert_int_equal(flags_of("8.8.8.8"), 0);
	/* a service's address as such is an address like others */
	case_expect(&c, "x/a > 10.100.0.1 TCP/80", "ALLOW");
	case_expect(&c, "x/a > 172.20.9.9 TCP/80", "ALLOW");
	case_expect(&c, "x/a > 172.20.0.10 UDP/53", "DENY");
}

/* Equal policies share a blob; numbers and ids stay where nothing changed. */
static void sharing(void **state)
{
	uint16_t cls[4];
	static const char *const ips[] = { "10.0.0.1", "10.0.1.1", "10.0.1.2", "10.9.0.1" };
	uint64_t meaning;
	unsigned int n;

	case_local(&c, "x/c", "10.0.0.3", NULL);
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 80}]}]}"));
	assert_int_equal(c.img->n_blob, 1);
	for (size_t i = 0; i < 4; i++) {
		struct vw_ip ip;

		(void)vw_ip_parse(ips[i], &ip);
		cls[i] = np_image_find_peer(c.img, &ip)->cls;
	}
	meaning = c.img->blob[0].meaning;
	n = c.img->n_rule;
	/* a policy of other pods alone: nothing is told apart that was not */
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 80}]}]}")
	     "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: y, name: p}\nspec: {}\n");
	assert_int_equal(c.img->blob[0].meaning, meaning);
	assert_int_equal(c.img->n_rule, n);
	/* another one of the same pods, which cuts ports and prefixes up but allows no more */
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 80}]}]}")
	     NP("q", "{podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}], ports: [{port: 70, endPort: 90}]}]}"));
	assert_int_equal(c.img->n_blob, 2);
	assert_int_equal(c.img->blob[c.img->subject[0].blob].meaning, meaning);
	assert_true(c.img->blob[c.img->subject[1].blob].meaning != meaning);
	assert_string_equal(c.img->rule[1].policy, "x/p");
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 80}]}]}"));
	for (size_t i = 0; i < 4; i++) {
		struct vw_ip ip;

		(void)vw_ip_parse(ips[i], &ip);
		assert_int_equal(np_image_find_peer(c.img, &ip)->cls, cls[i]);
	}
	assert_int_equal(c.img->blob[0].meaning, meaning);
	/* the rule has changed: it says otherwise, under its old id */
	with(NP("p", "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81}]}]}"));
	assert_true(c.img->blob[0].meaning != meaning);
	assert_string_equal(c.img->rule[1].policy, "x/p");
}

static void rule_ids(void **state)
{
	uint64_t key;

	with(NP("p", "{ingress: [{}]}") NP("q", "{ingress: [{}]}"));
	assert_string_equal(c.img->rule[1].policy, "x/p");
	assert_string_equal(c.img->rule[2].policy, "x/q");
	key = c.img->rule[2].key;
	/* the id of a rule that has gone stays empty; the others keep theirs */
	with(NP("q", "{ingress: [{}]}"));
	assert_int_equal(c.img->rule[1].key, 0);
	assert_string_equal(c.img->rule[2].policy, "x/q");
	assert_int_equal(c.img->rule[2].key, key);
	with(NP("q", "{ingress: [{}]}") NP("r", "{ingress: [{}]}"));
	assert_int_equal(c.img->rule[1].key, 0);
	assert_string_equal(c.img->rule[2].policy, "x/q");
	with(NP("q", "{ingress: [{}]}") NP("p", "{ingress: [{}]}"));
	assert_string_equal(c.img->rule[2].policy, "x/q");
	case_expect(&c, "x/a < 8.8.8.8 TCP/1", "ALLOW NetworkPolicy x/p spec.ingress[0]");
}

static void limits(void **state)
{
	struct vw_buf text = VW_BUF_INIT;

	/* prefixes */
	vw_buf_puts(&text, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {ingress: [{from: [");
	for (int i = 0; i < (int)NP_CIDRS; i++)
		vw_buf_printf(&text, "%s{ipBlock: {cidr: 20.%d.%d.0/25}}", i ? "," : "", i / 256, i % 256);
	vw_buf_puts(&text, "]}]}\n");
	case_take(&c, "p.yaml", vw_buf_str(&text));
	case_fails(&c, E2BIG, "policies name 16385 IPv4 prefixes, at most 16384 may be");
	/* rules: of pods elsewhere they count nothing */
	vw_buf_reset(&text);
	vw_buf_puts(&text, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {ingress: [");
	for (int i = 0; i < (int)NP_RULES; i++)
		vw_buf_printf(&text, "%s{ports: [{port: %d}]}", i ? "," : "", i + 1);
	vw_buf_puts(&text, "]}\n");
	case_take(&c, "p.yaml", vw_buf_str(&text));
	case_fails(&c, E2BIG, "rules, at most 16383 may be");
	/* names */
	vw_buf_reset(&text);
	vw_buf_puts(&text, "apiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {egress: [");
	for (int i = 0; i < 65; i++)
		vw_buf_printf(&text, "%s{to: [{domainNames: [d%d.io]}]}", i ? "," : "", i);
	vw_buf_puts(&text, "]}\n");
	case_take(&c, "p.yaml", vw_buf_str(&text));
	case_fails(&c, E2BIG, "name 65 domains, at most 64 may be");
	/* a table: each rule a peer and a port of its own */
	vw_buf_reset(&text);
	vw_buf_puts(&text, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {ingress: [");
	for (int i = 0; i < 1200; i++)
		vw_buf_printf(&text, "%s{ports: [{port: %d}], from: [{ipBlock: {cidr: 20.%d.%d.0/25}}]}", i ? "," : "", i + 1, i / 256, i % 256);
	vw_buf_puts(&text, "]}\n");
	case_take(&c, "p.yaml", vw_buf_str(&text));
	case_fails(&c, E2BIG, "make a table of more than 65536 lines");
	vw_buf_done(&text);
}

/* 64 names are 64 bits; yes and no in turn make a chain, but not a longer one than there can be. */
static void long_chains(void **state)
{
	struct vw_buf text = VW_BUF_INIT;

	vw_buf_puts(&text, "apiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: {egress: [");
	for (int i = 0; i < 64; i++)
		vw_buf_printf(&text, "%s{to: [{domainNames: [d%d.io]}]}", i ? "," : "", i);
	vw_buf_puts(&text, "]}\n");
	with(vw_buf_str(&text));
	assert_int_equal(c.img->blob[0].n_fqdn, 64);
	c.n_name = 1;
	c.name[0] = "d63.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "ALLOW ApplicationNetworkPolicy x/p");
	c.name[0] = "d64.io";
	case_expect(&c, "x/a > 1.2.3.4 TCP/1", "DENY");
	/* Accept by name and Deny of others at a port each: no chain is longer than two */
	vw_buf_done(&text);
}

static void relocating(void **state)
{
	struct np_line *at, *moved;
	const struct np_image_blob *b;
	const struct np_blob *h;
	uint32_t n = 1000;

	with(CNP("c", "Admin", "1", ALL ", egress: [{action: Accept, to: [{domainNames: ['*.b.io']}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]"));
	b = &c.img->blob[0];
	at = calloc(n + b->n_lines, sizeof(*at));
	assert_non_null(at);
	moved = at + n;
	np_blob_relocate(b, n, moved);
	h = (const struct np_blob *)moved;
	for (int d = 0; d < NP_DIRS; d++) {
		const struct np_blob_dir *from = &((const struct np_blob *)b->line)->dir[d], *to = &h->dir[d];

		assert_memory_equal(&at[to->row], &b->line[from->row], sizeof(*at));
		assert_memory_equal(&at[to->col], &b->line[from->col], sizeof(*at));
		for (uint32_t i = 0; i < to->ncol; i++) {
			uint32_t v = at[to->mtx].w[i], w = b->line[from->mtx].w[i];

			assert_int_equal(NP_VERDICT_ACTION(v), NP_VERDICT_ACTION(w));
			if (NP_VERDICT_ACTION(v) == NP_CHAIN)
				assert_memory_equal(&at[NP_VERDICT_ARG(v)], &b->line[NP_VERDICT_ARG(w)], sizeof(*at));
			else
				assert_int_equal(v, w);
		}
	}
	free(at);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(isolation), TEST(peers), TEST(ports), TEST(named_ports), TEST(blocks), TEST(many_ports), TEST(tiers), TEST(nodes),
		TEST(strict_mode), TEST(who_pods_are), TEST(one_address_two_pods), TEST(policy_endpoints), TEST(domains), TEST(pass_by_name),
		TEST(services), TEST(sharing), TEST(rule_ids), TEST(limits), TEST(long_chains), TEST(relocating),
	};

	return cmocka_run_group_tests_name("np_compile", tests, NULL, NULL);
}
