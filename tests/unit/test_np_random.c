/*
 * Random clusters: what the tables say is what the objects say, for every pod, address and port that could tell them apart; also after
 * pods have come, changed and gone one by one; and what those small steps make means the same as compiling anew.
 * NP_SEED=n NP_WORLDS=m: other worlds than those of every run.
 */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "netpolicy-bpf/user/np_diff.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_case.h"
#include "tests/unit/np_dump.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PODS 14
#define N_FILES 3

static uint64_t state_;
static uint64_t world_seed;

static unsigned int rnd(unsigned int n)
{
	state_ ^= state_ << 13;
	state_ ^= state_ >> 7;
	state_ ^= state_ << 17;
	return (unsigned int)(state_ >> 11) % n;
}

static const char *one_of(const char *const *v, unsigned int n)
{
	return v[rnd(n)];
}
#define ONE_OF(...) one_of((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* --- objects as JSON */

static void labels(struct vw_buf *b)
{
	static const char *const keys[] = { "a", "b", "c" };
	bool any = false;

	vw_buf_putc(b, '{');
	for (int i = 0; i < 3; i++)
		if (rnd(3)) {
			vw_buf_printf(b, "%s\"%s\":\"%u\"", any ? "," : "", keys[i], rnd(2));
			any = true;
		}
	vw_buf_putc(b, '}');
}

static void selector(struct vw_buf *b, const char *ns_label)
{
	const char *key = ns_label && rnd(2) ? ns_label : ONE_OF("a", "b", "c");
	bool ns = ns_label && !strcmp(key, ns_label);

	switch (rnd(6)) {
	case 0:
		vw_buf_puts(b, "{}");
		return;
	case 1:
	case 2:
		vw_buf_printf(b, "{\"matchLabels\":{\"%s\":\"%s\"}}", key, ns ? ONE_OF("n0", "n1", "n2") : ONE_OF("0", "1"));
		return;
	case 3:
		vw_buf_printf(b, "{\"matchExpressions\":[{\"key\":\"%s\",\"operator\":\"%s\"}]}", key, ONE_OF("Exists", "DoesNotExist"));
		return;
	default:
		vw_buf_printf(b, "{\"matchExpressions\":[{\"key\":\"%s\",\"operator\":\"%s\",\"values\":[\"%s\"]}],\"matchLabels\":{%s}}", key,
			      ONE_OF("In", "NotIn"), ns ? ONE_OF("n0", "n1") : ONE_OF("0", "1"), rnd(3) ? "" : "\"c\":\"1\"");
	}
}
#define NS_LABEL "kubernetes.io/metadata.name"

static void block(struct vw_buf *b)
{
	switch (rnd(7)) {
	case 0:
		vw_buf_printf(b, "{\"cidr\":\"10.0.0.%u/32\"}", rnd(N_PODS + 2));
		return;
	case 1:
		vw_buf_puts(b, "{\"cidr\":\"0.0.0.0/0\",\"except\":[\"10.0.0.0/29\",\"9.0.0.0/8\"]}");
		return;
	case 2:
		vw_buf_printf(b, "{\"cidr\":\"10.0.0.0/%u\",\"except\":[\"10.0.0.8/%u\",\"10.0.0.2/32\"]}", 8 + rnd(20), 29 + rnd(4));
		return;
	case 3:
		vw_buf_printf(b, "{\"cidr\":\"fd00::/%u\"}", 16 + rnd(112));
		return;
	case 4:
		vw_buf_printf(b, "{\"cidr\":\"::/0\",\"except\":[\"fd00::4/%u\"]}", 100 + rnd(29));
		return;
	default:
		vw_buf_printf(b, "{\"cidr\":\"%u.0.0.%u/%u\"}", 9 + rnd(3), rnd(16), 4 + rnd(28));
	}
}

