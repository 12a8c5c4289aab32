/*
 * One request: borrow a handle (its kept connections come with it), reset its options, run it in this thread,
 * give it back. The list of idle handles and the cancel flag are all that threads share. What happened to a
 * request without a whole answer is sorted by one question, whether the server can have seen it:
 * CURLINFO_REQUEST_SIZE is 0 until the first byte has been sent.
 */
#include "daemon/http.h"

#include "daemon/backoff.h"
#include "daemon/secret.h"
#include "daemon/sigv4.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_IDLE 8
#define MAX_HEADERS 12

struct http {
	pthread_mutex_t lock; /* idle, n_idle; and to wait with */
	pthread_cond_t cancel_cond;
	CURL *idle[MAX_IDLE];
	size_t n_idle;
	atomic_bool cancelled;
	struct http_options opt;
};

int http_init_process(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

int http_new(const struct http_options *opt, struct http **ret_http, struct vw_err *err)
{
	struct http *h = calloc(1, sizeof(*h));
	pthread_condattr_t attr;

	if (!h)
		return vw_err_sys(err, ENOMEM, 0, "making an HTTP client");
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->cancel_cond, &attr);
	pthread_condattr_destroy(&attr);
	h->opt = *opt;
	if (!h->opt.connect_timeout_ms)
		h->opt.connect_timeout_ms = 2000;
	if (!h->opt.timeout_ms)
		h->opt.timeout_ms = 15000;
	if (!h->opt.max_body)
		h->opt.max_body = 8 << 20;
	*ret_http = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n_idle; i++)
		curl_easy_cleanup(h->idle[i]);
	pthread_cond_destroy(&h->cancel_cond);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void http_cancel(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	atomic_store(&h->cancelled, true);
	pthread_cond_broadcast(&h->cancel_cond);
	pthread_mutex_unlock(&h->lock);
}

bool http_is_cancelled(const struct http *h)
{
	return atomic_load(&h->cancelled);
}

int http_wait(struct http *h, uint64_t ms)
{
	struct timespec until = backoff_until(ms);
	int r = 0;

	pthread_mutex_lock(&h->lock);
	while (!http_is_cancelled(h) && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&h->cancel_cond, &h->lock, &until);
	pthread_mutex_unlock(&h->lock);
	return http_is_cancelled(h) ? -ECANCELED : 0;
}

void http_response_done(struct http_response *resp)
{
	if (resp->body.data) /* may hold credentials */
		explicit_bzero(resp->body.data, resp->body.len);
	vw_buf_done(&resp->body);
	*resp = (struct http_response)HTTP_RESPONSE_INIT;
}

static CURL *handle_take(struct http *h)
{
	CURL *c = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->n_idle)
		c = h->idle[--h->n_idle];
	pthread_mutex_unlock(&h->lock);
	return c ? c : curl_easy_init();
}

