// SPDX-License-Identifier: Apache-2.0
/* From the JSON of the network configuration to struct br_conf. */
#include "plugins/vpcwire-bridge/bridge_conf.h"

#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/cni/main.h"
#include "lib/json/json.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define invalid(err, ...) vw_err_set((err), EINVAL, VW_CNI_INVALID_CONFIG, __VA_ARGS__)

/* --- the ENI and the bridge */

static int take_eni(const struct vw_json *root, struct br_conf *c, struct vw_err *err)
{
	const char *name = "", *mac = "";

	if (vw_json_get_str(root, "eniName", &name, err) < 0 || vw_json_get_str(root, "eniMACAddress", &mac, err) < 0)
		return -err->eno;
	if (*name && (!vw_is_ifname(name) || VW_COPY(c->eni_name, name) < 0))
		return invalid(err, "key 'eniName' is \"%.60s\", but the name of an interface is wanted", name);
	if (*mac && (vw_mac_parse(mac, &c->eni_mac) < 0 || vw_mac_is_zero(&c->eni_mac)))
		return invalid(err, "key 'eniMACAddress' is \"%.60s\", but a MAC address like 02:00:00:00:00:01 is wanted", mac);
	if (!*name && !*mac)
		return invalid(err, "the ENI is not named: key 'eniMACAddress' or 'eniName' is wanted");
	return 0;
}

/* A key that is a list, or in AWS's older releases (@single) one text. */
static int take_addresses(const struct vw_json *root, const char *key, const char *single, struct eni_addrs *ret,
			  struct vw_err *err)
{
	const struct vw_json *list = NULL;
	const char *one = "";

	if (vw_json_get_arr(root, key, &list, err) < 0 || vw_json_get_str(root, single, &one, err) < 0)
		return -err->eno;
	if (list && eni_addrs_parse(list, NULL, ret, err) < 0)
		return vw_err_wrap(err, "key '%s'", key);
	if (!list && *one && eni_addrs_add(ret, one, err) < 0)
		return vw_err_wrap(err, "key '%s'", single);
	return 0;
}

static int add_gateway(struct br_conf *c, const char *text, struct vw_err *err)
{
	struct vw_ip gw;

	if (!text || vw_ip_parse(text, &gw) < 0)
		return invalid(err, "key 'gatewayIPAddress' is \"%.60s\", but an address like 10.0.1.1 is wanted", text ? text : "");
	if (c->n_gw == 2 || (c->n_gw && c->gw[0].family == gw.family))
		return invalid(err, "key 'gatewayIPAddresses': %.60s is the second one of its family", text);
	c->gw[c->n_gw++] = gw;
	return 0;
}

static int take_gateways(const struct vw_json *root, struct br_conf *c, struct vw_err *err)
{
	const struct vw_json *list = NULL;
	const char *one = "";

	if (vw_json_get_arr(root, "gatewayIPAddresses", &list, err) < 0 ||
	    vw_json_get_str(root, "gatewayIPAddress", &one, err) < 0)
		return -err->eno;
	if (!list)
		return *one ? add_gateway(c, one, err) : 0;
	for (size_t i = 0; i < vw_json_len(list); i++) {
		if (add_gateway(c, vw_json_string(vw_json_at(list, i)), err) < 0)
			return -err->eno;
	}
	return 0;
}

static int take_vpc(const struct vw_json *root, struct br_conf *c, struct vw_err *err)
{
	const struct vw_json *list = NULL;

	if (vw_json_get_arr(root, "vpcCIDRs", &list, err) < 0)
		return -err->eno;
	return eni_cidrs_parse(list, true, &c->vpc, err) < 0 ? vw_err_wrap(err, "key 'vpcCIDRs'") : 0;
}

static int take_kinds(const struct vw_json *root, struct br_conf *c, struct vw_err *err)
{
	const char *bridge = "L3", *interface = "veth";

	if (vw_json_get_str(root, "bridgeType", &bridge, err) < 0 || vw_json_get_str(root, "interfaceType", &interface, err) < 0)
		return -err->eno;
	if (*bridge && strcasecmp(bridge, "L3"))
		return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
				  "unsupported field: bridgeType is \"%.60s\"\nonly \"L3\", the default, is served: the containers' "
				  "addresses are routed", bridge);
	c->tap = !strcasecmp(interface, "tap");
	if (*interface && strcasecmp(interface, "veth") && !c->tap)
		return vw_err_set(err, EOPNOTSUPP, VW_CNI_UNSUPPORTED_FIELD,
				  "unsupported field: interfaceType is \"%.60s\"\n\"veth\", the default, and \"tap\" are served", interface);
	return vw_json_get_int(root, "tapUserID", 0, UINT32_MAX - 1, &c->tap_owner, err) < 0 ? -err->eno : 0;
}

