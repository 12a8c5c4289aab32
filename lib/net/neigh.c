// SPDX-License-Identifier: Apache-2.0
/* Neighbours: the permanent entry that lets a pod reach its gateway without ARP. */
#include "lib/net/neigh.h"

#include "lib/base/err.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

static int neigh_op(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const struct vw_neigh *n,
		    const char *verb)
{
	struct ndmsg ndm = {
		.ndm_family = n->ip.family,
		.ndm_ifindex = (int)n->ifindex,
		.ndm_state = type == RTM_NEWNEIGH ? NUD_PERMANENT : 0,
	};
	struct nlmsghdr *nlh;
	char ip[VW_IP_STRLEN], mac[VW_MAC_STRLEN], dev[16];

	if (!vw_ip_bits(&n->ip) || !n->ifindex)
		return vw_nl_sour(b, EINVAL, "%s neighbour: needs an address and an interface", verb);
	nlh = vw_nl_begin(b, type, flags, &ndm, sizeof(ndm));
	if (!nlh)
		return -b->sour_eno;
	vw_nl_put_ip(nlh, NDA_DST, &n->ip);
	if (type == RTM_NEWNEIGH)
		mnl_attr_put(nlh, NDA_LLADDR, sizeof(n->mac.b), n->mac.b);
	return vw_nl_end(b, nlh, "%s neighbour %s (%s) dev %s", verb, vw_ip_str(&n->ip, ip),
			 vw_mac_str(&n->mac, mac), vw_dev_name(n->dev, n->ifindex, dev));
}

int vw_neigh_replace(struct vw_nl_batch *b, const struct vw_neigh *neigh)
{
	return neigh_op(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, neigh, "setting");
}

int vw_neigh_del(struct vw_nl_batch *b, const struct vw_neigh *neigh)
{
	return neigh_op(b, RTM_DELNEIGH, 0, neigh, "deleting");
}

static int neigh_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	struct vw_neigh *n = item;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm))
		return 0;
	n->ifindex = (unsigned int)ndm->ndm_ifindex;
	n->permanent = ndm->ndm_state & NUD_PERMANENT;
	mnl_attr_for_each(attr, nlh, sizeof(*ndm))
	{
		if (mnl_attr_get_type(attr) == NDA_DST)
			(void)vw_nl_get_ip(attr, ndm->ndm_family, &n->ip);
		else if (mnl_attr_get_type(attr) == NDA_LLADDR &&
			 mnl_attr_get_payload_len(attr) == sizeof(n->mac.b))
			memcpy(n->mac.b, mnl_attr_get_payload(attr), sizeof(n->mac.b));
	}
	return 1;
}

int vw_neigh_get(struct vw_nl *nl, unsigned int ifindex, const struct vw_ip *ip, struct vw_neigh *ret_neigh,
		 struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[96] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	char what[80], text[VW_IP_STRLEN];

	nlh->nlmsg_type = RTM_GETNEIGH;
	ndm->ndm_family = ip->family;
	ndm->ndm_ifindex = (int)ifindex;
	vw_nl_put_ip(nlh, NDA_DST, ip);
	(void)snprintf(what, sizeof(what), "looking up neighbour %s", vw_ip_str(ip, text));
	return vw_nl_ask(nl, nlh, neigh_parse, ret_neigh, sizeof(*ret_neigh), NULL, what, err);
}
