#pragma once

#include <stdbool.h>

struct daemon;
struct vw_err;

/**
 * DOC: drain
 *
 * A node that is to go serves no new pods: ADD fails with CNI code 11, STATUS says 50, nothing is kept warm, and whatever no pod uses goes back
 * to EC2. Pods that are there keep all they have. In the store until it is taken back or the node boots.
 */
int drain_set(struct daemon *d, bool on, struct vw_err *err);
/** drain_restore() - at start, what a former life was told. */
int drain_restore(struct daemon *d, struct vw_err *err);
/** drain_refuse() - the error of an ADD meanwhile. Return: -errno. */
int drain_refuse(struct vw_err *err);
