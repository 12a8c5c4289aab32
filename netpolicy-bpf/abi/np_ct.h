/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include <linux/types.h>

/**
 * DOC: the flow table, np_ct: one entry per pod (slot) and flow, so a flow between two local pods has two
 *
 * An array in mapped memory, of groups that are hash tables of their own: a flow's group, its first bucket there, the step to the
 * next ones and its tag follow from one hash over its key. A bucket is one word: seven tags and how many entries went on to a later
 * bucket because this one had no room; so a search reads one word and, as a rule, one entry, which is a cache line, and it ends at
 * the first bucket that nobody passed by.
 *
 *   free (tag 0, id 0) --program--> being filled --program: its id--> live --user space: its id as a dead one's--> dead
 *   dead --user space, 2 ticks later--> free
 *
 * Programs make entries in places whose tag is 0: they exchange the word of tags for one with theirs in it or, on a kernel that has no
 * such instruction (before 5.12), add it under the lock of the group (np_ct_locks). User space alone takes entries away. Words of tags
 * change by atomic instructions on both sides; nobody takes a lock to find anything. A dead entry keeps its place for longer than
 * any program runs, so that whoever found it alive does not write to another flow's.
 */

#define NP_CT_BUCKETS 64u       /* of a group */
#define NP_CT_WAYS 7u           /* of a bucket */
#define NP_CT_GROUP_FLOWS (NP_CT_BUCKETS * NP_CT_WAYS)
#define NP_CT_PROBES 8u         /* buckets that an entry may lie in */
#define NP_CT_STEPS 12u         /* of a search: buckets, and entries whose tag is right and whose key is not (1 in 255) */
#define NP_CT_GROUPS 512u       /* default: 229,376 entries, 14 MiB; struct np_sizes may say otherwise */

#define NP_CT_PASSED_ONE (1ull << 56)   /* in a word of tags */
#define NP_CT_PASSED_MAX 200u   /* with room for as many CPUs as come at once */

/**
 * struct np_ct_key - seen from the pod: the remote address and port are the peer's, the local port is the pod's; so both directions
 * have one key. The pod's own address is not in it: a slot has one per family.
 * @id: NP_CT_ID(); of a dead one NP_CT_ID_DEAD instead of NP_CT_ID_LIVE; 0 = being filled. Ports in network byte order, as they are on the wire.
 * ICMP echo: local port = identifier, remote port = NP_CT_ECHO_OUT when the pod asks, NP_CT_ECHO_IN when it is asked, so that an
 * identifier used again by the other side is another flow; the other questions of ICMP (timestamp 13, information 15, mask 17)
 * likewise, with NP_CT_ECHO_* | type << 8. Other protocols: 0. ICMP that neither asks nor answers has no entry.
 * A flow as it is behind a service's address has NP_CT_ID_POST. So it is never taken for one between pod and peer, although its peer
 * and ports may be the same: to a service's address that nobody translated, "may go on to be judged" is not "may leave the node".
 * @ip: IPv6 as it is on the wire; IPv4 in the first 4 bytes, then 0.
 */
struct np_ct_key {
	__u64 id;
	__u64 ip[2];
};
#define NP_CT_ID_DEAD (1ull << 12)
#define NP_CT_ID_POST (1ull << 13)
#define NP_CT_ID_LIVE (1ull << 14)
#define NP_CT_ID_IP6 (1ull << 15)
#define NP_CT_ID(slot, gen, proto, rport_be, lport_be, flags) \
	(NP_CT_ID_LIVE | (flags) | (__u64)(slot) | (__u64)(proto) << 16 | (__u64)(gen) << 24 | (__u64)(rport_be) << 32 | \
	 (__u64)(lport_be) << 48)
#define NP_CT_ID_SLOT(id) ((__u16)((id) & 0x0fff))
#define NP_CT_ID_PROTO(id) ((__u8)((id) >> 16))
#define NP_CT_ID_GEN(id) ((__u8)((id) >> 24))       /* of the slot: struct np_slot */
#define NP_CT_ID_RPORT(id) ((__be16)((id) >> 32))
#define NP_CT_ID_LPORT(id) ((__be16)((id) >> 48))
#define NP_CT_ECHO_OUT 1
#define NP_CT_ECHO_IN 2

