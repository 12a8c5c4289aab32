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

/**
 * feed_look() - *@ret_json: {"runs", "listed", "heard_s", "why"}, the caller's; NULL: there is none, it cannot be read, or no memory.
 * Return: true: it does not run, or hears nothing of the API server; @err says so.
 */
bool feed_look(const struct daemon *d, struct vw_json **ret_json, struct vw_err *err);
/** feed_metrics() - vpcwire_feed_...; families without values where there is no feed. */
void feed_metrics(const struct daemon *d, struct vw_buf *b);
