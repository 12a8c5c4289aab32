#pragma once

struct daemon;
struct eni;

/**
 * DOC: eBPF programs on links that exist
 *
 * The plugin attaches the pinned programs to a veth when it makes it. Here is what the daemon attaches itself: to_wire on its
 * ENIs, and all of them anew after an upgrade has replaced the pins.
 */

/** programs_attach_eni() - to_wire on the ENI's way out. A link that refuses is logged: services behind it are not judged. */
void programs_attach_eni(struct daemon *d, const struct eni *e);
/** programs_renew() - after a start: the pods that live run the programs that are pinned now. Nothing to do mostly. */
void programs_renew(struct daemon *d);
