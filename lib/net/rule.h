#pragma once

#include "lib/base/ip.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vw_nl;
struct vw_nl_batch;

/**
 * struct vw_rule - a routing rule: which table for which packets.
 * @family:   AF_INET or AF_INET6.
 * @from, @to: family 0 = any. @iif: "" = any.
 * @fwmark, @fwmask: @fwmask 0 = any mark.
 * @protocol: who made it; 0 = VW_RTPROT when adding, any when deleting. @unmarked: 0 when adding, too (RTPROT_UNSPEC), as of a maker who
 *            says nothing: to the kernel a rule of another maker is another rule.
 * @action:   FR_ACT_* as read; ignored when adding (always "lookup @table").
 */
struct vw_rule {
	uint8_t family;
	uint8_t protocol;
	uint8_t action;
	bool unmarked;
	uint32_t priority;
	uint32_t fwmark, fwmask;
	struct vw_cidr from, to;
	char iif[IFNAMSIZ];
	uint32_t table;
};

/**
 * vw_rule_add() - EEXIST when the same rule is there. vw_rule_del() - ENOENT when there is none that
 * matches.
 */
int vw_rule_add(struct vw_nl_batch *b, const struct vw_rule *rule);
int vw_rule_del(struct vw_nl_batch *b, const struct vw_rule *rule);

/**
 * vw_rule_list() - every rule of @family. @ret_rules: the caller frees, NULL when empty. Return: how
 * many, -errno.
 */
int vw_rule_list(struct vw_nl *nl, uint8_t family, struct vw_rule **ret_rules, struct vw_err *err);

/** vw_rule_eq() - same selector, table, priority and protocol. */
bool vw_rule_eq(const struct vw_rule *a, const struct vw_rule *b);

#define VW_RULE_STRLEN 160
/** vw_rule_str() - "1024: fwmark 0x80/0x80 lookup 254". Return: @buf. */
const char *vw_rule_str(const struct vw_rule *r, char buf[VW_RULE_STRLEN]);
