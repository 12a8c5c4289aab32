/*
 * Every read is: token (kept, or fetched with PUT), GET, and on 401 once more with a new token. The parsers
 * take what is under one path, a list with one entry a line, into bounded arrays of values.
 */
#include "daemon/imds.h"

#include "daemon/backoff.h"
#include "daemon/http.h"
#include "daemon/secret.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define TOKEN_TTL_S 21600 /* the longest that the service grants */
#define TOKEN_TTL_TEXT "21600"
#define TOKEN_MARGIN_S 300
#define MAX_TRIES 3
#define MAX_ANSWER (64 << 10)
#define MACS_PATH "meta-data/network/interfaces/macs/"

struct imds {
	struct http *http;
	char endpoint[256];
	pthread_mutex_t lock; /* the token */
	struct secret token;
	uint64_t token_until_ms;
};

int imds_new(const char *endpoint, struct http *http, struct imds **ret_imds, struct vw_err *err)
{
	struct imds *m;
	char host[256];
	bool https;
	size_t len;

	if (!endpoint || !endpoint[0])
		endpoint = IMDS_DEFAULT_ENDPOINT;
	len = strlen(endpoint);
	while (len > 0 && endpoint[len - 1] == '/')
		len--;
	m = calloc(1, sizeof(*m));
	if (!m)
		return vw_err_sys(err, ENOMEM, 0, "making an instance metadata client");
	if (len >= sizeof(m->endpoint) || http_url_host(endpoint, host, sizeof(host), &https) < 0) {
		free(m);
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "AWS_EC2_METADATA_SERVICE_ENDPOINT '%.100s' is not an http URL", endpoint);
	}
	memcpy(m->endpoint, endpoint, len);
	m->http = http;
	pthread_mutex_init(&m->lock, NULL);
	*ret_imds = m;
	return 0;
}

void imds_free(struct imds *m)
{
	if (!m)
		return;
	secret_done(&m->token);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- reading ---- */

/* One request, tried again while the service does not answer or answers 5xx. */
static int request(struct imds *m, const char *method, const char *path, const struct http_header *header,
		   uint64_t deadline_ms, struct http_response *resp, struct vw_err *err)
{
	vw_auto_buf struct vw_buf url = VW_BUF_INIT_MAX(1024);
	struct http_request req = {
		.method = method,
		.headers = header,
		.n_headers = 1,
		.deadline_ms = deadline_ms,
	};
	int r;

	vw_buf_printf(&url, "%s/latest/%s", m->endpoint, path);
	if (vw_buf_err(&url))
		return vw_err_set(err, EINVAL, 0, "the instance metadata path is too long");
	req.url = vw_buf_str(&url);
	for (unsigned int tries = 1;; tries++) {
		r = http_do(m->http, &req, resp, err);
		if (r == 0 && resp->status < 500)
			return 0;
		if (r == 0)
			r = vw_err_set(err, EIO, 0, "the service answered %d", resp->status);
		if (tries == MAX_TRIES || r == -ECANCELED || r == -EINVAL || r == -EFBIG ||
		    vw_deadline_left(deadline_ms) <= 0)
			return r;
		r = http_wait(m->http, backoff_ms(tries, 100, 1000, backoff_random()));
		if (r < 0)
			return vw_err_set(err, -r, 0, "cancelled, shutting down");
	}
}

static int fetch_token(struct imds *m, uint64_t deadline_ms, struct secret *ret_token, struct vw_err *err)
{
	static const struct http_header ttl = { .name = "X-aws-ec2-metadata-token-ttl-seconds",
						.value = TOKEN_TTL_TEXT };
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	int r;

	r = request(m, "PUT", "api/token", &ttl, deadline_ms, &resp, err);
	if (r < 0)
		return r;
	if (resp.status == 403)
		return vw_err_set(err, EACCES, 0,
				  "the service is switched off for this instance (403); set its HttpEndpoint "
				  "to enabled");
	if (resp.status != 200)
		return vw_err_set(err, EIO, 0,
				  "no session token: the service answered %d; version 2 is needed",
				  resp.status);
	if (resp.body.len == 0 || resp.body.len > 4096 ||
	    secret_set(ret_token, resp.body.data, resp.body.len) < 0)
		return vw_err_set(err, EBADMSG, 0, "the session token is not usable (%zu bytes)",
				  resp.body.len);
	pthread_mutex_lock(&m->lock);
	r = secret_copy(&m->token, ret_token);
	m->token_until_ms = vw_mono_ms() + (uint64_t)(TOKEN_TTL_S - TOKEN_MARGIN_S) * 1000;
	pthread_mutex_unlock(&m->lock);
	return r < 0 ? vw_err_sys(err, r, 0, "keeping the session token") : 0;
}

static int get_token(struct imds *m, uint64_t deadline_ms, struct secret *ret_token, struct vw_err *err)
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	if (secret_is_set(&m->token) && vw_mono_ms() < m->token_until_ms)
		r = secret_copy(ret_token, &m->token);
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		return vw_err_sys(err, r, 0, "copying the session token");
	return secret_is_set(ret_token) ? 0 : fetch_token(m, deadline_ms, ret_token, err);
}

