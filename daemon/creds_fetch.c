/*
 * Four sources of credentials, each a function from settings to a set. Which one is decided once, from what
 * is configured; token files are read at each fetch, because whoever wrote them renews them.
 */
#include "daemon/creds_fetch.h"

#include "daemon/backoff.h"
#include "daemon/http.h"
#include "daemon/imds.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TRIES 3
#define MAX_TOKEN_FILE (64 << 10)
#define ROLE_PATH "meta-data/iam/security-credentials/"
#define CONTAINER_HOST "http://169.254.170.2"

struct creds_fetch {
	enum creds_source source;
	struct http *http;
	struct imds *imds;
	char *key_id, *role_arn, *token_file, *session_name, *endpoint;
	struct secret secret_key, token;
};

const char *creds_source_name(enum creds_source s)
{
	static const char *const names[] = {
		[CREDS_ENV] = "the environment (AWS_ACCESS_KEY_ID)",
		[CREDS_WEB_IDENTITY] = "web identity (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE)",
		[CREDS_CONTAINER] = "the container credentials endpoint",
		[CREDS_INSTANCE_ROLE] = "the instance's role",
	};

	return names[s];
}

void creds_options_env(struct creds_options *ret)
{
	bool off = false;

	ret->access_key_id = getenv("AWS_ACCESS_KEY_ID");
	ret->secret_access_key = getenv("AWS_SECRET_ACCESS_KEY");
	ret->session_token = getenv("AWS_SESSION_TOKEN");
	ret->role_arn = getenv("AWS_ROLE_ARN");
	ret->web_identity_token_file = getenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	ret->session_name = getenv("AWS_ROLE_SESSION_NAME");
	ret->sts_endpoint = getenv("AWS_ENDPOINT_URL_STS");
	if (!ret->sts_endpoint || !ret->sts_endpoint[0])
		ret->sts_endpoint = getenv("AWS_ENDPOINT_URL");
	ret->container_full_uri = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	ret->container_relative_uri = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	ret->container_token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	ret->container_token_file = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	if (getenv("AWS_EC2_METADATA_DISABLED") &&
	    vw_parse_bool(getenv("AWS_EC2_METADATA_DISABLED"), &off) == 0)
		ret->no_instance_role = off;
}

bool creds_uri_allowed(const char *uri)
{
	static const char *const allowed[] = { "169.254.170.2", "169.254.170.23", "fd00:ec2::23" };
	struct vw_cidr loopback;
	struct vw_ip ip, other;
	char host[256];
	bool https;

	if (http_url_host(uri, host, sizeof(host), &https) < 0)
		return false;
	if (https || !strcmp(host, "localhost"))
		return true;
	if (vw_ip_parse(host, &ip) < 0)
		return false;
	if (vw_cidr_parse(ip.family == AF_INET ? "127.0.0.0/8" : "::1/128", &loopback) == 0 &&
	    vw_cidr_has(&loopback, &ip))
		return true;
	for (size_t i = 0; i < VW_ARRAY_SIZE(allowed); i++) {
		if (vw_ip_parse(allowed[i], &other) == 0 && vw_ip_eq(&ip, &other))
			return true;
	}
	return false;
}

/* ---- settings ---- */

static bool is_set(const char *s)
{
	return s && s[0];
}

static int set_env(struct creds_fetch *f, const struct creds_options *opt, struct vw_err *err)
{
	if (!is_set(opt->access_key_id) || !is_set(opt->secret_access_key))
		return vw_err_set(
			err, EINVAL, VW_CNI_INVALID_CONFIG,
			"only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; set both or none");
	f->key_id = strdup(opt->access_key_id);
	if (!f->key_id)
		return -ENOMEM;
	if (secret_set(&f->secret_key, opt->secret_access_key, strlen(opt->secret_access_key)) == -EINVAL ||
	    (is_set(opt->session_token) &&
	     secret_set(&f->token, opt->session_token, strlen(opt->session_token)) == -EINVAL))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN contains a line break");
	return 0;
}

static int set_web_identity(struct creds_fetch *f, const struct creds_options *opt, struct vw_err *err)
{
	if (!is_set(opt->role_arn) || !is_set(opt->web_identity_token_file))
		return vw_err_set(
			err, EINVAL, VW_CNI_INVALID_CONFIG,
			"only one of AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE is set; set both or none");
	if (!is_set(opt->sts_endpoint) && !is_set(opt->region))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "web identity needs a region to find STS");
	f->role_arn = strdup(opt->role_arn);
	f->token_file = strdup(opt->web_identity_token_file);
	f->session_name = strdup(is_set(opt->session_name) ? opt->session_name : "vpcwired");
	if (is_set(opt->sts_endpoint))
		f->endpoint = strdup(opt->sts_endpoint);
	else if (asprintf(&f->endpoint, "https://sts.%s.%s", opt->region,
			  is_set(opt->domain) ? opt->domain : "amazonaws.com") < 0)
		f->endpoint = NULL;
	return f->role_arn && f->token_file && f->session_name && f->endpoint ? 0 : -ENOMEM;
}

