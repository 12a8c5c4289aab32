/* What would be different: which pods, peers and ports, by which rules; and that nothing is told when nothing is. */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_diff.h"
#include "tests/unit/cm.h"
#include "tests/unit/np_case.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define NP(name, spec) "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: " name "}\nspec: " spec "\n"
#define POD(ns, name, ip) \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: " ns ", name: " name ", labels: {pod: " name "}}\nspec: {}\nstatus: {podIP: " ip "}\n"

static struct np_case c;

static int setup(void **state)
{
	case_init(&c);
	case_take(&c, "pods.yaml", POD("x", "a", "10.0.0.1") POD("x", "b", "10.0.0.2") POD("y", "c", "10.0.1.1") POD("y", "d", "10.0.1.2"));
	case_local(&c, "x/a", "10.0.0.1", NULL);
	case_local(&c, "x/b", "10.0.0.2", NULL);
	return 0;
}

static int teardown(void **state)
{
	case_done(&c);
	return 0;
}

static void put_change(struct vw_buf *out, const struct np_diff_change *ch)
{
	static const char *const actions[] = { "DENY", "ALLOW", "BY-NAME" };
	char text[VW_CIDR_STRLEN];

	vw_buf_printf(out, "%s", ch->dir == NP_INGRESS ? "in" : "eg");
	for (size_t i = 0; i < ch->n_slot; i++)
		vw_buf_printf(out, " %u", ch->slot[i]);
	vw_buf_puts(out, ":");
	for (size_t i = 0; i < ch->n_peer; i++)
		vw_buf_printf(out, " %s", *ch->peer[i].who ? ch->peer[i].who : vw_cidr_str(&ch->peer[i].cidr, text));
	vw_buf_puts(out, " ports");
	for (size_t i = 0; i < ch->n_port; i++) {
		const struct np_diff_port *p = &ch->port[i];

		vw_buf_printf(out, " %s", p->proto == IPPROTO_TCP ? "tcp" : p->proto == IPPROTO_UDP ? "udp" : p->proto == IPPROTO_SCTP ? "sctp" : "none");
		if (p->proto)
			vw_buf_printf(out, "/%u-%u", p->first, p->last);
	}
	vw_buf_printf(out, " %s(%s) -> %s(%s)\n", actions[ch->from], ch->from_rule ? ch->from_rule->policy : "", actions[ch->to],
		      ch->to_rule ? ch->to_rule->policy : "");
}

/* What @policies instead of @before would change. The world is as it was afterwards. */
static void expect(const char *before, const char *policies, const char *want)
{
	struct vw_buf out = VW_BUF_INIT;
	struct np_image *fresh;
	struct np_diff d;
	struct vw_err err;
	uint64_t gen;

	case_take(&c, "p.yaml", before);
	case_compile(&c);
	gen = np_world_gen(c.w);
	assert_int_equal(np_world_save(c.w), 0);
	case_take(&c, "p.yaml", policies);
	assert_int_equal(np_compile(c.w, &c.conf, c.local, c.n_local, c.img, &fresh, &err), 0);
	np_world_restore(c.w);
	assert_int_equal(np_world_gen(c.w), gen);
	assert_int_equal(np_diff(c.img, fresh, 100, &d, &err), 0);
	for (size_t i = 0; i < d.n_change; i++)
		put_change(&out, &d.change[i]);
	if (strcmp(vw_buf_str(&out), want) != 0)
		fail_msg("\n%s\nnot\n%s", vw_buf_str(&out), want);
	np_diff_done(&d);
	np_image_free(fresh);
	vw_buf_done(&out);
	/* the world is as it was: the image in force still answers */
	case_expect(&c, "x/a > 10.0.1.1 TCP/1", "");
}

static void test_changes(void **state)
{
	/* nothing, and nothing that anybody could tell */
	expect("", "", "");
	expect(NP("p", "{ingress: [{}]}"), "", "");
	expect(NP("p", "{ingress: [{ports: [{port: 80}]}]}"), NP("q", "{ingress: [{ports: [{port: 80}]}]}"), "");
	expect(NP("p", "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}"),
	       NP("p", "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/9}}, {ipBlock: {cidr: 10.128.0.0/9}}]}]}"), "");
	/* isolation: everybody, every port */
	expect("", NP("p", "{podSelector: {matchLabels: {pod: a}}}"),
	       "in 1: 0.0.0.0/0 x/a x/b y/c y/d ::/0 ports none tcp/0-65535 udp/0-65535 sctp/0-65535 ALLOW() -> DENY(x/p)\n");
	/* both pods at once; a port more, a peer less */
	expect(NP("p", "{ingress: [{ports: [{port: 80}]}]}"), NP("p", "{ingress: [{ports: [{port: 80, endPort: 82}]}]}"),
	       "in 1 2: 0.0.0.0/0 x/a x/b y/c y/d ::/0 ports tcp/81-82 DENY(x/p) -> ALLOW(x/p)\n");
	expect(NP("p", "{ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 80}, {protocol: UDP, port: 53}]}]}"),
	       NP("p", "{ingress: [{from: [{podSelector: {}}], ports: [{port: 80}, {protocol: UDP, port: 53}]}]}"),
	       "in 1 2: y/c y/d ports tcp/80-80 udp/53-53 ALLOW(x/p) -> DENY(x/p)\n");
	/* a prefix: what of it is nobody's, and the pods in it */
	expect(NP("p", "{policyTypes: [Egress]}"),
	       NP("p", "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.2/32]}}], ports: [{port: 1}]}]}"),
	       "eg 1 2: 10.0.1.0/24 y/c ports tcp/1-1 DENY(x/p) -> ALLOW(x/p)\n");
	/* by name */
	expect(NP("p", "{policyTypes: [Egress]}"),
	       NP("p", "{policyTypes: [Egress]}") "---\napiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: n}\n"
	       "spec: {podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{to: [{domainNames: [a.io]}], ports: [{port: 443}]}]}\n",
	       "eg 2: 0.0.0.0/0 x/a x/b y/c y/d ::/0 ports tcp/443-443 DENY(x/p) -> BY-NAME()\n");
}

static void test_pods(void **state)
{
	struct np_image *fresh;
	struct np_diff d;
	struct vw_err err;

	case_take(&c, "p.yaml", NP("p", "{ingress: [{from: [{podSelector: {matchLabels: {pod: new}}}]}]}"));
	case_compile(&c);
	case_take(&c, "new.yaml", POD("x", "new", "10.0.0.9"));
	assert_int_equal(np_compile(c.w, &c.conf, c.local, c.n_local, c.img, &fresh, &err), 0);
	assert_int_equal(np_diff(c.img, fresh, 100, &d, &err), 0);
	assert_int_equal(d.n_change, 1);
	assert_int_equal(d.change[0].n_peer, 1);
	assert_string_equal(d.change[0].peer[0].who, "x/new");
	np_diff_done(&d);
	/* no more than wanted, and that is told */
	assert_int_equal(np_diff(c.img, fresh, 0, &d, &err), 0);
	assert_int_equal(d.n_change, 0);
	assert_true(d.cut);
	np_diff_done(&d);
	np_image_free(fresh);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_changes), TEST(test_pods) };

	return cmocka_run_group_tests_name("np_diff", tests, NULL, NULL);
}
