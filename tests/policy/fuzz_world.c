/*
 * Random clusters: objects are written as JSON text and parsed once, so that all executors read the same.
 */
#include "tests/policy/fuzz_world.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <string.h>

static const char *const spaces[] = { "x", "y", "z", "w" };
static const char *const keys[] = { "app", "team", "env" };
static const char *const values[] = { "a", "b", "c" };
static const char *const port_names[] = { "http", "web", "dns", "metrics" };
static const char *const protos[] = { "TCP", "UDP", "SCTP" };
static const char *const domains[] = { "www.example.com", "*.example.com", "example.com", "*.b.example.com", "api.example.org" };
static const char *const known_as[] = { "www.example.com", "example.com", "a.b.example.com", "api.example.org", "Example.ORG." };
/* few, and neighbours: ranges begin, end and overlap there */
static const uint16_t ports[] = { 1, 52, 53, 54, 79, 80, 81, 82, 443, 8079, 8080, 8081, 32767, 65534, 65535 };

uint64_t fw_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);   /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

unsigned int fw_below(uint64_t *state, unsigned int n)
{
	return (unsigned int)(fw_random(state) % n);
}

#define PICK(m, table) ((table)[fw_below(&(m)->rng, VW_ARRAY_SIZE(table))])

struct maker {
	uint64_t rng;
	struct fuzz_world *w;
	struct vw_buf b;
};

static bool chance(struct maker *m, unsigned int percent)
{
	return fw_below(&m->rng, 100) < percent;
}

/** comma() - a list's separator: nothing before its first element. */
static void comma(struct maker *m)
{
	char last = m->b.len ? m->b.data[m->b.len - 1] : '[';

	if (last != '[' && last != '{')
		vw_buf_putc(&m->b, ',');
}

static void labels(struct maker *m)
{
	vw_buf_putc(&m->b, '{');
	for (size_t i = 0; i < VW_ARRAY_SIZE(keys); i++) {
		if (chance(m, 60)) {
			comma(m);
			vw_buf_printf(&m->b, "\"%s\":\"%s\"", keys[i], PICK(m, values));
		}
	}
	vw_buf_putc(&m->b, '}');
}

static void expression(struct maker *m, bool ns)
{
	static const char *const ops[] = { "In", "NotIn", "Exists", "DoesNotExist" };
	unsigned int op = fw_below(&m->rng, 4);
	bool by_name = ns && chance(m, 30);

	comma(m);
	vw_buf_printf(&m->b, "{\"key\":\"%s\",\"operator\":\"%s\"", by_name ? "kubernetes.io/metadata.name" : PICK(m, keys), ops[op]);
	if (op < 2) {
		vw_buf_printf(&m->b, ",\"values\":[\"%s\"", by_name ? PICK(m, spaces) : PICK(m, values));
		if (chance(m, 40))
			vw_buf_printf(&m->b, ",\"%s\"", by_name ? PICK(m, spaces) : PICK(m, values));
		vw_buf_putc(&m->b, ']');
	}
	vw_buf_putc(&m->b, '}');
}

static void selector(struct maker *m, bool ns)
{
	vw_buf_putc(&m->b, '{');
	if (chance(m, 50))
		vw_buf_printf(&m->b, "\"matchLabels\":{\"%s\":\"%s\"}", PICK(m, keys), PICK(m, values));
	if (chance(m, 35)) {
		comma(m);
		vw_buf_puts(&m->b, "\"matchExpressions\":[");
		expression(m, ns);
		if (chance(m, 30))
			expression(m, ns);
		vw_buf_putc(&m->b, ']');
	}
	vw_buf_putc(&m->b, '}');
}

/** near() - an address around which pods live, or one far away. */
static struct vw_ip near(struct maker *m, bool v6)
{
	static const char *const far4[] = { "203.0.113.0", "203.0.113.128", "198.51.100.7", "8.8.8.8", "0.0.0.0", "255.255.255.255" };
	static const char *const far6[] = { "2001:db8::", "2001:db8:0:0:8000::", "2001:db8:ffff::7", "fe00::", "::", "ffff:ffff::" };
	struct vw_ip ip;
	bool at_home = chance(m, 70);