static void np_ports(struct vw_buf *b)
{
	unsigned int n = rnd(3);

	if (!n)
		return;
	vw_buf_puts(b, "\"ports\":[");
	for (unsigned int i = 0; i < n; i++) {
		unsigned int port = rnd(8);

		vw_buf_printf(b, "%s{\"protocol\":\"%s\"", i ? "," : "", ONE_OF("TCP", "UDP", "SCTP", "TCP"));
		if (port == 0)
			vw_buf_puts(b, "}");
		else if (port < 3)
			vw_buf_printf(b, ",\"port\":\"%s\"}", ONE_OF("p", "q"));
		else if (port < 5)
			vw_buf_printf(b, ",\"port\":%u,\"endPort\":%u}", 1 + rnd(4), 4 + rnd(3));
		else
			vw_buf_printf(b, ",\"port\":%u}", 1 + rnd(6));
	}
	vw_buf_puts(b, "],");
}

static void domains(struct vw_buf *b)
{
	vw_buf_printf(b, "{\"domainNames\":[\"%s\",\"%s\"]}", ONE_OF("a.io", "*.a.io", "b.a.io"), ONE_OF("*.b.a.io", "c.io"));
}

static void np_peers(struct vw_buf *b, const char *key, bool names)
{
	unsigned int n = rnd(4);

	vw_buf_printf(b, "\"%s\":[", key);
	for (unsigned int i = 0; i < n; i++) {
		vw_buf_puts(b, i ? "," : "");
		switch (rnd(names ? 5 : 4)) {
		case 0:
			vw_buf_puts(b, "{\"podSelector\":");
			selector(b, NULL);
			vw_buf_putc(b, '}');
			break;
		case 1:
			vw_buf_puts(b, "{\"namespaceSelector\":");
			selector(b, NS_LABEL);
			vw_buf_putc(b, '}');
			break;
		case 2:
			vw_buf_puts(b, "{\"namespaceSelector\":");
			selector(b, NS_LABEL);
			vw_buf_puts(b, ",\"podSelector\":");
			selector(b, NULL);
			vw_buf_putc(b, '}');
			break;
		case 3:
			vw_buf_puts(b, "{\"ipBlock\":");
			block(b);
			vw_buf_putc(b, '}');
			break;
		default:
			domains(b);
		}
	}
	vw_buf_putc(b, ']');
}

static void networkpolicy(struct vw_buf *b, unsigned int i, bool app)
{
	static const char *const types[] = { "", "\"policyTypes\":[\"Ingress\"],", "\"policyTypes\":[\"Egress\"],", "\"policyTypes\":[\"Ingress\",\"Egress\"]," };

	vw_buf_printf(b, "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"namespace\":\"n%u\",\"name\":\"p%u\"},\"spec\":{%s\"podSelector\":",
		      app ? "networking.k8s.aws/v1alpha1" : "networking.k8s.io/v1", app ? "ApplicationNetworkPolicy" : "NetworkPolicy", rnd(3), i,
		      types[rnd(4)]);
	selector(b, NULL);
	for (int d = 0; d < 2; d++) {
		unsigned int n = rnd(3);

		vw_buf_printf(b, ",\"%s\":[", d ? "egress" : "ingress");
		for (unsigned int k = 0; k < n; k++) {
			vw_buf_puts(b, k ? ",{" : "{");
			np_ports(b);
			np_peers(b, d ? "to" : "from", app && d);
			vw_buf_putc(b, '}');
		}
		vw_buf_putc(b, ']');
	}
	vw_buf_puts(b, "}}");
}

static void endpoint(struct vw_buf *b, unsigned int i)
{
	unsigned int ns = rnd(3);

	vw_buf_printf(b, "{\"apiVersion\":\"networking.k8s.aws/v1alpha1\",\"kind\":\"PolicyEndpoint\",\"metadata\":{\"namespace\":\"n%u\",\"name\":\"e%u\"},"
		      "\"spec\":{\"policyRef\":{\"namespace\":\"n%u\",\"name\":\"r%u\"},\"podIsolation\":[%s],\"podSelectorEndpoints\":[", ns, i, ns, rnd(2),
		      ONE_OF("", "\"Ingress\"", "\"Egress\"", "\"Ingress\",\"Egress\""));
	for (unsigned int k = 0, n = rnd(4); k < n; k++)
		vw_buf_printf(b, "%s{\"namespace\":\"n%u\",\"name\":\"q%u\"}", k ? "," : "", rnd(3), rnd(N_PODS));
	vw_buf_puts(b, "]");
	for (int d = 0; d < 2; d++) {
		vw_buf_printf(b, ",\"%s\":[", d ? "egress" : "ingress");
		for (unsigned int k = 0, n = rnd(4); k < n; k++) {
			vw_buf_printf(b, "%s{\"cidr\":\"10.0.0.%u%s\"", k ? "," : "", rnd(16), ONE_OF("", "/32", "/28"));
			vw_buf_printf(b, ",\"ports\":[%s]}", ONE_OF("", "{\"port\":2}", "{\"protocol\":\"UDP\",\"port\":1,\"endPort\":4}"));
		}
		vw_buf_putc(b, ']');
	}
	vw_buf_puts(b, "}}");
}

