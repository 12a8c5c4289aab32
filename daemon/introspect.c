#include "daemon/introspect.h"

#include "daemon/daemon.h"
#include "daemon/placement.h"
#include "ipam/pool.h"
#include "ipam/v6.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define GO_NO_TIME "0001-01-01T00:00:00Z"       /* time.Time's zero value */

static int print(struct vw_json *take_j, int failed, struct vw_buf *body, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = take_j;

	if (failed || !j || vw_json_print(j, 0, body) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for an answer");
	return 0;
}

/* --- Go's net.IPNet: a mask is bytes, and those are base64 */

static void base64(const uint8_t *in, size_t n, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = 0;
}

static struct vw_json *ipnet(const struct vw_cidr *c)
{
	struct vw_json *o = vw_json_new_object();
	size_t n = c->ip.family == AF_INET ? 4 : 16;
	char ip[VW_IP_STRLEN], text[28];
	uint8_t mask[16] = { 0 };

	for (unsigned int i = 0; i < c->len; i++)
		mask[i / 8] = (uint8_t)(mask[i / 8] | 0x80 >> i % 8);
	base64(mask, n, text);
	return vw_json_whole(o, vw_json_set_str(o, "IP", vw_ip_str(&c->ip, ip)) | vw_json_set_str(o, "Mask", text));
}

/* --- /v1/enis */

static void when(uint64_t mono_ms, char ret[VW_TIME_STRLEN])
{
	vw_time_str(vw_unix_s() - (int64_t)((vw_mono_ms() - mono_ms) / 1000), ret);
}

static struct vw_json *address_json(const struct vw_ip *ip, const struct attachment *a, uint64_t freed_ms)
{
	struct vw_json *o = vw_json_new_object(), *key = vw_json_new_object(), *meta = vw_json_new_object();
	char text[VW_IP_STRLEN], assigned[VW_TIME_STRLEN] = GO_NO_TIME, unassigned[VW_TIME_STRLEN] = GO_NO_TIME;
	int failed = vw_json_set_str(key, "networkName", a ? "aws-cni" : "") | vw_json_set_str(key, "containerID", "") |
		     vw_json_set_str(key, "ifName", "");

	if (a && *a->pod_namespace)
		failed |= vw_json_set_str(meta, "k8sPodNamespace", a->pod_namespace);
	if (a && *a->pod_name)
		failed |= vw_json_set_str(meta, "k8sPodName", a->pod_name);
	if (a)
		when(a->created_ms, assigned);
	if (freed_ms)
		when(freed_ms, unassigned);
	failed |= vw_json_set_str(o, "Address", vw_ip_str(ip, text)) | vw_json_set(o, "IPAMKey", key) | vw_json_set(o, "IPAMMetadata", meta);
	return vw_json_whole(o, failed | vw_json_set_str(o, "AssignedTime", assigned) | vw_json_set_str(o, "UnassignedTime", unassigned));
}

struct cidrs {
	const struct daemon *d;
	struct vw_json *o;
	int failed;
};

/* an address that no pod has or had of late is not shown: aws-node makes them as they are given out */
static int add_address(struct cidrs *c, struct vw_json *addresses, const struct vw_ip *ip)
{
	uint64_t rest_ms = (uint64_t)c->d->cfg->ip_cooldown_s * 1000;
	struct ipam_addr at;
	char text[VW_IP_STRLEN];

	if (!ipam_pool_by_ip(c->d->pool, ip, &at) || at.state == IPAM_FREE)
		return 0;
	return vw_json_set(addresses, vw_ip_str(ip, text),
			   address_json(ip, at.key ? attach_by_text(c->d, at.key) : NULL, at.until_ms > rest_ms ? at.until_ms - rest_ms : 0));
}

static int cidr_json(const struct ipam_slot *s, void *arg)
{
	struct cidrs *c = arg;
	struct vw_json *o = vw_json_new_object(), *addresses = vw_json_new_object();
	struct vw_ip ip = s->cidr.ip;
	char text[VW_CIDR_STRLEN];
	int failed = vw_json_set(o, "Cidr", ipnet(&s->cidr));

	for (unsigned int i = 0; i < (s->prefix ? IPAM_PREFIX4_ADDRS : 1); i++) {
		ip.b[3] = (uint8_t)(s->cidr.ip.b[3] + i);       /* aligned: no carry */
		failed |= add_address(c, addresses, &ip);
	}
	failed |= vw_json_set(o, "IPAddresses", addresses) | vw_json_set_bool(o, "IsPrefix", s->prefix) | vw_json_set_str(o, "AddressFamily", "4");
	c->failed |= vw_json_set(c->o, vw_cidr_str(&s->cidr, text), vw_json_whole(o, failed));
	return 0;
}

static struct vw_json *cidrs6_json(const struct daemon *d, const struct eni *e)
{
	struct vw_json *all = vw_json_new_object(), *o, *addresses;
	const struct attachment *a;
	char text[VW_CIDR_STRLEN];
	int failed = 0;

	if (!e->row.block6.ip.family)
		return all;
	o = vw_json_new_object();
	addresses = vw_json_new_object();
	for (a = d->attach.by_key; a; a = a->hh.next)
		if (a->addr6.family && vw_cidr_has(&e->row.block6, &a->addr6))
			failed |= vw_json_set(addresses, vw_ip_str(&a->addr6, text), address_json(&a->addr6, a, 0));
	failed |= vw_json_set(o, "Cidr", ipnet(&e->row.block6)) | vw_json_set(o, "IPAddresses", addresses) | vw_json_set_bool(o, "IsPrefix", true) |
		  vw_json_set_str(o, "AddressFamily", "6");
	return vw_json_whole(all, vw_json_set(all, vw_cidr_str(&e->row.block6, text), vw_json_whole(o, failed)));
}

static struct vw_json *eni_json(const struct daemon *d, const struct eni *e)
{
	struct vw_json *o = vw_json_new_object();
	struct cidrs c = { .d = d, .o = vw_json_new_object() };
	int failed = vw_json_set_str(o, "ID", e->row.id) | vw_json_set_bool(o, "IsPrimary", e->row.primary) |
		     vw_json_set_bool(o, "IsTrunk", !vw_mac_is_zero(&d->enis.trunk_mac) && vw_mac_eq(&e->row.mac, &d->enis.trunk_mac)) |
		     vw_json_set_bool(o, "IsEFA", false) | vw_json_set_int(o, "DeviceNumber", e->row.device);

	(void)ipam_pool_slot_each(d->pool, e->row.id, cidr_json, &c);
	failed |= c.failed | vw_json_set(o, "AvailableIPv4Cidrs", c.o) | vw_json_set(o, "IPv6Cidrs", cidrs6_json(d, e));
	return vw_json_whole(o, failed);
}

int introspect_enis(void *daemon, struct vw_buf *body, struct vw_err *err)
{
	struct daemon *d = daemon;
	struct vw_json *root = vw_json_new_object(), *enis = vw_json_new_object();
	struct ipam_stats s;
	int failed = 0;

	ipam_pool_advance(d->pool, vw_mono_ms());
	ipam_pool_stats(d->pool, &s);
	failed |= vw_json_set_int(root, "TotalIPs", s.total) | vw_json_set_int(root, "AssignedIPs", s.assigned);
	for (size_t i = 0; i < d->enis.n; i++)
		failed |= vw_json_set(enis, d->enis.v[i].row.id, eni_json(d, &d->enis.v[i]));
	return print(root, failed | vw_json_set(root, "ENIs", enis), body, err);
}

/* --- the others */

int introspect_pods(void *daemon, struct vw_buf *body, struct vw_err *err)
{
	struct daemon *d = daemon;
	struct vw_json *root = vw_json_new_object();
	const struct attachment *a;
	int failed = 0;

	for (a = d->attach.by_key; a; a = a->hh.next) {
		struct vw_json *o = vw_json_new_object();
		const struct eni *e = NULL;
		char key[3 * VW_ID_MAX], ip[VW_IP_STRLEN];
		struct ipam_addr at;
		int bad = vw_fmt(key, sizeof(key), "%s_%s_%s", a->pod_name, a->pod_namespace, a->container_id) < 0;

		if (a->addr.family && ipam_pool_by_key(d->pool, a->key_text, &at) && at.eni)
			e = eni_by_id(d, at.eni->id);
		bad |= vw_json_set_str(o, "IP", vw_ip_str(a->addr.family ? &a->addr : &a->addr6, ip));
		bad |= vw_json_set_int(o, "DeviceNumber", e ? e->row.device : 0);
		failed |= vw_json_set(root, key, vw_json_whole(o, bad));
	}
	return print(root, failed, body, err);
}

int introspect_eni_configs(void *daemon, struct vw_buf *body, struct vw_err *err)
{
	const char *name = placement_eni_config(daemon);

	if (!name)
		return vw_err_set(err, ENOENT, 0, "this node has no ENIConfig");
	return print(vw_json_new_string(name), 0, body, err);
}

static int put_ranges(struct vw_json *o, const char *key, const struct vw_cidr *v, size_t n)
{
	struct vw_json *arr = vw_json_new_array();
	char text[VW_CIDR_STRLEN];
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		failed |= vw_json_append(arr, vw_json_new_string(vw_cidr_str(&v[i], text)));
	return failed | vw_json_set(o, key, arr);
}

int introspect_network_settings(void *daemon, struct vw_buf *body, struct vw_err *err)
{
	/* its typeOfSNAT: a number in the order sequential, hashrandom, prng */
	static const int snat[] = { [CONFIG_SNAT_PRNG] = 2, [CONFIG_SNAT_HASHRANDOM] = 1, [CONFIG_SNAT_NONE] = 0 };
	const struct vwired_config *c = ((struct daemon *)daemon)->cfg;
	struct vw_json *o = vw_json_new_object();
	int failed = vw_json_set_int(o, "AWS_VPC_K8S_CNI_CONNMARK", c->connmark) |
		     put_ranges(o, "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", c->exclude_snat_cidrs, c->n_exclude_snat_cidrs) |
		     vw_json_set_bool(o, "AWS_VPC_K8S_CNI_EXTERNALSNAT", c->external_snat) | vw_json_set_int(o, "AWS_VPC_ENI_MTU", c->eni_mtu) |
		     vw_json_set_str(o, "AWS_VPC_K8S_CNI_VETHPREFIX", c->veth_prefix) |
		     vw_json_set_bool(o, "AWS_VPC_CNI_NODE_PORT_SUPPORT", c->node_port_support) |
		     vw_json_set_int(o, "AWS_VPC_K8S_CNI_RANDOMIZESNAT", snat[c->randomize_snat]);

	return print(o, failed, body, err);
}

int introspect_ipamd_settings(void *daemon, struct vw_buf *body, struct vw_err *err)
{
	const struct vwired_config *c = ((struct daemon *)daemon)->cfg;
	struct vw_json *o = vw_json_new_object();
	/* -1 is its "not set" */
	int failed = vw_json_set_int(o, "WARM_IP_TARGET", c->warm_ip_target ? (int64_t)c->warm_ip_target : -1) |
		     vw_json_set_int(o, "WARM_ENI_TARGET", c->warm_eni_target) |
		     vw_json_set_bool(o, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", c->custom_networking);

	return print(o, failed, body, err);
}

int introspect_commands(void *daemon, struct vw_buf *body, struct vw_err *err)
{
	static const char *const paths[] = { "/v1/enis", "/v1/eni-configs", "/v1/pods", "/v1/networkutils-env-settings", "/v1/ipamd-env-settings" };
	struct vw_json *root = vw_json_new_object(), *arr = vw_json_new_array();
	int failed = 0;

	(void)daemon;
	for (size_t i = 0; i < VW_ARRAY_SIZE(paths); i++)
		failed |= vw_json_append(arr, vw_json_new_string(paths[i]));
	return print(root, failed | vw_json_set(root, "AvailableCommands", arr), body, err);
}
