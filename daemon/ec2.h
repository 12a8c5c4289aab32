#pragma once

#include "lib/base/err.h"
#include "lib/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct creds;
struct http;

/**
 * DOC: EC2, typed
 *
 * One struct ec2 per daemon; all calls block up to their deadline (vw_mono_ms scale), run in worker threads
 * and may run at once: settings never change after ec2_new(), and the token buckets, the counters and the
 * clock skew are behind one mutex that is not held during I/O.
 *
 * What a call does by itself, within its deadline and at most EC2_MAX_TRIES requests:
 * - waits for a token of the action's bucket (client side, ec2_rate), and empties it when EC2 says it is
 *   throttling;
 * - TRANSIENT and THROTTLED answers: again, after a wait chosen between 0 and a doubling cap (0.2 s, when
 *   throttled 1 s, at most 20 s); but what starts a planned action (Create, Assign, Unassign, Detach) is not
 *   tried again when throttled: the planner pauses and asks anew;
 * - EXPIRED_CREDS: again once with fresh credentials; CLOCK_SKEW: again once, signed with the time of the
 *   answer's Date, and the difference is kept for later calls;
 * - no or no whole answer (timeout after sending, connection lost, XML cut short: the outcome is unknown): a
 *   call that may be repeated is repeated (all reads; Create with its ClientToken; Modify, Unassign, Detach,
 *   Delete, CreateTags); Attach and Assign first describe the interface and are repeated only if they did not
 *   happen.
 *
 * Things already gone are success for detach and delete.
 */
struct ec2;

#define EC2_ID_LEN 48
#define EC2_MAX_ADDRS 64                /* per interface and kind; EC2 allows 50 addresses */
#define EC2_MAX_GROUPS 16
#define EC2_MAX_TRIES 5
#define EC2_TOKEN_MAX 64                /* ClientToken: at most 64 ASCII characters */

/** enum ec2_fail - what to do about a failure. */
enum ec2_fail {
	EC2_OK,
	EC2_THROTTLED,                  /* later, and less */
	EC2_SUBNET_NO_PREFIX,           /* no free /28 (or /80): other subnet, then single addresses */
	EC2_SUBNET_NO_ADDRESS,          /* the subnet has not enough free addresses */
	EC2_ENI_IP_LIMIT,               /* the interface is full: our view of it is stale, describe it */
	EC2_ATTACH_LIMIT,               /* no more interfaces on this instance or region: stop growing */
	EC2_DEVICE_IN_USE,              /* device index taken: choose another after a describe */
	EC2_NOT_FOUND,                  /* something named in the call does not exist (yet, any more) */
	EC2_IN_USE,                     /* wrong state for this now: attached, attaching, detaching */
	EC2_UNAUTHORIZED,               /* a permission is missing */
	EC2_NO_CREDS,                   /* no valid credentials to be had; the sentence says why */
	EC2_EXPIRED_CREDS,              /* or replaced; also after a refresh */
	EC2_CLOCK_SKEW,                 /* also after signing with the server's time */
	EC2_INVALID,                    /* EC2 refuses the parameters: configuration, or a bug here */
	EC2_TOKEN_REUSED,               /* ClientToken used before with other parameters: a bug here */
	EC2_TRANSIENT,                  /* EC2's side, or the way to it; tries or time used up */
	EC2_PROTOCOL,                   /* an answer that cannot be understood */
	EC2_CANCELLED,                  /* http_cancel() */
	EC2_NOMEM,
	EC2_N_FAILS,
};
const char *ec2_fail_name(enum ec2_fail f);     /* "throttled", for logs and metrics */

/**
 * struct ec2_error - filled on failure only.
 * @unknown: the call may have been carried out and could not be found out in time: describe before doing it
 *           again.
 * @permission: with UNAUTHORIZED, what is missing, "ec2:CreateTags": need not be the action's own.
 * @code: EC2's code ("RequestLimitExceeded"), "" without an answer. @why: one sentence: which action, what,
 *        what to do about it.
 */
struct ec2_error {
	enum ec2_fail kind;
	bool unknown;
	int http_status;
	char code[96];
	char permission[72];
	char request_id[64];
	struct vw_err why;
};

/** struct ec2_rate - a token bucket: @burst at once, @per_s again each second. Zeroes: the default. */
struct ec2_rate {
	double burst;
	double per_s;
};

/*
 * Defaults for one node. EC2's own buckets are per account, region and action, about 50 + 5/s for changes and
 * 100 + 20/s for reads (EC2 developer guide, "Request throttling"), shared by all nodes; these let one node
 * start in one go (an ENI is 3 calls of different actions) and keep a loop gone wrong from starving the
 * account.
 */
