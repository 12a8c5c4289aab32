/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netpolicy-bpf/abi/np_abi.h"
#include "netpolicy-bpf/abi/np_policy.h"

/**
 * DOC: the programs of pods, compiled for this machine
 *
 * np_host.c includes np_pod.bpf.c as it is, and stands for the kernel: maps are memory, helpers are functions. A packet lies at the end of
 * a page that another one follows which nobody may touch, below 4 GiB because struct __sk_buff says where in 32 bits.
 */
enum np_host_prog { NP_HOST_FROM_POD, NP_HOST_TO_POD, NP_HOST_TO_WIRE };

/**
 * struct np_host_packet - @frame: from the Ethernet header on, @len bytes, at most NP_HOST_MAX. @linear: so many of them lie at once, the others
 * when a program asks for them. @protocol: the ethertype that the kernel knows it by, network byte order.
 */
struct np_host_packet {
	const uint8_t *frame;
	size_t len, linear;
	uint16_t protocol;
	uint32_t ifindex, ingress_ifindex, mark;
};
#define NP_HOST_MAX 8192

/** np_host_run() - Return: the program's verdict, TC_ACT_*. */
int np_host_run(enum np_host_prog prog, const struct np_host_packet *p);

/** np_host_array() - the memory of an array: "np_slots", ... NULL: there is no such array. */
void *np_host_array(const char *name);
/** np_host_set(), np_host_del() - an entry of a hash or trie. Return: 0, -E2BIG when there is no room. */
int np_host_set(const char *name, const void *key, const void *value);
void np_host_del(const char *name, const void *key);
/** np_host_each() - what a hash or trie has. */
void np_host_each(const char *name, void (*fn)(const void *key, const void *value));
/** np_host_reset() - all that programs write is as it was at first: conntrack, fragments, learnt names, counters, clock. */
void np_host_reset(void);
