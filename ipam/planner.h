#pragma once

#include "ipam/pool.h"
#include "ipam/targets.h"
#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: the planner: what to ask of EC2 now
 *
 * A pure function from the pool (at ipam_pool_now(); advance it first), the targets, the limits, what is
 * under way and what is known to fail, to an ordered list of actions. Planning costs little and keeps no
 * state, so the caller plans after every event: an assign or release, an ADD that waits, the end of an
 * action, ipam_plan.again_ms.
 *
 * Growth, in this order, until the shortage is covered:
 *   prefix mode:   /28s on ENIs with free slots; a new ENI with /28s in the first subnet that has some;
 *                  single addresses on ENIs with free slots; a new ENI with single addresses.
 *   address mode:  addresses on ENIs with free slots; a new ENI with addresses.
 * With an adaptive target a call in address mode fills the ENI it is about, within that target twice over: it costs the
 * same. And when nothing is short, an empty ENI is attached ahead of need (ipam_warm.spare).
 * What is under way counts as there. An ENI has at most one assign under way: its further free slots are
 * waited for rather than another ENI created.
 *
 * Shrinking, only when nothing is short, nobody waits and nothing is under way: the ENI that can go as a
 * whole, else free slots beyond the targets, from the ENI with the fewest pods. No action here makes the next
 * plan grow again.
 */

enum ipam_act {
	IPAM_ACT_CREATE_ENI,            /* with n_prefixes or n_addrs in subnet_id, and attach it */
	IPAM_ACT_ASSIGN_PREFIXES,       /* n_prefixes to eni_id */
	IPAM_ACT_ASSIGN_ADDRS,          /* n_addrs to eni_id */
	IPAM_ACT_UNASSIGN,              /* cidrs[] of eni_id, all /28s or all /32s; retire them first */
	IPAM_ACT_REMOVE_ENI,            /* detach and delete eni_id. Set it to REMOVING first */
	IPAM_ACT_COUNT_,
};

/** ipam_act_str() - "create-eni", "assign-prefixes", ... */
const char *ipam_act_str(enum ipam_act act);

#define IPAM_PLAN_ACTIONS 16    /* more than this in one plan waits for the next */
#define IPAM_PLAN_CIDRS 64

/** struct ipam_action - one request. What a kind does not use is zero. @card: of CREATE_ENI; 0 for now. */
struct ipam_action {
	enum ipam_act act;
	char eni_id[IPAM_ID_MAX];
	char subnet_id[IPAM_ID_MAX];
	unsigned int n_prefixes, n_addrs;
	unsigned int card;
	struct vw_cidr cidrs[IPAM_PLAN_CIDRS];
	size_t n_cidrs;
};

/**
 * struct ipam_inflight - an action that was started and whose result is not in the pool yet.
 * An entry goes (or its counts become 0) in the same step in which its ENI and slots are put into the pool.
 * @eni_id: "" for CREATE_ENI as long as it has no id; an ENI of that id in the pool is not counted twice.
 * @subnet_id: of CREATE_ENI; "" if not known.
 */
struct ipam_inflight {
	enum ipam_act act;
	char eni_id[IPAM_ID_MAX];
	char subnet_id[IPAM_ID_MAX];
	unsigned int n_prefixes, n_addrs;
};

/**
 * struct ipam_subnet - where ENIs may be created, in order of preference; also the state of the subnets of
 * existing ENIs.
 * @no_prefix_until_ms, @no_addr_until_ms: EC2 said that it has none left; asked again from then on. 0: not
 * known to be so.
 * @free4:  addresses free when last described; IPAM_FREE4_UNKNOWN. A hint that keeps requests small enough to
 * succeed.
 * @create: new ENIs may be put here.
 */
struct ipam_subnet {
	char id[IPAM_ID_MAX];
	uint64_t no_prefix_until_ms;
	uint64_t no_addr_until_ms;
	uint32_t free4;
	bool create;
};
#define IPAM_FREE4_UNKNOWN UINT32_MAX

/** enum ipam_cause - why the pool does not grow (any further). */
enum ipam_cause {
	IPAM_CAUSE_NONE,                /* it can, or needs not */
	IPAM_CAUSE_UNDER_WAY,           /* growth is under way and will suffice */
	IPAM_CAUSE_SUBNET_EXHAUSTED,    /* @what: subnets */
	IPAM_CAUSE_ENI_LIMIT,           /* every slot of every ENI that may be attached is in use */
	IPAM_CAUSE_THROTTLED,           /* @what: the sentence */
	IPAM_CAUSE_DENIED,              /* a permission is missing. @what: the sentence, with the action */
	IPAM_CAUSE_CREDENTIALS,         /* no valid credentials. @what: the sentence */
	IPAM_CAUSE_EC2,                 /* EC2 failed otherwise. @what: the sentence */
	IPAM_CAUSE_MAX_PODS,            /* as many addresses as pods may run here */
	IPAM_CAUSE_DISABLED,            /* provisioning is switched off */
	IPAM_CAUSE_NO_LIMITS,           /* the instance type's limits or the subnet are not known yet */
};

