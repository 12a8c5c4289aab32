/* DryRun: EC2 checks the permission, and answers DryRunOperation or UnauthorizedOperation instead of acting (EC2 API, common parameters). */
#include "daemon/ec2_priv.h"

#include <errno.h>
#include <string.h>

_Static_assert(EC2_MAY_ACTIONS == EC2_N_ACTIONS, "an action more or less: see ec2.h");

#define DRY_RUN_OK "DryRunOperation"

static void create_params(struct ec2_query *q, const struct ec2_rights *n)
{
	static const struct ec2_kv tag = { "vpcwire.io/doctor", "dry-run" };

	ec2_param(q, "SubnetId", n->subnet_id);
	for (size_t i = 0; i < n->n_groups; i++)
		ec2_param_nth(q, "SecurityGroupId", i, "", n->groups[i]);
	/* with tags, as it is asked for in earnest: that needs ec2:CreateTags as well */
	ec2_param(q, "TagSpecification.1.ResourceType", "network-interface");
	ec2_param_tags(q, "TagSpecification.1.Tag", &tag, 1);
}

static void tag_params(struct ec2_query *q, const struct ec2_rights *n)
{
	static const struct ec2_kv tag = { "vpcwire.io/doctor", "dry-run" };

	ec2_param_nth(q, "ResourceId", 0, "", n->eni_id);
	ec2_param_tags(q, "Tag", &tag, 1);
}

static void eni_params(struct ec2_query *q, const struct ec2_rights *n)
{
	ec2_param(q, "NetworkInterfaceId", n->eni_id);
}

static void read_params(struct ec2_query *q, const struct ec2_rights *n)
{
	switch (q->action) {
	case EC2_DESCRIBE_INSTANCE_TYPES:
		ec2_param_nth(q, "InstanceType", 0, "", n->instance_type);
		return;
	case EC2_DESCRIBE_SUBNETS:
		ec2_param_nth(q, "SubnetId", 0, "", n->subnet_id);
		return;
	case EC2_DESCRIBE_VPCS:
		ec2_param_nth(q, "VpcId", 0, "", n->vpc_id);
		return;
	default:
		ec2_param_nth(q, "NetworkInterfaceId", 0, "", n->eni_id);
		return;
	}
}

static void params(struct ec2 *e, struct ec2_query *q, const struct ec2_rights *n)
{
	switch (q->action) {
	case EC2_CREATE_NETWORK_INTERFACE:
		create_params(q, n);
		return;
	case EC2_ATTACH_NETWORK_INTERFACE:
		eni_params(q, n);
		ec2_param(q, "InstanceId", ec2_instance_id(e));
		ec2_param_u32(q, "DeviceIndex", 1);
		return;
	case EC2_MODIFY_NETWORK_INTERFACE_ATTRIBUTE:
		eni_params(q, n);
		ec2_param(q, "Attachment.AttachmentId", n->attachment_id);
		ec2_param(q, "Attachment.DeleteOnTermination", "true");
		return;
	case EC2_DETACH_NETWORK_INTERFACE:
		ec2_param(q, "AttachmentId", n->attachment_id);
		return;
	case EC2_DELETE_NETWORK_INTERFACE:
		eni_params(q, n);
		return;
	case EC2_ASSIGN_PRIVATE_IP_ADDRESSES:
		eni_params(q, n);
		ec2_param_u32(q, "SecondaryPrivateIpAddressCount", 1);
		return;
	case EC2_UNASSIGN_PRIVATE_IP_ADDRESSES:
		eni_params(q, n);
		ec2_param_nth(q, "PrivateIpAddress", 0, "", n->address);
		return;
	case EC2_ASSIGN_IPV6_ADDRESSES:
		eni_params(q, n);
		ec2_param_u32(q, "Ipv6AddressCount", 1);
		return;
	case EC2_UNASSIGN_IPV6_ADDRESSES:
		eni_params(q, n);
		ec2_param_nth(q, "Ipv6Addresses", 0, "", n->ipv6);
		return;
	case EC2_CREATE_TAGS:
		tag_params(q, n);
		return;
	default:
		read_params(q, n);
		return;
	}
}

int ec2_may(struct ec2 *e, uint64_t deadline_ms, unsigned int i, const struct ec2_rights *named, const char **ret_action,
	    struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .action = (enum ec2_action)i, .repeat = true };
	bool six = q.action == EC2_ASSIGN_IPV6_ADDRESSES || q.action == EC2_UNASSIGN_IPV6_ADDRESSES;
	int r;

	*ret_action = six && !named->ipv6 ? NULL : ec2_action_name(q.action);
	if (!*ret_action)
		return 1;
	ec2_param(&q, "DryRun", "true");
	params(e, &q, named);
	r = ec2_send(e, deadline_ms, &q, NULL, NULL, err);
	if (r == 0 || !strcmp(err->code, DRY_RUN_OK))   /* an endpoint that knows no DryRun for this action did it, harmlessly */
		return 1;
	return !strcmp(err->code, "UnauthorizedOperation") ? 0 : r;
}
