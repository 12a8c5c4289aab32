#pragma once

#include "lib/rpc/check.h"

struct vw_json;
struct vw_nl;

/** DOC: inside look*.c only */

/** struct look - the list that looks add to. @failed: no memory. */
struct look {
	struct vw_json *checks;
	int failed;
};

#define check(l, ...) ((l)->failed |= vw_check((l)->checks, __VA_ARGS__))

/** look_at_features() - does the kernel do what is asked of it? It is asked in a network namespace made for it, which nobody else sees. */
void look_at_features(struct look *l);
/** look_at_others() - interfaces, rules and chains of other CNIs on this node. @nl: route netlink, here. */
void look_at_others(struct look *l, struct vw_nl *nl);
