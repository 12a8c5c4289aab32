#pragma once

#include "lib/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct secret;
struct vw_err;

/**
 * DOC: HTTP for the cloud's endpoints
 *
 * The only place that knows libcurl. A struct http may be used by several threads at once: each request
 * borrows a handle from a list under a mutex, so connections are kept and nothing else is shared. Requests
 * block up to their deadline and never run on the main loop. Redirects are not followed, cookies and .netrc
 * not read. A proxy from the environment (HTTPS_PROXY, NO_PROXY) is used, but never for loopback and
 * link-local hosts: instance metadata and credentials stay on the machine.
 */
struct http;

/**
 * struct http_options - defaults where 0.
 * @connect_timeout_ms: 2000. @timeout_ms: for one request, besides its deadline: 15000.
 * @max_body: bytes of an answer, 8 MiB; a larger one fails with EFBIG.
 */
struct http_options {
	unsigned int connect_timeout_ms;
	unsigned int timeout_ms;
	size_t max_body;
};

/**
 * http_init_process() - once, in main(), before the first thread (libcurl's own globals). Return: 0, -errno.
 */
int http_init_process(void);

int http_new(const struct http_options *opt, struct http **ret_http, struct vw_err *err);
/** http_free() - no request may be under way. Accepts NULL. */
void http_free(struct http *h);
/**
 * http_cancel() - make requests that are under way, and later ones, fail with ECANCELED within about a
 * second.
 */
void http_cancel(struct http *h);
/**
 * http_wait() - let @ms pass before another try. Return: 0, -ECANCELED at once when http_cancel() is or was
 * called.
 */
int http_wait(struct http *h, uint64_t ms);
bool http_is_cancelled(const struct http *h);

/**
 * struct http_sign - AWS Signature Version 4 for a request.
 * @skew_s: what to add to this machine's clock. libcurl signs when it is 0 and always takes the system time;
 *          with another value daemon/sigv4.c signs (libcurl 7.88 sends a date header of ours twice).
 * @token: session token or NULL; sent as x-amz-security-token and signed with the other headers.
 * @region, @service: at most 63 characters each.
 */
struct http_sign {
	const char *key_id;
	const struct secret *secret_key;
	const struct secret *token;
	const char *region;
	const char *service;
	int64_t skew_s;
};

/**
 * struct http_header - @secret, when set, is the value and wins over @value; its copies are overwritten after
 * use.
 */
struct http_header {
	const char *name;
	const char *value;
	const struct secret *secret;
};

/**
 * struct http_request - everything borrowed for the call.
 * @method: "GET", "PUT" or "POST". @url: http or https. @body: POST only; may be NULL.
 * @headers: @n_headers entries; name and value without line breaks, no Host.
 * @once: the server may see this request at most once. libcurl by itself repeats one whose kept connection
 *        was closed before the first byte of an answer, which is fatal for what may not be done twice: it
 *        gets a new connection.
 * @deadline_ms: on the scale of vw_mono_ms().
 */
struct http_request {
	const char *method;
	const char *url;
	const struct http_header *headers;
	size_t n_headers;
	const char *body;
	size_t body_len;
	const struct http_sign *sign;
	bool once;
	uint64_t deadline_ms;
};

/**
 * enum http_fail - why a request got no (whole) answer. HTTP_NO_ANSWER: no connection, a lost one, a timeout.
 */
enum http_fail { HTTP_ANSWERED, HTTP_NO_ANSWER, HTTP_TOO_BIG, HTTP_CANCELLED };

/**
 * struct http_response - start with HTTP_RESPONSE_INIT, end with http_response_done().
 * @status: 0 when there was no answer. @date_unix: the answer's Date header, 0 if none.
 * @fail: set on failure. @sent: the server may have seen the request: what it asked for may have been done.
 */
struct http_response {
	int status;
	int64_t date_unix;
	enum http_fail fail;
	bool sent;
	struct vw_buf body;
};

#define HTTP_RESPONSE_INIT { 0 }
#define vw_auto_http_response __attribute__((cleanup(http_response_done)))
void http_response_done(struct http_response *resp);

/**
 * http_do() - send one request, once. Any status is success here. Fails with ETIMEDOUT, ECONNREFUSED, EFBIG,
 * ECANCELED, EINVAL (unusable URL or header), EIO ...; @ret_resp->fail says what is known. @ret_resp is
 * overwritten, so one can be used for retries. The message names host and cause, and no header, query or
 * body.
 */
int http_do(struct http *h, const struct http_request *req, struct http_response *ret_resp,
	    struct vw_err *err);

/**
 * http_url_host() - the host of @url without brackets. Return: 0, -EINVAL (not an http or https URL with a
 * host).
 */
int http_url_host(const char *url, char *ret_host, size_t size, bool *ret_https);
/**
 * http_host_is_local() - a loopback or link-local address in text form (also [fd00:ec2::]/32, AWS's own) or
 * "localhost".
 */
bool http_host_is_local(const char *host);
