// SPDX-License-Identifier: Apache-2.0
/* Lists of addresses and gateways, as configurations and state files have them. */
#include "lib/eni/addrs.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/result.h"
#include "lib/json/json.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define invalid(err, ...) vw_err_set((err), EINVAL, VW_CNI_INVALID_CONFIG, __VA_ARGS__)

int eni_addrs_add(struct eni_addrs *a, const char *text, struct vw_err *err)
{
	struct vw_cidr c;

	if (!strchr(text, '/') || vw_cidr_parse(text, &c) < 0)
		return invalid(err, "\"%.80s\" is not an address with its subnet's length, like 10.0.1.5/24", text);
	if (c.len == 0)
		return invalid(err, "\"%.80s\": a subnet of length 0 is the whole internet", text);
	for (size_t i = 0; i < a->n; i++) {
		if (vw_ip_eq(&a->v[i].ip, &c.ip))
			return invalid(err, "address %.80s is there twice", text);
	}
	if (a->n == ENI_MAX_ADDRS)
		return invalid(err, "more than %d addresses", ENI_MAX_ADDRS);
	a->v[a->n++] = c;
	return 0;
}

static int add_gateway(struct eni_addrs *a, const char *text, struct vw_err *err)
{
	bool served = false;
	struct vw_ip gw;

	if (vw_ip_parse(text, &gw) < 0)
		return invalid(err, "\"%.80s\" is not an address like 10.0.1.1", text);
	for (size_t i = 0; i < a->n; i++)
		served |= a->v[i].ip.family == gw.family;
	if (!served)
		return invalid(err, "gateway %.80s: there is no address of its family", text);
	for (size_t i = 0; i < a->n_gw; i++) {
		if (a->gw[i].family == gw.family)
			return invalid(err, "gateway %.80s is the second one of its family", text);
	}
	a->gw[a->n_gw++] = gw;
	return 0;
}

static int each_text(const struct vw_json *list, const char *what,
		     int (*one)(struct eni_addrs *, const char *, struct vw_err *), struct eni_addrs *a,
		     struct vw_err *err)
{
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const char *text = vw_json_string(vw_json_at(list, i));

		if (!text)
			return invalid(err, "%s[%zu] is not a string", what, i);
		if (one(a, text, err) < 0)
			return vw_err_wrap(err, "%s[%zu]", what, i);
	}
	return 0;
}

int eni_addrs_parse(const struct vw_json *addrs, const struct vw_json *gateways, struct eni_addrs *ret, struct vw_err *err)
{
	struct eni_addrs a = {0};

	if (each_text(addrs, "address", eni_addrs_add, &a, err) < 0 ||
	    each_text(gateways, "gateway", add_gateway, &a, err) < 0)
		return -err->eno;
	*ret = a;
	return 0;
}

static const struct vw_ip *gateway_of(const struct eni_addrs *a, uint8_t family)
{
	static const struct vw_ip none;

	for (size_t i = 0; i < a->n_gw; i++) {
		if (a->gw[i].family == family)
			return &a->gw[i];
	}
	return &none;
}

int eni_addrs_report(const struct eni_addrs *a, int iface, bool routes, struct vw_cni_result *r)
{
	for (size_t i = 0; i < a->n; i++) {
		struct vw_cni_ip ip = {.address = a->v[i], .iface = iface, .gateway = *gateway_of(a, a->v[i].ip.family)};

		if (vw_cni_result_add_ip(r, &ip) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < a->n_gw && routes; i++) {
		struct vw_cni_route route = {.gw = a->gw[i], .dst.ip.family = a->gw[i].family};

		if (vw_cni_result_add_route(r, &route) < 0)
			return -ENOMEM;
	}
	return 0;
}

int eni_cidrs_parse(const struct vw_json *list, bool masked, struct eni_cidrs *ret, struct vw_err *err)
{
	struct eni_cidrs c = {.n = vw_json_len(list)};

	if (c.n > ENI_MAX_CIDRS)
		return invalid(err, "more than %d networks", ENI_MAX_CIDRS);
	for (size_t i = 0; i < c.n; i++) {
		const char *text = vw_json_string(vw_json_at(list, i));

		if (!text || vw_cidr_parse(text, &c.v[i]) < 0)
			return invalid(err, "[%zu] is \"%.80s\", but a network like 10.0.0.0/16 is wanted", i, text ? text : "(no text)");
		if (masked)
			c.v[i] = vw_cidr_masked(&c.v[i]);
	}
	*ret = c;
	return 0;
}

static const struct {
	const char *name;
	uint8_t proto;
} protos[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}};

int eni_proto_parse(const char *text, uint8_t *ret)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(protos); i++) {
		if (!strcasecmp(text, protos[i].name)) {
			*ret = protos[i].proto;
			return 0;
		}
	}
	return -EINVAL;
}

const char *eni_proto_str(uint8_t proto)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(protos); i++) {
		if (protos[i].proto == proto)
			return protos[i].name;
	}
	return "?";
}