static int get(struct imds *m, const char *path, uint64_t deadline_ms, struct vw_buf *ret, struct vw_err *err)
{
	vw_auto_http_response struct http_response resp = HTTP_RESPONSE_INIT;
	vw_auto_secret struct secret token = { 0 };
	struct http_header header = { .name = "X-aws-ec2-metadata-token", .secret = &token };
	int r;

	r = get_token(m, deadline_ms, &token, err);
	if (r == 0)
		r = request(m, "GET", path, &header, deadline_ms, &resp, err);
	if (r == 0 && resp.status == 401) {
		r = fetch_token(m, deadline_ms, &token, err);
		if (r == 0)
			r = request(m, "GET", path, &header, deadline_ms, &resp, err);
	}
	if (r < 0)
		return r;
	if (resp.status == 404)
		return 0;
	if (resp.status != 200)
		return vw_err_set(err, resp.status == 401 || resp.status == 403 ? EACCES : EIO, 0,
				  "the service answered %d", resp.status);
	if (resp.body.len > MAX_ANSWER || (resp.body.data && memchr(resp.body.data, 0, resp.body.len)))
		return vw_err_set(err, EBADMSG, 0, "the answer is too long or not text (%zu bytes)",
				  resp.body.len);
	vw_buf_reset(ret);
	vw_buf_add(ret, vw_buf_str(&resp.body), resp.body.len);
	return vw_buf_err(ret) ? vw_err_sys(err, ENOMEM, 0, "keeping the answer") : 1;
}

int imds_get(struct imds *m, const char *path, uint64_t deadline_ms, struct vw_buf *ret, struct vw_err *err)
{
	int r = get(m, path, deadline_ms, ret, err);

	return r < 0 ? vw_err_wrap(err, "instance metadata %s", path) : r;
}

/* ---- parsing ---- */

/* The next non-empty line of *pos, copied; 0 at the end. */
static int next_line(const char **pos, const char *what, char *ret, size_t size, struct vw_err *err)
{
	size_t len;

	*pos += strspn(*pos, "\r\n");
	len = strcspn(*pos, "\r\n");
	if (!len)
		return 0;
	if (len >= size)
		return vw_err_set(err, EBADMSG, 0, "instance metadata %s: a line of %zu characters", what,
				  len);
	memcpy(ret, *pos, len);
	ret[len] = 0;
	*pos += len;
	return 1;
}

static int bad_line(const char *what, const char *line, const char *want, struct vw_err *err)
{
	return vw_err_set(err, EBADMSG, 0, "instance metadata %s: '%.60s' is not %s", what, line, want);
}

/**
 * struct kind - one kind of list entry.
 * @take: reads @line, which it may change, into entry @i of @ret. False: it is not one.
 */
struct kind {
	const char *want;
	bool (*take)(char *line, int family, void *ret, size_t i);
};

static bool take_mac(char *line, int family, void *ret, size_t i)
{
	struct vw_mac *macs = ret;
	size_t len = strlen(line);

	if (line[len - 1] == '/')
		line[len - 1] = 0;
	return vw_mac_parse(line, &macs[i]) == 0;
}

static bool take_ip(char *line, int family, void *ret, size_t i)
{
	struct vw_ip *ips = ret;

	return vw_ip_parse(line, &ips[i]) == 0 && ips[i].family == family;
}

static bool take_cidr(char *line, int family, void *ret, size_t i)
{
	struct vw_cidr *c = ret;

	return strchr(line, '/') && vw_cidr_parse(line, &c[i]) == 0 && c[i].ip.family == family &&
	       vw_cidr_is_masked(&c[i]);
}

static bool take_id(char *line, int family, void *ret, size_t i)
{
	char(*ids)[IMDS_ID_LEN] = ret;

	memcpy(ids[i], line, strlen(line) + 1);
	return true;
}

static int parse_list(const char *text, const char *what, const struct kind *kind, int family, void *ret,
		      size_t max, size_t *ret_n, struct vw_err *err)
{
	char line[IMDS_ID_LEN];
	size_t n = 0;
	int r;

	while ((r = next_line(&text, what, line, sizeof(line), err)) > 0) {
		if (n == max)
			return vw_err_set(err, EBADMSG, 0, "instance metadata %s: more than %zu lines", what,
					  max);
		if (!kind->take(line, family, ret, n))
			return bad_line(what, line, kind->want, err);
		n++;
	}
	if (r == 0)
		*ret_n = n;
	return r;
}

