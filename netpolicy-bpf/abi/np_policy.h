/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/abi/np_abi.h"
#include "netpolicy-bpf/abi/np_ct.h"

#include <linux/bpf.h>
#include <linux/types.h>

/**
 * DOC: how a compiled network policy lies in maps
 *
 * A packet is judged by look-ups only. Its peer's address gives an *ident* (np_ip4, np_ip6 by hash; np_cidr4, np_cidr6 by
 * longest prefix when the hash does not know it), the ident gives a *class*, protocol and port give a *port class*; both
 * index the pod's *blob*: row of the class, column of the port class, verdict of (row, column). Tiers, priorities, unions
 * and defaults are resolved when the blob is made, so their number costs nothing here.
 *
 * Two generations exist side by side; their parity is a bit of np_slot.pub. Idents hold a class for each, ports lie in two
 * tables, blobs in two halves of the arena. A new generation is written where nobody looks and then put into force by one
 * aligned 8-byte store per pod. The other parity is written again only after membarrier() has shown that no packet can
 * still see it. All of it is mapped memory: a generation of any size takes no system call but for new addresses.
 *
 * All integers are in host byte order unless the type says __be. Any change of layout or meaning raises NP_ABI.
 */

/* --- the arena: lines of 64 bytes; line 0 is never used, so that 0 can mean "policy is off" */

#define NP_LINE_WORDS 16
/** struct np_line - one value of the arena and of np_ports: 16 words, or 32 half words. */
struct np_line {
	union {
		__u32 w[NP_LINE_WORDS];
		__u16 h[2 * NP_LINE_WORDS];
		__u64 q[NP_LINE_WORDS / 2];
	};
};
_Static_assert(sizeof(struct np_line) == 64, "ABI");

#define NP_ARENA_LINES 131072u  /* 8 MiB; each generation's blobs lie in one half */

#define NP_LINE_NONE 1u         /* always zero: no blob, so whatever is judged by it is dropped */

/**
 * struct np_slot.pub: what is in force for a pod. One aligned 8-byte store changes all of it. While policy is on it is never 0 for
 * any slot that had a pod, NP_LINE_NONE when there is none: a packet under way may have seen the pod's flags already, and what it
 * reads next must not let it through.
 */
#define NP_PUB_LINE_MASK 0x7fffffffull  /* line of the blob; 0 = policy is switched off: nothing is judged or tracked */
#define NP_PUB_PARITY 0x80000000ull     /* generation */
#define NP_PUB_REV_SHIFT 32             /* revision: changes only when the verdicts may; flows of another one are judged again */

/** enum np_dir - seen from the pod. */
enum np_dir { NP_INGRESS, NP_EGRESS, NP_DIRS };

/**
 * struct np_blob - first line of a blob. Lines are absolute.
 * @dir[].row: first line of __u16 rows by class (32 a line); @col: of __u16 columns by port class; @mtx: of __u32 verdicts
 * (16 a line), index row * ncol + column.
 * @n_class, @n_port_class: how many classes @row and @col cover. A class beyond is a bug and dropped as NP_DROP_STALE.
 * @fqdn_set: key of what DNS answers teach (np_fqdn4, np_fqdn6, np_dns); 0 = no rule of the pod names domains.
 */
#define NP_BLOB_MAGIC 0x4e504232u       /* "NPB2" */
struct np_blob {
	__u32 magic;
	__u32 fqdn_set;
	__u16 n_class, n_port_class;
	__u32 flags;                    /* NP_BLOB_* */
	struct np_blob_dir {
		__u32 row, col, mtx, ncol;
	} dir[NP_DIRS];
	__u32 pad[4];
};
_Static_assert(sizeof(struct np_blob) == 64, "ABI");
#define NP_BLOB_ISOLATED_IN (1u << NP_INGRESS)  /* some policy has a say in that direction, or strict mode */
#define NP_BLOB_ISOLATED_EG (1u << NP_EGRESS)

