#pragma once

#include "daemon/aws_ipam.h"
#include "daemon/migrate.h"
#include "daemon/store.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "lib/net/route.h"
#include "netpolicy-bpf/abi/np_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vw_err;
struct vwired_config;

/** DOC: inside migrate*.c only */

#define MIGRATE_PRIO_FROM 1536          /* aws-node's, of which each pod behind a secondary ENI has one */
#define MIGRATE_PRIO_ENI 32765          /* from <address of secondary ENI> */

/**
 * struct migrate_job - one call of migrate_from() or migrate_to(); start with MIGRATE_JOB_INIT, end with migrate_job_done().
 * @lock, @listening: so that no vpcwired runs meanwhile. @links: of @allocs, which are @n; ifindex 0: it has none.
 * @known: what the store has, @n_known of them; behind them @n_stale of pods that have ended, whose addresses others have since. @used: slots of
 * @n_known.
 */
struct migrate_job {
	const struct vwired_config *cfg;
	struct vw_nl nl;
	struct vw_nl_batch batch;
	struct store *store;
	int lock, listening;
	struct aws_alloc *allocs;
	size_t n;
	struct vw_link *links;
	bool used[NP_SLOTS];
	struct store_attachment *known;
	size_t n_known, n_stale;
	struct migrate_report *report;
};
#define MIGRATE_JOB_INIT { .nl = VW_NL_INIT, .batch = VW_NL_BATCH_INIT, .lock = -EBADF, .listening = -EBADF }

/** migrate_job_open() - the lock, and the store with its attachments. Return: 0, -EADDRINUSE, -errno. */
int migrate_job_open(struct migrate_job *j, const struct vwired_config *cfg, struct vw_err *err);
void migrate_job_done(struct migrate_job *j);
/** migrate_link() - of a pod that the store has. Return: 0; -ENODEV: gone, or its index and name are another's by now; -errno. */
int migrate_link(struct migrate_job *j, const struct store_attachment *k, struct vw_link *ret, struct vw_err *err);
/** migrate_commit() - send the job's batch and empty it. */
int migrate_commit(struct migrate_job *j, struct vw_err *err);
/** migrate_rest_until() - wait until @until_ms (vw_mono_ms() scale): addresses of pods that have ended rest so long. Says so where it waits. */
void migrate_rest_until(uint64_t until_ms);
/** migrate_families() - families that the kernel has. Return: 1 or 2. */
size_t migrate_families(uint8_t ret[2]);

/** struct migrate_routes - of both families. @theirs: in main; @ours: in the pods table. Freed by migrate_routes_done(). */
struct migrate_routes {
	struct vw_route *theirs, *ours;
	int n_theirs, n_ours;
};
int migrate_routes(struct vw_nl *nl, struct migrate_routes *ret, struct vw_err *err);
void migrate_routes_done(struct migrate_routes *r);
/** migrate_has_route() - one of @v leads to the same address by the same link. */
bool migrate_has_route(const struct vw_route *v, int n, const struct vw_route *pod);

/* migrate_npa.c */
/**
 * migrate_npa_find() - deletion of the filters of aws-node's policy agent from the pods' links into @b; *@ret_n of them. A pod that
 * vpcwire's programs do not judge yet is refused. Return: 0, -EBUSY, -errno.
 */
int migrate_npa_find(const char *bpf_dir, struct vw_nl *nl, struct vw_nl_batch *b, size_t *ret_n, struct vw_err *err);
/** migrate_npa_unpin() - its programs and maps, so that the kernel frees them; absent is fine. *@ret_n: how many. Return: 0, -errno. */
int migrate_npa_unpin(size_t *ret_n, struct vw_err *err);
