/* The planner's enums and causes as text, for logs, metrics and the message of a failed ADD. */
#include "ipam/planner.h"

#include "lib/base/cleanup.h"

#include <inttypes.h>
#include <stdio.h>

const char *ipam_act_str(enum ipam_act act)
{
	static const char *const names[] = {
		[IPAM_ACT_CREATE_ENI] = "create-eni",
		[IPAM_ACT_ASSIGN_PREFIXES] = "assign-prefixes",
		[IPAM_ACT_ASSIGN_ADDRS] = "assign-addrs",
		[IPAM_ACT_UNASSIGN] = "unassign",
		[IPAM_ACT_REMOVE_ENI] = "remove-eni",
	};

	return act < VW_ARRAY_SIZE(names) ? names[act] : "unknown";
}

struct cause_text {
	const char *name;
	const char *text;       /* followed by what */
};

static const struct cause_text causes[] = {
	[IPAM_CAUSE_NONE] = { "none", "nothing stands in the way" },
	[IPAM_CAUSE_UNDER_WAY] = { "under-way", "more addresses are on their way" },
	[IPAM_CAUSE_SUBNET_EXHAUSTED] = { "subnet-exhausted", "no free address in subnet " },
	[IPAM_CAUSE_ENI_LIMIT] = { "eni-limit", "all slots are in use and no ENI can be added: " },
	[IPAM_CAUSE_THROTTLED] = { "throttled", "EC2 throttles: " },
	[IPAM_CAUSE_DENIED] = { "denied", "a permission is missing: " },
	[IPAM_CAUSE_CREDENTIALS] = { "credentials", "no valid AWS credentials: " },
	[IPAM_CAUSE_EC2] = { "ec2", "EC2 failed: " },
	[IPAM_CAUSE_MAX_PODS] = { "max-pods", "as many addresses as pods may run on this node are in use" },
	[IPAM_CAUSE_DISABLED] = { "disabled", "provisioning of ENIs and addresses is switched off" },
	[IPAM_CAUSE_NO_LIMITS] = { "no-limits", "not known yet: " },
};

const char *ipam_cause_str(enum ipam_cause cause)
{
	return cause < VW_ARRAY_SIZE(causes) ? causes[cause].name : "unknown";
}

const char *ipam_why_text(const struct ipam_why *why, uint64_t now_ms, char *buf, size_t size)
{
	const struct cause_text *c = &causes[why->cause < VW_ARRAY_SIZE(causes) ? why->cause : 0];
	char next[48] = "";

	if (why->until_ms > now_ms && why->until_ms != IPAM_NEVER)
		snprintf(next, sizeof(next), " (next try in %" PRIu64 " s)",
			 (why->until_ms - now_ms + 999) / 1000);
	snprintf(buf, size, "%s%s%s", c->text, why->what, next);
	return buf;
}
