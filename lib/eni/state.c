// SPDX-License-Identifier: Apache-2.0
/* Attachments as files: JSON, one for each, replaced atomically. */
#include "lib/eni/state.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define FILE_MAX_BYTES (32 * 1024)
#define VERSION        1

static int path_of(const char *dir, const char *name, char ret[VW_PATH_MAX], struct vw_err *err)
{
	if (vw_fmt(ret, VW_PATH_MAX, "%s/%s", dir, name) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG, "key 'stateDir' is too long: \"%.200s\"", dir);
	return 0;
}

static const char *const iface_names[] = {
	[ENI_IFACE_VLAN] = "vlan", [ENI_IFACE_TAP] = "tap", [ENI_IFACE_MACVTAP] = "macvtap"};

int eni_iface_parse(const char *text, enum eni_iface *ret)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(iface_names); i++) {
		if (!strcasecmp(text, iface_names[i])) {
			*ret = (enum eni_iface)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- writing */

static struct vw_json *cidrs_of(const struct vw_cidr *v, size_t n)
{
	struct vw_json *arr = vw_json_new_array();
	char text[VW_CIDR_STRLEN];

	for (size_t i = 0; arr && i < n; i++)
		(void)vw_json_append(arr, vw_json_new_string(vw_cidr_str(&v[i], text)));
	return arr;
}

static struct vw_json *gateways_of(const struct eni_addrs *a)
{
	struct vw_json *arr = vw_json_new_array();
	char text[VW_IP_STRLEN];

	for (size_t i = 0; arr && i < a->n_gw; i++)
		(void)vw_json_append(arr, vw_json_new_string(vw_ip_str(&a->gw[i], text)));
	return arr;
}

static struct vw_json *ports_of(const struct eni_ports *p)
{
	struct vw_json *arr = vw_json_new_array();

	for (size_t i = 0; arr && i < p->n; i++) {
		struct vw_json *o = vw_json_new_object();
		char text[VW_IP_STRLEN];

		(void)vw_json_set_str(o, "proto", eni_proto_str(p->v[i].proto));
		(void)vw_json_set_int(o, "host", p->v[i].host);
		(void)vw_json_set_int(o, "pod", p->v[i].pod);
		if (p->v[i].at.family)
			(void)vw_json_set_str(o, "at", vw_ip_str(&p->v[i].at, text));
		(void)vw_json_append(arr, o);
	}
	return arr;
}

static struct vw_json *kept_of(const struct eni_kept *k)
{
	struct vw_json *o = vw_json_new_object();

	(void)vw_json_set_bool(o, "known", k->known);
	(void)vw_json_set_bool(o, "was_down", k->was_down);
	(void)vw_json_set_int(o, "rp_filter", k->rp_filter);
	(void)vw_json_set_int(o, "forwarding", k->forwarding);
	(void)vw_json_set_int(o, "accept_dad", k->accept_dad);
	(void)vw_json_set_int(o, "disable_ipv6", k->disable_ipv6);
	(void)vw_json_set_int(o, "force_forwarding", k->force_forwarding);
	(void)vw_json_set(o, "added", cidrs_of(k->added.v, k->added.n));
	return o;
}

/* What only bridges and their containers have. */
static int encode_bridge(const struct eni_state *st, struct vw_json *j)
{
	char mac[VW_MAC_STRLEN];
	int failed = 0;

	if (!vw_mac_is_zero(&st->pod_mac))
		failed |= vw_json_set_str(j, "pod_mac", vw_mac_str(&st->pod_mac, mac));
	if (st->ports.n)
		failed |= vw_json_set(j, "ports", ports_of(&st->ports));
	if (st->vpc.n)
		failed |= vw_json_set(j, "vpc", cidrs_of(st->vpc.v, st->vpc.n));
	if (st->kept.known || st->kept.was_down || st->kept.added.n || st->kept.rp_filter || st->kept.forwarding ||
	    st->kept.accept_dad || st->kept.disable_ipv6 || st->kept.force_forwarding)
		failed |= vw_json_set(j, "kept", kept_of(&st->kept));
	return failed;
}

int eni_state_encode(const struct eni_state *st, struct vw_buf *buf)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	char mac[VW_MAC_STRLEN], id[48];
	int failed = vw_json_set_int(j, "v", VERSION);

	snprintf(id, sizeof(id), "%" PRIu64 ":%" PRIu64, st->netns_id.dev, st->netns_id.ino);
	failed |= vw_json_set_str(j, "container_id", st->key.container_id);
	failed |= vw_json_set_str(j, "ifname", st->key.ifname);
	failed |= vw_json_set_str(j, "network", st->network);
	failed |= vw_json_set_str(j, "netns", st->netns);
	failed |= vw_json_set_str(j, "netns_id", id);
	failed |= vw_json_set_str(j, "mac", vw_mac_str(&st->mac, mac));
	failed |= vw_json_set_str(j, "host_name", st->host_name);
	failed |= vw_json_set_str(j, "host_alias", st->host_alias);
	failed |= vw_json_set_int(j, "host_mtu", st->host_mtu);
	failed |= vw_json_set_int(j, "mtu", st->mtu);
	failed |= vw_json_set_int(j, "vlan", st->vlan);
	failed |= vw_json_set_int(j, "trunk", st->trunk);
	if (st->iface != ENI_IFACE_VLAN)
		failed |= vw_json_set_str(j, "interface", iface_names[st->iface]);
	failed |= vw_json_set(j, "addresses", cidrs_of(st->addrs.v, st->addrs.n));
	failed |= vw_json_set(j, "gateways", gateways_of(&st->addrs));
	failed |= vw_json_set_bool(j, "stay_down", st->stay_down);
	failed |= vw_json_set_bool(j, "block_metadata", st->block_metadata);
	failed |= vw_json_set_bool(j, "orphaned", st->orphaned);
	failed |= encode_bridge(st, j);
	return failed ? -ENOMEM : vw_json_print(j, 0, buf);
}

int eni_state_write(const char *dir, const struct eni_state *st, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char name[VW_ATTACH_FILE_MAX], path[VW_PATH_MAX];

	vw_attach_file(&st->key, name);
	if (path_of(dir, name, path, err) < 0 || vw_mkdir_p(dir, 0700, err) < 0)
		return -err->eno;
	if (eni_state_encode(st, &b) < 0)
		return vw_err_sys(err, ENOMEM, 0, "remembering an attachment");
	return vw_replace_file(path, vw_buf_str(&b), b.len, 0600, err);
}

/* --- reading */

static int get_text(const struct vw_json *j, const char *key, char *ret, size_t size, struct vw_err *err)
{
	const char *text = "";

	if (vw_json_get_str(j, key, &text, err) < 0)
		return -err->eno;
	if (vw_fmt(ret, size, "%s", text) < 0)
		return vw_err_set(err, EBADMSG, 0, "key '%s' is too long", key);
	return 0;
}

static int get_uint(const struct vw_json *j, const char *key, int64_t max, unsigned int *ret, struct vw_err *err)
{
	int64_t v = 0;

	if (vw_json_get_int(j, key, 0, max, &v, err) < 0)
		return -err->eno;
	*ret = (unsigned int)v;
	return 0;
}

static int get_sysctl(const struct vw_json *j, const char *key, int *ret, struct vw_err *err)
{
	int64_t v = 0;

	if (vw_json_get_int(j, key, INT32_MIN, INT32_MAX, &v, err) < 0)
		return -err->eno;
	*ret = (int)v;
	return 0;
}

static int get_netns_id(const struct vw_json *j, struct vw_netns_id *ret, struct vw_err *err)
{
	char text[48], *colon;

	if (get_text(j, "netns_id", text, sizeof(text), err) < 0)
		return -err->eno;
	colon = strchr(text, ':');
	if (colon)
		*colon = '\0';
	if (!colon || vw_parse_u64(text, 0, UINT64_MAX, &ret->dev) < 0 ||
	    vw_parse_u64(colon + 1, 0, UINT64_MAX, &ret->ino) < 0)
		return vw_err_set(err, EBADMSG, 0, "key 'netns_id' is not two numbers");
	return 0;
}

static int get_mac(const struct vw_json *j, const char *key, struct vw_mac *ret, struct vw_err *err)
{
	char text[VW_MAC_STRLEN];

	if (get_text(j, key, text, sizeof(text), err) < 0)
		return -err->eno;
	if (vw_mac_parse(text, ret) < 0)
		return vw_err_set(err, EBADMSG, 0, "key '%s' is no MAC address", key);
	return 0;
}

static int get_addrs(const struct vw_json *j, struct eni_addrs *ret, struct vw_err *err)
{
	const struct vw_json *addrs = NULL, *gateways = NULL;

	if (vw_json_get_arr(j, "addresses", &addrs, err) < 0 || vw_json_get_arr(j, "gateways", &gateways, err) < 0)
		return -err->eno;
	return eni_addrs_parse(addrs, gateways, ret, err);
}

static int get_iface(const struct vw_json *j, enum eni_iface *ret, struct vw_err *err)
{
	const char *text = "vlan";

	if (vw_json_get_str(j, "interface", &text, err) < 0)
		return -err->eno;
	return eni_iface_parse(text, ret) < 0 ? vw_err_set(err, EBADMSG, 0, "key 'interface' is none") : 0;
}

static int get_flags(const struct vw_json *j, struct eni_state *st, struct vw_err *err)
{
	if (vw_json_get_bool(j, "stay_down", &st->stay_down, err) < 0 ||
	    vw_json_get_bool(j, "block_metadata", &st->block_metadata, err) < 0 ||
	    vw_json_get_bool(j, "orphaned", &st->orphaned, err) < 0)
		return -err->eno;
	return 0;
}

static int get_ports(const struct vw_json *j, struct eni_ports *ret, struct vw_err *err)
{
	const struct vw_json *list = NULL;

	if (vw_json_get_arr(j, "ports", &list, err) < 0)
		return -err->eno;
	if (vw_json_len(list) > ENI_MAX_PORTS)
		return vw_err_set(err, EBADMSG, 0, "key 'ports' has more than %d", ENI_MAX_PORTS);
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const struct vw_json *o = vw_json_at(list, i);
		struct eni_port *p = &ret->v[ret->n++];
		unsigned int host = 0, pod = 0;
		const char *proto = "", *at = "";

		if (get_uint(o, "host", 65535, &host, err) < 0 || get_uint(o, "pod", 65535, &pod, err) < 0 ||
		    vw_json_get_str(o, "proto", &proto, err) < 0 || vw_json_get_str(o, "at", &at, err) < 0)
			return -err->eno;
		if (eni_proto_parse(proto, &p->proto) < 0 || (*at && vw_ip_parse(at, &p->at) < 0))
			return vw_err_set(err, EBADMSG, 0, "key 'ports' has one that is none");
		p->host = (uint16_t)host;
		p->pod = (uint16_t)pod;
	}
	return 0;
}

