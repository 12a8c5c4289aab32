/*
 * What each kind of object is read as, and what is refused, with the place and the reason: the rows of NetworkPolicy's and
 * ClusterNetworkPolicy's validation, one by one. Written as YAML; JSON goes the same way (test_k8s, test_np_world).
 */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NP "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: "
#define APP "apiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: p}\nspec: "
#define PE "apiVersion: networking.k8s.aws/v1alpha1\nkind: PolicyEndpoint\nmetadata: {namespace: x, name: p-abc}\nspec: "
#define CNP "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\nspec: "
#define AWS "apiVersion: networking.k8s.aws/v1alpha1\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\nspec: "
#define ANP "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: c}\nspec: "
#define BANP "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\nspec: "
#define POD "apiVersion: v1\nkind: Pod\nmetadata: {namespace: x, name: a}\n"

/* The only object of @yaml, or its refusal, with warnings behind. */
static char *read_one(const char *yaml)
{
	struct np_world *w = np_world_new();
	struct vw_buf out = VW_BUF_INIT;
	struct vw_err err = { 0 };

	assert_non_null(w);
	if (np_world_take(w, "f.yaml", yaml, strlen(yaml), &err) < 0)
		vw_buf_printf(&out, "refused: %s", err.msg);
	for (int k = 0; k < NP_KINDS; k++)
		for (size_t i = 0; i < np_world_list(w, (enum np_kind)k)->n; i++)
			np_dump(&out, np_world_list(w, (enum np_kind)k)->v[i]);
	if (err.msg[0] == 0) {
		vw_buf_putc(&out, '\n');
		np_dump_notes(&out, w);
		out.data[--out.len] = 0;
	}
	np_world_free(w);
	return vw_buf_take(&out);
}

struct row {
	const char *yaml, *want;
};

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *got = read_one(rows[i].yaml);

		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s\n-> '%s'\nnot '%s'", rows[i].yaml, got, rows[i].want);
		free(got);
	}
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))

static void networkpolicy(void **state)
{
	static const struct row rows[] = {
		/* podSelector missing, null or {} = all pods of the namespace; policyTypes missing = Ingress */
		{ NP "{}", "NetworkPolicy x/p np 0 I x{}" },
		{ NP "{podSelector: }", "NetworkPolicy x/p np 0 I x{}" },
		{ NP "{podSelector: {}}", "NetworkPolicy x/p np 0 I x{}" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}", "NetworkPolicy default/p np 0 I default{}" },
		/* ... and Egress when there are egress rules; an empty list is none */
		{ NP "{egress: []}", "NetworkPolicy x/p np 0 I x{}" },
		{ NP "{egress: [{}]}", "NetworkPolicy x/p np 0 IE x{}; eg[0] accept * :*" },
		{ NP "{policyTypes: []}", "NetworkPolicy x/p np 0 I x{}" },
		{ NP "{policyTypes: [Egress]}", "NetworkPolicy x/p np 0 E x{}" },
		{ NP "{policyTypes: [Egress, Ingress]}", "NetworkPolicy x/p np 0 IE x{}" },
		/* rules for a direction that does not count are read all the same */
		{ NP "{policyTypes: [Egress], ingress: [{}]}", "NetworkPolicy x/p np 0 E x{}; in[0] accept * :*" },
		/* from, to: missing, null or empty = all; ports likewise */
		{ NP "{ingress: [{}, {from: }, {from: []}, {ports: []}]}",
		  "NetworkPolicy x/p np 0 I x{}; in[0] accept * :*; in[1] accept * :*; in[2] accept * :*; in[3] accept * :*" },
		{ NP "{ingress: [{ports: [{}]}]}", "NetworkPolicy x/p np 0 I x{}; in[0] accept * :tcp/0-65535" },
		{ NP "{ingress: [{ports: [{protocol: UDP}, {port: 80}, {protocol: SCTP, port: 1, endPort: 1}, {port: 80, endPort: 90}]}]}",
		  "NetworkPolicy x/p np 0 I x{}; in[0] accept * :udp/0-65535,tcp/80,sctp/1,tcp/80-90" },
		{ NP "{ingress: [{ports: [{port: http}, {protocol: UDP, port: a-1}]}]}",
		  "NetworkPolicy x/p np 0 I x{}; in[0] accept * :tcp/http,udp/a-1" },
		/* peers */
		{ NP "{ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}, {podSelector: {matchLabels: {a: b}}, namespaceSelector: {}}]}]}",
		  "NetworkPolicy x/p np 0 I x{}; in[0] accept own{}@0 {}{}@1 {}{a in b}@2 :*" },
		{ NP "{podSelector: {matchLabels: {z: '', a: b}, matchExpressions: [{key: k, operator: In, values: [v, w]}, {key: k, operator: "
		     "NotIn, values: [v]}, {key: k, operator: Exists}, {key: k.io/x, operator: DoesNotExist, values: []}]}}",
		  "NetworkPolicy x/p np 0 I x{a in b,z in ,k in v|w,k notin v,k exists,k.io/x absent}" },
		/* host bits are legal; an except that another covers says nothing more */
		{ NP "{egress: [{to: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.9.9.9/16, 10.9.1.0/24, 10.1.0.0/16, 10.9.0.0/16]}}, "
		     "{ipBlock: {cidr: 'fd00::1/8', except: ['fd01::/16']}}]}]}",
		  "NetworkPolicy x/p np 0 IE x{}; eg[0] accept 10.0.0.0/8!10.1.0.0/16!10.9.0.0/16@0 fd00::/8!fd01::/16@1 :*" },
		{ NP "{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]}",
		  "NetworkPolicy x/p np 0 IE x{}; eg[0] accept 0.0.0.0/0@0 :tcp/http\nwarning f.yaml: NetworkPolicy x/p: spec.egress[0].ports: "
		  "a named port is not known of ipBlock and domainNames: it matches pods alone" },
	};

	CHECK(rows);
}

