/*
 * Changes. What may be sent twice goes through ec2_send() as it is. Attach and Assign may not: after a
 * request without an answer (err->unknown) the interface is described, and what it shows decides whether the
 * request has been carried out.
 */
#include "daemon/ec2_priv.h"
#include "lib/base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_ROUNDS 3

static void parse_created(struct xml_in *in, const struct xml_node *root, void *ret)
{
	const struct xml_node *eni = xml_child(root, "networkInterface");

	ec2_eni_done(ret); /* of an answer before, that was not whole */
	if (!eni)
		(void)xml_fail(in, root, "<networkInterface> is missing");
	else
		ec2_parse_eni(in, eni, ret);
}

int ec2_create_eni(struct ec2 *e, uint64_t deadline_ms, const struct ec2_create *what,
		   struct ec2_eni *ret_eni, struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .action = EC2_CREATE_NETWORK_INTERFACE, .repeat = true,
					 .planned = true };
	struct ec2_eni eni = { 0 };
	int r;

	*err = (struct ec2_error){ 0 };
	if (!what->token || !what->token[0] || strlen(what->token) > EC2_TOKEN_MAX)
		return ec2_error_fill(err, EC2_INVALID, q.action,
				      "a ClientToken of 1 to 64 characters is needed");
	ec2_param(&q, "SubnetId", what->subnet_id);
	for (size_t i = 0; i < what->n_groups; i++)
		ec2_param_nth(&q, "SecurityGroupId", i, "", what->groups[i]);
	if (what->description)
		ec2_param(&q, "Description", what->description);
	if (what->n_addrs)
		ec2_param_u32(&q, "SecondaryPrivateIpAddressCount", what->n_addrs);
	if (what->n_prefixes)
		ec2_param_u32(&q, "Ipv4PrefixCount", what->n_prefixes);
	if (what->n_addrs6)
		ec2_param_u32(&q, "Ipv6AddressCount", what->n_addrs6);
	if (what->n_prefixes6)
		ec2_param_u32(&q, "Ipv6PrefixCount", what->n_prefixes6);
	if (what->n_tags) {
		ec2_param(&q, "TagSpecification.1.ResourceType", "network-interface");
		ec2_param_tags(&q, "TagSpecification.1.Tag", what->tags, what->n_tags);
	}
	ec2_param(&q, "ClientToken", what->token);
	r = ec2_send(e, deadline_ms, &q, parse_created, &eni, err);
	if (r < 0) {
		ec2_eni_done(&eni);
		return r;
	}
	*ret_eni = eni;
	return 0;
}

static void parse_attached(struct xml_in *in, const struct xml_node *root, void *ret)
{
	(void)xml_str(in, root, "attachmentId", XML_NEED, ret, EC2_ID_LEN);
}

/* Attached, or on the way to it, where it was asked for. */
static bool is_attached_here(const struct ec2 *e, const struct ec2_eni *eni, uint32_t device, uint32_t card)
{
	return (eni->attachment.status == EC2_ATTACHED || eni->attachment.status == EC2_ATTACHING) &&
	       !strcmp(eni->attachment.instance_id, ec2_instance_id(e)) && eni->attachment.device == device &&
	       eni->attachment.card == card;
}

int ec2_attach(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, uint32_t device, uint32_t card,
	       char ret_attachment_id[EC2_ID_LEN], struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .action = EC2_ATTACH_NETWORK_INTERFACE, .fresh = true };
	char id[EC2_ID_LEN] = "";
	int r;

	ec2_param(&q, "NetworkInterfaceId", eni_id);
	ec2_param(&q, "InstanceId", ec2_instance_id(e));
	ec2_param_u32(&q, "DeviceIndex", device);
	if (card)
		ec2_param_u32(&q, "NetworkCardIndex", card);
	for (unsigned int round = 1;; round++) {
		struct ec2_error look = { 0 };
		struct ec2_eni eni = { 0 };
		bool here;

		r = ec2_send(e, deadline_ms, &q, parse_attached, id, err);
		if (r == 0)
			break;
		if (!err->unknown && err->kind != EC2_IN_USE && err->kind != EC2_DEVICE_IN_USE)
			return r;
		if (ec2_describe_eni(e, deadline_ms, eni_id, &eni, &look) < 0)
			return r; /* the first failure counts, with its "unknown" */
		here = is_attached_here(e, &eni, device, card);
		if (here)
			memcpy(id, eni.attachment.id, sizeof(id));
		ec2_eni_done(&eni);
		if (here)
			break;
		if (!err->unknown || round == MAX_ROUNDS)
			return r;
	}
	memcpy(ret_attachment_id, id, EC2_ID_LEN);
	return 0;
}

int ec2_delete_on_termination(struct ec2 *e, uint64_t deadline_ms, const char *eni_id,
			      const char *attachment_id, bool on, struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = {
		.action = EC2_MODIFY_NETWORK_INTERFACE_ATTRIBUTE,
		.repeat = true,
		.fresh = true,
	};

	ec2_param(&q, "NetworkInterfaceId", eni_id);
	ec2_param(&q, "Attachment.AttachmentId", attachment_id);
	ec2_param(&q, "Attachment.DeleteOnTermination", on ? "true" : "false");
	return ec2_send(e, deadline_ms, &q, NULL, NULL, err);
}

