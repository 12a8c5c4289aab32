/*
 * Messages: struct <-> JSON. What comes off the socket is foreign even though its sender is root: every text
 * is measured against the field it goes into, every number against its range, before a struct is filled.
 */
#include "lib/rpc/rpc.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <limits.h>
#include <string.h>

#define MESSAGE_MAX_DEPTH 8
#define REPLY_MAX_DEPTH 24 /* what queries find is nested more deeply */

static const char *const op_names[] = {
	[VW_RPC_ADD] = "add",       [VW_RPC_DEL] = "del", [VW_RPC_CHECK] = "check",
	[VW_RPC_STATUS] = "status", [VW_RPC_GC] = "gc",   [VW_RPC_INFO] = "info",
	[VW_RPC_QUERY] = "query",   [VW_RPC_DRAIN] = "drain",
};

static const char *const attach_names[] = {[VW_ATTACH_CLSACT] = "clsact", [VW_ATTACH_TCX] = "tcx"};

static int index_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(name, names[i]))
			return (int)i;
	}
	return -1;
}

/* Ends every encoder: @failed collects the builders' answers. */
static int print(const struct vw_json *j, int failed, struct vw_buf *buf, struct vw_err *err)
{
	int r = failed ? -ENOMEM : vw_json_print(j, 0, buf);

	if (r < 0)
		return vw_err_sys(err, r, 0, "encoding a message");
	if (buf->len > VW_RPC_MAX)
		return vw_err_set(err, EMSGSIZE, VW_CNI_DAEMON,
				  "the message has %zu bytes; at most %d fit in a packet", buf->len,
				  VW_RPC_MAX);
	return 0;
}

static int set_unless_empty(struct vw_json *j, const char *key, const char *text)
{
	return vw_json_set_str(j, key, *text ? text : NULL);
}

static int set_u32(struct vw_json *j, const char *key, unsigned int v)
{
	return vw_json_set_int(j, key, (int64_t)v);
}

static int set_mac(struct vw_json *j, const char *key, const struct vw_mac *mac)
{
	char text[VW_MAC_STRLEN];

	return vw_json_set_str(j, key, vw_mac_str(mac, text));
}

/* --- decoding helpers: 1 found, 0 absent, -errno */

static int get_text(const struct vw_json *j, const char *key, char *ret, size_t size, struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(j, key, &s, err);

	if (r <= 0)
		return r;
	if (vw_fmt(ret, size, "%s", s) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_DAEMON, "key '%s' is longer than %zu bytes", key,
				  size - 1);
	return 1;
}

static int get_u32(const struct vw_json *j, const char *key, unsigned int max, unsigned int *ret,
		   struct vw_err *err)
{
	int64_t v;
	int r = vw_json_get_int(j, key, 0, max, &v, err);

	if (r > 0)
		*ret = (unsigned int)v;
	return r;
}

static int get_mac(const struct vw_json *j, const char *key, struct vw_mac *ret, struct vw_err *err)
{
	const char *s = NULL;
	int r = vw_json_get_str(j, key, &s, err);

	if (r > 0 && vw_mac_parse(s, ret) < 0)
		return vw_err_set(err, EINVAL, VW_CNI_DAEMON, "key '%s' is no hardware address", key);
	return r;
}

static int missing(const char *key, struct vw_err *err)
{
	return vw_err_set(err, EINVAL, VW_CNI_DAEMON, "key '%s' is missing", key);
}

/* --- requests */

static int key_is_sane(const char *container_id, const char *ifname, struct vw_err *err)
{
	if (!vw_is_name(container_id) || strlen(container_id) >= VW_ID_MAX)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "the container id is missing or not valid");
	if (!vw_is_ifname(ifname))
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_ENV,
				  "the interface name is missing or not valid");
	return 0;
}

static int set_want(struct vw_json *j, const struct vw_rpc_req *req)
{
	struct vw_json *arr = vw_json_new_array();
	char text[VW_IP_STRLEN];
	int failed = 0;

	for (unsigned int i = 0; arr && i < req->n_want && i < VW_ARRAY_SIZE(req->want); i++)
		failed |= vw_json_append(arr, vw_json_new_string(vw_ip_str(&req->want[i], text)));
	failed |= vw_json_set(j, "want", arr);
	return req->want_optional ? failed | vw_json_set_bool(j, "want_optional", true) : failed;
}

