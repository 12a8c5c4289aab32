#pragma once

#include "daemon/ec2.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"

#include <stdint.h>

/**
 * DOC: the inside of ec2.h
 *
 * ec2.c sends one query with all its retries; ec2_error.c names failures; ec2_rate.c counts and meters;
 * ec2_parse.c reads answers; ec2_eni.c and ec2_describe.c are the typed calls. Nobody else includes this.
 */
enum ec2_action {
	EC2_CREATE_NETWORK_INTERFACE,
	EC2_ATTACH_NETWORK_INTERFACE,
	EC2_MODIFY_NETWORK_INTERFACE_ATTRIBUTE,
	EC2_DETACH_NETWORK_INTERFACE,
	EC2_DELETE_NETWORK_INTERFACE,
	EC2_ASSIGN_PRIVATE_IP_ADDRESSES,
	EC2_UNASSIGN_PRIVATE_IP_ADDRESSES,
	EC2_ASSIGN_IPV6_ADDRESSES,
	EC2_UNASSIGN_IPV6_ADDRESSES,
	EC2_CREATE_TAGS,
	EC2_DESCRIBE_NETWORK_INTERFACES,        /* reads from here on */
	EC2_DESCRIBE_INSTANCE_TYPES,
	EC2_DESCRIBE_SUBNETS,
	EC2_DESCRIBE_VPCS,
	EC2_N_ACTIONS,
};

const char *ec2_action_name(enum ec2_action a);
static inline bool ec2_action_is_read(enum ec2_action a)
{
	return a >= EC2_DESCRIBE_NETWORK_INTERFACES;
}

/**
 * struct ec2_query - one call.
 * @repeat: may be sent again when the outcome is unknown. @fresh: names something that may have been made a
 *          moment ago, so NOT_FOUND is tried again. @planned: the planner asked for it, and asks anew, perhaps
 *          for more, when it is throttled: no further try here.
 * @form: the parameters after Action and Version, built with ec2_param*().
 */
struct ec2_query {
	enum ec2_action action;
	bool repeat;
	bool fresh;
	bool planned;
	struct vw_buf form;
};
#define vw_auto_query __attribute__((cleanup(ec2_query_done)))
void ec2_query_done(struct ec2_query *q);

void ec2_param(struct ec2_query *q, const char *name, const char *value);
void ec2_param_u32(struct ec2_query *q, const char *name, uint32_t value);
/** ec2_param_nth() - "<list>.<i + 1><member>=value", e.g. list "Filter", member ".Name". */
void ec2_param_nth(struct ec2_query *q, const char *list, size_t i, const char *member, const char *value);
void ec2_param_filter(struct ec2_query *q, size_t i, const char *name, const char *value);
void ec2_param_tags(struct ec2_query *q, const char *prefix, const struct ec2_kv *tags, size_t n);

/**
 * ec2_send() - all of the policy in ec2.h. @parse: reads a good answer's root into @ret; failures go to @in.
 * NULL: nothing to read.
 */
int ec2_send(struct ec2 *e, uint64_t deadline_ms, struct ec2_query *q,
	     void (*parse)(struct xml_in *in, const struct xml_node *root, void *ret), void *ret,
	     struct ec2_error *err);

const char *ec2_instance_id(const struct ec2 *e);

/* ---- failures ---- */

/** ec2_fail_of() - from EC2's code, message and HTTP status. */
enum ec2_fail ec2_fail_of(int status, const char *code, const char *message);
/**
 * ec2_error_fill() - @err for @kind: errno, CNI code and the sentence "<Action>: <what> (<code>); <what to
 * do>".
 * @detail: EC2's message or what went wrong here; may be "". @err->code must be set. Return: -errno.
 */
int ec2_error_fill(struct ec2_error *err, enum ec2_fail kind, enum ec2_action action, const char *detail);
/** ec2_parse_error() - code, message, request id of an error document. Return: 0, -EBADMSG. */
int ec2_parse_error(const char *text, size_t len, struct ec2_error *ret, char *ret_message, size_t size);

/* ---- meters ---- */

/** struct ec2_bucket - a token bucket; time is given, so it needs no clock. */
struct ec2_bucket {
	double tokens;
	uint64_t at_ms;
};
/** ec2_bucket_take() - take one token. Return: 0, or the milliseconds until there is one (none is taken). */
uint64_t ec2_bucket_take(struct ec2_bucket *b, const struct ec2_rate *rate, uint64_t now_ms);
void ec2_bucket_empty(struct ec2_bucket *b, uint64_t now_ms);

#define EC2_MAX_COUNTERS 128

struct ec2_counters {
	struct ec2_counter v[EC2_MAX_COUNTERS];
	size_t n;
};
/** ec2_count() - one request; when the table is full, under code "other". */
void ec2_count(struct ec2_counters *c, const char *action, const char *code, uint64_t ms);

/* ---- answers ---- */

void ec2_parse_eni(struct xml_in *in, const struct xml_node *item, struct ec2_eni *ret);
void ec2_parse_subnet(struct xml_in *in, const struct xml_node *item, struct ec2_subnet *ret);
void ec2_parse_limits(struct xml_in *in, const struct xml_node *item, struct ec2_limits *ret);
void ec2_parse_vpc(struct xml_in *in, const struct xml_node *item, struct ec2_vpc *ret);
/**
 * ec2_parse_cidr_set() - <@set><item>[<@member>]: @member NULL: the items themselves are text. Appends to
 * @ret.
 */
void ec2_parse_cidr_set(struct xml_in *in, const struct xml_node *of, const char *set, const char *member,
			int family, struct ec2_assigned *ret);
