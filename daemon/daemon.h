#pragma once

#include "daemon/attach.h"
#include "daemon/config.h"
#include "daemon/eni.h"
#include "daemon/later.h"
#include "daemon/metrics.h"
#include "daemon/node.h"
#include "lib/base/err.h"
#include "lib/net/nl.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct cloud;
struct denied;
struct drift;
struct events;
struct grow;
struct hostnet;
struct httpd;
struct ipam_pool;
struct ipam_v6;
struct loop;
struct loop_timer;
struct monitor;
struct np;
struct placement;
struct policy;
struct rpc_server;
struct store;
struct sweep;
struct vw_buf;
struct waiter;

/**
 * DOC: the daemon
 *
 * One struct that everything hangs off; one thread that touches it. Life: daemon_new() opens what is local (store,
 * eBPF, host network, socket) and restores what the store knows; when that includes this node's ENIs it serves at
 * once. A discover job then asks IMDS and EC2 who we are and what we have; from its result on the planner runs after
 * every change (see grow.h).
 */

TAILQ_HEAD(waiter_list, waiter);

struct daemon {
	struct vwired_config *cfg;
	bool config_file;               /* config_path was there; without it all is as by default */
	unsigned int config_loads;      /* how many configurations were put into force, the first included */
	struct vw_err config_refused;   /* eno != 0: why the last one that was read is not in force */
	const char *config_path;
	char socket_path[VW_PATH_MAX];
	struct loop *loop;
	struct store *store;
	struct vw_nl nl;
	struct hostnet *hostnet;
	struct np *np;
	struct ipam_pool *pool;         /* IPv4 */
	struct ipam_v6 *v6;
	struct rpc_server *server;
	struct cloud *cloud;

	struct node node;
	char account[IMDS_ID_LEN];      /* that owns the primary ENI; "" = not known yet */
	bool ready;                     /* ADD can be served from the pool */
	bool discovered;                /* IMDS/EC2 have been heard in this life */
	bool discovering;               /* a survey is under way */
	bool discover_again;            /* and what it saw may be old: another one follows */
	bool stopping;
	bool draining;                  /* drain.h */
	bool all_stale;                 /* what a former life left to be forgotten is not yet known to be: see stale.h */
	uint64_t discover_wait_ms;      /* before the next survey after one that failed or was incomplete */
	struct vw_err trouble;          /* why not ready, or the last failure of the cloud; eno 0 = none */
	struct eni_table enis;
	struct attach_table attach;
	struct grow *grow;
	struct placement *placement;
	struct policy *policy;
	struct sweep *sweep;
	struct monitor *monitor;
	struct metrics metrics;
	struct httpd *httpd;            /* metrics */
	struct httpd *page;
	struct drift *drift;
	struct events *events;          /* NULL: nobody keeps any */
	struct denied *denied;          /* likewise */
	struct later_list later;
	struct sgp *sgp;

	struct waiter_list waiters;
	unsigned int n_waiters;
	unsigned int n_hungry;          /* of them, for an address */
	struct loop_timer *reap_timer;  /* dying links go together */
	uint64_t reap_since_ms;         /* when the first of those came that no round is about yet, 0 = there is none */
	uint64_t reap_not_before_ms;    /* the last round failed, 0 = it did not */
	struct loop_timer *pool_timer;  /* waiters and planner, once per turn of the loop */
	struct loop_timer *cool_timer;  /* the next address has cooled down */
	struct loop_timer *retry_timer; /* the next survey */
	struct loop_timer *creds_timer; /* refresh ahead of expiry */
	struct loop_timer *ranges_timer; /* the next look at the VPC's ranges */
	struct loop_timer *free_routes_timer;
	struct loop_timer *reload_timer; /* the configuration file has changed */
};

/** daemon_new() - see DOC. @config_path: borrowed; @take_cfg: what vwired_config_load() has read there, owned from here on. */
int daemon_new(const char *config_path, struct vwired_config *take_cfg, struct daemon **ret_daemon, struct vw_err *err);
/** daemon_boot_id() - the kernel's, as the store has it. */
int daemon_boot_id(struct vw_buf *b, struct vw_err *err);
int daemon_run(struct daemon *d, struct vw_err *err);
/** daemon_free() - leaves kernel state and store as they are: pods live on without a daemon. */
void daemon_free(struct daemon *d);

/** daemon_pool_changed() - something was freed, grew or was taken: serve waiters, then plan (once per turn). */
void daemon_pool_changed(struct daemon *d);
/** daemon_nat_apply() - write the nftables table from configuration and node. */
int daemon_nat_apply(struct daemon *d, struct vw_err *err);
/** daemon_free_routes_failed() - some of what eni_free_routes() wanted is not in the kernel, or more than that: set anew in a moment. */
void daemon_free_routes_failed(struct daemon *d);
/** daemon_creds_schedule() - set the timer for the next refresh of credentials. */
void daemon_creds_schedule(struct daemon *d);
/**
 * daemon_links_dying() - a veth was put into the dying group: reap when no more have come for 10 ms, and after 100 at the latest.
 * daemon_links_awaited() - somebody waits for one to be gone, or for its address: reap now.
 */
void daemon_links_dying(struct daemon *d);
void daemon_links_awaited(struct daemon *d);
/** daemon_config_apply() - put a valid configuration into force. @take_fresh: owned from here on. */
void daemon_config_apply(struct daemon *d, struct vwired_config *take_fresh);
/** daemon_config_refuse() - the running configuration stays in force: log and INFO say so, and @why. */
void daemon_config_refuse(struct daemon *d, const struct vw_err *why);
