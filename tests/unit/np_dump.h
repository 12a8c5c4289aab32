#pragma once

/* Objects of a world as text, one line each, so that a test can say what it expects. */

#include "netpolicy-bpf/user/np_world.h"

struct vw_buf;

/** np_dump() - one object, its policy's rules included. */
void np_dump(struct vw_buf *out, const struct np_object *o);
/** np_dump_notes() - "REFUSED|warning file: object: path: text" a line. */
void np_dump_notes(struct vw_buf *out, struct np_world *w);