/**
 * Verdicts: __u32. Bits 0-1 enum np_action; bit 2: an allowed new flow is to be logged; bits 8-31 the argument: the rule's
 * id for NP_ALLOW and NP_DENY (0 = none: not isolated, default allow), the first arena line of a chain for NP_CHAIN.
 */
enum np_action { NP_DENY, NP_ALLOW, NP_CHAIN };
#define NP_VERDICT_ACTION(v) ((v) & 3u)
#define NP_VERDICT_LOG (1u << 2)
#define NP_VERDICT_ARG(v) ((v) >> 8)
#define NP_VERDICT(action, arg) ((__u32)(action) | (__u32)(arg) << 8)

/**
 * struct np_chain - a verdict that depends on the names that the peer's address is known by: entries in order, 4 a line.
 * The first whose @names has a bit in common with the address's names (np_fqdn*.names) decides; @names == 0 ends the
 * chain and decides otherwise. At most NP_CHAIN_MAX entries, the last included. @verdict is never NP_CHAIN.
 */
#define NP_CHAIN_MAX 32
struct np_chain {
	__u64 names;
	__u32 verdict;
	__u32 pad;
};
_Static_assert(sizeof(struct np_chain) == 16, "ABI");

#define NP_RULES 16384          /* rule ids, 0 reserved */
#define NP_CLASSES 65535        /* classes, and port classes, at most */

/* --- peers */

/**
 * struct np_ident - what stands behind one or more addresses. np_idents[0] = the address of nobody (never looked up, all
 * zero). Written in place through the mapping, one aligned 8-byte store.
 */
struct np_ident {
	__u16 cls[2];           /* by parity */
	__u16 flags;            /* NP_IDENT_* */
	__u16 pad;
};
_Static_assert(sizeof(struct np_ident) == 8, "ABI");
#define NP_IDENT_VIP (1u << 0)          /* a service's address: egress is judged after DNAT */
#define NP_IDENT_OWN_NODE (1u << 1)     /* an address of this node */
#define NP_IDENT_RESOLVER (1u << 2)     /* its DNS answers are believed */

#define NP_IDENTS 131072u
#define NP_IPS 65536u           /* np_ip4, np_ip6: known addresses, each */
#define NP_CIDRS 16384u         /* np_cidr4, np_cidr6: prefixes, each; 0.0.0.0/0 and ::/0 are always there */

/* np_ip4: __be32 -> __u32 ident. np_ip6: __u8[16] -> __u32 ident. Hash, preallocated. */
/** struct np_cidr4_key, struct np_cidr6_key - LPM tries -> __u32 ident; @len in bits. */
struct np_cidr4_key {
	__u32 len;
	__be32 ip;
};
struct np_cidr6_key {
	__u32 len;
	__u8 ip[16];
};

/* --- ports */

/** np_ports - __u16 port class at [NP_PORT_LINE(parity, proto, port)].h[port % 32]. Class 0: everything without ports. */
enum np_port_proto { NP_PORT_TCP, NP_PORT_UDP, NP_PORT_SCTP, NP_PORT_PROTOS };
#define NP_PORT_LINES_EACH 2048u
#define NP_PORT_LINE(parity, proto, port) \
	(((parity) * NP_PORT_PROTOS + (proto)) * NP_PORT_LINES_EACH + (port) / 32u)
#define NP_PORT_LINES (2u * NP_PORT_PROTOS * NP_PORT_LINES_EACH)

/* --- flows: np_ct.h */

/**
 * NP_TICK_SHIFT - times in maps are ticks: CLOCK_MONOTONIC nanoseconds >> 30, i.e. 1.074 s, 32 bits.
 */
#define NP_TICK_SHIFT 30

#define NP_FRAGS 8192u