int imds_parse_macs(const char *text, struct vw_mac *ret_macs, size_t *ret_n, struct vw_err *err)
{
	static const struct kind kind = { "a MAC address", take_mac };

	return parse_list(text, "network/interfaces/macs/", &kind, 0, ret_macs, IMDS_MAX_MACS, ret_n, err);
}

int imds_parse_ips(const char *text, const char *what, int family, struct vw_ip *ret, size_t max,
		   size_t *ret_n, struct vw_err *err)
{
	const struct kind kind = { family == AF_INET ? "an IPv4 address" : "an IPv6 address", take_ip };

	return parse_list(text, what, &kind, family, ret, max, ret_n, err);
}

int imds_parse_cidrs(const char *text, const char *what, int family, struct vw_cidr *ret, size_t max,
		     size_t *ret_n, struct vw_err *err)
{
	const struct kind kind = { family == AF_INET ? "an IPv4 block" : "an IPv6 block", take_cidr };

	return parse_list(text, what, &kind, family, ret, max, ret_n, err);
}

/* ---- typed reads: a run that stops at the first failure, or at the first thing that must be there and is
 * not ---- */

struct run {
	struct imds *m;
	uint64_t deadline_ms;
	const char *base;
	struct vw_buf text;
	struct vw_err *err;
	int r; /* 1 so far, 0 something needed is absent, -errno */
};

/* Whether there is text under @base + @name to look at. */
static bool run_get(struct run *run, const char *name, bool need)
{
	char path[160];
	int r;

	if (run->r <= 0)
		return false;
	if (vw_fmt(path, sizeof(path), "%s%s", run->base, name) < 0)
		r = vw_err_set(run->err, EINVAL, 0, "instance metadata path %s%s is too long", run->base,
			       name);
	else
		r = imds_get(run->m, path, run->deadline_ms, &run->text, run->err);
	if (r < 0 || (r == 0 && need))
		run->r = r;
	return r > 0;
}

static void run_str(struct run *run, const char *name, bool need, char *ret, size_t size)
{
	const char *pos;
	int r;

	if (!run_get(run, name, need))
		return;
	pos = vw_buf_str(&run->text);
	r = next_line(&pos, name, ret, size, run->err);
	if (r < 0)
		run->r = r;
	else if (r == 0 && need)
		run->r = vw_err_set(run->err, EBADMSG, 0, "instance metadata %s is empty", name);
}

static void run_u32(struct run *run, const char *name, bool need, uint32_t *ret)
{
	char text[16] = "";
	uint64_t v;

	run_str(run, name, need, text, sizeof(text));
	if (run->r <= 0 || !text[0])
		return;
	if (vw_parse_u64(text, 0, 255, &v) < 0)
		run->r = bad_line(name, text, "a small number", run->err);
	else
		*ret = (uint32_t)v;
}

static void run_mac(struct run *run, const char *name, struct vw_mac *ret)
{
	char text[32] = "";

	run_str(run, name, true, text, sizeof(text));
	if (run->r > 0 && vw_mac_parse(text, ret) < 0)
		run->r = bad_line(name, text, "a MAC address", run->err);
}

static void run_ips(struct run *run, const char *name, int family, struct vw_ip *ret, size_t max,
		    size_t *ret_n)
{
	if (run_get(run, name, false) &&
	    imds_parse_ips(vw_buf_str(&run->text), name, family, ret, max, ret_n, run->err) < 0)
		run->r = -run->err->eno;
}

static void run_cidrs(struct run *run, const char *name, int family, struct vw_cidr *ret, size_t max,
		      size_t *ret_n)
{
	if (run_get(run, name, false) &&
	    imds_parse_cidrs(vw_buf_str(&run->text), name, family, ret, max, ret_n, run->err) < 0)
		run->r = -run->err->eno;
}

static void run_groups(struct run *run, const char *name, struct imds_eni *eni)
{
	static const struct kind kind = { "an id", take_id };

	if (run_get(run, name, false) && parse_list(vw_buf_str(&run->text), name, &kind, 0, eni->groups,
						    IMDS_MAX_GROUPS, &eni->n_groups, run->err) < 0)
		run->r = -run->err->eno;
}

