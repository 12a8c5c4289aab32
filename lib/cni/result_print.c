/* Results, brought down to the version that the configuration asks for. Fields: SPEC.md of each version. */
#include "lib/cni/result.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <string.h>
#include <sys/socket.h>

static int set_text(struct vw_json *j, const char *key, const char *text)
{
	return vw_json_set_str(j, key, text && *text ? text : NULL);
}

static int set_ip(struct vw_json *j, const char *key, const struct vw_ip *ip)
{
	char text[VW_IP_STRLEN];

	return set_text(j, key, vw_ip_str(ip, text));
}

static int set_cidr(struct vw_json *j, const char *key, const struct vw_cidr *c)
{
	char text[VW_CIDR_STRLEN];

	return set_text(j, key, vw_cidr_str(c, text));
}

static int set_unless_zero(struct vw_json *j, const char *key, uint32_t v)
{
	return v ? vw_json_set_int(j, key, v) : 0;
}

static int add_iface(struct vw_json *arr, const struct vw_cni_iface *i, enum vw_cni_version version)
{
	struct vw_json *j = vw_json_new_object();
	int failed = vw_json_set_str(j, "name", i->name);

	failed |= set_text(j, "mac", i->mac);
	if (version >= VW_CNI_1_1_0)
		failed |= set_unless_zero(j, "mtu", i->mtu);
	failed |= set_text(j, "sandbox", i->sandbox);
	if (version >= VW_CNI_1_1_0) {
		failed |= set_text(j, "socketPath", i->socket_path);
		failed |= set_text(j, "pciID", i->pci_id);
	}
	return failed | vw_json_append(arr, j);
}

static int add_ip(struct vw_json *arr, const struct vw_cni_ip *ip, enum vw_cni_version version)
{
	struct vw_json *j = vw_json_new_object();
	int failed = 0;

	if (version < VW_CNI_1_0_0)
		failed |= vw_json_set_str(j, "version", ip->address.ip.family == AF_INET ? "4" : "6");
	if (ip->iface >= 0)
		failed |= vw_json_set_int(j, "interface", ip->iface);
	failed |= set_cidr(j, "address", &ip->address);
	failed |= set_ip(j, "gateway", &ip->gateway);
	return failed | vw_json_append(arr, j);
}

static int add_route(struct vw_json *arr, const struct vw_cni_route *r, enum vw_cni_version version)
{
	struct vw_json *j = vw_json_new_object();
	int failed = set_cidr(j, "dst", &r->dst);

	failed |= set_ip(j, "gw", &r->gw);
	if (version >= VW_CNI_1_1_0) {
		failed |= set_unless_zero(j, "mtu", r->mtu);
		failed |= set_unless_zero(j, "advmss", r->advmss);
		failed |= set_unless_zero(j, "priority", r->priority);
		if (r->has & VW_CNI_ROUTE_TABLE)
			failed |= vw_json_set_int(j, "table", r->table);
		if (r->has & VW_CNI_ROUTE_SCOPE)
			failed |= vw_json_set_int(j, "scope", r->scope);
	}
	return failed | vw_json_append(arr, j);
}

/* Routes of @family, or of both when it is 0; no key when there is none. */
static int set_routes(struct vw_json *j, const struct vw_cni_result *r, uint8_t family,
		      enum vw_cni_version version)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; arr && i < r->n_routes; i++) {
		if (!family || r->routes[i].dst.ip.family == family)
			failed |= add_route(arr, &r->routes[i], version);
	}
	if (arr && !vw_json_len(arr)) {
		vw_json_free(arr);
		return failed;
	}
	return failed | vw_json_set(j, "routes", arr);
}

static int set_family(struct vw_json *j, const char *key, const struct vw_cni_result *r, uint8_t family,
		      bool *found)
{
	struct vw_json *obj;
	int failed;

	for (size_t i = 0; i < r->n_ips; i++) {
		if (r->ips[i].address.ip.family != family)
			continue;
		*found = true;
		obj = vw_json_new_object();
		failed = set_cidr(obj, "ip", &r->ips[i].address);
		failed |= set_ip(obj, "gateway", &r->ips[i].gateway);
		failed |= set_routes(obj, r, family, VW_CNI_0_2_0);
		return failed | vw_json_set(j, key, obj);
	}
	return 0;
}

static int set_lists(struct vw_json *j, const struct vw_cni_result *r, enum vw_cni_version version)
{
	struct vw_json *ifaces = vw_json_new_array(), *ips = vw_json_new_array();
	int failed = 0;

	for (size_t i = 0; ifaces && i < r->n_ifaces; i++)
		failed |= add_iface(ifaces, &r->ifaces[i], version);
	for (size_t i = 0; ips && i < r->n_ips; i++)
		failed |= add_ip(ips, &r->ips[i], version);
	failed |= vw_json_set(j, "interfaces", ifaces);
	failed |= vw_json_set(j, "ips", ips);
	return failed | set_routes(j, r, 0, version);
}

int vw_cni_result_print(const struct vw_cni_result *r, enum vw_cni_version version, struct vw_buf *buf,
			struct vw_err *err)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	int failed = vw_json_set_str(j, "cniVersion", vw_cni_version_str(version));
	bool found = false;

	if (version <= VW_CNI_0_2_0) {
		failed |= set_family(j, "ip4", r, AF_INET, &found);
		failed |= set_family(j, "ip6", r, AF_INET6, &found);
		if (!failed && !found)
			return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
					  "a result without an address cannot be printed in version %s",
					  vw_cni_version_str(version));
	} else {
		failed |= set_lists(j, r, version);
	}
	if (r->dns)
		failed |= vw_json_set(j, "dns", vw_json_copy(r->dns));
	if (failed || vw_json_print(j, 0, buf) < 0)
		return vw_err_sys(err, ENOMEM, 0, "printing the result");
	return 0;
}
