#pragma once

struct daemon;
struct denied;
struct vw_err;
struct vw_json;

/**
 * DOC: connections that policy denied of late
 *
 * The programs report each denied connection within policy_log_rate; equal ones (pod, peer, protocol, port, policy) are one row here. Rows
 * leave DENIED_MS after the last of them, the oldest first when there are too many.
 */
#define DENIED_MS 600000
#define DENIED_ROWS 128

int denied_new(struct denied **ret, struct vw_err *err);
void denied_free(struct denied *n);

/** denied_heard() - @verdict: a line of the policy log (docs/POLICY.md), borrowed. Also an event. */
void denied_heard(struct daemon *d, const struct vw_json *verdict);
/**
 * denied_query() - query "denied": {window_ms, flows: [{verdict, dir, pod, peer, address, proto, dport, tier, kind, policy, rule, reason,
 * count, age_ms}]}, the latest first; members without a value are left out.
 */
int denied_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
