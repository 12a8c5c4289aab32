/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/ip.h"
#include "sim/loop.h"

/**
 * DOC: the state that every endpoint and the packet fabric share
 *
 * One struct sim_world holds VPCs, subnets, security groups, instances and ENIs. It is changed only by the
 * operations of sim/ops.h (which check what EC2 checks) and read by everybody. Pointers between the structs
 * are stable until the object is deleted; only ENIs and security groups ever are. Whoever must follow changes (fabric, IMDS)
 * registers a struct sim_observer.
 *
 * Lists are in order of creation. Ids look like EC2's: "eni-" and 17 hex digits.
 */
#define SIM_ID_LEN        32
#define SIM_TAG_KEY_LEN   128 /* EC2: 127 characters */
#define SIM_TAG_VALUE_LEN 256 /* EC2: 255 characters */
#define SIM_MAX_CARDS     8
#define SIM_MAX_VLAN      4094

struct sim_tag {
	char key[SIM_TAG_KEY_LEN];
	char value[SIM_TAG_VALUE_LEN];
};

struct sim_tags {
	struct sim_tag *v;
	size_t n;
};

/** struct sim_cidrs - addresses are host routes (/32, /128), delegated prefixes /28 and /80. */
struct sim_cidrs {
	struct vw_cidr *v;
	size_t n;
};

struct sim_vpc {
	TAILQ_ENTRY(sim_vpc) link;
	char id[SIM_ID_LEN];
	struct sim_cidrs v4; /* the first one is the primary */
	struct sim_cidrs v6;
	struct sim_tags tags;
	bool is_default;
};

/** enum sim_use - what an IPv4 address of a subnet is doing. */
enum sim_use {
	SIM_USE_FREE,
	SIM_USE_RESERVED,     /* by AWS: first four, last */
	SIM_USE_HELD,         /* taken by nobody we model: fragmentation from config or the control socket */
	SIM_USE_ADDRESS,      /* an ENI's */
	SIM_USE_PREFIX,       /* inside an ENI's /28 */
	SIM_USE_RSV_PREFIX,   /* subnet CIDR reservation of type prefix: only prefixes are taken from it */
	SIM_USE_RSV_EXPLICIT, /* reservation of type explicit: only on request of that very address */
};

struct sim_subnet {
	TAILQ_ENTRY(sim_subnet) link;
	char id[SIM_ID_LEN];
	struct sim_vpc *vpc;
	char az[24], az_id[16];
	struct vw_cidr v4;
	struct vw_cidr v6; /* family 0: none */
	struct sim_tags tags;
	bool map_public_ip;
	uint8_t *use; /* enum sim_use of each address of v4, index = address - network */
	uint8_t *rsv; /* what each returns to when it is given back: FREE or a reservation */
	size_t n_use;
	uint64_t v6_next; /* where the search for free IPv6 goes on */
};

/**
 * struct sim_sg_rule - what a group lets pass.
 * @proto: IP protocol, -1 = any. @from, @to: ports of TCP and UDP, -1 = all; of ICMP type and code, -1 = any.
 * @cidr, @ref: the other end: a network, or whoever has the group @ref.
 */
struct sim_sg_rule {
	char id[SIM_ID_LEN];
	bool egress;
	int proto, from, to;
	struct vw_cidr cidr;
	const struct sim_sg *ref; /* NULL: @cidr counts */
	char description[256];
};

struct sim_sg {
	TAILQ_ENTRY(sim_sg) link;
	char id[SIM_ID_LEN];
	char name[64], description[128];
	struct sim_vpc *vpc;
	struct sim_tags tags;
	struct sim_sg_rule *rules;
	size_t n_rules;
};

/** struct sim_itype - what DescribeInstanceTypes says of a type. The address limits count slots, the primary
 * included. */
struct sim_itype {
	char name[32];
	unsigned int max_enis, v4_per_eni, v6_per_eni;
	unsigned int n_cards;
	unsigned int card_max_enis[SIM_MAX_CARDS];
	unsigned int vcpus, memory_mib, branch_enis;
	bool nitro, bare_metal, trunking;
};

