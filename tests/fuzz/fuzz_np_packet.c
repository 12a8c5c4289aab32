/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets, and DNS answers, into the programs of pods, compiled for this machine (np_host.c) over a policy that was compiled and published
 * as the daemon does it. The input is packets one after another: a byte of flags (below), two of length, and as many bytes.
 *
 * What no packet may do: leave the pod with another address than the pod's; enter it from where its policy never lets anybody in, unless a
 * DNS answer has just named that address; teach an address that no answer has in it. The same packets again, the same verdicts.
 */
#include "tests/fuzz/np_host.h"

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "netpolicy-bpf/user/np_compile.h"
#include "netpolicy-bpf/user/np_image.h"
#include "netpolicy-bpf/user/np_publish.h"
#include "netpolicy-bpf/user/np_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define F_TO_POD (1u << 0)
#define F_ETHERTYPE (3u << 1)   /* IPv4, IPv6, ARP, or the first two bytes */
#define F_FROM_NODE (1u << 3)   /* no interface that it came in by */
#define F_TO_WIRE (1u << 4)     /* out of an ENI; from the pod, pending */
#define F_DNS (1u << 5)         /* what follows is the message of an answer to the pod, or with F_TO_POD one by IPv6 */
#define F_LINEAR (1u << 6)      /* only the Ethernet header lies at once */

#define SLOT 1
#define PACKETS_MAX 64

static const uint8_t pod4[4] = { 10, 0, 0, 1 }, pod6[16] = { 0xfd, [15] = 1 }, resolver4[4] = { 10, 0, 0, 53 }, resolver6[16] = { 0xfd, [15] = 0x53 };
/* 203.0.113.0/24: in no rule */
static const uint8_t never[3] = { 203, 0, 113 };

static void must(bool yes)
{
	if (!yes)
		abort();
}

/* --- the maps, for the publisher */

static int addr_set(void *arg, const struct vw_ip *ip, uint32_t ident)
{
	return np_host_set(ip->family == AF_INET ? "np_ip4" : "np_ip6", ip->b, &ident);
}

static int addr_del(void *arg, const struct vw_ip *ip)
{
	np_host_del(ip->family == AF_INET ? "np_ip4" : "np_ip6", ip->b);
	return 0;
}

struct cidr_key {
	uint32_t len;
	uint8_t ip[16];
};

static int cidr_set(void *arg, const struct vw_cidr *c, uint32_t ident)
{
	struct cidr_key k = { .len = c->len };

	memcpy(k.ip, c->ip.b, sizeof(k.ip));
	return np_host_set(c->ip.family == AF_INET ? "np_cidr4" : "np_cidr6", &k, &ident);
}

static int cidr_del(void *arg, const struct vw_cidr *c)
{
	struct cidr_key k = { .len = c->len };

	memcpy(k.ip, c->ip.b, sizeof(k.ip));
	np_host_del(c->ip.family == AF_INET ? "np_cidr4" : "np_cidr6", &k);
	return 0;
}

static int dns_set(void *arg, const struct np_dns_key *key, const struct np_dns_names *names) { return np_host_set("np_dns", key, names); }

static int dns_del(void *arg, const struct np_dns_key *key)
{
	np_host_del("np_dns", key);
	return 0;
}

/* they are empty when the publisher starts */
static int no_addr(void *arg, int (*fn)(void *fn_arg, const struct vw_ip *ip, uint32_t ident), void *fn_arg) { return 0; }
static int no_cidr(void *arg, int (*fn)(void *fn_arg, const struct vw_cidr *c, uint32_t ident), void *fn_arg) { return 0; }
static int no_dns(void *arg, int (*fn)(void *fn_arg, const struct np_dns_key *key, const struct np_dns_names *names), void *fn_arg) { return 0; }
static int no_fqdn(void *arg, int (*fn)(void *fn_arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f), void *fn_arg) { return 0; }
static int fqdn_get(void *arg, uint32_t set, const struct vw_ip *ip, struct np_fqdn *ret) { return -ENOENT; }
static int fqdn_set(void *arg, uint32_t set, const struct vw_ip *ip, const struct np_fqdn *f) { return 0; }
static int ident_of(void *arg, const struct vw_ip *ip, uint32_t *ret) { return -ENOENT; }
static int rule_clear(void *arg, uint32_t rule) { return 0; }
static int barrier(void *arg) { return 0; }

