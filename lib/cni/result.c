/*
 * Results: parsing those of any version into the newest shape. Printing is in result_print.c. Lists grow by
 * doubling; a prevResult with ten thousand routes costs a few reallocations.
 */
#include "lib/cni/result.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>

void vw_cni_result_done(struct vw_cni_result *r)
{
	vw_free_ptr(&r->ifaces);
	vw_free_ptr(&r->ips);
	vw_free_ptr(&r->routes);
	r->n_ifaces = r->n_ips = r->n_routes = 0;
	r->dns = NULL;
}

/* Room for one more entry of @size bytes behind @n; lists are full exactly when @n is 0 or a power of two. */
static void *grown(void *list, size_t n, size_t size)
{
	if (n & (n - 1))
		return list;
	return reallocarray(list, n ? 2 * n : 1, size);
}

#define APPEND(list, n, entry)                                                                               \
	({                                                                                                   \
		__typeof__(list) grown_ = grown((list), (n), sizeof(*(list)));                               \
		if (grown_) {                                                                                \
			(list) = grown_;                                                                     \
			(list)[(n)++] = *(entry);                                                            \
		}                                                                                            \
		grown_ ? (int)(n)-1 : -ENOMEM;                                                               \
	})

int vw_cni_result_add_iface(struct vw_cni_result *r, const struct vw_cni_iface *iface)
{
	return APPEND(r->ifaces, r->n_ifaces, iface);
}

int vw_cni_result_add_ip(struct vw_cni_result *r, const struct vw_cni_ip *ip)
{
	return APPEND(r->ips, r->n_ips, ip);
}

int vw_cni_result_add_route(struct vw_cni_result *r, const struct vw_cni_route *route)
{
	return APPEND(r->routes, r->n_routes, route);
}

/* --- parsing: every function names the place; the caller puts "prevResult" before it */

static int get_cidr(const struct vw_json *j, const char *key, struct vw_cidr *ret, struct vw_err *err)
{
	const char *text = "";

	if (vw_json_get_str(j, key, &text, err) < 0)
		return -err->eno;
	if (!strchr(text, '/') || vw_cidr_parse(text, ret) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key '%s' is \"%.80s\", but an address with a prefix length is wanted", key,
				  text);
	return 0;
}

static int get_ip(const struct vw_json *j, const char *key, struct vw_ip *ret, struct vw_err *err)
{
	const char *text = "";

	if (vw_json_get_str(j, key, &text, err) < 0)
		return -err->eno;
	if (*text && vw_ip_parse(text, ret) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key '%s' is \"%.80s\", but an address is wanted", key, text);
	return 0;
}

static int get_u32(const struct vw_json *j, const char *key, uint32_t *ret, struct vw_err *err)
{
	int64_t v;
	int r = vw_json_get_int(j, key, 0, UINT32_MAX, &v, err);

	if (r > 0)
		*ret = (uint32_t)v;
	return r;
}

static int parse_iface(const struct vw_json *j, struct vw_cni_result *r, struct vw_err *err)
{
	struct vw_cni_iface i = {0};

	if (vw_json_get_str(j, "name", &i.name, err) < 0 || vw_json_get_str(j, "mac", &i.mac, err) < 0 ||
	    vw_json_get_str(j, "sandbox", &i.sandbox, err) < 0 ||
	    vw_json_get_str(j, "socketPath", &i.socket_path, err) < 0 ||
	    vw_json_get_str(j, "pciID", &i.pci_id, err) < 0 || get_u32(j, "mtu", &i.mtu, err) < 0)
		return -err->eno;
	if (!i.name)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "key 'name' is missing");
	if (vw_cni_result_add_iface(r, &i) < 0)
		return vw_err_sys(err, ENOMEM, 0, "reading interfaces");
	return 0;
}

static int parse_ip(const struct vw_json *j, struct vw_cni_result *r, struct vw_err *err)
{
	struct vw_cni_ip ip = {.iface = -1};
	int64_t index = -1;

	if (get_cidr(j, "address", &ip.address, err) < 0 || get_ip(j, "gateway", &ip.gateway, err) < 0 ||
	    vw_json_get_int(j, "interface", 0, INT_MAX, &index, err) < 0)
		return -err->eno;
	if (index >= 0 && (size_t)index >= r->n_ifaces)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key 'interface' is %d, but there are %zu interfaces", (int)index,
				  r->n_ifaces);
	ip.iface = (int)index;
	if (vw_cni_result_add_ip(r, &ip) < 0)
		return vw_err_sys(err, ENOMEM, 0, "reading addresses");
	return 0;
}

