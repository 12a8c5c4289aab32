// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/store.h"

#include <stddef.h>

struct vw_err;

/**
 * DOC: which pods have a branch ENI
 *
 * From the Pods of policy_dir: the limit or request vpc.amazonaws.com/pod-eni of any container says that a pod is to have one, the
 * annotation of that name which. Files are read again when they have changed, at the question: so the answer is never older than
 * the folder. A file that cannot be read keeps what it said before.
 */
#define SGP_ANNOTATION "vpc.amazonaws.com/pod-eni"

struct sgp_pods;

struct sgp_pods *sgp_pods_new(void);
void sgp_pods_free(struct sgp_pods *p);
/**
 * sgp_pods_find() - @uid: "" = any; a Pod of that name with another uid is a former one. Of several files the last one by name counts.
 * Return: 1 = *ret is filled, but for trunk and mode; 0 = it is to have none; -ENODATA (VW_CNI_TRY_AGAIN): no such Pod is known yet, or
 * one without its annotation; -EBADMSG: an annotation that makes no sense.
 */
int sgp_pods_find(struct sgp_pods *p, const char *dir, const char *ns, const char *name, const char *uid, struct store_branch *ret,
		  struct vw_err *err);

/** sgp_annotation_parse() - the annotation's text. */
int sgp_annotation_parse(const char *text, struct store_branch *ret, struct vw_err *err);
