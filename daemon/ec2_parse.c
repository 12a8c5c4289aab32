/*
 * Answers to structs. Each reader takes one <item> and writes a struct that was zeroed; what EC2 always sends
 * must be there, what it leaves out for some interfaces may be absent. Lists longer than the struct fail
 * rather than being cut.
 */
#include "daemon/ec2_priv.h"
#include "lib/base/cleanup.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct word {
	const char *text;
	int value;
};

/* An enumeration; words that EC2 may add later become @other. */
static int word_of(const struct word *words, size_t n, const char *text, int other)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(words[i].text, text))
			return words[i].value;
	}
	return other;
}

static enum ec2_eni_status eni_status(const char *text)
{
	static const struct word words[] = {
		{ "available", EC2_ENI_AVAILABLE }, { "associated", EC2_ENI_ASSOCIATED },
		{ "attaching", EC2_ENI_ATTACHING }, { "in-use", EC2_ENI_IN_USE },
		{ "detaching", EC2_ENI_DETACHING },
	};

	return (enum ec2_eni_status)word_of(words, VW_ARRAY_SIZE(words), text, EC2_ENI_UNKNOWN);
}

static enum ec2_attach_status attach_status(const char *text)
{
	static const struct word words[] = {
		{ "attaching", EC2_ATTACHING },
		{ "attached", EC2_ATTACHED },
		{ "detaching", EC2_DETACHING },
		{ "detached", EC2_DETACHED },
	};

	return (enum ec2_attach_status)word_of(words, VW_ARRAY_SIZE(words), text, EC2_NOT_ATTACHED);
}

static const struct xml_node *first_item(const struct xml_node *of, const char *set)
{
	return xml_child(xml_child(of, set), "item");
}

static bool has_room(struct xml_in *in, const struct xml_node *item, const char *set, size_t n, size_t max)
{
	return n < max || xml_fail(in, item, "<%s> has more than %zu entries", set, max);
}

static void parse_ips(struct xml_in *in, const struct xml_node *of, const char *set, const char *member,
		      int family, struct vw_ip *ret, size_t *ret_n)
{
	for (const struct xml_node *i = first_item(of, set); i && in->r == 0; i = xml_next(i)) {
		if (!has_room(in, i, set, *ret_n, EC2_MAX_ADDRS) ||
		    !xml_ip(in, i, member, XML_NEED, &ret[*ret_n]))
			return;
		if (ret[(*ret_n)++].family != family)
			(void)xml_fail(in, i, "<%s> is of the other address family", member);
	}
}

static bool is_block(struct xml_in *in, const struct xml_node *node, const struct vw_cidr *c, int family)
{
	if (c->ip.family == family && vw_cidr_is_masked(c))
		return true;
	return xml_fail(in, node, "an address block is of the other family or has host bits set");
}

static void parse_cidrs(struct xml_in *in, const struct xml_node *of, const char *set, const char *member,
			int family, struct vw_cidr *ret, size_t *ret_n)
{
	for (const struct xml_node *i = first_item(of, set); i && in->r == 0; i = xml_next(i)) {
		if (!has_room(in, i, set, *ret_n, EC2_MAX_ADDRS) ||
		    !xml_cidr(in, i, member, XML_NEED, &ret[*ret_n]) ||
		    !is_block(in, i, &ret[*ret_n], family))
			return;
		(*ret_n)++;
	}
}

void ec2_parse_cidr_set(struct xml_in *in, const struct xml_node *of, const char *set, const char *member,
			int family, struct ec2_assigned *ret)
{
	struct vw_cidr c;

	for (const struct xml_node *i = first_item(of, set); i && in->r == 0; i = xml_next(i)) {
		const char *text = xml_text(i);

		if (!has_room(in, i, set, ret->n, EC2_MAX_ADDRS))
			return;
		if (member) {
			if (!xml_cidr(in, i, member, XML_NEED, &c))
				return;
		} else if (!text || vw_cidr_parse(text, &c) < 0) {
			(void)xml_fail(in, i, "not an address or block");
			return;
		}
		if (!is_block(in, i, &c, family))
			return;
		ret->v[ret->n++] = c;
	}
}

