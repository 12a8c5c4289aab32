#include "tests/bpf/np_rig.h"

#include "lib/net/link.h"
#include "lib/net/sysctl.h"
#include "netpolicy-bpf/user/np_ct.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <string.h>

#define LINES_HALF (NP_ARENA_LINES / 2)
#define BLOB_AT 7               /* line of the blob in each half */
#define SET 1                   /* of domain names */

static const char *const ips[WHO_MAX][2] = {
	[STRANGER] = { "198.51.100.7", "2001:db8:99::7" },
	[FRIEND] = { "10.9.0.1", "fd09::1" },
	[FOE] = { "10.9.0.2", "fd09::2" },
	[PING] = { "10.9.0.3", "fd09::3" },
	[NAMED] = { "10.9.0.4", "fd09::4" },
	[VIP] = { "172.20.0.10", "fd20::10" },
	[NODE] = { "10.0.0.5", "fd00::5" },
	[RESOLVER] = { "10.9.0.53", "fd09::53" },
	[COUSIN] = { "10.8.3.4", "fd08:1::4" },
	[POD_A] = { "10.0.1.10", "fd01::10" },
	[POD_B] = { "10.0.1.11", "fd01::11" },
};

const uint8_t *rig_ip(int family, enum who who)
{
	static uint8_t bytes[8][16];
	static unsigned int next;
	uint8_t *b = bytes[next++ % 8];

	memset(b, 0, 16);
	assert_int_equal(inet_pton(family == 4 ? AF_INET : AF_INET6, ips[who][family == 6], b), 1);
	return b;
}

/* --- packets */

static void add(struct pkt *p, const void *data, size_t len)
{
	assert_true(p->len + len <= sizeof(p->b));
	if (len)
		memcpy(p->b + p->len, data, len);
	p->len += len;
}

static void set16(struct pkt *p, size_t at, size_t value)
{
	p->b[at] = (uint8_t)(value >> 8);
	p->b[at + 1] = (uint8_t)value;
}

static void add_zeros(struct pkt *p, size_t len)
{
	static const uint8_t zero[2048];

	add(p, zero, len);
}

static void add_l4(struct pkt *p, const struct spec *s)
{
	uint8_t h[20] = { (uint8_t)(s->sport >> 8), (uint8_t)s->sport, (uint8_t)(s->dport >> 8), (uint8_t)s->dport };

	if (s->raw)
		return;
	if (s->proto == IPPROTO_TCP) {
		h[12] = 5 << 4;
		h[13] = (uint8_t)s->flags;
		add(p, h, 20);
	} else if (s->proto == IPPROTO_UDP) {
		h[4] = (uint8_t)((8 + s->n_data + s->payload) >> 8);
		h[5] = (uint8_t)(8 + s->n_data + s->payload);
		add(p, h, 8);
	} else if (s->proto == IPPROTO_SCTP) {
		h[12] = s->sctp_chunk;
		add(p, h, 16);
	} else if (s->proto == IPPROTO_ICMP || s->proto == IPPROTO_ICMPV6) {
		const uint8_t icmp[8] = { (uint8_t)(s->flags >> 8), (uint8_t)s->flags, 0, 0, (uint8_t)(s->sport >> 8),
					  (uint8_t)s->sport };

		add(p, icmp, 8);
	}
	if (s->inner)
		add(p, s->inner->b + ETH_HLEN, s->inner->len - ETH_HLEN);
	add(p, s->data, s->n_data);
}

static struct pkt pkt4(const struct spec *s)
{
	struct ethhdr eth = { .h_dest = { 2, 0, 0, 0, 0, 1 }, .h_source = { 2, 0, 0, 0, 0, 2 }, .h_proto = htons(ETH_P_IP) };
	const unsigned int opt = (s->n_options + 3) & ~3u;
	struct iphdr ip = { .version = 4, .ihl = (5 + opt / 4) & 15, .ttl = s->hops ? s->hops : 64, .protocol = s->proto,
			    .id = htons((uint16_t)s->frag_id),
			    .frag_off = htons((uint16_t)(s->frag / 8 | (s->more ? 0x2000 : 0))) };
	struct pkt p = { 0 };

