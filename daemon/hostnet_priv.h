#pragma once

#include "daemon/hostnet.h"
#include "lib/net/addr.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "lib/net/rule.h"

/** DOC: inside hostnet*.c only */

/** struct hostnet_dying - a host veth in the dying group. */
struct hostnet_dying {
	unsigned int ifindex;
	char ifname[IFNAMSIZ];
};

struct hostnet_dying_list {
	struct hostnet_dying *items;
	size_t n, cap;
};

/** struct hostnet_ips - addresses whose former owners' connections are still tracked. */
struct hostnet_ips {
	struct vw_ip *items;
	size_t n, cap;
};

/** struct hostnet_free - a route that makes free addresses unreachable. @owner: ENI, "" = of a former life. */
struct hostnet_free {
	struct vw_cidr cidr;
	char owner[32];
};

/**
 * struct hostnet_nat_state - what the nftables tables were last made from.
 * @conf:   its networks are in @cidrs, owned. @known: hostnet_nat_apply() was called.
 * @enis:   the secondary ENIs that are set up, owned.
 * @seen:   the tables as nft listed them right after they were made, owned; NULL = not (4: IPv4, 6: IPv6).
 */
struct hostnet_nat_state {
	struct hostnet_nat conf;
	struct vw_cidr *cidrs;
	bool known;
	struct hostnet_eni *enis;
	size_t n_enis;
	char *seen4, *seen6;
};

/** struct hostnet_judge_state - what `inet vpcwire` asks; fds borrowed. @known: it was written. */
struct hostnet_judge_state {
	int prog4_fd, prog6_fd;
	bool known;
};

/**
 * struct hostnet
 * @batch:   scratch; empty between calls.
 * @dying:   links that wait for the next round of the reaper.
 * @reaping: links that the round which runs, or the last one if it failed, is about.
 * @stale:   addresses that wait for it. @purging: those that the round is about.
 * @running: a round runs.
 * @frees:   unreachable routes that are in the kernel, @n_frees of them; read from it at the first use (@frees_known).
 * @mark:    of what leaves by the primary ENI, in packets and connections.
 * @ipv6:    hostnet_init6() was called.
 * @local_behind: what hostnet_local_behind() was last told.
 */
struct hostnet {
	struct vw_nl nl;
	struct vw_nl_batch batch;
	struct hostnet_dying_list dying, reaping;
	struct hostnet_ips stale, purging;
	bool running;
	uint32_t mark;
	bool ipv6, local_behind;
	struct hostnet_nat_state nat;
	struct hostnet_judge_state judge;
	struct hostnet_free *frees;
	size_t n_frees;
	bool frees_known;
};

/** hostnet_commit() - send the scratch batch and empty it, whatever happens. */
int hostnet_commit(struct hostnet *hn, struct vw_err *err);

bool hostnet_have_ipv6(void);
#define HOSTNET_BASE_RULES 4
/** hostnet_base_rules() - those that do not depend on ENIs, of both families. Return: how many. */
size_t hostnet_base_rules(const struct hostnet *hn, struct vw_rule rules[HOSTNET_BASE_RULES]);
/** hostnet_gateway() - 169.254.1.1 on lo; scope host, so that it is no source address of the node. */
struct vw_addr hostnet_gateway(void);
/** hostnet_holds_route() - one of @have is @want: same destination, table, hop, metric, type and maker. */
bool hostnet_holds_route(const struct vw_route *have, int n, const struct vw_route *want);
/** hostnet4_eni_routes(), hostnet6_eni_routes() - the table of a secondary ENI: to the gateway, and all else through it. */
void hostnet4_eni_routes(const struct hostnet_eni *eni, struct vw_route routes[2]);
void hostnet6_eni_routes(const struct hostnet_eni *eni, struct vw_route routes[2]);
/** hostnet4_eni_addr(), hostnet6_eni_addr() - of a secondary ENI; the latter only if it has an addr6. */
struct vw_addr hostnet4_eni_addr(const struct hostnet_eni *eni);
struct vw_addr hostnet6_eni_addr(const struct hostnet_eni *eni);
/** hostnet6_put_addr() - that address and its label into the batch. */
void hostnet6_put_addr(struct hostnet *hn, const struct hostnet_eni *eni);
/**
 * hostnet_rules_converge() - of the rules of ours (protocol) that @about picks, keep the wanted and delete the others; add what
 * misses. A rule whose EXCL add says EEXIST would be there already; listing first also finds what must go.
 */
