// SPDX-License-Identifier: Apache-2.0
/* From the JSON of the network configuration to struct eni_conf. Each key has the names of both of AWS's plugins. */
#include "plugins/vpcwire-eni/eni_conf.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/json/json.h"

#include <string.h>
#include <sys/socket.h>

#define invalid(err, ...) vw_err_set((err), EINVAL, VW_CNI_INVALID_CONFIG, __VA_ARGS__)

/* The value of the first of @names that is there. */
static const struct vw_json *any_of(const struct vw_json *root, const char *const names[2], const char **ret_name)
{
	for (size_t i = 0; i < 2 && names[i]; i++) {
		const struct vw_json *v = vw_json_get(root, names[i]);

		*ret_name = names[i];
		if (!vw_json_is_null(v))
			return v;
	}
	*ret_name = names[0];
	return NULL;
}

static int text_of(const struct vw_json *root, const char *const names[2], const char **ret, const char **ret_name,
		   struct vw_err *err)
{
	(void)any_of(root, names, ret_name);
	*ret = "";
	return vw_json_get_str(root, *ret_name, ret, err) < 0 ? -err->eno : 0;
}

static int flag_of(const struct vw_json *root, const char *const names[2], bool *ret, struct vw_err *err)
{
	const char *name;

	(void)any_of(root, names, &name);
	return vw_json_get_bool(root, name, ret, err) < 0 ? -err->eno : 0;
}

static int list_of(const struct vw_json *root, const char *const names[2], const struct vw_json **ret,
		   struct vw_err *err)
{
	const char *name;

	*ret = NULL;
	(void)any_of(root, names, &name);
	return vw_json_get_arr(root, name, ret, err) < 0 ? -err->eno : 0;
}

/* --- the ENI */

static const char *const mac_names[2] = {"eniMACAddress", "mac"};

static int take_eni(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	const char *name = NULL, *mac, *key;

	if (vw_json_get_str(root, "eniName", &name, err) < 0 || text_of(root, mac_names, &mac, &key, err) < 0)
		return -err->eno;
	if (name && *name && (!vw_is_ifname(name) || VW_COPY(c->eni_name, name) < 0))
		return invalid(err, "key 'eniName' is \"%.60s\", but the name of an interface is wanted", name);
	if (*mac && (vw_mac_parse(mac, &c->eni_mac) < 0 || vw_mac_is_zero(&c->eni_mac)))
		return invalid(err, "key '%s' is \"%.60s\", but a MAC address like 02:00:00:00:00:01 is wanted", key, mac);
	if (!c->eni_name[0] && vw_mac_is_zero(&c->eni_mac))
		return invalid(err, "the ENI is not named: key 'eniMACAddress' (or 'mac') or 'eniName' is wanted");
	return 0;
}

static int take_addrs(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	static const char *const addr_names[2] = {"eniIPAddresses", "ip-addresses"};
	static const char *const gw_names[2] = {"gatewayIPAddresses", "gateway-ip-addresses"};
	const struct vw_json *addrs, *gateways;

	if (list_of(root, addr_names, &addrs, err) < 0 || list_of(root, gw_names, &gateways, err) < 0)
		return -err->eno;
	if (!vw_json_len(addrs) && !c->stay_down)
		return invalid(err, "the ENI has no addresses: key 'eniIPAddresses' (or 'ip-addresses') is wanted");
	return eni_addrs_parse(addrs, gateways, &c->addrs, err);
}

/* --- a branch ENI */

#define ARG_MAX_BYTES 4096 /* 64 IPv6 addresses with their lengths */

const char *const eni_conf_args[] = {"BranchVlanID", "BranchMACAddress", "IPAddresses", "GatewayIPAddresses", NULL};

/* The text of a key, or what CNI_ARGS says instead. Return: 1, 0 = neither says anything, -errno. */
static int branch_text(const struct vw_cni_call *call, const char *key, const char *arg, char ret[VW_CNI_ARG_MAX], struct vw_err *err)
{
	const struct vw_json *v = vw_json_get(call->conf.root, key);
	const char *text = "";
	int64_t number;
	int r = vw_cni_arg(&call->args, arg, ret, VW_CNI_ARG_MAX, err);

	if (r != 0 || vw_json_is_null(v))
		return r;
	if (vw_json_type(v) == VW_JSON_INT) {
		if (vw_json_get_int(call->conf.root, key, 0, INT32_MAX, &number, err) < 0)
			return -err->eno;
		snprintf(ret, VW_CNI_ARG_MAX, "%d", (int)number);
		return 1;
	}
	if (vw_json_get_str(call->conf.root, key, &text, err) < 0)
		return -err->eno;
	if (vw_fmt(ret, VW_CNI_ARG_MAX, "%s", text) < 0)
		return invalid(err, "key '%s' is too long", key);
	return text[0] != '\0';
}