	memcpy(&ip.saddr, rig_ip(4, s->src), 4);
	memcpy(&ip.daddr, rig_ip(4, s->dst), 4);
	add(&p, &eth, sizeof(eth));
	add(&p, &ip, sizeof(ip));
	add(&p, s->options, s->n_options);
	add_zeros(&p, opt - s->n_options);
	add_l4(&p, s);
	add_zeros(&p, s->payload);
	set16(&p, ETH_HLEN + 2, p.len - ETH_HLEN);
	return p;
}

/** add_ext() - 8 bytes of kind @kind, followed by @next. */
static void add_ext(struct pkt *p, uint8_t kind, uint8_t next, const struct spec *s)
{
	uint8_t h[8] = { next, 0, 1, 4 };       /* PadN */

	if (kind == IPPROTO_FRAGMENT) {
		h[2] = (uint8_t)(s->frag >> 8);
		h[3] = (uint8_t)((s->frag & ~7) | s->more);
		h[4] = (uint8_t)(s->frag_id >> 24);
		h[5] = (uint8_t)(s->frag_id >> 16);
		h[6] = (uint8_t)(s->frag_id >> 8);
		h[7] = (uint8_t)s->frag_id;
	} else if (kind == IPPROTO_ROUTING) {
		h[2] = 4;
		h[3] = (uint8_t)s->flags;       /* segments left, for tests of that */
	}
	add(p, h, sizeof(h));
}

static struct pkt pkt6(const struct spec *s)
{
	struct ethhdr eth = { .h_dest = { 2, 0, 0, 0, 0, 1 }, .h_source = { 2, 0, 0, 0, 0, 2 }, .h_proto = htons(ETH_P_IPV6) };
	struct ipv6hdr ip = { .version = 6, .hop_limit = s->hops ? s->hops : 64 };
	uint8_t chain[16] = { 0 };
	unsigned int n = 0;
	struct pkt p = { 0 };

	for (const uint8_t *e = s->ext; e && *e != 255; e++)
		chain[n++] = *e;
	if (s->frag || s->more || s->has_frag)
		chain[n++] = IPPROTO_FRAGMENT;
	chain[n] = s->proto;
	ip.nexthdr = chain[0];
	memcpy(&ip.saddr, rig_ip(6, s->src), 16);
	memcpy(&ip.daddr, rig_ip(6, s->dst), 16);
	add(&p, &eth, sizeof(eth));
	add(&p, &ip, sizeof(ip));
	for (unsigned int i = 0; i < n; i++)
		add_ext(&p, chain[i], chain[i + 1], s);
	add_l4(&p, s);
	add_zeros(&p, s->payload);
	set16(&p, ETH_HLEN + 4, p.len - ETH_HLEN - sizeof(ip));
	return p;
}

struct pkt pkt_of(int family, const struct spec *s)
{
	struct spec t = *s;

	if (family == 6 && t.proto == IPPROTO_ICMP)
		t.proto = IPPROTO_ICMPV6;
	return family == 4 ? pkt4(&t) : pkt6(&t);
}

struct pkt pkt_cut(struct pkt p, size_t len)
{
	assert_true(len <= p.len);
	p.len = len;
	return p;
}

/* --- tables */

static uint32_t matrix[NP_DIRS][WHO_CLASSES][PORT_MAX];

static uint32_t half(uint32_t parity)
{
	return parity ? LINES_HALF : 1;
}

static void policy_default(void)
{
	for (int who = 0; who < WHO_CLASSES; who++) {
		for (int port = 0; port < PORT_MAX; port++) {
			matrix[NP_INGRESS][who][port] = NP_VERDICT(NP_DENY, RULE_DENY_IN);
			matrix[NP_EGRESS][who][port] = NP_VERDICT(NP_DENY, RULE_DENY_OUT);
		}
	}
	for (int port = 0; port < PORT_MAX; port++)
		matrix[NP_INGRESS][PING][port] = matrix[NP_EGRESS][PING][port] = NP_VERDICT(NP_ALLOW, RULE_ALL);
	matrix[NP_INGRESS][FRIEND][PORT_WEB] = NP_VERDICT(NP_ALLOW, RULE_WEB_IN);
	for (int port = PORT_WEB; port <= PORT_SCTP; port++)
		matrix[NP_EGRESS][FRIEND][port] = NP_VERDICT(NP_ALLOW, RULE_WEB_OUT);
	matrix[NP_EGRESS][RESOLVER][PORT_DNS] = NP_VERDICT(NP_ALLOW, RULE_WEB_OUT);
}

