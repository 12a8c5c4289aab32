#pragma once

struct daemon;
struct vw_err;
struct vw_json;

/**
 * explain_query_pod() - query "pod": what the node holds for one pod, and each part of it beside what the kernel has now. It only looks:
 * what differs stays as it is.
 * @args: {"pod": "NAMESPACE/NAME" or an address of it}. -EINVAL, -ENOENT: no such pod here.
 */
int explain_query_pod(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