static void networkpolicy_refused(void **state)
{
	static const struct row rows[] = {
		{ NP "{ingress: [{ports: [{port: 80, endPort: 79}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].endPort: 79 is below port 80" },
		{ NP "{ingress: [{ports: [{endPort: 80}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].endPort: stands without a port" },
		{ NP "{ingress: [{ports: [{port: http, endPort: 80}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].endPort: stands beside a named port" },
		{ NP "{ingress: [{ports: [{port: 80, endPort: 65536}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].endPort: is 65536, wanted 1 to 65535" },
		{ NP "{ingress: [{ports: [{port: 0}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].port: is 0, wanted 1 to 65535" },
		{ NP "{ingress: [{}, {ports: [{port: 80}, {port: 65536}]}]}",
		  "refused: f.yaml: spec.ingress[1].ports[1].port: is 65536, wanted 1 to 65535" },
		{ NP "{ingress: [{ports: [{port: -1}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].port: is -1, wanted 1 to 65535" },
		{ NP "{ingress: [{ports: [{port: 80.5}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].port: is a number, wanted a whole number" },
		{ NP "{ingress: [{ports: [{port: '80'}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].port: \"80\" is no port name (at most 15 of a-z, 0-9 and '-', with a letter); a number "
		  "must not be quoted" },
		{ NP "{ingress: [{ports: [{port: Http}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].port: \"Http\" is no port name (at most 15 of "
							       "a-z, 0-9 and '-', with a letter)" },
		{ NP "{ingress: [{ports: [{port: a--b}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].port: \"a--b\" is no port name (at most 15 of "
							       "a-z, 0-9 and '-', with a letter)" },
		{ NP "{ingress: [{ports: [{port: abcdefghijklmnop}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].port: \"abcdefghijklmnop\" is no port name (at most 15 of a-z, 0-9 and '-', with a letter)" },
		{ NP "{ingress: [{ports: [{protocol: ICMP}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].protocol: is \"ICMP\", wanted TCP, UDP or SCTP" },
		{ NP "{ingress: [{ports: [{protocol: tcp}]}]}", "refused: f.yaml: spec.ingress[0].ports[0].protocol: is \"tcp\", wanted TCP, UDP or SCTP" },
		{ NP "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].ipBlock.except[0]: \"11.0.0.0/16\" is not within cidr, or not smaller" },
		{ NP "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/16, 10.0.0.0/8]}}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].ipBlock.except[1]: \"10.0.0.0/8\" is not within cidr, or not smaller" },
		{ NP "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: ['fd00::/16']}}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].ipBlock.except[0]: \"fd00::/16\" is not within cidr, or not smaller" },
		{ NP "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].ipBlock.cidr: \"10.0.0.0/33\" is not a CIDR" },
		{ NP "{egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}]}]}", "refused: f.yaml: spec.egress[0].to[0].ipBlock.cidr: \"10.0.0.1\" is not a CIDR" },
		{ NP "{egress: [{to: [{ipBlock: {}}]}]}", "refused: f.yaml: spec.egress[0].to[0].ipBlock.cidr: \"\" is not a CIDR" },
		{ NP "{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}, podSelector: {}}]}]}",
		  "refused: f.yaml: spec.ingress[0].from[0]: ipBlock stands beside another kind of peer" },
		{ NP "{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}, namespaceSelector: {}}]}]}",
		  "refused: f.yaml: spec.ingress[0].from[0]: ipBlock stands beside another kind of peer" },
		{ NP "{ingress: [{from: [{}]}]}",
		  "refused: f.yaml: spec.ingress[0].from[0]: a peer without podSelector, namespaceSelector or ipBlock" },
		{ NP "{ingress: [{from: [{podSelector: }]}]}",
		  "refused: f.yaml: spec.ingress[0].from[0]: a peer without podSelector, namespaceSelector or ipBlock" },
		{ NP "{ingress: [{from: [{domainNames: [a.b]}]}]}", "refused: f.yaml: spec.ingress[0].from[0]: unknown field \"domainNames\"" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: In}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].values: In needs at least one" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: NotIn, values: []}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].values: NotIn needs at least one" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: Exists, values: [a]}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].values: Exists takes none" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: DoesNotExist, values: [a]}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].values: DoesNotExist takes none" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: Gt, values: ['1']}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].operator: is \"Gt\", wanted In, NotIn, Exists or DoesNotExist" },
		{ NP "{podSelector: {matchExpressions: [{operator: Exists}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].key: \"\" is no label key" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: In, values: [a b]}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].values[0]: \"a b\" is no label value" },
		{ NP "{podSelector: {matchExpressions: [{key: k, operator: In, values: [1]}]}}",
		  "refused: f.yaml: spec.podSelector.matchExpressions[0].values[0]: is no text (in YAML: quote it)" },
		{ NP "{podSelector: {matchLabels: {a: 5}}}",
		  "refused: f.yaml: spec.podSelector.matchLabels.a: is a number, wanted a text (in YAML: quote it)" },
		{ NP "{podSelector: {matchLabels: {-a: b}}}", "refused: f.yaml: spec.podSelector.matchLabels: \"-a\" is no label key" },
		{ NP "{podSelector: {matchLabels: {X_/a: b}}}", "refused: f.yaml: spec.podSelector.matchLabels: \"X_/a\" is no label key" },
		{ NP "{podSelector: {matchLabels: {a: b-}}}", "refused: f.yaml: spec.podSelector.matchLabels: \"b-\" is no label value" },
		{ NP "{podSelector: {matchlabels: {a: b}}}", "refused: f.yaml: spec.podSelector: unknown field \"matchlabels\"" },
		{ NP "{podSelector: []}", "refused: f.yaml: spec.podSelector: is a list, wanted an object" },
		{ NP "{ingres: []}", "refused: f.yaml: spec: unknown field \"ingres\"" },
		{ NP "{ingress: [{to: []}]}", "refused: f.yaml: spec.ingress[0]: unknown field \"to\"" },
		{ NP "{ingress: {}}", "refused: f.yaml: spec.ingress: is an object, wanted a list" },
		{ NP "{ingress: [3]}", "refused: f.yaml: spec.ingress[0]: is a number, wanted an object" },
		{ NP "{policyTypes: [Both]}", "refused: f.yaml: spec.policyTypes[0]: is \"Both\", wanted Ingress or Egress" },
		{ NP "{policyTypes: [Ingress, Egress, Egress]}", "refused: f.yaml: spec.policyTypes: has more than two entries" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: UPPER}",
		  "refused: f.yaml: metadata.name: \"UPPER\" is no name of an object" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n", "refused: f.yaml: metadata.name: \"\" is no name of an object" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: a.b}",
		  "refused: f.yaml: metadata.namespace: \"a.b\" is no name of a namespace" },
	};

	CHECK(rows);
}