static void parse_addr4(struct xml_in *in, const struct xml_node *eni, struct ec2_eni *ret)
{
	static const char set[] = "privateIpAddressesSet";

	for (const struct xml_node *i = first_item(eni, set); i && in->r == 0; i = xml_next(i)) {
		bool primary = false;
		struct vw_ip ip;

		if (!xml_ip(in, i, "privateIpAddress", XML_NEED, &ip))
			return;
		(void)xml_bool(in, i, "primary", XML_MAY, &primary);
		if (primary) {
			ret->primary4 = ip;
			continue;
		}
		if (!has_room(in, i, set, ret->n_addr4, EC2_MAX_ADDRS))
			return;
		ret->addr4[ret->n_addr4++] = ip;
	}
}

static void parse_groups(struct xml_in *in, const struct xml_node *eni, struct ec2_eni *ret)
{
	for (const struct xml_node *i = first_item(eni, "groupSet"); i && in->r == 0; i = xml_next(i)) {
		if (has_room(in, i, "groupSet", ret->n_groups, EC2_MAX_GROUPS) &&
		    xml_str(in, i, "groupId", XML_NEED, ret->groups[ret->n_groups], EC2_ID_LEN))
			ret->n_groups++;
	}
}

static void parse_tags(struct xml_in *in, const struct xml_node *eni, struct ec2_eni *ret)
{
	size_t n = 0;

	for (const struct xml_node *i = first_item(eni, "tagSet"); i; i = xml_next(i))
		n++;
	if (!n || in->r < 0)
		return;
	ret->tags = calloc(n, sizeof(*ret->tags));
	if (!ret->tags) {
		(void)xml_fail(in, eni, "out of memory");
		return;
	}
	for (const struct xml_node *i = first_item(eni, "tagSet"); i; i = xml_next(i)) {
		const char *key = xml_text(xml_child(i, "key")), *value = xml_text(xml_child(i, "value"));
		struct ec2_tag *t = &ret->tags[ret->n_tags++];

		t->key = strdup(key ? key : "");
		t->value = strdup(value ? value : "");
		if (!key || !t->key || !t->value)
			(void)xml_fail(in, i, "a tag without a key, or out of memory");
	}
}

static void parse_attachment(struct xml_in *in, const struct xml_node *eni, struct ec2_eni *ret)
{
	const struct xml_node *a = xml_child(eni, "attachment");
	char status[24] = "";

	if (!a || !xml_child(a, "attachmentId"))
		return;
	(void)xml_str(in, a, "attachmentId", XML_NEED, ret->attachment.id, EC2_ID_LEN);
	(void)xml_str(in, a, "instanceId", XML_MAY, ret->attachment.instance_id, EC2_ID_LEN);
	(void)xml_u32(in, a, "deviceIndex", XML_NEED, UINT16_MAX, &ret->attachment.device);
	(void)xml_u32(in, a, "networkCardIndex", XML_MAY, UINT16_MAX, &ret->attachment.card);
	(void)xml_bool(in, a, "deleteOnTermination", XML_MAY, &ret->attachment.delete_on_termination);
	if (xml_str(in, a, "status", XML_NEED, status, sizeof(status)))
		ret->attachment.status = attach_status(status);
}

