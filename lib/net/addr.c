// SPDX-License-Identifier: Apache-2.0
/* Addresses of interfaces. */
#include "lib/net/addr.h"

#include "lib/base/err.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

static int addr_op(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const struct vw_addr *a,
		   const char *verb)
{
	struct ifaddrmsg ifa = {
		.ifa_family = a->addr.ip.family,
		.ifa_prefixlen = a->addr.len,
		.ifa_scope = a->scope,
		.ifa_index = a->ifindex,
	};
	uint32_t ifa_flags = 0;
	struct nlmsghdr *nlh;
	char dev[16], text[VW_CIDR_STRLEN];

	if (!vw_ip_bits(&a->addr.ip) || a->addr.len > vw_ip_bits(&a->addr.ip) || !a->ifindex)
		return vw_nl_sour(b, EINVAL, "%s: an address needs a family, a length and an interface",
				  verb);
	nlh = vw_nl_begin(b, type, flags, &ifa, sizeof(ifa));
	if (!nlh)
		return -b->sour_eno;
	vw_nl_put_ip(nlh, IFA_LOCAL, &a->addr.ip);
	vw_nl_put_ip(nlh, IFA_ADDRESS, &a->addr.ip);
	if (a->flags & VW_ADDR_NODAD)
		ifa_flags |= IFA_F_NODAD;
	if (a->flags & VW_ADDR_NOPREFIXROUTE)
		ifa_flags |= IFA_F_NOPREFIXROUTE;
	if (ifa_flags)
		mnl_attr_put_u32(nlh, IFA_FLAGS, ifa_flags);
	return vw_nl_end(b, nlh, "%s address %s dev %s", verb, vw_cidr_str(&a->addr, text),
			 vw_dev_name(a->dev, a->ifindex, dev));
}

int vw_addr_add(struct vw_nl_batch *b, const struct vw_addr *addr)
{
	return addr_op(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, addr, "adding");
}

int vw_addr_replace(struct vw_nl_batch *b, const struct vw_addr *addr)
{
	return addr_op(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, addr, "setting");
}

int vw_addr_del(struct vw_nl_batch *b, const struct vw_addr *addr)
{
	return addr_op(b, RTM_DELADDR, 0, addr, "deleting");
}

static unsigned int our_flags(uint32_t f)
{
	return (f & IFA_F_NODAD ? VW_ADDR_NODAD : 0) | (f & IFA_F_NOPREFIXROUTE ? VW_ADDR_NOPREFIXROUTE : 0) |
	       (f & IFA_F_SECONDARY ? VW_ADDR_SECONDARY : 0) | (f & IFA_F_TENTATIVE ? VW_ADDR_TENTATIVE : 0) |
	       (f & IFA_F_PERMANENT ? VW_ADDR_PERMANENT : 0);
}

static int addr_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const unsigned int *ifindex = arg;
	struct vw_addr *a = item;
	const struct nlattr *attr;
	struct vw_ip remote = {0};

	if (nlh->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa))
		return 0;
	if (*ifindex && ifa->ifa_index != *ifindex)
		return 0;
	a->ifindex = ifa->ifa_index;
	a->scope = ifa->ifa_scope;
	a->addr.len = ifa->ifa_prefixlen;
	a->flags = our_flags(ifa->ifa_flags);
	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
	{
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			(void)vw_nl_get_ip(attr, ifa->ifa_family, &a->addr.ip);
		else if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			(void)vw_nl_get_ip(attr, ifa->ifa_family, &remote);
		else if (mnl_attr_get_type(attr) == IFA_FLAGS)
			a->flags = our_flags(vw_nl_get_u32(attr));
	}
	/* IPv6 says IFA_ADDRESS alone unless there is a peer */
	if (!a->addr.ip.family)
		a->addr.ip = remote;
	return vw_ip_bits(&a->addr.ip) > 0;
}

int vw_addr_list(struct vw_nl *nl, unsigned int ifindex, uint8_t family, struct vw_addr **ret_addrs,
		 struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[64] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	void *items;
	int n;

	nlh->nlmsg_type = RTM_GETADDR;
	ifa->ifa_family = family;
	ifa->ifa_index = ifindex;
	n = vw_nl_dump(nl, nlh, addr_parse, sizeof(**ret_addrs), &ifindex, "listing addresses", &items, err);
	if (n >= 0)
		*ret_addrs = items;
	return n;
}
