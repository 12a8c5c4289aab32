/*
 * AWS Signature Version 4 for one shape of request: POST to "/" without a query. libcurl signs as long as
 * this machine's clock is right; it has no option for another time, so a request that was refused for clock
 * skew is signed here with the server's. Text of each step: "Create a signed AWS API request", IAM User
 * Guide.
 */
#include "daemon/sigv4.h"

#include "daemon/http.h"
#include "daemon/secret.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/crypto/crypto.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define MAX_HEADERS 16

struct pair {
	const char *name;
	const char *value;
};

static void add_lower(struct vw_buf *b, const char *s)
{
	for (; *s; s++)
		vw_buf_putc(b, (char)tolower((unsigned char)*s));
}

/* Surrounding blanks go, runs of blanks become one: what canonical header values look like. */
static void add_trimmed(struct vw_buf *b, const char *s)
{
	bool gap = false, any = false;

	for (; *s; s++) {
		if (*s == ' ' || *s == '\t') {
			gap = any;
			continue;
		}
		if (gap)
			vw_buf_putc(b, ' ');
		vw_buf_putc(b, *s);
		gap = false;
		any = true;
	}
}

static void sort_by_name(struct pair *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		for (size_t j = i; j > 0 && strcasecmp(v[j - 1].name, v[j].name) > 0; j--) {
			struct pair t = v[j];

			v[j] = v[j - 1];
			v[j - 1] = t;
		}
	}
}

static void add_names(struct vw_buf *b, const struct pair *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			vw_buf_putc(b, ';');
		add_lower(b, v[i].name);
	}
}

/* HMAC chain of the signing key: date, region, service, "aws4_request". */
static int signing_key(const struct http_sign *sign, const char *date8, uint8_t ret_key[VW_SHA256_LEN])
{
	vw_auto_buf struct vw_buf first = VW_BUF_INIT;
	int r;

	vw_buf_puts(&first, "AWS4");
	vw_buf_add(&first, sign->secret_key->text, sign->secret_key->len);
	r = vw_buf_err(&first);
	if (r == 0) {
		vw_hmac_sha256(first.data, first.len, date8, 8, ret_key);
		vw_hmac_sha256(ret_key, VW_SHA256_LEN, sign->region, strlen(sign->region), ret_key);
		vw_hmac_sha256(ret_key, VW_SHA256_LEN, sign->service, strlen(sign->service), ret_key);
		vw_hmac_sha256(ret_key, VW_SHA256_LEN, "aws4_request", strlen("aws4_request"), ret_key);
	}
	if (first.data)
		explicit_bzero(first.data, first.len);
	return r;
}

static int hash_request(const struct pair *v, size_t n, const char *body, size_t body_len,
			char ret_hex[VW_SHA256_HEXLEN])
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	char body_hex[VW_SHA256_HEXLEN];
	int r;

	vw_buf_puts(&text, "POST\n/\n\n");
	for (size_t i = 0; i < n; i++) {
		add_lower(&text, v[i].name);
		vw_buf_putc(&text, ':');
		add_trimmed(&text, v[i].value);
		vw_buf_putc(&text, '\n');
	}
	vw_buf_putc(&text, '\n');
	add_names(&text, v, n);
	vw_sha256_hex(body_len ? body : "", body_len, body_hex);
	vw_buf_printf(&text, "\n%s", body_hex);
	r = vw_buf_err(&text);
	if (r == 0)
		vw_sha256_hex(text.data, text.len, ret_hex);
	if (text.data) /* it holds the session token */
		explicit_bzero(text.data, text.len);
	return r;
}

int sigv4_sign(const struct http_sign *sign, const char *host, const struct http_header *headers,
	       size_t n_headers, const char *body, size_t body_len, int64_t unix_s,
	       char ret_date[SIGV4_DATE_LEN], struct vw_buf *ret_auth)
{
	vw_auto_buf struct vw_buf scope = VW_BUF_INIT, to_sign = VW_BUF_INIT;
	struct pair v[MAX_HEADERS + 2];
	uint8_t key[VW_SHA256_LEN], mac[VW_SHA256_LEN];
	char hash[VW_SHA256_HEXLEN], mac_hex[VW_SHA256_HEXLEN];
	time_t t = (time_t)unix_s;
	struct tm tm;
	size_t n = 0;
	int r;

	if (n_headers > MAX_HEADERS)
		return -E2BIG;
	if (!gmtime_r(&t, &tm) ||
	    strftime(ret_date, SIGV4_DATE_LEN, "%Y%m%dT%H%M%SZ", &tm) != SIGV4_DATE_LEN - 1)
		return -ERANGE;
	for (size_t i = 0; i < n_headers; i++)
		v[n++] = (struct pair){ headers[i].name,
					headers[i].secret ? headers[i].secret->text : headers[i].value };
	v[n++] = (struct pair){ "host", host };
	v[n++] = (struct pair){ "x-amz-date", ret_date };
	sort_by_name(v, n);

	vw_buf_printf(&scope, "%.8s/%s/%s/aws4_request", ret_date, sign->region, sign->service);
	r = hash_request(v, n, body, body_len, hash);
	if (r < 0)
		return r;
	vw_buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n%s", ret_date, vw_buf_str(&scope), hash);
	r = vw_buf_err(&scope) ? vw_buf_err(&scope) : vw_buf_err(&to_sign);
	if (r == 0)
		r = signing_key(sign, ret_date, key);
	if (r < 0)
		return r;
	vw_hmac_sha256(key, sizeof(key), to_sign.data, to_sign.len, mac);
	explicit_bzero(key, sizeof(key));
	vw_hex(mac, sizeof(mac), mac_hex);

	vw_buf_printf(ret_auth, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", sign->key_id,
		      vw_buf_str(&scope));
	add_names(ret_auth, v, n);
	vw_buf_printf(ret_auth, ", Signature=%s", mac_hex);
	return vw_buf_err(ret_auth);
}
