// SPDX-License-Identifier: Apache-2.0
/*
 * clsact and cls_bpf. A tcx or netkit attach waits for RCU under RTNL (8 to 16 ms); these take microseconds,
 * which is why pods' programs hang here.
 */
#include "lib/net/tc.h"

#include "lib/base/err.h"
#include "lib/net/nl_priv.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int clsact_op(struct vw_nl_batch *b, uint16_t type, uint16_t flags, unsigned int ifindex,
		     const char *dev, const char *verb)
{
	struct tcmsg tcm = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)ifindex,
		.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
		.tcm_parent = TC_H_CLSACT,
	};
	struct nlmsghdr *nlh = vw_nl_begin(b, type, flags, &tcm, sizeof(tcm));
	char buf[16];

	if (!nlh)
		return -b->sour_eno;
	mnl_attr_put_strz(nlh, TCA_KIND, "clsact");
	return vw_nl_end(b, nlh, "%s clsact on %s", verb, vw_dev_name(dev, ifindex, buf));
}

int vw_clsact_add(struct vw_nl_batch *b, unsigned int ifindex, const char *dev)
{
	return clsact_op(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex, dev, "adding");
}

int vw_clsact_del(struct vw_nl_batch *b, unsigned int ifindex, const char *dev)
{
	return clsact_op(b, RTM_DELQDISC, 0, ifindex, dev, "deleting");
}

static struct tcmsg filter_tcm(const struct vw_filter *f)
{
	uint32_t prio = f->prio ? f->prio : VW_TC_PRIO;

	return (struct tcmsg){
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)f->ifindex,
		.tcm_handle = f->handle ? f->handle : VW_TC_HANDLE,
		.tcm_parent =
			TC_H_MAKE(TC_H_CLSACT, f->dir == VW_TC_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS),
		.tcm_info = TC_H_MAKE(prio << 16, htons(ETH_P_ALL)),
	};
}

int vw_filter_replace(struct vw_nl_batch *b, const struct vw_filter *f)
{
	struct tcmsg tcm = filter_tcm(f);
	struct nlattr *options;
	struct nlmsghdr *nlh;
	char dev[16], name[32];

	if (f->prog_fd < 0 || !f->name)
		return vw_nl_sour(b, EINVAL, "a filter needs a program and a name");
	nlh = vw_nl_begin(b, RTM_NEWTFILTER, NLM_F_CREATE | (f->fresh ? NLM_F_EXCL : 0), &tcm, sizeof(tcm));
	if (!nlh)
		return -b->sour_eno;
	(void)snprintf(name, sizeof(name), "%s", f->name);
	mnl_attr_put_strz(nlh, TCA_KIND, "bpf");
	options = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	mnl_attr_put_u32(nlh, TCA_BPF_FD, (uint32_t)f->prog_fd);
	mnl_attr_put_strz(nlh, TCA_BPF_NAME, name);
	mnl_attr_put_u32(nlh, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(nlh, options);
	return vw_nl_end(b, nlh, "attaching %s to %s of %s", name,
			 f->dir == VW_TC_INGRESS ? "ingress" : "egress",
			 vw_dev_name(f->dev, f->ifindex, dev));
}

int vw_filter_del(struct vw_nl_batch *b, const struct vw_filter *f)
{
	struct tcmsg tcm = filter_tcm(f);
	struct nlmsghdr *nlh = vw_nl_begin(b, RTM_DELTFILTER, 0, &tcm, sizeof(tcm));
	char dev[16];

	if (!nlh)
		return -b->sour_eno;
	mnl_attr_put_strz(nlh, TCA_KIND, "bpf");
	return vw_nl_end(b, nlh, "detaching from %s of %s", f->dir == VW_TC_INGRESS ? "ingress" : "egress",
			 vw_dev_name(f->dev, f->ifindex, dev));
}

static int filter_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	struct vw_filter_info *info = item;
	const struct nlattr *attr, *opt;
	char kind[16] = "";

	if (nlh->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct tcmsg))
		return 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct tcmsg))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			vw_nl_get_str(attr, kind, sizeof(kind));
		if (mnl_attr_get_type(attr) != TCA_OPTIONS || strcmp(kind, "bpf") != 0)
			continue;
		mnl_attr_for_each_nested(opt, attr)
		{
			if (mnl_attr_get_type(opt) == TCA_BPF_ID)
				info->prog_id = vw_nl_get_u32(opt);
			else if (mnl_attr_get_type(opt) == TCA_BPF_NAME)
				vw_nl_get_str(opt, info->name, sizeof(info->name));
			else if (mnl_attr_get_type(opt) == TCA_BPF_FLAGS)
				info->direct_action = vw_nl_get_u32(opt) & TCA_BPF_FLAG_ACT_DIRECT;
		}
	}
	return strcmp(kind, "bpf") == 0;
}

int vw_filter_get(struct vw_nl *nl, const struct vw_filter *f, struct vw_filter_info *ret_info,
		  struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[96] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg tcm = filter_tcm(f);
	char what[64], dev[16];
	int r;

	nlh->nlmsg_type = RTM_GETTFILTER;
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(tcm)), &tcm, sizeof(tcm));
	mnl_attr_put_strz(nlh, TCA_KIND, "bpf");
	(void)snprintf(what, sizeof(what), "looking up the filter on %s",
		       vw_dev_name(f->dev, f->ifindex, dev));
	r = vw_nl_ask(nl, nlh, filter_parse, ret_info, sizeof(*ret_info), NULL, what, err);
	if (r == -EINVAL) /* "Parent Qdisc doesn't exists", "Class doesn't support blocks" */
		err->eno = ENOENT;
	return r < 0 ? -err->eno : 0;
}