static int parse_route(const struct vw_json *j, struct vw_cni_result *r, struct vw_err *err)
{
	struct vw_cni_route route = {0};
	int table, scope;

	if (get_cidr(j, "dst", &route.dst, err) < 0 || get_ip(j, "gw", &route.gw, err) < 0 ||
	    get_u32(j, "mtu", &route.mtu, err) < 0 || get_u32(j, "advmss", &route.advmss, err) < 0 ||
	    get_u32(j, "priority", &route.priority, err) < 0)
		return -err->eno;
	table = get_u32(j, "table", &route.table, err);
	scope = table < 0 ? table : get_u32(j, "scope", &route.scope, err);
	if (table < 0 || scope < 0)
		return -err->eno;
	route.has = (table ? VW_CNI_ROUTE_TABLE : 0u) | (scope ? VW_CNI_ROUTE_SCOPE : 0u);
	if (vw_cni_result_add_route(r, &route) < 0)
		return vw_err_sys(err, ENOMEM, 0, "reading routes");
	return 0;
}

static int parse_list(const struct vw_json *j, const char *key,
		      int (*one)(const struct vw_json *, struct vw_cni_result *, struct vw_err *),
		      struct vw_cni_result *r, struct vw_err *err)
{
	const struct vw_json *arr = NULL;

	if (vw_json_get_arr(j, key, &arr, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < vw_json_len(arr); i++) {
		if (one(vw_json_at(arr, i), r, err) < 0)
			return vw_err_wrap(err, "%s[%zu]", key, i);
	}
	return 0;
}

/* "ip4" or "ip6" of 0.1.0 and 0.2.0. */
static int parse_family(const struct vw_json *j, const char *key, struct vw_cni_result *r, struct vw_err *err)
{
	struct vw_cni_ip ip = {.iface = -1};
	const struct vw_json *obj = NULL;

	if (vw_json_get_obj(j, key, &obj, err) < 0)
		return -err->eno;
	if (!obj)
		return 0;
	if (get_cidr(obj, "ip", &ip.address, err) < 0 || get_ip(obj, "gateway", &ip.gateway, err) < 0 ||
	    parse_list(obj, "routes", parse_route, r, err) < 0)
		return vw_err_wrap(err, "%s", key);
	if (vw_cni_result_add_ip(r, &ip) < 0)
		return vw_err_sys(err, ENOMEM, 0, "reading addresses");
	return 0;
}

static int parse_any(const struct vw_json *j, enum vw_cni_version version, struct vw_cni_result *r,
		     struct vw_err *err)
{
	const char *text = NULL;

	if (vw_json_type(j) != VW_JSON_OBJECT)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "it is not a JSON object");
	if (vw_json_get_str(j, "cniVersion", &text, err) < 0)
		return -err->eno;
	if (text && *text && vw_cni_version_parse(text, &version) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG,
				  "key 'cniVersion' is \"%.60s\", which is no version", text);
	if (vw_json_get_obj(j, "dns", &r->dns, err) < 0)
		return -err->eno;
	if (version <= VW_CNI_0_2_0)
		return parse_family(j, "ip4", r, err) < 0 || parse_family(j, "ip6", r, err) < 0 ? -err->eno
												: 0;
	if (parse_list(j, "interfaces", parse_iface, r, err) < 0 ||
	    parse_list(j, "ips", parse_ip, r, err) < 0 || parse_list(j, "routes", parse_route, r, err) < 0)
		return -err->eno;
	return 0;
}

int vw_cni_result_parse_of(const char *what, const struct vw_json *j, enum vw_cni_version version,
			   struct vw_cni_result *ret, struct vw_err *err)
{
	struct vw_cni_result r = VW_CNI_RESULT_INIT;

	if (parse_any(j, version, &r, err) < 0) {
		vw_cni_result_done(&r);
		return vw_err_wrap(err, "%s", what);
	}
	*ret = r;
	return 0;
}

int vw_cni_result_parse(const struct vw_json *j, enum vw_cni_version version, struct vw_cni_result *ret,
			struct vw_err *err)
{
	return vw_cni_result_parse_of("prevResult", j, version, ret, err);
}