int ec2_detach(struct ec2 *e, uint64_t deadline_ms, const char *attachment_id, bool force,
	       struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .action = EC2_DETACH_NETWORK_INTERFACE, .repeat = true,
					 .planned = true };
	int r;

	ec2_param(&q, "AttachmentId", attachment_id);
	if (force)
		ec2_param(&q, "Force", "true");
	r = ec2_send(e, deadline_ms, &q, NULL, NULL, err);
	/* IncorrectState: EC2's answer for an attachment that is detaching already */
	if (r < 0 && (err->kind == EC2_NOT_FOUND || !strcmp(err->code, "IncorrectState")))
		return 0;
	return r;
}

int ec2_delete_eni(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .action = EC2_DELETE_NETWORK_INTERFACE, .repeat = true };
	int r;

	ec2_param(&q, "NetworkInterfaceId", eni_id);
	r = ec2_send(e, deadline_ms, &q, NULL, NULL, err);
	return r < 0 && err->kind == EC2_NOT_FOUND ? 0 : r;
}

int ec2_create_tags(struct ec2 *e, uint64_t deadline_ms, const char *resource_id, const struct ec2_kv *tags,
		    size_t n, struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .action = EC2_CREATE_TAGS, .repeat = true, .fresh = true };

	ec2_param_nth(&q, "ResourceId", 0, "", resource_id);
	ec2_param_tags(&q, "Tag", tags, n);
	return ec2_send(e, deadline_ms, &q, NULL, NULL, err);
}

/* ---- addresses ---- */

/* What an interface holds of one kind, as blocks. */
static void list_kind(const struct ec2_eni *eni, int family, bool prefixes, struct ec2_assigned *ret)
{
	const struct vw_ip *addrs = family == AF_INET ? eni->addr4 : eni->addr6;
	size_t n_addrs = family == AF_INET ? eni->n_addr4 : eni->n_addr6;
	const struct vw_cidr *blocks = family == AF_INET ? eni->prefix4 : eni->prefix6;
	size_t n_blocks = family == AF_INET ? eni->n_prefix4 : eni->n_prefix6;

	ret->n = 0;
	for (size_t i = 0; !prefixes && i < n_addrs; i++)
		ret->v[ret->n++] = vw_cidr_host(&addrs[i]);
	for (size_t i = 0; prefixes && i < n_blocks; i++)
		ret->v[ret->n++] = blocks[i];
}

static bool has_cidr(const struct vw_cidr *v, size_t n, const struct vw_cidr *c)
{
	for (size_t i = 0; i < n; i++) {
		if (vw_cidr_eq(&v[i], c))
			return true;
	}
	return false;
}

/* What the interface holds now and the caller did not know: the doing of a request without an answer. */
static int find_new(struct ec2 *e, uint64_t deadline_ms, const struct ec2_assign *what,
		    struct ec2_assigned *ret, struct ec2_error *err)
{
	struct ec2_assigned now;
	struct ec2_eni eni = { 0 };
	int r;

	r = ec2_describe_eni(e, deadline_ms, what->eni_id, &eni, err);
	if (r < 0)
		return r;
	list_kind(&eni, what->family, what->n_prefixes > 0, &now);
	ec2_eni_done(&eni);
	ret->n = 0;
	for (size_t i = 0; i < now.n; i++) {
		if (!has_cidr(what->known, what->n_known, &now.v[i]))
			ret->v[ret->n++] = now.v[i];
	}
	return 0;
}

static void parse_assigned4(struct xml_in *in, const struct xml_node *root, void *ret)
{
	struct ec2_assigned *a = ret;

	a->n = 0;
	ec2_parse_cidr_set(in, root, "assignedPrivateIpAddressesSet", "privateIpAddress", AF_INET, a);
	ec2_parse_cidr_set(in, root, "assignedIpv4PrefixSet", "ipv4Prefix", AF_INET, a);
	if (!a->n)
		(void)xml_fail(in, root, "no address has been assigned");
}

static void parse_assigned6(struct xml_in *in, const struct xml_node *root, void *ret)
{
	struct ec2_assigned *a = ret;

	a->n = 0;
	ec2_parse_cidr_set(in, root, "assignedIpv6Addresses", NULL, AF_INET6, a);
	ec2_parse_cidr_set(in, root, "assignedIpv6PrefixSet", NULL, AF_INET6, a);
	if (!a->n)
		(void)xml_fail(in, root, "no address has been assigned");
}

static void assign_query(struct ec2_query *q, const struct ec2_assign *what)
{
	bool v4 = what->family == AF_INET;

	q->planned = true;
	q->action = v4 ? EC2_ASSIGN_PRIVATE_IP_ADDRESSES : EC2_ASSIGN_IPV6_ADDRESSES;
	ec2_param(q, "NetworkInterfaceId", what->eni_id);
	if (what->n_addrs)
		ec2_param_u32(q, v4 ? "SecondaryPrivateIpAddressCount" : "Ipv6AddressCount", what->n_addrs);
	else
		ec2_param_u32(q, v4 ? "Ipv4PrefixCount" : "Ipv6PrefixCount", what->n_prefixes);
}

