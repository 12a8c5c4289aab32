// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct feed_http;
struct feed_kind;
struct feed_watch;
struct vw_err;

/**
 * DOC: following one kind
 *
 * List (in pages), then watch from the list's resourceVersion, for ever: an API server closes each watch after some minutes, and the next
 * one goes on where it ended; 410 ("Gone": that version is forgotten) lists anew. Until a list is whole nothing is removed.
 */

/** struct feed_options - @dir: where files go. @retry_ms: the first wait after a failure; doubles up to 64 times that. Borrowed for life. */
struct feed_options {
	const char *dir;
	uint64_t retry_ms;
};

int feed_watch_new(const struct feed_kind *kind, const struct feed_options *opt, struct feed_http *http, struct feed_watch **ret_watch,
		   struct vw_err *err);
/** feed_watch_free() - after feed_http_free(): a request may be under way. */
void feed_watch_free(struct feed_watch *w);

/** feed_watch_step() - begin what is due at @now_ms. Return: when to be called next (vw_mono_ms()), UINT64_MAX while a request is under way. */
uint64_t feed_watch_step(struct feed_watch *w, uint64_t now_ms);
/** feed_watch_listed() - the folder has been brought to what a whole list said at least once. */
bool feed_watch_listed(const struct feed_watch *w);
/** feed_watch_heard_ms() - when the server last said something of this kind (vw_mono_ms()); before it ever has: when this began. */
uint64_t feed_watch_heard_ms(const struct feed_watch *w);
/** feed_watch_why() - "pods: HTTP status 503": what went wrong since it was last heard; "" = nothing. Borrowed. */
const char *feed_watch_why(const struct feed_watch *w);
