#pragma once

#include "tests/policy/fuzz_world.h"

/**
 * DOC: a disagreement, made small
 * shrink() takes objects, rules, peers and whatever else away from a cluster as long as @a and @b still say different things about
 * @q, and writes what is left as a fixture with what @a says, to be kept.
 */
int shrink(const struct px *a, const struct px *b, const struct fuzz_world *w, const struct fw_query *q, const char *name,
	   struct vw_buf *ret_fixture, struct vw_err *err);
