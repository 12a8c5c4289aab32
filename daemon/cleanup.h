#pragma once

struct vw_err;
struct vwired_config;

/**
 * cleanup() - for the removal of vpcwire from a node: everything in the kernel that carries our mark, the pins, and the state in run_dir.
 * Refused while a vpcwired runs, and while pods have interfaces of ours: nothing is changed then. ENIs and addresses stay the
 * instance's, interfaces of secondary ENIs stay up; sysctls keep their values. May be called again, over a half-done one too.
 * Return: 0, -EADDRINUSE (a daemon), -EBUSY (pods), -errno.
 */
int cleanup(const struct vwired_config *cfg, struct vw_err *err);
/** cleanup_but_pods() - the same beside pods that another master has: their interfaces stay, without our programs, alias and group; so do ENIs. */
int cleanup_but_pods(const struct vwired_config *cfg, struct vw_err *err);
