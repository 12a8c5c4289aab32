/* Metering and counting of requests. Plain data: the owner holds the mutex and knows the time. */
#include "daemon/ec2_priv.h"

#include <stdio.h>
#include <string.h>

uint64_t ec2_bucket_take(struct ec2_bucket *b, const struct ec2_rate *rate, uint64_t now_ms)
{
	if (!b->at_ms) /* never used: full */
		b->tokens = rate->burst;
	else if (now_ms > b->at_ms)
		b->tokens += (double)(now_ms - b->at_ms) * rate->per_s / 1000;
	if (b->tokens > rate->burst)
		b->tokens = rate->burst;
	b->at_ms = now_ms ? now_ms : 1;
	if (b->tokens >= 1) {
		b->tokens -= 1;
		return 0;
	}
	return (uint64_t)((1 - b->tokens) * 1000 / rate->per_s) + 1;
}

void ec2_bucket_empty(struct ec2_bucket *b, uint64_t now_ms)
{
	b->tokens = 0;
	b->at_ms = now_ms ? now_ms : 1;
}

void ec2_count(struct ec2_counters *c, const char *action, const char *code, uint64_t ms)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (!strcmp(c->v[i].action, action) && !strncmp(c->v[i].code, code, sizeof(c->v[i].code) - 1))
			break;
	}
	if (i == c->n && c->n == EC2_MAX_COUNTERS) {
		i = EC2_MAX_COUNTERS - 1; /* codes come from outside: the last row takes what is left over */
		(void)snprintf(c->v[i].action, sizeof(c->v[i].action), "other");
		(void)snprintf(c->v[i].code, sizeof(c->v[i].code), "other");
	} else if (i == c->n) {
		(void)snprintf(c->v[i].action, sizeof(c->v[i].action), "%s", action);
		(void)snprintf(c->v[i].code, sizeof(c->v[i].code), "%.*s", (int)sizeof(c->v[i].code) - 1,
			       code);
		c->n++;
	}
	c->v[i].n++;
	c->v[i].total_ms += ms;
}
