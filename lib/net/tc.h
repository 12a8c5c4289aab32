#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

/*
 * Ours on every pod's host veth. A low priority value runs first; other tools start at 1 or at 49152
 * (automatic).
 */
#define VW_TC_PRIO 10
#define VW_TC_HANDLE 0x5657

enum vw_tc_dir { VW_TC_INGRESS, VW_TC_EGRESS };

/**
 * struct vw_filter - a cls_bpf direct-action filter on a clsact qdisc.
 * @prio, @handle: 0 = VW_TC_PRIO, VW_TC_HANDLE.
 * @prog_fd: the program, borrowed. Only looked at by vw_filter_replace().
 * @name:    shown by tc(8), e.g. "vpcwire_from_pod". Borrowed; cut to 31 bytes.
 * @dev:     interface name for messages, may be NULL.
 * @fresh:   fail with EEXIST where one has this place already; those who listen to changes can tell it from a replacement.
 */
struct vw_filter {
	unsigned int ifindex;
	enum vw_tc_dir dir;
	uint16_t prio;
	uint32_t handle;
	int prog_fd;
	const char *name;
	const char *dev;
	bool fresh;
};

/** struct vw_filter_info - a filter as it is. */
struct vw_filter_info {
	uint32_t prog_id;
	bool direct_action;
	char name[32];
};

/**
 * struct vw_tbf - a token bucket as an interface's root qdisc: what leaves by it goes no faster than this.
 * @bytes_per_s:  at least 1.
 * @burst_bytes:  the bucket; what is larger than it and no GSO packet never passes, so at least a frame.
 * @queue_bytes:  what may wait; more is dropped.
 * @dev: interface name for messages, may be NULL.
 */
struct vw_tbf {
	unsigned int ifindex;
	uint64_t bytes_per_s;
	uint32_t burst_bytes, queue_bytes;
	const char *dev;
};

/** vw_tbf_add() - EEXIST when another root qdisc was set up. On an interface that is up the kernel waits for RCU (16 ms). */
int vw_tbf_add(struct vw_nl_batch *b, const struct vw_tbf *tbf);
/**
 * vw_tbf_get() - the rate of interface @ifindex' token bucket. Return: 0, -ENOENT (no root qdisc of this kind), -ENODEV, -errno.
 */
int vw_tbf_get(struct vw_nl *nl, unsigned int ifindex, const char *dev, uint64_t *ret_bytes_per_s, struct vw_err *err);

/** vw_clsact_add() - EEXIST when there (also when another qdisc holds the place: then the filter fails). */
int vw_clsact_add(struct vw_nl_batch *b, unsigned int ifindex, const char *dev);
/** vw_clsact_del() - takes every filter on it along. ENOENT, EINVAL when there is none. */
int vw_clsact_del(struct vw_nl_batch *b, unsigned int ifindex, const char *dev);

/**
 * vw_filter_replace() - add, or swap the program of the one with this prio and handle, atomically for
 * packets.
 */
int vw_filter_replace(struct vw_nl_batch *b, const struct vw_filter *f);
int vw_filter_del(struct vw_nl_batch *b, const struct vw_filter *f);
/** vw_filter_count() - filters of any kind on one side of a link. Return: how many, 0 without a qdisc for them, -errno. */
int vw_filter_count(struct vw_nl *nl, unsigned int ifindex, enum vw_tc_dir dir, struct vw_err *err);
/**
 * vw_filter_get() - the filter with @f's place. Return: 0, -ENOENT (no filter, no qdisc), -ENODEV,
 * -errno.
 */
int vw_filter_get(struct vw_nl *nl, const struct vw_filter *f, struct vw_filter_info *ret_info,
		  struct vw_err *err);
