#pragma once

#include <stddef.h>

/**
 * DOC: a scripted HTTP server for unit tests
 *
 * Runs in a thread on 127.0.0.1, keeps connections alive, gives each request the next step of a script and
 * keeps what it was sent. A request beyond the script is answered with 599 and counted.
 */
enum scripted_how {
	SCRIPTED_ANSWER,
	SCRIPTED_DROP,          /* read the request, close without a byte */
	SCRIPTED_CUT,           /* announce the whole body, send the first half, close */
	SCRIPTED_HANG,          /* read the request, say nothing */
};

/** struct scripted_step - @headers: further ones, each ended by CRLF, or NULL. */
struct scripted_step {
	int status;
	const char *body;
	const char *headers;
	enum scripted_how how;
};

#define SCRIPTED_MAX_REQUESTS 64

struct scripted_http;

/** scripted_start() - @steps are borrowed until scripted_stop(). Aborts the test when it cannot listen. */
struct scripted_http *scripted_start(const struct scripted_step *steps, size_t n);
void scripted_stop(struct scripted_http *s);
/** scripted_url() - "http://127.0.0.1:PORT" */
const char *scripted_url(const struct scripted_http *s);
/** scripted_n() - requests read whole so far. scripted_request() - head and body of number @i, NULL if there is none. */
size_t scripted_n(struct scripted_http *s);
const char *scripted_request(struct scripted_http *s, size_t i);
/** scripted_header() - value of header @name in request @i, copied into @ret ("" if absent); returned. */
const char *scripted_header(struct scripted_http *s, size_t i, const char *name, char *ret, size_t size);
/** scripted_connections() - how many connections have been accepted. */
size_t scripted_connections(struct scripted_http *s);
/** scripted_wait() - until @n requests have been read. */
void scripted_wait(struct scripted_http *s, size_t n);