/* "<container id>/<ifname>": an id holds no '/', and 800 of these still fit in one packet. */
static int set_valid(struct vw_json *j, const struct vw_rpc_req *req)
{
	struct vw_json *arr;
	int failed = 0;

	if (req->valid_unknown)
		return vw_json_set_bool(j, "valid_unknown", true);
	arr = vw_json_new_array();
	for (size_t i = 0; arr && i < req->n_valid; i++) {
		char text[VW_ID_MAX + IFNAMSIZ];

		snprintf(text, sizeof(text), "%s/%s", req->valid[i].container_id, req->valid[i].ifname);
		failed |= vw_json_append(arr, vw_json_new_string(text));
	}
	return failed | vw_json_set(j, "valid", arr);
}

int vw_rpc_req_encode(const struct vw_rpc_req *req, struct vw_buf *buf, struct vw_err *err)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	int failed = vw_json_set_str(j, "op", op_names[req->op]);

	failed |= set_u32(j, "vmin", req->vmin ? req->vmin : VW_RPC_VERSION_MIN);
	failed |= set_u32(j, "vmax", req->vmax ? req->vmax : VW_RPC_VERSION_MAX);
	failed |= set_unless_empty(j, "container_id", req->key.container_id);
	failed |= set_unless_empty(j, "ifname", req->key.ifname);
	failed |= set_unless_empty(j, "netns", req->netns);
	failed |= set_unless_empty(j, "network", req->network);
	failed |= set_unless_empty(j, "pod_namespace", req->pod_namespace);
	failed |= set_unless_empty(j, "pod_name", req->pod_name);
	failed |= set_unless_empty(j, "pod_uid", req->pod_uid);
	if (req->deadline_ms)
		failed |= set_u32(j, "deadline_ms", req->deadline_ms);
	if (req->n_want)
		failed |= set_want(j, req);
	if (req->mtu)
		failed |= set_u32(j, "mtu", req->mtu);
	if (req->own_attach)
		failed |= vw_json_set_str(j, "attach", attach_names[req->attach]);
	if (req->failed)
		failed |= vw_json_set_bool(j, "failed", true);
	if (req->op == VW_RPC_GC)
		failed |= set_valid(j, req);
	if (req->off)
		failed |= vw_json_set_bool(j, "off", true);
	failed |= set_unless_empty(j, "what", req->what);
	if (req->args)
		failed |= vw_json_set(j, "args", vw_json_copy(req->args));
	return print(j, failed, buf, err);
}

static int decode_version(const struct vw_json *j, struct vw_rpc_req *req, struct vw_err *err)
{
	req->vmin = req->vmax = VW_RPC_VERSION_MIN;
	if (get_u32(j, "vmin", INT_MAX, &req->vmin, err) < 0 ||
	    get_u32(j, "vmax", INT_MAX, &req->vmax, err) < 0)
		return -err->eno;
	if (req->vmin > VW_RPC_VERSION_MAX || req->vmax < VW_RPC_VERSION_MIN)
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON,
				  "the plugin speaks protocol versions %u to %u, vpcwired %d to %d: install "
				  "both from one release",
				  req->vmin, req->vmax, VW_RPC_VERSION_MIN, VW_RPC_VERSION_MAX);
	return 0;
}

static int decode_want(const struct vw_json *j, struct vw_rpc_req *req, struct vw_err *err)
{
	const struct vw_json *arr = NULL;

	if (vw_json_get_bool(j, "want_optional", &req->want_optional, err) < 0 ||
	    vw_json_get_arr(j, "want", &arr, err) < 0)
		return -err->eno;
	if (vw_json_len(arr) > VW_ARRAY_SIZE(req->want))
		return vw_err_set(err, EINVAL, VW_CNI_DAEMON, "key 'want' has more than two addresses");
	for (size_t i = 0; i < vw_json_len(arr); i++) {
		const char *text = vw_json_string(vw_json_at(arr, i));

		if (!text || vw_ip_parse(text, &req->want[i]) < 0 ||
		    (i && req->want[i].family == req->want[0].family))
			return vw_err_set(err, EINVAL, VW_CNI_DAEMON,
					  "entry %zu of 'want' is no address, or a second one of its family", i);
		req->n_want++;
	}
	return 0;
}

