// SPDX-License-Identifier: Apache-2.0
/* Capabilities, "args" and CNI_ARGS become one set of wishes: which address, which MAC, how fast. */
#include "lib/cni/wish.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/conf.h"
#include "lib/cni/env.h"
#include "lib/json/json.h"

#include <string.h>

#define BURST_NOT_SAID UINT32_MAX /* bits; containerd sends this, CRI-O eight times as much less one */

/* Which capabilities mean something that cannot be silently left out, and what to do about one that we lack. */
static const struct {
	const char *key;
	unsigned int cap; /* 0: no plugin of ours has it */
	const char *hint;
} capabilities[] = {
	{"ips", VW_CNI_CAP_IPS, "its addresses are given in the configuration"},
	{"mac", VW_CNI_CAP_MAC, "the interface's own address is kept"},
	{"bandwidth", VW_CNI_CAP_BANDWIDTH, "chain the bandwidth plugin behind it"},
	{"portMappings", VW_CNI_CAP_PORT_MAPPINGS,
	 "give the capability to the portmap plugin, chained behind this one"},
	{"ipRanges", 0, "addresses come from the VPC's subnets"},
	{"deviceID", 0, "no device is handed over"},
	{"infinibandGUID", 0, "no InfiniBand device is made"},
};

static bool asks_for_something(const struct vw_json *v)
{
	switch (vw_json_is_null(v) ? VW_JSON_NULL : vw_json_type(v)) {
	case VW_JSON_NULL:
		return false;
	case VW_JSON_ARRAY:
	case VW_JSON_OBJECT:
		return vw_json_len(v) > 0;
	case VW_JSON_STRING:
		return *vw_json_string(v) != '\0';
	default:
		return true;
	}
}

static int unsupported(const char *key, const struct vw_json *v, const char *hint, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;

	if (vw_json_print(v, 0, &text) < 0)
		return vw_err_sys(err, ENOMEM, 0, "naming runtimeConfig.%s", key);
	return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
			  "unsupported field: runtimeConfig.%s is %.200s\n%s", key, vw_buf_str(&text), hint);
}

static int refuse_unserved(const struct vw_json *rc, unsigned int caps, struct vw_err *err)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(capabilities); i++) {
		const struct vw_json *v = vw_json_get(rc, capabilities[i].key);

		if (!(capabilities[i].cap & caps) && asks_for_something(v))
			return unsupported(capabilities[i].key, v, capabilities[i].hint, err);
	}
	return 0;
}

/* --- addresses */

/* "10.0.1.17" or "10.0.1.17/24": the length is of no interest, a container gets a host address. */
static int parse_address(const char *text, struct vw_ip *ret)
{
	struct vw_cidr c;

	if (!text)
		return -EINVAL;
	if (!strchr(text, '/'))
		return vw_ip_parse(text, ret);
	if (vw_cidr_parse(text, &c) < 0)
		return -EINVAL;
	*ret = c.ip;
	return 0;
}

/* Return: 0, -EINVAL (no address), -E2BIG (a second one of its family). */
static int take_address(const char *text, struct vw_cni_wish *w)
{
	struct vw_ip ip;

	if (parse_address(text, &ip) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < w->n_ip; i++) {
		if (w->ip[i].family == ip.family)
			return -E2BIG;
	}
	w->ip[w->n_ip++] = ip;
	return 0;
}

static int ips_of_runtime(const struct vw_json *rc, struct vw_cni_wish *w, struct vw_err *err)
{
	const struct vw_json *arr = NULL;

	if (vw_json_get_arr(rc, "ips", &arr, err) < 0)
		return vw_err_wrap(err, "runtimeConfig");
	for (size_t i = 0; i < vw_json_len(arr); i++) {
		const char *text = vw_json_string(vw_json_at(arr, i));
		int r = take_address(text, w);

		if (r == -E2BIG)
			return unsupported("ips", arr, "an interface gets one address of each family", err);
		if (r < 0)
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
					  "runtimeConfig.ips[%zu] is \"%.80s\", but an address is wanted", i,
					  text ? text : "(no text)");
	}
	return 0;
}

/* A hint: what cannot be understood was not said, and one that cannot be had does not fail the ADD. */
static void ips_of_args(const struct vw_json *cni, struct vw_cni_wish *w)
{
	const struct vw_json *arr = NULL;
	struct vw_err ignored;

	if (vw_json_get_arr(cni, "ips", &arr, &ignored) <= 0)
		return;
	for (size_t i = 0; i < vw_json_len(arr); i++)
		(void)take_address(vw_json_string(vw_json_at(arr, i)), w);
	w->ip_optional = w->n_ip > 0;
}

static int ips_of_env(const struct vw_cni_args *args, unsigned int caps, struct vw_cni_wish *w,
		      struct vw_err *err)
{
	const char *p = args->ip;

