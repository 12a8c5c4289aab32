/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/fail.h"
#include "sim/model.h"

/**
 * DOC: operations on the world
 *
 * The one place where state changes after start. Each checks what EC2 checks, changes everything or nothing,
 * and tells the observers. Return: 0, or -EPROTO with the EC2 error in @f.
 */

#define SIM_V4_PREFIX_LEN 28 /* EC2 User Guide, ec2-prefix-eni.html */
#define SIM_V6_PREFIX_LEN 80
#define SIM_MAX_LIST      256 /* entries of any list in a request */

/** struct sim_want - addresses and prefixes of one family: by name (@list: hosts and prefixes mixed) or by
 * number. */
struct sim_want {
	struct sim_cidrs list;
	unsigned int n_addrs, n_prefixes;
	bool reassign; /* IPv4 addresses of other ENIs may be taken over */
};

struct sim_create {
	struct sim_subnet *subnet;
	enum sim_eni_type type;
	const char *description;      /* NULL = "" */
	const struct sim_sg **groups; /* @n_groups 0: the VPC's first group */
	size_t n_groups;
	struct vw_ip primary;        /* family 0: any */
	struct sim_want v4, v6;      /* besides the primary */
	const struct sim_tags *tags; /* NULL = none */
};

int sim_eni_create(struct sim_world *w, const struct sim_create *c, struct sim_eni **ret_eni,
		   struct sim_fail *f);
/** sim_eni_attach() - the state becomes attached after w->attach_delay_ms (at once when 0). */
int sim_eni_attach(struct sim_eni *e, struct sim_instance *inst, unsigned int card, unsigned int device,
		   struct sim_fail *f);
/** sim_eni_detach() - likewise with w->detach_delay_ms. @force: also while attaching, and without delay. */
int sim_eni_detach(struct sim_eni *e, bool force, struct sim_fail *f);
int sim_eni_delete(struct sim_eni *e, struct sim_fail *f);
/** sim_eni_assign() - @ret_given: what was added, in order; appended to a list the caller frees. */
int sim_eni_assign(struct sim_eni *e, int family, const struct sim_want *want, struct sim_cidrs *ret_given,
		   struct sim_fail *f);
int sim_eni_unassign(struct sim_eni *e, int family, const struct sim_cidrs *list, struct sim_fail *f);
int sim_eni_set_groups(struct sim_eni *e, const struct sim_sg *const *groups, size_t n, struct sim_fail *f);
void sim_eni_set_source_dest_check(struct sim_eni *e, bool on);

int sim_sg_create(struct sim_world *w, struct sim_vpc *vpc, const char *name, const char *description,
		  const struct sim_tags *tags, struct sim_sg **ret_sg, struct sim_fail *f);
int sim_sg_delete(struct sim_world *w, struct sim_sg *g, struct sim_fail *f);
/** sim_sg_authorize() - add rules, each with an id of its own. sim_sg_revoke() - take them away; ids and descriptions do not count. */
int sim_sg_authorize(struct sim_world *w, struct sim_sg *g, const struct sim_sg_rule *rules, size_t n, struct sim_fail *f);
int sim_sg_revoke(struct sim_world *w, struct sim_sg *g, const struct sim_sg_rule *rules, size_t n, struct sim_fail *f);
/** sim_sg_open() - everything passes in this direction. */
int sim_sg_open(struct sim_world *w, struct sim_sg *g, bool egress, struct sim_fail *f);
/** sim_sg_proto_parse() - "tcp", "udp", "icmp", "icmpv6", "-1" or a number. Return: 0, -EINVAL. */
int sim_sg_proto_parse(const char *text, int *ret_proto);
const char *sim_sg_proto_str(int proto, char buf[12]);
/** sim_sg_has_ports() - @from and @to of a rule mean something. */
bool sim_sg_has_ports(int proto);

/** sim_trunk_associate() - a branch ENI with a trunk, attached or not. @vlan: 1..SIM_MAX_VLAN. */
int sim_trunk_associate(struct sim_eni *branch, struct sim_eni *trunk, unsigned int vlan, struct sim_fail *f);
void sim_trunk_disassociate(struct sim_eni *branch);
/** sim_trunk_branches() - how many are associated with @trunk. */
unsigned int sim_trunk_branches(const struct sim_eni *trunk);
/** sim_trunk_clear() - disassociate all. */
void sim_trunk_clear(struct sim_eni *trunk);
/** sim_trunk_check_limit() - that @inst can serve the @n branches of a trunk besides those it has. */
int sim_trunk_check_limit(const struct sim_eni *trunk, const struct sim_instance *inst, unsigned int n, struct sim_fail *f);

struct sim_run {
	const char *name; /* NULL: the id */
	const char *id;   /* NULL: made up */
	const struct sim_itype *type;
	struct sim_create eni;  /* the primary ENI */
	struct vw_ip public_ip; /* family 0: none */
	const char *role;       /* NULL: none */
	const struct sim_tags *tags;
};

int sim_instance_run(struct sim_world *w, const struct sim_run *run, struct sim_instance **ret_inst,
		     struct sim_fail *f);
/** sim_instance_terminate() - detaches all ENIs at once, deletes those with delete_on_termination. */
void sim_instance_terminate(struct sim_world *w, struct sim_instance *inst);

/** sim_make_id() - "<prefix>-" and 17 hex digits, the same sequence in every run of the same configuration.
 */
void sim_make_id(struct sim_world *w, const char *prefix, char ret_id[SIM_ID_LEN]);
int sim_eni_type_parse(const char *text, enum sim_eni_type *ret_type);

/* Between model.c and ops_*.c. */
enum sim_event {
	SIM_EV_CREATED,
	SIM_EV_ATTACHED,
	SIM_EV_DETACHED,
	SIM_EV_DELETED,
	SIM_EV_ADDRESSES,
	SIM_EV_SOURCE_DEST_CHECK,
	SIM_EV_GROUPS,
	SIM_EV_ASSOCIATED,
	SIM_EV_DISASSOCIATED,
};
void sim_notify_eni(struct sim_eni *e, enum sim_event ev);
void sim_notify_instance(struct sim_world *w, const struct sim_instance *i);
void sim_notify_sg(struct sim_world *w, const struct sim_sg *g);
void sim_eni_free(struct sim_eni *e);
void sim_sg_free(struct sim_sg *g);