/**
 * struct np_frag_key - LRU hash: where the later fragments of a datagram find its ports. IPv4 addresses: first 4 bytes.
 * @proto: as in the IPv4 header or the IPv6 fragment header.
 */
struct np_frag_key {
	__u8 src[16], dst[16];
	__u32 id;
	__u16 slot;
	__u8 proto;
	__u8 family;            /* 4 or 6 */
	__u8 hook;              /* NP_FRAG_*: which program saw it */
	__u8 pad[7];
};
enum np_frag_hook { NP_FRAG_FROM_POD, NP_FRAG_TO_POD, NP_FRAG_POST };
struct np_frag {
	__be16 sport, dport;    /* ICMP: type and code, identifier */
	__u32 last;             /* tick */
	__u8 proto;             /* behind all extension headers */
	__u8 pad;
	__u16 end;              /* bytes that it brought: later ones must not reach into them */
};
_Static_assert(sizeof(struct np_frag_key) == 48, "ABI");

/* --- run time */

/**
 * struct np_conf - np_conf[0], mapped and changed at run time.
 * @ct_quota: entries a slot may have in np_ct; what is over is judged packet by packet.
 * @event_rate, @event_burst: DENY events a second and at once, for each slot; at most 4096 and 65536.
 * @dns_min_ttl: seconds that a learnt address is good for, even if its answer says less.
 * @ct_groups: how many np_ct has. @ct_key: for np_ct_hash().
 * @dns_key: for np_dns_hash(). Keys are random, made with the map and never changed.
 */
struct np_conf {
	__u32 flags;            /* NP_CONF_* */
	__u32 ct_quota;
	__u32 event_rate, event_burst;
	__u32 dns_min_ttl;
	__u32 ct_groups;
	__u64 dns_key[2];
	__u32 ct_key[NP_CT_KEYS];
};
_Static_assert(sizeof(struct np_conf) == 64, "ABI");
#define NP_CONF_AUDIT (1u << 0)         /* let through and log what policy denies */
#define NP_CONF_KEEP (1u << 1)          /* a change of policy leaves established flows alone; else (revoke) they are judged again */
#define NP_CONF_NODE_IP (1u << 2)       /* aws-node's way: whatever comes from an address of this node may enter */
#define NP_CONF_LOG_ALLOW (1u << 3)     /* an event for each allowed new flow */
#define NP_CONF_LOG_DNS (1u << 4)       /* an event for each answer that something was learnt from */

/**
 * struct np_rt - np_rt[slot], written by the programs, mapped.
 * @ct_used: entries, counted up by who makes one and down (atomically) by who deletes one.
 * @suppressed: events that found no token or no room; wraps.
 */
struct np_rt {
	__u32 tokens;           /* of events, in 1/1024 */
	__u32 refilled;         /* CLOCK_MONOTONIC ns >> 20 */
	__u32 suppressed;
	__u32 ct_used;
	__u32 pad[12];
};
_Static_assert(sizeof(struct np_rt) == 64, "a cache line each");

/** struct np_count - np_counts (per CPU), by rule id: packets that were judged by the rule (new flows and denied packets). */
struct np_count {
	__u64 pkts, bytes;
};

/** enum np_stat - np_stats (per CPU): what happened, apart from drops. */
enum np_stat {
	NP_STAT_CT_FULL,        /* new flow judged packet by packet: its group of np_ct is full */
	NP_STAT_CT_QUOTA,       /* the same: the slot has its quota */
	NP_STAT_PICKUP,         /* flows taken up in mid-stream */
	NP_STAT_RELATED,        /* ICMP errors let through for a live flow */
	NP_STAT_REJUDGED,       /* flows judged again after a change of policy */
	NP_STAT_REVOKED,        /* of those: denied now */
	NP_STAT_AUDIT,          /* packets let through by audit mode alone */
	NP_STAT_EVENT_LOST,     /* events that found np_events full */
	NP_STAT_DNS_ANSWERS,    /* answers that addresses were learnt from */
	NP_STAT_DNS_TCP,        /* answers that could not be read: by TCP, */
	NP_STAT_DNS_TRUNCATED,  /* cut short by the server, */
	NP_STAT_DNS_TOO_LONG,   /* longer than NP_DNS_MAX or in fragments, */
	NP_STAT_DNS_BROKEN,     /* against RFC 1035, */
	NP_STAT_DNS_TOO_MANY,   /* with more than NP_DNS_ANSWERS records: the rest was not read */
	NP_STAT_DNS_FULL,       /* np_fqdn4 or np_fqdn6 is full */
	NP_STAT_MAX,
};

