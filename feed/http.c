// SPDX-License-Identifier: Apache-2.0
/*
 * libcurl's multi interface. One easy handle per request, freed with it; connections stay with the multi handle.
 */
#include "feed/http.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX_BYTES 65536
#define CONNECT_TIMEOUT_S 10L

struct request {
	struct feed_http *h;
	struct request *next;
	const struct feed_call *call;
	CURL *easy;
	struct curl_slist *headers;
	char why[CURL_ERROR_SIZE];
};

struct feed_http {
	struct feed_server server;
	CURLM *multi;
	struct request *open;
};

int feed_http_init_process(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

int feed_http_new(const struct feed_server *server, struct feed_http **ret_http, struct vw_err *err)
{
	struct feed_http *h;

	if (server->token_file && strncmp(server->url, "https://", 8))
		return vw_err_set(err, EINVAL, 0, "'%.128s' is no https:// address: the token would be sent for all to read", server->url);
	h = calloc(1, sizeof(*h));
	if (!h || !(h->multi = curl_multi_init())) {
		free(h);
		return vw_err_set(err, ENOMEM, 0, "making an HTTP client");
	}
	h->server = *server;
	*ret_http = h;
	return 0;
}

static void request_free(struct request *q)
{
	struct request **at = &q->h->open;

	while (*at && *at != q)
		at = &(*at)->next;
	if (*at)
		*at = q->next;
	if (q->easy) {
		curl_multi_remove_handle(q->h->multi, q->easy);
		curl_easy_cleanup(q->easy);
	}
	curl_slist_free_all(q->headers);
	free(q);
}

void feed_http_free(struct feed_http *h)
{
	if (!h)
		return;
	while (h->open)
		request_free(h->open);
	curl_multi_cleanup(h->multi);
	free(h);
}

static size_t on_data(char *part, size_t size, size_t n, void *arg)
{
	struct request *q = arg;
	long status = 0;

	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)              /* what it says of an error is not for us */
		return size * n;
	return q->call->data(q->call->arg, part, size * n) ? size * n : 0;
}

/* a line of the head, the empty one last; those of an interim answer (100) have another status */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct request *q = arg;
	long status = 0;

	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200 && n && (*line == '\r' || *line == '\n'))
		q->call->begin(q->call->arg);
	return size * n;
}

static int read_token(const char *file, struct vw_buf *buf, struct vw_err *err)
{
	size_t len;
	int r = vw_read_file(file, TOKEN_MAX_BYTES, buf, err);

	if (r < 0)
		return r;
	len = buf->len;
	while (len && strchr(" \r\n", buf->data[len - 1]))
		buf->data[--len] = 0;
	if (!len || buf->data[strcspn(buf->data, " \r\n")])
		return vw_err_set(err, EBADMSG, 0, "'%s' has no token", file);
	return 0;
}

static int add_header(struct request *q, const char *text)
{
	struct curl_slist *more = curl_slist_append(q->headers, text);

	if (!more)
		return -ENOMEM;
	q->headers = more;
	return 0;
}

static int authorize(struct request *q, struct vw_err *err)
{
	vw_auto_buf struct vw_buf token = VW_BUF_INIT, header = VW_BUF_INIT;
	int r;

	if (!q->h->server.token_file)
		return 0;
	r = read_token(q->h->server.token_file, &token, err);
	if (r < 0)
		return r;
	vw_buf_printf(&header, "Authorization: Bearer %s", vw_buf_str(&token));
	return vw_buf_err(&header) < 0 || add_header(q, vw_buf_str(&header)) < 0 ? vw_err_set(err, ENOMEM, 0, "making a request") : 0;
}

int feed_http_get(struct feed_http *h, const char *path, unsigned int limit_s, const struct feed_call *call, struct vw_err *err)
{
	vw_auto_buf struct vw_buf url = VW_BUF_INIT;
	struct request *q = calloc(1, sizeof(*q));
	bool bad = false;
	int r = 0;

	if (!q)
		return vw_err_set(err, ENOMEM, 0, "making a request");
	q->h = h;
	q->call = call;
	q->next = h->open;
	h->open = q;
	vw_buf_printf(&url, "%s%s", h->server.url, path);
	q->easy = curl_easy_init();
	bad = !q->easy || vw_buf_err(&url) < 0 || add_header(q, "Accept: application/json") < 0;
	if (!bad)
		r = authorize(q, err);
#define SET(option, value) (bad = bad || curl_easy_setopt(q->easy, option, value) != CURLE_OK)
	SET(CURLOPT_URL, vw_buf_str(&url));
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTPHEADER, q->headers);
	SET(CURLOPT_USERAGENT, "vpcwire-feed/" VW_VERSION);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip");
	SET(CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	SET(CURLOPT_TIMEOUT, (long)limit_s);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, 30L);
	SET(CURLOPT_TCP_KEEPINTVL, 10L);
	SET(CURLOPT_ERRORBUFFER, q->why);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, q);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, q);
	SET(CURLOPT_PRIVATE, q);
	if (h->server.ca_file)
		SET(CURLOPT_CAINFO, h->server.ca_file);
#undef SET
	if (r == 0 && (bad || curl_multi_add_handle(h->multi, q->easy) != CURLM_OK))
		r = vw_err_set(err, ENOMEM, 0, "making a request");
	if (r < 0)
		request_free(q);
	return r;
}

static void ended(struct request *q, CURLcode code)
{
	const struct feed_call *call = q->call;
	char why[CURL_ERROR_SIZE];
	long status = 0;

	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	memcpy(why, *q->why ? q->why : curl_easy_strerror(code), *q->why ? sizeof(why) : strlen(curl_easy_strerror(code)) + 1);
	why[sizeof(why) - 1] = 0;
	request_free(q);
	call->end(call->arg, status, code == CURLE_OK ? NULL : why);
}

int feed_http_wait(struct feed_http *h, int ms, struct vw_err *err)
{
	struct request *q = NULL;
	CURLMsg *m;
	int left;

	if (curl_multi_perform(h->multi, &left) != CURLM_OK || curl_multi_poll(h->multi, NULL, 0, ms, NULL) != CURLM_OK ||
	    curl_multi_perform(h->multi, &left) != CURLM_OK)
		return vw_err_set(err, ENOMEM, 0, "waiting for the API server");
	while ((m = curl_multi_info_read(h->multi, &left))) {
		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &q) != CURLE_OK)
			continue;
		ended(q, m->data.result);
	}
	return 0;
}
