#pragma once

#include <stdbool.h>

struct daemon;
struct vw_buf;
struct vw_err;
struct vw_json;

/**
 * DOC: vpcwire-feed, as the daemon sees it
 *
 * By the file that it writes into policy_dir (lib/rpc/feed_state.h), read when somebody asks. Where there is none there is no feed, and nothing is said.
 */

/** feed_trouble() - it does not run, or hears nothing of the API server. Return: true: @err says so. */
bool feed_trouble(const struct daemon *d, struct vw_err *err);
/** feed_json() - {"runs", "listed", "heard_s", "why"}; NULL: there is none, or no memory. The caller's. */
struct vw_json *feed_json(const struct daemon *d);
/** feed_metrics() - vpcwire_feed_...; families without values where there is no feed. */
void feed_metrics(const struct daemon *d, struct vw_buf *b);
