// SPDX-License-Identifier: Apache-2.0
/* What things are called: all of it follows from an ENI's MAC or an attachment's key, so that a call that was killed is found by. */
#include "plugins/vpcwire-bridge/bridge.h"

#include "lib/base/fnv.h"
#include "lib/base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TABLES 0x57000000u

void br_names_of(const struct vw_mac *eni, struct br_names *ret)
{
	const uint8_t *m = eni->b;
	uint64_t h = vw_fnv1a(VW_FNV1A, m, sizeof(eni->b));
	char text[VW_MAC_STRLEN];

	*ret = (struct br_names){.mac = *eni};
	snprintf(ret->bridge, sizeof(ret->bridge), "vbr%02x%02x%02x%02x%02x%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	snprintf(ret->alias, sizeof(ret->alias), PLUGIN_NAME ":%s", vw_mac_str(eni, text));
	snprintf(ret->nft, sizeof(ret->nft), "vpcwire-%s", ret->bridge);
	/* e2, e6, ea or ee: local, and none that EC2 gives (02, 06, 0a, 0e), so that nobody takes the bridge for its ENI */
	ret->mac.b[0] = (uint8_t)((m[0] & 0x0c) | 0xe2);
	ret->table_pods = TABLES + 2 * (uint32_t)(h & 0x3fffff);
	ret->table_eni = ret->table_pods + 1;
}

void br_host_end(const struct vw_attach_key *key, char ret_name[IFNAMSIZ], char ret_alias[VW_IFALIAS_MAX], struct vw_mac *ret_mac)
{
	uint64_t h = vw_fnv1a(VW_FNV1A, key->container_id, strlen(key->container_id) + 1);

	h = vw_fnv1a(h, key->ifname, strlen(key->ifname));
	snprintf(ret_name, IFNAMSIZ, "vbe%012" PRIx64, h >> 16);
	snprintf(ret_alias, VW_IFALIAS_MAX, PLUGIN_NAME ":%.200s/%s", key->container_id, key->ifname);
	for (size_t i = 0; i < sizeof(ret_mac->b); i++)
		ret_mac->b[i] = (uint8_t)(h >> (8 * i));
	ret_mac->b[0] = (uint8_t)((ret_mac->b[0] & 0xfc) | 0x02);       /* local, unicast */
}

void br_key(const struct vw_mac *eni, struct vw_attach_key *ret)
{
	struct br_names n;

	br_names_of(eni, &n);
	memset(ret, 0, sizeof(*ret));
	(void)VW_COPY(ret->container_id, n.nft);
	(void)VW_COPY(ret->ifname, n.bridge);
}
