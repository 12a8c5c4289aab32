/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SigV4 verification: rebuild the canonical request from what arrived, sign it with the secret we know,
 * compare. Nothing from the client reaches the key derivation before its credential scope has been checked.
 */
#include "sim/sigv4.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"
#include "lib/crypto/crypto.h"
#include "sim/fail.h"
#include "sim/model.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_PAIRS 512

/* Every segment encoded once more than it was sent, as all services but S3 want it; "" is "/". */
static void canonical_path(struct vw_buf *b, const char *path, size_t len)
{
	char one[2] = "";
	size_t i;

	if (!len)
		vw_buf_putc(b, '/');
	for (i = 0; i < len; i++) {
		one[0] = path[i];
		if (path[i] == '/')
			vw_buf_putc(b, '/');
		else
			vw_buf_url(b, one);
	}
}

static int cmp_str(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The pairs are already encoded; sorting "name=value" by bytes is not sorting by name ('=' > '-'), hence the
 * swap. */
static int canonical_query(struct vw_buf *b, const char *query)
{
	vw_auto_free char *copy = strdup(query);
	vw_auto_free char **v = calloc(MAX_PAIRS, sizeof(*v));
	char *rest = copy, *pair;
	size_t n = 0, i;

	if (!copy || !v)
		return -ENOMEM;
	while ((pair = strsep(&rest, "&"))) {
		if (!*pair)
			continue;
		if (n == MAX_PAIRS)
			return -EINVAL;
		pair[strcspn(pair, "=")] = pair[strcspn(pair, "=")] ? '\x01' : '\0';
		v[n++] = pair;
	}
	qsort(v, n, sizeof(*v), cmp_str);
	for (i = 0; i < n; i++) {
		size_t name = strcspn(v[i], "\x01");

		vw_buf_printf(b, "%s%.*s=%s", i ? "&" : "", (int)name, v[i],
			      v[i][name] ? v[i] + name + 1 : "");
	}
	return 0;
}

/* Outer blanks trimmed, inner runs made one. */
static void canonical_value(struct vw_buf *b, const char *s)
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

static int canonical_headers(struct vw_buf *b, const struct sim_sig_req *req, const char *signed_headers)
{
	vw_auto_free char *copy = strdup(signed_headers);
	char *rest = copy, *name;

	if (!copy)
		return -ENOMEM;
	while ((name = strsep(&rest, ";"))) {
		const char *value = req->header(req->arg, name);

		if (!value)
			return -EINVAL;
		vw_buf_printf(b, "%s:", name);
		canonical_value(b, value);
		vw_buf_putc(b, '\n');
	}
	return 0;
}

static int canonical_request(struct vw_buf *b, const struct sim_sig_req *req, const char *signed_headers)
{
	size_t path = strcspn(req->target, "?");
	char hash[VW_SHA256_HEXLEN];
	int r;

	vw_buf_printf(b, "%s\n", req->method);
	canonical_path(b, req->target, path);
	vw_buf_putc(b, '\n');
	r = canonical_query(b, req->target[path] ? req->target + path + 1 : "");
	if (r < 0)
		return r;
	vw_buf_putc(b, '\n');
	r = canonical_headers(b, req, signed_headers);
	if (r < 0)
		return r;
	vw_sha256_hex(req->body, req->body_len, hash);
	vw_buf_printf(b, "\n%s\n%s", signed_headers, hash);
	return vw_buf_err(b);
}

static void hmac_str(const void *key, size_t len, const char *text, uint8_t ret[VW_SHA256_LEN])
{
	vw_hmac_sha256(key, len, text, strlen(text), ret);
}

int sim_sigv4_sign(const struct sim_sig_req *req, const char *secret, const char *amz_date,
		   const struct sim_sig_scope *scope, const char *signed_headers, char ret_hex[65])
{
	vw_auto_buf struct vw_buf canon = VW_BUF_INIT, to_sign = VW_BUF_INIT, key = VW_BUF_INIT;
	uint8_t a[VW_SHA256_LEN], b[VW_SHA256_LEN];
	char hash[VW_SHA256_HEXLEN];
	int r = canonical_request(&canon, req, signed_headers);

	if (r < 0)
		return r;
	vw_sha256_hex(vw_buf_str(&canon), canon.len, hash);
	vw_buf_printf(&to_sign, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", amz_date, scope->date,
		      scope->region, scope->service, hash);
	vw_buf_printf(&key, "AWS4%s", secret);
	if (vw_buf_err(&to_sign) < 0 || vw_buf_err(&key) < 0)
		return -ENOMEM;
	hmac_str(vw_buf_str(&key), key.len, scope->date, a);
	hmac_str(a, sizeof(a), scope->region, b);
	hmac_str(b, sizeof(b), scope->service, a);
	hmac_str(a, sizeof(a), "aws4_request", b);
	hmac_str(b, sizeof(b), vw_buf_str(&to_sign), a);
	vw_hex(a, sizeof(a), ret_hex);
	return 0;
}

struct auth {
	char access_key[64];
	struct sim_sig_scope scope;
	char signed_headers[512];
	char signature[65];
};

/* One "/"-separated field of the credential scope. */
static int field(char **rest, char *to, size_t size)
{
	const char *f = strsep(rest, "/");

	return f && *f && vw_fmt(to, size, "%s", f) > 0 ? 0 : -EINVAL;
}

static int parse_credential(char *text, struct auth *a)
{
	char end[16];

	if (field(&text, a->access_key, sizeof(a->access_key)) < 0 ||
	    field(&text, a->scope.date, sizeof(a->scope.date)) < 0 ||
	    field(&text, a->scope.region, sizeof(a->scope.region)) < 0 ||
	    field(&text, a->scope.service, sizeof(a->scope.service)) < 0 ||
	    field(&text, end, sizeof(end)) < 0)
		return -EINVAL;
	return text || strcmp(end, "aws4_request") != 0 ? -EINVAL : 0;
}

/* "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=..." */
static int parse_authorization(const char *text, struct auth *a)
{
	vw_auto_free char *copy = strdup(text);
	char *rest = copy, *part;

	if (!copy || strncmp(copy, ALGORITHM " ", sizeof(ALGORITHM)) != 0)
		return -EINVAL;
	*a = (struct auth){ 0 };
	rest += sizeof(ALGORITHM);
	while ((part = strsep(&rest, ","))) {
		char *value = part + strspn(part, " "), *key = strsep(&value, "=");
		int r = -EINVAL;

		if (!value)
			return -EINVAL;
		if (strcmp(key, "Credential") == 0)
			r = parse_credential(value, a);
		else if (strcmp(key, "SignedHeaders") == 0)
			r = vw_fmt(a->signed_headers, sizeof(a->signed_headers), "%s", value);
		else if (strcmp(key, "Signature") == 0)
			r = vw_fmt(a->signature, sizeof(a->signature), "%s", value);
		if (r < 0)
			return -EINVAL;
	}
	return a->access_key[0] && a->signed_headers[0] && a->signature[0] ? 0 : -EINVAL;
}

/* "20150830T123600Z" -> seconds. */
static int parse_amz_date(const char *t, int64_t *ret_unix)
{
	char iso[32];

	if (strlen(t) != 16 || t[8] != 'T' || t[15] != 'Z')
		return -EINVAL;
	if (vw_fmt(iso, sizeof(iso), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", t, t + 4, t + 6, t + 9, t + 11,
		   t + 13) < 0)
		return -EINVAL;
	return vw_parse_time(iso, ret_unix);
}

static bool is_signed(const struct auth *a, const char *header)
{
	size_t n = strlen(header);
	const char *p = a->signed_headers;

	for (; p; p = strchr(p, ';')) {
		p += *p == ';';
		if (strncmp(p, header, n) == 0 && (p[n] == ';' || p[n] == '\0'))
			return true;
	}
	return false;
}

static int check_time(const struct sim_creds *creds, const char *amz_date, bool ec2, struct sim_fail *f)
{
	int64_t t, now = sim_now(creds->w), skew = creds->max_skew_s;

	if (parse_amz_date(amz_date, &t) < 0)
		return sim_fail(f, "IncompleteSignature",
				"Date must be in ISO-8601 'basic format'. Got '%.40s'.", amz_date);
	if (t > now + skew)
		return sim_fail(f, "SignatureDoesNotMatch",
				"Signature not yet current: %s is still later than the "
				"server's time plus %lld s.",
				amz_date, (long long)skew);
	if (t < now - skew && ec2)
		return sim_fail(f, "RequestExpired", "Request has expired. Timestamp date is %s.", amz_date);
	if (t < now - skew)
		return sim_fail(f, "SignatureDoesNotMatch",
				"Signature expired: %s is now earlier than the server's time "
				"minus %lld s.",
				amz_date, (long long)skew);
	return 0;
}

static int check_scope(const struct auth *a, const struct sim_world *w, const char *service,
		       const char *amz_date, struct sim_fail *f)
{
	if (strncmp(a->scope.date, amz_date, 8) != 0)
		return sim_fail(f, "SignatureDoesNotMatch",
				"Date in Credential scope does not match YYYYMMDD from ISO-8601 "
				"version of date from HTTP: '%s' != '%.8s'.",
				a->scope.date, amz_date);
	if (strcmp(a->scope.service, service) != 0)
		return sim_fail(f, "SignatureDoesNotMatch",
				"Credential should be scoped to correct service: '%s'.", service);
	if (strcmp(a->scope.region, w->region) != 0)
		return sim_fail(f, "SignatureDoesNotMatch",
				"Credential should be scoped to a valid region, not '%s'.", a->scope.region);
	if (!is_signed(a, "host") || !is_signed(a, "x-amz-date"))
		return sim_fail(f, "SignatureDoesNotMatch",
				"'host' and 'x-amz-date' must be 'SignedHeaders' in the AWS "
				"Authorization.");
	return 0;
}

static int check_token(const struct sim_sig_req *req, const struct sim_cred *k, int64_t now, bool ec2,
		       struct sim_fail *f)
{
	const char *token = req->header(req->arg, "x-amz-security-token");

	if (strcmp(token ? token : "", k->token) != 0)
		return sim_fail(f, ec2 ? "AuthFailure" : "InvalidClientTokenId",
				ec2 ? "AWS was not able to validate the provided access credentials"
				    : "The security token included in the request is invalid");
	if (k->expires && k->expires <= now)
		return sim_fail(f, ec2 ? "RequestExpired" : "ExpiredToken",
				ec2 ? "Request has expired."
				    : "The security token included in the request is expired");
	return 0;
}

/* Not for secrecy's sake (it is a simulator), but a comparison that stops early is a bad example. */
static bool same(const char *a, const char *b, size_t n)
{
	unsigned int diff = strlen(a) != n || strlen(b) != n;
	size_t i;

	for (i = 0; !diff && i < n; i++)
		diff |= (unsigned int)(a[i] ^ b[i]);
	return !diff;
}

int sim_sigv4_verify(const struct sim_sig_req *req, struct sim_creds *creds, const char *service,
		     const struct sim_cred **ret_cred, struct sim_fail *f)
{
	const char *text = req->header(req->arg, "authorization"),
		   *amz_date = req->header(req->arg, "x-amz-date");
	bool ec2 = strcmp(service, "ec2") == 0;
	const struct sim_cred *k;
	char want[65];
	struct auth a;
	int r;

	if (!text)
		return sim_fail(f, "MissingAuthenticationToken", "Request is missing Authentication Token");
	if (!amz_date || parse_authorization(text, &a) < 0)
		return sim_fail(f, "IncompleteSignature",
				"Authorization header requires 'Credential', 'SignedHeaders' and "
				"'Signature' parameters and an X-Amz-Date header.");
	r = check_scope(&a, creds->w, service, amz_date, f);
	if (r == 0)
		r = check_time(creds, amz_date, ec2, f);
	if (r < 0)
		return r;
	k = sim_cred_find(creds, a.access_key);
	if (!k)
		return sim_fail(f, ec2 ? "AuthFailure" : "InvalidClientTokenId",
				ec2 ? "AWS was not able to validate the provided access credentials"
				    : "The security token included in the request is invalid.");
	r = check_token(req, k, sim_now(creds->w), ec2, f);
	if (r < 0)
		return r;
	r = sim_sigv4_sign(req, k->secret, amz_date, &a.scope, a.signed_headers, want);
	if (r == -ENOMEM)
		return sim_fail_nomem(f);
	if (r < 0 || !same(want, a.signature, 64))
		return sim_fail(
			f, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the "
			"signature you provided. Check your AWS Secret Access Key and signing method. Consult the "
			"service documentation for details.");
	*ret_cred = k;
	return 0;
}