	(void)vw_ip_parse(at_home ? (v6 ? "fd07:7::" : "10.7.0.0") : v6 ? PICK(m, far6) : PICK(m, far4), &ip);
	return at_home ? vw_ip_add(&ip, fw_below(&m->rng, 64)) : chance(m, 50) ? vw_ip_add(&ip, fw_below(&m->rng, 4)) : ip;
}

static struct vw_cidr some_cidr(struct maker *m, bool v6)
{
	static const uint8_t lens[] = { 0, 1, 8, 16, 24, 25, 26, 27, 28, 29, 30, 31, 32 };
	struct vw_ip ip = near(m, v6);
	unsigned int len = PICK(m, lens);

	return vw_cidr_of(&ip, v6 ? (chance(m, 15) ? len : 96 + len) : len);
}

static void cidr_text(struct maker *m, const struct vw_cidr *c)
{
	char text[VW_CIDR_STRLEN];

	comma(m);
	vw_buf_printf(&m->b, "\"%s\"", vw_cidr_str(c, text));
}

/** block() - cidr and perhaps except. */
static void block(struct maker *m)
{
	bool v6 = chance(m, 50);
	struct vw_cidr c = some_cidr(m, v6);
	unsigned int bits = vw_ip_bits(&c.ip);
	char text[VW_CIDR_STRLEN];

	vw_buf_printf(&m->b, "\"cidr\":\"%s\"", vw_cidr_str(&c, text));
	if (c.len < bits && chance(m, 60)) {
		unsigned int n = 1 + fw_below(&m->rng, 3);

		vw_buf_puts(&m->b, ",\"except\":[");
		for (unsigned int i = 0; i < n; i++) {
			struct vw_cidr inside = some_cidr(m, v6);

			for (unsigned int bit = 0; bit < c.len; bit++) {        /* move it into the block */
				uint8_t mask = (uint8_t)(0x80 >> bit % 8);

				inside.ip.b[bit / 8] = (uint8_t)((inside.ip.b[bit / 8] & ~mask) | (c.ip.b[bit / 8] & mask));
			}
			if (inside.len <= c.len)
				inside.len = (uint8_t)(c.len + 1 + fw_below(&m->rng, bits - c.len));
			cidr_text(m, &inside);
		}
		vw_buf_putc(&m->b, ']');
	}
}

static void np_peer(struct maker *m)
{
	unsigned int kind = fw_below(&m->rng, 10);

	comma(m);
	if (kind < 3) {
		vw_buf_puts(&m->b, "{\"ipBlock\":{");
		block(m);
		vw_buf_puts(&m->b, "}}");
		return;
	}
	vw_buf_putc(&m->b, '{');
	if (kind != 4) {
		vw_buf_puts(&m->b, "\"podSelector\":");
		selector(m, false);
	}
	if (kind == 4 || kind > 6) {
		comma(m);
		vw_buf_puts(&m->b, "\"namespaceSelector\":");
		selector(m, true);
	}
	vw_buf_putc(&m->b, '}');
}

/** np_port() - @named: also by name. */
static void np_port(struct maker *m, bool named)
{
	unsigned int kind = named ? fw_below(&m->rng, 10) : 2 + fw_below(&m->rng, 8);
	uint16_t lo = PICK(m, ports), hi = PICK(m, ports);

	comma(m);
	vw_buf_putc(&m->b, '{');
	if (chance(m, 75))
		vw_buf_printf(&m->b, "\"protocol\":\"%s\"", PICK(m, protos));
	if (kind < 8)
		comma(m);
	if (kind < 2)
		vw_buf_printf(&m->b, "\"port\":\"%s\"", PICK(m, port_names));
	else if (kind < 5)
		vw_buf_printf(&m->b, "\"port\":%u", lo);
	else if (kind < 8)
		vw_buf_printf(&m->b, "\"port\":%u,\"endPort\":%u", lo < hi ? lo : hi, lo < hi ? hi : lo);
	vw_buf_putc(&m->b, '}');
}