static void cnp_peers(struct vw_buf *b, bool egress, bool names, bool nodes)
{
	unsigned int n = 1 + rnd(3);

	for (unsigned int i = 0; i < n; i++) {
		vw_buf_puts(b, i ? "," : "");
		switch (rnd(egress ? (names ? 6 : 5) : 2)) {
		case 0:
			vw_buf_puts(b, "{\"namespaces\":");
			selector(b, NS_LABEL);
			vw_buf_putc(b, '}');
			break;
		case 1:
			vw_buf_puts(b, "{\"pods\":{\"namespaceSelector\":");
			selector(b, NS_LABEL);
			vw_buf_puts(b, ",\"podSelector\":");
			selector(b, NULL);
			vw_buf_puts(b, "}}");
			break;
		case 2:
		case 3:
			vw_buf_printf(b, "{\"networks\":[\"%u.0.0.0/%u\",\"10.0.0.%u/32\",\"fd00::/120\"]}", 8 + rnd(4), 4 + rnd(28), rnd(16));
			break;
		case 4:
			vw_buf_printf(b, "{\"%s\":", nodes ? "nodes" : "galaxies");
			selector(b, NULL);
			vw_buf_putc(b, '}');
			break;
		default:
			domains(b);
		}
	}
}

static void cnp_ports(struct vw_buf *b, bool v2, bool named)
{
	if (rnd(2))
		return;
	if (v2)
		vw_buf_printf(b, ",\"protocols\":[%s,%s]", named ? "{\"destinationNamedPort\":\"p\"}" : "{\"udp\":{\"destinationPort\":{\"number\":3}}}",
			      ONE_OF("{\"tcp\":{\"destinationPort\":{\"number\":2}}}", "{\"sctp\":{\"destinationPort\":{\"range\":{\"start\":1,\"end\":4}}}}"));
	else
		vw_buf_printf(b, ",\"ports\":[%s,%s]", named ? "{\"namedPort\":\"q\"}" : "{\"portNumber\":{\"protocol\":\"UDP\",\"port\":3}}",
			      ONE_OF("{\"portNumber\":{\"port\":2}}", "{\"portRange\":{\"protocol\":\"SCTP\",\"start\":1,\"end\":4}}"));
}