static int decode_attach(const struct vw_json *j, bool *ret_has, enum vw_attach_mode *ret, struct vw_err *err)
{
	const char *text = NULL;
	int mode;

	if (vw_json_get_str(j, "attach", &text, err) < 0)
		return -err->eno;
	mode = text ? index_of(text, attach_names, VW_ARRAY_SIZE(attach_names)) : VW_ATTACH_CLSACT;
	if (mode < 0)
		return vw_err_set(err, EINVAL, VW_CNI_DAEMON, "'attach' is \"%.40s\"", text);
	*ret_has = text;
	*ret = (enum vw_attach_mode)mode;
	return 0;
}

static int decode_valid(const struct vw_json *j, struct vw_rpc_req *req, struct vw_err *err)
{
	const struct vw_json *arr = NULL;
	size_t n;

	if (vw_json_get_bool(j, "valid_unknown", &req->valid_unknown, err) < 0 ||
	    vw_json_get_arr(j, "valid", &arr, err) < 0)
		return -err->eno;
	if (!arr) {
		req->valid_unknown = true;
		return 0;
	}
	n = vw_json_len(arr);
	req->valid = n ? calloc(n, sizeof(*req->valid)) : NULL;
	if (n && !req->valid)
		return vw_err_sys(err, ENOMEM, 0, "decoding %zu attachments", n);
	for (size_t i = 0; i < n; i++) {
		const char *text = vw_json_string(vw_json_at(arr, i)),
			   *slash = text ? strrchr(text, '/') : NULL;
		struct vw_attach_key *key = &req->valid[i];

		if (!slash)
			return vw_err_set(err, EINVAL, VW_CNI_DAEMON,
					  "entry %zu of 'valid' is not \"container/interface\"", i);
		if (vw_fmt(key->container_id, VW_ID_MAX, "%.*s", (int)(slash - text), text) < 0 ||
		    vw_fmt(key->ifname, IFNAMSIZ, "%s", slash + 1) < 0)
			return vw_err_set(err, EINVAL, VW_CNI_DAEMON, "entry %zu of 'valid' is too long", i);
		if (key_is_sane(key->container_id, key->ifname, err) < 0)
			return vw_err_wrap(err, "entry %zu of 'valid'", i);
	}
	req->n_valid = n;
	return 0;
}

static int decode_query(const struct vw_json *j, struct vw_rpc_req *req, struct vw_err *err)
{
	const struct vw_json *args = NULL;
	int r = get_text(j, "what", req->what, sizeof(req->what), err);

	if (r <= 0)
		return r < 0 ? r : missing("what", err);
	if (vw_json_get_obj(j, "args", &args, err) < 0)
		return -err->eno;
	req->args = args ? vw_json_copy(args) : NULL;
	return args && !req->args ? vw_err_set(err, ENOMEM, 0, "no memory for a query") : 0;
}

static int decode_fields(const struct vw_json *j, struct vw_rpc_req *req, struct vw_err *err)
{
	if (get_text(j, "container_id", req->key.container_id, VW_ID_MAX, err) < 0 ||
	    get_text(j, "ifname", req->key.ifname, IFNAMSIZ, err) < 0 ||
	    get_text(j, "netns", req->netns, VW_PATH_MAX, err) < 0 ||
	    get_text(j, "network", req->network, VW_ID_MAX, err) < 0 ||
	    get_text(j, "pod_namespace", req->pod_namespace, VW_ID_MAX, err) < 0 ||
	    get_text(j, "pod_name", req->pod_name, VW_ID_MAX, err) < 0 ||
	    get_text(j, "pod_uid", req->pod_uid, VW_ID_MAX, err) < 0 ||
	    get_u32(j, "deadline_ms", INT_MAX, &req->deadline_ms, err) < 0 ||
	    get_u32(j, "mtu", 65535, &req->mtu, err) < 0 || decode_attach(j, &req->own_attach, &req->attach, err) < 0 ||
	    vw_json_get_bool(j, "failed", &req->failed, err) < 0 ||
	    vw_json_get_bool(j, "off", &req->off, err) < 0 || decode_want(j, req, err) < 0)
		return -err->eno;
	if (req->op == VW_RPC_ADD || req->op == VW_RPC_DEL || req->op == VW_RPC_CHECK)
		return key_is_sane(req->key.container_id, req->key.ifname, err);
	if (req->op == VW_RPC_QUERY)
		return decode_query(j, req, err);
	return req->op == VW_RPC_GC ? decode_valid(j, req, err) : 0;
}

