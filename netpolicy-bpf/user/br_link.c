// SPDX-License-Identifier: Apache-2.0
/*
 * Making: trunk up, with its filter -> pair -> mark and filter of the outer end -> maps. The tag is published last, so no frame is
 * let in to a link that is not ours yet; and withdrawn first.
 */
#include "netpolicy-bpf/user/br_link.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/net/bpf.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/tc.h"

#include <net/if.h>
#include <string.h>

#define VLAN_MAX 4094

static struct vw_filter filter_of(unsigned int ifindex, const char *dev, const char *name, int prog_fd)
{
	return (struct vw_filter){.ifindex = ifindex, .dir = VW_TC_INGRESS, .prog_fd = prog_fd, .name = name, .dev = dev};
}

static void hang(struct vw_nl_batch *b, const struct vw_filter *f)
{
	vw_clsact_add(b, f->ifindex, f->dev);
	vw_nl_tolerate(b, VW_NL_OK_EXISTS);
	vw_filter_replace(b, f);
}

static int prepare_trunk(struct br *br, struct vw_nl *host, const struct vw_link *trunk, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_filter f = filter_of(trunk->ifindex, trunk->name, BR_PROG_FROM_TRUNK, br_from_trunk_fd(br));

	if (!(trunk->flags & IFF_UP))
		vw_link_set_up(&b, trunk->ifindex, trunk->name);
	hang(&b, &f);
	return vw_nl_commit(host, &b, err) < 0 ? vw_err_wrap(err, "trunk %s", trunk->name) : 0;
}

/* Entries of a pair that went with its namespace are nobody's. */
static int free_tag(struct br *br, struct vw_nl *host, const struct br_link *l, struct vw_err *err)
{
	struct br_branch holder;
	struct vw_link link;
	struct vw_err gone;
	int r = br_find(br, l->trunk->ifindex, l->vlan, &holder, err);

	if (r <= 0)
		return r;
	r = vw_link_get(host, holder.ifindex, &link, &gone);
	if (r == 0)
		return vw_err_set(err, EEXIST, VW_CNI_TRY_AGAIN, "VLAN %u of trunk %s belongs to interface %s (alias \"%.100s\")",
				  l->vlan, l->trunk->name, link.name, link.alias);
	return r == -ENODEV ? br_withdraw(br, &holder, err) : (*err = gone, r);
}

/* Of the outer end nobody ever sees the MAC on a wire. */
static struct vw_mac outer_mac(const struct vw_mac *mac)
{
	return (struct vw_mac){{0x02, 0x56, mac->b[2], mac->b[3], mac->b[4], mac->b[5]}};
}

bool br_link_is_of(const struct vw_link *outer, const char *alias, const struct vw_mac *mac)
{
	struct vw_mac own = outer_mac(mac);

	return outer->alias[0] ? !strcmp(outer->alias, alias) : vw_mac_eq(&outer->mac, &own);
}

static void delete_link(struct vw_nl *host, unsigned int ifindex, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;

	vw_link_del(&b, ifindex);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	(void)vw_nl_commit(host, &b, err);
}

/* An answer of the kernel's may have got lost. */
static void undo_pair(struct vw_nl *host, const struct br_link *l)
{
	struct vw_link link;
	struct vw_err ignored;

	if (vw_link_get_name(host, l->outer, &link, &ignored) == 0 && br_link_is_of(&link, l->alias, &l->mac))
		delete_link(host, link.ifindex, &ignored);
}

static int make_pair(struct vw_nl *host, const struct br_link *l, struct vw_link *ret_outer, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	unsigned int mtu = l->mtu ? l->mtu : l->trunk->mtu;
	struct vw_link_end outer = {.name = l->outer, .mtu = mtu, .netns_fd = -1, .up = true};
	struct vw_link_end inner = {.name = l->inner, .mtu = mtu, .netns_fd = l->netns_fd};
	int r;

	if (!l->other_mac)
		inner.mac = l->mac;
	outer.mac = outer_mac(&l->mac);
	vw_link_add_veth(&b, &outer, &inner);
	r = vw_nl_commit(host, &b, err);
	if (r == -EEXIST)
		return vw_err_set(err, EEXIST, VW_CNI_TRY_AGAIN, "interface %s or %s is there already; it was left as it is", l->outer,
				  l->inner);
	if (r < 0 || vw_link_get_name(host, l->outer, ret_outer, err) < 0) {
		undo_pair(host, l);
		return -err->eno;
	}
	return 0;
}

