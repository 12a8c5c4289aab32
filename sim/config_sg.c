/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security groups of a configuration. Their rules may name groups that come later, so they are read when all groups are there.
 * A group that says nothing about rules lets everything pass, in and out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "sim/config_net.h"
#include "sim/config_util.h"
#include "sim/ops.h"

static int group(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct sim_world *w = arg;
	struct sim_sg *g = calloc(1, sizeof(*g));
	char in[64] = "";

	if (!g)
		return vw_err_sys(err, ENOMEM, 0, "building the world");
	TAILQ_INSERT_TAIL(&w->sgs, g, link); /* the world frees it, also after a failure */
	if (sim_cfg_keys(j, "id name description vpc tags ingress egress", where, err) < 0 ||
	    sim_cfg_id(w, j, "sg", g->id, err) < 0 || sim_cfg_tags(j, &g->tags, err) < 0 ||
	    sim_cfg_text(j, "vpc", in, sizeof(in), err) < 0 ||
	    sim_cfg_text(j, "name", g->name, sizeof(g->name), err) < 0 ||
	    sim_cfg_text(j, "description", g->description, sizeof(g->description), err) < 0)
		return -EINVAL;
	g->vpc = sim_cfg_vpc(w, in);
	return g->vpc ? 0 : vw_err_set(err, EINVAL, 0, "there is no VPC '%s'", in);
}

/* "80", "80-90"; of icmp the type, and nothing else: all codes. */
static int take_ports(const struct vw_json *j, struct sim_sg_rule *r, struct vw_err *err)
{
	const char *text = NULL, *dash;
	int64_t one = -1;
	uint64_t from, to;
	char first[8];

	r->from = r->to = -1;
	if (vw_json_get_int(j, "type", 0, 255, &one, err) < 0)
		return -EINVAL;
	if (r->proto == 1 || r->proto == 58) {
		r->from = (int)one;
		return 0;
	}
	if (vw_json_type(vw_json_get(j, "ports")) != VW_JSON_STRING) {
		one = -1;
		if (vw_json_get_int(j, "ports", 0, 65535, &one, err) < 0)
			return -EINVAL;
		r->from = r->to = (int)one;
		return 0;
	}
	if (vw_json_get_str(j, "ports", &text, err) < 0)
		return -EINVAL;
	dash = strchr(text, '-');
	if (vw_fmt(first, sizeof(first), "%.*s", (int)(dash ? dash - text : (ptrdiff_t)strlen(text)), text) < 0 ||
	    vw_parse_u64(first, 0, 65535, &from) < 0 || vw_parse_u64(dash ? dash + 1 : first, from, 65535, &to) < 0)
		return vw_err_set(err, EINVAL, 0, "'ports' is '%s', wanted like \"80\" or \"80-90\"", text);
	r->from = (int)from;
	r->to = (int)to;
	return 0;
}

struct rules {
	struct sim_world *w;
	struct sim_sg *g;
	bool egress;
};

static int rule(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	const struct rules *in = arg;
	struct sim_sg_rule r = {.egress = in->egress};
	char proto[16] = "-1", peer[SIM_ID_LEN] = "", text[VW_CIDR_STRLEN] = "";
	struct sim_fail f;

	if (sim_cfg_keys(j, "protocol ports type cidr group", where, err) < 0 ||
	    sim_cfg_text(j, "protocol", proto, sizeof(proto), err) < 0 ||
	    sim_cfg_text(j, "group", peer, sizeof(peer), err) < 0 || sim_cfg_text(j, "cidr", text, sizeof(text), err) < 0)
		return -EINVAL;
	if (sim_sg_proto_parse(proto, &r.proto) < 0)
		return vw_err_set(err, EINVAL, 0, "%s: there is no protocol '%s'", where, proto);
	if (take_ports(j, &r, err) < 0)
		return -EINVAL;
	if (!peer[0] == !text[0])
		return vw_err_set(err, EINVAL, 0, "%s: a rule needs either 'cidr' or 'group'", where);
	if (text[0] && (vw_cidr_parse(text, &r.cidr) < 0 || !vw_cidr_is_masked(&r.cidr)))
		return vw_err_set(err, EINVAL, 0, "%s: '%s' is not a network", where, text);
	r.ref = peer[0] ? sim_cfg_sg(in->w, peer) : NULL;
	if (peer[0] && !r.ref)
		return vw_err_set(err, EINVAL, 0, "%s: there is no security group '%s'", where, peer);
	return sim_sg_authorize(in->w, in->g, &r, 1, &f) < 0 ? vw_err_set(err, EINVAL, 0, "%s: %s", where, f.msg) : 0;
}

struct walk {
	struct sim_world *w;
	struct sim_sg *next;
};

/* In the order in which group() saw them. */
static int rules_of(void *arg, const struct vw_json *j, const char *where, struct vw_err *err)
{
	struct walk *walk = arg;
	struct rules in = {.w = walk->w, .g = walk->next};
	bool has_in = !vw_json_is_null(vw_json_get(j, "ingress")), has_out = !vw_json_is_null(vw_json_get(j, "egress"));
	struct sim_fail f;

	walk->next = TAILQ_NEXT(in.g, link);
	if (sim_cfg_each(j, "ingress", rule, &in, err) < 0)
		return -EINVAL;
	in.egress = true;
	if (sim_cfg_each(j, "egress", rule, &in, err) < 0)
		return -EINVAL;
	/* without rules at all: open; with rules for one direction: EC2's default for the other */
	if (!has_in && !has_out && sim_sg_open(walk->w, in.g, false, &f) < 0)
		return vw_err_set(err, EINVAL, 0, "%s: %s", where, f.msg);
	if (!has_out && sim_sg_open(walk->w, in.g, true, &f) < 0)
		return vw_err_set(err, EINVAL, 0, "%s: %s", where, f.msg);
	return 0;
}

int sim_config_sgs(struct sim_world *w, const struct vw_json *j, struct vw_err *err)
{
	struct walk walk = {.w = w};
	int r = sim_cfg_each(j, "security_groups", group, w, err);

	walk.next = TAILQ_FIRST(&w->sgs);
	return r < 0 ? r : sim_cfg_each(j, "security_groups", rules_of, &walk, err);
}
