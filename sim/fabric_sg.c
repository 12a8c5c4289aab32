// SPDX-License-Identifier: Apache-2.0
/*
 * Security groups in the fabric's filter. Stateful: what belongs to a flow that passed passes. A new flow needs a rule at the
 * ENI that it comes from (egress) and one at the ENI that it goes to (ingress); IMDS, the router and the endpoints are
 * no ENIs and ask nobody, as in EC2.
 *
 * An ENI whose groups let everything pass has no chain. The others have one for each direction, reached by one look-up of
 * the interface. A group that a rule names is a set of the addresses of its members. All of it is made anew, in
 * one transaction, when it would read differently.
 */
#include "sim/fabric_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/net/view/nft.h"
#include "sim/ops.h"

#include <string.h>
#include <sys/socket.h>

/* nftables takes no '-' in a name */
static const char *set_name(const struct sim_sg *g, int family, char buf[64])
{
	snprintf(buf, 64, "g%d_%s", family == AF_INET ? 4 : 6, g->id);
	for (char *p = buf; *p; p++)
		if (*p == '-')
			*p = '_';
	return buf;
}

static bool lets_all_pass(const struct sim_eni *eni, bool egress, int family)
{
	for (size_t i = 0; i < eni->n_groups; i++) {
		const struct sim_sg *g = eni->groups[i];

		for (size_t k = 0; k < g->n_rules; k++) {
			const struct sim_sg_rule *r = &g->rules[k];

			if (r->egress == egress && r->proto == -1 && !r->ref && r->cidr.len == 0 && r->cidr.ip.family == family)
				return true;
		}
	}
	return false;
}

/* What comes after the address in a rule of nftables. Return: false = the rule cannot match in this family. */
static bool match_proto(const struct sim_sg_rule *r, int family, struct vw_buf *b)
{
	const char *icmp = family == AF_INET ? "icmp" : "icmpv6";

	if ((r->proto == 1 && family != AF_INET) || (r->proto == 58 && family != AF_INET6))
		return false;
	if (r->proto >= 0)
		vw_buf_printf(b, " meta l4proto %d", r->proto);
	if ((r->proto == 6 || r->proto == 17) && r->from >= 0)
		vw_buf_printf(b, " th dport %d-%d", r->from, r->to);
	if ((r->proto == 1 || r->proto == 58) && r->from >= 0)
		vw_buf_printf(b, " %s type %d", icmp, r->from);
	if ((r->proto == 1 || r->proto == 58) && r->from >= 0 && r->to >= 0)
		vw_buf_printf(b, " %s code %d", icmp, r->to);
	return true;
}

static void rule_text(const struct sim_sg_rule *r, int family, struct vw_buf *text)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	const char *which = r->egress ? "daddr" : "saddr";
	char cidr[VW_CIDR_STRLEN], name[64];

	if (!r->ref && r->cidr.ip.family != family)
		return;
	vw_buf_printf(&b, "		%s %s %s%s", family == AF_INET ? "ip" : "ip6", which, r->ref ? "@" : "",
		      r->ref ? set_name(r->ref, family, name) : vw_cidr_str(&r->cidr, cidr));
	if (match_proto(r, family, &b))
		vw_buf_printf(text, "%s return\n", vw_buf_str(&b));
}

