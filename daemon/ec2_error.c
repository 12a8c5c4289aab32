/*
 * From EC2's error codes to what to do about them. Codes: EC2 API Reference, "Error codes for the Amazon EC2
 * API". A few codes mean several things and are told apart by their message, as other clients do it
 * (InvalidParameterValue for a subnet without prefixes).
 */
#include "daemon/ec2_priv.h"
#include "lib/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct code_row {
	const char *code;
	const char *message; /* a part of the message, or NULL */
	enum ec2_fail kind;
};

/* The first row that fits counts; a code ending in '*' stands for all that begin so. */
static const struct code_row codes[] = {
	{ "RequestLimitExceeded", NULL, EC2_THROTTLED },
	{ "Throttling", NULL, EC2_THROTTLED },
	{ "ThrottlingException", NULL, EC2_THROTTLED },
	{ "RequestThrottled", NULL, EC2_THROTTLED },
	{ "RequestThrottledException", NULL, EC2_THROTTLED },
	{ "EC2ThrottledException", NULL, EC2_THROTTLED },
	{ "SlowDown", NULL, EC2_THROTTLED },
	{ "BandwidthLimitExceeded", NULL, EC2_THROTTLED },
	{ "InsufficientCidrBlocks", NULL, EC2_SUBNET_NO_PREFIX },
	{ "InvalidParameterValue", "sufficient free Ipv4 addresses or prefixes", EC2_SUBNET_NO_PREFIX },
	{ "InsufficientFreeAddressesInSubnet", NULL, EC2_SUBNET_NO_ADDRESS },
	{ "PrivateIpAddressLimitExceeded", NULL, EC2_ENI_IP_LIMIT },
	{ "AttachmentLimitExceeded", NULL, EC2_ATTACH_LIMIT },
	{ "NetworkInterfaceLimitExceeded", NULL, EC2_ATTACH_LIMIT },
	{ "InvalidParameterValue", "already has an interface attached at device index", EC2_DEVICE_IN_USE },
	{ "InvalidNetworkInterface.InUse", NULL, EC2_IN_USE },
	{ "InvalidParameterValue", "is currently in use", EC2_IN_USE },
	{ "IncorrectState", NULL, EC2_IN_USE },
	{ "IncorrectInstanceState", NULL, EC2_IN_USE },
	{ "OperationNotPermitted", NULL, EC2_IN_USE },
	{ "ResourceInUse", NULL, EC2_IN_USE },
	{ "InvalidNetworkInterfaceID.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidAttachmentID.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidAssociationID.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidSubnetID.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidGroup.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidInstanceID.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidVpcID.NotFound", NULL, EC2_NOT_FOUND },
	{ "InvalidID", NULL, EC2_NOT_FOUND },
	{ "UnauthorizedOperation", NULL, EC2_UNAUTHORIZED },
	{ "AccessDenied", NULL, EC2_UNAUTHORIZED },
	{ "OptInRequired", NULL, EC2_UNAUTHORIZED },
	{ "Blocked", NULL, EC2_UNAUTHORIZED },
	{ "ExpiredToken", NULL, EC2_EXPIRED_CREDS },
	{ "ExpiredTokenException", NULL, EC2_EXPIRED_CREDS },
	{ "RequestExpired", NULL, EC2_CLOCK_SKEW },
	{ "RequestTimeTooSkewed", NULL, EC2_CLOCK_SKEW },
	{ "SignatureDoesNotMatch", "Signature not yet current", EC2_CLOCK_SKEW },
	{ "SignatureDoesNotMatch", "Signature expired", EC2_CLOCK_SKEW },
	{ "InvalidSignatureException", "Signature expired", EC2_CLOCK_SKEW },
	/* "not able to validate the provided access credentials": keys that were replaced, or a clock that is wrong */
	{ "AuthFailure", NULL, EC2_CLOCK_SKEW },
	{ "InvalidClientTokenId", NULL, EC2_EXPIRED_CREDS },
	{ "SignatureDoesNotMatch", NULL, EC2_UNAUTHORIZED },
	{ "IdempotentParameterMismatch", NULL, EC2_TOKEN_REUSED },
	{ "Unavailable", NULL, EC2_TRANSIENT },
	{ "InternalError", NULL, EC2_TRANSIENT },
	{ "InternalFailure", NULL, EC2_TRANSIENT },
	{ "ServiceUnavailable", NULL, EC2_TRANSIENT },
	{ "RequestTimeout", NULL, EC2_TRANSIENT },
};