static void application(void **state)
{
	static const struct row rows[] = {
		{ APP "{egress: [{to: [{domainNames: [WWW.Example.com., '*.a-b.io']}, {podSelector: {}}]}], ingress: [{from: [{podSelector: {}}]}]}",
		  "ApplicationNetworkPolicy x/p np 0 IE x{}; in[0] accept own{}@0 :*; eg[0] accept www.example.com@0 *.a-b.io@0.1 own{}@1 :*" },
		{ APP "{ingress: [{from: [{domainNames: [a.b]}]}]}", "refused: f.yaml: spec.ingress[0].from[0]: unknown field \"domainNames\"" },
		{ APP "{egress: [{to: [{domainNames: [a.b], podSelector: {}}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0]: domainNames stands beside another kind of peer" },
		{ APP "{egress: [{to: [{domainNames: []}]}]}", "refused: f.yaml: spec.egress[0].to[0].domainNames: is empty" },
		{ APP "{egress: [{to: [{domainNames: [a.b, 'a.*.b']}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].domainNames[1]: \"a.*.b\" is no domain name (\"www.example.com\" or \"*.example.com\")" },
		{ APP "{egress: [{to: [{domainNames: [localhost]}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].domainNames[0]: \"localhost\" is no domain name (\"www.example.com\" or \"*.example.com\")" },
		{ APP "{egress: [{to: [{domainNames: ['*.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p']}]}]}",
		  "ApplicationNetworkPolicy x/p np 0 IE x{}; eg[0] accept *.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p@0 :*" },
		{ APP "{egress: [{to: [{domainNames: ['*.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q']}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].domainNames[0]: \"*.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q\" has more than 16 labels behind \"*.\"" },
		{ APP "{egress: [{to: [{domainNames: ['*']}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].domainNames[0]: \"*\" is no domain name (\"www.example.com\" or \"*.example.com\")" },
	};

	CHECK(rows);
}

