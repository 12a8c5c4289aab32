/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of an ENI: assign and unassign, both families, by number or by name.
 *
 * Every address or prefix goes into the ENI's list the moment it is taken; a failure takes the tail of the
 * list off again (and puts back what was taken over from other ENIs), so a request does all or nothing, as
 * EC2's do.
 */
#include "sim/ops.h"

#include <errno.h>
#include <sys/socket.h>

#include "sim/alloc.h"
#include "sim/cidrs.h"
#include "sim/ops_addr.h"

static struct sim_cidrs *list_of(struct sim_eni *e, int family)
{
	return family == AF_INET6 ? &e->v6 : &e->v4;
}

static size_t want_total(const struct sim_want *w)
{
	return w->list.n + w->n_addrs + w->n_prefixes;
}

/* What of @w the ENI does not have yet. */
static size_t want_new(struct sim_eni *e, int family, const struct sim_want *w)
{
	size_t n = want_total(w), i;

	for (i = 0; i < w->list.n; i++)
		n -= sim_cidrs_has(list_of(e, family), &w->list.v[i]);
	return n;
}

int sim_check_limits(const struct sim_itype *t, size_t n_v4, size_t n_v6, struct sim_fail *f)
{
	if (n_v4 > t->v4_per_eni)
		return sim_fail(f, "PrivateIpAddressLimitExceeded",
				"Number of private addresses will exceed limit.");
	if (n_v6 > t->v6_per_eni)
		return sim_fail(f, "PrivateIpAddressLimitExceeded",
				"Number of IPv6 addresses will exceed limit.");
	return 0;
}

static int add(struct sim_eni *e, int family, const struct vw_cidr *c, struct sim_fail *f)
{
	if (sim_cidrs_add(list_of(e, family), c) == 0)
		return 0;
	sim_alloc_give(e->subnet, c);
	return sim_fail_nomem(f);
}

static int take_failed(const struct sim_subnet *s, const struct vw_cidr *c, int r, struct sim_fail *f)
{
	char text[VW_CIDR_STRLEN];

	if (sim_eni_is_prefix(c))
		vw_cidr_str(c, text);
	else
		vw_ip_str(&c->ip, text);
	switch (r) {
	case -ERANGE:
		return sim_fail(f, "InvalidParameterValue",
				"%s %s does not fall within the subnet's address range",
				sim_eni_is_prefix(c) ? "Prefix" : "Address", text);
	case -EPERM:
		return sim_fail(f, "InvalidParameterValue",
				"Address %s is in subnet's reserved address range", text);
	case -EINVAL:
		return sim_fail(f, "InvalidParameterValue",
				"%s is not a valid prefix: an IPv4 prefix is a /28, an IPv6 "
				"prefix a /80, with no host bits set",
				text);
	default:
		return sim_fail(f, "InvalidIPAddress.InUse", "The specified address %s is already in use.",
				text);
	}
}

/* AllowReassignment: a secondary address moves over from the ENI that has it. */
static int take_over(struct sim_eni *e, const struct vw_cidr *c, struct sim_eni **ret_from,
		     struct sim_fail *f)
{
	struct sim_eni *from = sim_eni_by_addr(e->world, &c->ip);

	if (!from || from == e || from->subnet != e->subnet || !sim_cidrs_has(&from->v4, c) ||
	    vw_cidr_eq(&from->v4.v[0], c))
		return take_failed(e->subnet, c, -EADDRINUSE, f);
	if (sim_cidrs_add(&e->v4, c) < 0)
		return sim_fail_nomem(f);
	sim_cidrs_del(&from->v4, c);
	*ret_from = from;
	return 0;
}

static int take_listed(struct sim_eni *e, int family, const struct sim_want *want, struct sim_eni **from,
		       struct sim_fail *f)
{
	size_t i;
	int r;

