#pragma once

#include "daemon/hist.h"

#include <stdint.h>

struct daemon;
struct vw_err;
struct vw_json;
struct vwired_config;

/**
 * DOC: metrics
 *
 * What the daemon counts as it works (struct metrics, part of struct daemon, zeroes at start), and the page that Prometheus
 * reads. The page is made when it is asked for, from the daemon's own state, so that nothing is counted twice; names are the
 * Amazon VPC CNI's (awscni_...) where the meaning is the same, ours (vpcwire_...) otherwise.
 */

/** enum metric_stage - of an ADD in the daemon; DEL has one. The plugin's own work is not among them. */
enum metric_stage {
	METRIC_ADD,             /* from the request to a successful answer */
	METRIC_ADD_WAIT,        /* of those that found no address: until there was one */
	METRIC_ADD_POLICY,      /* policy of the pod compiled and in force, slot published */
	METRIC_ADD_STORE,       /* recorded */
	METRIC_DEL,
	METRIC_STAGES,
};

#define METRIC_CODES 128
/**
 * struct metrics - @no_address: ADDs that found none free at first. @add_failed: by CNI code, those above in [0].
 * @undone: of @dels, those of an ADD that failed.
 */
struct metrics {
	struct hist took[METRIC_STAGES];
	uint64_t add_failed[METRIC_CODES];
	uint64_t add_requests, no_address, dels, undone, del_failed, gcs;
};

void metrics_took(struct daemon *d, enum metric_stage stage, uint64_t since_us);
void metrics_add_failed(struct daemon *d, const struct vw_err *err);

/**
 * metrics_listen() - serve the page where the configuration says, or no longer; in Prometheus' text format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). A port that is taken is logged and left: a node without metrics still
 * serves pods.
 */
void metrics_listen(struct daemon *d);
/** metrics_config_changed() - after a reload. @old: what was in force. */
void metrics_config_changed(struct daemon *d, const struct vwired_config *old);
/** metrics_close() - before the loop ends. */
void metrics_close(struct daemon *d);
/** metrics_query() - query "metrics": {text: the page}. */
int metrics_query(struct daemon *d, const struct vw_json *args, struct vw_json **ret, struct vw_err *err);