int ec2_assign(struct ec2 *e, uint64_t deadline_ms, const struct ec2_assign *what, struct ec2_assigned *ret,
	       struct ec2_error *err)
{
	vw_auto_query struct ec2_query q = { .fresh = true };
	struct ec2_assigned a = { .n = 0 };
	bool unsure = false;
	int r;

	assign_query(&q, what);
	if (!what->n_addrs == !what->n_prefixes) {
		*err = (struct ec2_error){ 0 };
		return ec2_error_fill(err, EC2_INVALID, q.action,
				      "either addresses or prefixes have to be asked for");
	}
	for (unsigned int round = 1;; round++) {
		struct ec2_error look = { 0 };

		r = ec2_send(e, deadline_ms, &q, what->family == AF_INET ? parse_assigned4 : parse_assigned6,
			     &a, err);
		if (r == 0)
			break;
		if (!err->unknown || find_new(e, deadline_ms, what, &a, &look) < 0)
			return r;
		unsure = true;
		if (a.n)
			break;
		if (round == MAX_ROUNDS) {
			err->unknown = false; /* the describe says that it was not carried out */
			return r;
		}
	}
	a.unsure = unsure;
	*ret = a;
	return 0;
}

static bool same_kind(const struct vw_cidr *cidrs, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (cidrs[i].ip.family != cidrs[0].ip.family || cidrs[i].len != cidrs[0].len)
			return false;
	}
	return true;
}

/* EC2 refuses the whole request when one of the addresses is not there any more: ask for what is left. */
static int unassign_left(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, const struct vw_cidr *cidrs,
			 size_t n, struct ec2_assigned *ret_left, struct ec2_error *err)
{
	struct ec2_assigned now;
	struct ec2_eni eni = { 0 };
	int r;

	r = ec2_describe_eni(e, deadline_ms, eni_id, &eni, err);
	ret_left->n = 0;
	if (r < 0)
		return err->kind == EC2_NOT_FOUND ? 0 : r;
	list_kind(&eni, cidrs[0].ip.family, cidrs[0].len < vw_ip_bits(&cidrs[0].ip), &now);
	ec2_eni_done(&eni);
	for (size_t i = 0; i < n; i++) {
		if (has_cidr(now.v, now.n, &cidrs[i]))
			ret_left->v[ret_left->n++] = cidrs[i];
	}
	return 0;
}

static int unassign_once(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, const struct vw_cidr *cidrs,
			 size_t n, struct ec2_error *err)
{
	bool v4 = cidrs[0].ip.family == AF_INET, prefixes = cidrs[0].len < vw_ip_bits(&cidrs[0].ip);
	vw_auto_query struct ec2_query q = {
		.action = v4 ? EC2_UNASSIGN_PRIVATE_IP_ADDRESSES : EC2_UNASSIGN_IPV6_ADDRESSES,
		.repeat = true,
		.planned = true,
	};
	const char *list = v4 ? (prefixes ? "Ipv4Prefix" : "PrivateIpAddress")
			      : (prefixes ? "Ipv6Prefix" : "Ipv6Addresses");
	char text[VW_CIDR_STRLEN];

	ec2_param(&q, "NetworkInterfaceId", eni_id);
	for (size_t i = 0; i < n; i++)
		ec2_param_nth(&q, list, i, "",
			      prefixes ? vw_cidr_str(&cidrs[i], text) : vw_ip_str(&cidrs[i].ip, text));
	return ec2_send(e, deadline_ms, &q, NULL, NULL, err);
}

int ec2_unassign(struct ec2 *e, uint64_t deadline_ms, const char *eni_id, const struct vw_cidr *cidrs,
		 size_t n, struct ec2_error *err)
{
	struct ec2_assigned left;
	struct ec2_error look = { 0 };
	int r;

	*err = (struct ec2_error){ 0 };
	if (n == 0 || n > EC2_MAX_ADDRS || !same_kind(cidrs, n))
		return ec2_error_fill(err, EC2_INVALID, EC2_UNASSIGN_PRIVATE_IP_ADDRESSES,
				      "1 to 64 addresses, or prefixes, of one family are needed");
	r = unassign_once(e, deadline_ms, eni_id, cidrs, n, err);
	if (r == 0 || err->kind == EC2_NOT_FOUND)
		return 0;
	if (err->kind != EC2_INVALID)
		return r;
	if (unassign_left(e, deadline_ms, eni_id, cidrs, n, &left, &look) < 0)
		return r;
	if (left.n == 0)
		return 0;
	if (left.n < n)
		r = unassign_once(e, deadline_ms, eni_id, left.v, left.n, err);
	/*
	 * Refused, as one that was carried out is when it comes again; libcurl repeats by itself what it sent on a kept connection that was
	 * closed then. And a describe that shows them all the same may be old.
	 */
	err->unknown |= r < 0;
	return r;
}