static int set_container(struct creds_fetch *f, const struct creds_options *opt, struct vw_err *err)
{
	bool relative = is_set(opt->container_relative_uri);
	const char *token = opt->container_token;

	if (relative && opt->container_relative_uri[0] != '/')
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'");
	if (asprintf(&f->endpoint, "%s%s", relative ? CONTAINER_HOST : "",
		     relative ? opt->container_relative_uri : opt->container_full_uri) < 0) {
		f->endpoint = NULL;
		return -ENOMEM;
	}
	if (!creds_uri_allowed(f->endpoint))
		return vw_err_set(
			err, EINVAL, VW_CNI_INVALID_CONFIG,
			"AWS_CONTAINER_CREDENTIALS_FULL_URI '%.100s': credentials "
			"come only by https, or from loopback, 169.254.170.2, 169.254.170.23, fd00:ec2::23",
			f->endpoint);
	if (is_set(opt->container_token_file)) {
		f->token_file = strdup(opt->container_token_file);
		return f->token_file ? 0 : -ENOMEM;
	}
	if (is_set(token) && secret_set(&f->token, token, strlen(token)) == -EINVAL)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "AWS_CONTAINER_AUTHORIZATION_TOKEN contains a line break");
	return 0;
}

static int choose(struct creds_fetch *f, const struct creds_options *opt, struct vw_err *err)
{
	if (is_set(opt->access_key_id) || is_set(opt->secret_access_key)) {
		f->source = CREDS_ENV;
		return set_env(f, opt, err);
	}
	if (is_set(opt->role_arn) || is_set(opt->web_identity_token_file)) {
		f->source = CREDS_WEB_IDENTITY;
		return set_web_identity(f, opt, err);
	}
	if (is_set(opt->container_relative_uri) || is_set(opt->container_full_uri)) {
		f->source = CREDS_CONTAINER;
		return set_container(f, opt, err);
	}
	f->source = CREDS_INSTANCE_ROLE;
	if (opt->no_instance_role || !f->imds)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "no credentials: nothing is set in the environment, and "
				  "AWS_EC2_METADATA_DISABLED is");
	return 0;
}

int creds_fetch_new(const struct creds_options *opt, struct http *http, struct imds *imds,
		    struct creds_fetch **ret_fetch, struct vw_err *err)
{
	struct creds_fetch *f = calloc(1, sizeof(*f));
	int r = -ENOMEM;

	if (f) {
		f->http = http;
		f->imds = imds;
		r = choose(f, opt, err);
	}
	if (r == -ENOMEM)
		(void)vw_err_sys(err, ENOMEM, 0, "keeping the credentials settings");
	if (r < 0) {
		creds_fetch_free(f);
		return r;
	}
	*ret_fetch = f;
	return 0;
}

void creds_fetch_free(struct creds_fetch *f)
{
	if (!f)
		return;
	free(f->key_id);
	free(f->role_arn);
	free(f->token_file);
	free(f->session_name);
	free(f->endpoint);
	secret_done(&f->secret_key);
	secret_done(&f->token);
	free(f);
}

enum creds_source creds_fetch_source(const struct creds_fetch *f)
{
	return f->source;
}

/* ---- answers ---- */

/* Fills a set from texts of an answer; each may be NULL. */
static int take_set(const char *what, const char *key_id, const char *key, const char *token,
		    const char *expires, struct creds_set *ret_set, struct vw_err *err)
{
	struct creds_set set = { 0 };

	if (!is_set(key_id) || !is_set(key))
		return vw_err_set(err, EBADMSG, 0, "%s: the answer lacks AccessKeyId or SecretAccessKey",
				  what);
	if (vw_fmt(set.key_id, sizeof(set.key_id), "%s", key_id) < 0 || key_id[strcspn(key_id, "\r\n/")])
		return vw_err_set(err, EBADMSG, 0, "%s: AccessKeyId is not usable", what);
	if (is_set(expires) && vw_parse_time(expires, &set.expires_unix) < 0)
		return vw_err_set(err, EBADMSG, 0, "%s: Expiration '%.40s' is not a time", what, expires);
	if (secret_set(&set.secret_key, key, strlen(key)) < 0 ||
	    (is_set(token) && secret_set(&set.token, token, strlen(token)) < 0)) {
		creds_set_done(&set);
		return vw_err_set(err, EBADMSG, 0, "%s: SecretAccessKey or Token is not usable", what);
	}
	creds_set_done(ret_set);
	*ret_set = set;
	return 0;
}

