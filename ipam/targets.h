#pragma once

#include <stdbool.h>

/**
 * DOC: warm-pool arithmetic
 *
 * aws-node's targets, names, precedence and figures (amazon-vpc-cni-k8s pkg/ipamd/ipamd.go:
 * datastoreTargetState, datastorePrefixTargetState, isDatastorePoolTooLow; snapshot b52188387):
 *
 *   WARM_IP or MIN set:
 *      short = max(WARM_IP - avail, MIN - total, 0)    over = max(min(avail - WARM_IP, total - MIN), 0)
 *      with prefixes:  short = ceil(short/16)
 *                      over = max(min(free, all - ceil((assigned + WARM_IP)/16), all - ceil(MIN/16)), 0)
 *   else with prefixes:
 *      short while avail < WARM_PREFIX * 16, or avail = 0 with a target of 0    over = free - WARM_PREFIX
 *   else:
 *      short while avail < WARM_ENI * slots, or avail = 0 with a target of 0; grown by whole ENIs
 *
 * Deviations, each named in tests/unit/test_ipam_targets.c and argued in docs/IPAM.md:
 *   D1 cooling addresses are not available (they count in the total, for MIN: they are on the node).
 *   D2 ADDs that wait are taken off what is available before the targets are looked at, and are need even
 *      where the targets ask for nothing (WARM_IP 0 with MIN; everything cooling): nothing sticks at 0.
 *   D3 growth is capped by what max pods can still use; aws-node overshoots by up to a whole ENI.
 *   D4 what is under way counts as there; aws-node blocks instead.
 *   D5 the amount of WARM_PREFIX growth is the shortage in addresses, rounded up; aws-node's is
 *      WARM_PREFIX - free prefixes, also where begun prefixes hold enough.
 *   D6 addresses beyond the targets are kept while ADDs wait or growth is under way.
 *   D7 what would be missed at once is not given back: with a target of 0 aws-node frees the last prefix or
 *      ENI, finds 0 available and asks for it again, for ever.
 */

/**
 * struct ipam_warm - a target with hysteresis, in available addresses: below @low grow to @fill, above @keep give
 * back down to @fill. low <= fill <= keep. @spare: the ENIs that are attached should have room for so many more, so
 * that growing is one quick call; an empty ENI is attached for that when nothing else is to do.
 */
struct ipam_warm {
	unsigned int low, fill, keep, spare;
};

enum ipam_mode { IPAM_MODE_ADDRS, IPAM_MODE_PREFIXES };

/**
 * struct ipam_targets - warm targets. 0 = not set for @warm_ip and @minimum_ip, as in aws-node.
 * @warm_eni: used in address mode when neither of these is set. @warm_prefix: likewise in prefix mode.
 * @adaptive: none of these was set: @warm, which comes from demand.h, is the target.
 */
struct ipam_targets {
	enum ipam_mode mode;
	unsigned int warm_eni;
	unsigned int warm_ip;
	unsigned int minimum_ip;
	unsigned int warm_prefix;
	bool adaptive;
	struct ipam_warm warm;
};

/**
 * struct ipam_figures - what the arithmetic looks at.
 * @total: addresses on the node, cooling ones too. @available: free and cooled down (on attaching ENIs too).
 * @coming: under way. @waiting: ADDs without an address. @slots_per_eni: of a full ENI. @max_pods: 0 = no
 * cap.
 */
struct ipam_figures {
	unsigned int total, assigned, available, cooling, coming, waiting;
	unsigned int prefixes, free_prefixes;
	unsigned int slots_per_eni;
	unsigned int max_pods;
};

/**
 * struct ipam_need - the answer.
 * @short_addrs:    addresses to add, 0 = none; already capped by max pods. With prefixes: not rounded.
 * @short_prefixes: the same in /28s, in prefix mode.
 * @demand:         of short_addrs, those that ADDs wait for.
 * @whole_enis:     add them by filling ENIs (WARM_ENI), not just as many as are short.
 * @refused:        ADDs that wait, but for which max pods allows no address.
 * @room:           addresses that max pods can still use, when @whole_enis fills up: UINT_MAX = no cap.
 * @over_addrs:     address mode: addresses to give back. @over_prefixes: prefix mode: wholly free /28s to
 * give back.
 * @over_enis:      WARM_ENI: as much is available as one whole ENI beyond the target.
 * @capped:         max pods made it smaller than the targets ask for.
 */
struct ipam_need {
	unsigned int short_addrs, short_prefixes, demand, refused, room;
	unsigned int over_addrs, over_prefixes;
	bool whole_enis, over_enis, capped;
};

/** ipam_need() - pure arithmetic. */
struct ipam_need ipam_need(const struct ipam_targets *t, const struct ipam_figures *f);
