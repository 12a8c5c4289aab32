// SPDX-License-Identifier: Apache-2.0
/* Labels of IPv6 addresses, by which the kernel chooses sources. */
#include "lib/net/addrlabel.h"

#include "lib/base/err.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <linux/if_addrlabel.h>
#include <stdalign.h>
#include <sys/socket.h>

static int label_op(struct vw_nl_batch *b, uint16_t type, uint16_t flags, const struct vw_addrlabel *l, const char *verb)
{
	const struct ifaddrlblmsg msg = {
		.ifal_family = AF_INET6, .ifal_prefixlen = l->prefix.len, .ifal_index = l->ifindex,
	};
	char dev[16], text[VW_CIDR_STRLEN];
	struct nlmsghdr *nlh;

	if (l->prefix.ip.family != AF_INET6 || !vw_cidr_is_masked(&l->prefix))
		return vw_nl_sour(b, EINVAL, "%s: a label is of an IPv6 network", verb);
	nlh = vw_nl_begin(b, type, flags, &msg, sizeof(msg));
	if (!nlh)
		return -b->sour_eno;
	vw_nl_put_ip(nlh, IFAL_ADDRESS, &l->prefix.ip);
	mnl_attr_put_u32(nlh, IFAL_LABEL, l->label);
	return vw_nl_end(b, nlh, "%s label %u of %s dev %s", verb, l->label, vw_cidr_str(&l->prefix, text),
			 vw_dev_name(l->dev, l->ifindex, dev));
}

int vw_addrlabel_set(struct vw_nl_batch *b, const struct vw_addrlabel *l)
{
	return label_op(b, RTM_NEWADDRLABEL, NLM_F_CREATE | NLM_F_REPLACE, l, "setting");
}

int vw_addrlabel_del(struct vw_nl_batch *b, const struct vw_addrlabel *l)
{
	return label_op(b, RTM_DELADDRLABEL, 0, l, "deleting");
}

static int label_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct ifaddrlblmsg *msg = mnl_nlmsg_get_payload(nlh);
	struct vw_addrlabel *l = item;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWADDRLABEL || mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg) || msg->ifal_prefixlen > 128)
		return 0;
	l->prefix.len = msg->ifal_prefixlen;
	l->ifindex = msg->ifal_index;
	mnl_attr_for_each(attr, nlh, sizeof(*msg)) {
		if (mnl_attr_get_type(attr) == IFAL_ADDRESS)
			(void)vw_nl_get_ip(attr, AF_INET6, &l->prefix.ip);
		else if (mnl_attr_get_type(attr) == IFAL_LABEL)
			l->label = vw_nl_get_u32(attr);
	}
	return l->prefix.ip.family == AF_INET6;
}

int vw_addrlabel_list(struct vw_nl *nl, struct vw_addrlabel **ret, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[64] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrlblmsg *msg = mnl_nlmsg_put_extra_header(nlh, sizeof(*msg));
	void *items;
	int n;

	nlh->nlmsg_type = RTM_GETADDRLABEL;
	msg->ifal_family = AF_INET6;
	n = vw_nl_dump(nl, nlh, label_parse, sizeof(**ret), NULL, "listing address labels", &items, err);
	if (n >= 0)
		*ret = items;
	return n;
}