static void policyendpoint(void **state)
{
	static const struct row rows[] = {
		{ PE "{policyRef: {namespace: x, name: p}, podIsolation: [Ingress, Egress], podSelectorEndpoints: [{name: b, namespace: x, podIP: 10.0.0.2, "
		     "hostIP: 10.0.9.1}, {name: a, namespace: x, podIP: 10.0.0.1, hostIP: 10.0.9.1}], ingress: [{cidr: 10.0.0.7, ports: [{port: 80, "
		     "protocol: TCP}]}, {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}, {cidr: 10.0.0.8, ports: [{port: 80}]}, {cidr: 10.0.0.9, ports: [{port: 80, "
		     "protocol: UDP}, {protocol: TCP, port: 1, endPort: 3}]}]}",
		  "PolicyEndpoint x/p-abc np 0 IE of x/p: x/a x/b; in[1] accept p-abc 0.0.0.0/0!10.0.0.0/8@1 :*; in[0] accept p-abc 10.0.0.7/32@0 "
		  "10.0.0.8/32@2 :tcp/80; in[3] accept p-abc 10.0.0.9/32@3 :tcp/1-3,udp/80" },
		{ PE "{policyRef: {namespace: x, name: p}}", "PolicyEndpoint x/p-abc np 0  of x/p:" },
		{ PE "{egress: [{cidr: '::/0', ports: [{protocol: SCTP}]}, {domainName: '*.a.io'}]}",
		  "PolicyEndpoint x/p-abc np 0 E of x/p-abc:; eg[1] accept p-abc *.a.io@1 :*; eg[0] accept p-abc ::/0@0 :sctp/0-65535" },
		{ PE "{ingress: [{cidr: 10.0.0.300}]}", "refused: f.yaml: spec.ingress[0].cidr: \"10.0.0.300\" is neither an address nor a CIDR" },
		{ PE "{ingress: [{cidr: 10.0.0.0/8, except: [11.0.0.0/9]}]}",
		  "refused: f.yaml: spec.ingress[0].except[0]: \"11.0.0.0/9\" is not within cidr, or not smaller" },
		{ PE "{ingress: [{domainName: a.b}]}", "refused: f.yaml: spec.ingress[0].domainName: only egress may have one" },
		{ PE "{egress: [{cidr: 10.0.0.1, ports: [{port: 5, endPort: 4}]}]}", "refused: f.yaml: spec.egress[0].ports[0].endPort: 4 is below port 5" },
		{ PE "{podIsolation: [x]}", "refused: f.yaml: spec.podIsolation[0]: is \"x\", wanted Ingress or Egress" },
		{ PE "{policyRef: {namespace: y, name: p}}",
		  "refused: f.yaml: spec.policyRef.namespace: is \"y\", but this stands in \"x\": a policy's PolicyEndpoints are in its own namespace" },
		{ PE "{podSelectorEndpoints: [{name: a}]}", "refused: f.yaml: spec.podSelectorEndpoints[0]: a pod without name or namespace" },
	};

	CHECK(rows);
}