enum ec2_fail ec2_fail_of(int status, const char *code, const char *message)
{
	for (size_t i = 0; i < VW_ARRAY_SIZE(codes); i++) {
		if (!strcmp(codes[i].code, code) &&
		    (!codes[i].message || strcasestr(message, codes[i].message)))
			return codes[i].kind;
	}
	if (status == 429)
		return EC2_THROTTLED;
	if (status >= 500)
		return EC2_TRANSIENT;
	if (status == 401 || status == 403)
		return EC2_UNAUTHORIZED;
	return status >= 400 ? EC2_INVALID : EC2_PROTOCOL;
}

struct kind_row {
	const char *name;
	int eno;
	int cni;
	const char *what;
	const char *todo; /* "" for none */
};

static const struct kind_row kinds[EC2_N_FAILS] = {
	[EC2_OK] = { "ok", EINVAL, 0, "", "" },
	[EC2_THROTTLED] = { "throttled", EAGAIN, VW_CNI_TRY_AGAIN, "EC2 limits the rate of requests",
			    "tried again later; if it goes on, ask AWS to raise the account's limit for this "
			    "action" },
	[EC2_SUBNET_NO_PREFIX] = { "subnet-no-prefix", ENOSPC, VW_CNI_TRY_AGAIN,
				   "no free block for a prefix in the subnet",
				   "reserve a block of the subnet for prefixes, or add a subnet" },
	[EC2_SUBNET_NO_ADDRESS] = { "subnet-no-address", ENOSPC, VW_CNI_TRY_AGAIN,
				    "not enough free addresses in the subnet", "free some, or add a subnet" },
	[EC2_ENI_IP_LIMIT] = { "eni-ip-limit", ENOSPC, VW_CNI_TRY_AGAIN,
			       "the interface holds all the addresses it can", "" },
	[EC2_ATTACH_LIMIT] = { "attach-limit", ENOSPC, VW_CNI_TRY_AGAIN,
			       "no more interfaces allowed on this instance or in this region",
			       "look for interfaces that others attached, or ask AWS to raise the limit" },
	[EC2_DEVICE_IN_USE] = { "device-in-use", EBUSY, VW_CNI_TRY_AGAIN, "the device index is taken", "" },
	[EC2_NOT_FOUND] = { "not-found", ENOENT, 0, "something named in the request does not exist", "" },
	[EC2_IN_USE] = { "in-use", EBUSY, VW_CNI_TRY_AGAIN, "not possible in its present state", "" },
	[EC2_UNAUTHORIZED] = { "unauthorized", EACCES, VW_CNI_NOT_AVAILABLE, "not allowed",
			       "" }, /* the permission is named instead */
	[EC2_NO_CREDS] = { "no-credentials", EACCES, VW_CNI_NOT_AVAILABLE, "no credentials", "" },
	[EC2_EXPIRED_CREDS] = { "expired-credentials", EKEYEXPIRED, VW_CNI_NOT_AVAILABLE,
				"EC2 does not accept the credentials any more, also after fetching them again",
				"renew what is in the environment, or look at the source that hands them "
				"out" },
	[EC2_CLOCK_SKEW] = { "clock-skew", EACCES, VW_CNI_NOT_AVAILABLE,
			     "EC2 refuses the time of the signature, also with the time of its own answer",
			     "set this machine's clock (chrony, systemd-timesyncd)" },
	[EC2_INVALID] = { "invalid", EINVAL, 0, "EC2 refuses the request",
			  "correct the configuration that it names" },
	[EC2_TOKEN_REUSED] = { "token-reused", EINVAL, 0, "a ClientToken was used with other parameters",
			       "this is a fault of vpcwired; please report it" },
	[EC2_TRANSIENT] = { "transient", EAGAIN, VW_CNI_TRY_AGAIN,
			    "EC2 cannot be reached or has a failure of its own",
			    "tried again later; check the route to its endpoint if it goes on" },
	[EC2_PROTOCOL] = { "protocol", EBADMSG, 0, "EC2's answer cannot be understood",
			   "look for a proxy or a wrong endpoint in between" },
	[EC2_CANCELLED] = { "cancelled", ECANCELED, VW_CNI_TRY_AGAIN, "given up because vpcwired is stopping",
			    "" },
	[EC2_NOMEM] = { "out-of-memory", ENOMEM, 0, "out of memory", "" },
};

