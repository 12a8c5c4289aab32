/*
 * What DNS has taught outlives a change of the list of names. Lists are compiled and published beside maps in plain memory; what
 * a pod then knows of an address is read as "pattern@end", in its own list's order.
 */
#include "tests/unit/cm.h"
#include "tests/unit/np_case.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 64
#define A 1             /* slots */
#define B 2
#define LIST(labels, names) \
	"---\napiVersion: networking.k8s.aws/v1alpha1\nkind: ApplicationNetworkPolicy\nmetadata: {namespace: x, name: p" #labels "}\n" \
	"spec: {podSelector: {matchLabels: {pod: " #labels "}}, policyTypes: [Egress], egress: [{to: [{domainNames: [" names "]}]}]}\n"

struct fake {
	struct {
		struct np_dns_key key;
		struct np_dns_names names;
	} dns[ENTRIES];
	struct {
		uint32_t set;
		struct vw_ip ip;
		struct np_fqdn f;
	} fqdn[ENTRIES];
	unsigned int n_dns, n_fqdn, walks, writes;
	int set_r;              /* what fqdn_set says */
};

static struct np_case c;
static struct fake f;
static struct np_publish *p;
static const __u64 dns_key[2] = { 3, 5 };

static int addr_ok(void *arg, const struct vw_ip *ip, uint32_t ident) { return 0; }
static int addr_gone(void *arg, const struct vw_ip *ip) { return 0; }
static int cidr_ok(void *arg, const struct vw_cidr *cidr, uint32_t ident) { return 0; }
static int cidr_gone(void *arg, const struct vw_cidr *cidr) { return 0; }
static int no_addr(void *arg, int (*fn)(void *, const struct vw_ip *, uint32_t), void *fn_arg) { return 0; }
static int no_cidr(void *arg, int (*fn)(void *, const struct vw_cidr *, uint32_t), void *fn_arg) { return 0; }
static int clear(void *arg, uint32_t rule) { return 0; }
static int barrier(void *arg) { return 0; }

static unsigned int dns_at(const struct np_dns_key *key)
{
	unsigned int i = 0;

	while (i < f.n_dns && memcmp(&f.dns[i].key, key, sizeof(*key)) != 0)
		i++;
	return i;
}

static int dns_set(void *arg, const struct np_dns_key *key, const struct np_dns_names *names)
{
	unsigned int i = dns_at(key);

	assert_true(i < ENTRIES);
	f.n_dns += i == f.n_dns;
	f.dns[i].key = *key;
	f.dns[i].names = *names;
	return 0;
}

static int dns_del(void *arg, const struct np_dns_key *key)
{
	unsigned int i = dns_at(key);

	if (i < f.n_dns)
		f.dns[i] = f.dns[--f.n_dns];
	return 0;
}

static int each_dns(void *arg, int (*fn)(void *, const struct np_dns_key *, const struct np_dns_names *), void *fn_arg)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < f.n_dns; i++)
		r = fn(fn_arg, &f.dns[i].key, &f.dns[i].names);
	return r;
}

static unsigned int fqdn_at(uint32_t set, const struct vw_ip *ip)
{
	unsigned int i = 0;

	while (i < f.n_fqdn && (f.fqdn[i].set != set || !vw_ip_eq(&f.fqdn[i].ip, ip)))
		i++;
	return i;
}

static int fqdn_get(void *arg, uint32_t set, const struct vw_ip *ip, struct np_fqdn *ret)
{
	unsigned int i = fqdn_at(set, ip);

	if (i == f.n_fqdn)
		return -ENOENT;
	*ret = f.fqdn[i].f;
	return 0;
}

static int fqdn_set(void *arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *v)
{
	unsigned int i = fqdn_at(set, ip);

	if (f.set_r < 0)
		return f.set_r;
	assert_true(i < ENTRIES);
	f.writes++;
	f.n_fqdn += i == f.n_fqdn;
	f.fqdn[i].set = set;
	f.fqdn[i].ip = *ip;
	f.fqdn[i].f = *v;
	return 0;
}

static int each_fqdn(void *arg, int (*fn)(void *, uint32_t, const struct vw_ip *, const struct np_fqdn *), void *fn_arg)
{
	int r = 0;

	f.walks++;
	for (unsigned int i = 0; r == 0 && i < f.n_fqdn; i++)
		r = fn(fn_arg, f.fqdn[i].set, &f.fqdn[i].ip, &f.fqdn[i].f);
	return r;
}