static int get_cidrs(const struct vw_json *j, const char *key, struct eni_cidrs *ret, struct vw_err *err)
{
	const struct vw_json *list = NULL;

	if (vw_json_get_arr(j, key, &list, err) < 0)
		return -err->eno;
	return eni_cidrs_parse(list, false, ret, err) < 0 ? vw_err_wrap(err, "key '%s'", key) : 0;
}

static int get_kept(const struct vw_json *j, struct eni_kept *ret, struct vw_err *err)
{
	const struct vw_json *o = NULL;

	if (vw_json_get_obj(j, "kept", &o, err) < 0)
		return -err->eno;
	if (vw_json_get_bool(o, "known", &ret->known, err) < 0 || vw_json_get_bool(o, "was_down", &ret->was_down, err) < 0 ||
	    get_sysctl(o, "rp_filter", &ret->rp_filter, err) < 0 || get_sysctl(o, "forwarding", &ret->forwarding, err) < 0 ||
	    get_sysctl(o, "accept_dad", &ret->accept_dad, err) < 0 || get_sysctl(o, "disable_ipv6", &ret->disable_ipv6, err) < 0 ||
	    get_sysctl(o, "force_forwarding", &ret->force_forwarding, err) < 0)
		return -err->eno;
	return get_cidrs(o, "added", &ret->added, err);
}

