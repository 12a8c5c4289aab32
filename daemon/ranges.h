// SPDX-License-Identifier: Apache-2.0
#pragma once

struct daemon;

/**
 * DOC: the VPC's ranges
 *
 * A VPC may get another range while its nodes run, and nothing tells them. What pods send there would be translated to the node's address,
 * and judged as the node's where it arrives. So metadata is asked once a minute, with one request; a survey, which asks it too, counts as one.
 */
#define RANGES_MS 60000         /* aws-node: 30 s, and by EC2 (pkg/ipamd: startVPCCIDRUpdater) */

/** ranges_later() - they have just been heard: ask again in a minute. */
void ranges_later(struct daemon *d);
/** ranges_ask() - a timer's function: ask now, in a worker. */
void ranges_ask(void *daemon);
