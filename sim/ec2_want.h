/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/ec2.h"

/** struct sim_ec2_want_names - the parameters that ask for addresses of one family; members NULL: plain
 * lists. */
struct sim_ec2_want_names {
	const char *addrs, *addr_member;
	const char *prefixes, *prefix_member;
	const char *addr_count, *prefix_count;
};

/** sim_ec2_want_lists() - the explicit lists, into @w->list. Return: 0, -EPROTO. */
int sim_ec2_want_lists(struct sim_ec2_call *c, int family, const struct sim_ec2_want_names *n,
		       struct sim_want *w);
/** sim_ec2_want_counts() - the counts, and that lists and counts exclude each other. Return: how many were
 * asked for in all. */
int sim_ec2_want_counts(struct sim_ec2_call *c, const struct sim_ec2_want_names *n, struct sim_want *w);

/** sim_ec2_tags_check() - number, reserved keys. Return: 0, -EPROTO. */
int sim_ec2_tags_check(const struct sim_tags *t, struct sim_fail *f);