int creds_parse_json(const char *text, size_t len, const char *what, struct creds_set *ret_set,
		     struct vw_err *err)
{
	const struct vw_json_limits lim = { .max_bytes = 64 << 10, .max_depth = 8 };
	const char *key_id = NULL, *key = NULL, *token = NULL, *expires = NULL, *code = NULL, *message = NULL;
	vw_auto_json struct vw_json *j = NULL;
	int r;

	r = vw_json_parse(text, len, &lim, what, &j, err);
	if (r < 0)
		return vw_err_set(err, EBADMSG, 0, "%s: the answer is not JSON", what);
	if (vw_json_get_str(j, "AccessKeyId", &key_id, err) < 0 ||
	    vw_json_get_str(j, "SecretAccessKey", &key, err) < 0 ||
	    vw_json_get_str(j, "Token", &token, err) < 0 ||
	    vw_json_get_str(j, "Expiration", &expires, err) < 0 ||
	    vw_json_get_str(j, "Code", &code, err) < 0 || vw_json_get_str(j, "Message", &message, err) < 0)
		return vw_err_set(err, EBADMSG, 0, "%s: a member of the answer is not a string", what);
	if (code && strcmp(code, "Success"))
		return vw_err_set(err, EACCES, 0, "%s: %.60s: %.160s", what, code,
				  message ? message : "no reason given");
	return take_set(what, key_id, key, token, expires, ret_set, err);
}

/* Refusals of STS that another try can get past. */
static bool may_pass(const char *code)
{
	return !strcmp(code, "IDPCommunicationError") || !strncmp(code, "Throttling", strlen("Throttling"));
}

int creds_parse_sts(const char *text, size_t len, struct creds_set *ret_set, struct vw_err *err)
{
	static const char what[] = "STS AssumeRoleWithWebIdentity";
	vw_auto_xml struct xml_doc *doc = NULL;
	const struct xml_node *root, *c;
	int r;

	r = xml_parse(text, len, what, &doc, err);
	if (r < 0)
		return r;
	root = xml_root(doc);
	c = xml_child(root, "Error");
	if (c) {
		const char *code = xml_text(xml_child(c, "Code")),
			   *message = xml_text(xml_child(c, "Message"));

		return vw_err_set(err, code && may_pass(code) ? EAGAIN : EACCES, 0, "%s: %.60s: %.200s", what,
				  is_set(code) ? code : "error without a code",
				  is_set(message) ? message : "no reason given");
	}
	c = xml_child(xml_child(root, "AssumeRoleWithWebIdentityResult"), "Credentials");
	return take_set(what, xml_text(xml_child(c, "AccessKeyId")),
			xml_text(xml_child(c, "SecretAccessKey")), xml_text(xml_child(c, "SessionToken")),
			xml_text(xml_child(c, "Expiration")), ret_set, err);
}

/* ---- fetching ---- */

static int read_token_file(const char *path, struct secret *ret_token, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	size_t len;
	int r;

	r = vw_read_file(path, MAX_TOKEN_FILE, &text, err);
	len = text.len;
	while (len > 0 && strchr(" \t\r\n", text.data[len - 1]))
		len--;
	if (r == 0 && len == 0)
		r = vw_err_set(err, EBADMSG, 0, "the token file %s is empty", path);
	if (r == 0 && secret_set(ret_token, text.data, len) < 0)
		r = vw_err_set(err, EBADMSG, 0, "the token file %s holds more than one line", path);
	if (text.data)
		explicit_bzero(text.data, text.len);
	return r;
}

static int web_identity(struct creds_fetch *f, uint64_t deadline_ms, struct http_response *resp,
			struct creds_set *ret_set, struct vw_err *err)
{
	static const struct http_header type = {
		.name = "Content-Type",
		.value = "application/x-www-form-urlencoded; charset=utf-8",
	};
	struct http_request req = {
		.method = "POST",
		.url = f->endpoint,
		.headers = &type,
		.n_headers = 1,
		.deadline_ms = deadline_ms,
	};
	vw_auto_secret struct secret token = { 0 };
	vw_auto_buf struct vw_buf body = VW_BUF_INIT;
	int r;