/* which: 0 v1alpha2, 1 AWS, 2 Admin, 3 Baseline */
static void cluster(struct vw_buf *b, unsigned int i, unsigned int which)
{
	static const char *const api[] = { "policy.networking.k8s.io/v1alpha2\",\"kind\":\"ClusterNetworkPolicy",
					   "networking.k8s.aws/v1alpha1\",\"kind\":\"ClusterNetworkPolicy",
					   "policy.networking.k8s.io/v1alpha1\",\"kind\":\"AdminNetworkPolicy",
					   "policy.networking.k8s.io/v1alpha1\",\"kind\":\"BaselineAdminNetworkPolicy" };

	vw_buf_printf(b, "{\"apiVersion\":\"%s\",\"metadata\":{\"name\":\"", api[which]);
	if (which == 3)
		vw_buf_puts(b, "default\"},\"spec\":{");
	else
		vw_buf_printf(b, "c%u\"},\"spec\":{\"priority\":%u,", i, rnd(3));
	if (which < 2)
		vw_buf_printf(b, "\"tier\":\"%s\",", ONE_OF("Admin", "Baseline"));
	if (rnd(2)) {
		vw_buf_puts(b, "\"subject\":{\"namespaces\":");
		selector(b, NS_LABEL);
	} else {
		vw_buf_puts(b, "\"subject\":{\"pods\":{\"podSelector\":");
		selector(b, NULL);
		vw_buf_putc(b, '}');
	}
	vw_buf_putc(b, '}');
	for (int d = 0; d < 2; d++) {
		unsigned int n = rnd(4);

		vw_buf_printf(b, ",\"%s\":[", d ? "egress" : "ingress");
		for (unsigned int k = 0; k < n; k++) {
			const char *action = which < 2 ? ONE_OF("Accept", "Deny", "Pass") : which == 2 ? ONE_OF("Allow", "Deny", "Pass") : ONE_OF("Allow", "Deny");
			bool names = d && (*action == 'A' || (which == 1 && *action == 'P')), named = rnd(4) == 0;

			vw_buf_printf(b, "%s{\"action\":\"%s\",\"%s\":[", k ? "," : "", action, d ? "to" : "from");
			/* a named port stands beside pods alone */
			cnp_peers(b, d && !named, names, which != 1);
			vw_buf_putc(b, ']');
			cnp_ports(b, which == 0, named);
			vw_buf_putc(b, '}');
		}
		vw_buf_putc(b, ']');
	}
	vw_buf_puts(b, "}}");
}

static void pod(struct vw_buf *b, unsigned int i)
{
	vw_buf_printf(b, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"n%u\",\"name\":\"q%u\",\"creationTimestamp\":\"2026-01-%02uT00:00:"
		      "00Z\",\"labels\":", i % 3, i, 1 + rnd(28));
	labels(b);
	vw_buf_printf(b, "},\"spec\":{\"hostNetwork\":%s,\"containers\":[{\"ports\":[", rnd(12) ? "false" : "true");
	vw_buf_printf(b, "{\"name\":\"p\",\"protocol\":\"%s\",\"containerPort\":%u}", ONE_OF("TCP", "UDP"), 1 + rnd(3));
	if (rnd(2))
		vw_buf_printf(b, ",{\"name\":\"q\",\"containerPort\":%u}", 1 + rnd(6));
	vw_buf_printf(b, "]}]},\"status\":{\"phase\":\"%s\",\"podIPs\":[", ONE_OF("Running", "Running", "Running", "Running", "Pending", "Failed"));
	if (rnd(8))
		vw_buf_printf(b, "{\"ip\":\"10.0.0.%u\"},{\"ip\":\"fd00::%x\"}", rnd(10) ? i : rnd(N_PODS), i);
	vw_buf_puts(b, "]}}");
}

static void take(struct np_case *c, const char *file, struct vw_buf *b)
{
	struct vw_err err = { 0 };

	if (np_world_take(c->w, file, vw_buf_str(b), b->len, &err) < 0)
		fail_msg("seed %llu: %s\n%s", (unsigned long long)world_seed, err.msg, vw_buf_str(b));
	vw_buf_done(b);
}

static void take_pod(struct np_case *c, unsigned int i)
{
	struct vw_buf b = VW_BUF_INIT;
	char file[32];

	(void)snprintf(file, sizeof(file), "pod%02u.json", i);
	if (rnd(10) == 0) {
		np_world_drop(c->w, file);
		return;
	}
	pod(&b, i);
	take(c, file, &b);
}

static void take_policies(struct np_case *c, unsigned int f)
{
	struct vw_buf b = VW_BUF_INIT;
	char file[32];

	(void)snprintf(file, sizeof(file), "policies%u.json", f);
	for (unsigned int i = 0, n = rnd(4); i < n; i++)
		networkpolicy(&b, 10 * f + i, rnd(3) == 0);
	for (unsigned int i = 0, n = rnd(3); i < n; i++)
		endpoint(&b, 10 * f + i);
	for (unsigned int i = 0, n = rnd(4); i < n; i++)
		cluster(&b, 10 * f + i, rnd(3));
	if (f == 0 && rnd(2))
		cluster(&b, 0, 3);
	take(c, file, &b);
}