/* "a,b,c" of CNI_ARGS as a list. Return: 1 = *ret_list is it (free it), 0 = not there, -errno. */
static int list_of_args(const struct vw_cni_call *call, const char *arg, struct vw_json **ret_list, struct vw_err *err)
{
	vw_auto_json struct vw_json *list = NULL;
	char text[ARG_MAX_BYTES];
	int r = vw_cni_arg(&call->args, arg, text, sizeof(text), err);

	if (r <= 0)
		return r;
	list = vw_json_new_array();
	for (char *word = text, *end; list && word; word = end) {
		end = strchr(word, ',');
		if (end)
			*end++ = '\0';
		if (vw_json_append(list, vw_json_new_string(word)) < 0)
			return vw_err_sys(err, ENOMEM, 0, "reading CNI_ARGS");
	}
	if (!list)
		return vw_err_sys(err, ENOMEM, 0, "reading CNI_ARGS");
	*ret_list = VW_TAKE_PTR(list);
	return 1;
}

static int branch_list(const struct vw_cni_call *call, const char *const keys[3], const char *arg, struct vw_json **ret_own,
		       const struct vw_json **ret, struct vw_err *err)
{
	int r = list_of_args(call, arg, ret_own, err);

	if (r < 0)
		return r;
	*ret = *ret_own;
	for (size_t i = 0; !*ret && i < 3 && keys[i]; i++) {
		const struct vw_json *v = vw_json_get(call->conf.root, keys[i]);

		/* one address may stand without a list around it */
		if (!vw_json_is_null(v) && vw_json_type(v) == VW_JSON_STRING) {
			*ret_own = vw_json_new_array();
			if (!*ret_own || vw_json_append(*ret_own, vw_json_new_string(vw_json_string(v))) < 0)
				return vw_err_sys(err, ENOMEM, 0, "reading key '%s'", keys[i]);
			*ret = *ret_own;
		} else if (vw_json_get_arr(call->conf.root, keys[i], ret, err) < 0) {
			return -err->eno;
		}
	}
	return 0;
}

static int take_branch_addrs(const struct vw_cni_call *call, struct eni_conf *c, struct vw_err *err)
{
	static const char *const addr_keys[3] = {"ipAddresses", "branchIPAddresses", "branchIPAddress"};
	static const char *const gw_keys[3] = {"gatewayIPAddresses", "branchGatewayIPAddresses", "branchGatewayIPAddress"};
	vw_auto_json struct vw_json *own_addrs = NULL, *own_gateways = NULL;
	const struct vw_json *addrs = NULL, *gateways = NULL;

	if (branch_list(call, addr_keys, "IPAddresses", &own_addrs, &addrs, err) < 0 ||
	    branch_list(call, gw_keys, "GatewayIPAddresses", &own_gateways, &gateways, err) < 0)
		return -err->eno;
	/* a guest asks the VPC for its own, or is told by whoever reads the result */
	if (!vw_json_len(addrs) && !c->stay_down && c->iface == ENI_IFACE_VLAN)
		return invalid(err, "the branch ENI has no addresses: key 'ipAddresses' is wanted");
	return eni_addrs_parse(addrs, gateways, &c->addrs, err);
}

static int take_trunk(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	const char *name = "", *mac = "";

	if (vw_json_get_str(root, "trunkName", &name, err) < 0 || vw_json_get_str(root, "trunkMACAddress", &mac, err) < 0)
		return -err->eno;
	if (*name && (!vw_is_ifname(name) || VW_COPY(c->eni_name, name) < 0))
		return invalid(err, "key 'trunkName' is \"%.60s\", but the name of an interface is wanted", name);
	if (*mac && (vw_mac_parse(mac, &c->eni_mac) < 0 || vw_mac_is_zero(&c->eni_mac)))
		return invalid(err, "key 'trunkMACAddress' is \"%.60s\", but a MAC address like 02:00:00:00:00:01 is wanted", mac);
	if (!c->eni_name[0] && vw_mac_is_zero(&c->eni_mac))
		return invalid(err, "the trunk is not named: key 'trunkName' or 'trunkMACAddress' is wanted");
	return 0;
}

#define MAX_ID (UINT32_MAX - 1) /* the last one is "no user" to the kernel */

