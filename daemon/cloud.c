/*
 * The survey asks IMDS for the identity and every interface, the kernel for its links, and EC2 for the interfaces attached
 * to this instance. EC2's answer is the truth about addresses (IMDS lags by seconds); IMDS alone is enough to serve when
 * EC2 cannot be reached or a permission is missing.
 */
#include "daemon/cloud.h"

#include "daemon/config.h"
#include "daemon/creds.h"
#include "daemon/http.h"
#include "daemon/place.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/net/view/view.h"

#include <string.h>

int cloud_new(const struct vwired_config *cfg, struct cloud **ret_cloud, struct vw_err *err)
{
	const struct http_options opt = { 0 };
	struct cloud *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return vw_err_set(err, ENOMEM, 0, "no memory for the cloud's clients");
	r = http_new(&opt, &c->http, err);
	if (r == 0)
		r = imds_new(cfg->endpoint_imds, c->http, &c->imds, err);
	if (r < 0) {
		cloud_free(c);
		return r;
	}
	*ret_cloud = c;
	return 0;
}

void cloud_free(struct cloud *c)
{
	if (!c)
		return;
	ec2_free(c->ec2);
	creds_free(c->creds);
	imds_free(c->imds);
	http_free(c->http);
	free(c);
}

void cloud_cancel(struct cloud *c)
{
	http_cancel(c->http);
}

/* creds and ec2, once it is known who and where we are; kept across surveys that fail later */
static int connect_clients(struct survey *s, struct vw_err *err)
{
	struct cloud *c = s->cloud;
	const char *region = s->region[0] ? s->region : s->id.region;
	struct creds_options copt = { 0 };
	struct ec2_options eopt = {
		.endpoint = s->endpoint_ec2[0] ? s->endpoint_ec2 : ec2_endpoint_env(),
		.region = region,
		.domain = s->id.domain,
		.instance_id = s->id.instance_id,
	};
	int r = 0;

	if (!s->creds) {
		creds_options_env(&copt);
		copt.region = region;
		copt.domain = s->id.domain;
		if (s->endpoint_sts[0])
			copt.sts_endpoint = s->endpoint_sts;
		r = creds_new(&copt, c->http, c->imds, &s->creds, err);
	}
	if (r == 0 && !s->ec2)
		r = ec2_new(&eopt, c->http, s->creds, &s->ec2, err);
	return r;
}

static int survey_imds(struct survey *s, struct vw_err *err)
{
	struct vw_mac macs[IMDS_MAX_MACS];
	size_t n = 0;
	int r = imds_macs(s->cloud->imds, s->deadline_ms, macs, &n, err);

	if (r < 0)
		return r;
	s->imds_enis = calloc(n ? n : 1, sizeof(*s->imds_enis));
	if (!s->imds_enis)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu interfaces", n);
	for (size_t i = 0; i < n; i++) {
		r = imds_eni(s->cloud->imds, &macs[i], s->deadline_ms, &s->imds_enis[s->n_imds_enis], err);
		if (r < 0)
			return r;
		s->n_imds_enis += r == 1;
	}
	return 0;
}

static int survey_links(struct survey *s, struct vw_err *err)
{
	vw_auto_free struct vw_link *links = NULL;
	struct vw_view *view = NULL;
	int n, r = vw_view_new(&view, err);

	if (r < 0)
		return r;
	n = vw_view_links(view, &links, err);
	vw_view_free(view);
	if (n < 0)
		return n;
	s->links = calloc(n ? (size_t)n : 1, sizeof(*s->links));
	if (!s->links)
		return vw_err_set(err, ENOMEM, 0, "no memory for %d links", n);
	for (int i = 0; i < n; i++) {
		struct eni_link *l = &s->links[s->n_links];

		if (links[i].ifindex >= VW_IFINDEX_BASE || vw_mac_is_zero(&links[i].mac) || !vw_link_is_device(&links[i]))
			continue;
		l->mac = links[i].mac;
		l->ifindex = links[i].ifindex;
		memcpy(l->ifname, links[i].name, sizeof(l->ifname));
		s->n_links++;
	}
	return 0;
}