/* of a filter with a handle; each classifier begins with a message that has none */
static int any_filter(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

	return nlh->nlmsg_type == RTM_NEWTFILTER && mnl_nlmsg_get_payload_len(nlh) >= sizeof(*tcm) && tcm->tcm_handle != 0;
}

int vw_filter_count(struct vw_nl *nl, unsigned int ifindex, enum vw_tc_dir dir, struct vw_err *err)
{
	const struct vw_filter f = {.ifindex = ifindex, .dir = dir};
	alignas(struct nlmsghdr) char buf[96] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg tcm = filter_tcm(&f);
	void *items = NULL;
	int n;

	tcm.tcm_handle = tcm.tcm_info = 0;
	nlh->nlmsg_type = RTM_GETTFILTER;
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(tcm)), &tcm, sizeof(tcm));
	n = vw_nl_dump(nl, nlh, any_filter, sizeof(char), NULL, "listing filters", &items, err);
	free(items);
	return n == -EINVAL || n == -ENOENT ? 0 : n;
}

/* --- token bucket */

int vw_tbf_add(struct vw_nl_batch *b, const struct vw_tbf *tbf)
{
	struct tcmsg tcm = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)tbf->ifindex,
		.tcm_handle = TC_H_MAKE(VW_TC_HANDLE << 16, 0),
		.tcm_parent = TC_H_ROOT,
	};
	/* Ethernet: the kernel counts frames as they are, and wants no table of rates from us. */
	struct tc_tbf_qopt opt = {.rate.linklayer = TC_LINKLAYER_ETHERNET, .limit = tbf->queue_bytes};
	struct nlattr *options;
	struct nlmsghdr *nlh;
	char dev[16];

	if (!tbf->bytes_per_s || !tbf->burst_bytes)
		return vw_nl_sour(b, EINVAL, "a token bucket needs a rate and a size");
	nlh = vw_nl_begin(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tcm, sizeof(tcm));
	if (!nlh)
		return -b->sour_eno;
	opt.rate.rate = tbf->bytes_per_s > UINT32_MAX ? UINT32_MAX : (uint32_t)tbf->bytes_per_s;
	mnl_attr_put_strz(nlh, TCA_KIND, "tbf");
	options = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	mnl_attr_put(nlh, TCA_TBF_PARMS, sizeof(opt), &opt);
	mnl_attr_put(nlh, TCA_TBF_RATE64, sizeof(tbf->bytes_per_s), &tbf->bytes_per_s);
	mnl_attr_put_u32(nlh, TCA_TBF_BURST, tbf->burst_bytes);
	mnl_attr_nest_end(nlh, options);
	return vw_nl_end(b, nlh, "limiting the rate of %s", vw_dev_name(tbf->dev, tbf->ifindex, dev));
}

static int tbf_parse(const struct nlmsghdr *nlh, void *item, const void *arg)
{
	const struct nlattr *attr, *opt;
	struct tc_tbf_qopt parms;
	uint64_t *rate = item;
	char kind[16] = "";

	if (nlh->nlmsg_type != RTM_NEWQDISC || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct tcmsg))
		return 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct tcmsg))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			vw_nl_get_str(attr, kind, sizeof(kind));
		if (mnl_attr_get_type(attr) != TCA_OPTIONS || strcmp(kind, "tbf") != 0)
			continue;
		mnl_attr_for_each_nested(opt, attr)
		{
			if (mnl_attr_get_type(opt) == TCA_TBF_PARMS && mnl_attr_get_payload_len(opt) >= sizeof(parms)) {
				memcpy(&parms, mnl_attr_get_payload(opt), sizeof(parms));
				*rate = parms.rate.rate;
			}
		}
		/* only there when the rate does not fit 32 bits */
		mnl_attr_for_each_nested(opt, attr)
		{
			if (mnl_attr_get_type(opt) == TCA_TBF_RATE64 && mnl_attr_get_payload_len(opt) >= sizeof(*rate))
				memcpy(rate, mnl_attr_get_payload(opt), sizeof(*rate));
		}
	}
	return strcmp(kind, "tbf") == 0;
}

int vw_tbf_get(struct vw_nl *nl, unsigned int ifindex, const char *dev, uint64_t *ret_bytes_per_s, struct vw_err *err)
{
	alignas(struct nlmsghdr) char buf[96] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg tcm = {.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_ROOT};
	char what[64], name[16];
	uint64_t rate;
	int r;

	nlh->nlmsg_type = RTM_GETQDISC;
	nlh->nlmsg_flags = NLM_F_ECHO; /* else only those who listen to changes hear the answer (net/sched/sch_api.c) */
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(tcm)), &tcm, sizeof(tcm));
	(void)snprintf(what, sizeof(what), "looking up the rate limit of %s", vw_dev_name(dev, ifindex, name));
	r = vw_nl_ask(nl, nlh, tbf_parse, &rate, sizeof(rate), NULL, what, err);
	if (r == -EINVAL) /* what every interface has by default is not shown */
		err->eno = ENOENT;
	if (r < 0)
		return -err->eno;
	*ret_bytes_per_s = rate;
	return 0;
}
