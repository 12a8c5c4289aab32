/*
 * EC2's answers. The first byte chooses the reader, the rest is the document. Nothing may be read past the
 * end, leak, or be accepted with a list longer than its struct or a block with host bits.
 */
#include "daemon/ec2_priv.h"
#include "lib/base/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_eni(const struct ec2_eni *e)
{
	if (e->n_addr4 > EC2_MAX_ADDRS || e->n_prefix4 > EC2_MAX_ADDRS || e->n_addr6 > EC2_MAX_ADDRS ||
	    e->n_prefix6 > EC2_MAX_ADDRS || e->n_groups > EC2_MAX_GROUPS || !e->id[0] ||
	    strlen(e->id) >= EC2_ID_LEN)
		abort();
	for (size_t i = 0; i < e->n_prefix4; i++) {
		if (e->prefix4[i].ip.family != AF_INET || !vw_cidr_is_masked(&e->prefix4[i]))
			abort();
	}
}

static void read_items(char reader, struct xml_in *in, const struct xml_node *item)
{
	struct ec2_assigned assigned = { .n = 0 };
	struct ec2_subnet subnet = { 0 };
	struct ec2_limits limits = { 0 };
	struct ec2_eni eni = { 0 };
	struct ec2_vpc vpc = { 0 };

	switch (reader) {
	case 's':
		ec2_parse_subnet(in, item, &subnet);
		break;
	case 't':
		ec2_parse_limits(in, item, &limits);
		if (in->r == 0 && (limits.n_cards < 1 || limits.n_cards > EC2_MAX_CARDS))
			abort();
		break;
	case 'v':
		ec2_parse_vpc(in, item, &vpc);
		if (in->r == 0 && (vpc.n_cidrs < 1 || vpc.n_cidrs > EC2_MAX_VPC_CIDRS))
			abort();
		break;
	case 'a':
		ec2_parse_cidr_set(in, item, "assignedIpv4PrefixSet", "ipv4Prefix", AF_INET, &assigned);
		ec2_parse_cidr_set(in, item, "assignedIpv6Addresses", NULL, AF_INET6, &assigned);
		break;
	default:
		ec2_parse_eni(in, item, &eni);
		if (in->r == 0)
			check_eni(&eni);
		ec2_eni_done(&eni);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vw_auto_xml struct xml_doc *doc = NULL;
	const char *text = (const char *)data + 1;
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_error e = { 0 };
	char message[256];

	if (size < 1)
		return 0;
	if (ec2_parse_error(text, size - 1, &e, message, sizeof(message)) == 0)
		(void)ec2_error_fill(&e, ec2_fail_of(400, e.code, message), EC2_CREATE_TAGS, message);
	if (xml_parse(text, size - 1, "input", &doc, &err) < 0)
		return 0;
	read_items((char)data[0], &in, xml_root(doc));
	if (in.r < 0 && (!err.msg[0] || !err.eno))
		abort();
	return 0;
}