static int take_bridge(const struct vw_json *j, struct eni_state *st, struct vw_err *err)
{
	if (vw_json_has(j, "pod_mac") && get_mac(j, "pod_mac", &st->pod_mac, err) < 0)
		return -err->eno;
	if (get_ports(j, &st->ports, err) < 0 || get_cidrs(j, "vpc", &st->vpc, err) < 0)
		return -err->eno;
	return get_kept(j, &st->kept, err);
}

static int take(const struct vw_json *j, struct eni_state *st, struct vw_err *err)
{
	if (get_text(j, "container_id", st->key.container_id, sizeof(st->key.container_id), err) < 0 ||
	    get_text(j, "ifname", st->key.ifname, sizeof(st->key.ifname), err) < 0 ||
	    get_text(j, "network", st->network, sizeof(st->network), err) < 0 ||
	    get_text(j, "netns", st->netns, sizeof(st->netns), err) < 0 ||
	    get_netns_id(j, &st->netns_id, err) < 0 || get_mac(j, "mac", &st->mac, err) < 0 ||
	    get_text(j, "host_name", st->host_name, sizeof(st->host_name), err) < 0 ||
	    get_text(j, "host_alias", st->host_alias, sizeof(st->host_alias), err) < 0 ||
	    get_uint(j, "host_mtu", 65535, &st->host_mtu, err) < 0 || get_uint(j, "mtu", 65535, &st->mtu, err) < 0 ||
	    get_uint(j, "vlan", 4094, &st->vlan, err) < 0 || get_uint(j, "trunk", INT32_MAX, &st->trunk, err) < 0 ||
	    get_iface(j, &st->iface, err) < 0 ||
	    get_addrs(j, &st->addrs, err) < 0 || get_flags(j, st, err) < 0 || take_bridge(j, st, err) < 0)
		return -err->eno;
	if (!vw_is_name(st->key.container_id) || !vw_is_ifname(st->key.ifname) || !vw_is_ifname(st->host_name))
		return vw_err_set(err, EBADMSG, 0, "container id or interface name is none");
	return 0;
}

