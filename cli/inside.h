#pragma once

struct cli;
struct vw_json;

/**
 * look_inside() - @answer, of query "pod", gets among each interface's checks one of what is in the pod's namespace: the interface, its MAC address,
 * MTU, addresses, routes and neighbours, beside the wiring that the daemon has (RPC "check"). Where it cannot look, the check is fine and says
 * why. @answer: replaced. Return: 0, -ENOMEM.
 */
int look_inside(const struct cli *c, struct vw_json **answer);