	for (i = 0; i < want->list.n; i++) {
		const struct vw_cidr *c = &want->list.v[i];

		from[i] = NULL;
		if (want->reassign && sim_cidrs_has(list_of(e, family), c))
			continue; /* already ours: nothing to do */
		r = sim_alloc_take(e->world, e->subnet, c);
		if (r == -EADDRINUSE && want->reassign && !sim_eni_is_prefix(c))
			r = take_over(e, c, &from[i], f);
		else if (r < 0)
			r = take_failed(e->subnet, c, r, f);
		else
			r = add(e, family, c, f);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_counted(struct sim_eni *e, int family, bool prefix, unsigned int n, struct sim_fail *f)
{
	struct vw_cidr c;
	unsigned int i;
	int r;

	for (i = 0; i < n; i++) {
		r = sim_alloc_pick(e->world, e->subnet, family, prefix, &c);
		if (r < 0 && prefix)
			return sim_fail(f, "InsufficientCidrBlocks",
					"The specified subnet does not have enough free cidr "
					"blocks to satisfy the request.");
		if (r < 0)
			return sim_fail(
				f, "InsufficientFreeAddressesInSubnet",
				"The specified subnet does not have enough free addresses to satisfy the request.");
		r = add(e, family, &c, f);
		if (r < 0)
			return r;
	}
	return 0;
}

static void undo(struct sim_eni *e, int family, size_t n_before, const struct sim_want *want,
		 struct sim_eni **from)
{
	struct sim_cidrs *l = list_of(e, family);
	size_t i;

	while (l->n > n_before) {
		struct vw_cidr c = l->v[--l->n];

		for (i = 0; i < want->list.n; i++)
			if (from[i] && vw_cidr_eq(&want->list.v[i], &c))
				break;
		if (i == want->list.n)
			sim_alloc_give(e->subnet, &c);
		else
			sim_cidrs_add(&from[i]->v4, &c); /* cannot fail: the list was longer before */
	}
}

int sim_eni_take(struct sim_eni *e, int family, const struct sim_want *want, struct sim_fail *f)
{
	struct sim_eni *from[SIM_MAX_LIST] = { NULL };
	size_t n_before = list_of(e, family)->n, i;
	int r;

	if (want_total(want) > SIM_MAX_LIST)
		return sim_fail(f, "PrivateIpAddressLimitExceeded",
				"Number of private addresses will exceed limit.");
	if (family == AF_INET6 && want_total(want) && !e->subnet->v6.ip.family)
		return sim_fail(f, "InvalidParameterValue",
				"The subnet '%s' does not have an IPv6 CIDR block", e->subnet->id);
	r = take_listed(e, family, want, from, f);
	if (r == 0)
		r = take_counted(e, family, false, want->n_addrs, f);
	if (r == 0)
		r = take_counted(e, family, true, want->n_prefixes, f);
	if (r < 0) {
		undo(e, family, n_before, want, from);
		return r;
	}
	for (i = 0; i < want->list.n; i++)
		if (from[i])
			sim_notify_eni(from[i], SIM_EV_ADDRESSES);
	return 0;
}

int sim_eni_assign(struct sim_eni *e, int family, const struct sim_want *want, struct sim_cidrs *ret_given,
		   struct sim_fail *f)
{
	struct sim_cidrs *l = list_of(e, family);
	size_t before = l->n, i, n = want_new(e, family, want);
	int r = 0;

	if (e->att.instance)
		r = sim_check_limits(e->att.instance->type, e->v4.n + (family == AF_INET ? n : 0),
				     e->v6.n + (family == AF_INET6 ? n : 0), f);
	if (r == 0)
		r = sim_eni_take(e, family, want, f);
	if (r < 0)
		return r;
	for (i = before; i < l->n && r == 0; i++)
		r = sim_cidrs_add(ret_given, &l->v[i]);
	if (l->n > before)
		sim_notify_eni(e, SIM_EV_ADDRESSES);
	return r < 0 ? sim_fail_nomem(f) : 0;
}

int sim_eni_unassign(struct sim_eni *e, int family, const struct sim_cidrs *list, struct sim_fail *f)
{
	struct sim_cidrs *l = list_of(e, family);
	char text[VW_CIDR_STRLEN];
	size_t i;

	for (i = 0; i < list->n; i++) {
		const struct vw_cidr *c = &list->v[i];

		if (sim_eni_is_prefix(c))
			vw_cidr_str(c, text);
		else
			vw_ip_str(&c->ip, text);
		if (!sim_cidrs_has(l, c))
			return sim_fail(f, "InvalidParameterValue",
					"Some of [%s] are not assigned to interface %s", text, e->id);
		if (family == AF_INET && vw_cidr_eq(&l->v[0], c))
			return sim_fail(f, "InvalidParameterValue",
					"The primary private IP address %s of interface %s "
					"cannot be unassigned",
					text, e->id);
	}
	for (i = 0; i < list->n; i++)
		if (sim_cidrs_del(l, &list->v[i]))
			sim_alloc_give(e->subnet, &list->v[i]);
	if (list->n)
		sim_notify_eni(e, SIM_EV_ADDRESSES);
	return 0;
}