int hostnet_rules_converge(struct hostnet *hn, uint8_t family, const struct vw_rule *want, size_t n_want,
			   bool (*about)(const struct vw_rule *r, const void *arg), const void *arg, struct vw_err *err);
/** hostnet_eni_rule() - the one rule of a secondary ENI. */
struct vw_rule hostnet_eni_rule(const struct hostnet_eni *eni, uint8_t family);
/** hostnet_about_eni() - for the above: the rules of a struct hostnet_eni, of either family. */
bool hostnet_about_eni(const struct vw_rule *r, const void *eni);
/** hostnet_routes_del() - all of ours in one table. */
int hostnet_routes_del(struct hostnet *hn, uint8_t family, uint32_t table, struct vw_err *err);

/* hostnet6.c; @eni->ipv6 is set. */
/** hostnet6_eni_before() - what must be so before the interface comes up. */
int hostnet6_eni_before(const struct hostnet_eni *eni, struct vw_err *err);
/** hostnet6_eni_setup() - rules, table, address of a secondary ENI whose interface is up. Commits. */
int hostnet6_eni_setup(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);
/** hostnet6_eni_remove() - rules and table into the batch, whether or not they were made. */
int hostnet6_eni_remove(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);
/** hostnet6_labels_down() - all labels of ours into the batch. */
int hostnet6_labels_down(struct hostnet *hn, struct vw_err *err);

/* hostnet_branch.c */
/** struct hostnet_setting - a sysctl of an interface. */
struct hostnet_setting {
	uint8_t family;
	const char *key, *value;
};
#define HOSTNET_BRANCH_SETTINGS 7
extern const struct hostnet_setting hostnet_branch_settings[HOSTNET_BRANCH_SETTINGS];
/** hostnet_demux_settings - whole sysctls, "0" where the rule for local addresses is behind. */
#define HOSTNET_DEMUX_SETTINGS 2
extern const char *const hostnet_demux_settings[HOSTNET_DEMUX_SETTINGS];
/** hostnet_branch_eni() - as far as its table goes, it is a secondary ENI. */
struct hostnet_eni hostnet_branch_eni(const struct hostnet_branch *b);
/** hostnet_branch_alias() - of its interface. */
void hostnet_branch_alias(const struct hostnet_branch *b, char ret[VW_IFALIAS_MAX]);
/** hostnet_branch_rules() - of one family. Return: how many, 0 when the branch is not of that family. */
size_t hostnet_branch_rules(const struct hostnet_branch *b, uint8_t family, struct vw_rule rules[2]);
/** hostnet_local_rules() - for local addresses, where it stands behind strict pods' rules, and what then comes before these. Return: how many. */
#define HOSTNET_LOCAL_RULES 3
size_t hostnet_local_rules(uint8_t family, struct vw_rule rules[HOSTNET_LOCAL_RULES]);

/* hostnet_free.c */
/** hostnet_free_route() - what makes @cidr unreachable. */
struct vw_route hostnet_free_route(const struct vw_cidr *cidr);

/* hostnet_nat.c */
/** hostnet_nat_eni() - a secondary ENI is set up or has changed: its addresses get its mark. Before hostnet_nat_apply(): noted. */
int hostnet_nat_eni(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);
int hostnet_nat_eni_gone(struct hostnet *hn, const struct hostnet_eni *eni, struct vw_err *err);
/** hostnet_nat_verify() - the tables are as they were made. Return: 0, -ESTALE, -errno. */
int hostnet_nat_verify(struct hostnet *hn, struct vw_err *err);
/** hostnet_nat_write() - make them again, as they were last. */
int hostnet_nat_write(struct hostnet *hn, struct vw_err *err);
/** hostnet_nat_down() - remove the tables; absent is fine. */
int hostnet_nat_down(struct hostnet *hn, struct vw_err *err);
void hostnet_nat_done(struct hostnet *hn);

/* hostnet_judge.c */
/** hostnet_judge_verify() - its rules are there. Return: 0, -ESTALE, -errno. */
int hostnet_judge_verify(struct hostnet *hn, struct vw_err *err);
/** hostnet_judge_write() - make it again. */
int hostnet_judge_write(struct hostnet *hn, struct vw_err *err);
/** hostnet_judge_down() - remove it; absent is fine. */
int hostnet_judge_down(struct hostnet *hn, struct vw_err *err);
