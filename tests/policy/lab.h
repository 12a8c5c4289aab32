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

/** lab_new() - leaves the process's namespaces. Return: 0; -EPERM: not root; -errno. */
int lab_new(struct lab **ret, struct vw_err *err);
void lab_free(struct lab *l);
/** lab_node() - made when it is first asked for. */
int lab_node(struct lab *l, const char *name, struct lab_node **ret, struct vw_err *err);

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

/** px_bpf() - executor 3. Return: 0; -EPERM: not root; -errno. px_bpf_done(): accepts one that is empty. */
int px_bpf(struct px *ret, struct vw_err *err);
void px_bpf_done(struct px *x);