static int take_interface(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	const char *type = "";

	if (vw_json_get_str(root, "interfaceType", &type, err) < 0 || vw_json_get_int(root, "uid", 0, MAX_ID, &c->uid, err) < 0 ||
	    vw_json_get_int(root, "gid", 0, MAX_ID, &c->gid, err) < 0)
		return -err->eno;
	if (*type && eni_iface_parse(type, &c->iface) < 0)
		return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
				  "unsupported field: interfaceType is \"%.40s\"\n\"vlan\", the default, \"tap\" and \"macvtap\" are served",
				  type);
	if (c->iface != ENI_IFACE_VLAN && c->stay_down)
		return invalid(err, "key 'opStateDown' does not go with interfaceType \"%.40s\": a guest's interface is not the plugin's to set up; leave it out",
			       type);
	return 0;
}

static int take_branch(const struct vw_cni_call *call, struct eni_conf *c, struct vw_err *err)
{
	char text[VW_CNI_ARG_MAX] = "";
	uint64_t vlan;

	if (take_interface(call->conf.root, c, err) < 0 || take_trunk(call->conf.root, c, err) < 0 ||
	    branch_text(call, "branchVlanID", "BranchVlanID", text, err) < 0)
		return -err->eno;
	if (vw_parse_u64(text, 1, 4094, &vlan) < 0)
		return invalid(err, "branchVlanID is \"%.40s\", but a number from 1 to 4094 is wanted", text);
	c->vlan = (unsigned int)vlan;
	text[0] = '\0';
	if (branch_text(call, "branchMACAddress", "BranchMACAddress", text, err) < 0)
		return -err->eno;
	if (vw_mac_parse(text, &c->branch_mac) < 0 || vw_mac_is_zero(&c->branch_mac) || c->branch_mac.b[0] & 1)
		return invalid(err, "branchMACAddress is \"%.60s\", but a MAC address like 02:00:00:00:00:01 is wanted", text);
	return take_branch_addrs(call, c, err);
}

static bool is_branch(const struct vw_json *root)
{
	static const char *const keys[] = {"trunkName", "trunkMACAddress", "branchVlanID", "branchMACAddress"};

	for (size_t i = 0; i < VW_ARRAY_SIZE(keys); i++) {
		if (!vw_json_is_null(vw_json_get(root, keys[i])))
			return true;
	}
	return false;
}

static int take_flags(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	static const char *const down_names[2] = {"opStateDown", "stay-down"};
	static const char *const block_names[2] = {"blockInstanceMetadata", "block-instance-metadata"};

	if (flag_of(root, down_names, &c->stay_down, err) < 0)
		return -err->eno;
	return flag_of(root, block_names, &c->block_metadata, err);
}

static int take_dir(const struct vw_json *root, const char *key, const char *otherwise, const char **ret, struct vw_err *err)
{
	const char *dir = NULL;

	*ret = otherwise;
	if (vw_json_get_str(root, key, &dir, err) < 0)
		return -err->eno;
	if (dir && *dir && *dir != '/')
		return invalid(err, "key '%s' is \"%.200s\", but an absolute path is wanted", key, dir);
	if (dir && *dir)
		*ret = dir;
	return 0;
}

int eni_conf_parse(const struct vw_cni_call *call, struct eni_conf *ret, struct vw_err *err)
{
	const struct vw_json *root = call->conf.root;
	struct eni_conf c = {.mtu = call->conf.mtu, .uid = -1, .gid = -1};
	int r;

	if (take_dir(root, "stateDir", ENI_STATE_DIR, &c.state_dir, err) < 0 ||
	    take_dir(root, "bpfDir", ENI_BPF_DIR, &c.bpf_dir, err) < 0 || take_flags(root, &c, err) < 0)
		return -err->eno;
	if (is_branch(root)) {
		r = take_branch(call, &c, err);
	} else {
		r = take_eni(root, &c, err);
		r = r < 0 ? r : take_addrs(root, &c, err);
	}
	if (r == 0)
		*ret = c;
	return r;
}

static const char *dir_or(const struct vw_cni_call *call, const char *key, const char *otherwise)
{
	struct vw_err ignored;
	const char *dir;

	(void)take_dir(call->conf.root, key, otherwise, &dir, &ignored);
	return dir;
}

const char *eni_conf_state_dir(const struct vw_cni_call *call)
{
	return dir_or(call, "stateDir", ENI_STATE_DIR);
}

const char *eni_conf_bpf_dir(const struct vw_cni_call *call)
{
	return dir_or(call, "bpfDir", ENI_BPF_DIR);
}

struct vw_mac eni_conf_mac(const struct vw_cni_call *call)
{
	struct vw_mac mac = {{0}};
	const char *text, *key;
	struct vw_err ignored;

	if (text_of(call->conf.root, mac_names, &text, &key, &ignored) == 0 && vw_mac_parse(text, &mac) < 0)
		memset(&mac, 0, sizeof(mac));
	return mac;
}