int vw_rpc_req_decode(const char *text, size_t len, struct vw_rpc_req *ret_req, struct vw_err *err)
{
	static const struct vw_json_limits lim = {.max_bytes = VW_RPC_MAX, .max_depth = MESSAGE_MAX_DEPTH};
	vw_auto_json struct vw_json *j = NULL;
	struct vw_rpc_req req = {0};
	const char *op = NULL;
	int which;

	if (vw_json_parse(text, len, &lim, "the request", &j, err) < 0)
		return -err->eno;
	if (vw_json_type(j) != VW_JSON_OBJECT)
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON, "the request is not a JSON object");
	/* Versions first: a client from the future may well know operations that we do not. */
	if (decode_version(j, &req, err) < 0 || vw_json_get_str(j, "op", &op, err) < 0)
		return -err->eno;
	which = op ? index_of(op, op_names, VW_ARRAY_SIZE(op_names)) : -1;
	if (which < 0)
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON,
				  "key 'op' is missing or names no operation that is known");
	req.op = (enum vw_rpc_op)which;
	if (decode_fields(j, &req, err) < 0) {
		vw_rpc_req_done(&req);
		return vw_err_wrap(err, "the '%s' request", op);
	}
	*ret_req = req;
	return 0;
}

void vw_rpc_req_done(struct vw_rpc_req *req)
{
	vw_free_ptr(&req->valid);
	req->n_valid = 0;
	vw_json_freep(&req->args);
}

/* --- replies */

unsigned int vw_rpc_version_of(const struct vw_rpc_req *req)
{
	return req->vmax < VW_RPC_VERSION_MAX ? req->vmax : VW_RPC_VERSION_MAX;
}

/* @v: the version that was agreed on */
static struct vw_json *reply(unsigned int v, int *failed)
{
	struct vw_json *j = vw_json_new_object();

	*failed = set_u32(j, "v", v);
	return j;
}

static int set_addresses(struct vw_json *j, const struct vw_rpc_wiring *w)
{
	struct vw_json *arr = vw_json_new_array();
	int failed = 0;

	for (unsigned int i = 0; arr && i < w->n_addr && i < VW_ARRAY_SIZE(w->addr); i++) {
		struct vw_json *entry = vw_json_new_object();
		char addr[VW_CIDR_STRLEN], gw[VW_IP_STRLEN];

		failed |= vw_json_set_str(entry, "address", vw_cidr_str(&w->addr[i], addr));
		failed |= vw_json_set_str(entry, "gateway", vw_ip_str(&w->gateway[i], gw));
		failed |= w->egress[i] ? vw_json_set_bool(entry, "egress", true) : 0;
		failed |= vw_json_append(arr, entry);
	}
	return failed | vw_json_set(j, "addresses", arr);
}

int vw_rpc_wiring_encode(unsigned int v, const struct vw_rpc_wiring *w, struct vw_buf *buf, struct vw_err *err)
{
	int failed;
	vw_auto_json struct vw_json *j = reply(v, &failed);

	failed |= vw_json_set_bool(j, "existing", w->existing);
	failed |= set_addresses(j, w);
	failed |= set_u32(j, "mtu", w->mtu);
	failed |= vw_json_set_str(j, "host_ifname", w->host_ifname);
	failed |= set_u32(j, "host_ifindex", w->host_ifindex);
	failed |= set_mac(j, "host_mac", &w->host_mac);
	failed |= set_mac(j, "pod_mac", &w->pod_mac);
	failed |= set_u32(j, "slot", w->slot);
	failed |= set_u32(j, "pods_table", w->pods_table);
	if (w->apart)
		failed |= vw_json_set_bool(j, "apart", true);
	if (w->adopted)
		failed |= vw_json_set_bool(j, "adopted", true);
	failed |= set_unless_empty(j, "eni_id", w->eni_id);
	failed |= set_unless_empty(j, "eni_ifname", w->eni_ifname);
	failed |= vw_json_set_str(j, "attach", attach_names[w->attach]);
	failed |= set_unless_empty(j, "pin_from_pod", w->pin_from_pod);
	failed |= set_unless_empty(j, "pin_to_pod", w->pin_to_pod);
	return print(j, failed, buf, err);
}