static int take_state_dir(const struct vw_json *root, struct br_conf *c, struct vw_err *err)
{
	const char *dir = "";

	if (vw_json_get_str(root, "stateDir", &dir, err) < 0)
		return -err->eno;
	if (*dir && *dir != '/')
		return invalid(err, "key 'stateDir' is \"%.200s\", but an absolute path is wanted", dir);
	c->state_dir = *dir ? dir : BR_STATE_DIR;
	return 0;
}

static int take_netns(const struct vw_json *root, struct br_conf *c, struct vw_err *err)
{
	const char *netns = "";

	if (vw_json_get_str(root, "bridgeNetNSPath", &netns, err) < 0)
		return -err->eno;
	if ((*netns && *netns != '/') || VW_COPY(c->netns, netns) < 0)
		return invalid(err, "key 'bridgeNetNSPath' is \"%.200s\", but the absolute path of a network namespace is wanted", netns);
	return 0;
}

/* --- the container */

/* What the runtime wants of this container (capability "ips", IP in CNI_ARGS) goes before the network's keys, a hint behind. */
static void addresses_of_runtime(const struct vw_cni_call *call, struct br_conf *c)
{
	if (!call->wish.n_ip || (call->wish.ip_optional && c->pod.n))
		return;
	c->pod.n = 0;
	for (unsigned int i = 0; i < call->wish.n_ip; i++)
		c->pod.v[c->pod.n++] = vw_cidr_host(&call->wish.ip[i]);
}

static int parse_port(const struct vw_json *m, struct eni_port *p, bool *ret_none, struct vw_err *err)
{
	const char *proto = "tcp", *at = "";
	int64_t host = 0, pod = 0;

	if (vw_json_get_int(m, "hostPort", 0, 65535, &host, err) < 0 || vw_json_get_int(m, "containerPort", 1, 65535, &pod, err) < 0 ||
	    vw_json_get_str(m, "protocol", &proto, err) < 0 || vw_json_get_str(m, "hostIP", &at, err) < 0)
		return -err->eno;
	*ret_none = host == 0;          /* a port that is only told of */
	if (host && !pod)
		return invalid(err, "hostPort %d has no containerPort", (int)host);
	if (eni_proto_parse(proto, &p->proto) < 0)
		return invalid(err, "protocol is \"%.20s\", but tcp, udp or sctp is wanted", proto);
	if (*at && vw_ip_parse(at, &p->at) < 0)
		return invalid(err, "hostIP is \"%.60s\", but an address is wanted", at);
	if (vw_ip_is_any(&p->at))
		p->at = (struct vw_ip){0};
	p->host = (uint16_t)host;
	p->pod = (uint16_t)pod;
	return 0;
}

static int take_ports(const struct vw_cni_call *call, struct br_conf *c, struct vw_err *err)
{
	const struct vw_json *rc = NULL, *list = NULL;

	if (vw_json_get_obj(call->conf.root, "runtimeConfig", &rc, err) < 0 || vw_json_get_arr(rc, "portMappings", &list, err) < 0)
		return -err->eno;
	for (size_t i = 0; i < vw_json_len(list); i++) {
		struct eni_port p = {0};
		bool none = false;

		if (vw_json_type(vw_json_at(list, i)) != VW_JSON_OBJECT)
			return invalid(err, "runtimeConfig.portMappings[%zu] is not an object", i);
		if (parse_port(vw_json_at(list, i), &p, &none, err) < 0)
			return vw_err_wrap(err, "runtimeConfig.portMappings[%zu]", i);
		if (none)
			continue;
		if (c->ports.n == ENI_MAX_PORTS)
			return invalid(err, "runtimeConfig.portMappings has more than %d entries", ENI_MAX_PORTS);
		c->ports.v[c->ports.n++] = p;
	}
	return 0;
}

int br_conf_parse(const struct vw_cni_call *call, struct br_conf *ret, struct vw_err *err)
{
	const struct vw_json *root = call->conf.root;
	struct br_conf c = {.mtu = call->conf.mtu, .tap_owner = -1};

	if (take_state_dir(root, &c, err) < 0 || take_netns(root, &c, err) < 0 || take_kinds(root, &c, err) < 0 || take_eni(root, &c, err) < 0 ||
	    take_addresses(root, "eniIPAddresses", "eniIPAddress", &c.eni, err) < 0 ||
	    take_addresses(root, "ipAddresses", "ipAddress", &c.pod, err) < 0 || take_gateways(root, &c, err) < 0 ||
	    take_vpc(root, &c, err) < 0 || take_ports(call, &c, err) < 0)
		return -err->eno;
	addresses_of_runtime(call, &c);
	*ret = c;
	return 0;
}

const char *br_conf_state_dir(const struct vw_cni_call *call)
{
	struct br_conf c = {.state_dir = BR_STATE_DIR};
	struct vw_err ignored;

	(void)take_state_dir(call->conf.root, &c, &ignored);
	return c.state_dir;
}
