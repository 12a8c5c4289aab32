/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#include "netpolicy-bpf/abi/np_policy.h"

#include <bpf/bpf_helpers.h>

/*
 * Every map of the programs. The loader pins all of them and knows each by its name (np_maps.c), so there must be none that
 * the compiler makes by itself (.rodata, .bss): it would be another one after each start, and the programs with it.
 */
#define NP_ARRAY(name, val, n, fl) \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, n); \
		__uint(map_flags, fl); \
		__type(key, __u32); \
		__type(value, val); \
	} name SEC(".maps")

#define NP_PERCPU(name, val, n) \
	struct { \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, n); \
		__type(key, __u32); \
		__type(value, val); \
	} name SEC(".maps")

#define NP_HASH(name, kind, k, val, n, fl) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, n); \
		__uint(map_flags, fl); \
		__type(key, k); \
		__type(value, val); \
	} name SEC(".maps")

struct np_ip6_key {
	__u32 w[4];
};

NP_ARRAY(np_slots, struct np_slot, NP_SLOTS, BPF_F_MMAPABLE);
NP_ARRAY(np_arena, struct np_line, NP_ARENA_LINES, BPF_F_MMAPABLE);
NP_ARRAY(np_idents, struct np_ident, NP_IDENTS, BPF_F_MMAPABLE);
NP_ARRAY(np_ports, struct np_line, NP_PORT_LINES, BPF_F_MMAPABLE);
NP_ARRAY(np_conf, struct np_conf, 1, BPF_F_MMAPABLE);
NP_ARRAY(np_rt, struct np_rt, NP_SLOTS, BPF_F_MMAPABLE);
NP_ARRAY(np_ct, struct np_ct_group, NP_CT_GROUPS, BPF_F_MMAPABLE);
NP_ARRAY(np_clock, __u64, 1, 0);
/* by group of np_ct; apart from it, for what has a lock in it cannot be mapped */
struct np_ct_lock {
	struct bpf_spin_lock lock;
	__u32 pad[15];
};
NP_ARRAY(np_ct_locks, struct np_ct_lock, NP_CT_GROUPS, 0);
/* the publisher's, here so that they are made and pinned with the others */
NP_ARRAY(np_journal, struct np_journal, NP_SLOTS + 1, BPF_F_MMAPABLE);
NP_ARRAY(np_rule_keys, __u64, NP_RULES, BPF_F_MMAPABLE);

NP_PERCPU(np_drops, __u64, NP_DROP_MAX);
NP_PERCPU(np_stats, __u64, NP_STAT_MAX);
NP_PERCPU(np_counts, struct np_count, NP_RULES);

/* for one packet at a time: programs of this kind run with softirqs off, so none comes in between on its CPU */
#define NP_SCRATCH 512
struct np_scratch {
	__u64 q[NP_SCRATCH / 8];
};
NP_PERCPU(np_scratch, struct np_scratch, 1);

/* slots of host veths that others made: by interface index, which is not NP_IFINDEX_BASE + slot */
NP_HASH(np_adopted, BPF_MAP_TYPE_HASH, __u32, __u32, NP_SLOTS, BPF_F_NO_PREALLOC);
NP_HASH(np_ip4, BPF_MAP_TYPE_HASH, __be32, __u32, NP_IPS, 0);
NP_HASH(np_ip6, BPF_MAP_TYPE_HASH, struct np_ip6_key, __u32, NP_IPS, 0);
NP_HASH(np_cidr4, BPF_MAP_TYPE_LPM_TRIE, struct np_cidr4_key, __u32, NP_CIDRS, BPF_F_NO_PREALLOC);
NP_HASH(np_cidr6, BPF_MAP_TYPE_LPM_TRIE, struct np_cidr6_key, __u32, NP_CIDRS, BPF_F_NO_PREALLOC);
NP_HASH(np_frag, BPF_MAP_TYPE_LRU_HASH, struct np_frag_key, struct np_frag, NP_FRAGS, 0);
NP_HASH(np_fqdn4, BPF_MAP_TYPE_HASH, struct np_fqdn4_key, struct np_fqdn, NP_FQDN_MAX, 0);
NP_HASH(np_fqdn6, BPF_MAP_TYPE_HASH, struct np_fqdn6_key, struct np_fqdn, NP_FQDN_MAX, 0);
NP_HASH(np_dns, BPF_MAP_TYPE_HASH, struct np_dns_key, struct np_dns_names, NP_DNS_NAMES, 0);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NP_EVENTS_BYTES);
} np_events SEC(".maps");
