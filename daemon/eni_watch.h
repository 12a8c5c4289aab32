#pragma once

struct daemon;
struct vw_event;

/**
 * eni_watch() - a hearer of monitor.h: the link of an ENI went away (somebody detached it), came back, or has another name.
 * Its free addresses are not given out meanwhile, what pods use stays theirs, and a survey asks EC2 what has happened.
 */
void eni_watch(struct daemon *d, const struct vw_event *ev);
