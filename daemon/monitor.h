#pragma once

struct daemon;
struct monitor;
struct vw_err;

/**
 * DOC: what changes in the kernel without us
 *
 * One subscription to route netlink for the whole daemon, and one to nftables; a table in monitor.c says which function hears
 * of which kind of event (enum vw_event_kind), and only kinds that somebody hears of are subscribed to. What comes and goes
 * with each ADD and DEL is left out in the kernel, and so is what the daemon's own sockets do: see vw_monitor_want.losses.
 *
 * Hearers run in the loop's thread, in the kernel's order, some time after the event: what an event says may be over. They
 * must converge on what is there now, and take VW_EVENT_LOST as "anything may have changed".
 */

/**
 * monitor_new() - subscribe; events wait in the socket until the loop runs. So it comes before the state that they change is
 * read for the first time.
 */
int monitor_new(struct daemon *d, struct monitor **ret_monitor, struct vw_err *err);
/** monitor_free() - before the loop. NULL is fine. */
void monitor_free(struct monitor *m);
