#pragma once

struct daemon;
struct vw_buf;
struct vw_err;
struct vw_json;
struct vw_rpc_status;

/** info_status() - the truth for CNI STATUS: 0 when an ADD could be served now, 50 or 51 and the cause otherwise. */
void info_status(struct daemon *d, struct vw_rpc_status *ret_st);
/** info_print() - @v: the version of the protocol. The node's state as one JSON object (docs/RPC.md, "info"). */
int info_print(struct daemon *d, unsigned int v, struct vw_buf *buf, struct vw_err *err);
/**
 * info_query_node() - query "node": the same with every pod, each slot's addresses as a picture, and what STATUS says.
 * @args: pods = false leaves their list empty: 737 take some milliseconds.
 */
int info_query_node(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
