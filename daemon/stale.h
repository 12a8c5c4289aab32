#pragma once

#include "lib/base/ip.h"

#include <stdbool.h>

struct daemon;

/**
 * DOC: addresses with a past
 *
 * The connections that the kernel tracks for a pod's address are forgotten before another pod gets it. For pods that go in
 * this life hostnet keeps the list (hostnet_is_stale()); a life that ended between a DEL and the reaper's next round has left an
 * unknown rest, so after each start what is tracked about addresses of ours that no pod has goes, in a worker.
 */

/** stale_sweep() - start that; call once pods and ENIs are restored. Until it is done every address counts as stale. */
void stale_sweep(struct daemon *d);
/** stale_address() - @ip may not be given out yet: try again after the reaper's next round, which is under way. */
bool stale_address(struct daemon *d, const struct vw_ip *ip);
