#pragma once

#include <stdbool.h>

struct daemon;
struct sweep;
struct vw_err;

/**
 * DOC: removing leaked ENIs
 *
 * The I/O around leak.h: a timer, and a job in a worker that reads the lease, takes or renews it, and as its
 * holder removes what dead nodes left. Every node also removes what it left itself (a reboot drops open
 * intents), when it looks.
 */
int sweep_new(struct daemon *d, struct sweep **ret_sweep, struct vw_err *err);
void sweep_free(struct sweep *s);
/** sweep_schedule() - set the timer for the first look; stops it when the cleanup is switched off. */
void sweep_schedule(struct daemon *d);
bool sweep_scheduled(const struct daemon *d);
