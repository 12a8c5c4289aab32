/* Leaked ENIs: who looks, when, and what is one. See leak.h. */
#include "daemon/leak.h"

#include "daemon/cloud.h"
#include "lib/base/parse.h"

#include <stdio.h>
#include <string.h>

const char *leak_lease_text(int64_t until, uint32_t nodes, const char *cluster, char buf[256])
{
	(void)snprintf(buf, 256, "until=%lld nodes=%u cluster=%.127s", (long long)until, nodes, cluster);
	return buf;
}

/* @key= up to the next blank; the last one, cluster, to the end */
static bool field(const char *text, const char *key, bool to_end, char *ret, size_t size)
{
	const char *at = strstr(text, key);
	size_t len;

	if (!at)
		return false;
	at += strlen(key);
	len = to_end ? strlen(at) : strcspn(at, " ");
	return vw_fmt(ret, size, "%.*s", (int)len, at) >= 0;
}

static bool lease_parse(const char *text, const char *cluster, struct leak_lease *ret)
{
	char until[32], nodes[32], name[128];
	uint64_t n;

	if (!field(text, "until=", false, until, sizeof(until)) ||
	    !field(text, "nodes=", false, nodes, sizeof(nodes)) ||
	    !field(text, "cluster=", true, name, sizeof(name)) || strcmp(name, cluster))
		return false;
	if (vw_parse_i64(until, 0, INT64_MAX, &ret->until) < 0 || vw_parse_u64(nodes, 1, 1000000, &n) < 0)
		return false;
	ret->nodes = (uint32_t)n;
	return true;
}

void leak_lease_find(const struct ec2_enis *tagged, const char *cluster, int64_t now, struct leak_lease *ret)
{
	*ret = (struct leak_lease){0};
	for (size_t i = 0; i < tagged->n; i++) {
		const struct ec2_eni *e = &tagged->v[i];
		const char *text = ec2_eni_tag(e, TAG_SWEEPER);
		struct leak_lease l = {0};

		if (!text || !e->attachment.instance_id[0] || !lease_parse(text, cluster, &l) ||
		    l.until <= now)
			continue;
		memcpy(l.instance_id, e->attachment.instance_id, sizeof(l.instance_id));
		if (!ret->instance_id[0] || strcmp(l.instance_id, ret->instance_id) < 0)
			*ret = l;
	}
}

bool leak_is_suspect(const struct ec2_eni *e, const char *cluster, int64_t now)
{
	const char *owner = ec2_eni_tag(e, TAG_INSTANCE), *created = ec2_eni_tag(e, TAG_CREATED);
	const char *no_manage = ec2_eni_tag(e, TAG_NO_MANAGE), *of = ec2_eni_tag(e, TAG_CLUSTER);
	int64_t at;

	if (e->status != EC2_ENI_AVAILABLE || e->attachment.instance_id[0] || !owner || !*owner)
		return false;
	if (strcmp(of ? of : "", cluster) || (no_manage && !strcmp(no_manage, "true")))
		return false;
	/* without a date nobody knows whether it is on its way to an instance */
	return created && vw_parse_time(created, &at) == 0 && now - at > LEAK_MIN_AGE_S;
}

uint64_t leak_next_s(bool holder, uint32_t nodes, unsigned int interval_s, uint64_t chance)
{
	/* uniform over twice the nodes' number of intervals: together the nodes ask about once in an interval
	 */
	return holder ? interval_s
		      : interval_s + chance % (2 * (uint64_t)(nodes ? nodes : 1) * interval_s + 1);
}

uint64_t leak_first_s(unsigned int interval_s, uint64_t chance)
{
	return interval_s / 12 + chance % (interval_s / 12 + 1);
}