static void take_cluster(struct np_case *c)
{
	struct vw_buf b = VW_BUF_INIT;

	for (unsigned int i = 0; i < 2; i++) {
		vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"n%u\",\"labels\":", i);
		labels(&b);
		vw_buf_puts(&b, "}}");
		vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n%u\",\"labels\":", i + 1);
		labels(&b);
		vw_buf_printf(&b, "},\"status\":{\"addresses\":[{\"address\":\"10.0.0.%u\"},{\"address\":\"fd00::%x\"}]}}", 200 + i, 200 + i);
	}
	vw_buf_printf(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"namespace\":\"n0\",\"name\":\"s\"},\"spec\":{\"clusterIP\":\"10.0.0.%u\"}}",
		      N_PODS + rnd(3));
	take(c, "cluster.json", &b);
}

/* --- questions */

/* What a person wants to see of a wrong answer. */
static void tell(const struct np_explain *e)
{
	for (size_t i = 0; i < e->n_step; i++) {
		struct vw_buf b = VW_BUF_INIT;

		np_dump(&b, &e->step[i].policy->o);
		fprintf(stderr, "met %s of %s\n", e->step[i].path, vw_buf_str(&b));
		vw_buf_done(&b);
	}
	fprintf(stderr, "peer '%s' class %u flags %x; tables: %s %s %s\n", e->who, e->cls, e->peer_flags, e->rule ? e->rule->kind : "",
		e->rule ? e->rule->policy : "", e->rule ? e->rule->path : "");
}

static bool ask(struct np_case *c, const struct np_explain_query *q)
{
	struct np_explain e;
	struct vw_err err = { 0 };
	char ip[VW_IP_STRLEN];

	if (np_explain(c->img, c->w, q, &e, &err) < 0)
		fail_msg("seed %llu: %s", (unsigned long long)world_seed, err.msg);
	if (!e.agree)
		tell(&e);
	if (!e.agree)
		fail_msg("seed %llu: slot %u %s %s proto %u port %u names %zu: the objects say %s, the tables %s", (unsigned long long)world_seed, q->slot,
			 q->dir == NP_INGRESS ? "<" : ">", vw_ip_str(&q->peer, ip), q->proto, q->port, q->n_name,
			 e.action == NP_ALLOW ? "ALLOW" : "DENY", e.action == NP_ALLOW ? "DENY" : "ALLOW");
	np_explain_done(&e);
	return true;
}

static void ask_all(struct np_case *c)
{
	static const char *const far[] = { "8.8.8.8", "9.0.0.1", "11.0.0.9", "10.0.0.200", "10.0.0.201", "fd00::c8", "fd00::c9", "fd01::1", "10.1.0.0" };
	static const char *const names[] = { "a.io", "x.a.io", "b.a.io", "x.b.a.io", "c.io", "y.io" };
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	const char *known[2];

	for (size_t i = 0; i < c->n_local; i++)
		for (unsigned int k = 0; k < 2 * N_PODS + 6 + 9; k++) {
			struct np_explain_query q = { .slot = c->local[i].slot };
			char text[32];

			if (k < N_PODS + 3)
				(void)snprintf(text, sizeof(text), "10.0.0.%u", k);
			else if (k < 2 * N_PODS + 6)
				(void)snprintf(text, sizeof(text), "fd00::%x", k - N_PODS - 3);
			assert_int_equal(vw_ip_parse(k < 2 * N_PODS + 6 ? text : far[k - 2 * N_PODS - 6], &q.peer), 0);
			for (int d = 0; d < NP_DIRS; d++)
				for (int n = 0; n < 6; n++) {
					q.dir = (enum np_dir)d;
					q.proto = protos[rnd(4)];
					q.port = (uint16_t)(q.proto == IPPROTO_ICMP ? 0 : rnd(8));
					known[0] = one_of(names, 6);
					known[1] = one_of(names, 6);
					q.name = known;
					q.n_name = rnd(3);
					ask(c, &q);
				}
		}
}

/* --- worlds */

