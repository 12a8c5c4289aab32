// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * from_pod: clsact ingress of every pod's host veth, so it sees what the pod sends.
 * to_pod:   clsact egress of the same: what the pod is sent.
 * to_wire:  clsact egress of each ENI, and of the interface of each branch ENI.
 *
 * The slot follows from the interface's index, but for those of interfaces that others made (np_adopted). A packet must come from the pod's own address; then the pod's egress policy
 * and conntrack judge it, and the number of its ENI goes into the low bits of the mark, where the rules at 1536+n find it.
 * What goes to a service's address is not judged there but marked NP_MARK_PENDING: after DNAT, where it leaves the node
 * (to_wire) or enters another pod (to_pod), its real destination is judged for the pod that sent it; answers from that address are
 * judged likewise (np_link.bpf.h). What a pod is sent is judged by its ingress policy. Without a policy (np_slot.pub has no blob) only the guard of addresses is left.
 *
 * What cannot be judged is dropped with a counted reason. A pass is TC_ACT_UNSPEC, so that filters of other tools on the
 * same hook still run.
 *
 * The three do the guard and the common case (hot()); the rest is in programs that they jump to. There are no functions: kernels
 * before 6.2 lose track of what matters in programs that have some, and arm64 before 6.0 refuses them beside tail calls.
 */
#include "netpolicy-bpf/bpf/np_dns.bpf.h"
#include "netpolicy-bpf/bpf/np_whole.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

int from4(struct __sk_buff *skb);
int from6(struct __sk_buff *skb);
int to4(struct __sk_buff *skb);
int to6(struct __sk_buff *skb);
int post4(struct __sk_buff *skb);
int post6(struct __sk_buff *skb);
int to_pod(struct __sk_buff *skb);
int answer4(struct __sk_buff *skb);
int answer6(struct __sk_buff *skb);
int dns(struct __sk_buff *skb);
int dns_records(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, NP_TAILS);
	__type(key, __u32);
	__array(values, int(void *));
} np_tails SEC(".maps") = {
	.values = {
		[NP_TAIL_FROM4] = (void *)&from4,
		[NP_TAIL_FROM6] = (void *)&from6,
		[NP_TAIL_TO4] = (void *)&to4,
		[NP_TAIL_TO6] = (void *)&to6,
		[NP_TAIL_POST4] = (void *)&post4,
		[NP_TAIL_POST6] = (void *)&post6,
		[NP_TAIL_TO_POD] = (void *)&to_pod,
		[NP_TAIL_ANSWER4] = (void *)&answer4,
		[NP_TAIL_ANSWER6] = (void *)&answer6,
		[NP_TAIL_DNS] = (void *)&dns,
		[NP_TAIL_DNS_RECORDS] = (void *)&dns_records,
	},
};

static __always_inline int jump(struct __sk_buff *skb, const __u32 where)
{
	bpf_tail_call(skb, &np_tails, where);
	return drop(NP_DROP_TAIL);
}

/* --- what a pod sends */

/** pass() - @pending: pending_mark(). @link: NP_CT_LINK() of the flow's entry, for where it is judged; 0 = it has none. */
static __always_inline int pass(struct __sk_buff *skb, const struct np_slot *slot, __u32 pending, __u32 link)
{
	if (pending)
		bpf_set_hash(skb, link);
	skb->mark = (skb->mark & ~(NP_MARK_ENI_MASK | NP_MARK_OURS)) | (slot->eni & NP_MARK_ENI_MASK) | pending;
	return TC_ACT_UNSPEC;
}

static __always_inline __u32 pending_mark(__u32 ct_flags, __u32 index)
{
	return ct_flags & NP_CT_VIP ? NP_MARK_PENDING | index << NP_MARK_SLOT_SHIFT : 0;
}