struct sim_instance {
	TAILQ_ENTRY(sim_instance) link;
	char id[SIM_ID_LEN];
	char name[64]; /* the config's name for it ("node1"), unique; the id where none was given */
	uint32_t seq;  /* 1, 2, ... in order of creation */
	const struct sim_itype *type;
	struct sim_subnet *subnet; /* of the primary ENI */
	struct sim_eni *primary;   /* device 0 of card 0 */
	char role[64];             /* instance profile's role, "" = none */
	char hostname[96];         /* private DNS name */
	int64_t launch_time;
	struct sim_tags tags;
	bool terminated; /* kept in the list, as EC2 does; has no ENIs any more */
};

enum sim_att_state { SIM_ATT_NONE, SIM_ATT_ATTACHING, SIM_ATT_ATTACHED, SIM_ATT_DETACHING };

struct sim_attachment {
	enum sim_att_state state;
	char id[SIM_ID_LEN];           /* eni-attach-... */
	struct sim_instance *instance; /* NULL when state is SIM_ATT_NONE */
	unsigned int device, card;
	bool delete_on_termination;
	int64_t time;
};

enum sim_eni_type { SIM_ENI_INTERFACE, SIM_ENI_TRUNK, SIM_ENI_BRANCH, SIM_ENI_EFA, SIM_ENI_EFA_ONLY };

struct sim_eni {
	TAILQ_ENTRY(sim_eni) link;
	char id[SIM_ID_LEN];
	uint32_t seq; /* unique, never used again: good for interface names */
	enum sim_eni_type type;
	struct vw_mac mac;
	struct sim_subnet *subnet;
	struct sim_cidrs v4; /* v[0] is the primary address; then addresses (/32) and prefixes (/28) mixed */
	struct sim_cidrs v6; /* addresses (/128) and prefixes (/80) mixed; may be empty */
	struct vw_ip public_ip; /* IGW maps it 1:1 to the primary address; family 0: none */
	struct sim_attachment att;
	const struct sim_sg **groups;
	size_t n_groups;
	bool source_dest_check;
	char description[256];
	struct sim_tags tags;
	struct sim_eni *trunk; /* of a branch: what it is associated with; NULL: none */
	unsigned int vlan;     /* 1..SIM_MAX_VLAN, unique on its trunk */
	char assoc_id[SIM_ID_LEN];
	struct sim_timer timer; /* attach and detach delay */
	struct sim_world *world;
};

TAILQ_HEAD(sim_vpcs, sim_vpc);
TAILQ_HEAD(sim_subnets, sim_subnet);
TAILQ_HEAD(sim_sgs, sim_sg);
TAILQ_HEAD(sim_instances, sim_instance);
TAILQ_HEAD(sim_enis, sim_eni);
TAILQ_HEAD(sim_observers, sim_observer);

/** struct sim_changes - what has become of ENIs since the world began, whoever did it and whether he heard of it or not. */
struct sim_changes {
	uint32_t created, attached, detached, deleted;
};

/** struct sim_world - see the DOC above. @attach_delay_ms, @detach_delay_ms: may be changed at any time. */
struct sim_world {
	struct sim_loop *loop;
	char region[24], account[16];
	struct sim_vpcs vpcs;
	struct sim_subnets subnets;
	struct sim_sgs sgs;
	struct sim_instances instances;
	struct sim_enis enis;
	struct sim_itype *itypes;
	size_t n_itypes;
	struct sim_observers observers;
	unsigned int attach_delay_ms, detach_delay_ms;
	bool scattered;         /* addresses are chosen all over the subnet instead of lowest first */
	int64_t clock_offset_s; /* of the simulated cloud against this machine: see sim_now() */
	uint64_t id_next;       /* input of the next id */
	uint32_t eni_seq, instance_seq;
	struct sim_changes changes;
};

/**
 * struct sim_observer - embedded by whoever follows the world. Any callback may be NULL.
 *
 * Called after the change, from the loop, synchronously; the answer to the EC2 client is sent afterwards, so
 * what a callback does (a veth, a route) is there when the client reads its answer. Callbacks must not change
 * the world.
 *
 * @instance_added: the instance and its primary ENI are complete. Followed by eni_created and eni_attached of
 * the primary.
 * @instance_terminated: its ENIs are detached and, where they asked for it, deleted; those events came
 * before.
 * @eni_created: not attached yet.
 * @eni_attached: att.state is SIM_ATT_ATTACHED, that is after the attach delay.
 * @eni_detached: att still says from where (instance, device, card); it is cleared after the last observer.
 * @eni_deleted: last use of the pointer. eni_detached came before if it was attached.
 * @eni_addresses_changed: v4, v6 or public_ip. Both lists are complete, the order is stable.
 * @eni_source_dest_check_changed: see eni->source_dest_check.
 * @eni_groups_changed: see eni->groups.
 * @sg_changed: the group's rules.
 * @eni_associated: a branch got its trunk; the trunk may be attached or not.
 * @eni_disassociated: trunk and vlan still say from where; they are cleared after the last observer.
 */