void rig_set(struct rig *r, enum np_dir dir, enum who who, enum port port, uint32_t verdict)
{
	matrix[dir][who][port] = verdict;
}

/** blob_write() - the matrix as a blob of two halves' layout, with gaps, so that no offset is right by chance. */
static void blob_write(struct np_line *arena, uint32_t base)
{
	const uint32_t at = base + BLOB_AT;
	struct np_blob *b = (struct np_blob *)&arena[at];
	struct np_chain *chain = (struct np_chain *)&arena[at + 40];
	uint32_t next = at + 2;

	memset(b, 0, sizeof(*b));
	b->magic = NP_BLOB_MAGIC;
	b->fqdn_set = SET;
	b->n_class = WHO_CLASSES;
	b->n_port_class = PORT_MAX;
	for (int dir = 0; dir < NP_DIRS; dir++) {
		b->dir[dir] = (struct np_blob_dir){ .row = next, .col = next + 1, .mtx = next + 3, .ncol = PORT_MAX };
		for (uint32_t c = 0; c < WHO_CLASSES; c++) {
			arena[next].h[c] = (uint16_t)(WHO_CLASSES - 1 - c);     /* rows the other way around */
			for (uint32_t p = 0; p < PORT_MAX; p++) {
				uint32_t cell = (WHO_CLASSES - 1 - c) * PORT_MAX + p;

				arena[next + 3 + cell / NP_LINE_WORDS].w[cell % NP_LINE_WORDS] = matrix[dir][c][p];
			}
		}
		for (uint32_t p = 0; p < PORT_MAX; p++)
			arena[next + 1].h[p] = (uint16_t)p;
		next += 16;
	}
	for (int i = 0; i < 5; i++)     /* two lines, entries that match nobody first */
		chain[i] = (struct np_chain){ .names = 1ull << (60 - i), .verdict = NP_VERDICT(NP_DENY, RULE_NONE) };
	chain[5] = (struct np_chain){ .names = 1, .verdict = NP_VERDICT(NP_ALLOW, RULE_NAME_MAY) };
	chain[6] = (struct np_chain){ .names = 2, .verdict = NP_VERDICT(NP_DENY, RULE_NAME_MAY_NOT) };
	chain[7] = (struct np_chain){ .names = 0, .verdict = NP_VERDICT(NP_DENY, RULE_DENY_OUT) };
}

void rig_publish(struct rig *r, unsigned int slot, uint32_t rev)
{
	struct np_line *arena = np_map_mem(r->np, NP_M_ARENA), *ports = np_map_mem(r->np, NP_M_PORTS);
	struct np_ident *ident = np_map_mem(r->np, NP_M_IDENTS);
	uint32_t base;

	r->parity ^= 1;
	base = half(r->parity);
	matrix[NP_EGRESS][NAMED][PORT_WEB] = NP_VERDICT(NP_CHAIN, base + BLOB_AT + 40);
	blob_write(arena, base);
	memset(&ports[NP_PORT_LINE(r->parity, 0, 0)], 0, NP_PORT_LINES / 2 * sizeof(*ports));
	ports[NP_PORT_LINE(r->parity, NP_PORT_TCP, WEB)].h[WEB % 32] = PORT_WEB;
	ports[NP_PORT_LINE(r->parity, NP_PORT_UDP, DNS)].h[DNS % 32] = PORT_DNS;
	ports[NP_PORT_LINE(r->parity, NP_PORT_SCTP, SCTP_PORT)].h[SCTP_PORT % 32] = PORT_SCTP;
	ports[NP_PORT_LINE(r->parity, NP_PORT_TCP, OTHER)].h[OTHER % 32] = PORT_OTHER;
	for (uint32_t who = 0; who < WHO_MAX; who++) {
		uint16_t cls = (uint16_t)(who < WHO_CLASSES ? who : who == COUSIN ? FRIEND : PING);

		ident[who + 1].cls[r->parity] = cls;
		/* a class that no blob has, unless the other pod lives under the other generation */
		ident[who + 1].cls[!r->parity] = rig_slot(r, slot ^ SLOT_A ^ SLOT_B)->pub ? cls : 0xfff0;
		ident[who + 1].flags = (uint16_t)(who == VIP ? NP_IDENT_VIP : who == NODE ? NP_IDENT_OWN_NODE :
						  who == RESOLVER ? NP_IDENT_RESOLVER : 0);
	}
	r->rev = rev;
	__atomic_store_n(&rig_slot(r, slot)->pub,
			 (base + BLOB_AT) | (r->parity ? NP_PUB_PARITY : 0) | (uint64_t)rev << NP_PUB_REV_SHIFT, __ATOMIC_RELEASE);
}