static struct np_pub_io io = {
	.addr_set = addr_ok, .addr_del = addr_gone, .cidr_set = cidr_ok, .cidr_del = cidr_gone, .each_addr = no_addr, .each_cidr = no_cidr,
	.dns_key = dns_key, .dns_set = dns_set, .dns_del = dns_del, .each_dns = each_dns,
	.each_fqdn = each_fqdn, .fqdn_get = fqdn_get, .fqdn_set = fqdn_set, .rule_clear = clear, .barrier = barrier,
};

static void open_on_maps(void)
{
	struct vw_err err;

	if (np_publish_new(&io, &p, &err) < 0)
		fail_msg("np_publish_new: %s", err.msg);
}

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	io.arena = aligned_alloc(64, NP_ARENA_LINES * sizeof(*io.arena));
	io.ports = aligned_alloc(64, NP_PORT_LINES * sizeof(*io.ports));
	io.idents = calloc(NP_IDENTS, sizeof(*io.idents));
	io.slots = calloc(NP_SLOTS, sizeof(*io.slots));
	io.journal = calloc(NP_SLOTS + 1, sizeof(*io.journal));
	io.rule_keys = calloc(NP_RULES, sizeof(*io.rule_keys));
	assert_true(io.arena && io.ports && io.idents && io.slots && io.journal && io.rule_keys);
	memset(io.arena, 0, NP_ARENA_LINES * sizeof(*io.arena));
	memset(io.ports, 0, NP_PORT_LINES * sizeof(*io.ports));
	case_init(&c);
	case_take(&c, "cluster.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n"
				      "---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: x, name: a, labels: {pod: a}}\nstatus: {podIP: 10.0.0.1}\n"
				      "---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: x, name: b, labels: {pod: b}}\nstatus: {podIP: 10.0.0.2}\n");
	case_local(&c, "x/a", "10.0.0.1", NULL);
	case_local(&c, "x/b", "10.0.0.2", NULL);
	open_on_maps();
	return 0;
}

static int teardown(void **state)
{
	p = np_publish_free(p);
	case_done(&c);
	free(io.arena);
	free(io.ports);
	free(io.idents);
	free(io.slots);
	free(io.journal);
	free(io.rule_keys);
	return 0;
}

static int publish(const char *policies)
{
	struct np_image *old = c.img;
	struct vw_err err;
	int r;

	c.img = NULL;           /* the publisher has it until the next one */
	case_take(&c, "p.yaml", policies);
	case_compile(&c);
	r = np_publish_image(p, c.img, &err);
	np_image_free(r < 0 ? c.img : old);
	c.img = r < 0 ? old : c.img;
	return r;
}

static void settle(void)
{
	struct vw_err err;

	if (np_publish_settle(p, &err) < 0)
		fail_msg("np_publish_settle: %s", err.msg);
}

static void change(const char *policies)
{
	assert_int_equal(publish(policies), 0);
	settle();
}

/* slot's list */
static const struct np_image_blob *list_of(unsigned int slot)
{
	for (size_t i = 0; i < c.img->n_subject; i++)
		if (c.img->subject[i].slot == slot)
			return &c.img->blob[c.img->subject[i].blob];
	fail_msg("no pod in slot %u", slot);
	return NULL;
}

static uint32_t set_of(unsigned int slot)
{
	return ((const struct np_blob *)list_of(slot)->line)->fqdn_set;
}

static struct vw_ip ip(const char *text)
{
	struct vw_ip ret;

	assert_int_equal(vw_ip_parse(text, &ret), 0);
	return ret;
}

/* as the program of DNS answers does: an answer for @name to the pod in @slot, for an address of which it knew nothing by that end */
static void learn(unsigned int slot, const char *address, const char *name, uint32_t until)
{
	const struct np_image_blob *b = list_of(slot);
	const struct vw_ip at = ip(address);
	struct np_fqdn v = { 0 };
	unsigned int end = 0;
	uint64_t names = 0;

	for (unsigned int i = 0; i < b->n_fqdn; i++)
		names |= (uint64_t)np_domain_matches(b->fqdn[i], name) << i;
	assert_int_not_equal(names, 0);
	(void)fqdn_get(NULL, set_of(slot), &at, &v);
	while (v.names[end])
		assert_true(++end < NP_FQDN_ENDS);
	v.names[end] = names;
	v.expires[end] = until;
	assert_int_equal(fqdn_set(NULL, set_of(slot), &at, &v), 0);
}