struct sim_observer {
	TAILQ_ENTRY(sim_observer) link;
	void *arg;
	void (*instance_added)(void *arg, const struct sim_instance *inst);
	void (*instance_terminated)(void *arg, const struct sim_instance *inst);
	void (*eni_created)(void *arg, const struct sim_eni *eni);
	void (*eni_attached)(void *arg, const struct sim_eni *eni);
	void (*eni_detached)(void *arg, const struct sim_eni *eni);
	void (*eni_deleted)(void *arg, const struct sim_eni *eni);
	void (*eni_addresses_changed)(void *arg, const struct sim_eni *eni);
	void (*eni_source_dest_check_changed)(void *arg, const struct sim_eni *eni);
	void (*eni_groups_changed)(void *arg, const struct sim_eni *eni);
	void (*sg_changed)(void *arg, const struct sim_sg *sg);
	void (*eni_associated)(void *arg, const struct sim_eni *branch);
	void (*eni_disassociated)(void *arg, const struct sim_eni *branch);
};

/** sim_world_observe() - register, and hear of everything that exists already as if it were new, in order of
 * creation. */
void sim_world_observe(struct sim_world *w, struct sim_observer *o);
void sim_world_unobserve(struct sim_world *w, struct sim_observer *o);

int sim_world_new(struct sim_loop *loop, struct sim_world **ret_world);
/** sim_world_free() - no callback is called. Accepts NULL. */
void sim_world_free(struct sim_world *w);

/** sim_now() - seconds since the epoch by the cloud's clock. */
int64_t sim_now(const struct sim_world *w);

/* Look-ups: NULL if there is none. */
struct sim_vpc *sim_vpc_find(struct sim_world *w, const char *id);
/** sim_subnet_delete() - nothing may be in it any more. */
void sim_subnet_delete(struct sim_world *w, struct sim_subnet *s);
struct sim_subnet *sim_subnet_find(struct sim_world *w, const char *id);
struct sim_sg *sim_sg_find(struct sim_world *w, const char *id);
const struct sim_itype *sim_itype_find(const struct sim_world *w, const char *name);
/** sim_instance_find() - by id or name. */
struct sim_instance *sim_instance_find(struct sim_world *w, const char *id_or_name);
struct sim_eni *sim_eni_find(struct sim_world *w, const char *id);
struct sim_eni *sim_eni_by_mac(struct sim_world *w, const struct vw_mac *mac);
/** sim_eni_by_addr() - the ENI that holds @ip as address or inside a prefix. */
struct sim_eni *sim_eni_by_addr(struct sim_world *w, const struct vw_ip *ip);
/** sim_eni_instance() - what the ENI, or the trunk of a branch, is attached to; NULL: nothing. */
struct sim_instance *sim_eni_instance(const struct sim_eni *eni);
/** sim_instance_by_addr() - the instance that the ENI of @ip is attached to: who asks IMDS. */
struct sim_instance *sim_instance_by_addr(struct sim_world *w, const struct vw_ip *ip);
/** sim_eni_at() - the ENI in a device slot (also while attaching or detaching). */
struct sim_eni *sim_eni_at(struct sim_world *w, const struct sim_instance *inst, unsigned int card,
			   unsigned int device);

/** sim_eni_is_prefix() - @c of an ENI's list is a delegated prefix rather than an address. */
bool sim_eni_is_prefix(const struct vw_cidr *c);
const char *sim_eni_type_str(enum sim_eni_type t);
/** sim_assoc_find() - the branch with this association. */
struct sim_eni *sim_assoc_find(struct sim_world *w, const char *assoc_id);
/** sim_eni_status_str() - "available", "associated", "attaching", "in-use", "detaching". sim_att_state_str() - "attached",
 * ... */
const char *sim_eni_status_str(const struct sim_eni *eni);
const char *sim_att_state_str(enum sim_att_state s);
/** sim_subnet_router() - the VPC router's address in the subnet (network + 1). */
struct vw_ip sim_subnet_router(const struct sim_subnet *s);