static void cluster(void **state)
{
	static const struct row rows[] = {
		{ CNP "{tier: Admin, priority: 0, subject: {namespaces: {}}}", "ClusterNetworkPolicy c admin 0  {}{}" },
		{ CNP "{tier: Baseline, priority: 1000, subject: {pods: {podSelector: {matchLabels: {a: b}}}}}",
		  "ClusterNetworkPolicy c baseline 1000  {}{a in b}" },
		{ CNP "{tier: Admin, priority: 5, subject: {pods: {namespaceSelector: {matchLabels: {n: s}}, podSelector: {}}}, ingress: [{name: n, action: "
		      "Accept, from: [{namespaces: {}}, {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}]}, {action: Deny, from: "
		      "[{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: {start: 5, end: 7}}}}, "
		      "{sctp: {destinationPort: {number: 9}}}, {destinationNamedPort: web}]}], egress: [{action: Pass, to: [{nodes: {matchLabels: {r: w}}}, "
		      "{networks: [10.9.0.0/8, 'fd00::/8']}]}, {action: Accept, to: [{domainNames: [a.b, '*.c.d']}]}]}",
		  "ClusterNetworkPolicy c admin 5  {n in s}{}; in[0] accept n {}{}@0 {}{a in b}@1 :*; in[1] deny {}{}@0 "
		  ":tcp/80,udp/5-7,sctp/9,any/web; eg[0] pass nodes{r in w}@0 10.0.0.0/8@1 fd00::/8@1.1 :*; eg[1] accept a.b@0 *.c.d@0.1 :*" },
		{ "apiVersion: policy.networking.k8s.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\n"
		  "spec: {tier: Admin, priority: 0, subject: {namespaces: {}}}", "ClusterNetworkPolicy c admin 0  {}{}" },
		{ AWS "{tier: Baseline, priority: 7, subject: {namespaces: {}}, egress: [{action: Pass, to: [{domainNames: [a.b]}], ports: [{portNumber: "
		      "{protocol: UDP, port: 53}}, {portRange: {start: 1, end: 2}}]}]}",
		  "ClusterNetworkPolicy c baseline 7  {}{}; eg[0] pass a.b@0 :udp/53,tcp/1-2" },
		{ ANP "{priority: 3, subject: {namespaces: {}}, ingress: [{action: Allow, from: [{namespaces: {}}], ports: [{namedPort: web}]}]}",
		  "AdminNetworkPolicy c admin 3  {}{}; in[0] accept {}{}@0 :any/web" },
		{ BANP "{subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]}",
		  "BaselineAdminNetworkPolicy default baseline 1001  {}{}; eg[0] deny 0.0.0.0/0@0 :*" },
	};

	CHECK(rows);
}

