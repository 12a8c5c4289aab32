#pragma once

#include "tests/policy/fixture.h"

#include <stdio.h>

struct vw_buf;
struct vw_json;

/**
 * struct px_half - what one end of a packet is asked. @pod, @node: whose end, and where it is. @self, @peer: their addresses;
 * for egress the real destination. @proto: as on the wire (58 for ICMPv6). @vip, @vip_port: egress to a service: the address
 * that the pod sends to; family 0 = none. @names: known names of @peer.
 */
struct px_half {
	const char *pod, *node;
	bool egress, node_local;
	struct vw_ip self, peer, vip;
	uint16_t port, vip_port;
	uint8_t proto;
	const char *const *names;
	size_t n_names;
};

/**
 * struct px_cell - a flow from end to end, at once. @by_service: to the address and port of @dst's own service. @got: 1 = let
 * through, 0 = dropped, -errno; @why: for people, static.
 */
struct px_cell {
	const struct fx_end *src, *dst;
	const struct fx_port *on;
	bool by_service, want;
	int got;
	const char *why;
};

/**
 * struct px - an executor: something that claims to know the verdicts.
 * @load: the cluster is now this. @judge: 1 = let through, 0 = dropped, -errno; @why: for people. @ask: instead of @judge, all cells of a
 * step; in order of @src. @refuse: take this object alone; it must fail with a message that names @at. All return -errno with @err filled.
 */
struct px {
	const char *name;
	void *ctx;
	int (*load)(void *ctx, const struct vw_json *const *objs, size_t n, bool strict, struct vw_err *err);
	int (*judge)(void *ctx, const struct px_half *h, char why[128], struct vw_err *err);
	int (*ask)(void *ctx, const struct fx_run *run, int family, struct px_cell *v, size_t n, struct vw_err *err);
	int (*refuse)(void *ctx, const struct vw_json *obj, struct vw_err *err);
};

/** px_run_case() - one case on one family (0 = IPv4, 1 = IPv6). @told: what was wrong. Return: how many things were. */
unsigned int px_run_case(const struct px *x, const struct fx_file *f, size_t i, int family, unsigned int *ret_cells,
			 struct vw_buf *told);

/**
 * px_main() - all cases of the files (default: every fixture) on both families by each executor, as TAP on stdout.
 * argv: [--case NAME] [FILE...]. Return: exit code.
 */
int px_main(int argc, char **argv, const struct px *x, size_t n_x);

/** px_main_as_root() - px_main() with an executor that needs root; leaves itself out without. */
int px_main_as_root(int argc, char **argv, int (*make)(struct px *ret, struct vw_err *err), void (*done)(struct px *x));

/** px_oracle() - the oracle as an executor; _reversed(): it gets all objects in reverse order. px_oracle_done() in the end. */
struct px px_oracle(void);
struct px px_oracle_reversed(void);
void px_oracle_done(struct px *x);