int cloud_subnets(struct ec2 *ec2, uint64_t deadline_ms, const char *vpc_id, const char *zone, struct ec2_subnets *ret,
		  struct ec2_error *err)
{
	const struct ec2_kv filters[] = { { "vpc-id", vpc_id }, { "availability-zone", zone } };
	const struct ec2_find what = { .filters = filters, .n_filters = VW_ARRAY_SIZE(filters) };

	return ec2_describe_subnets(ec2, deadline_ms, &what, ret, err);
}

const char *survey_vpc(const struct survey *s)
{
	for (size_t i = 0; i < s->n_imds_enis; i++)
		if (vw_mac_eq(&s->imds_enis[i].mac, &s->id.primary_mac))
			return s->imds_enis[i].vpc_id;
	return "";
}

static void survey_ec2(struct survey *s)
{
	/* what we made ourselves is tagged; an ENI that a setting of today rules out is still ours to see off */
	const struct place_rules rules = { .instance_id = s->id.instance_id, .multi_nic = true };
	struct ec2_error ignored;

	s->ec2_ok = ec2_describe_own_enis(s->ec2, s->deadline_ms, &s->ec2_enis, &s->ec2_err) == 0;
	if (!s->ec2_ok)
		return;
	if (!s->limits_known)
		s->limits_ok = ec2_describe_limits(s->ec2, s->deadline_ms, s->id.instance_type, &s->limits,
						   &s->ec2_err) == 0;
	if (s->want_subnets)
		s->subnets_ok = cloud_subnets(s->ec2, s->deadline_ms, survey_vpc(s), s->id.az, &s->subnets,
					      &s->subnets_err) == 0;
	for (size_t i = 0; i < s->ec2_enis.n && !s->read_only; i++) {
		const struct ec2_eni *e = &s->ec2_enis.v[i];
		const char *owner = ec2_eni_tag(e, TAG_INSTANCE);

		if (place_use(e, &rules) != PLACE_OURS || !owner || strcmp(owner, s->id.instance_id) ||
		    e->attachment.delete_on_termination || e->attachment.status != EC2_ATTACHED || e->attachment.device == 0)
			continue;
		if (ec2_delete_on_termination(s->ec2, s->deadline_ms, e->id, e->attachment.id, true, &ignored) == 0)
			continue;
		vw_warn("this ENI would outlive the instance, retrying", "eni=%s err=\"%s\"", e->id, ignored.why.msg);
		s->untied = true;
	}
}

int cloud_survey(struct survey *s, struct vw_err *err)
{
	int r = imds_identity(s->cloud->imds, s->deadline_ms, &s->id, err);

	if (r == 0)
		r = survey_imds(s, err);
	if (r == 0)
		r = survey_links(s, err);
	if (r < 0)
		return vw_err_wrap(err, "finding out who this node is");
	if (s->imds_only)
		return 0;
	if (connect_clients(s, &s->ec2_err.why) < 0) {
		s->ec2_err.kind = EC2_NO_CREDS;
		return 0;
	}
	survey_ec2(s);
	return 0;
}

void cloud_take_clients(struct cloud *c, struct survey *s)
{
	c->creds = s->creds;
	c->ec2 = s->ec2;
}

void survey_done(struct survey *s)
{
	free(s->imds_enis);
	ec2_enis_done(&s->ec2_enis);
	ec2_subnets_done(&s->subnets);
	free(s->links);
	*s = (struct survey){ 0 };
}

const struct eni_link *survey_link(const struct survey *s, const struct vw_mac *mac)
{
	for (size_t i = 0; i < s->n_links; i++)
		if (vw_mac_eq(&s->links[i].mac, mac))
			return &s->links[i];
	return NULL;
}
