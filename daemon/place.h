#pragma once

#include "daemon/ec2.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct manifests;
struct node;
struct store_eni;
struct vwired_config;

/**
 * DOC: placement: decisions without I/O
 *
 * Which of the attached ENIs are ours to use, in which subnets new ENIs may be created and in what order,
 * with which security groups, and which ENIs serve no pods. placement.[ch] carries them out.
 */

/** enum place_use - whether an attached ENI is ours; why not. */
enum place_use {
	PLACE_OURS,
	PLACE_NO_MANAGE,  /* tag node.k8s.amazonaws.com/no_manage=true */
	PLACE_OTHER_NODE, /* tagged as another instance's */
	PLACE_UNTAGGED,   /* MANAGE_UNTAGGED_ENI=false and no tag */
	PLACE_TRUNK,      /* carries branch ENIs, for security groups per pod */
	PLACE_EFA,        /* efa, efa-only: for MPI, not for pods */
	PLACE_OTHER_CARD,       /* on a further network card, and ENABLE_MULTI_NIC is off */
	PLACE_OTHER_TYPE, /* of a load balancer, an endpoint, ...: somebody else's */
};

struct place_rules {
	const char *instance_id;
	bool manage_untagged, multi_nic;
};

/** place_use() - the primary ENI is always ours. */
enum place_use place_use(const struct ec2_eni *e, const struct place_rules *rules);
/** place_use_str() - a clause for the log. */
const char *place_use_str(enum place_use u);

#define PLACE_MAX_SUBNETS 16
#define PLACE_MAX_GONE    16

struct place_subnet {
	char id[EC2_ID_LEN];
	struct vw_cidr cidr; /* family 0: not known */
	uint32_t free4;      /* UINT32_MAX: not known */
};

/**
 * struct place - what was chosen, and from what.
 * @known: what EC2 said of the subnets in the node's VPC and zone; valid when @asked.
 * @gone:  subnets that EC2 said do not exist; not chosen until the configuration changes.
 * @v:     where new ENIs may go, in order of preference. @groups: their security groups.
 * @why:   eno != 0: why there is nowhere to put them.
 */
struct place {
	struct ec2_subnets known;
	bool asked;
	char gone[PLACE_MAX_GONE][EC2_ID_LEN];
	size_t n_gone;
	struct place_subnet v[PLACE_MAX_SUBNETS];
	size_t n;
	char groups[EC2_MAX_GROUPS][EC2_ID_LEN];
	size_t n_groups;
	struct vw_err why;
};

/** place_choose() - fill v, groups and why. @m: what policy_dir holds; used with custom networking. */
void place_choose(struct place *p, const struct vwired_config *cfg, const struct node *node,
		  const struct manifests *m);
/** place_serves_pods() - false for the primary ENI under custom networking, and in a subnet that is tagged
 * out. */
bool place_serves_pods(const struct place *p, const struct vwired_config *cfg, const struct store_eni *eni);
/** place_know() - take over what EC2 said (@take is emptied). */
void place_know(struct place *p, struct ec2_subnets *take);
/** place_known() - what is known of a subnet, or NULL. */
const struct ec2_subnet *place_known(const struct place *p, const char *id);
/** place_took() - @n addresses of a subnet are taken; keeps the figures roughly true between two questions.
 */
void place_took(struct place *p, const char *id, unsigned int n);
/** place_gone() - EC2 said that a subnet does not exist. */
void place_gone(struct place *p, const char *id);
void place_done(struct place *p);