/* An unknown peer or match: Accept matches nothing, Deny and Pass become "deny all", and it is told. */
static void fails_closed(void **state)
{
#define C(rule) CNP "{tier: Admin, priority: 0, subject: {namespaces: {}}, egress: [" rule "]}"
	static const struct row rows[] = {
		{ C("{action: Accept, to: [{namespaces: {}}, {galaxies: {}}]}"),
		  "ClusterNetworkPolicy c admin 0  {}{}; eg[0] accept :\nwarning f.yaml: ClusterNetworkPolicy c: spec.egress[0].to[1]: a kind of peer "
		  "that is not known here: the rule matches nothing" },
		{ C("{action: Deny, to: [{}], protocols: [{tcp: {destinationPort: {number: 1}}}]}"),
		  "ClusterNetworkPolicy c admin 0  {}{}; eg[0] deny * :*\nwarning f.yaml: ClusterNetworkPolicy c: spec.egress[0].to[0]: a kind of peer "
		  "that is not known here: the rule has become \"deny all\"" },
		{ C("{action: Pass, to: [{galaxies: {}}]}"),
		  "ClusterNetworkPolicy c admin 0  {}{}; eg[0] deny * :*\nwarning f.yaml: ClusterNetworkPolicy c: spec.egress[0].to[0]: a kind of peer "
		  "that is not known here: the rule has become \"deny all\"" },
		{ C("{action: Accept, to: [{namespaces: {}}], protocols: [{http: {}}]}"),
		  "ClusterNetworkPolicy c admin 0  {}{}; eg[0] accept :\nwarning f.yaml: ClusterNetworkPolicy c: spec.egress[0].protocols[0]: a match "
		  "that is not known here: the rule matches nothing" },
		{ C("{action: Deny, to: [{namespaces: {}}], protocols: [{tcp: {flags: syn}}]}"),
		  "ClusterNetworkPolicy c admin 0  {}{}; eg[0] deny * :*\nwarning f.yaml: ClusterNetworkPolicy c: spec.egress[0].protocols[0]: a match "
		  "that is not known here: the rule has become \"deny all\"" },
		/* peers of egress alone are unknown to ingress */
		{ CNP "{tier: Admin, priority: 0, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]}",
		  "ClusterNetworkPolicy c admin 0  {}{}; in[0] deny * :*\nwarning f.yaml: ClusterNetworkPolicy c: spec.ingress[0].from[0]: a kind of "
		  "peer that is not known here: the rule has become \"deny all\"" },
		/* AWS's has no nodes */
		{ AWS "{tier: Admin, priority: 0, subject: {namespaces: {}}, egress: [{action: Accept, to: [{nodes: {}}]}]}",
		  "ClusterNetworkPolicy c admin 0  {}{}; eg[0] accept :\nwarning f.yaml: ClusterNetworkPolicy c: spec.egress[0].to[0]: a kind of peer "
		  "that is not known here: the rule matches nothing" },
	};

	CHECK(rows);
}