static __always_inline int from_ip(struct __sk_buff *skb, struct np_slot *slot, __u32 index, const int family)
{
	struct np_side s = { .slot = slot, .index = index, .dir = NP_EGRESS };
	struct np_pkt p;
	__u32 saw, link = 0;
	int r;

	r = parse_ip(skb, &p, family);
	if (r != NP_GO)
		return drop(r);
	if (family == 4) {
		r = guard_ip4(slot, &p);
	} else if (unlikely(!(slot->flags & NP_SLOT_IP6) || !same6(p.src, slot->ip6))) {
		if (!local6(p.src))
			return drop(NP_DROP_SPOOF6);
		r = slot->flags & NP_SLOT_IP6 ? guard_local6(skb, &p) : NP_DROP_LOCAL6;
		return r == NP_GO ? pass(skb, slot, 0, 0) : drop(r);
	}
	if (r != NP_GO)
		return drop(r);
	s.pub = READ_ONCE(slot->pub);
	if (!in_force(s.pub))
		return pass(skb, slot, 0, 0);
	saw = hot(skb, &s, &p, &link, family);
	if (likely(saw))
		return pass(skb, slot, pending_mark(saw, index), link);
	return jump(skb, family == 4 ? NP_TAIL_FROM4 : NP_TAIL_FROM6);
}

static __always_inline int on_from_pod(struct __sk_buff *skb)
{
	__u32 index = slot_of(skb->ifindex);
	struct np_slot *slot;
	struct ethhdr *eth;
	int r;

	slot = bpf_map_lookup_elem(&np_slots, &index);
	if (!slot || !(slot->flags & NP_SLOT_USED))
		return drop(NP_DROP_NO_SLOT);
	if (!NP_AT(skb, eth, 0))
		return drop(NP_DROP_TRUNCATED);
	if (skb->vlan_present)
		return drop(NP_DROP_VLAN);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return from_ip(skb, slot, index, 4);
	case bpf_htons(ETH_P_IPV6):
		return from_ip(skb, slot, index, 6);
	case bpf_htons(ETH_P_ARP):
		r = guard_arp(skb, slot);
		return r == NP_GO ? pass(skb, slot, 0, 0) : drop(r);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return drop(NP_DROP_VLAN);
	default:
		return drop(NP_DROP_ETHERTYPE);
	}
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	return on_from_pod(skb);
}

static __always_inline int from_complete(struct __sk_buff *skb, const int family)
{
	struct np_side s = { .dir = NP_EGRESS, .hook = NP_FRAG_FROM_POD };
	const struct np_work *w = work();
	__u32 link = 0;
	__u8 saw = 0;

	if (side_of(&s, slot_of(skb->ifindex)) && complete(skb, &s, &saw, family) != NP_GO)
		return TC_ACT_SHOT;
	if (w && saw & NP_CT_VIP && w->link)
		link = NP_CT_LINK(NP_CT_LINK_PLACE(w->link), 1);        /* what is no common case: to be looked at there too */
	return s.slot ? pass(skb, s.slot, pending_mark(saw, s.index), link) : drop(NP_DROP_NO_SLOT);
}

SEC("tc")
int from4(struct __sk_buff *skb)
{
	return from_complete(skb, 4);
}

SEC("tc")
int from6(struct __sk_buff *skb)
{
	return from_complete(skb, 6);
}

/* --- behind a service's address */

/**
 * pending() - the egress of slot @index, on its real destination. Return: 1 = judged, and the mark is taken off. Else it is for
 * post4() or post6().
 */
static __always_inline int pending(struct __sk_buff *skb, __u32 index)
{
	struct np_side s = { .dir = NP_EGRESS, .post = 1 };
	int done;

	if (side_of(&s, index)) {
		if (skb->protocol == bpf_htons(ETH_P_IP))
			done = passes_hot(skb, &s, 4);
		else
			done = passes_hot(skb, &s, 6);
		if (!done)
			return 0;
	}
	skb->mark &= ~NP_MARK_OURS;
	return 1;
}

static __always_inline int jump_post(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return jump(skb, NP_TAIL_POST4);
	return jump(skb, NP_TAIL_POST6);
}

static __always_inline int on_to_wire(struct __sk_buff *skb)
{
	__u32 index = sender_of(skb);

	if (likely(index == NP_SLOTS) || pending(skb, index))
		return TC_ACT_UNSPEC;
	return jump_post(skb);
}

SEC("tc")
int to_wire(struct __sk_buff *skb)
{
	return on_to_wire(skb);
}