static void handle_give_back(struct http *h, CURL *c)
{
	curl_easy_reset(c); /* forgets keys and callbacks, keeps connections */
	pthread_mutex_lock(&h->lock);
	if (h->n_idle < MAX_IDLE) {
		h->idle[h->n_idle++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (c)
		curl_easy_cleanup(c);
}

/* ---- URLs ---- */

static int url_part(const char *url, CURLUPart part, char *ret, size_t size)
{
	CURLU *u = curl_url();
	char *text = NULL;
	int r = -EINVAL;

	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(u, part, &text, 0) == CURLUE_OK) {
		r = vw_fmt(ret, size, "%s", text);
		r = r < 0 ? -EINVAL : 0;
	}
	curl_free(text);
	curl_url_cleanup(u);
	return r;
}

int http_url_host(const char *url, char *ret_host, size_t size, bool *ret_https)
{
	char host[256], scheme[8];
	size_t len;

	if (url_part(url, CURLUPART_SCHEME, scheme, sizeof(scheme)) ||
	    url_part(url, CURLUPART_HOST, host, sizeof(host)))
		return -EINVAL;
	if (strcasecmp(scheme, "http") && strcasecmp(scheme, "https"))
		return -EINVAL;
	len = strlen(host);
	if (host[0] == '[' && len > 2) {
		memmove(host, host + 1, len - 2);
		host[len - 2] = 0;
	}
	if (!host[0] || vw_fmt(ret_host, size, "%s", host) < 0)
		return -EINVAL;
	*ret_https = !strcasecmp(scheme, "https");
	return 0;
}

bool http_host_is_local(const char *host)
{
	static const char *const local[] = { "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10",
					     "fd00:ec2::/32" };
	struct vw_cidr net;
	struct vw_ip ip;

	if (!strcasecmp(host, "localhost"))
		return true;
	if (vw_ip_parse(host, &ip) < 0)
		return false;
	for (size_t i = 0; i < VW_ARRAY_SIZE(local); i++) {
		if (vw_cidr_parse(local[i], &net) == 0 && vw_cidr_has(&net, &ip))
			return true;
	}
	return false;
}

/* What libcurl will send as Host: with the port only if the URL names one that is not the scheme's own. */
static int host_header(const char *url, char *ret, size_t size)
{
	char host[256], port[8] = "", scheme[8];

	if (url_part(url, CURLUPART_HOST, host, sizeof(host)) ||
	    url_part(url, CURLUPART_SCHEME, scheme, sizeof(scheme)))
		return -EINVAL;
	(void)url_part(url, CURLUPART_PORT, port, sizeof(port));
	if (!strcmp(port, strcasecmp(scheme, "https") ? "80" : "443"))
		port[0] = 0;
	return vw_fmt(ret, size, "%s%s%s", host, port[0] ? ":" : "", port) < 0 ? -EINVAL : 0;
}

/* ---- headers ---- */

static void slist_free(struct curl_slist *l)
{
	for (struct curl_slist *i = l; i; i = i->next)
		explicit_bzero(i->data, strlen(i->data));
	curl_slist_free_all(l);
}

static int add_header(struct curl_slist **list, const struct http_header *hd)
{
	const char *value = hd->secret ? hd->secret->text : hd->value;
	vw_auto_buf struct vw_buf line = VW_BUF_INIT;
	struct curl_slist *more = NULL;
	int r;

	/* "Name:" without a value would make libcurl leave a header out, yet sign it */
	if (!value || !value[0] || value[strcspn(value, "\r\n")] || hd->name[strcspn(hd->name, ":\r\n")])
		return -EINVAL;
	vw_buf_printf(&line, "%s: %s", hd->name, value);
	r = vw_buf_err(&line);
	if (r == 0) {
		more = curl_slist_append(*list, vw_buf_str(&line));
		r = more ? 0 : -ENOMEM;
	}
	if (line.data)
		explicit_bzero(line.data, line.len);
	if (more)
		*list = more;
	return r;
}

/* The clock is known to be wrong: sign with the corrected time, as plain headers. */
static int sign_here(const struct http_request *req, const struct http_header *headers, size_t n,
		     struct curl_slist **list)
{
	vw_auto_buf struct vw_buf auth = VW_BUF_INIT;
	struct http_header more[2];
	char host[300], date[SIGV4_DATE_LEN];
	int r;

	r = host_header(req->url, host, sizeof(host));
	if (r < 0)
		return r;
	r = sigv4_sign(req->sign, host, headers, n, req->body, req->body_len, vw_unix_s() + req->sign->skew_s,
		       date, &auth);
	if (r < 0)
		return r;
	more[0] = (struct http_header){ .name = "X-Amz-Date", .value = date };
	more[1] = (struct http_header){ .name = "Authorization", .value = vw_buf_str(&auth) };
	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(more); i++)
		r = add_header(list, &more[i]);
	return r;
}

static int sign_by_curl(CURL *c, const struct http_sign *sign)
{
	char spec[160];

	if (vw_fmt(spec, sizeof(spec), "aws:amz:%s:%s", sign->region, sign->service) < 0)
		return -EINVAL;
	if (curl_easy_setopt(c, CURLOPT_AWS_SIGV4, spec) ||
	    curl_easy_setopt(c, CURLOPT_USERNAME, sign->key_id) ||
	    curl_easy_setopt(c, CURLOPT_PASSWORD, sign->secret_key->text))
		return -ENOMEM;
	return 0;
}

static int set_headers(CURL *c, const struct http_request *req, struct curl_slist **list)
{
	struct http_header all[MAX_HEADERS + 1];
	size_t n = req->n_headers;
	int r = 0;

	if (n > MAX_HEADERS)
		return -EINVAL;
	if (n)
		memcpy(all, req->headers, n * sizeof(all[0]));
	if (req->sign && req->sign->token && secret_is_set(req->sign->token))
		all[n++] = (struct http_header){ .name = "X-Amz-Security-Token", .secret = req->sign->token };
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_header(list, &all[i]);
	if (r == 0 && req->sign)
		r = req->sign->skew_s ? sign_here(req, all, n, list) : sign_by_curl(c, req->sign);
	if (r == 0 && *list && curl_easy_setopt(c, CURLOPT_HTTPHEADER, *list))
		r = -ENOMEM;
	return r;
}

/* ---- callbacks ---- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_response *resp = arg;

	vw_buf_add(&resp->body, data, size * n);
	return vw_buf_err(&resp->body) ? 0 : size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_response *resp = arg;
	size_t len = size * n;
	char value[64];

	if (len > 5 && len < sizeof(value) && !strncasecmp(data, "Date:", 5)) {
		memcpy(value, data + 5, len - 5);
		value[len - 5] = 0;
		time_t t = curl_getdate(value, NULL);

		resp->date_unix = t > 0 ? (int64_t)t : 0;
	}
	return len;
}

static int on_progress(void *arg, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total,
		       curl_off_t ul_now)
{
	return http_is_cancelled(arg);
}

/* libcurl 7.88 opens sockets without close-on-exec. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* ---- a request ---- */