void ec2_parse_eni(struct xml_in *in, const struct xml_node *item, struct ec2_eni *ret)
{
	char status[24] = "";

	(void)xml_str(in, item, "networkInterfaceId", XML_NEED, ret->id, sizeof(ret->id));
	(void)xml_str(in, item, "subnetId", XML_NEED, ret->subnet_id, sizeof(ret->subnet_id));
	(void)xml_str(in, item, "vpcId", XML_NEED, ret->vpc_id, sizeof(ret->vpc_id));
	(void)xml_str(in, item, "availabilityZone", XML_MAY, ret->az, sizeof(ret->az));
	(void)xml_str(in, item, "interfaceType", XML_MAY, ret->type, sizeof(ret->type));
	(void)xml_str(in, item, "description", XML_MAY, ret->description, sizeof(ret->description));
	(void)xml_mac(in, item, "macAddress", XML_NEED, &ret->mac);
	if (xml_str(in, item, "status", XML_NEED, status, sizeof(status)))
		ret->status = eni_status(status);
	(void)xml_bool(in, item, "sourceDestCheck", XML_MAY, &ret->source_dest_check);
	(void)xml_ip(in, item, "privateIpAddress", XML_MAY, &ret->primary4);
	parse_addr4(in, item, ret);
	parse_cidrs(in, item, "ipv4PrefixSet", "ipv4Prefix", AF_INET, ret->prefix4, &ret->n_prefix4);
	parse_ips(in, item, "ipv6AddressesSet", "ipv6Address", AF_INET6, ret->addr6, &ret->n_addr6);
	parse_cidrs(in, item, "ipv6PrefixSet", "ipv6Prefix", AF_INET6, ret->prefix6, &ret->n_prefix6);
	parse_groups(in, item, ret);
	parse_attachment(in, item, ret);
	parse_tags(in, item, ret);
}

/* An associated block of a <...CidrBlockAssociationSet>; @state: the element around <state>. */
static bool is_associated(const struct xml_node *item, const char *state)
{
	const char *text = xml_text(xml_child(xml_child(item, state), "state"));

	return !text || !strcmp(text, "associated");
}

/* the tags by which aws-node chooses subnets */
static void subnet_tag(struct ec2_subnet *s, const char *key, const char *value)
{
	static const char role[] = "kubernetes.io/role/cni", cluster[] = "cni.networking.k8s.aws/cluster/";

	if (!strcmp(key, role)) {
		s->cni_excluded = !strcmp(value, "0");
		s->cni_tag = !s->cni_excluded;
	} else if (!strncmp(key, cluster, strlen(cluster))) {
		if (s->n_clusters < EC2_SUBNET_CLUSTERS)
			(void)snprintf(s->clusters[s->n_clusters], sizeof(s->clusters[0]), "%s",
				       key + strlen(cluster));
		s->n_clusters++;
	}
}

void ec2_parse_subnet(struct xml_in *in, const struct xml_node *item, struct ec2_subnet *ret)
{
	(void)xml_str(in, item, "subnetId", XML_NEED, ret->id, sizeof(ret->id));
	(void)xml_str(in, item, "vpcId", XML_NEED, ret->vpc_id, sizeof(ret->vpc_id));
	(void)xml_str(in, item, "availabilityZone", XML_MAY, ret->az, sizeof(ret->az));
	if (xml_cidr(in, item, "cidrBlock", XML_MAY, &ret->cidr4))
		(void)is_block(in, item, &ret->cidr4, AF_INET);
	(void)xml_u32(in, item, "availableIpAddressCount", XML_NEED, UINT32_MAX, &ret->free4);
	for (const struct xml_node *i = first_item(item, "ipv6CidrBlockAssociationSet"); i; i = xml_next(i)) {
		if (is_associated(i, "ipv6CidrBlockState") &&
		    xml_cidr(in, i, "ipv6CidrBlock", XML_NEED, &ret->cidr6))
			(void)is_block(in, i, &ret->cidr6, AF_INET6);
	}
	for (const struct xml_node *i = first_item(item, "tagSet"); i; i = xml_next(i)) {
		const char *key = xml_text(xml_child(i, "key")), *value = xml_text(xml_child(i, "value"));

		if (key && value)
			subnet_tag(ret, key, value);
	}
}