static __always_inline int post_complete(struct __sk_buff *skb, const int family)
{
	struct np_side s = { .dir = NP_EGRESS, .post = 1, .hook = NP_FRAG_POST };
	__u8 saw;

	if (side_of(&s, (skb->mark & NP_MARK_SLOT_MASK) >> NP_MARK_SLOT_SHIFT) && complete(skb, &s, &saw, family) != NP_GO)
		return TC_ACT_SHOT;
	skb->mark &= ~NP_MARK_OURS;
	if (slot_of(skb->ifindex) != NP_SLOTS)
		return jump(skb, NP_TAIL_TO_POD);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int post4(struct __sk_buff *skb)
{
	return post_complete(skb, 4);
}

SEC("tc")
int post6(struct __sk_buff *skb)
{
	return post_complete(skb, 6);
}

/* --- what a pod is sent */

/** from_here() - sent by this node, or (@sender) by the pod to a service that is itself. */
static __always_inline int from_here(struct __sk_buff *skb, __u32 sender)
{
	const struct ipv6hdr *ip;

	if (sender == slot_of(skb->ifindex))
		return 1;
	if (unlikely(made_anew(skb)) && (!NP_AT(skb, ip, NP_L2) || is_ext6(ip->nexthdr)))
		return 0;
	return skb->ingress_ifindex == 0;
}

/** is_answer() - may it be a DNS answer to a question of the pod? By TCP it is none that can be read: told when that begins. */
static __always_inline int is_answer(const struct np_pkt *p, __u32 ct_flags)
{
	return p->sport == bpf_htons(DNS_PORT) && ct_flags & NP_CT_EGRESS &&
	       (p->proto == IPPROTO_UDP || p->what & NP_L4_ACCEPT);
}

static __always_inline int to_ip(struct __sk_buff *skb, const struct np_side *s, const int family)
{
	__u32 saw, link;
	struct np_pkt p;

	if (parse_ip(skb, &p, family) == NP_GO) {
		saw = hot(skb, s, &p, &link, family);
		if (likely(saw)) {
			if (unlikely(is_answer(&p, saw)))
				bpf_tail_call(skb, &np_tails, NP_TAIL_DNS);
			return TC_ACT_UNSPEC;
		}
	}
	return jump(skb, family == 4 ? NP_TAIL_TO4 : NP_TAIL_TO6);
}

static __always_inline int on_to_pod(struct __sk_buff *skb)
{
	__u32 index = slot_of(skb->ifindex), sender = sender_of(skb);
	struct np_side s = { .dir = NP_INGRESS };

	if (unlikely(sender != NP_SLOTS && sender != index) && !pending(skb, sender))
		return jump_post(skb);
	if (!side_of(&s, index) || !(READ_ONCE(s.slot->flags) & NP_SLOT_USED))
		return s.slot && s.slot->flags & NP_SLOT_USED ? TC_ACT_UNSPEC : drop(NP_DROP_NO_SLOT);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return to_ip(skb, &s, 4);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return to_ip(skb, &s, 6);
	if (skb->protocol == bpf_htons(ETH_P_ARP) || from_here(skb, sender))
		return TC_ACT_UNSPEC;
	return drop(NP_DROP_ETHERTYPE);
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	return on_to_pod(skb);
}

static __always_inline int to_complete(struct __sk_buff *skb, const int family)
{
	struct np_side s = { .dir = NP_INGRESS, .hook = NP_FRAG_TO_POD, .node = from_here(skb, sender_of(skb)) };
	__u8 saw;

	if (side_of(&s, slot_of(skb->ifindex))) {
		const struct np_work *w = work();

		if (complete(skb, &s, &saw, family) != NP_GO)
			return TC_ACT_SHOT;
		if (w && saw & NP_CT_VIP && w->told)
			return jump(skb, family == 4 ? NP_TAIL_ANSWER4 : NP_TAIL_ANSWER6);
		if (w && is_answer(&w->p, saw))
			bpf_tail_call(skb, &np_tails, NP_TAIL_DNS);
	}
	return TC_ACT_UNSPEC;
}

static __always_inline int answer_complete(struct __sk_buff *skb, const int family)
{
	struct np_side s = { .dir = NP_INGRESS };
	struct np_work *w = work();
	int r;

	if (!w || !side_of(&s, slot_of(skb->ifindex)))
		return TC_ACT_UNSPEC;
	r = answer_judge(w, &s, family);
	if (r != NP_GO)
		return drop(r);
	if (is_answer(&w->p, NP_CT_EGRESS))
		bpf_tail_call(skb, &np_tails, NP_TAIL_DNS);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int answer4(struct __sk_buff *skb)
{
	return answer_complete(skb, 4);
}

SEC("tc")
int answer6(struct __sk_buff *skb)
{
	return answer_complete(skb, 6);
}

SEC("tc")
int to4(struct __sk_buff *skb)
{
	return to_complete(skb, 4);
}

SEC("tc")
int to6(struct __sk_buff *skb)
{
	return to_complete(skb, 6);
}

/* --- DNS answers that were let through: nothing from here on drops one */

static __always_inline int is_resolver(const struct np_pkt *p, const int family)
{
	const struct np_ident *id = ident_of(p->src, family);

	return id && READ_ONCE(id->flags) & NP_IDENT_RESOLVER;
}

/** dns_begin() - is it for us to read? Then into @d. Return: NP_STAT_MAX = read, NP_STAT_DNS_* = cannot be, -1 = not for us. */
static __always_inline int dns_begin(struct __sk_buff *skb, struct np_dns_work *d, const int family)
{
	struct np_side s = { 0 };
	const struct np_blob *b;
	struct np_pkt p;

	if (!side_of(&s, slot_of(skb->ifindex)) || parse_ip(skb, &p, family) != NP_GO || !is_resolver(&p, family))
		return -1;
	b = (const struct np_blob *)arena(s.pub & NP_PUB_LINE_MASK);
	if (!b || b->magic != NP_BLOB_MAGIC || !b->fqdn_set)
		return -1;
	d->set = b->fqdn_set;
	d->slot = s.index;
	d->rev = rev_of(&s);
	d->ip_len = p.len;
	d->family = family;
	__builtin_memcpy(d->resolver, p.src, family == 4 ? 4 : 16);
	d->qlen = d->learnt = d->cut = d->more = d->in_cname = 0;
	d->names = 0;
	d->ttl = DNS_TTL_MAX;
	return dns_message(skb, d, &p, family);
}

SEC("tc")
int dns(struct __sk_buff *skb)
{
	struct np_dns_work *d = dns_work();
	const struct np_conf *c = conf();
	__u32 flags;
	int r;

	if (!d || !c)
		return TC_ACT_UNSPEC;
	r = skb->protocol == bpf_htons(ETH_P_IP) ? dns_begin(skb, d, 4) : dns_begin(skb, d, 6);
	if (r < 0)
		return TC_ACT_UNSPEC;
	forget();
	if (r != NP_STAT_MAX)
		return dns_end(d, r);
	flags = dns_be16(d, 2);
	if (!(flags & DNS_QR) || flags & (DNS_OPCODE | DNS_RCODE))
		return TC_ACT_UNSPEC;
	d->cut = !!(flags & DNS_TC);
	d->left = dns_be16(d, 6);
	d->more = d->left > NP_DNS_ANSWERS;
	if (d->more)
		d->left = NP_DNS_ANSWERS;
	if (dns_be16(d, 4) != 1)
		return dns_end(d, NP_STAT_DNS_BROKEN);
	d->qlen = dns_question(d, c);
	forget();
	if (!d->qlen || DNS_HEADER + d->qlen + 4 > d->len) {
		d->qlen = 0;
		return dns_end(d, NP_STAT_DNS_BROKEN);
	}
	d->target = d->hash;
	d->pos = DNS_HEADER + d->qlen + 4;
	dns_patterns(d, c);
	forget();
	if (!d->names)
		return TC_ACT_UNSPEC;
	bpf_tail_call(skb, &np_tails, NP_TAIL_DNS_RECORDS);
	return dns_end(d, NP_STAT_DNS_TOO_MANY);
}

SEC("tc")
int dns_records(struct __sk_buff *skb)
{
	struct np_dns_work *d = dns_work();
	const struct np_conf *c = conf();

	if (!d || !c)
		return TC_ACT_UNSPEC;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 2; i++) {
		forget();
		if (!d->left)
			return dns_end(d, d->more ? NP_STAT_DNS_TOO_MANY : NP_STAT_DNS_ANSWERS);
		if (!dns_step(d, c))
			return dns_end(d, d->cut ? NP_STAT_DNS_TRUNCATED : NP_STAT_DNS_BROKEN);
	}
	bpf_tail_call(skb, &np_tails, NP_TAIL_DNS_RECORDS);
	return dns_end(d, NP_STAT_DNS_TOO_MANY);        /* the kernel counts to 33 */
}
