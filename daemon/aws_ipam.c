// SPDX-License-Identifier: Apache-2.0
/* What aws-node writes about its pods, read and written: see aws_ipam.h. */
#include "daemon/aws_ipam.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "vpc-cni-ipam/1"
#define FILE_MAX (4 * 1024 * 1024)
#define FILE_DEPTH 8

static int text_of(const struct vw_json *o, const char *key, char *ret, size_t size, struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(o, key, &s, err);

	if (r < 0)
		return r;
	if (r == 0 || !vw_is_name(s) || vw_fmt(ret, size, "%s", s) < 0)
		return vw_err_set(err, EBADMSG, 0, "key '%s' is missing or no name", key);
	return 0;
}

static int address_of(const struct vw_json *o, struct vw_ip *ret, struct vw_err *err)
{
	const char *four = NULL, *six = NULL;

	if (vw_json_get_str(o, "ipv4", &four, err) < 0 || vw_json_get_str(o, "ipv6", &six, err) < 0)
		return -err->eno;
	if (four && *four && six && *six)
		return vw_err_set(err, EOPNOTSUPP, 0, "it has both an IPv4 and an IPv6 address (%.40s, %.60s): no release of aws-node writes that",
				  four, six);
	if (six && *six)
		return vw_ip_parse(six, ret) < 0 || ret->family != AF_INET6 ?
			       vw_err_set(err, EBADMSG, 0, "key 'ipv6' is no IPv6 address") : 0;
	if (!four || vw_ip_parse(four, ret) < 0 || ret->family != AF_INET)
		return vw_err_set(err, EBADMSG, 0, "key 'ipv4' is missing or no IPv4 address");
	return 0;
}

static int alloc_of(const struct vw_json *o, struct aws_alloc *a, struct vw_err *err)
{
	const struct vw_json *meta = NULL;
	int64_t count = 1;

	if (text_of(o, "containerID", a->key.container_id, sizeof(a->key.container_id), err) < 0 ||
	    text_of(o, "ifName", a->key.ifname, sizeof(a->key.ifname), err) < 0 || vw_json_get_obj(o, "metadata", &meta, err) < 0 ||
	    text_of(meta, "k8sPodNamespace", a->pod_namespace, sizeof(a->pod_namespace), err) < 0 ||
	    text_of(meta, "k8sPodName", a->pod_name, sizeof(a->pod_name), err) < 0 ||
	    vw_json_get_int(meta, "interfacesCount", 0, 64, &count, err) < 0 || address_of(o, &a->addr, err) < 0)
		return -err->eno;
	if (!strcmp(a->key.ifname, "unknown"))
		(void)VW_COPY(a->key.ifname, "eth0");
	if (count > 1 || strcmp(a->key.ifname, "eth0"))
		return vw_err_set(err, EOPNOTSUPP, 0, "it has several interfaces: such pods cannot be taken over, delete them first");
	return 0;
}

static int twice(const struct aws_alloc *all, size_t n, struct vw_err *err)
{
	char ip[VW_IP_STRLEN];

	for (size_t i = 0; i < n; i++)
		if (vw_ip_eq(&all[i].addr, &all[n].addr) || !strcmp(all[i].key.container_id, all[n].key.container_id))
			return vw_err_set(err, EBADMSG, 0, "address %s or container %.80s is in it twice", vw_ip_str(&all[n].addr, ip),
					  all[n].key.container_id);
	return 0;
}

int aws_ipam_parse(const char *text, size_t len, struct aws_alloc **ret, size_t *ret_n, struct vw_err *err)
{
	static const struct vw_json_limits lim = { .max_bytes = FILE_MAX, .max_depth = FILE_DEPTH };
	vw_auto_json struct vw_json *j = NULL;
	vw_auto_free struct aws_alloc *all = NULL;
	const struct vw_json *list = NULL;
	const char *version = NULL;
	size_t n;

	if (vw_json_parse(text, len, &lim, "aws-node's checkpoint", &j, err) < 0 || vw_json_get_str(j, "version", &version, err) < 0 ||
	    vw_json_get_arr(j, "allocations", &list, err) < 0)
		return -(err->eno = EBADMSG);
	if (!version || strcmp(version, VERSION))
		return vw_err_set(err, EBADMSG, 0, "its version is '%.40s', only " VERSION " is known", version ? version : "");
	n = vw_json_len(list);
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu pods", n);
	for (size_t i = 0; i < n; i++)
		if (alloc_of(vw_json_at(list, i), &all[i], err) < 0 || twice(all, i, err) < 0) {
			if (err->eno != EOPNOTSUPP && err->eno != ENOMEM)
				err->eno = EBADMSG;
			return vw_err_wrap(err, "allocation %zu, pod %.60s/%.60s", i, all[i].pod_namespace, all[i].pod_name);
		}
	*ret = VW_TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

static struct vw_json *alloc_json(const struct aws_alloc *a, uint64_t now_ns)
{
	struct vw_json *o = vw_json_new_object(), *meta = vw_json_new_object();
	char ip[VW_IP_STRLEN];

	if (vw_json_set_str(o, "networkName", AWS_IPAM_NETWORK) < 0 || vw_json_set_str(o, "containerID", a->key.container_id) < 0 ||
	    vw_json_set_str(o, "ifName", a->key.ifname) < 0 ||
	    vw_json_set_str(o, a->addr.family == AF_INET ? "ipv4" : "ipv6", vw_ip_str(&a->addr, ip)) < 0 ||
	    vw_json_set_int(o, "allocationTimestamp", (int64_t)now_ns) < 0 || vw_json_set_str(meta, "k8sPodNamespace", a->pod_namespace) < 0 ||
	    vw_json_set_str(meta, "k8sPodName", a->pod_name) < 0 || vw_json_set_int(meta, "interfacesCount", 1) < 0) {
		vw_json_free(meta);
		vw_json_free(o);
		return NULL;
	}
	if (vw_json_set(o, "metadata", meta) == 0)
		return o;
	vw_json_free(o);
	return NULL;
}

int aws_ipam_print(const struct aws_alloc *allocs, size_t n, uint64_t now_ns, struct vw_buf *buf, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	struct vw_json *list = vw_json_new_array();
	int failed = vw_json_set_str(j, "version", VERSION);

	for (size_t i = 0; i < n && !failed; i++)
		failed = vw_json_append(list, alloc_json(&allocs[i], now_ns));
	failed |= vw_json_set(j, "allocations", list);
	if (failed || vw_json_print(j, 0, buf) < 0 || vw_buf_err(buf) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for %zu pods", n);
	return 0;
}