static int decode_addresses(const struct vw_json *j, struct vw_rpc_wiring *w, struct vw_err *err)
{
	const struct vw_json *arr = NULL;

	if (vw_json_get_arr(j, "addresses", &arr, err) < 0)
		return -err->eno;
	if (vw_json_len(arr) < 1 || vw_json_len(arr) > VW_ARRAY_SIZE(w->addr))
		return vw_err_set(err, EINVAL, VW_CNI_DAEMON,
				  "one or two addresses are wanted, there are %zu", vw_json_len(arr));
	for (; w->n_addr < vw_json_len(arr); w->n_addr++) {
		const struct vw_json *entry = vw_json_at(arr, w->n_addr);
		struct vw_cidr *addr = &w->addr[w->n_addr];
		struct vw_ip *gw = &w->gateway[w->n_addr];
		const char *a = "", *g = "";

		if (vw_json_get_str(entry, "address", &a, err) < 0 ||
		    vw_json_get_str(entry, "gateway", &g, err) < 0 ||
		    vw_json_get_bool(entry, "egress", &w->egress[w->n_addr], err) < 0)
			return -err->eno;
		if (vw_cidr_parse(a, addr) < 0 || vw_ip_parse(g, gw) < 0 || addr->ip.family != gw->family ||
		    addr->len != vw_ip_bits(&addr->ip))
			return vw_err_set(err, EINVAL, VW_CNI_DAEMON,
					  "address \"%.60s\" with gateway \"%.60s\" is not usable", a, g);
	}
	return 0;
}

/* What an ADD cannot do without; the rest may be empty. */
static int wiring_is_whole(const struct vw_rpc_wiring *w, struct vw_err *err)
{
	if (!vw_is_ifname(w->host_ifname))
		return missing("host_ifname", err);
	if (w->mtu < 68) /* the least an IPv4 link may have: RFC 791 */
		return missing("mtu", err);
	if (!w->host_ifindex)
		return missing("host_ifindex", err);
	if (vw_mac_is_zero(&w->host_mac))
		return missing("host_mac", err);
	if (vw_mac_is_zero(&w->pod_mac))
		return missing("pod_mac", err);
	if (!w->pods_table)
		return missing("pods_table", err);
	return 0;
}

int vw_rpc_wiring_decode(const struct vw_json *j, struct vw_rpc_wiring *ret_w, struct vw_err *err)
{
	struct vw_rpc_wiring w = {0};
	bool said;

	if (vw_json_get_bool(j, "existing", &w.existing, err) < 0 || vw_json_get_bool(j, "apart", &w.apart, err) < 0 ||
	    vw_json_get_bool(j, "adopted", &w.adopted, err) < 0 || decode_addresses(j, &w, err) < 0 ||
	    get_u32(j, "mtu", 65535, &w.mtu, err) < 0 ||
	    get_text(j, "host_ifname", w.host_ifname, IFNAMSIZ, err) < 0 ||
	    get_u32(j, "host_ifindex", INT_MAX, &w.host_ifindex, err) < 0 ||
	    get_mac(j, "host_mac", &w.host_mac, err) < 0 || get_mac(j, "pod_mac", &w.pod_mac, err) < 0 ||
	    get_u32(j, "slot", INT_MAX, &w.slot, err) < 0 ||
	    get_u32(j, "pods_table", UINT_MAX, &w.pods_table, err) < 0 ||
	    get_text(j, "eni_id", w.eni_id, sizeof(w.eni_id), err) < 0 ||
	    get_text(j, "eni_ifname", w.eni_ifname, IFNAMSIZ, err) < 0 ||
	    get_text(j, "pin_from_pod", w.pin_from_pod, VW_PATH_MAX, err) < 0 ||
	    get_text(j, "pin_to_pod", w.pin_to_pod, VW_PATH_MAX, err) < 0 ||
	    decode_attach(j, &said, &w.attach, err) < 0 || wiring_is_whole(&w, err) < 0) {
		err->cni = VW_CNI_DAEMON;
		return vw_err_wrap(err, "vpcwired's answer");
	}
	*ret_w = w;
	return 0;
}

