/* Columns of the store that are several words: see store_text.h. */
#include "daemon/store_text.h"

#include "daemon/store.h"
#include "lib/base/cleanup.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void store_branch_text(const struct store_branch *b, char ret[STORE_TEXT_MAX])
{
	char mac[VW_MAC_STRLEN], gw[VW_IP_STRLEN];

	*ret = '\0';
	if (b->vlan)
		snprintf(ret, STORE_TEXT_MAX, "%u %s %s %u %s", b->vlan, vw_mac_str(&b->mac, mac),
			 b->gw4.family ? vw_ip_str(&b->gw4, gw) : "-", b->trunk, b->strict ? "strict" : "standard");
}

int store_branch_of_text(char *text, struct store_branch *ret)
{
	char *word[5], *p = text;
	struct store_branch b = {0};
	uint64_t vlan, trunk;

	if (!*text)
		return 0;
	for (size_t i = 0; i < VW_ARRAY_SIZE(word); i++) {
		char *space = strchr(p, ' ');

		word[i] = p;
		if (!space != (i == VW_ARRAY_SIZE(word) - 1))
			return -EBADMSG;
		if (space) {
			*space = '\0';
			p = space + 1;
		}
	}
	if (vw_parse_u64(word[0], 1, 4094, &vlan) < 0 || vw_mac_parse(word[1], &b.mac) < 0 ||
	    (strcmp(word[2], "-") && vw_ip_parse(word[2], &b.gw4) < 0) || vw_parse_u64(word[3], 1, INT32_MAX, &trunk) < 0)
		return -EBADMSG;
	b.vlan = (unsigned int)vlan;
	b.trunk = (unsigned int)trunk;
	b.strict = !strcmp(word[4], "strict");
	*ret = b;
	return 0;
}

void store_adopted_text(const struct store_adopted *a, char ret[STORE_TEXT_MAX])
{
	char mac[VW_MAC_STRLEN];

	*ret = '\0';
	if (a->ifindex)
		snprintf(ret, STORE_TEXT_MAX, "%u %s %u", a->ifindex, vw_mac_str(&a->mac, mac), a->mtu);
}

int store_adopted_of_text(char *text, struct store_adopted *ret)
{
	char *mac = strchr(text, ' '), *mtu = mac ? strchr(mac + 1, ' ') : NULL;
	struct store_adopted a;
	uint64_t ifindex, bytes;

	if (!*text)
		return 0;
	if (!mtu)
		return -EBADMSG;
	*mac++ = *mtu++ = '\0';
	if (vw_parse_u64(text, 1, INT32_MAX, &ifindex) < 0 || vw_mac_parse(mac, &a.mac) < 0 || vw_parse_u64(mtu, 1, 65535, &bytes) < 0)
		return -EBADMSG;
	a.ifindex = (unsigned int)ifindex;
	a.mtu = (unsigned int)bytes;
	*ret = a;
	return 0;
}