#define EC2_RATE_CHANGE { .burst = 10, .per_s = 1 }
#define EC2_RATE_READ { .burst = 20, .per_s = 4 }

/** struct ec2_clock - time and chance, replaced in unit tests. NULL members: the real ones. */
struct ec2_clock {
	void *arg;
	uint64_t (*now_ms)(void *arg);
	void (*wait_ms)(void *arg, uint64_t ms);
	uint32_t (*random)(void *arg);
};

/**
 * struct ec2_options - strings are copied.
 * @endpoint: NULL = made from @region and @domain (see ec2_default_endpoint()).
 * @instance_id: this node, for attach and describe.
 */
struct ec2_options {
	const char *endpoint;
	const char *region;
	const char *domain;
	const char *instance_id;
	struct ec2_rate change, read;
	struct ec2_clock clock;
};

/** ec2_endpoint_env() - AWS_ENDPOINT_URL_EC2, AWS_EC2_ENDPOINT, AWS_ENDPOINT_URL, or NULL. */
const char *ec2_endpoint_env(void);

/** ec2_new() - no I/O. @http, @creds: borrowed, must outlive it. */
int ec2_new(const struct ec2_options *opt, struct http *http, struct creds *creds, struct ec2 **ret_ec2,
	    struct vw_err *err);
void ec2_free(struct ec2 *e);

/* ---- data ---- */

enum ec2_eni_status {
	EC2_ENI_UNKNOWN,
	EC2_ENI_AVAILABLE,
	EC2_ENI_ASSOCIATED,
	EC2_ENI_ATTACHING,
	EC2_ENI_IN_USE,
	EC2_ENI_DETACHING,
};

enum ec2_attach_status { EC2_NOT_ATTACHED, EC2_ATTACHING, EC2_ATTACHED, EC2_DETACHING, EC2_DETACHED };

struct ec2_tag {
	char *key;
	char *value;
};

/**
 * struct ec2_eni - a network interface; owns its tags only.
 * @type: "interface", "trunk", "branch", "efa", "efa-only", ... @primary4: family 0 on an IPv6-only subnet.
 * @addr4: the secondary addresses only.
 */
struct ec2_eni {
	char id[EC2_ID_LEN];
	char subnet_id[EC2_ID_LEN];
	char vpc_id[EC2_ID_LEN];
	char az[EC2_ID_LEN];
	char type[32];
	char description[256];
	struct vw_mac mac;
	enum ec2_eni_status status;
	bool source_dest_check;
	struct vw_ip primary4;
	struct vw_ip addr4[EC2_MAX_ADDRS];
	size_t n_addr4;
	struct vw_cidr prefix4[EC2_MAX_ADDRS];
	size_t n_prefix4;
	struct vw_ip addr6[EC2_MAX_ADDRS];
	size_t n_addr6;
	struct vw_cidr prefix6[EC2_MAX_ADDRS];
	size_t n_prefix6;
	char groups[EC2_MAX_GROUPS][EC2_ID_LEN];
	size_t n_groups;
	struct ec2_tag *tags;
	size_t n_tags;
	struct {
		enum ec2_attach_status status;
		char id[EC2_ID_LEN];
		char instance_id[EC2_ID_LEN];
		uint32_t device;
		uint32_t card;
		bool delete_on_termination;
	} attachment;
};

void ec2_eni_done(struct ec2_eni *eni);
/** ec2_eni_tag() - value of tag @key or NULL; borrowed. */
const char *ec2_eni_tag(const struct ec2_eni *eni, const char *key);

/** struct ec2_enis - a heap array; ec2_enis_done() also ends each. */
struct ec2_enis {
	struct ec2_eni *v;
	size_t n;
};
void ec2_enis_done(struct ec2_enis *l);

struct ec2_kv {
	const char *key;
	const char *value;
};

/* ---- calls. All return 0, or -errno with @err filled. Outputs are written on success only. ---- */

/**
 * struct ec2_create - what to create, in one call with its addresses and tags.
 * @n_addrs, @n_prefixes: secondary IPv4 addresses or /28 prefixes: at most one of them not 0. @n_addrs6,
 * @n_prefixes6: the same for IPv6 (/80). @token: the intent's ClientToken, required.
 */
struct ec2_create {
	const char *subnet_id;
	const char *const *groups;
	size_t n_groups;
	const char *description;
	unsigned int n_addrs, n_prefixes, n_addrs6, n_prefixes6;
	const struct ec2_kv *tags;
	size_t n_tags;
	const char *token;
};

/** ec2_create_eni() - CreateNetworkInterface. End @ret_eni with ec2_eni_done(). */
int ec2_create_eni(struct ec2 *e, uint64_t deadline_ms, const struct ec2_create *what,
		   struct ec2_eni *ret_eni, struct ec2_error *err);

