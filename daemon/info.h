#pragma once

#include <stdbool.h>

struct daemon;
struct vw_buf;
struct vw_err;
struct vw_json;
struct vw_rpc_status;

/** info_status() - the truth for CNI STATUS: 0 when an ADD could be served now, 50 or 51 and the cause otherwise. */
void info_status(struct daemon *d, struct vw_rpc_status *ret_st);
/** info_orphaned() - EC2 has taken addresses of pods away; @err says of how many, and what to do. */
bool info_orphaned(struct daemon *d, struct vw_err *err);
/** info_print() - @v: the version of the protocol. The node's state as one JSON object (docs/RPC.md, "info"). */
int info_print(struct daemon *d, unsigned int v, struct vw_buf *buf, struct vw_err *err);
/** info_fill() - puts it into @root. @whole: all pods, and each slot's addresses as a picture. @with_pods: false leaves their list empty. Return: 0, -ENOMEM. */
int info_fill(struct daemon *d, struct vw_json *root, bool whole, bool with_pods);
/**
 * info_query_node() - query "node" (info_node.c): the same with every pod, each slot's addresses as a picture, what STATUS says, what policy is in
 * force, what has gone wrong last, and what to do about it. @args: pods = false leaves their list empty: 737 take some milliseconds.
 */
int info_query_node(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
