#pragma once

#include "daemon/creds.h"

/**
 * DOC: one fetch from one source
 *
 * The part of creds.h without state: settings are fixed by creds_fetch_new(), so creds_fetch_run() may run in
 * any thread. Only creds.c calls these.
 */
struct creds_fetch;

int creds_fetch_new(const struct creds_options *opt, struct http *http, struct imds *imds,
		    struct creds_fetch **ret_fetch, struct vw_err *err);
void creds_fetch_free(struct creds_fetch *f);
enum creds_source creds_fetch_source(const struct creds_fetch *f);
/** creds_fetch_run() - get a new set; up to three tries where trying again can help. */
int creds_fetch_run(struct creds_fetch *f, uint64_t deadline_ms, struct creds_set *ret_set,
		    struct vw_err *err);