static const char policy[] =
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"x\",\"name\":\"a\",\"labels\":{\"a\":\"b\"}}}"
	"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"p\"},\"spec\":{"
	"\"podSelector\":{},\"policyTypes\":[\"Ingress\",\"Egress\"],\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.1.0.0/16\"}},{\"ipBlock\":{\"cidr\":\"fd01::/16\"}}],"
	"\"ports\":[{\"port\":80},{\"port\":53,\"protocol\":\"UDP\"},{\"port\":9,\"protocol\":\"SCTP\"}]}],"
	"\"egress\":[{\"to\":[{\"ipBlock\":{\"cidr\":\"10.0.0.53/32\"}},{\"ipBlock\":{\"cidr\":\"fd00::53/128\"}}]}]}}"
	"{\"apiVersion\":\"networking.k8s.aws/v1alpha1\",\"kind\":\"ApplicationNetworkPolicy\",\"metadata\":{\"namespace\":\"x\",\"name\":\"n\"},\"spec\":{"
	"\"podSelector\":{},\"policyTypes\":[\"Egress\"],\"egress\":[{\"to\":[{\"domainNames\":[\"*.example.com\",\"a.test\"]}]}]}}";

static void publish(void)
{
	static const __u64 dns_key[2] = { 0x1234567, 0x89abcdef };
	static const struct np_local local = { SLOT, "x", "a", { AF_INET, { 10, 0, 0, 1 } }, { AF_INET6, { 0xfd, [15] = 1 } } };
	static const struct vw_ip resolver[] = { { AF_INET, { 10, 0, 0, 53 } }, { AF_INET6, { 0xfd, [15] = 0x53 } } };
	const struct np_compile_conf conf = { .node_name = "n", .resolver = resolver, .n_resolver = 2 };
	const struct np_pub_io io = {
		.arena = np_host_array("np_arena"), .ports = np_host_array("np_ports"), .idents = np_host_array("np_idents"),
		.slots = np_host_array("np_slots"), .journal = np_host_array("np_journal"), .rule_keys = np_host_array("np_rule_keys"),
		.addr_set = addr_set, .addr_del = addr_del, .cidr_set = cidr_set, .cidr_del = cidr_del, .each_addr = no_addr, .each_cidr = no_cidr,
		.dns_key = dns_key, .dns_set = dns_set, .dns_del = dns_del, .each_dns = no_dns, .each_fqdn = no_fqdn, .fqdn_get = fqdn_get,
		.fqdn_set = fqdn_set, .ident_of = ident_of, .rule_clear = rule_clear, .barrier = barrier,
	};
	struct np_conf *run = np_host_array("np_conf");
	struct np_slot *slot = (struct np_slot *)np_host_array("np_slots") + SLOT;
	struct np_world *w = np_world_new();
	struct np_publish *p = NULL;
	struct np_image *img = NULL;
	struct vw_err err = { 0 };

	must(w && np_world_take(w, "m.json", policy, strlen(policy), &err) == 0);
	must(np_compile(w, &conf, &local, 1, NULL, &img, &err) == 0);
	must(np_publish_new(&io, &p, &err) == 0 && np_publish_image(p, img, &err) == 0);
	do {
		must(np_publish_wait(p) == 0 && np_publish_settle(p, &err) == 0);
	} while (np_publish_unsettled(p));
	np_publish_free(p);
	np_image_free(img);
	np_world_free(w);
	slot->flags = NP_SLOT_USED | NP_SLOT_IP4 | NP_SLOT_IP6;
	memcpy(&slot->ip4, pod4, 4);
	memcpy(slot->ip6, pod6, 16);
	slot->eni = 1;
	*run = (struct np_conf){ .ct_quota = 64, .event_rate = 1, .event_burst = 4, .ct_groups = 4, .dns_key = { dns_key[0], dns_key[1] },
				 .ct_key = { 1, 2, 3, 4, 5, 6 } };
}

/* --- packets */

struct packet {
	struct np_host_packet p;
	enum np_host_prog prog;
	uint8_t b[NP_HOST_MAX];
};

static void be16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/** udp() - @x->b is UDP between pod and resolver, @n bytes of @data. @answer: towards the pod. */
static void udp(struct packet *x, bool six, bool answer, const uint8_t *data, size_t n)
{
	uint8_t *ip = x->b + ETH_HLEN, *at = ip + (six ? 40 : 20);

	memset(x->b, 0, (size_t)(at - x->b) + 8);
	be16(x->b + 12, six ? ETH_P_IPV6 : ETH_P_IP);
	if (six) {
		ip[0] = 0x60;
		be16(ip + 4, n + 8);
		ip[6] = IPPROTO_UDP;
		ip[7] = 64;
		memcpy(ip + 8, answer ? resolver6 : pod6, 16);
		memcpy(ip + 24, answer ? pod6 : resolver6, 16);
	} else {
		ip[0] = 0x45;
		be16(ip + 2, n + 28);
		ip[8] = 64;
		ip[9] = IPPROTO_UDP;
		memcpy(ip + 12, answer ? resolver4 : pod4, 4);
		memcpy(ip + 16, answer ? pod4 : resolver4, 4);
	}
	be16(at, answer ? 53 : 4000);
	be16(at + 2, answer ? 4000 : 53);
	be16(at + 4, n + 8);
	memcpy(at + 8, data, n);
	x->p = (struct np_host_packet){ .frame = x->b, .len = (size_t)(at - x->b) + 8 + n, .protocol = htons(six ? ETH_P_IPV6 : ETH_P_IP),
					.ifindex = NP_IFINDEX_BASE + SLOT, .ingress_ifindex = answer ? 7 : 0 };
	x->p.linear = x->p.len;
	x->prog = answer ? NP_HOST_TO_POD : NP_HOST_FROM_POD;
}