static void np_rule(struct maker *m, bool egress)
{
	unsigned int n_peer = fw_below(&m->rng, 4), n_port = chance(m, 50) ? 0 : 1 + fw_below(&m->rng, 3);

	comma(m);
	vw_buf_putc(&m->b, '{');
	if (n_peer || chance(m, 50)) {
		vw_buf_printf(&m->b, "\"%s\":[", egress ? "to" : "from");
		while (n_peer--)
			np_peer(m);
		vw_buf_putc(&m->b, ']');
	}
	if (n_port) {
		comma(m);
		vw_buf_puts(&m->b, "\"ports\":[");
		while (n_port--)
			np_port(m, true);
		vw_buf_putc(&m->b, ']');
	}
	vw_buf_putc(&m->b, '}');
}

/** directions() - ingress and egress of a spec, either of which may be missing or empty. */
static void directions(struct maker *m, void (*entry)(struct maker *m, bool egress))
{
	for (int d = 0; d < 2; d++) {
		unsigned int n = fw_below(&m->rng, 4);

		if (chance(m, 25))
			continue;
		vw_buf_printf(&m->b, ",\"%s\":[", d ? "egress" : "ingress");
		while (n--)
			entry(m, d);
		vw_buf_putc(&m->b, ']');
	}
}

static void network_policy(struct maker *m, unsigned int i)
{
	static const char *const types[] = { "", ",\"policyTypes\":[\"Ingress\"]", ",\"policyTypes\":[\"Egress\"]",
					     ",\"policyTypes\":[\"Ingress\",\"Egress\"]" };

	comma(m);
	vw_buf_printf(&m->b, "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"np-%u\"},"
			     "\"spec\":{\"podSelector\":", PICK(m, spaces), i);
	selector(m, false);
	directions(m, np_rule);
	vw_buf_puts(&m->b, PICK(m, types));
	vw_buf_puts(&m->b, "}}");
}

static void endpoint_entry(struct maker *m, bool egress)
{
	unsigned int n_port = fw_below(&m->rng, 3);
	char text[VW_IP_STRLEN];
	struct vw_ip ip;

	comma(m);
	vw_buf_putc(&m->b, '{');
	if (chance(m, 50)) {
		block(m);
	} else {
		ip = near(m, chance(m, 50));
		vw_buf_printf(&m->b, "\"cidr\":\"%s\"", vw_ip_str(&ip, text));
	}
	if (n_port || chance(m, 30)) {
		vw_buf_puts(&m->b, ",\"ports\":[");
		while (n_port--)
			np_port(m, false);
		vw_buf_putc(&m->b, ']');
	}
	vw_buf_putc(&m->b, '}');
}

/** policy_endpoint() - few policies that they are parts of, some of which are there themselves. */
static void policy_endpoint(struct maker *m, unsigned int i)
{
	static const char *const isolation[] = { "[]", "[\"Ingress\"]", "[\"Egress\"]", "[\"Ingress\",\"Egress\"]" };
	const char *ns = PICK(m, spaces);

	comma(m);
	vw_buf_printf(&m->b, "{\"apiVersion\":\"networking.k8s.aws/v1alpha1\",\"kind\":\"PolicyEndpoint\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"pe-%u\"},"
			     "\"spec\":{\"policyRef\":{\"namespace\":\"%s\",\"name\":\"np-%u\"},\"podIsolation\":%s,\"podSelectorEndpoints\":[",
		      ns, i, ns, 6 + fw_below(&m->rng, 3), PICK(m, isolation));
	for (size_t p = 0; p < m->w->n_pod; p++) {
		if (!chance(m, 40))
			continue;
		comma(m);
		vw_buf_printf(&m->b, "{\"namespace\":\"%s\",\"name\":\"p%zu\"}", chance(m, 90) ? m->w->pod[p].ns : ns, p);
	}
	vw_buf_putc(&m->b, ']');
	directions(m, endpoint_entry);
	vw_buf_puts(&m->b, "}}");
}

static void pods(struct maker *m, const char *key)
{
	comma(m);
	vw_buf_printf(&m->b, "\"%s\":{", key);
	if (chance(m, 70)) {
		vw_buf_puts(&m->b, "\"namespaceSelector\":");
		selector(m, true);
		vw_buf_putc(&m->b, ',');
	}
	vw_buf_puts(&m->b, "\"podSelector\":");
	selector(m, false);
	vw_buf_putc(&m->b, '}');
}