/* --- events: ring buffer np_events */

#define NP_EVENTS_BYTES (1u << 20)

enum np_event_kind { NP_EVENT_VERDICT = 1, NP_EVENT_DNS = 2 };
/**
 * struct np_event - a verdict.
 * @ip_pod, @ip_peer: IPv4 in the first 4 bytes. @verdict: as found in the blob (that of the entry, if a chain decided).
 * @reason: enum np_drop that the packet was counted as, or would have been; NP_DROP_MAX for an allowed one.
 * @suppressed: struct np_rt's at that moment: by how much it grew since the slot's last event, so many were not sent.
 */
struct np_event {
	__u64 ns;               /* CLOCK_MONOTONIC */
	__u32 verdict;
	__u32 rev;
	__u32 len;
	__u32 suppressed;
	__u16 slot;
	__u8 kind;              /* enum np_event_kind */
	__u8 dir;               /* enum np_dir */
	__u8 family;            /* 4 or 6 */
	__u8 proto;
	__u8 reason;
	__u8 flags;             /* NP_EVENT_AUDIT: it was let through all the same */
	__u8 ip_pod[16], ip_peer[16];
	__be16 port_pod, port_peer;     /* ICMP: type and code in port_peer, big end first */
	__u16 cls, port_cls;
};
_Static_assert(sizeof(struct np_event) == 72, "ABI");

/** struct np_event_dns - an answer to a pod. @names: patterns of @set that match @qname (wire format, lower case, @qlen bytes). */
struct np_event_dns {
	__u64 ns;
	__u32 set;
	__u32 rev;
	__u32 len;
	__u32 suppressed;
	__u16 slot;
	__u8 kind;              /* NP_EVENT_DNS; where struct np_event has it */
	__u8 what;              /* enum np_stat: NP_STAT_DNS_* */
	__u8 family;            /* of the packet */
	__u8 n_addr;            /* addresses learnt */
	__u16 qlen;
	__u64 names;
	__u8 ip_resolver[16];
	__u8 qname[256];
};
_Static_assert(sizeof(struct np_event_dns) == 312, "ABI");
_Static_assert(__builtin_offsetof(struct np_event_dns, kind) == __builtin_offsetof(struct np_event, kind), "tells them apart");
#define NP_EVENT_AUDIT (1u << 0)
#define NP_EVENT_POST_DNAT (1u << 1)    /* judged behind a service's address */

/* --- names learnt from DNS answers */

/** struct np_fqdn4_key, struct np_fqdn6_key -> struct np_fqdn: names by which @ip is known to pods of @set. */
struct np_fqdn4_key {
	__u32 set;
	__be32 ip;
};
struct np_fqdn6_key {
	__u32 set;
	__u8 ip[16];
};
/**
 * @names[i]: bit n = the set's n-th pattern, good until tick @expires[i]; afterwards it lets no new flow through, but those
 * that it did may stay. An address may be known by several names that end at different times.
 * Written under @lock (user space: BPF_F_LOCK), read without. When a fifth end comes, it is joined to the nearest.
 */