int vw_rpc_status_encode(unsigned int v, const struct vw_rpc_status *st, struct vw_buf *buf, struct vw_err *err)
{
	int failed;
	vw_auto_json struct vw_json *j = reply(v, &failed);

	failed |= vw_json_set_int(j, "cni", st->cni);
	failed |= set_unless_empty(j, "msg", st->msg);
	return print(j, failed, buf, err);
}

int vw_rpc_status_decode(const struct vw_json *j, struct vw_rpc_status *ret_st, struct vw_err *err)
{
	struct vw_rpc_status st = {0};
	unsigned int cni = 0;
	int r = get_u32(j, "cni", 999, &cni, err);

	if (r == 0)
		return missing("cni", err);
	if (r < 0 || get_text(j, "msg", st.msg, sizeof(st.msg), err) < 0)
		return vw_err_wrap(err, "vpcwired's answer");
	st.cni = (int)cni;
	*ret_st = st;
	return 0;
}

int vw_rpc_result_encode(unsigned int v, struct vw_json *take_result, struct vw_buf *buf, struct vw_err *err)
{
	int failed;
	vw_auto_json struct vw_json *j = reply(v, &failed);

	failed |= vw_json_set(j, "result", take_result);
	if (failed || vw_json_print(j, 0, buf) < 0 || vw_buf_err(buf) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for the answer, or it is larger than %d bytes", VW_RPC_LARGE_MAX);
	return 0;
}

int vw_rpc_ok_encode(unsigned int v, struct vw_buf *buf, struct vw_err *err)
{
	int failed;
	vw_auto_json struct vw_json *j = reply(v, &failed);

	return print(j, failed, buf, err);
}

int vw_rpc_error_encode(unsigned int v, const struct vw_err *failure, struct vw_buf *buf, struct vw_err *err)
{
	int failed;
	vw_auto_json struct vw_json *j = reply(v, &failed);
	struct vw_json *e = vw_json_new_object();

	failed |= vw_json_set_int(e, "errno", failure->eno);
	failed |= vw_json_set_int(e, "cni", failure->cni);
	failed |= vw_json_set_str(e, "msg", failure->msg);
	failed |= vw_json_set(j, "error", e);
	return print(j, failed, buf, err);
}

int vw_rpc_reply_decode(const char *text, size_t len, struct vw_json **ret_reply, struct vw_err *err)
{
	static const struct vw_json_limits lim = {.max_bytes = VW_RPC_LARGE_MAX, .max_depth = REPLY_MAX_DEPTH};
	vw_auto_json struct vw_json *j = NULL;
	const struct vw_json *e = NULL;
	int64_t eno = EPROTO, cni = 0;
	const char *msg = "no reason given";
	unsigned int v = 0;

	if (vw_json_parse(text, len, &lim, "vpcwired's answer", &j, err) < 0 ||
	    get_u32(j, "v", INT_MAX, &v, err) < 0 || vw_json_get_obj(j, "error", &e, err) < 0 ||
	    vw_json_get_int(e, "errno", 1, 4095, &eno, err) < 0 ||
	    vw_json_get_int(e, "cni", 0, 999, &cni, err) < 0 || vw_json_get_str(e, "msg", &msg, err) < 0) {
		err->eno = EPROTO;
		err->cni = VW_CNI_DAEMON;
		return -EPROTO;
	}
	if (e)
		return vw_err_set(err, (int)eno, (int)cni, "%s", msg);
	if (v < VW_RPC_VERSION_MIN || v > VW_RPC_VERSION_MAX)
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON,
				  "vpcwired answered in protocol version %u, this plugin speaks %d to %d: "
				  "install both from one release",
				  v, VW_RPC_VERSION_MIN, VW_RPC_VERSION_MAX);
	*ret_reply = VW_TAKE_PTR(j);
	return 0;
}