const char *ec2_fail_name(enum ec2_fail f)
{
	return f < EC2_N_FAILS ? kinds[f].name : "?";
}

/*
 * The permission that is missing. EC2's newer messages say it ("... is not authorized to perform:
 * ec2:CreateTags on resource: ..."), and it need not be the action called: tags at creation need
 * ec2:CreateTags.
 */
static void permission(char *ret, size_t size, enum ec2_action action, const char *message)
{
	static const char mark[] = "perform: ";
	const char *p = strstr(message, mark);
	int len = 0;

	if (p) {
		p += strlen(mark);
		while (isalnum((unsigned char)p[len]) || p[len] == ':')
			len++;
	}
	if (len > 4 && len < 64)
		(void)snprintf(ret, size, "%.*s", len, p);
	else
		(void)snprintf(ret, size, "ec2:%s", ec2_action_name(action));
}

int ec2_error_fill(struct ec2_error *err, enum ec2_fail kind, enum ec2_action action, const char *detail)
{
	const struct kind_row *k = &kinds[kind];
	char todo[160];

	err->permission[0] = 0;
	if (kind == EC2_UNAUTHORIZED)
		permission(err->permission, sizeof(err->permission), action, detail);
	if (kind == EC2_UNAUTHORIZED)
		(void)snprintf(todo, sizeof(todo), "grant %s to the role that vpcwired runs with", err->permission);
	else
		(void)snprintf(todo, sizeof(todo), "%s", k->todo);
	err->kind = kind;
	/* what to do stands before EC2's own words, which can be kilobytes */
	return vw_err_set(&err->why, k->eno, k->cni, "%s: %s%s%s%s%s%s%s%.160s", ec2_action_name(action),
			  k->what, err->code[0] ? " (" : "", err->code, err->code[0] ? ")" : "",
			  todo[0] ? "; " : "", todo, detail[0] ? ": " : "", detail);
}

int ec2_parse_error(const char *text, size_t len, struct ec2_error *ret, char *ret_message, size_t size)
{
	vw_auto_xml struct xml_doc *doc = NULL;
	const struct xml_node *root, *e;
	const char *code, *message, *id;
	struct vw_err ignored;

	if (xml_parse(text, len, "error", &doc, &ignored) < 0)
		return -EBADMSG;
	root = xml_root(doc);
	e = xml_child(xml_child(xml_child(root, "Errors"), "Error"), "Code")
		    ? xml_child(xml_child(root, "Errors"), "Error")
		    : xml_child(root, "Error");
	code = xml_text(xml_child(e, "Code"));
	if (!code || !code[0])
		return -EBADMSG;
	message = xml_text(xml_child(e, "Message"));
	id = xml_text(xml_child(root, "RequestID"));
	(void)snprintf(ret->code, sizeof(ret->code), "%s", code);
	(void)snprintf(ret->request_id, sizeof(ret->request_id), "%s", id ? id : "");
	(void)snprintf(ret_message, size, "%s", message ? message : "");
	return 0;
}