static void cluster_refused(void **state)
{
#define R(rule, why) { C(rule), "refused: f.yaml: spec.egress[0]" why }
#define TO "to: [{namespaces: {}}]"
	static const struct row rows[] = {
		R("{action: Allow, " TO "}", ".action: is \"Allow\", wanted Accept, Deny or Pass"),
		R("{" TO "}", ".action: is \"\", wanted Accept, Deny or Pass"),
		R("{action: Deny}", ".to: is missing or empty"),
		R("{action: Deny, to: []}", ".to: is missing or empty"),
		R("{action: Deny, to: [{namespaces: {}, pods: {podSelector: {}}}]}", ".to[0]: pods stands beside namespaces: only one may"),
		R("{action: Deny, to: [{pods: {}}]}", ".to[0].pods.podSelector: is missing"),
		R("{action: Deny, to: [{networks: []}]}", ".to[0].networks: is missing or empty"),
		R("{action: Deny, to: [{networks: [10.0.0.1]}]}", ".to[0].networks[0]: \"10.0.0.1\" is not a CIDR"),
		R("{action: Deny, to: [{networks: [1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,"
		  "1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,1.0.0.0/8,"
		  "1.0.0.0/8,1.0.0.0/8,1.0.0.0/8]}]}", ".to[0].networks: has 26 entries, at most 25 may be"),
		R("{action: Deny, to: [{domainNames: [a.b]}]}", ".to[0].domainNames: only a rule that says Accept may have them"),
		R("{action: Pass, to: [{domainNames: [a.b]}]}", ".to[0].domainNames: only a rule that says Accept may have them"),
		R("{action: Deny, " TO ", protocols: []}", ".protocols: is missing or empty"),
		R("{action: Deny, " TO ", ports: [{namedPort: a}]}", ": unknown field \"ports\""),
		R("{action: Deny, " TO ", protocols: [{tcp: {destinationPort: {number: 0}}}]}",
		  ".protocols[0].tcp.destinationPort.number: is 0, wanted 1 to 65535"),
		R("{action: Deny, " TO ", protocols: [{tcp: {destinationPort: {range: {start: 5, end: 5}}}}]}",
		  ".protocols[0].tcp.destinationPort.range: start must be below end"),
		R("{action: Deny, " TO ", protocols: [{tcp: {destinationPort: {number: 5, range: {start: 1, end: 2}}}}]}",
		  ".protocols[0].tcp.destinationPort: range stands beside number: only one may"),
		R("{action: Deny, " TO ", protocols: [{tcp: {destinationPort: {number: 1}}, destinationNamedPort: a}]}",
		  ".protocols[0]: destinationNamedPort stands beside tcp: only one may"),
		R("{action: Deny, to: [{networks: [1.0.0.0/8]}], protocols: [{destinationNamedPort: a}]}",
		  ".protocols: a named port stands beside networks, nodes or domainNames, which have none"),
		R("{action: Deny, " TO ", from: []}", ": unknown field \"from\""),
		{ CNP "{tier: Other, priority: 0, subject: {namespaces: {}}}", "refused: f.yaml: spec.tier: is \"Other\", wanted Admin or Baseline" },
		{ CNP "{priority: 0, subject: {namespaces: {}}}", "refused: f.yaml: spec.tier: is \"\", wanted Admin or Baseline" },
		{ CNP "{tier: Admin, subject: {namespaces: {}}}", "refused: f.yaml: spec.priority: is missing" },
		{ CNP "{tier: Admin, priority: 1001, subject: {namespaces: {}}}", "refused: f.yaml: spec.priority: is 1001, wanted 0 to 1000" },
		{ CNP "{tier: Admin, priority: 0}", "refused: f.yaml: spec.subject: wanted namespaces or pods" },
		{ CNP "{tier: Admin, priority: 0, subject: {namespaces: {}, pods: {podSelector: {}}}}",
		  "refused: f.yaml: spec.subject: pods stands beside namespaces: only one may" },
		{ "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: c}", "refused: f.yaml: spec: is missing" },
		{ AWS "{tier: Admin, priority: 0, subject: {namespaces: {}}, egress: [{action: Deny, to: [{domainNames: [a.b]}]}]}",
		  "refused: f.yaml: spec.egress[0].to[0].domainNames: only a rule that says Accept or Pass may have them" },
		{ ANP "{priority: 0, tier: Admin, subject: {namespaces: {}}}", "refused: f.yaml: spec: unknown field \"tier\"" },
		{ ANP "{priority: 0, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}",
		  "refused: f.yaml: spec.ingress[0].action: is \"Accept\", wanted Allow, Deny or Pass" },
		{ ANP "{priority: 0, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portRange: {start: 2, end: 1}}]}]}",
		  "refused: f.yaml: spec.ingress[0].ports[0].portRange: start must be below end" },
		{ BANP "{subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}}]}]}",
		  "refused: f.yaml: spec.ingress[0].action: is \"Pass\", wanted Allow or Deny" },
		{ BANP "{priority: 1, subject: {namespaces: {}}}", "refused: f.yaml: spec: unknown field \"priority\"" },
		{ "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: other}\nspec: {subject: {namespaces: {}}}",
		  "refused: f.yaml: metadata.name: a BaselineAdminNetworkPolicy must be called \"default\"" },
	};

	CHECK(rows);
}

