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

static int take_flags(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	static const char *const down_names[2] = {"opStateDown", "stay-down"};
	static const char *const block_names[2] = {"blockInstanceMetadata", "block-instance-metadata"};

	if (flag_of(root, down_names, &c->stay_down, err) < 0)
		return -err->eno;
	return flag_of(root, block_names, &c->block_metadata, err);
}

static int take_state_dir(const struct vw_json *root, struct eni_conf *c, struct vw_err *err)
{
	const char *dir = NULL;

	if (vw_json_get_str(root, "stateDir", &dir, err) < 0)
		return -err->eno;
	if (dir && *dir && *dir != '/')
		return invalid(err, "key 'stateDir' is \"%.200s\", but an absolute path is wanted", dir);
	c->state_dir = dir && *dir ? dir : ENI_STATE_DIR;
	return 0;
}

int eni_conf_parse(const struct vw_cni_call *call, struct eni_conf *ret, struct vw_err *err)
{
	const struct vw_json *root = call->conf.root;
	struct eni_conf c = {.mtu = call->conf.mtu};

	if (take_state_dir(root, &c, err) < 0 || take_flags(root, &c, err) < 0 || take_eni(root, &c, err) < 0 ||
	    take_addrs(root, &c, err) < 0)
		return -err->eno;
	*ret = c;
	return 0;
}

const char *eni_conf_state_dir(const struct vw_cni_call *call)
{
	struct eni_conf c = {.state_dir = ENI_STATE_DIR};
	struct vw_err ignored;

	(void)take_state_dir(call->conf.root, &c, &ignored);
	return c.state_dir;
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