static void expect(unsigned int slot, const char *address, const char *want)
{
	const struct np_image_blob *b = list_of(slot);
	const struct vw_ip at = ip(address);
	struct vw_buf got = VW_BUF_INIT;
	struct np_fqdn v = { 0 };

	(void)fqdn_get(NULL, set_of(slot), &at, &v);
	for (unsigned int i = 0; i < NP_FQDN_NAMES; i++)
		for (unsigned int k = 0; k < NP_FQDN_ENDS; k++)
			if (v.names[k] >> i & 1)
				vw_buf_printf(&got, "%s%s@%u", got.len ? " " : "", i < b->n_fqdn ? b->fqdn[i] : "?", v.expires[k]);
	assert_string_equal(got.len ? vw_buf_str(&got) : "", want);
	vw_buf_done(&got);
}

/* --- */

static void a_name_comes_others_stay(void **state)
{
	change(LIST(a, "m.io, '*.w.io'"));
	learn(A, "1.2.3.4", "m.io", 100);
	learn(A, "2001:db8::1", "x.w.io", 200);
	learn(A, "1.2.3.5", "m.io", 100);
	learn(A, "1.2.3.5", "x.w.io", 300);
	/* sorts before them: every bit is another */
	change(LIST(a, "a.io, m.io, '*.w.io'"));
	expect(A, "1.2.3.4", "m.io@100");
	expect(A, "2001:db8::1", "*.w.io@200");
	expect(A, "1.2.3.5", "*.w.io@300 m.io@100");
	/* and what goes, goes */
	change(LIST(a, "a.io, '*.w.io'"));
	expect(A, "1.2.3.4", "");
	expect(A, "1.2.3.5", "*.w.io@300");
	change(LIST(a, "a.io, m.io, '*.w.io', z.io"));
	expect(A, "1.2.3.4", "");
}

static void what_is_learnt_in_the_switch(void **state)
{
	uint32_t former;
	struct np_fqdn v = { .names = { 2 }, .expires = { 70 } };       /* m.io of the former list */
	const struct vw_ip at = ip("1.2.3.4");

	change(LIST(a, "k.io, m.io"));
	former = set_of(A);
	learn(A, "1.2.3.4", "k.io", 50);
	assert_int_equal(publish(LIST(a, "b.io, k.io, m.io")), 0);
	expect(A, "1.2.3.4", "k.io@50");        /* before any packet is judged by the new list */
	/* a packet that began before the switch, and an answer after it */
	v.names[1] = 1;
	v.expires[1] = 60;
	assert_int_equal(fqdn_set(NULL, former, &at, &v), 0);
	learn(A, "1.2.3.4", "b.io", 90);
	settle();
	expect(A, "1.2.3.4", "b.io@90 k.io@60 m.io@70");
	/* settled is settled */
	f.walks = 0;
	settle();
	assert_int_equal(f.walks, 0);
}

static void wider_and_narrower(void **state)
{
	change(LIST(a, "www.w.io, '*.sub.w.io'"));
	learn(A, "1.1.1.1", "www.w.io", 10);
	learn(A, "1.1.1.2", "x.sub.w.io", 20);
	change(LIST(a, "'*.w.io'"));
	expect(A, "1.1.1.1", "*.w.io@10");
	expect(A, "1.1.1.2", "*.w.io@20");
	/* whether it was that name of all the wildcard's, nobody knows */
	change(LIST(a, "'*.w.io', www.w.io"));
	expect(A, "1.1.1.1", "*.w.io@10");
	change(LIST(a, "www.w.io"));
	expect(A, "1.1.1.1", "");
}

/* AWS's Pass by name. If the address was asked for as x.w.io, it must no longer be let through as one of *.w.io. */
static void a_narrower_name_that_passes(void **state)
{
#define TIERS(pass) \
	"---\napiVersion: networking.k8s.aws/v1alpha1\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\nspec: {tier: Admin, priority: 1, " \
	"subject: {namespaces: {}}, egress: [" pass "{action: Accept, to: [{domainNames: ['*.w.io', m.io]}]}, " \
	"{action: Deny, to: [{networks: [0.0.0.0/0]}]}]}\n"                                                                         \
	"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: d}\nspec: {policyTypes: [Egress]}\n"
	change(TIERS(""));
	learn(A, "1.1.1.1", "x.w.io", 10);
	learn(A, "1.1.1.2", "m.io", 10);
	change(TIERS("{action: Pass, to: [{domainNames: [x.w.io]}]}, "));
	expect(A, "1.1.1.1", "");
	expect(A, "1.1.1.2", "m.io@10");
}