static void core(void **state)
{
	static const struct row rows[] = {
		{ POD, "Pod x/a {}" },
		{ "apiVersion: v1\nkind: Pod\nmetadata: {namespace: x, name: a, labels: {z: '1', a: b}, creationTimestamp: '2026-01-02T03:04:05Z'}\n"
		  "spec:\n  nodeName: n1\n  containers:\n  - ports: [{name: web, containerPort: 80}, {containerPort: 81}, {name: web, containerPort: 82}, "
		  "{name: web, protocol: UDP, containerPort: 83}]\n  - {}\n  initContainers:\n  - ports: [{name: init, containerPort: 84}]\n"
		  "  - restartPolicy: Always\n    ports: [{name: side, containerPort: 85}, {name: web, containerPort: 86}]\n"
		  "status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}",
		  "Pod x/a {a=b,z=1} web=tcp/80 web=udp/83 side=tcp/85 10.0.0.1 fd00::1 on n1 dated" },
		{ POD "spec: {hostNetwork: true}\nstatus: {phase: Succeeded, podIP: 10.0.0.1}", "Pod x/a {} 10.0.0.1 host done" },
		{ POD "status: {phase: Failed, podIP: 'fd00::1'}", "Pod x/a {} fd00::1 done" },
		{ POD "status: {podIP: 10.0.0}", "refused: f.yaml: status.podIP: \"10.0.0\" is no address" },
		{ POD "status: {podIPs: [{ip: 10.0.0.1}, {ip: x}]}", "refused: f.yaml: status.podIPs[1].ip: \"x\" is no address" },
		{ POD "spec: {containers: [{ports: [{name: a, containerPort: 70000}]}]}",
		  "refused: f.yaml: spec.containers[0].ports[0].containerPort: is 70000, wanted 1 to 65535" },
		{ POD "spec: {hostNetwork: 'yes'}", "refused: f.yaml: spec.hostNetwork: is the text \"yes\", wanted true or false" },
		{ "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {on: off}}",
		  "refused: f.yaml: metadata.labels.on: is true or false, wanted a text (in YAML: quote it)" },
		{ "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}", "Namespace x {kubernetes.io/metadata.name=x}" },
		{ "apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {kubernetes.io/metadata.name: y, a: b, z: c}}",
		  "Namespace x {a=b,kubernetes.io/metadata.name=x,z=c}" },
		{ "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {r: w}}\nstatus: {addresses: [{type: InternalIP, address: 10.0.9.1}, {type: "
		  "Hostname, address: n1}, {type: ExternalIP, address: 'fd00::9'}]}", "Node n1 {r=w} 10.0.9.1 fd00::9" },
		{ "apiVersion: v1\nkind: Service\nmetadata: {namespace: x, name: s}\nspec: {clusterIP: 172.20.0.1, clusterIPs: [172.20.0.1, 'fd0a::1'], "
		  "externalIPs: [1.2.3.4], selector: {a: b}, type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [{ip: 5.6.7.8}, {hostname: h}]}}",
		  "Service x/s {a=b} 172.20.0.1 fd0a::1 1.2.3.4 5.6.7.8 nodeports" },
		{ "apiVersion: v1\nkind: Service\nmetadata: {namespace: x, name: s}\nspec: {clusterIP: None}", "Service x/s {}" },
		{ "apiVersion: v1\nkind: Service\nmetadata: {namespace: x, name: s}\nspec: {clusterIP: 172.20.0.1}", "Service x/s {} 172.20.0.1" },
		{ "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: x, name: s-1, labels: {kubernetes.io/service-name: s}}\n"
		  "endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2, 10.0.0.3]}]", "EndpointSlice x/s-1 of s 10.0.0.1 10.0.0.2 10.0.0.3" },
		{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}", "" },
		{ "apiVersion: policy.networking.k8s.io/v9\nkind: ClusterNetworkPolicy\nmetadata: {name: c}",
		  "\nwarning f.yaml: : apiVersion: a ClusterNetworkPolicy of version policy.networking.k8s.io/v9 is not known here "
		  "(policy.networking.k8s.io/v1alpha2 is) and not in force" },
		{ "apiVersion: elsewhere.io/v1\nkind: NetworkPolicy\nmetadata: {name: c}", "" },
	};

	CHECK(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networkpolicy), cmocka_unit_test(networkpolicy_refused), cmocka_unit_test(application),
		cmocka_unit_test(policyendpoint), cmocka_unit_test(cluster), cmocka_unit_test(fails_closed),
		cmocka_unit_test(cluster_refused), cmocka_unit_test(core),
	};

	return cmocka_run_group_tests_name("np_read", tests, NULL, NULL);
}