/**
 * ec2_attach() - AttachNetworkInterface to this instance. An interface that is attached (or attaching) here
 * at that device already is success, whoever did it; a not-yet-visible interface is tried again.
 * @ret_attachment_id: EC2_ID_LEN bytes.
 */
int ec2_attach(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, uint32_t device, uint32_t card,
	       char ret_attachment_id[EC2_ID_LEN], struct ec2_error *err);
/** ec2_delete_on_termination() - ModifyNetworkInterfaceAttribute Attachment.DeleteOnTermination. */
int ec2_delete_on_termination(struct ec2 *e, uint64_t deadline_ms, const char *eni_id,
			      const char *attachment_id, bool on, struct ec2_error *err);
/** ec2_detach() - DetachNetworkInterface; an attachment that is gone or going is success. */
int ec2_detach(struct ec2 *e, uint64_t deadline_ms, const char *attachment_id, bool force,
	       struct ec2_error *err);
/**
 * ec2_delete_eni() - DeleteNetworkInterface; gone is success. IN_USE while still detaching: the caller comes
 * back.
 */
int ec2_delete_eni(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, struct ec2_error *err);

/**
 * struct ec2_find - DescribeNetworkInterfaces: @ids alone, or @filters (names as EC2's; one value each). All
 * pages are read; more than @max (0: 2000) interfaces fail with EC2_PROTOCOL rather than being cut off.
 */
struct ec2_find {
	const char *const *ids;
	size_t n_ids;
	const struct ec2_kv *filters;
	size_t n_filters;
	size_t max;
};

/** ec2_describe_enis() - @ret: end with ec2_enis_done(). An unknown id fails with EC2_NOT_FOUND. */
int ec2_describe_enis(struct ec2 *e, uint64_t deadline_ms, const struct ec2_find *what, struct ec2_enis *ret,
		      struct ec2_error *err);
/** ec2_count_enis() - how many interfaces fit; all pages are read, nothing is kept. */
int ec2_count_enis(struct ec2 *e, uint64_t deadline_ms, const struct ec2_find *what, size_t *ret_n,
		   struct ec2_error *err);
/** ec2_describe_eni() - one interface by id. End @ret_eni with ec2_eni_done(). */
int ec2_describe_eni(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, struct ec2_eni *ret_eni,
		     struct ec2_error *err);
/** ec2_describe_own_enis() - the interfaces attached to this instance (filter attachment.instance-id). */
int ec2_describe_own_enis(struct ec2 *e, uint64_t deadline_ms, struct ec2_enis *ret, struct ec2_error *err);

/**
 * struct ec2_assign - more addresses for an interface: exactly one of @n_addrs and @n_prefixes is not 0.
 * @family: AF_INET (prefixes are /28) or AF_INET6 (/80).
 * @known, @n_known: everything of that kind that the caller knows on the interface (addresses as /32 or /128,
 *   without the primary). Used only when the outcome of a request is unknown, to tell from a describe what
 *   has been assigned.
 */
struct ec2_assign {
	const char *eni_id;
	int family;
	unsigned int n_addrs;
	unsigned int n_prefixes;
	const struct vw_cidr *known;
	size_t n_known;
};

/**
 * struct ec2_assigned - addresses as /32 or /128, prefixes as they are. May hold less than asked for after an
 * unknown outcome.
 * @unsure: an answer was lost on the way, and the describe in its place may have been old: the interface may have got more than this.
 */
struct ec2_assigned {
	struct vw_cidr v[EC2_MAX_ADDRS];
	size_t n;
	bool unsure;
};

/** ec2_assign() - AssignPrivateIpAddresses or AssignIpv6Addresses. */
int ec2_assign(struct ec2 *e, uint64_t deadline_ms, const struct ec2_assign *what, struct ec2_assigned *ret,
	       struct ec2_error *err);
/**
 * ec2_unassign() - UnassignPrivateIpAddresses or UnassignIpv6Addresses.
 * @cidrs: 1..EC2_MAX_ADDRS of one family and one kind: all addresses (/32, /128) or all prefixes. What is not
 *         on the interface any more, and an interface that is gone, is success.
 */
int ec2_unassign(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, const struct vw_cidr *cidrs,
		 size_t n, struct ec2_error *err);

#define EC2_MAX_CARDS 32

/**
 * struct ec2_limits - of an instance type. @max_enis: on card 0 when there are several, as counted in @card.
 */