static void put(struct rig *r, enum np_map map, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(np_map_fd(r->np, map), key, value, BPF_ANY), 0);
}

static void peers_write(struct rig *r)
{
	static const uint8_t cousins6[16] = { 0xfd, 0x08 };
	struct np_cidr4_key c4 = { 0 };
	struct np_cidr6_key c6 = { 0 };
	uint32_t ident = STRANGER + 1;

	put(r, NP_M_CIDR4, &c4, &ident);
	put(r, NP_M_CIDR6, &c6, &ident);
	ident = COUSIN + 1;
	c4 = (struct np_cidr4_key){ .len = 16, .ip = htonl(0x0a080000) };
	c6.len = 16;
	memcpy(c6.ip, cousins6, sizeof(c6.ip));
	put(r, NP_M_CIDR4, &c4, &ident);
	put(r, NP_M_CIDR6, &c6, &ident);
	for (uint32_t who = 0; who < WHO_MAX; who++) {
		if (who == STRANGER || who == COUSIN)
			continue;
		ident = who + 1;
		put(r, NP_M_IP4, rig_ip(4, who), &ident);
		put(r, NP_M_IP6, rig_ip(6, who), &ident);
	}
}

void rig_move(struct rig *r, enum who who, enum who to)
{
	const uint32_t ident = to + 1;

	put(r, NP_M_IP4, rig_ip(4, who), &ident);
	put(r, NP_M_IP6, rig_ip(6, who), &ident);
}

void rig_name(struct rig *r, enum who who, uint64_t names, uint32_t expires)
{
	struct np_fqdn f = { .names = { names }, .expires = { expires } };
	struct np_fqdn4_key k4 = { .set = SET };
	struct np_fqdn6_key k6 = { .set = SET };

	memcpy(&k4.ip, rig_ip(4, who), 4);
	memcpy(k6.ip, rig_ip(6, who), 16);
	put(r, NP_M_FQDN4, &k4, &f);
	put(r, NP_M_FQDN6, &k6, &f);
}