/** struct ipam_why - a cause for people. @until_ms: growth is tried again then; 0 = an event decides. */
struct ipam_why {
	enum ipam_cause cause;
	uint64_t until_ms;
	char what[320];
};

/** ipam_cause_str() - "subnet-exhausted", ... for metrics and JSON. */
const char *ipam_cause_str(enum ipam_cause cause);
/**
 * ipam_why_text() - a clause for an error message, without a full stop: "subnet subnet-0a has no free address
 * (next try in 12 s)".
 * @buf: truncated to @size. Returned.
 */
const char *ipam_why_text(const struct ipam_why *why, uint64_t now_ms, char *buf, size_t size);

/**
 * struct ipam_limits - how far the pool may grow.
 * @max_enis:     of the instance type (card 0). 0: not known, no ENI is created.
 * @max_eni:      MAX_ENI; 0: none. Like aws-node's it counts all ENIs, also unmanaged ones.
 * @other_enis:   attached but not in the pool (unmanaged, trunk).
 * @slots_per_eni: of a new ENI: IPv4 addresses per ENI less one. 0: not known.
 * @max_pods:     pods that may run here; 0: no cap.
 * @eni_min_age_ms: younger ENIs are not removed. @shrink_interval_ms: between two shrinking plans.
 */
struct ipam_limits {
	unsigned int max_enis;
	unsigned int max_eni;
	unsigned int other_enis;
	unsigned int slots_per_eni;
	unsigned int max_pods;
	uint64_t eni_min_age_ms;
	uint64_t shrink_interval_ms;
};

/** ipam_limits_capacity() - addresses that a node can use at most; 0 = not known. */
unsigned int ipam_limits_capacity(const struct ipam_limits *l, enum ipam_mode mode);

#define IPAM_ENI_MIN_AGE_MS 60000       /* aws-node: minENILifeTime */
#define IPAM_SHRINK_INTERVAL_MS 30000   /* aws-node: decrease at most every 30 s */

/**
 * struct ipam_plan_in - everything that a plan depends on, besides the pool.
 * @waiting:  ADDs that wait for an address now.
 * @blocks:   by kind of action: do not try before until_ms, because of cause (throttled, denied, ENI limit,
 * ...). One that was THROTTLED stays here after that time until the action succeeds: only one of its kind is tried until then.
 * @shrink:   plan UNASSIGN and REMOVE_ENI too. @last_shrink_ms: when the last shrinking action was started.
 * @disabled: provisioning is switched off: no action at all. @drain: the node is to go: no ENI is kept for what may come.
 */
struct ipam_plan_in {
	struct ipam_targets targets;
	struct ipam_limits limits;
	const struct ipam_subnet *subnets;
	size_t n_subnets;
	const struct ipam_inflight *inflight;
	size_t n_inflight;
	unsigned int waiting;
	struct ipam_why blocks[IPAM_ACT_COUNT_];
	bool shrink;
	uint64_t last_shrink_ms;
	bool disabled;
	bool drain;
};

/**
 * struct ipam_plan - what to do, in this order.
 * @need:     the arithmetic behind it, for logs and `status`.
 * @unmet:    addresses that are short and for which there is no action, nor anything under way.
 * @unserved: of @unmet, those that ADDs wait for now.
 * @why:      why they are; CAUSE_NONE when unmet is 0.
 * @again_ms: plan again then even if nothing happens (a block ends, a shrink is due, an address has cooled
 *            down while somebody waits); IPAM_NEVER.
 */
struct ipam_plan {
	struct ipam_action v[IPAM_PLAN_ACTIONS];
	size_t n;
	struct ipam_need need;
	unsigned int unmet, unserved;
	struct ipam_why why;
	uint64_t again_ms;
};

/** ipam_plan() - fill @ret_plan. No I/O, no allocation; cannot fail. */
void ipam_plan(const struct ipam_pool *p, const struct ipam_plan_in *in, struct ipam_plan *ret_plan);

/**
 * ipam_plan_why() - why an ADD that needs an address now does not get one: UNDER_WAY, or what stands in the
 * way. For the text of CNI error 11 and for STATUS. CAUSE_NONE: an address is available, or growth can start
 * at once.
 */
void ipam_plan_why(const struct ipam_pool *p, const struct ipam_plan_in *in, struct ipam_why *ret_why);