int imds_identity(struct imds *m, uint64_t deadline_ms, struct imds_identity *ret_id, struct vw_err *err)
{
	struct imds_identity id = { .domain = "amazonaws.com" };
	struct vw_ip ips[1];
	size_t n = 0;
	struct run run = { .m = m, .deadline_ms = deadline_ms, .base = "meta-data/", .err = err, .r = 1 };

	run_str(&run, "instance-id", true, id.instance_id, sizeof(id.instance_id));
	run_str(&run, "instance-type", true, id.instance_type, sizeof(id.instance_type));
	run_str(&run, "placement/availability-zone", true, id.az, sizeof(id.az));
	run_str(&run, "placement/region", true, id.region, sizeof(id.region));
	run_str(&run, "services/domain", false, id.domain, sizeof(id.domain));
	run_mac(&run, "mac", &id.primary_mac);
	run_ips(&run, "local-ipv4", AF_INET, ips, 1, &n);
	vw_buf_done(&run.text);
	if (run.r == 0)
		return vw_err_set(
			err, ENODATA, 0,
			"instance metadata lacks the instance's id, type, zone, region or MAC; is %s an "
			"EC2 metadata service?",
			m->endpoint);
	if (run.r < 0)
		return run.r;
	if (n)
		id.local_ipv4 = ips[0];
	*ret_id = id;
	return 0;
}

int imds_macs(struct imds *m, uint64_t deadline_ms, struct vw_mac *ret_macs, size_t *ret_n,
	      struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	int r = imds_get(m, MACS_PATH, deadline_ms, &text, err);

	if (r == 0)
		return vw_err_set(err, ENODATA, 0, "instance metadata lists no network interfaces");
	return r < 0 ? r : imds_parse_macs(vw_buf_str(&text), ret_macs, ret_n, err);
}

int imds_eni(struct imds *m, const struct vw_mac *mac, uint64_t deadline_ms, struct imds_eni *ret_eni,
	     struct vw_err *err)
{
	struct imds_eni e = { .mac = *mac };
	char base[80], text[VW_MAC_STRLEN];
	struct run run = { .m = m, .deadline_ms = deadline_ms, .base = base, .err = err, .r = 1 };
	size_t n = 0;

	if (vw_fmt(base, sizeof(base), MACS_PATH "%s/", vw_mac_str(mac, text)) < 0)
		return vw_err_set(err, EINVAL, 0, "instance metadata path is too long");
	run_str(&run, "interface-id", true, e.id, sizeof(e.id));
	run_u32(&run, "device-number", true, &e.device);
	run_u32(&run, "network-card", false, &e.card);
	run_str(&run, "subnet-id", true, e.subnet_id, sizeof(e.subnet_id));
	run_str(&run, "vpc-id", true, e.vpc_id, sizeof(e.vpc_id));
	run_str(&run, "owner-id", false, e.owner_id, sizeof(e.owner_id));
	run_cidrs(&run, "subnet-ipv4-cidr-block", AF_INET, &e.subnet4, 1, &n);
	run_cidrs(&run, "subnet-ipv6-cidr-blocks", AF_INET6, e.subnet6, IMDS_MAX_CIDRS, &e.n_subnet6);
	run_cidrs(&run, "vpc-ipv4-cidr-blocks", AF_INET, e.vpc4, IMDS_MAX_CIDRS, &e.n_vpc4);
	run_cidrs(&run, "vpc-ipv6-cidr-blocks", AF_INET6, e.vpc6, IMDS_MAX_CIDRS, &e.n_vpc6);
	run_ips(&run, "local-ipv4s", AF_INET, e.ipv4, IMDS_MAX_ADDRS, &e.n_ipv4);
	run_ips(&run, "ipv6s", AF_INET6, e.ipv6, IMDS_MAX_ADDRS, &e.n_ipv6);
	run_cidrs(&run, "ipv4-prefix", AF_INET, e.prefix4, IMDS_MAX_ADDRS, &e.n_prefix4);
	run_cidrs(&run, "ipv6-prefix", AF_INET6, e.prefix6, IMDS_MAX_ADDRS, &e.n_prefix6);
	run_groups(&run, "security-group-ids", &e);
	vw_buf_done(&run.text);
	if (run.r > 0)
		*ret_eni = e;
	return run.r;
}

int imds_vpc_ranges(struct imds *m, const struct vw_mac *mac, uint64_t deadline_ms, struct vw_cidr *ret, size_t *ret_n, struct vw_err *err)
{
	char base[80], text[VW_MAC_STRLEN];
	struct run run = { .m = m, .deadline_ms = deadline_ms, .base = base, .err = err, .r = 1 };
	size_t n = 0;

	if (vw_fmt(base, sizeof(base), MACS_PATH "%s/", vw_mac_str(mac, text)) < 0)
		return vw_err_set(err, EINVAL, 0, "instance metadata path is too long");
	run_cidrs(&run, "vpc-ipv4-cidr-blocks", AF_INET, ret, IMDS_MAX_CIDRS, &n);
	vw_buf_done(&run.text);
	if (run.r < 0)
		return run.r;
	*ret_n = n;
	return 0;
}
