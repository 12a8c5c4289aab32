#pragma once

struct daemon;
struct rpc_conn;
struct vw_err;
struct vw_json;

/**
 * doctor_query() - query "doctor": {checks: [{part, ok, what, todo}]}: what the daemon can do and see, part by part: its capabilities, what
 * it made in the kernel, MTU, placement, instance metadata and how far its answers reach, credentials, the clock, and each permission that it needs,
 * asked of EC2 with DryRun. A worker asks, so @conn is answered later. Return: 0, -ENOMEM: nothing will be answered.
 */
int doctor_query(struct daemon *d, struct rpc_conn *conn, const struct vw_json *args, struct vw_err *err);
