#pragma once

#include "daemon/cards.h"
#include "daemon/imds.h"
#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>

struct store;
struct vw_err;

/** struct node - who we are. Written to the store when learnt, so that a restart need not wait for IMDS. */
struct node {
	char instance_id[IMDS_ID_LEN];
	char instance_type[IMDS_ID_LEN];
	char zone[IMDS_ID_LEN], region[IMDS_ID_LEN];
	struct vw_mac primary_mac;
	char vpc_id[IMDS_ID_LEN];
	char subnet_id[IMDS_ID_LEN];    /* of the primary ENI; new ENIs go there unless configured */
	char groups[IMDS_MAX_GROUPS][IMDS_ID_LEN];      /* of the primary ENI, likewise */
	size_t n_groups;
	struct vw_cidr vpc_cidrs[IMDS_MAX_CIDRS];       /* IPv4 */
	size_t n_vpc_cidrs;
	unsigned int max_enis;          /* of the instance type's card 0; 0 = not known yet */
	uint32_t n_cards, card_enis[EC2_MAX_CARDS];     /* all cards; n_cards is 0 while they are not known */
	unsigned int ips_per_eni;       /* IPv4 addresses per ENI, the primary one included */
	bool prefixes;                  /* the hypervisor can delegate prefixes (Nitro, bare metal) */
};

/** node_cards() - the cards that may be used, nothing taken. @multi: ENABLE_MULTI_NIC. */
void node_cards(const struct node *n, bool multi, struct cards *ret);
/**
 * node_take_ranges() - metadata has told the VPC's ranges. Every VPC has one: where it tells none it is not whole, and what is known stands.
 * Return: they are others than before.
 */
bool node_take_ranges(struct node *n, const struct vw_cidr *v, size_t len);
int node_save(struct store *store, const struct node *n, struct vw_err *err);
/** node_load() - Return: 1, 0 when the store has none, -errno when what it has is damaged. */
int node_load(struct store *store, struct node *ret_node, struct vw_err *err);
