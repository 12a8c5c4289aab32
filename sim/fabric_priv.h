// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/ip.h"
#include "lib/net/nl.h"
#include "sim/fabric.h"
#include "sim/model.h"

#include <net/if.h>
#include <stdbool.h>
#include <sys/queue.h>

/**
 * DOC: shared by fabric*.c only
 *
 * Interface indexes in the fabric are asked for, so that nothing needs to be looked up: places at
 * FAB_IFINDEX_PLACE + enum, ENIs at FAB_IFINDEX_ENI + seq.
 */
#define FAB_IFINDEX_PLACE 100
#define FAB_IFINDEX_ENI 1000
#define FAB_TABLE "inet fabric"

/** struct fab_node - an instance that has a namespace. */
struct fab_node {
	TAILQ_ENTRY(fab_node) link;
	const struct sim_instance *inst;
	int netns_fd;
};

/** struct fab_eni - what the kernel has been told of an attached ENI. */
struct fab_eni {
	TAILQ_ENTRY(fab_eni) link;
	const struct sim_eni *eni;
	char ifname[IFNAMSIZ];          /* in the fabric */
	char node_ifname[IFNAMSIZ];
	unsigned int ifindex;
	struct vw_cidr *routed;         /* both families */
	size_t n_routed;
	struct vw_ip nat_private, nat_public;   /* family 0: none */
	bool unchecked;
	struct fab_eni *trunk;          /* of a branch: whose link its frames travel on; NULL: its own */
};

TAILQ_HEAD(fab_nodes, fab_node);
TAILQ_HEAD(fab_enis, fab_eni);

struct sim_fabric {
	struct sim_world *world;
	struct vw_nl nl;
	int netns[SIM_N_PLACES];
	struct fab_nodes nodes;
	struct fab_enis enis;
	struct sim_observer observer;
	struct vw_monitor *monitor;
	char *sg_text, *sg_undo;        /* what the filter was told of security groups, and how it forgets that; NULL: nothing */
	bool observing;
	struct vw_err *start_err;       /* set during sim_fabric_start() */
	int start_result;
};

/* fabric.c */
struct fab_node *fab_node_of(struct sim_fabric *f, const struct sim_instance *inst);

/* fabric_replug.c: follow the fabric's own links */
int fab_replug_start(struct sim_fabric *f, struct vw_err *err);
void fab_replug_stop(struct sim_fabric *f);

/* fabric_base.c */
int fab_base_setup(struct sim_fabric *f, struct vw_err *err);

/* fabric_eni.c */
int fab_eni_attach(struct sim_fabric *f, const struct fab_node *node, const struct sim_eni *eni,
		   struct vw_err *err);
/** fab_branch_attach() - a branch ENI, whose trunk has a link already. */
int fab_branch_attach(struct sim_fabric *f, struct fab_eni *trunk, const struct sim_eni *eni, struct vw_err *err);
/** fab_eni_replug() - the pair anew, after it died with the namespace that its far end was in. */
int fab_eni_replug(struct sim_fabric *f, const struct fab_node *node, struct fab_eni *fe, struct vw_err *err);
/** fab_eni_detach() - also frees @fe. */
int fab_eni_detach(struct sim_fabric *f, struct fab_eni *fe, struct vw_err *err);
/** fab_eni_sync() - make routes, NAT and the source check what the ENI says now. */
int fab_eni_sync(struct sim_fabric *f, struct fab_eni *fe, struct vw_err *err);
void fab_eni_free(struct fab_eni *fe);
struct fab_eni *fab_eni_find(struct sim_fabric *f, const struct sim_eni *eni);

/* fabric_sg.c */
/** fab_sg_sync() - make the filter say what the groups of the plugged ENIs say now. */
int fab_sg_sync(struct sim_fabric *f, struct vw_err *err);

/* fabric_branch.c */
/** fab_branch_hook() - the programs that tag and untag a branch's frames, on both links. */
int fab_branch_hook(struct sim_fabric *f, const struct fab_eni *fe, struct vw_err *err);
/** fab_branch_unhook() - off the trunk's link; what hangs on the branch's own goes with that. */
int fab_branch_unhook(struct sim_fabric *f, const struct fab_eni *fe, struct vw_err *err);
