#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: what EC2 may still show although it is over
 *
 * EC2 is eventually consistent, and a survey that began before a change of ours ended knows nothing of it: an address that was
 * just given back may be shown as ours, and whoever believes that gives it to a pod, without a network. So what was given
 * back is remembered, and for SETTLE_MS after that nobody's word makes it ours but EC2's answer to a request for more.
 */
#define SETTLE_MS 60000         /* aws-node: ipReconcileCooldown, 60 s */
#define SETTLE_MAX 256          /* two plans' worth of the most that one gives back; of more the oldest are forgotten */

/** struct settle - plain data; zero is empty. */
struct settle {
	struct {
		struct vw_cidr cidr;
		uint64_t at_ms;
	} v[SETTLE_MAX];
	size_t next;
};

/** settle_gave() - EC2 was asked to take @c back, and did so or may have done so. */
void settle_gave(struct settle *s, const struct vw_cidr *c, uint64_t now_ms);
/** settle_got() - EC2 has just given @c, perhaps again. */
void settle_got(struct settle *s, const struct vw_cidr *c);
/** settle_list() - what EC2 may still show at @now_ms. Return: how many, at most SETTLE_MAX. */
size_t settle_list(const struct settle *s, uint64_t now_ms, struct vw_cidr ret[SETTLE_MAX]);
/** settle_doubts() - @c is shown by somebody who was asked at @asked_ms: it was given back shortly before, or after that. */
bool settle_doubts(const struct settle *s, const struct vw_cidr *c, uint64_t asked_ms);