static void chain_text(const struct fab_eni *fe, bool egress, struct vw_buf *text, struct vw_buf *undo)
{
	const struct sim_eni *eni = fe->eni;
	const char *dir = egress ? "out" : "in";

	if (lets_all_pass(eni, egress, AF_INET) && lets_all_pass(eni, egress, AF_INET6))
		return;
	vw_buf_printf(text, "table " FAB_TABLE " {\n	chain sg_%s_%s {\n", dir, fe->ifname);
	for (size_t i = 0; i < eni->n_groups; i++) {
		const struct sim_sg *g = eni->groups[i];

		for (size_t k = 0; k < g->n_rules; k++) {
			if (g->rules[k].egress != egress)
				continue;
			rule_text(&g->rules[k], AF_INET, text);
			rule_text(&g->rules[k], AF_INET6, text);
		}
	}
	vw_buf_printf(text, "		add @denied_%s { %s } drop\n	}\n}\n", dir, egress ? "iifname" : "oifname");
	vw_buf_printf(text, "add element " FAB_TABLE " sg_%s { \"%s\" : jump sg_%s_%s }\n", dir, fe->ifname, dir, fe->ifname);
	vw_buf_printf(undo, "flush chain " FAB_TABLE " sg_%s_%s\ndelete chain " FAB_TABLE " sg_%s_%s\n", dir, fe->ifname, dir,
		      fe->ifname);
}

static bool is_named(const struct sim_fabric *f, const struct sim_sg *g)
{
	const struct sim_sg *o;

	TAILQ_FOREACH(o, &f->world->sgs, link)
		for (size_t i = 0; i < o->n_rules; i++)
			if (o->rules[i].ref == g)
				return true;
	return false;
}

static bool is_member(const struct sim_eni *eni, const struct sim_sg *g)
{
	for (size_t i = 0; i < eni->n_groups; i++)
		if (eni->groups[i] == g)
			return true;
	return false;
}

static void set_text(const struct sim_fabric *f, const struct sim_sg *g, int family, struct vw_buf *text, struct vw_buf *undo)
{
	const struct fab_eni *fe;
	char name[64], cidr[VW_CIDR_STRLEN];
	bool any = false;

	set_name(g, family, name);
	vw_buf_printf(text, "add set " FAB_TABLE " %s { type %s; flags interval; }\n", name,
		      family == AF_INET ? "ipv4_addr" : "ipv6_addr");
	TAILQ_FOREACH(fe, &f->enis, link) {
		const struct sim_cidrs *l = family == AF_INET ? &fe->eni->v4 : &fe->eni->v6;

		for (size_t i = 0; is_member(fe->eni, g) && i < l->n; i++) {
			if (!any)
				vw_buf_printf(text, "add element " FAB_TABLE " %s { ", name);
			vw_buf_printf(text, "%s%s", any ? ", " : "", vw_cidr_str(&l->v[i], cidr));
			any = true;
		}
	}
	vw_buf_puts(text, any ? " }\n" : "");
	vw_buf_printf(undo, "delete set " FAB_TABLE " %s\n", name);
}

int fab_sg_sync(struct sim_fabric *f, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT, undo = VW_BUF_INIT, all = VW_BUF_INIT;
	vw_auto_buf struct vw_buf undo_sets = VW_BUF_INIT;
	const struct fab_eni *fe;
	const struct sim_sg *g;
	int r;

	TAILQ_FOREACH(g, &f->world->sgs, link) {
		if (!is_named(f, g))
			continue;
		set_text(f, g, AF_INET, &text, &undo_sets);
		set_text(f, g, AF_INET6, &text, &undo_sets);
	}
	TAILQ_FOREACH(fe, &f->enis, link) {
		chain_text(fe, true, &text, &undo);
		chain_text(fe, false, &text, &undo);
	}
	vw_buf_puts(&undo, vw_buf_str(&undo_sets));
	vw_buf_printf(&all, "flush map " FAB_TABLE " sg_out\nflush map " FAB_TABLE " sg_in\n%s%s", f->sg_undo ? f->sg_undo : "",
		      vw_buf_str(&text));
	if (vw_buf_err(&text) || vw_buf_err(&undo) || vw_buf_err(&all))
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	if (!strcmp(vw_buf_str(&text), f->sg_text ? f->sg_text : ""))
		return 0;
	r = vw_nft_run(vw_buf_str(&all), err);
	if (r < 0)
		return r;
	vw_free_ptr(&f->sg_text);
	vw_free_ptr(&f->sg_undo);
	f->sg_text = vw_buf_take(&text);
	f->sg_undo = vw_buf_take(&undo);
	return 0;
}