int eni_state_decode(const char *text, size_t len, struct eni_state *ret, struct vw_err *err)
{
	static const struct vw_json_limits limits = {FILE_MAX_BYTES, 8};
	vw_auto_json struct vw_json *j = NULL;
	struct eni_state st = {0};
	unsigned int version = 0;

	if (vw_json_parse(text, len, &limits, "the file of an attachment", &j, err) < 0 ||
	    get_uint(j, "v", INT32_MAX, &version, err) < 0)
		return -err->eno;
	if (version != VERSION)
		return vw_err_set(err, EBADMSG, 0, "version %u, but %d is wanted", version, VERSION);
	if (take(j, &st, err) < 0)
		return -err->eno;
	*ret = st;
	return 0;
}

/* Return: 1, 0 = no file or not one that we wrote, -errno. */
static int read_path(const char *path, struct eni_state *ret, struct vw_err *err)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	int r = vw_read_file(path, FILE_MAX_BYTES, &b, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = eni_state_decode(vw_buf_str(&b), b.len, ret, err);
	else if (r != -EFBIG)
		return r;
	if (r == 0)
		return 1;
	vw_warn("ignoring a file that is no attachment's", "path=%s err=\"%s\"", path, err->msg);
	return 0;
}

int eni_state_read(const char *dir, const struct vw_attach_key *key, struct eni_state *ret, struct vw_err *err)
{
	char name[VW_ATTACH_FILE_MAX], path[VW_PATH_MAX];
	struct eni_state st;
	int r;

	vw_attach_file(key, name);
	if (path_of(dir, name, path, err) < 0)
		return -err->eno;
	r = read_path(path, &st, err);
	if (r > 0 && !vw_attach_key_eq(&st.key, key))
		return 0;
	if (r > 0)
		*ret = st;
	return r;
}

void eni_state_tidy(const char *dir, const struct vw_attach_key *key)
{
	char name[VW_ATTACH_FILE_MAX];

	if (key)
		vw_attach_file(key, name);
	(void)vw_tidy_temps(dir, key ? name : NULL);
}

int eni_state_remove(const char *dir, const struct vw_attach_key *key, struct vw_err *err)
{
	char name[VW_ATTACH_FILE_MAX], path[VW_PATH_MAX];

	vw_attach_file(key, name);
	if (path_of(dir, name, path, err) < 0)
		return -err->eno;
	eni_state_tidy(dir, key);
	if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
		return 0;
	return vw_err_sys(err, errno, 0, "removing '%s'", path);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

int eni_state_each(const char *dir, int (*fn)(const struct eni_state *st, void *arg), void *arg, struct vw_err *err)
{
	vw_auto(close_dir) DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : vw_err_sys(err, errno, 0, "opening '%s'", dir);
	while (r == 0 && (e = readdir(d))) {
		char path[VW_PATH_MAX];
		struct eni_state st;

		if (!vw_attach_is_file(e->d_name) || path_of(dir, e->d_name, path, err) < 0)
			continue;
		r = read_path(path, &st, err);
		if (r > 0)
			r = fn(&st, arg);
	}
	return r;
}