	if (!*p)
		return 0;
	if (!(caps & VW_CNI_CAP_IPS))
		return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
				  "unsupported field: CNI_ARGS has IP=%s", args->ip);
	for (;; p++) {
		size_t len = strcspn(p, ",");
		char text[VW_CIDR_STRLEN] = "";

		if (len < sizeof(text))
			memcpy(text, p, len);
		if (take_address(text, w) < 0)
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
					  "CNI_ARGS: IP is \"%.100s\", but an address is wanted, or one of each family",
					  args->ip);
		p += len;
		if (!*p)
			return 0;
	}
}

/* --- MAC */

static bool is_usable(const struct vw_mac *mac)
{
	return !(mac->b[0] & 1) && !vw_mac_is_zero(mac); /* nobody can have a multicast address */
}

static int take_mac(const char *text, struct vw_cni_wish *w)
{
	struct vw_mac mac;

	if (vw_mac_parse(text, &mac) < 0 || !is_usable(&mac))
		return -EINVAL;
	w->mac = mac;
	w->has_mac = true;
	return 0;
}

static int find_mac(const struct vw_json *rc, const struct vw_json *cni, const struct vw_cni_args *args,
		    unsigned int caps, struct vw_cni_wish *w, struct vw_err *err)
{
	const char *text = "", *hint = "";
	struct vw_err ignored;

	if (vw_json_get_str(rc, "mac", &text, err) < 0)
		return vw_err_wrap(err, "runtimeConfig");
	if (*text && take_mac(text, w) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "runtimeConfig.mac is \"%.80s\", but a unicast hardware address is wanted",
				  text);
	if (*text || (vw_json_get_str(cni, "mac", &hint, &ignored) > 0 && take_mac(hint, w) == 0))
		return 0;
	if (!*args->mac)
		return 0;
	if (!(caps & VW_CNI_CAP_MAC))
		return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
				  "unsupported field: CNI_ARGS has MAC=%s", args->mac);
	if (take_mac(args->mac, w) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "CNI_ARGS: MAC is \"%.80s\", but a unicast hardware address is wanted",
				  args->mac);
	return 0;
}

/* --- bandwidth */

static int get_rate(const struct vw_json *bw, const char *rate_key, const char *burst_key,
		    struct vw_cni_rate *ret, struct vw_err *err)
{
	int64_t rate = 0, burst = 0;

	if (vw_json_get_int(bw, rate_key, 0, INT64_MAX, &rate, err) < 0 ||
	    vw_json_get_int(bw, burst_key, 0, INT64_MAX, &burst, err) < 0)
		return vw_err_wrap(err, "runtimeConfig.bandwidth");
	if (burst && !rate)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "runtimeConfig.bandwidth: %s is given, but %s is not", burst_key, rate_key);
	if (rate && rate < VW_CNI_RATE_MIN_BITS)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "runtimeConfig.bandwidth: %s is %d, but 0 or at least %d bits a second is wanted",
				  rate_key, (int)rate, VW_CNI_RATE_MIN_BITS);
	ret->bits_per_s = (uint64_t)rate;
	ret->burst_bits = burst < BURST_NOT_SAID ? (uint64_t)burst : 0;
	return 0;
}

static int find_bandwidth(const struct vw_json *rc, struct vw_cni_wish *w, struct vw_err *err)
{
	const struct vw_json *bw = NULL;

	if (vw_json_get_obj(rc, "bandwidth", &bw, err) < 0)
		return vw_err_wrap(err, "runtimeConfig");
	if (get_rate(bw, "ingressRate", "ingressBurst", &w->to_pod, err) < 0 ||
	    get_rate(bw, "egressRate", "egressBurst", &w->from_pod, err) < 0)
		return -err->eno;
	return 0;
}

int vw_cni_wish_parse(const struct vw_cni_conf *conf, const struct vw_cni_args *args, unsigned int caps,
		      struct vw_cni_wish *ret_wish, struct vw_err *err)
{
	const struct vw_json *rc = NULL, *cni = vw_json_get(vw_json_get(conf->root, "args"), "cni");
	struct vw_cni_wish w = {0};

	if (vw_json_get_obj(conf->root, "runtimeConfig", &rc, err) < 0 || refuse_unserved(rc, caps, err) < 0 ||
	    ips_of_runtime(rc, &w, err) < 0)
		return -err->eno;
	if (!w.n_ip && caps & VW_CNI_CAP_IPS)
		ips_of_args(cni, &w);
	if (!w.n_ip && ips_of_env(args, caps, &w, err) < 0)
		return -err->eno;
	if (find_mac(rc, caps & VW_CNI_CAP_MAC ? cni : NULL, args, caps, &w, err) < 0 ||
	    find_bandwidth(rc, &w, err) < 0)
		return -err->eno;
	*ret_wish = w;
	return 0;
}