static void set_locals(struct np_case *c)
{
	static char names[N_PODS][2][8];

	c->n_local = 0;
	for (unsigned int i = 0; i < N_PODS; i += 1 + rnd(4)) {
		struct np_local *l = &c->local[c->n_local++];

		(void)snprintf(names[i][0], sizeof(names[i][0]), "n%u", i % 3);
		(void)snprintf(names[i][1], sizeof(names[i][1]), "q%u", i);
		*l = (struct np_local){ .slot = i + 1, .ns = names[i][0], .name = names[i][1] };
		(void)!vw_fmt(c->node + 32, 32, "10.0.0.%u", i);
		assert_int_equal(vw_ip_parse(c->node + 32, &l->ip4), 0);
		if (rnd(2)) {
			(void)!vw_fmt(c->node + 32, 32, "fd00::%x", i);
			assert_int_equal(vw_ip_parse(c->node + 32, &l->ip6), 0);
		}
	}
}

/* Every pod's meaning in @small, where pods were added one by one, is that of compiling anew. */
static void same_meanings(const struct np_image *small, const struct np_image *anew)
{
	for (size_t i = 0; i < anew->n_subject; i++)
		for (size_t k = 0; k < small->n_subject; k++)
			if (small->subject[k].slot == anew->subject[i].slot &&
			    small->blob[small->subject[k].blob].meaning != anew->blob[anew->subject[i].blob].meaning)
				fail_msg("seed %llu: slot %u means another thing when it is compiled anew", (unsigned long long)world_seed,
					 anew->subject[i].slot);
}

/* Return: false when the image has to be compiled again. */
static bool small_steps(struct np_case *c, const struct np_changes *changes)
{
	struct vw_err err = { 0 };

	for (size_t i = 0; i < changes->n_pod; i++) {
		struct np_peer_change ch[NP_PEER_CHANGES];
		size_t n = 0;
		int r = 0;

		for (size_t k = 0; r == 0 && k < c->n_local; k++) {
			unsigned int blob;

			if (strcmp(c->local[k].ns, changes->pod[i].ns) != 0 || strcmp(c->local[k].name, changes->pod[i].name) != 0)
				continue;
			r = np_image_add_subject(c->img, c->w, &c->local[k], &blob, &err);
			if (r == 0)
				assert_true(blob < c->img->n_blob);
		}
		r = r < 0 ? r : np_image_add_peer(c->img, c->w, changes->pod[i].ns, changes->pod[i].name, ch, &n, &err);
		if (r == -EAGAIN)
			return false;
		if (r < 0)
			fail_msg("seed %llu: %s", (unsigned long long)world_seed, err.msg);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(np_image_find_peer(c->img, &ch[k].peer.ip) == NULL, ch[k].gone);
	}
	return true;
}

static bool is_told(const struct np_diff *d, const struct np_explain_query *q, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < d->n_change; i++) {
		const struct np_diff_change *ch = &d->change[i];
		bool pod = false, port = false, peer = false;
		unsigned int len = 0;

		for (size_t k = 0; k < ch->n_slot; k++)
			pod = pod || ch->slot[k] == q->slot;
		for (size_t k = 0; k < ch->n_port; k++)
			port = port || (ch->port[k].proto == 0 && q->proto == IPPROTO_ICMP) ||
			       (ch->port[k].proto == q->proto && q->port >= ch->port[k].first && q->port <= ch->port[k].last);
		for (size_t k = 0; k < ch->n_peer; k++)
			if (vw_cidr_has(&ch->peer[k].cidr, &q->peer)) {
				peer = true;
				len = ch->peer[k].cidr.len;
			}
		if (pod && port && peer && ch->dir == q->dir && len == vw_ip_bits(&q->peer) && ch->from != NP_CHAIN && ch->to != NP_CHAIN)
			assert_true(NP_VERDICT_ACTION(from) == ch->from && NP_VERDICT_ACTION(to) == ch->to);
		if (pod && port && peer && ch->dir == q->dir)
			return true;
	}
	return false;
}