static void namespaces(struct maker *m, const char *key)
{
	comma(m);
	vw_buf_printf(&m->b, "\"%s\":", key);
	selector(m, true);
}

enum shape { CNP, CNP_AWS, ANP, BANP };
enum action { ACCEPT, DENY, PASS };

/** cluster_peer() - @named: the rule has a named port, which peers that are no pods may not have. */
static void cluster_peer(struct maker *m, enum shape shape, bool egress, enum action action, bool named)
{
	unsigned int kind = fw_below(&m->rng, egress && !named ? 12 : 6);
	bool by_name = action == ACCEPT || (action == PASS && shape == CNP_AWS);

	if (kind == 6 && shape == CNP_AWS && chance(m, 80))
		kind = 11;      /* AWS has no nodes there: the rule is closed */

	comma(m);
	vw_buf_putc(&m->b, '{');
	if (kind < 3) {
		namespaces(m, "namespaces");
	} else if (kind < 6) {
		pods(m, "pods");
	} else if (kind < 7) {
		vw_buf_puts(&m->b, "\"nodes\":");
		selector(m, false);
	} else if (kind < 10 || !by_name) {
		unsigned int n = 1 + fw_below(&m->rng, 3);

		vw_buf_puts(&m->b, "\"networks\":[");
		while (n--) {
			struct vw_cidr c = some_cidr(m, chance(m, 50));

			c = vw_cidr_masked(&c);
			cidr_text(m, &c);
		}
		vw_buf_putc(&m->b, ']');
	} else {
		vw_buf_printf(&m->b, "\"domainNames\":[\"%s\"]", PICK(m, domains));
	}
	vw_buf_putc(&m->b, '}');
}

/** cluster_port() - in the words of the shape. Return: it is a named one. */
static bool cluster_port(struct maker *m, enum shape shape)
{
	static const char *const lower[] = { "tcp", "udp", "sctp" };
	unsigned int p = fw_below(&m->rng, 3), kind = fw_below(&m->rng, 10);
	uint16_t a = PICK(m, ports), b = PICK(m, ports), lo = a < b ? a : b, hi = a < b ? b : a;

	if (lo == hi)
		hi = (uint16_t)(lo == 65535 ? lo : lo + 1);
	if (lo == hi)
		lo--;
	comma(m);
	if (kind < 2)
		vw_buf_printf(&m->b, "{\"%s\":\"%s\"}", shape == CNP ? "destinationNamedPort" : "namedPort", PICK(m, port_names));
	else if (shape == CNP && kind < 6)
		vw_buf_printf(&m->b, "{\"%s\":{\"destinationPort\":{\"number\":%u}}}", lower[p], a);
	else if (shape == CNP)
		vw_buf_printf(&m->b, "{\"%s\":{\"destinationPort\":{\"range\":{\"start\":%u,\"end\":%u}}}}", lower[p], lo, hi);
	else if (kind < 6)
		vw_buf_printf(&m->b, "{\"portNumber\":{\"protocol\":\"%s\",\"port\":%u}}", protos[p], a);
	else
		vw_buf_printf(&m->b, "{\"portRange\":{\"protocol\":\"%s\",\"start\":%u,\"end\":%u}}", protos[p], lo, hi);
	return kind < 2;
}

static void cluster_rule(struct maker *m, enum shape shape, bool egress)
{
	static const char *const actions[] = { "Accept", "Deny", "Pass" };
	enum action action = (enum action)fw_below(&m->rng, shape == BANP ? 2 : 3);
	unsigned int n_peer = 1 + fw_below(&m->rng, 3);
	bool named = false;

	comma(m);
	vw_buf_printf(&m->b, "{\"action\":\"%s\"", action == ACCEPT && shape >= ANP ? "Allow" : actions[action]);
	if (chance(m, 50)) {
		unsigned int n = 1 + fw_below(&m->rng, 3);

		vw_buf_printf(&m->b, ",\"%s\":[", shape == CNP ? "protocols" : "ports");
		while (n--)
			named |= cluster_port(m, shape);
		vw_buf_putc(&m->b, ']');
	}
	vw_buf_printf(&m->b, ",\"%s\":[", egress ? "to" : "from");
	while (n_peer--)
		cluster_peer(m, shape, egress, action, named);
	vw_buf_puts(&m->b, "]}");
}