	r = read_token_file(f->token_file, &token, err);
	if (r < 0)
		return r;
	vw_buf_puts(&body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
	vw_buf_url(&body, f->role_arn);
	vw_buf_puts(&body, "&RoleSessionName=");
	vw_buf_url(&body, f->session_name);
	vw_buf_puts(&body, "&WebIdentityToken=");
	vw_buf_url(&body, token.text);
	req.body = vw_buf_str(&body);
	req.body_len = body.len;
	r = vw_buf_err(&body);
	if (r < 0)
		(void)vw_err_sys(err, r, 0, "writing the request");
	else
		r = http_do(f->http, &req, resp, err);
	if (body.data)
		explicit_bzero(body.data, body.len);
	return r < 0 ? r : creds_parse_sts(vw_buf_str(&resp->body), resp->body.len, ret_set, err);
}

static int container(struct creds_fetch *f, uint64_t deadline_ms, struct http_response *resp,
		     struct creds_set *ret_set, struct vw_err *err)
{
	vw_auto_secret struct secret token = { 0 };
	struct http_header auth = { .name = "Authorization", .secret = &token };
	struct http_request req = {
		.method = "GET",
		.url = f->endpoint,
		.headers = &auth,
		.deadline_ms = deadline_ms,
	};
	uint64_t soon = vw_mono_ms() + 2000; /* it is on this machine; the SDKs wait as long */
	int r = 0;

	if (soon < deadline_ms)
		req.deadline_ms = soon;
	if (f->token_file)
		r = read_token_file(f->token_file, &token, err);
	else if (secret_copy(&token, &f->token) < 0)
		r = vw_err_sys(err, ENOMEM, 0, "copying the authorization token");
	req.n_headers = secret_is_set(&token);
	if (r == 0)
		r = http_do(f->http, &req, resp, err);
	if (r < 0)
		return r;
	if (resp->status != 200)
		return vw_err_set(err, resp->status >= 500 ? EIO : EACCES, 0,
				  "the service answered %d: %.160s", resp->status, vw_buf_str(&resp->body));
	return creds_parse_json(vw_buf_str(&resp->body), resp->body.len, "container credentials", ret_set,
				err);
}

static int instance_role(struct creds_fetch *f, uint64_t deadline_ms, struct creds_set *ret_set,
			 struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT, path = VW_BUF_INIT;
	int r;

	r = imds_get(f->imds, ROLE_PATH, deadline_ms, &text, err);
	if (r < 0)
		return r;
	vw_buf_puts(&path, ROLE_PATH);
	vw_buf_add(&path, vw_buf_str(&text), strcspn(vw_buf_str(&text), "\r\n"));
	if (r == 0 || path.len == strlen(ROLE_PATH))
		return vw_err_set(err, EACCES, 0,
				  "the instance has no role; attach an instance profile to it");
	r = imds_get(f->imds, vw_buf_str(&path), deadline_ms, &text, err);
	if (r == 0)
		r = vw_err_set(err, EACCES, 0,
			       "the metadata service has no credentials for the role it names");
	else if (r > 0)
		r = creds_parse_json(vw_buf_str(&text), text.len, "credentials of the instance's role",
				     ret_set, err);
	if (text.data)
		explicit_bzero(text.data, text.len);
	return r;
}

static int fetch_once(struct creds_fetch *f, uint64_t deadline_ms, struct creds_set *ret_set, bool *ret_again,
		      struct vw_err *err)
{
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	int r = 0;

	switch (f->source) {
	case CREDS_ENV:
		return take_set("environment", f->key_id, f->secret_key.text, f->token.text, NULL, ret_set,
				err);
	case CREDS_WEB_IDENTITY:
		r = web_identity(f, deadline_ms, &resp, ret_set, err);
		break;
	case CREDS_CONTAINER:
		r = container(f, deadline_ms, &resp, ret_set, err);
		break;
	case CREDS_INSTANCE_ROLE: /* imds_get() has tried again itself */
		return instance_role(f, deadline_ms, ret_set, err);
	}
	/* no answer, or a failure of the service's own */
	*ret_again = r == -EAGAIN || resp.status >= 500 || resp.status == 429 ||
		     (resp.fail != HTTP_ANSWERED && r != -ECANCELED && r != -EINVAL);
	return r;
}

int creds_fetch_run(struct creds_fetch *f, uint64_t deadline_ms, struct creds_set *ret_set,
		    struct vw_err *err)
{
	bool again = false;
	int r;

	for (unsigned int tries = 1;; tries++) {
		r = fetch_once(f, deadline_ms, ret_set, &again, err);
		if (r == 0)
			return 0;
		if (!again || tries == MAX_TRIES || vw_deadline_left(deadline_ms) <= 0 ||
		    http_wait(f->http, backoff_ms(tries, 200, 2000, backoff_random())) < 0)
			return vw_err_wrap(err, "credentials from %s", creds_source_name(f->source));
	}
}