static void another_process(void **state)
{
	change(LIST(a, "m.io, '*.w.io', w.io"));
	learn(A, "1.2.3.4", "m.io", 100);
	learn(A, "1.2.3.5", "w.io", 100);
	learn(A, "1.2.3.6", "x.w.io", 100);
	p = np_publish_free(p);
	open_on_maps();
	change(LIST(a, "a.io, m.io, '*.w.io'"));
	expect(A, "1.2.3.4", "m.io@100");
	expect(A, "1.2.3.5", "");
	expect(A, "1.2.3.6", "*.w.io@100");
}

/* Pods with one list know the same. */
static void lists_of_several_pods(void **state)
{
	change(LIST(a, "m.io") LIST(b, "m.io, n.io"));
	learn(A, "1.1.1.1", "m.io", 10);
	learn(B, "1.1.1.2", "m.io", 20);
	learn(B, "1.1.1.1", "n.io", 30);
	/* a's becomes what b's was, b's a third */
	change(LIST(a, "m.io, n.io") LIST(b, "l.io, m.io, n.io"));
	expect(A, "1.1.1.1", "m.io@10 n.io@30");
	expect(A, "1.1.1.2", "m.io@20");
	expect(B, "1.1.1.1", "m.io@10 n.io@30");
	expect(B, "1.1.1.2", "m.io@20");
	/* nothing is walked for lists that stay, or that have nothing in common */
	f.walks = 0;
	change(LIST(a, "m.io, n.io") LIST(b, "z.io"));
	assert_int_equal(f.walks, 0);
}

/* other labels, the same image */
static void one_pod_gets_another_list(void **state)
{
	struct vw_err err;

	change(LIST(a, "m.io") LIST(b, "l.io, m.io"));
	learn(A, "1.1.1.1", "m.io", 10);
	for (size_t i = 0; i < c.img->n_subject; i++)
		if (c.img->subject[i].slot == B)
			assert_int_equal(np_publish_subject(p, A, c.img->subject[i].blob, &err), 0);
	assert_true(np_publish_unsettled(p));
	expect(B, "1.1.1.1", "m.io@10");
}

static void more_ends_than_there_is_room(void **state)
{
	change(LIST(a, "a.io, b.io, c.io, d.io") LIST(b, "a.io, b.io, c.io, d.io, e.io, f.io"));
	learn(A, "1.1.1.1", "a.io", 0xfffffff0u);       /* ticks wrap */
	learn(A, "1.1.1.1", "b.io", 10);
	learn(A, "1.1.1.1", "c.io", 50);
	learn(A, "1.1.1.1", "d.io", 90);
	learn(B, "1.1.1.1", "a.io", 45);
	learn(B, "1.1.1.1", "e.io", 51);
	learn(B, "1.1.1.1", "f.io", 10);
	change(LIST(a, "a.io, b.io, c.io, d.io, e.io, f.io") LIST(b, "a.io, b.io, c.io, d.io, e.io, f.io"));
	/* a.io by its later end; e.io ends a tick earlier with c.io */
	expect(A, "1.1.1.1", "a.io@45 b.io@10 c.io@50 d.io@90 e.io@50 f.io@10");
}

static void a_map_that_fails(void **state)
{
	uint64_t pub;

	change(LIST(a, "m.io"));
	learn(A, "1.1.1.1", "m.io", 10);
	/* full: the pod asks again */
	f.set_r = -E2BIG;
	change(LIST(a, "b.io, m.io"));
	expect(A, "1.1.1.1", "");
	f.set_r = 0;
	learn(A, "1.1.1.1", "m.io", 10);
	f.set_r = -ENOMEM;
	pub = io.slots[A].pub;
	assert_int_equal(publish(LIST(a, "c.io, m.io")), -ENOMEM);
	assert_int_equal(io.slots[A].pub, pub);
	f.set_r = 0;
	change(LIST(a, "c.io, m.io"));
	expect(A, "1.1.1.1", "m.io@10");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_comes_others_stay, setup, teardown), cmocka_unit_test_setup_teardown(what_is_learnt_in_the_switch, setup, teardown), cmocka_unit_test_setup_teardown(wider_and_narrower, setup, teardown), cmocka_unit_test_setup_teardown(a_narrower_name_that_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(another_process, setup, teardown), cmocka_unit_test_setup_teardown(lists_of_several_pods, setup, teardown), cmocka_unit_test_setup_teardown(one_pod_gets_another_list, setup, teardown), cmocka_unit_test_setup_teardown(more_ends_than_there_is_room, setup, teardown), cmocka_unit_test_setup_teardown(a_map_that_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
