// SPDX-License-Identifier: Apache-2.0
/* What two containers of a bridge cannot both have: addresses, and ports of the ENI. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/err.h"

#include <errno.h>
#include <string.h>

struct clash {
	const struct eni_state *st;
	struct vw_err *err;
};

static bool ports_clash(const struct eni_port *a, const struct eni_port *b)
{
	return a->proto == b->proto && a->host == b->host && (!a->at.family || !b->at.family || vw_ip_eq(&a->at, &b->at));
}

static int addresses_clash(const struct clash *c, const struct eni_state *other)
{
	char text[VW_IP_STRLEN];

	for (size_t i = 0; i < c->st->addrs.n; i++) {
		for (size_t k = 0; k < other->addrs.n; k++) {
			if (vw_ip_eq(&c->st->addrs.v[i].ip, &other->addrs.v[k].ip))
				return vw_err_set(c->err, EADDRINUSE, VW_CNI_TRY_AGAIN, "address %s is container %.64s's",
						  vw_ip_str(&c->st->addrs.v[i].ip, text), other->key.container_id);
		}
	}
	return 0;
}

static int clashes(const struct eni_state *other, void *arg)
{
	const struct clash *c = arg;
	const struct eni_ports *p = &c->st->ports;

	if (!vw_mac_eq(&other->mac, &c->st->mac))
		return 0;
	if (addresses_clash(c, other) < 0)
		return -c->err->eno;
	for (size_t i = 0; i < p->n; i++) {
		for (size_t k = 0; k < other->ports.n; k++) {
			if (ports_clash(&p->v[i], &other->ports.v[k]))
				return vw_err_set(c->err, EADDRINUSE, VW_CNI_TRY_AGAIN,
						  "port %u/%s of the ENI leads to container %.64s already", p->v[i].host,
						  eni_proto_str(p->v[i].proto), other->key.container_id);
		}
	}
	return 0;
}

int br_refuse_clashes(const char *state_dir, const struct eni_state *st, struct vw_err *err)
{
	const struct eni_ports *p = &st->ports;
	struct clash c = {.st = st, .err = err};

	for (size_t i = 0; i < p->n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (ports_clash(&p->v[i], &p->v[k]))
				return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "runtimeConfig.portMappings has port %u/%s twice",
						  p->v[i].host, eni_proto_str(p->v[i].proto));
		}
	}
	return eni_state_each(state_dir, clashes, &c, err);
}