/* Whatever is decided otherwise is told of. */
static void check_diff(struct np_case *c, const struct np_image *old)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	struct np_diff d;
	struct vw_err err;

	assert_int_equal(np_diff(old, c->img, 100000, &d, &err), 0);
	for (int i = 0; i < 3000; i++) {
		const struct np_subject *s = &c->img->subject[rnd((unsigned int)c->img->n_subject)], *before = NULL;
		struct np_explain_query q = { .slot = s->slot, .dir = (enum np_dir)rnd(2), .proto = protos[rnd(4)] };
		struct np_query a = { .dir = q.dir, .proto = q.proto }, b;
		char text[32];

		(void)snprintf(text, sizeof(text), rnd(3) ? "10.0.0.%u" : "fd00::%x", rnd(18));
		(void)vw_ip_parse(text, &q.peer);
		q.port = a.port = (uint16_t)(q.proto == IPPROTO_ICMP ? 0 : rnd(8));
		a.peer = q.peer;
		for (size_t k = 0; k < old->n_subject; k++)
			if (old->subject[k].slot == s->slot)
				before = &old->subject[k];
		b = a;
		a.blob = before->blob;
		b.blob = s->blob;
		if (NP_VERDICT_ACTION(np_image_judge(old, &a, NULL, NULL)) != NP_VERDICT_ACTION(np_image_judge(c->img, &b, NULL, NULL)) &&
		    !is_told(&d, &q, np_image_judge(old, &a, NULL, NULL), np_image_judge(c->img, &b, NULL, NULL)))
			fail_msg("seed %llu: slot %u peer %s port %u differs and is not told", (unsigned long long)world_seed, q.slot, text, q.port);
	}
	np_diff_done(&d);
}

static unsigned int n_small, n_again;

static void one_world(uint64_t seed)
{
	struct np_changes changes;
	struct np_image *before;
	struct np_case c;

	world_seed = seed;
	state_ = seed * 0x9e3779b97f4a7c15ull + 1;
	case_init(&c);
	c.conf.strict = rnd(4) == 0;
	(void)vw_ip_parse("10.0.0.200", &c.node_ip[0]);
	c.conf.n_node_ip = rnd(2);
	(void)vw_cidr_parse("10.0.0.12/30", &c.service[0]);
	c.conf.n_service_cidr = rnd(2);
	take_cluster(&c);
	for (unsigned int i = 0; i < N_PODS; i++)
		take_pod(&c, i);
	for (unsigned int i = 0; i < N_FILES; i++)
		take_policies(&c, i);
	set_locals(&c);
	case_compile(&c);
	ask_all(&c);
	np_world_changes(c.w, &changes);
	for (int step = 0; step < 6; step++) {
		struct vw_err err;

		for (unsigned int k = 0, n = 1 + rnd(2); k < n; k++)
			take_pod(&c, rnd(N_PODS));
		np_world_changes(c.w, &changes);
		assert_false(changes.rules || changes.many);
		if (small_steps(&c, &changes)) {
			n_small++;
			case_check_image(c.img);
			ask_all(&c);
			assert_int_equal(np_compile(c.w, &c.conf, c.local, c.n_local, c.img, &before, &err), 0);
			same_meanings(c.img, before);
			np_image_free(before);
		} else {
			n_again++;
			case_compile(&c);
			ask_all(&c);
		}
	}
	/* and other policies, with what was before as the image in force */
	take_policies(&c, rnd(N_FILES));
	before = c.img;
	c.img = NULL;
	case_compile(&c);
	ask_all(&c);
	check_diff(&c, before);
	np_image_free(before);
	case_done(&c);
}

static void test_worlds(void **state)
{
	const char *seed_text = getenv("NP_SEED"), *worlds_text = getenv("NP_WORLDS");
	uint64_t seed = 1, worlds = 50;

	if (seed_text)
		assert_int_equal(vw_parse_u64(seed_text, 0, UINT64_MAX / 2, &seed), 0);
	if (worlds_text)
		assert_int_equal(vw_parse_u64(worlds_text, 0, UINT32_MAX, &worlds), 0);
	for (uint64_t i = 0; i < worlds; i++)
		one_world(seed + i);
	/* a test that only ever compiles anew would test half of it */
	if (worlds >= 40)
		assert_true(n_small > worlds && n_again > worlds / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worlds),
	};

	return cmocka_run_group_tests_name("np_random", tests, NULL, NULL);
}
