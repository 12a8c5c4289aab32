#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_buf;
struct vw_err;

/**
 * DOC: what vpcwire-feed says of itself
 *
 * A file beside those that it writes, because the folder is all that it shares with the daemon. Its name begins with a dot: it is no manifest, and no
 * event of the folder. Times are vw_mono_ms() (CLOCK_BOOTTIME), which both have in common and nobody sets; what a former boot wrote lies in the future.
 */
#define VW_FEED_STATE ".vpcwire-feed.json"

#define VW_FEED_STATE_EVERY_MS 10000    /* it is written so often at least, whatever happens */
#define VW_FEED_DEAD_MS 60000           /* not written for so long: nobody runs there */
/*
 * How long a kind may be silent. An API server closes a watch after 300 s at most (WATCH_S, feed/watch.c), and sends a bookmark about every minute before;
 * one that fails to answer is known to be silent much sooner.
 */
#define VW_FEED_SILENT_MS 420000
#define VW_FEED_FAILING_MS 60000

/**
 * struct vw_feed_state - @written_ms: of the file. @heard_ms: when the API server last said something of the kind for which that is longest ago.
 * @listed: each kind's whole list has been in the folder once. @why: the kind that fails, if one does, and how: "pods: HTTP status 503", or "".
 */
struct vw_feed_state {
	uint64_t written_ms, heard_ms;
	bool listed;
	char why[192];
};

/** vw_feed_state_print() - append the file's text. Return: 0, -ENOMEM. */
int vw_feed_state_print(const struct vw_feed_state *st, struct vw_buf *buf, struct vw_err *err);
/** vw_feed_state_write() - by rename, readable for all. */
int vw_feed_state_write(const char *dir, const struct vw_feed_state *st, struct vw_err *err);
/** vw_feed_state_parse() - the file's text. Return: 0, -EBADMSG; @ret is filled when it is 0 only. */
int vw_feed_state_parse(const char *text, size_t len, struct vw_feed_state *ret, struct vw_err *err);
/** vw_feed_state_read() - Return: 0; -ENOENT: no vpcwire-feed has written to @dir; -EBADMSG, -errno. */
int vw_feed_state_read(const char *dir, struct vw_feed_state *ret, struct vw_err *err);

/** vw_feed_age_ms() - how long ago @ms was; UINT64_MAX for what a former boot wrote. */
uint64_t vw_feed_age_ms(uint64_t ms, uint64_t now_ms);
/** vw_feed_runs() - its file is fresh. */
bool vw_feed_runs(const struct vw_feed_state *st, uint64_t now_ms);
/** vw_feed_hears() - it has heard the API server lately, of each kind. */
bool vw_feed_hears(const struct vw_feed_state *st, uint64_t now_ms);
/** vw_feed_explain() - one sentence of what is wrong. Return: true, it is in @ret; false: nothing is. */
bool vw_feed_explain(const struct vw_feed_state *st, uint64_t now_ms, char *ret, size_t size);
