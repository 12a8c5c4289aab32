#pragma once

struct vw_json;

/**
 * look_at_node() - what can be seen without the daemon: kernel and its features, bpffs, connection tracking, the runtime's CNI configuration, other CNIs, and
 * programs that remove what is ours. Appends objects {part, ok, what, todo} to @checks. Return: 0, -ENOMEM.
 */
int look_at_node(struct vw_json *checks);