void ec2_parse_limits(struct xml_in *in, const struct xml_node *item, struct ec2_limits *ret)
{
	const struct xml_node *net = xml_child(item, "networkInfo");
	char hypervisor[16] = "";

	(void)xml_str(in, item, "instanceType", XML_NEED, ret->type, sizeof(ret->type));
	(void)xml_bool(in, item, "bareMetal", XML_MAY, &ret->bare_metal);
	(void)xml_str(in, item, "hypervisor", XML_MAY, hypervisor, sizeof(hypervisor));
	ret->nitro = ret->bare_metal || !strcmp(hypervisor, "nitro");
	(void)xml_u32(in, net, "maximumNetworkInterfaces", XML_NEED, 1024, &ret->max_enis);
	(void)xml_u32(in, net, "ipv4AddressesPerInterface", XML_NEED, 1024, &ret->ipv4_per_eni);
	(void)xml_u32(in, net, "ipv6AddressesPerInterface", XML_MAY, 1024, &ret->ipv6_per_eni);
	(void)xml_bool(in, net, "ipv6Supported", XML_MAY, &ret->ipv6);
	for (const struct xml_node *i = first_item(net, "networkCards"); i && in->r == 0; i = xml_next(i)) {
		uint32_t index = 0, enis = 0;

		if (!xml_u32(in, i, "networkCardIndex", XML_NEED, EC2_MAX_CARDS - 1, &index) ||
		    !xml_u32(in, i, "maximumNetworkInterfaces", XML_NEED, 1024, &enis))
			return;
		ret->card_enis[index] = enis;
		if (index >= ret->n_cards)
			ret->n_cards = index + 1;
	}
	if (!ret->n_cards) { /* the list is left out where there is one card */
		ret->n_cards = 1;
		ret->card_enis[0] = ret->max_enis;
	}
}

static void vpc_blocks(struct xml_in *in, const struct xml_node *item, const char *set, const char *state,
		       const char *member, int family, struct ec2_vpc *ret)
{
	for (const struct xml_node *i = first_item(item, set); i && in->r == 0; i = xml_next(i)) {
		struct vw_cidr *c = &ret->cidrs[ret->n_cidrs];

		if (is_associated(i, state) && has_room(in, i, set, ret->n_cidrs, EC2_MAX_VPC_CIDRS) &&
		    xml_cidr(in, i, member, XML_NEED, c) && is_block(in, i, c, family))
			ret->n_cidrs++;
	}
}

void ec2_parse_vpc(struct xml_in *in, const struct xml_node *item, struct ec2_vpc *ret)
{
	(void)xml_str(in, item, "vpcId", XML_NEED, ret->id, sizeof(ret->id));
	vpc_blocks(in, item, "cidrBlockAssociationSet", "cidrBlockState", "cidrBlock", AF_INET, ret);
	if (!ret->n_cidrs && xml_cidr(in, item, "cidrBlock", XML_NEED, &ret->cidrs[0]) &&
	    is_block(in, item, &ret->cidrs[0], AF_INET))
		ret->n_cidrs = 1;
	vpc_blocks(in, item, "ipv6CidrBlockAssociationSet", "ipv6CidrBlockState", "ipv6CidrBlock", AF_INET6,
		   ret);
}

/* ---- what the structs own ---- */

void ec2_eni_done(struct ec2_eni *eni)
{
	for (size_t i = 0; i < eni->n_tags; i++) {
		free(eni->tags[i].key);
		free(eni->tags[i].value);
	}
	free(eni->tags);
	*eni = (struct ec2_eni){ 0 };
}

void ec2_enis_done(struct ec2_enis *l)
{
	for (size_t i = 0; i < l->n; i++)
		ec2_eni_done(&l->v[i]);
	free(l->v);
	*l = (struct ec2_enis){ 0 };
}

void ec2_subnets_done(struct ec2_subnets *l)
{
	free(l->v);
	*l = (struct ec2_subnets){ 0 };
}

const char *ec2_eni_tag(const struct ec2_eni *eni, const char *key)
{
	for (size_t i = 0; i < eni->n_tags; i++) {
		if (!strcmp(eni->tags[i].key, key))
			return eni->tags[i].value;
	}
	return NULL;
}
