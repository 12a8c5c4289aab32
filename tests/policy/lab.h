#pragma once

#include "tests/policy/tables.h"

/**
 * DOC: a kernel with the real programs and maps, one set for each node
 *
 * Lives in a network namespace and on a bpf file system of its own, which nobody else sees and which vanish with the process.
 * Packets are made by hand and given to the programs by BPF_PROG_TEST_RUN; the interfaces exist, since their numbers say which
 * pod it is, but nothing is sent.
 */
struct lab;
struct lab_node;

/** lab_new() - leaves the process's namespaces. @live: packets will flow. Return: 0; -EPERM: not root; -errno. */
int lab_new(struct lab **ret, bool live, struct vw_err *err);
void lab_free(struct lab *l);
/** lab_node() - made when it is first asked for. */
int lab_node(struct lab *l, const char *name, struct lab_node **ret, struct vw_err *err);
/** lab_node_index() - the same for as long as the lab lives; less than TABLES_NODES. */
unsigned int lab_node_index(const struct lab *l, const struct lab_node *n);
struct np *lab_node_np(const struct lab_node *n);

/**
 * lab_image() - the node's image is in force, and its pods are in their slots. The image is borrowed until the next call for this node.
 * lab_subject(), lab_gone(), lab_peer(), lab_settle(): as struct tables_follower.
 */
int lab_image(struct lab *l, struct lab_node *n, const struct tables_node *t, struct vw_err *err);
int lab_subject(struct lab *l, struct lab_node *n, const struct tables_node *t, unsigned int slot, unsigned int blob, struct vw_err *err);
int lab_gone(struct lab_node *n, unsigned int slot, struct vw_err *err);
int lab_peer(struct lab_node *n, const struct np_peer_change *c, struct vw_err *err);
int lab_settle(struct lab_node *n, struct vw_err *err);

/**
 * lab_judge() - a flow's first packet at the end of slot @slot. What is let through is, one time in three, followed by its answer and
 * one more packet, which must pass too. @names: bits of the slot's blob that the peer is known by. Return: 1 = let through, 0 = dropped by policy;
 * -errno: the programs did something that cannot be (@err).
 */
int lab_judge(struct lab *l, struct lab_node *n, unsigned int slot, const struct px_half *h, uint64_t names, struct vw_err *err);

/**
 * lab_teach() - what DNS told the pods of the slot's kind about @peer, or (@known false) that it is forgotten; nothing when @names is 0.
 */
int lab_teach(struct lab_node *n, unsigned int slot, const struct vw_ip *peer, uint64_t names, bool known, struct vw_err *err);

/** struct px_bpf - px->ctx of executor 3. */
struct px_bpf {
	struct tables *t;
	struct lab *lab;
};
/** px_bpf() - executor 3. Return: 0; -EPERM: not root; -errno. px_bpf_done(): accepts one that is empty. */
int px_bpf(struct px *ret, struct vw_err *err);
/** px_bpf_live() - what executor 4 loads with: the same for packets that flow. */
int px_bpf_live(struct px *ret, struct vw_err *err);
void px_bpf_done(struct px *x);

/** px_live() - executor 4. Return: 0; -EPERM: not root; -errno. px_live_done(): accepts one that is empty. */
int px_live(struct px *ret, struct vw_err *err);
void px_live_done(struct px *x);