static void frame(struct packet *x, unsigned int how, const uint8_t *data, size_t n)
{
	static const uint16_t types[] = { ETH_P_IP, ETH_P_IPV6, ETH_P_ARP };
	const unsigned int which = (how & F_ETHERTYPE) >> 1;

	memset(x->b, 0, ETH_HLEN);
	if (which < 3)
		be16(x->b + 12, types[which]);
	if (which == 3 && n >= 2) {
		memcpy(x->b + 12, data, 2);
		data += 2;
		n -= 2;
	}
	memcpy(x->b + ETH_HLEN, data, n);
	x->prog = how & F_TO_WIRE ? NP_HOST_TO_WIRE : how & F_TO_POD ? NP_HOST_TO_POD : NP_HOST_FROM_POD;
	x->p = (struct np_host_packet){ .frame = x->b, .len = ETH_HLEN + n, .ifindex = how & F_TO_WIRE ? 3 : NP_IFINDEX_BASE + SLOT };
	memcpy(&x->p.protocol, x->b + 12, 2);
	x->p.linear = how & F_LINEAR ? ETH_HLEN : x->p.len;
	if (x->prog == NP_HOST_TO_POD)
		x->p.ingress_ifindex = how & F_FROM_NODE ? 0 : 7;
	if (x->prog == NP_HOST_TO_WIRE) {
		x->p.ingress_ifindex = NP_IFINDEX_BASE + SLOT;
		x->p.mark = NP_MARK_PENDING | SLOT << NP_MARK_SLOT_SHIFT;
	}
}

/* --- what must hold */

static unsigned int n_learnt;

static void learnt(const void *key, const void *value)
{
	n_learnt++;
}

/* whether DNS has named anything so far: then what passes depends on it */
static bool names_known(void)
{
	n_learnt = 0;
	np_host_each("np_fqdn4", learnt);
	np_host_each("np_fqdn6", learnt);
	return n_learnt > 0;
}

static const struct packet *taught_by;

static void is_in_packet(const void *key, const void *value)
{
	const struct np_fqdn4_key *k = key;
	bool there = false;

	for (size_t at = ETH_HLEN; at + 4 <= taught_by->p.len; at++)
		there |= memcmp(taught_by->b + at, &k->ip, 4) == 0;
	must(there);
}

static int judge(const struct packet *x, bool alone)
{
	const bool known = names_known();
	const int r = np_host_run(x->prog, &x->p);
	const uint8_t *ip = x->b + ETH_HLEN;

	must(r == TC_ACT_UNSPEC || r == TC_ACT_SHOT);
	/* with one answer at most, every address is from it */
	if (alone && !known && names_known()) {
		taught_by = x;
		np_host_each("np_fqdn4", is_in_packet);
	}
	if (r == TC_ACT_SHOT || x->p.protocol != htons(ETH_P_IP))
		return r;
	must(x->prog == NP_HOST_TO_WIRE || x->p.len >= ETH_HLEN + 20 || (x->prog == NP_HOST_TO_POD && !x->p.ingress_ifindex));
	if (x->prog == NP_HOST_FROM_POD)
		must(memcmp(ip + 12, pod4, 4) == 0);
	/* an ICMP error about a live flow may come from any router; what the node itself sends may enter */
	if (x->prog == NP_HOST_TO_POD && x->p.ingress_ifindex && !known && ip[9] != IPPROTO_ICMP)
		must(memcmp(ip + 12, never, sizeof(never)) != 0);
	return r;
}

/** all() - Return: a hash of the verdicts. */
static uint64_t all(const uint8_t *data, size_t size)
{
	static struct packet x;
	uint64_t h = 0;

	np_host_reset();
	for (unsigned int i = 0; size > 3 && i < PACKETS_MAX; i++) {
		const unsigned int how = data[0];
		size_t n = (size_t)(data[1] | data[2] << 8) % (NP_HOST_MAX - 128);

		data += 3;
		size -= 3;
		n = n < size ? n : size;
		if (how & F_DNS) {
			udp(&x, how & F_TO_POD, false, (const uint8_t *)"?", 1);
			must(judge(&x, false) == TC_ACT_UNSPEC);
			udp(&x, how & F_TO_POD, true, data, n);
			must(judge(&x, true) == TC_ACT_UNSPEC);         /* whatever is in it */
		} else {
			frame(&x, how, data, n);
			h = h * 31 + (uint64_t)(judge(&x, true) + 1);
		}
		data += n;
		size -= n;
	}
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;

	if (!begun)
		publish();
	begun = true;
	must(all(data, size) == all(data, size));
	return 0;
}