static int finish(struct br *br, struct vw_nl *host, const struct br_link *l, const struct vw_link *outer, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_link_set mark = {
		.ifindex = outer->ifindex,
		.name = outer->name,
		.what = VW_LINK_ALIAS,
		.alias = l->alias,
	};
	struct vw_filter f = filter_of(outer->ifindex, outer->name, BR_PROG_FROM_POD, br_from_pod_fd(br));
	struct br_branch branch = {.trunk = l->trunk->ifindex, .vlan = l->vlan, .ifindex = outer->ifindex, .mac = l->mac};

	vw_link_set(&b, &mark);
	vw_link_no_ll6(&b, outer->ifindex, outer->name);
	hang(&b, &f);
	if (vw_nl_commit(host, &b, err) < 0)
		return -err->eno;
	return br_publish(br, &branch, err);
}

static int make(struct br *br, struct vw_nl *host, const struct br_link *l, unsigned int *ret_ifindex, struct vw_err *err)
{
	struct vw_err ignored;
	struct vw_link outer;

	if (free_tag(br, host, l, err) < 0 || prepare_trunk(br, host, l->trunk, err) < 0 || make_pair(host, l, &outer, err) < 0)
		return -err->eno;
	if (finish(br, host, l, &outer, err) < 0) {
		delete_link(host, outer.ifindex, &ignored);
		return -err->eno;
	}
	*ret_ifindex = outer.ifindex;
	return 0;
}

static int drop_filter_of_none(struct br *br, struct vw_nl *host, unsigned int trunk, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	struct vw_filter f = filter_of(trunk, NULL, BR_PROG_FROM_TRUNK, -1);
	int r = br_in_use(br, trunk, err);

	if (r != 0)
		return r < 0 ? r : 0;
	vw_filter_del(&b, &f);
	vw_nl_tolerate(&b, VW_NL_OK_GONE);
	r = vw_nl_commit(host, &b, err);
	return r == -EINVAL ? 0 : r; /* somebody took the qdisc away, and the filter with it */
}

int br_link_make(struct br *br, struct vw_nl *host, const struct br_link *l, unsigned int *ret_ifindex, struct vw_err *err)
{
	vw_auto_close int locked = -EBADF;
	struct vw_err ignored;
	int r;

	if (!l->vlan || l->vlan > VLAN_MAX)
		return vw_err_set(err, EINVAL, VW_CNI_INVALID_CONFIG, "VLAN %u: 1 to %d is wanted", l->vlan, VLAN_MAX);
	locked = br_lock(br, err);
	if (locked < 0)
		return locked;
	r = make(br, host, l, ret_ifindex, err);
	if (r < 0)
		(void)drop_filter_of_none(br, host, l->trunk->ifindex, &ignored);
	return r;
}

/* --- and back */

int br_trunk_tidy(struct br *br, struct vw_nl *host, unsigned int trunk, struct vw_err *err)
{
	vw_auto_close int locked = br_lock(br, err);

	return locked < 0 ? locked : drop_filter_of_none(br, host, trunk, err);
}

int br_link_remove(struct br *br, struct vw_nl *host, const struct br_branch *b, const char *alias, struct vw_err *err)
{
	struct vw_link link;
	int r = br ? br_withdraw(br, b, err) : 0;

	if (r < 0)
		return r;
	r = vw_link_get(host, b->ifindex, &link, err);
	if (r < 0 && r != -ENODEV)
		return r;
	if (r == 0 && br_link_is_of(&link, alias, &b->mac)) {
		struct vw_err failed = {0};

		delete_link(host, b->ifindex, &failed);
		if (failed.eno)
			return *err = failed, -failed.eno;
	}
	return br ? br_trunk_tidy(br, host, b->trunk, err) : 0;
}

/* --- CHECK */

static int check_filter(struct vw_nl *host, unsigned int ifindex, int prog_fd, const char *what, struct vw_err *err)
{
	struct vw_filter f = filter_of(ifindex, NULL, NULL, -1);
	struct vw_filter_info info = {0};
	uint32_t id;
	int r = vw_bpf_prog_id(prog_fd, &id, err);

	if (r < 0)
		return r;
	r = vw_filter_get(host, &f, &info, err);
	if (r == -ENOENT || r == -ENODEV || (r == 0 && info.prog_id != id))
		return vw_err_set(err, ENODEV, VW_CNI_CHECK_FAILED, "the filter that %s is missing or another's", what);
	return r;
}

int br_link_check(struct br *br, struct vw_nl *host, const struct br_branch *b, struct vw_err *err)
{
	struct br_branch found;
	int r = br_find(br, b->trunk, b->vlan, &found, err);

	if (r < 0)
		return r;
	if (r == 0 || found.ifindex != b->ifindex || !vw_mac_eq(&found.mac, &b->mac))
		return vw_err_set(err, ENODEV, VW_CNI_CHECK_FAILED, "VLAN %u of its trunk does not lead to the container", b->vlan);
	if (check_filter(host, b->ifindex, br_from_pod_fd(br), "tags what the container sends", err) < 0)
		return -err->eno;
	return check_filter(host, b->trunk, br_from_trunk_fd(br), "takes the tag off on the trunk", err);
}
