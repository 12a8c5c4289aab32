#pragma once

#include "daemon/ec2.h"
#include "daemon/eni.h"
#include "daemon/imds.h"

#include <stdbool.h>
#include <stdint.h>

struct creds;
struct http;
struct vw_err;
struct vwired_config;

/**
 * DOC: the daemon's clients of the cloud, and the question it asks first
 *
 * struct cloud holds the clients. All are safe to use from worker threads; creds and ec2 exist once a survey has learnt region
 * and instance from IMDS and the loop's thread has taken them over (cloud_take_clients()). cloud_survey() asks everything about this node in one go and is what the discover job runs.
 */
struct cloud {
	struct http *http;
	struct imds *imds;
	struct creds *creds;
	struct ec2 *ec2;
};

int cloud_new(const struct vwired_config *cfg, struct cloud **ret_cloud, struct vw_err *err);
/** cloud_free() - no call may be under way. */
void cloud_free(struct cloud *c);
/** cloud_cancel() - make calls under way fail soon; for shutdown. */
void cloud_cancel(struct cloud *c);

/**
 * struct survey - what IMDS, EC2 and the kernel say about this node.
 * @limits_known: in: do not ask for the limits of the instance type again.
 * @imds_only:    in: do not speak to EC2. @read_only: in: change nothing there. @want_subnets: in: ask for the subnets of
 *                the VPC and zone.
 * @untied:       an ENI of ours would outlive the instance: EC2 did not do what it was asked to. Ask again.
 * @subnets_ok:   they are known; otherwise @subnets_err, when it was asked.
 * @ec2_ok:       EC2 answered; otherwise @ec2_err says why and only IMDS is known.
 */
struct survey {
	struct cloud *cloud;
	struct creds *creds;            /* in: the cloud's, or NULL; out: made by this survey when it was */
	struct ec2 *ec2;
	char region[32];                /* "" = what IMDS says */
	char endpoint_ec2[256], endpoint_sts[256];      /* "" = the environment's or AWS's own */
	bool limits_known, imds_only, read_only, want_subnets;
	uint64_t deadline_ms;

	struct imds_identity id;
	struct imds_eni *imds_enis;
	size_t n_imds_enis;
	bool ec2_ok;
	struct ec2_enis ec2_enis;
	struct ec2_error ec2_err;
	bool limits_ok;
	struct ec2_limits limits;
	bool untied;
	bool subnets_ok;
	struct ec2_subnets subnets;
	struct ec2_error subnets_err;
	struct eni_link *links;
	size_t n_links;
};

/**
 * cloud_survey() - blocking; run in a worker. Also makes sure that ENIs of ours are deleted with the instance (a crash
 * between attach and modify leaves one that is not). Return: 0 also when only IMDS answered, -errno when nothing is known.
 */
int cloud_survey(struct survey *s, struct vw_err *err);
void survey_done(struct survey *s);
/** cloud_take_clients() - in the loop's thread, after the survey: what it made belongs to the cloud from here on. */
void cloud_take_clients(struct cloud *c, struct survey *s);
/** cloud_subnets() - the subnets of @vpc_id in @zone; blocking. */
int cloud_subnets(struct ec2 *ec2, uint64_t deadline_ms, const char *vpc_id, const char *zone, struct ec2_subnets *ret,
		  struct ec2_error *err);
/** survey_vpc() - the VPC of the primary ENI, "" when IMDS did not say. */
const char *survey_vpc(const struct survey *s);
/** survey_link() - the link with this MAC, NULL if none. */
const struct eni_link *survey_link(const struct survey *s, const struct vw_mac *mac);

/* Tags that aws-node writes and looks for (reference: amazon-vpc-cni-k8s pkg/awsutils) and two of ours. */
#define TAG_INSTANCE "node.k8s.amazonaws.com/instance_id"
#define TAG_CREATED "node.k8s.amazonaws.com/createdAt"
#define TAG_NO_MANAGE "node.k8s.amazonaws.com/no_manage"
#define TAG_CLUSTER "cluster.k8s.amazonaws.com/name"
#define TAG_INTENT "vpcwire.io/intent"
#define TAG_SWEEPER "vpcwire.io/sweeper"