static void cluster_policy(struct maker *m, unsigned int i, enum shape shape)
{
	static const char *const kinds[] = { "ClusterNetworkPolicy", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy" };
	static const char *const apis[] = { "policy.networking.k8s.io/v1alpha2", "networking.k8s.aws/v1alpha1", "policy.networking.k8s.io/v1alpha1",
					    "policy.networking.k8s.io/v1alpha1" };

	comma(m);
	vw_buf_printf(&m->b, "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"", apis[shape], kinds[shape]);
	if (shape == BANP)
		vw_buf_puts(&m->b, "default\"},\"spec\":{");
	else
		vw_buf_printf(&m->b, "cluster-%u\"},\"spec\":{\"priority\":%u", i, fw_below(&m->rng, 4));
	if (shape <= CNP_AWS)
		vw_buf_printf(&m->b, ",\"tier\":\"%s\"", chance(m, 60) ? "Admin" : "Baseline");
	comma(m);
	vw_buf_puts(&m->b, "\"subject\":{");
	if (chance(m, 50))
		namespaces(m, "namespaces");
	else
		pods(m, "pods");
	vw_buf_putc(&m->b, '}');
	for (int d = 0; d < 2; d++) {
		unsigned int n = fw_below(&m->rng, 4);

		if (!n)
			continue;
		vw_buf_printf(&m->b, ",\"%s\":[", d ? "egress" : "ingress");
		while (n--)
			cluster_rule(m, shape, d);
		vw_buf_putc(&m->b, ']');
	}
	vw_buf_puts(&m->b, "}}");
}

static bool taken(const struct maker *m, const struct vw_ip *ip)
{
	for (size_t i = 0; i < m->w->n_pod; i++) {
		const struct fw_pod *p = &m->w->pod[i];

		if (!p->over && (vw_ip_eq(&p->ip[0], ip) || vw_ip_eq(&p->ip[1], ip)))
			return true;
	}
	return false;
}

static void pod_addresses(struct maker *m, struct fw_pod *p, unsigned int node)
{
	int only = chance(m, 15) ? (int)fw_below(&m->rng, 2) : -1;

	for (int f = 0; f < 2; f++) {
		if (p->host) {
			p->ip[f] = m->w->node_ip[node][f];
			continue;
		}
		if (only == !f)
			continue;
		do {
			(void)vw_ip_parse(f ? "fd07:7::" : "10.7.0.0", &p->ip[f]);
			p->ip[f] = vw_ip_add(&p->ip[f], fw_below(&m->rng, 64));
		} while (!p->over && taken(m, &p->ip[f]));
	}
}

static void pod_service(struct maker *m, struct fw_pod *p, size_t i)
{
	char text[VW_IP_STRLEN];
	bool first = true;

	comma(m);
	vw_buf_printf(&m->b, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"s-p%zu\"},\"spec\":{\"clusterIPs\":[", p->ns, i);
	for (int f = 0; f < 2; f++) {
		if (!p->ip[f].family)
			continue;
		(void)snprintf(text, sizeof(text), f ? "fd99::%zx" : "172.30.0.%zu", i + 1);
		(void)vw_ip_parse(text, &p->vip[f]);
		vw_buf_printf(&m->b, "%s\"%s\"", first ? "" : ",", text);
		first = false;
	}
	vw_buf_puts(&m->b, "],\"ports\":[");
	for (size_t k = 0; k < p->n_served; k++) {
		const char *proto = p->served[k].proto == IPPROTO_TCP ? "TCP" : p->served[k].proto == IPPROTO_UDP ? "UDP" : "SCTP";

		comma(m);
		vw_buf_printf(&m->b, "{\"name\":\"p%zu\",\"port\":%u,\"targetPort\":%u,\"protocol\":\"%s\"}", k, fx_service_port(p->served[k].port),
			      p->served[k].port, proto);
	}
	vw_buf_puts(&m->b, "]}}");
	for (int f = 0; f < 2; f++) {
		if (!p->ip[f].family)
			continue;
		comma(m);
		vw_buf_printf(&m->b, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"s-p%zu-%d\","
				     "\"labels\":{\"kubernetes.io/service-name\":\"s-p%zu\"}},\"addressType\":\"%s\",\"endpoints\":[{\"addresses\":[\"%s\"]}],\"ports\":[",
			      p->ns, i, f, i, f ? "IPv6" : "IPv4", vw_ip_str(&p->ip[f], text));
		for (size_t k = 0; k < p->n_served; k++) {
			const char *proto = p->served[k].proto == IPPROTO_TCP ? "TCP" : p->served[k].proto == IPPROTO_UDP ? "UDP" : "SCTP";

			comma(m);
			vw_buf_printf(&m->b, "{\"name\":\"p%zu\",\"port\":%u,\"protocol\":\"%s\"}", k, p->served[k].port, proto);
		}
		vw_buf_puts(&m->b, "]}");
	}
}

static void container_ports(struct maker *m, struct fw_pod *p)
{
	unsigned int n = fw_below(&m->rng, 4), first = fw_below(&m->rng, VW_ARRAY_SIZE(port_names));

	for (unsigned int i = 0; i < n; i++) {
		struct fx_port *s = &p->served[p->n_served++];
		static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
		unsigned int proto = fw_below(&m->rng, 3);
		bool again = false;

		*s = (struct fx_port){ numbers[proto], PICK(m, ports) };
		for (size_t k = 0; k + 1 < p->n_served; k++)
			again |= p->served[k].proto == s->proto && p->served[k].port == s->port;
		if (again) {
			p->n_served--;
			continue;
		}
		comma(m);
		vw_buf_printf(&m->b, "{\"name\":\"%s\",\"containerPort\":%u,\"protocol\":\"%s\"}", port_names[(first + i) % VW_ARRAY_SIZE(port_names)], s->port,
			      protos[proto]);
	}
}

static void pod(struct maker *m, size_t i)
{
	struct fw_pod *p = &m->w->pod[i];
	unsigned int node = fw_below(&m->rng, (unsigned int)m->w->n_node);
	char text[VW_IP_STRLEN];
	bool first = true;
	const char *ns;

	*p = (struct fw_pod){ .host = chance(m, 8), .over = chance(m, 12) };
	ns = PICK(m, spaces);
	(void)VW_COPY(p->ns, ns);
	(void)snprintf(p->full, sizeof(p->full), "%s/p%zu", ns, i);
	(void)snprintf(p->node, sizeof(p->node), "n%u", node);
	pod_addresses(m, p, node);
	m->w->n_pod = i + 1;
	comma(m);
	vw_buf_printf(&m->b, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"%s\",\"name\":\"p%zu\",\"labels\":", p->ns, i);
	labels(m);
	vw_buf_printf(&m->b, "},\"spec\":{\"nodeName\":\"%s\",\"hostNetwork\":%s,\"containers\":[{\"name\":\"c\",\"ports\":[", p->node,
		      p->host ? "true" : "false");
	container_ports(m, p);
	vw_buf_printf(&m->b, "]}]},\"status\":{\"phase\":\"%s\",\"podIPs\":[", p->over ? "Succeeded" : "Running");
	for (int f = 0; f < 2; f++) {
		if (!p->ip[f].family)
			continue;
		vw_buf_printf(&m->b, "%s{\"ip\":\"%s\"}", first ? "" : ",", vw_ip_str(&p->ip[f], text));
		first = false;
	}
	vw_buf_puts(&m->b, "]}}");
	if (!p->over && !p->host && p->n_served && chance(m, 70))
		pod_service(m, p, i);
}

static void node(struct maker *m, size_t i)
{
	char text[2][VW_IP_STRLEN];

	(void)snprintf(text[0], sizeof(text[0]), "10.7.0.%zu", 64 + i);         /* next to the pods' */
	(void)snprintf(text[1], sizeof(text[1]), "fd07:7::%zx", 64 + i);
	(void)vw_ip_parse(text[0], &m->w->node_ip[i][0]);
	(void)vw_ip_parse(text[1], &m->w->node_ip[i][1]);
	comma(m);
	vw_buf_printf(&m->b, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n%zu\",\"labels\":", i);
	labels(m);
	vw_buf_printf(&m->b, "},\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"%s\"},{\"type\":\"InternalIP\",\"address\":\"%s\"},"
			     "{\"type\":\"Hostname\",\"address\":\"n%zu\"}]}}", text[0], text[1], i);
}

static void ask_about(struct maker *m, const struct vw_ip *ip)
{
	if (ip->family && m->w->n_addr < FW_ADDRS)
		m->w->addr[m->w->n_addr++] = *ip;
}

int fuzz_world_new(uint64_t seed, struct fuzz_world *ret)
{
	const struct vw_json_limits lim = { .max_bytes = 4u << 20, .max_depth = 64 };
	struct maker m = { .rng = seed, .w = ret };
	struct vw_err err;
	unsigned int n;
	int r;

	*ret = (struct fuzz_world){ .n_node = 1 + fw_below(&m.rng, FW_NODES), .strict = fw_below(&m.rng, 8) == 0 };
	vw_buf_putc(&m.b, '[');
	for (size_t i = 0; i < VW_ARRAY_SIZE(spaces); i++) {
		if (chance(&m, 15))
			continue;       /* nobody described it */
		comma(&m);
		vw_buf_printf(&m.b, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\",\"labels\":", spaces[i]);
		labels(&m);
		vw_buf_puts(&m.b, "}}");
	}
	for (size_t i = 0; i < ret->n_node; i++)
		node(&m, i);
	n = 4 + fw_below(&m.rng, FW_PODS - 4);
	for (size_t i = 0; i < n; i++)
		pod(&m, i);
	n = fw_below(&m.rng, 8);
	for (unsigned int i = 0; i < n; i++)
		network_policy(&m, i);
	n = chance(&m, 40) ? 1 + fw_below(&m.rng, 5) : 0;
	for (unsigned int i = 0; i < n; i++)
		policy_endpoint(&m, i);
	n = chance(&m, 60) ? fw_below(&m.rng, 5) : 0;
	for (unsigned int i = 0; i < n; i++)
		cluster_policy(&m, i, (enum shape)fw_below(&m.rng, BANP));
	if (chance(&m, 15))
		cluster_policy(&m, 0, BANP);
	vw_buf_putc(&m.b, ']');
	for (size_t i = 0; i < ret->n_pod; i++) {
		ask_about(&m, &ret->pod[i].ip[0]);
		ask_about(&m, &ret->pod[i].ip[1]);
	}
	for (size_t i = 0; i < ret->n_node; i++) {
		ask_about(&m, &ret->node_ip[i][0]);
		ask_about(&m, &ret->node_ip[i][1]);
	}
	while (ret->n_addr < FW_ADDRS) {
		struct vw_ip ip = near(&m, chance(&m, 50));

		ask_about(&m, &ip);
	}
	r = vw_buf_err(&m.b);
	if (r == 0)
		r = vw_json_parse(m.b.data, m.b.len, &lim, "a random cluster", &ret->objs, &err);
	vw_buf_done(&m.b);
	return r;
}

void fuzz_world_done(struct fuzz_world *w)
{
	vw_json_free(w->objs);
	vw_json_free(w->away);
	w->objs = w->away = NULL;
}

int fw_load(const struct px *x, const struct fuzz_world *w, struct vw_err *err)
{
	size_t n = vw_json_len(w->objs);
	const struct vw_json **objs = calloc(n + 1, sizeof(*objs));
	int r;

	if (!objs)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	for (size_t i = 0; i < n; i++)
		objs[i] = vw_json_at(w->objs, i);
	r = x->load(x->ctx, objs, n, w->strict, err);
	free(objs);
	return r;
}

static bool is_judged(const struct fw_pod *p)
{
	return !p->over && !p->host && !p->gone;
}

static const struct fw_pod *pod_at(const struct fuzz_world *w, const struct vw_ip *ip)
{
	for (size_t i = 0; i < w->n_pod; i++) {
		if (is_judged(&w->pod[i]) && (vw_ip_eq(&w->pod[i].ip[0], ip) || vw_ip_eq(&w->pod[i].ip[1], ip)))
			return &w->pod[i];
	}
	return NULL;
}

static bool is_node(const struct fuzz_world *w, const char *name, const struct vw_ip *ip)
{
	for (size_t i = 0; i < w->n_node; i++) {
		char text[24];

		(void)snprintf(text, sizeof(text), "n%zu", i);
		if ((vw_ip_eq(&w->node_ip[i][0], ip) || vw_ip_eq(&w->node_ip[i][1], ip)) && strcmp(name, text) == 0)
			return true;
	}
	return false;
}

static void pick_port(const struct fw_pod *served, uint64_t *rng, int family, struct fw_query *q)
{
	static const uint8_t others[] = { 0, 2, 47, 50, 51, 89, 255 };
	static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	unsigned int kind = fw_below(rng, 16);

	if (served && served->n_served && kind < 6) {
		const struct fx_port *s = &served->served[fw_below(rng, (unsigned int)served->n_served)];

		q->proto = s->proto;
		q->port = s->port;
	} else if (kind == 15) {
		q->proto = fw_below(rng, 2) ? (family ? IPPROTO_ICMPV6 : IPPROTO_ICMP) : others[2];
	} else {
		q->proto = numbers[fw_below(rng, 3)];
		q->port = kind < 14 ? ports[fw_below(rng, VW_ARRAY_SIZE(ports))] : (uint16_t)(1 + fw_below(rng, 65535));
	}
}

bool fuzz_query(const struct fuzz_world *w, uint64_t *rng, struct fw_query *ret)
{
	const struct fw_pod *self = &w->pod[fw_below(rng, (unsigned int)w->n_pod)], *peer;
	size_t at = fw_below(rng, (unsigned int)w->n_addr);
	int family;

	for (size_t i = 0; i < w->n_pod && !is_judged(self); i++)
		self = &w->pod[i];
	if (!is_judged(self))
		return false;
	*ret = (struct fw_query){ .egress = fw_below(rng, 2) };
	for (size_t i = 0; i < w->n_addr; i++, at = (at + 1) % w->n_addr) {
		family = w->addr[at].family == AF_INET6;
		if (self->ip[family].family && !vw_ip_eq(&w->addr[at], &self->ip[family]))
			break;
	}
	ret->peer = w->addr[at];
	family = ret->peer.family == AF_INET6;
	ret->self = self->ip[family];
	if (!ret->self.family || vw_ip_eq(&ret->peer, &ret->self))
		return false;
	(void)VW_COPY(ret->pod, self->full);
	(void)VW_COPY(ret->node, self->node);
	peer = pod_at(w, &ret->peer);
	if (peer)
		(void)VW_COPY(ret->peer_pod, peer->full);
	ret->node_local = !ret->egress && is_node(w, self->node, &ret->peer) && fw_below(rng, 2);
	pick_port(ret->egress ? peer : self, rng, family, ret);
	if (ret->egress && fw_below(rng, 4) == 0) {
		ret->n_names = 1 + fw_below(rng, 2);
		for (size_t i = 0; i < ret->n_names; i++)
			ret->names[i] = known_as[fw_below(rng, VW_ARRAY_SIZE(known_as))];
	}
	for (size_t k = 0; ret->egress && peer && peer->vip[family].family && k < peer->n_served; k++) {
		if (peer->served[k].proto == ret->proto && peer->served[k].port == ret->port && fw_below(rng, 2)) {
			ret->vip = peer->vip[family];
			ret->vip_port = fx_service_port(ret->port);
		}
	}
	return true;
}

struct px_half fw_half(const struct fw_query *q)
{
	return (struct px_half){ .pod = q->pod, .node = q->node, .egress = q->egress, .node_local = q->node_local, .self = q->self,
				 .peer = q->peer, .vip = q->vip, .port = q->port, .vip_port = q->vip_port, .proto = q->proto,
				 .names = q->names, .n_names = q->n_names };
}