static int set_options(struct http *h, CURL *c, const struct http_request *req, const char *host, int left_ms,
		       struct http_response *resp, char *errbuf)
{
	long timeout = left_ms < (int)h->opt.timeout_ms ? left_ms : (int)h->opt.timeout_ms;
	long connect = timeout < (long)h->opt.connect_timeout_ms ? timeout : (long)h->opt.connect_timeout_ms;
	bool bad = false;

#define SET(option, value) (bad = bad || curl_easy_setopt(c, option, value) != CURLE_OK)
	SET(CURLOPT_ERRORBUFFER, errbuf);
	SET(CURLOPT_URL, req->url);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_USERAGENT, "vpcwire/" VW_VERSION);
	SET(CURLOPT_TIMEOUT_MS, timeout);
	SET(CURLOPT_CONNECTTIMEOUT_MS, connect);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, resp);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, resp);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, h);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	if (http_host_is_local(host))
		SET(CURLOPT_PROXY, "");
	if (req->once)
		SET(CURLOPT_FRESH_CONNECT, 1L);
	if (strcmp(req->method, "GET")) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
		SET(CURLOPT_POSTFIELDS, req->body ? req->body : "");
	}
	if (strcmp(req->method, "GET") && strcmp(req->method, "POST"))
		SET(CURLOPT_CUSTOMREQUEST, req->method);
#undef SET
	return bad ? -ENOMEM : 0;
}

static int transport_error(CURLcode code, const struct http_response *resp)
{
	if (resp->fail == HTTP_CANCELLED)
		return ECANCELED;
	if (resp->fail == HTTP_TOO_BIG)
		return EFBIG;
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return ETIMEDOUT;
	case CURLE_COULDNT_CONNECT:
		return ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return EHOSTUNREACH;
	case CURLE_OUT_OF_MEMORY:
		return ENOMEM;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return EINVAL;
	default:
		return EIO;
	}
}

static enum http_fail why_no_answer(CURLcode code, const struct http_response *resp)
{
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return HTTP_CANCELLED;
	return vw_buf_err(&resp->body) == -EFBIG ? HTTP_TOO_BIG : HTTP_NO_ANSWER;
}

static int perform(struct http *h, CURL *c, const struct http_request *req, const char *host, int left_ms,
		   struct http_response *resp, struct vw_err *err)
{
	char errbuf[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	CURLcode code;
	long status = 0, sent = 0;
	int r;

	r = set_options(h, c, req, host, left_ms, resp, errbuf);
	if (r == 0)
		r = set_headers(c, req, &headers);
	if (r < 0) {
		slist_free(headers);
		return vw_err_sys(err, r, 0, "preparing the request to %s", host);
	}
	code = curl_easy_perform(c);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
	slist_free(headers);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(c, CURLINFO_REQUEST_SIZE, &sent);
	resp->status = (int)status;
	resp->sent = sent > 0;
	if (code == CURLE_OK) {
		resp->fail = HTTP_ANSWERED;
		return 0;
	}
	resp->fail = why_no_answer(code, resp);
	if (resp->fail == HTTP_TOO_BIG)
		return vw_err_set(err, EFBIG, 0, "the answer of %s is larger than %zu bytes", host,
				  h->opt.max_body);
	if (vw_buf_err(&resp->body))
		return vw_err_sys(err, ENOMEM, 0, "reading the answer of %s", host);
	return vw_err_set(err, transport_error(code, resp), 0, "%s: %s", host,
			  errbuf[0] ? errbuf : curl_easy_strerror(code));
}

int http_do(struct http *h, const struct http_request *req, struct http_response *ret_resp,
	    struct vw_err *err)
{
	int left = vw_deadline_left(req->deadline_ms);
	char host[256];
	bool https;
	CURL *c;
	int r;

	http_response_done(ret_resp);
	ret_resp->body.max = h->opt.max_body;
	ret_resp->fail = HTTP_NO_ANSWER;
	if (http_url_host(req->url, host, sizeof(host), &https) < 0)
		return vw_err_set(err, EINVAL, 0,
				  "an endpoint is not an http or https URL; correct the configured endpoint");
	if (http_is_cancelled(h)) {
		ret_resp->fail = HTTP_CANCELLED;
		return vw_err_set(err, ECANCELED, 0, "%s: cancelled, shutting down", host);
	}
	if (left <= 0)
		return vw_err_set(err, ETIMEDOUT, 0, "%s: no time left to send a request", host);
	c = handle_take(h);
	if (!c)
		return vw_err_sys(err, ENOMEM, 0, "making a request to %s", host);
	r = perform(h, c, req, host, left, ret_resp, err);
	handle_give_back(h, c);
	return r;
}
