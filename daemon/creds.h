#pragma once

#include "daemon/secret.h"

#include <stdbool.h>
#include <stdint.h>

struct http;
struct imds;
struct vw_err;

/**
 * DOC: credentials
 *
 * The first source that is configured is the only one: keys in the environment, web identity (IRSA),
 * container credentials (EKS Pod Identity, ECS), the instance's role. A configured source that fails is
 * reported, never skipped, so that a node does not run on with somebody else's rights.
 *
 * A struct creds may be used by several threads. One thread fetches at a time, without holding the mutex
 * during I/O; others get the present set while it is valid and wait (up to their deadline) when it is not. A
 * refresh that fails leaves the old set in use for as long as it is valid.
 */
struct creds;

enum creds_source { CREDS_ENV, CREDS_WEB_IDENTITY, CREDS_CONTAINER, CREDS_INSTANCE_ROLE };
const char *creds_source_name(enum creds_source s);

/**
 * struct creds_options - copied by creds_new(); NULL or "" = not set. Names of the variables in
 * creds_options_env().
 * @sts_endpoint: NULL = made from region and domain. @domain: "amazonaws.com" when NULL.
 * @session_name: default "vpcwired". @refresh_ahead_s: refresh this long before expiry; 0 = 10 to 15 minutes,
 *             by chance.
 */
struct creds_options {
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token;
	const char *role_arn;
	const char *web_identity_token_file;
	const char *session_name;
	const char *sts_endpoint;
	const char *container_full_uri;
	const char *container_relative_uri;
	const char *container_token;
	const char *container_token_file;
	const char *region;
	const char *domain;
	bool no_instance_role;
	unsigned int refresh_ahead_s;
};

/**
 * creds_options_env() - fill @ret from the environment (borrowed pointers; region and domain are left alone):
 * AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
 * AWS_ROLE_SESSION_NAME AWS_ENDPOINT_URL_STS (then AWS_ENDPOINT_URL) AWS_CONTAINER_CREDENTIALS_FULL_URI
 * AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_AUTHORIZATION_TOKEN
 * AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_EC2_METADATA_DISABLED.
 */
void creds_options_env(struct creds_options *ret);

/**
 * struct creds_set - one set, a private copy.
 * @expires_unix: seconds, 0 = never. @generation: counts fetches; names the set in creds_reject().
 */
struct creds_set {
	char key_id[132];
	struct secret secret_key;
	struct secret token;
	int64_t expires_unix;
	uint64_t generation;
};
void creds_set_done(struct creds_set *s);
#define vw_auto_creds_set __attribute__((cleanup(creds_set_done)))

/**
 * creds_new() - no I/O yet.
 * @http, @imds: borrowed, must outlive it. Fails (EINVAL) where settings cannot work: half of a pair is
 *             missing, or a container URI that is neither https nor an address that credentials may be
 *             fetched from.
 */
int creds_new(const struct creds_options *opt, struct http *http, struct imds *imds, struct creds **ret_creds,
	      struct vw_err *err);
void creds_free(struct creds *c);
enum creds_source creds_source(const struct creds *c);

/**
 * creds_get() - a valid set: the present one, or fetched now. @ret_set: zeroed or done with; end with
 * creds_set_done().
 */
int creds_get(struct creds *c, uint64_t deadline_ms, struct creds_set *ret_set, struct vw_err *err);
/**
 * creds_refresh() - fetch now, whatever is there; for the background job. After a failure the present set
 * stays and creds_refresh_due_s() is pushed back.
 */
int creds_refresh(struct creds *c, uint64_t deadline_ms, struct vw_err *err);
/** creds_refresh_due_s() - unix second at which to run creds_refresh(); 0 = nothing to refresh. */
int64_t creds_refresh_due_s(struct creds *c);
/**
 * creds_reject() - the service said that set @generation has expired: the next creds_get() fetches, unless it
 * was replaced.
 */
void creds_reject(struct creds *c, uint64_t generation);
/** creds_have_valid() - a set is there that has not expired; does no I/O. */
bool creds_have_valid(struct creds *c);

/*
 * Parsers of answers, for tests and fuzzing. Return: 0, -EBADMSG, -EACCES (the answer says no, and why),
 * -EAGAIN (the same, and it may pass).
 */
int creds_parse_json(const char *text, size_t len, const char *what, struct creds_set *ret_set,
		     struct vw_err *err);
int creds_parse_sts(const char *text, size_t len, struct creds_set *ret_set, struct vw_err *err);
/** creds_uri_allowed() - https, or http to loopback, 169.254.170.2, 169.254.170.23, fd00:ec2::23. */
bool creds_uri_allowed(const char *uri);
