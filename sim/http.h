/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/ip.h"

struct sim_http;
struct sim_loop;

/**
 * DOC: the HTTP server (libmicrohttpd, driven by the simulator's loop)
 *
 * One struct sim_http per listening socket. A handler sees a complete request and fills a complete answer;
 * when the answer goes out (at once, late, never) is part of the answer.
 */
#define SIM_HTTP_MAX_BODY (256 * 1024)

/** struct sim_http_req - borrowed for the time of the call. @target: path and query as sent, undecoded. */
struct sim_http_req {
	const char *method;
	const char *target;
	const char *body;
	size_t body_len;
	struct vw_ip peer;
	void *conn;
};

/** sim_http_header() - value of a request header, any case; NULL if absent. */
const char *sim_http_header(const struct sim_http_req *req, const char *name);

enum sim_http_end {
	SIM_HTTP_ANSWER, /* after delay_ms */
	SIM_HTTP_CLOSE,  /* close the connection without a byte, after delay_ms */
	SIM_HTTP_HANG,   /* say nothing until the client goes away */
};

struct sim_http_header {
	const char *name; /* constant text */
	char value[128];
};

struct sim_http_resp {
	int status;         /* default 200 */
	const char *type;   /* Content-Type, constant text */
	struct vw_buf body; /* freed by the server */
	enum sim_http_end end;
	unsigned int delay_ms;
	unsigned int ttl;   /* of its packets; 0 = the system's */
	struct sim_http_header headers[4];
	size_t n_headers;
};

typedef void sim_http_fn(void *arg, const struct sim_http_req *req, struct sim_http_resp *resp);

/** sim_http_new() - @take_fd: a listening socket, owned from here, also on failure. Return: 0, -errno. */
int sim_http_new(struct sim_loop *loop, int take_fd, sim_http_fn *fn, void *arg, struct sim_http **ret_http);
/** sim_http_free() - open requests are dropped. Accepts NULL. */
void sim_http_free(struct sim_http *h);