size_t rig_dns_name(const char *name, uint8_t wire[256])
{
	size_t n = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		assert_true(label > 0 && label < 64 && n + label + 2 < 256);
		wire[n++] = (uint8_t)label;
		memcpy(wire + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	wire[n++] = 0;
	return n;
}

void rig_pattern(struct rig *r, const char *pattern, unsigned int bit)
{
	const bool wild = strncmp(pattern, "*.", 2) == 0;
	struct np_dns_names names = { 0 };
	struct np_dns_key key = { .set = SET };
	uint8_t wire[256];
	size_t n = rig_dns_name(wild ? pattern + 2 : pattern, wire);

	key.hash = np_dns_hash(rig_conf(r)->dns_key, wire, (uint32_t)n);
	(void)bpf_map_lookup_elem(np_map_fd(r->np, NP_M_DNS), &key, &names);
	if (wild)
		names.wild |= 1ull << bit;
	else
		names.exact |= 1ull << bit;
	put(r, NP_M_DNS, &key, &names);
}

/* --- the rig */

static int on_ring(void *ctx, void *data, size_t size)
{
	struct rig *r = ctx;
	const struct np_event *e = data;

	assert_true(size >= sizeof(*e));
	if (e->kind == NP_EVENT_DNS && r->n_dns < VW_ARRAY_SIZE(r->dns))
		memcpy(&r->dns[r->n_dns++], data, sizeof(r->dns[0]));
	else if (e->kind == NP_EVENT_VERDICT && r->n_event < VW_ARRAY_SIZE(r->event))
		r->event[r->n_event++] = *e;
	return 0;
}

void rig_events(struct rig *r)
{
	r->n_event = r->n_dns = 0;
	assert_true(ring_buffer__consume(r->ring) >= 0);
}

static void make_links(void)
{
	static const unsigned int indexes[] = { VETH(SLOT_A), VETH(SLOT_B), VETH(SLOT_GONE), ENI_INDEX };
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	char name[16], peer[16];
	struct vw_err err;

	(void)vw_sysctl_if_set(AF_INET6, "default", "disable_ipv6", "1", &err);
	ok(vw_nl_open(&nl, &err));
	for (size_t i = 0; i < VW_ARRAY_SIZE(indexes); i++) {
		(void)snprintf(name, sizeof(name), "eni%zu", i);
		(void)snprintf(peer, sizeof(peer), "pod%zu", i);
		(void)vw_link_add_veth(&b, &(struct vw_link_end){ .name = name, .ifindex = indexes[i] },
				       &(struct vw_link_end){ .name = peer });
	}
	ok(vw_nl_commit(&nl, &b, &err));
}

static int setup(void **state, bool ct_locks)
{
	const struct np_sizes sizes = { .ct_locks = ct_locks, .max = { [NP_M_CT] = RIG_GROUPS, [NP_M_FQDN4] = RIG_FQDNS,
					      [NP_M_FQDN6] = RIG_FQDNS } };
	struct vw_err err;
	struct rig *r;

	if (bpf_fixture_setup(state) < 0 || !*state)
		return 0;
	r = calloc(1, sizeof(*r));
	assert_non_null(r);
	r->fix = *state;
	*state = r;
	ok(np_open(r->fix->dir, &sizes, &r->np, &err));
	make_links();
	r->ring = ring_buffer__new(np_map_fd(r->np, NP_M_EVENTS), on_ring, r, NULL);
	assert_non_null(r->ring);
	r->family = 4;
	return 0;
}

int rig_setup(void **state)
{
	return setup(state, false);
}

int rig_setup_locked(void **state)
{
	return setup(state, true);
}

int rig_done(void **state)
{
	struct rig *r = *state;

	if (!r)
		return 0;
	ring_buffer__free(r->ring);
	np_close(r->np);
	*state = r->fix;
	free(r);
	return bpf_fixture_done(state);
}

static void wipe(struct rig *r, enum np_map map, size_t key_size)
{
	uint8_t key[64];

	assert_true(key_size <= sizeof(key));
	while (bpf_map_get_next_key(np_map_fd(r->np, map), NULL, key) == 0)
		(void)bpf_map_delete_elem(np_map_fd(r->np, map), key);
}

static void pod_conf(struct np_pod_conf *c, enum who who, unsigned int eni)
{
	memset(c, 0, sizeof(*c));
	c->eni = eni;
	assert_int_equal(vw_ip_parse(ips[who][0], &c->ip4), 0);
	assert_int_equal(vw_ip_parse(ips[who][1], &c->ip6), 0);
}

void rig_reset(struct rig *r)
{
	const struct np_ct_maps ct = np_ct_maps_of(r->np);
	struct np_conf *c = rig_conf(r);
	struct np_pod_conf pod;
	struct vw_err err;

	np_ct_clear(&ct);
	wipe(r, NP_M_FRAG, sizeof(struct np_frag_key));
	wipe(r, NP_M_FQDN4, sizeof(struct np_fqdn4_key));
	wipe(r, NP_M_FQDN6, sizeof(struct np_fqdn6_key));
	wipe(r, NP_M_DNS, sizeof(struct np_dns_key));
	memset(np_map_mem(r->np, NP_M_RT), 0, NP_SLOTS * sizeof(struct np_rt));
	c->flags = 0;
	c->ct_quota = 1000;
	c->event_rate = 0;
	c->event_burst = 50;
	c->dns_min_ttl = 30;
	for (unsigned int s = SLOT_A; s <= SLOT_B; s++) {
		ok(np_slot_clear(r->np, s, &err));
		rig_slot(r, s)->pub = 0;
		pod_conf(&pod, s == SLOT_A ? POD_A : POD_B, s == SLOT_A ? 9 : 0);
		ok(np_slot_publish(r->np, s, &pod, &err));
		rig_rt(r, s)->tokens = c->event_burst << 10;
	}
	peers_write(r);
	policy_default();
	rig_publish(r, SLOT_A, 1);
	r->mark_in = RIG_MARK_IN;
	r->from = WIRE;
	rig_events(r);
	r->n_event = r->n_dns = 0;
}

struct np_conf *rig_conf(struct rig *r)
{
	return np_map_mem(r->np, NP_M_CONF);
}

struct np_slot *rig_slot(struct rig *r, unsigned int slot)
{
	return (struct np_slot *)np_map_mem(r->np, NP_M_SLOTS) + slot;
}

struct np_rt *rig_rt(struct rig *r, unsigned int slot)
{
	return (struct np_rt *)np_map_mem(r->np, NP_M_RT) + slot;
}

static bool get(struct rig *r, unsigned int slot, enum who peer, uint8_t proto, uint16_t rport, uint16_t lport, bool post,
		struct np_ct *ret)
{
	struct np_flow f = { .slot = slot, .gen = rig_slot(r, slot)->gen, .rport = rport, .lport = lport, .post = post,
			     .proto = r->family == 6 && proto == IPPROTO_ICMP ? IPPROTO_ICMPV6 : proto };
	const struct np_ct_maps m = np_ct_maps_of(r->np);

	f.remote.family = r->family == 4 ? AF_INET : AF_INET6;
	memcpy(f.remote.b, rig_ip(r->family, peer), r->family == 4 ? 4 : 16);
	if (!np_ct_get(&m, &f))
		return false;
	*ret = f.ct;
	return true;
}

bool rig_ct(struct rig *r, unsigned int slot, enum who peer, uint8_t proto, uint16_t rport, uint16_t lport, struct np_ct *ret)
{
	return get(r, slot, peer, proto, rport, lport, false, ret);
}

bool rig_ct_behind(struct rig *r, enum who peer, uint16_t rport, struct np_ct *ret)
{
	return get(r, SLOT_A, peer, TCP, rport, 40000, true, ret);
}

/** struct wanted - entries to be found: by who the other end is and whether they are behind a service's address. */
struct wanted {
	struct rig *r;
	uint8_t proto;
	enum who who[2];
	uint16_t rport[2];
	struct np_ct_entry *found[2];
	uint32_t place[2];
};

static int find_wanted(void *arg, const struct np_flow *f)
{
	struct wanted *w = arg;

	if (f->slot == SLOT_A && f->proto == w->proto && f->rport == w->rport[f->post] && f->lport == 40000 &&
	    !memcmp(f->remote.b, rig_ip(w->r->family, w->who[f->post]), w->r->family == 4 ? 4 : 16)) {
		const unsigned int group = f->place / NP_CT_GROUP_FLOWS, at = f->place % NP_CT_GROUP_FLOWS;

		w->found[f->post] = &((struct np_ct_group *)np_map_mem(w->r->np, NP_M_CT))[group].entry[at];
		w->place[f->post] = NP_CT_PLACE(group, at);
	}
	return 0;
}

void rig_link(struct rig *r, enum who peer, uint8_t proto, uint16_t rport, struct np_ct **ret, struct np_ct **ret_behind)
{
	const struct np_ct_maps m = np_ct_maps_of(r->np);
	struct wanted w = { .r = r, .proto = proto, .who = { VIP, peer }, .rport = { OTHER, rport } };

	(void)np_ct_each(&m, find_wanted, &w);
	assert_true(w.found[0] && w.found[1]);
	w.found[0]->ct.link = NP_CT_LINK(w.place[1], 0);
	w.found[1]->ct.link = NP_CT_LINK(w.place[0], 0);
	*ret = &w.found[0]->ct;
	*ret_behind = &w.found[1]->ct;
}

static int count_flow(void *arg, const struct np_flow *f)
{
	*(unsigned int *)arg += 1;
	return 0;
}

unsigned int rig_flows(struct rig *r)
{
	const struct np_ct_maps m = np_ct_maps_of(r->np);
	unsigned int n = 0;

	(void)np_ct_each(&m, count_flow, &n);
	return n;
}

uint64_t rig_stat(struct rig *r, enum np_stat stat)
{
	uint64_t all[NP_STAT_MAX];
	struct vw_err err;

	ok(np_stats(r->np, all, &err));
	return all[stat];
}

struct np_count rig_count(struct rig *r, enum rule rule)
{
	struct np_count each[64], sum = { 0 };
	int cpus = libbpf_num_possible_cpus();

	assert_true(cpus <= 64);
	assert_int_equal(bpf_map_lookup_elem(np_map_fd(r->np, NP_M_COUNTS), &rule, each), 0);
	for (int i = 0; i < cpus; i++) {
		sum.pkts += each[i].pkts;
		sum.bytes += each[i].bytes;
	}
	return sum;
}

const char *rig_verdict(int v)
{
	return v == PASS ? "passes" : np_drop_name((unsigned int)v);
}

/* --- running */

static int run(struct rig *r, enum hook hook, unsigned int slot, const struct pkt *p)
{
	const int progs[] = { [FROM_POD] = np_from_pod_fd(r->np), [TO_POD] = np_to_pod_fd(r->np), [TO_WIRE] = np_to_wire_fd(r->np),
			      [AT_NODE] = np_at_node_fd(r->np, r->family) };
	const size_t l2 = hook == AT_NODE ? ETH_HLEN : 0;       /* which test_run gives back as zeros */
	struct __sk_buff in = { .ifindex = hook == TO_WIRE ? ENI_INDEX : VETH(slot), .mark = r->mark_in,
				.ingress_ifindex = hook == FROM_POD ? VETH(slot) : r->from }, out = { 0 };
	uint8_t data[sizeof(p->b)];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->b, .data_size_in = (uint32_t)p->len, .data_out = data,
		    .data_size_out = sizeof(data), .ctx_in = &in, .ctx_size_in = sizeof(in), .ctx_out = &out,
		    .ctx_size_out = sizeof(out));
	int e = bpf_prog_test_run_opts(progs[hook], &opts);

	if (e < 0)
		fail_msg("test_run of %zu bytes: %s", p->len, strerror(-e));
	assert_int_equal(opts.data_size_out, p->len);           /* it looks, it does not touch */
	assert_memory_equal(data + l2, p->b + l2, p->len - l2);
	r->mark = out.mark;
	r->ns = opts.duration;
	return (int)opts.retval;
}

int rig_run(struct rig *r, enum hook hook, unsigned int slot, const struct pkt *p)
{
	uint64_t before[NP_DROP_MAX], after[NP_DROP_MAX];
	int verdict, reason = PASS;
	struct vw_err err;

	ok(np_drops(r->np, before, &err));
	verdict = run(r, hook, slot, p);
	ok(np_drops(r->np, after, &err));
	for (int i = 0; i < NP_DROP_MAX; i++) {
		if (after[i] == before[i])
			continue;
		if (reason != PASS || after[i] != before[i] + 1)
			fail_msg("counted twice: %s, %s", rig_verdict(reason), rig_verdict(i));
		reason = i;
	}
	if (hook == AT_NODE ? verdict != (reason != PASS) : verdict != (reason == PASS ? TC_ACT_UNSPEC : TC_ACT_SHOT))
		fail_msg("verdict %d, counted as %s", verdict, rig_verdict(reason));
	return reason;
}

int rig_send(struct rig *r, const struct spec *s)
{
	struct pkt p = pkt_of(r->family, s);

	return rig_run(r, s->hook, s->slot, &p);
}