/** enum np_ct_state - decides the timeout; for TCP roughly as nf_conntrack. */
enum np_ct_state {
	NP_CT_NEW,              /* one direction seen */
	NP_CT_REPLIED,          /* both seen */
	NP_CT_ESTABLISHED,      /* TCP: handshake done. Others: two packets each way */
	NP_CT_CLOSING,          /* FIN or, SCTP, SHUTDOWN */
	NP_CT_CLOSED,           /* RST, ABORT */
	NP_CT_DENIED,           /* was open when a later policy denied it: dropped until that changes again or a SYN comes */
	NP_CT_STATES
};
#define NP_CT_EGRESS (1u << 0)  /* opened by the pod; else by the peer */
#define NP_CT_PICKUP (1u << 1)  /* first seen in mid-stream: its direction is a guess */
#define NP_CT_VIP (1u << 2)     /* to a service's address: each packet from the pod is judged after DNAT */
#define NP_CT_CHAIN (1u << 3)   /* let through by a domain name */
#define NP_CT_AUDIT (1u << 4)   /* policy denies it; let through in audit mode */
#define NP_CT_POST (1u << 5)    /* seen behind a service's address, on its way out; its answers have another entry */
#define NP_CT_NODE (1u << 6)    /* opened by this node itself, or by the pod towards itself through a service: always let through */

/**
 * struct np_ct - what is known of a flow. @rule: rule id. @rev: by enum np_dir of packets: np_slot's revision under which that direction
 * was judged. Both are the same but for NP_CT_VIP: the pod's packets are judged behind the service's address, and so is, with the same
 * outcome, what answers them. @link: NP_CT_LINK() of the flow's other entry: of NP_CT_VIP the one with NP_CT_ID_POST, of that the one
 * which is NP_CT_VIP; 0 = not known. It counts only while each is linked to the other. @sum: by enum np_dir (NP_EGRESS: from the pod), packets << 40 plus bytes
 * of IP packets, headers included; it wraps, so take differences of the whole number first and NP_CT_PKTS(), NP_CT_BYTES() of these.
 * Every packet that was let through counts, those that opened the flow too.
 * A flow in NP_CT_DENIED should be kept for 5 minutes after its last packet: longer than TCP waits between two attempts, so
 * that what a policy has cut does not come back as a flow "in mid-stream" of the other direction.
 */
struct np_ct {
	__u32 last;             /* tick */
	__u32 rev[2];
	__u16 rule;
	__u8 flags;
	__u8 state;
	__u32 start;            /* tick; of a dead entry: when it died */
	__u32 link;
	__u64 sum[2];
};
#define NP_CT_SUM(pkts, bytes) ((__u64)(pkts) << 40 | (bytes))
#define NP_CT_PKTS(diff) ((__u32)((diff) >> 40))
#define NP_CT_BYTES(diff) ((diff) & 0xffffffffffull)

struct np_ct_entry {
	struct np_ct_key key;
	struct np_ct ct;
};
_Static_assert(sizeof(struct np_ct_entry) == 64, "ABI, and a cache line");

/** struct np_ct_group - @tags: a bucket each. Bytes 0 to 6: tags of entry[bucket * 7 + byte], 0 = free. Byte 7: passed by. */
struct np_ct_group {
	__u64 tags[NP_CT_BUCKETS];
	struct np_ct_entry entry[NP_CT_GROUP_FLOWS];
};
_Static_assert(sizeof(struct np_ct_group) == 29184, "ABI");

/**
 * NP_CT_PLACE() - of an entry: its group, and which of that. NP_CT_LINK() - a place as one number, never 0. On the way from from_pod to
 * where its destination is the real one, a packet has it as skb->hash, with @ask: the answers' entry waits for what is said there. The
 * product spreads it, for the kernel may choose a queue of the ENI by it. NP_CT_LINK_PLACE() - from such a number.
 */
#define NP_CT_PLACE_SHIFT 9
#define NP_CT_PLACE(group, at) ((__u32)(group) << NP_CT_PLACE_SHIFT | (__u32)(at))
#define NP_CT_PLACE_GROUP(place) ((place) >> NP_CT_PLACE_SHIFT)
#define NP_CT_PLACE_AT(place) ((place) & ((1u << NP_CT_PLACE_SHIFT) - 1))
_Static_assert(NP_CT_GROUP_FLOWS <= 1u << NP_CT_PLACE_SHIFT, "fits");
#define NP_CT_LINK(place, ask) (((((__u32)(place) + 1) << 1) | (ask)) * 0x9e3779b1u)
#define NP_CT_LINK_PLACE(link) (((link) * NP_CT_LINK_BACK >> 1) - 1)
#define NP_CT_LINK_BACK 0xe8b2f51u
_Static_assert(0x9e3779b1u * NP_CT_LINK_BACK == 1, "the other way");

/* --- where an entry lies. What follows is for both sides; the verifier wants to see each bound, hence the shape of the loops */

/* the programs' compiler is not to unroll what the verifier then reads as often */
#ifdef __bpf__
#define NP_CT_LOOP _Pragma("clang loop unroll(disable)")
#else
#define NP_CT_LOOP
#endif

#define NP_CT_KEYS 6            /* of the hash: struct np_conf.ct_key */