struct ec2_limits {
	char type[EC2_ID_LEN];
	uint32_t max_enis;              /* networkInfo/maximumNetworkInterfaces: all cards together */
	uint32_t ipv4_per_eni;          /* with the primary */
	uint32_t ipv6_per_eni;
	bool ipv6;
	bool bare_metal;
	bool nitro;                     /* prefixes need it: hypervisor nitro or bare metal */
	uint32_t n_cards;               /* at least 1 */
	uint32_t card_enis[EC2_MAX_CARDS];      /* by network card index */
};
int ec2_describe_limits(struct ec2 *e, uint64_t deadline_ms, const char *instance_type,
			struct ec2_limits *ret, struct ec2_error *err);

#define EC2_SUBNET_CLUSTERS 4

/**
 * struct ec2_subnet - @free4: addresses free now, wherever they lie. @cni_tag: tag kubernetes.io/role/cni is
 * there and not "0"; @cni_excluded: it is "0". @clusters: NAME of tags cni.networking.k8s.aws/cluster/NAME;
 * @n_clusters may be more than fit.
 */
struct ec2_subnet {
	char id[EC2_ID_LEN];
	char vpc_id[EC2_ID_LEN];
	char az[EC2_ID_LEN];
	struct vw_cidr cidr4;           /* family 0 on an IPv6-only subnet */
	struct vw_cidr cidr6;           /* family 0: none */
	uint32_t free4;
	bool cni_tag, cni_excluded;
	char clusters[EC2_SUBNET_CLUSTERS][128];
	size_t n_clusters;
};
struct ec2_subnets {
	struct ec2_subnet *v;
	size_t n;
};
void ec2_subnets_done(struct ec2_subnets *l);
/** ec2_describe_subnets() - by ids or filters, like ec2_describe_enis(). */
int ec2_describe_subnets(struct ec2 *e, uint64_t deadline_ms, const struct ec2_find *what,
			 struct ec2_subnets *ret, struct ec2_error *err);

#define EC2_MAX_VPC_CIDRS 32

struct ec2_vpc {
	char id[EC2_ID_LEN];
	struct vw_cidr cidrs[EC2_MAX_VPC_CIDRS];        /* associated ones, IPv4 then IPv6 */
	size_t n_cidrs;
};
int ec2_describe_vpc(struct ec2 *e, uint64_t deadline_ms, const char *vpc_id, struct ec2_vpc *ret,
		     struct ec2_error *err);

/** ec2_create_tags() - on one resource; overwrites values of equal keys. */
int ec2_create_tags(struct ec2 *e, uint64_t deadline_ms, const char *resource_id, const struct ec2_kv *tags,
		    size_t n, struct ec2_error *err);

/**
 * struct ec2_rights - what ec2_may() names in its questions: things of this node, so that a policy which allows only them is seen to. @address:
 * any one of the interface. @ipv6: one, or NULL: the actions for IPv6 are not asked about.
 */
struct ec2_rights {
	const char *eni_id, *attachment_id, *subnet_id, *vpc_id, *instance_type, *address, *ipv6;
	const char *const *groups;
	size_t n_groups;
};

#define EC2_MAY_ACTIONS 14
/**
 * ec2_may() - is this node's role allowed action number @i, 0 to EC2_MAY_ACTIONS - 1? Asked with DryRun, so nothing is done; and what is named
 * is the primary interface, which EC2 does not detach or delete.
 * @ret_action: its name, also on failure; NULL: there is no such question (IPv6).
 * Return: 1 = yes, 0 = no (@err says what is missing), -errno: it could not be found out.
 */
int ec2_may(struct ec2 *e, uint64_t deadline_ms, unsigned int i, const struct ec2_rights *named, const char **ret_action,
	    struct ec2_error *err);

/**
 * struct ec2_held - calls of one action that failed and try again by themselves.
 * @err: the last failure. @again_ms: the next try, in the past when it is under way.
 */
struct ec2_held {
	const char *action;
	struct ec2_error err;
	uint64_t again_ms;
};
/** ec2_held() - what holds up growth now: of the actions that it is made of, the first with such a call. Return: false: none. */
bool ec2_held(struct ec2 *e, struct ec2_held *ret);

/* ---- counters ---- */

/**
 * struct ec2_counter - requests of one action that ended with one code: "ok", EC2's code, "timeout",
 * "no-answer", "bad-answer".
 */
struct ec2_counter {
	char action[48];
	char code[64];
	uint64_t n;
	uint64_t total_ms;
};
/** ec2_counters() - a copy of at most @max rows. Return: how many there are. */
size_t ec2_counters(struct ec2 *e, struct ec2_counter *ret, size_t max);
/**
 * ec2_clock_skew_s() - what the service's clock is ahead of ours, as far as it mattered for signatures; 0 =
 * not noticed.
 */
int64_t ec2_clock_skew_s(struct ec2 *e);
