/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

/* What every part of the programs uses: counters, clock, reach into a packet. */
#include <linux/types.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "netpolicy-bpf/bpf/np_maps.bpf.h"

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/**
 * forget() - what was computed goes to memory, and comes from there again. In mapped memory that is a fresh start for the verifier
 * too: everything is any number, so that it looks at what follows once and not for each way that led there.
 */
#define forget() asm volatile("" ::: "memory")

/* what functions that may refuse a packet return: an enum np_drop, or this */
#define NP_GO (-1)

static __always_inline int drop(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&np_drops, &reason);

	if (n)
		(*n)++;
	return TC_ACT_SHOT;
}

static __always_inline void stat(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&np_stats, &what);

	if (n)
		(*n)++;
}

/**
 * tick() - now. The kernel's clock takes 20 ns, reading jiffies none: so the clock is asked once in some jiffies (at most a third of
 * a second), by whichever CPU finds that it is time, and np_clock has the answer: jiffies << 32 | tick, in one number.
 */
#define NP_CLOCK_JIFFIES 32
static __always_inline __u32 tick(void)
{
	const __u32 zero = 0, jiffies = bpf_jiffies64();
	__u64 *clock = bpf_map_lookup_elem(&np_clock, &zero);
	__u32 now;

	if (likely(clock)) {
		__u64 last = READ_ONCE(*clock);

		if (likely(jiffies - (__u32)(last >> 32) < NP_CLOCK_JIFFIES && last))
			return last;
	}
	now = bpf_ktime_get_ns() >> NP_TICK_SHIFT;
	if (clock)
		WRITE_ONCE(*clock, (__u64)jiffies << 32 | now);
	return now;
}

/** past() - is @tick before @now? Ticks wrap. */
static __always_inline int past(__u32 tick, __u32 now)
{
	return (__s32)(tick - now) < 0;
}

/*
 * A header of a packet: NP_HDR() declares it, NP_AT() is true when it is there, at offset @off of the frame. Programs of tc see
 * packets as they lie; NP_AT() is a macro, for the verifier wants to see the comparison itself. Socket filters (NP_FILTER) may only
 * copy, and begin at the IP header: NP_L2 is where that is.
 */
#ifdef NP_FILTER
#define NP_L2 0
#define NP_HDR(type, ptr) type ptr##_copy, *ptr = &ptr##_copy
#define NP_AT(skb, ptr, off) (!bpf_skb_load_bytes(skb, off, ptr, sizeof(*(ptr))))
#else
/** reach() - make @len bytes at offset @off of the frame linear, if they are not and the frame has them. */
static __always_inline void reach(struct __sk_buff *skb, __u32 off, const __u32 len)
{
	if (unlikely((void *)(long)skb->data + off + len > (void *)(long)skb->data_end))
		(void)bpf_skb_pull_data(skb, off + len);
}

#define NP_L2 ETH_HLEN
#define NP_HDR(type, ptr) type *ptr
#define NP_AT(skb, ptr, off) \
	({ \
		reach(skb, off, sizeof(*(ptr))); \
		(ptr) = (void *)(long)(skb)->data + (off); \
		(void *)((ptr) + 1) <= (void *)(long)(skb)->data_end; \
	})
#endif

static __always_inline struct np_conf *conf(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&np_conf, &zero);
}