/**
 * np_ct_hash() - @secret: NP_CT_KEYS random numbers, or whoever may open flows could fill one group with them. The sum of products
 * is NH (Black and others, UMAC, 1999): two keys are equal in it with a chance of 2^-32, whoever chose them. @ip6: of IPv6; a
 * constant, for the programs.
 */
static inline __attribute__((always_inline)) __u64 np_ct_hash(const __u32 *secret, const struct np_ct_key *k, const int ip6)
{
	__u64 h = (__u64)((__u32)k->id + secret[0]) * ((__u32)(k->id >> 32) + secret[1]);

	h += (__u64)((__u32)k->ip[0] + secret[2]) * ((__u32)(k->ip[0] >> 32) + secret[3]);
	if (ip6)
		h += (__u64)((__u32)k->ip[1] + secret[4]) * ((__u32)(k->ip[1] >> 32) + secret[5]);
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static inline __attribute__((always_inline)) __u32 np_ct_group_of(__u64 hash, __u32 groups)
{
	return (hash >> 32) * groups >> 32;
}

/** NP_CT_BUCKET(), NP_CT_NEXT() - the first bucket, and the one behind @b; the step is odd, so no bucket comes twice. */
#define NP_CT_BUCKET(hash) ((__u32)(hash) % NP_CT_BUCKETS)
#define NP_CT_NEXT(b, hash) (((b) + ((__u32)(hash) >> 6 | 1)) % NP_CT_BUCKETS)

static inline __attribute__((always_inline)) __u64 np_ct_tag(__u64 hash)
{
	__u64 tag = hash >> 16 & 0xff;

	return tag ? tag : 1;
}

#define NP_CT_ONES 0x0001010101010101ull
/** np_ct_match() - where @tag is in a word of tags: bit 7 of its byte. May show a tag that differs in bit 0 above a right one. */
static inline __attribute__((always_inline)) __u64 np_ct_match(__u64 word, __u64 tag)
{
	__u64 x = (word ^ tag * NP_CT_ONES) | 0xffull << 56;

	return (x - NP_CT_ONES) & ~x & NP_CT_ONES << 7;
}

/** np_ct_way() - the lowest of np_ct_match(), which is not 0. There is no instruction for it. */
static inline __attribute__((always_inline)) __u32 np_ct_way(__u64 match)
{
	return ((match & -match) >> 7) * 0x0001020304050607ull >> 56 & 7;
}

static inline __attribute__((always_inline)) int np_ct_same(const struct np_ct_key *a, const struct np_ct_key *b, const int ip6)
{
	return a->id == b->id && a->ip[0] == b->ip[0] && (!ip6 || a->ip[1] == b->ip[1]);
}

/**
 * np_ct_walk() - the live entry of @k, or NULL. @steps: NP_CT_STEPS, or fewer when NULL may mean "not at once". @filling: or one of
 * the same tag that is being filled: its id is 0. @stop: ends at a word below: NP_CT_PASSED_ONE, or 0 to look everywhere. @ret_at: which
 * of the group it is.
 */
static inline __attribute__((always_inline)) struct np_ct_entry *np_ct_walk(struct np_ct_group *g, const struct np_ct_key *k, __u64 hash,
									    const int ip6, const __u32 steps, const int filling,
									    const __u64 stop, __u32 *ret_at)
{
	const __u64 tag = np_ct_tag(hash);
	__u32 bucket = NP_CT_BUCKET(hash);
	__u64 word = *(const volatile __u64 *)&g->tags[bucket], match = np_ct_match(word, tag);

	NP_CT_LOOP
	for (__u32 i = 0; i < steps; i++) {
		if (match) {
			__u32 at = bucket * NP_CT_WAYS + np_ct_way(match);

			if (at < NP_CT_GROUP_FLOWS &&
			    (np_ct_same(&g->entry[at].key, k, ip6) ||
			     (filling && !g->entry[at].key.id && (word >> 8 * np_ct_way(match) & 0xff) == tag))) {
				*ret_at = at;
				return &g->entry[at];
			}
			match &= match - 1;
			continue;
		}
		if (word < stop)
			break;
		bucket = NP_CT_NEXT(bucket, hash);
		word = *(const volatile __u64 *)&g->tags[bucket];
		match = np_ct_match(word, tag);
	}
	return (struct np_ct_entry *)0;
}

static inline __attribute__((always_inline)) struct np_ct_entry *np_ct_search(struct np_ct_group *g, const struct np_ct_key *k,
									      __u64 hash, const int ip6, const __u32 steps)
{
	__u32 at;

	return np_ct_walk(g, k, hash, ip6, steps, 0, NP_CT_PASSED_ONE, &at);
}

/* --- a place for the entry of a flow that had none a moment ago: below NP_CT_GROUP_FLOWS; the caller fills it, its id last */

#define NP_CT_FULL NP_CT_GROUP_FLOWS            /* else: there is none, */
#define NP_CT_THERE (NP_CT_GROUP_FLOWS + 1)     /* or another CPU was faster */

/** struct np_ct_spot - @claimed: the tags of @bucket with the new one, @word: without. */
struct np_ct_spot {
	__u32 place, bucket;
	__u64 word, claimed;
};

/** np_ct_place() - the first that is free. Return: 0 = there is none. */
static inline __attribute__((always_inline)) int np_ct_place(struct np_ct_group *g, __u64 hash, struct np_ct_spot *s)
{
	__u32 bucket = NP_CT_BUCKET(hash);

	NP_CT_LOOP
	for (__u32 i = 0; i < NP_CT_PROBES; i++) {
		__u64 word = *(const volatile __u64 *)&g->tags[bucket], free = np_ct_match(word, 0);

		if (free) {
			const __u32 way = np_ct_way(free);

			s->place = bucket * NP_CT_WAYS + way;
			s->bucket = bucket;
			s->word = word;
			s->claimed = word | np_ct_tag(hash) << 8 * way;
			return s->place < NP_CT_GROUP_FLOWS;
		}
		if (word >> 56 >= NP_CT_PASSED_MAX)
			break;
		bucket = NP_CT_NEXT(bucket, hash);
	}
	return 0;
}

/** np_ct_pass() - an entry went on to bucket @last. */
static inline __attribute__((always_inline)) void np_ct_pass(struct np_ct_group *g, __u64 hash, __u32 last)
{
	__u32 bucket = NP_CT_BUCKET(hash);

	NP_CT_LOOP
	for (__u32 i = 0; i < NP_CT_PROBES && bucket != last; i++) {
		__sync_fetch_and_add(&g->tags[bucket], NP_CT_PASSED_ONE);
		bucket = NP_CT_NEXT(bucket, hash);
	}
}

/*
 * Both ways to take a place write to the words of tags before the entry is filled, because an atomic instruction waits for the stores
 * before it, and the entry is seldom in the cache.
 */

/** np_ct_take_locked() - whoever calls has the group's lock. */
static inline __attribute__((always_inline)) __u32 np_ct_take_locked(struct np_ct_group *g, const struct np_ct_key *k, __u64 hash,
								     const int ip6)
{
	struct np_ct_spot s;

	if (np_ct_search(g, k, hash, ip6, NP_CT_STEPS))
		return NP_CT_THERE;
	if (!np_ct_place(g, hash, &s))
		return NP_CT_FULL;
	np_ct_pass(g, hash, s.bucket);
	__sync_fetch_and_add(&g->tags[s.bucket], s.claimed - s.word);
	return s.place;
}

/**
 * np_ct_take() - without a lock. The place is chosen before the search, which goes at least as far: whoever takes one for the same
 * flow after that changes the word. Who finds one of the same tag being filled looks again; if it still is, it is taken for the same
 * flow (1 in 255 is not, and will have its entry by its next packet). If the first buckets are full and user space frees a place there
 * at this moment, two CPUs may each make one: the one in the earlier bucket is found from then on, the other is quiet and expires.
 */
#define NP_CT_TRIES 2
static inline __attribute__((always_inline)) __u32 np_ct_take(struct np_ct_group *g, const struct np_ct_key *k, __u64 hash, const int ip6)
{
	NP_CT_LOOP
	for (__u32 i = 0; i < NP_CT_TRIES; i++) {
		const struct np_ct_entry *e;
		struct np_ct_spot s;
		__u32 at;
		__u64 stop;

		if (!np_ct_place(g, hash, &s))
			return NP_CT_FULL;
		/* not the first bucket: one who is about to tell that it was passed may have been faster. No branch, for the verifier */
		stop = ((__u64)(s.bucket ^ NP_CT_BUCKET(hash)) - 1) >> 63 << 56;
		e = np_ct_walk(g, k, hash, ip6, NP_CT_STEPS, 1, stop, &at);
		if (e && *(const volatile __u64 *)&e->key.id)
			return NP_CT_THERE;
		if (e)
			continue;
		if (__sync_val_compare_and_swap(&g->tags[s.bucket], s.word, s.claimed) == s.word) {
			np_ct_pass(g, hash, s.bucket);
			return s.place;
		}
	}
	return NP_CT_THERE;
}

/**
 * NP_CT_EXCHANGE - the programs load this number where they ask whether the kernel has atomic exchange. The loader makes it 0 where it
 * has not, and of the instructions themselves, which nobody gets to then, additions.
 */
#define NP_CT_EXCHANGE 0x7863686e