#define NP_FQDN_ENDS 4
struct np_fqdn {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 names[NP_FQDN_ENDS];
	__u32 expires[NP_FQDN_ENDS];
};
_Static_assert(sizeof(struct np_fqdn) == 56, "ABI");
#define NP_FQDN_NAMES 64        /* patterns of one set */
#define NP_FQDN_MAX 32768u
#define NP_DNS_MAX 4096         /* bytes of a DNS message */
#define NP_DNS_ANSWERS 32       /* records of its answer section that are read */
#define NP_DNS_LABELS 16        /* labels of a pattern, at most: only so long suffixes are looked up, and the whole name */
#define NP_DNS_NAMES 8192u
/**
 * struct np_dns_key - np_dns: a suffix of a queried name, as np_dns_hash() of its lower-case wire format from that label to
 * the root, is of interest to @set. Value struct np_dns_names: @exact when it is the whole name, @wild when at least one
 * label stands before it.
 */
struct np_dns_key {
	__u64 hash;
	__u32 set;
	__u32 pad;
};
struct np_dns_names {
	__u64 exact, wild;
};

/**
 * np_dns_byte() - one step of np_dns_hash(), from the last byte to the first, so that one pass over a name gives the hashes
 * of all its suffixes. Keyed, for whoever could choose names with equal hashes could reach what only another name may.
 */
static inline __u64 np_dns_byte(const __u64 key[2], __u64 h, __u8 byte)
{
	h = (h ^ byte) * (key[1] | 1);
	return h ^ h >> 29;
}

/** np_dns_hash() - @name: wire format without compression, lower case, @len bytes, the root's 0 included. */
static inline __u64 np_dns_hash(const __u64 key[2], const __u8 *name, __u32 len)
{
	__u64 h = key[0];

	while (len--)
		h = np_dns_byte(key, h, name[len]);
	return h;
}

/* --- marks on packets, above those of aws-node (0x80, ENI 0x7f) and kube-proxy (0x4000, 0x8000) */
#define NP_MARK_PENDING 0x10000000u     /* egress is still to be judged, when the destination is the real one */
#define NP_MARK_SLOT_SHIFT 16
#define NP_MARK_SLOT_MASK 0x0fff0000u   /* slot that sent it, with NP_MARK_PENDING */
_Static_assert((NP_MARK_SLOT_MASK >> NP_MARK_SLOT_SHIFT) == 4095, "NP_SLOTS fit");

/* np_tails: the programs that those on the hooks jump to for whatever is not a plain packet of an established flow */
enum np_tail {
	NP_TAIL_FROM4,
	NP_TAIL_FROM6,
	NP_TAIL_TO4,
	NP_TAIL_TO6,
	NP_TAIL_POST4,
	NP_TAIL_POST6,
	NP_TAIL_TO_POD,         /* to_pod itself, once what was pending is judged */
	NP_TAIL_ANSWER4,        /* an answer of a service, when it is to be judged by where that is */
	NP_TAIL_ANSWER6,
	NP_TAIL_DNS,
	NP_TAIL_DNS_RECORDS,
	NP_TAILS,
};

/* --- the publisher's own notes, read by no program: what a daemon needs that comes after a crash */

/**
 * struct np_journal - np_journal[slot]. @next: the pub that is being put into force. @meaning: by parity, of the effective
 * policy behind it (struct np_image_blob). @rev: the last revision that the slot had, also after its pod is gone.
 * np_journal[NP_JOURNAL_HEAD].next: 1 from when every slot's @next is complete until every pub is stored. A daemon that
 * finds it set completes the switch; what it finds clear was never begun.
 */
struct np_journal {
	__u64 next;
	__u64 meaning[2];
	__u32 rev;
	__u32 pad;
};
_Static_assert(sizeof(struct np_journal) == 32, "ABI");
#define NP_JOURNAL_HEAD NP_SLOTS        /* so np_journal has NP_SLOTS + 1 entries */

/* np_rule_keys[rule id]: __u64, struct np_rule.key of the rule whose counter np_counts[rule id] is; 0 = free */
