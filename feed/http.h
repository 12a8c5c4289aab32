// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;

/**
 * DOC: requests to the API server
 *
 * Many at once in one thread: feed_http_get() begins one, feed_http_wait() lets all go on and calls back. The token is read from its file for
 * each request, because kubelet replaces it (hourly).
 */

/** struct feed_server - where and as whom. @url without slash at its end. @token_file, @ca_file: NULL = none. Borrowed for life. */
struct feed_server {
	const char *url, *token_file, *ca_file;
};

struct feed_http;

/** feed_http_init_process() - once, before there are threads. Return: 0, -ENOMEM. */
int feed_http_init_process(void);

/** feed_http_new() - -EINVAL: a token for a server without TLS. Ends with feed_http_free(), which drops what is under way. */
int feed_http_new(const struct feed_server *server, struct feed_http **ret_http, struct vw_err *err);
void feed_http_free(struct feed_http *h);

/** struct feed_call - who asks. All are called in feed_http_wait() only. */
struct feed_call {
	void *arg;
	/** begin() - a 200 has come: the server listens to this one. */
	void (*begin)(void *arg);
	/** data() - a part of a 200's body. false: enough; the request ends as one that failed. */
	bool (*data)(void *arg, const char *part, size_t len);
	/** end() - @status: the HTTP status, 0 when there was none; @why: one sentence unless a whole answer came. May begin the next request. */
	void (*end)(void *arg, long status, const char *why);
};

/** feed_http_get() - @path: with its query. @call: borrowed until end(). @limit_s: then the server is held to be gone. Return: 0, -errno. */
int feed_http_get(struct feed_http *h, const char *path, unsigned int limit_s, const struct feed_call *call, struct vw_err *err);
/** feed_http_wait() - until something has happened, or @ms have passed. Return: 0, -errno. */
int feed_http_wait(struct feed_http *h, int ms, struct vw_err *err);
