#pragma once

#include "daemon/cards.h"
#include "daemon/ec2.h"
#include "daemon/eni.h"
#include "daemon/imds.h"

#include <stdbool.h>
#include <stdint.h>

struct cloud;
struct daemon;

/**
 * DOC: one action on EC2, run in a worker
 *
 * A job holds copies of all it needs, so that the worker touches nothing of the daemon but the cloud's clients, which
 * are safe to share. What it found out is in the members after "results" and is taken in by the loop's thread.
 */
enum grow_kind {
	GROW_CREATE_ENI,
	GROW_ASSIGN,
	GROW_UNASSIGN,
	GROW_DELETE_ENI,
	GROW_ASSIGN6,                   /* a /80: grow6.h */
	GROW_TIE,                       /* a new ENI is to be deleted with the instance; no pod waits for it */
};

#define GROW_MAX_TAGS 32

struct grow_job {
	struct daemon *d;
	struct cloud *cloud;
	enum grow_kind kind;
	uint64_t deadline_ms;
	uint64_t wanted_ms;             /* when the growth that it is part of was first wanted */

	/* what to do */
	char eni_id[EC2_ID_LEN];        /* all but CREATE_ENI */
	char attachment_id[EC2_ID_LEN]; /* DELETE_ENI, TIE */
	char subnet_id[EC2_ID_LEN];     /* CREATE_ENI */
	struct vw_cidr subnet;          /* its range; asked for when family is 0 */
	char instance_id[IMDS_ID_LEN];
	char token[EC2_TOKEN_MAX + 1];
	unsigned int n_prefixes, n_addrs, n_prefixes6;
	uint32_t device;                /* CREATE_ENI: where to attach */
	uint32_t card;                  /* ... and on which card */
	struct cards cards;             /* what is taken already */
	uint64_t intent_unix;           /* when it was decided */
	bool resumed;                   /* an earlier try may have created it */
	char groups[EC2_MAX_GROUPS][EC2_ID_LEN];
	size_t n_groups;
	char tag_text[GROW_MAX_TAGS][2][256];
	size_t n_tags;
	struct vw_cidr *known;          /* ASSIGN: what the ENI has, or has had of late; UNASSIGN: what to give back. Owned. */
	size_t n_known;

	/* results */
	int r;
	const char *api;                /* EC2's name of the last call, the one that failed when r < 0 */
	struct ec2_error err;
	struct ec2_eni eni;             /* CREATE_ENI */
	bool created, attached, have_link;
	bool left;                      /* whether an earlier try left an ENI behind could not be found out */
	bool abandon;                   /* CREATE_ENI: there is no place for it any more: delete what an earlier try made */
	bool detached;                  /* DELETE_ENI: only the delete is left to do */
	char new_attachment_id[EC2_ID_LEN];
	struct eni_link link;
	struct vw_err link_err;
	struct ec2_assigned assigned;   /* ASSIGN */
};

/** grow_job_work() - blocking. */
void grow_job_work(void *job);
void grow_job_free(struct grow_job *j);
