/* EC2's answers, codes, buckets and counters: everything of daemon/ec2* that needs no server. */
#include "daemon/backoff.h"
#include "daemon/ec2_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/file.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static struct xml_doc *load(const char *name, struct vw_buf *text)
{
	struct xml_doc *d = NULL;
	struct vw_err err = { 0 };
	char path[128];

	(void)snprintf(path, sizeof(path), "tests/unit/fixtures/ec2/%s.xml", name);
	assert_int_equal(vw_read_file(path, 1 << 20, text, &err), 0);
	assert_int_equal(xml_parse(text->data, text->len, name, &d, &err), 0);
	return d;
}

static const struct xml_node *item_of(const struct xml_doc *d, const char *set)
{
	const struct xml_node *item = xml_child(xml_child(xml_root(d), set), "item");

	assert_non_null(item);
	return item;
}

static void test_enis(void **state)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	vw_auto_xml struct xml_doc *d = load("describe_network_interfaces", &text);
	const struct xml_node *item = item_of(d, "networkInterfaceSet");
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_eni e = { 0 };
	char s[VW_CIDR_STRLEN];

	ec2_parse_eni(&in, item, &e);
	assert_int_equal(in.r, 0);
	assert_string_equal(e.id, "eni-0f62866a7d3c1a2b4");
	assert_string_equal(e.subnet_id, "subnet-0b61c7d1a9a5d1b1c");
	assert_string_equal(e.vpc_id, "vpc-02cd3c6a5b8a0e5d1");
	assert_string_equal(e.az, "eu-north-1a");
	assert_string_equal(e.type, "interface");
	assert_string_equal(e.description, "aws-K8S-i-0a1b2c3d4e5f60718");
	assert_string_equal(vw_mac_str(&e.mac, s), "02:81:60:cb:27:37");
	assert_int_equal(e.status, EC2_ENI_IN_USE);
	assert_true(e.source_dest_check);
	assert_string_equal(vw_ip_str(&e.primary4, s), "10.0.0.146");
	assert_int_equal(e.n_addr4, 2);
	assert_string_equal(vw_ip_str(&e.addr4[0], s), "10.0.0.148");
	assert_string_equal(vw_ip_str(&e.addr4[1], s), "10.0.0.150");
	assert_int_equal(e.n_prefix4, 1);
	assert_string_equal(vw_cidr_str(&e.prefix4[0], s), "10.0.0.32/28");
	assert_int_equal(e.n_addr6, 1);
	assert_string_equal(vw_ip_str(&e.addr6[0], s), "2001:db8:1234:1a00::9");
	assert_int_equal(e.n_prefix6, 1);
	assert_string_equal(vw_cidr_str(&e.prefix6[0], s), "2001:db8:1234:1a00:a::/80");
	assert_int_equal(e.n_groups, 2);
	assert_string_equal(e.groups[1], "sg-0aa11bb22cc33dd44");
	assert_int_equal(e.attachment.status, EC2_ATTACHED);
	assert_string_equal(e.attachment.id, "eni-attach-0e12d8b9f8d6a1c11");
	assert_string_equal(e.attachment.instance_id, "i-0a1b2c3d4e5f60718");
	assert_int_equal(e.attachment.device, 1);
	assert_true(e.attachment.delete_on_termination);
	assert_string_equal(ec2_eni_tag(&e, "node.k8s.amazonaws.com/instance_id"), "i-0a1b2c3d4e5f60718");
	assert_string_equal(ec2_eni_tag(&e, "empty"), "");
	assert_null(ec2_eni_tag(&e, "absent"));
	ec2_eni_done(&e);

	ec2_parse_eni(&in, xml_next(item), &e);
	assert_int_equal(in.r, 0);
	assert_int_equal(e.status, EC2_ENI_AVAILABLE);
	assert_int_equal(e.attachment.status, EC2_NOT_ATTACHED);
	assert_string_equal(e.type, "efa");
	assert_int_equal(e.n_addr4 + e.n_prefix4 + e.n_addr6 + e.n_prefix6 + e.n_groups + e.n_tags, 0);
	ec2_eni_done(&e);
}

static void expect_bad_eni(const char *xml, const char *message)
{
	vw_auto_xml struct xml_doc *d = NULL;
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_eni e = { 0 };

	assert_int_equal(xml_parse(xml, strlen(xml), "test", &d, &err), 0);
	ec2_parse_eni(&in, xml_root(d), &e);
	assert_int_equal(in.r, -EBADMSG);
	assert_non_null(strstr(err.msg, message));
	ec2_eni_done(&e);
}

#define ENI(more)                                                                                            \
	"<item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>s</subnetId><vpcId>v</vpcId>"         \
	"<macAddress>02:00:00:00:00:01</macAddress><status>in-use</status>" more "</item>"

static void test_bad_enis(void **state)
{
	vw_auto_buf struct vw_buf many = VW_BUF_INIT;

	expect_bad_eni("<item/>", "<networkInterfaceId> is missing");
	expect_bad_eni("<item><networkInterfaceId>eni-1</networkInterfaceId></item>",
		       "<subnetId> is missing");
	expect_bad_eni(ENI("<privateIpAddress>x</privateIpAddress>"), "not an address");
	expect_bad_eni(ENI("<ipv4PrefixSet><item/></ipv4PrefixSet>"), "<ipv4Prefix> is missing");
	expect_bad_eni(
		ENI("<ipv4PrefixSet><item><ipv4Prefix>10.0.0.1/28</ipv4Prefix></item></ipv4PrefixSet>"),
		"host bits");
	expect_bad_eni(
		ENI("<ipv4PrefixSet><item><ipv4Prefix>2001:db8::/80</ipv4Prefix></item></ipv4PrefixSet>"),
		"other family");
	expect_bad_eni(
		ENI("<ipv6AddressesSet><item><ipv6Address>10.0.0.1</ipv6Address></item></ipv6AddressesSet>"),
		"other address family");
	expect_bad_eni(
		ENI("<attachment><attachmentId>a</attachmentId><deviceIndex>x</deviceIndex></attachment>"),
		"deviceIndex");
	expect_bad_eni(ENI("<tagSet><item><value>v</value></item></tagSet>"), "tag without a key");
	vw_buf_puts(
		&many,
		"<item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>s</subnetId><vpcId>v</vpcId>"
		"<macAddress>02:00:00:00:00:01</macAddress><status>in-use</status><privateIpAddressesSet>");
	for (unsigned int i = 0; i <= EC2_MAX_ADDRS; i++)
		vw_buf_printf(&many, "<item><privateIpAddress>10.0.0.%u</privateIpAddress></item>", i);
	vw_buf_puts(&many, "</privateIpAddressesSet></item>");
	expect_bad_eni(vw_buf_str(&many), "more than 64 entries");
}

static void test_created(void **state)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	vw_auto_xml struct xml_doc *d = load("create_network_interface", &text);
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_eni e = { 0 };

	ec2_parse_eni(&in, xml_child(xml_root(d), "networkInterface"), &e);
	assert_int_equal(in.r, 0);
	assert_string_equal(e.id, "eni-0cd0a8d2e9b7c6d51");
	assert_int_equal(e.n_prefix4, 2);
	assert_int_equal(e.n_addr4, 0);
	ec2_eni_done(&e);
}

static void test_limits(void **state)
{
	static const char small[] = "<item><instanceType>t2.micro</instanceType><hypervisor>xen</"
				    "hypervisor><networkInfo><maximumNetworkInterfaces>2"
				    "</maximumNetworkInterfaces><ipv4AddressesPerInterface>2</"
				    "ipv4AddressesPerInterface></networkInfo></item>";
	static const char bad[] = "<item><instanceType>t2.micro</instanceType></item>";
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	vw_auto_xml struct xml_doc *d = load("describe_instance_types", &text), *d2 = NULL, *d3 = NULL;
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_limits l = { 0 }, l2 = { 0 }, l3 = { 0 };

	ec2_parse_limits(&in, item_of(d, "instanceTypeSet"), &l);
	assert_int_equal(in.r, 0);
	assert_string_equal(l.type, "p4d.24xlarge");
	assert_int_equal(l.max_enis, 60);
	assert_int_equal(l.ipv4_per_eni, 50);
	assert_int_equal(l.ipv6_per_eni, 49);
	assert_true(l.ipv6 && l.nitro && !l.bare_metal);
	assert_int_equal(l.n_cards, 4);
	assert_int_equal(l.card_enis[0], 15);
	assert_int_equal(l.card_enis[3], 14);

	assert_int_equal(xml_parse(small, strlen(small), "test", &d2, &err), 0);
	ec2_parse_limits(&in, xml_root(d2), &l2);
	assert_int_equal(in.r, 0);
	assert_true(!l2.nitro && !l2.ipv6);
	assert_int_equal(l2.n_cards, 1);
	assert_int_equal(l2.card_enis[0], 2);

	assert_int_equal(xml_parse(bad, strlen(bad), "test", &d3, &err), 0);
	ec2_parse_limits(&in, xml_root(d3), &l3);
	assert_int_equal(in.r, -EBADMSG);
}

static void test_subnets_and_vpc(void **state)
{
	vw_auto_buf struct vw_buf t1 = VW_BUF_INIT, t2 = VW_BUF_INIT;
	vw_auto_xml struct xml_doc *d1 = load("describe_subnets", &t1), *d2 = load("describe_vpcs", &t2);
	const struct xml_node *item = item_of(d1, "subnetSet");
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_subnet a = { 0 }, b = { 0 };
	struct ec2_vpc v = { 0 };
	char s[VW_CIDR_STRLEN];

	ec2_parse_subnet(&in, item, &a);
	ec2_parse_subnet(&in, xml_next(item), &b);
	assert_int_equal(in.r, 0);
	assert_string_equal(a.id, "subnet-9d4a7b6c");
	assert_string_equal(vw_cidr_str(&a.cidr4, s), "10.0.1.0/24");
	assert_string_equal(vw_cidr_str(&a.cidr6, s), "2001:db8:1234:1a01::/64");
	assert_int_equal(a.free4, 251);
	assert_true(a.cni_tag);
	assert_int_equal(b.free4, 0);
	assert_int_equal(b.cidr6.ip.family, 0);
	assert_false(b.cni_tag);

	ec2_parse_vpc(&in, item_of(d2, "vpcSet"), &v);
	assert_int_equal(in.r, 0);
	assert_int_equal(v.n_cidrs, 3);
	assert_string_equal(vw_cidr_str(&v.cidrs[1], s), "100.64.0.0/16");
	assert_string_equal(vw_cidr_str(&v.cidrs[2], s), "2001:db8:1234:1a00::/56");
}

static void test_assigned(void **state)
{
	static const char xml[] =
		"<r><assignedIpv6Addresses><item>2001:db8::1</item><item>2001:db8::2</item></"
		"assignedIpv6Addresses>"
		"<a4><item><p>10.0.0.16/28</p></item></a4><bad><item>hello</item></bad></r>";
	vw_auto_xml struct xml_doc *d = NULL;
	struct vw_err err = { 0 };
	struct xml_in in = { .err = &err };
	struct ec2_assigned a = { .n = 0 };
	char s[VW_CIDR_STRLEN];

	assert_int_equal(xml_parse(xml, strlen(xml), "test", &d, &err), 0);
	ec2_parse_cidr_set(&in, xml_root(d), "assignedIpv6Addresses", NULL, AF_INET6, &a);
	ec2_parse_cidr_set(&in, xml_root(d), "absent", NULL, AF_INET6, &a);
	ec2_parse_cidr_set(&in, xml_root(d), "a4", "p", AF_INET, &a);
	assert_int_equal(in.r, 0);
	assert_int_equal(a.n, 3);
	assert_string_equal(vw_cidr_str(&a.v[1], s), "2001:db8::2/128");
	assert_string_equal(vw_cidr_str(&a.v[2], s), "10.0.0.16/28");
	ec2_parse_cidr_set(&in, xml_root(d), "bad", NULL, AF_INET6, &a);
	assert_int_equal(in.r, -EBADMSG);
}

static void test_codes(void **state)
{
	static const struct {
		int status;
		const char *code, *message;
		enum ec2_fail kind;
	} cases[] = {
		{ 503, "RequestLimitExceeded", "Request limit exceeded.", EC2_THROTTLED },
		{ 400, "Throttling", "", EC2_THROTTLED },
		{ 429, "http-429", "", EC2_THROTTLED },
		{ 400, "InsufficientCidrBlocks", "", EC2_SUBNET_NO_PREFIX },
		{ 400, "InvalidParameterValue", "There aren't sufficient free Ipv4 addresses or prefixes",
		  EC2_SUBNET_NO_PREFIX },
		{ 400, "InsufficientFreeAddressesInSubnet", "", EC2_SUBNET_NO_ADDRESS },
		{ 400, "PrivateIpAddressLimitExceeded", "", EC2_ENI_IP_LIMIT },
		{ 400, "AttachmentLimitExceeded", "", EC2_ATTACH_LIMIT },
		{ 400, "NetworkInterfaceLimitExceeded", "", EC2_ATTACH_LIMIT },
		{ 400, "InvalidParameterValue",
		  "Instance 'i-1' already has an interface attached at device index '1'.",
		  EC2_DEVICE_IN_USE },
		{ 400, "InvalidParameterValue", "Invalid value 'x' for subnetId", EC2_INVALID },
		{ 400, "InvalidNetworkInterfaceID.NotFound", "", EC2_NOT_FOUND },
		{ 400, "InvalidAttachmentID.NotFound", "", EC2_NOT_FOUND },
		{ 400, "InvalidNetworkInterface.InUse", "", EC2_IN_USE },
		{ 400, "IncorrectState", "", EC2_IN_USE },
		{ 403, "UnauthorizedOperation", "", EC2_UNAUTHORIZED },
		{ 401, "AuthFailure", "AWS was not able to validate the provided access credentials",
		  EC2_CLOCK_SKEW },
		{ 403, "InvalidClientTokenId", "", EC2_EXPIRED_CREDS },
		{ 400, "ExpiredToken", "", EC2_EXPIRED_CREDS },
		{ 400, "RequestExpired", "Request has expired.", EC2_CLOCK_SKEW },
		{ 403, "SignatureDoesNotMatch", "Signature not yet current: 1 is still later than 2",
		  EC2_CLOCK_SKEW },
		{ 403, "SignatureDoesNotMatch", "The request signature we calculated does not match",
		  EC2_UNAUTHORIZED },
		{ 400, "IdempotentParameterMismatch", "", EC2_TOKEN_REUSED },
		{ 500, "InternalError", "", EC2_TRANSIENT },
		{ 503, "Unavailable", "", EC2_TRANSIENT },
		{ 502, "http-502", "", EC2_TRANSIENT },
		{ 400, "MissingParameter", "", EC2_INVALID },
		{ 400, "InvalidParameterCombination", "", EC2_INVALID },
		{ 400, "SomethingNew", "", EC2_INVALID },
		{ 403, "SomethingNew", "", EC2_UNAUTHORIZED },
		{ 302, "http-302", "", EC2_PROTOCOL },
	};

	for (size_t i = 0; i < VW_ARRAY_SIZE(cases); i++)
		assert_int_equal(ec2_fail_of(cases[i].status, cases[i].code, cases[i].message),
				 cases[i].kind);
	for (int k = 0; k < EC2_N_FAILS; k++)
		assert_true(strlen(ec2_fail_name((enum ec2_fail)k)) > 1);
}

static void test_sentences(void **state)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	struct ec2_error e = { 0 };
	struct vw_err err;
	char message[1024];

	assert_int_equal(vw_read_file("tests/unit/fixtures/ec2/error.xml", 1 << 20, &text, &err), 0);
	assert_int_equal(ec2_parse_error(text.data, text.len, &e, message, sizeof(message)), 0);
	assert_string_equal(e.code, "UnauthorizedOperation");
	assert_string_equal(e.request_id, "4ab8a3f1-2b1d-4a0c-8a0c-EXAMPLE");
	assert_int_equal(ec2_error_fill(&e, EC2_UNAUTHORIZED, EC2_CREATE_NETWORK_INTERFACE, message),
			 -EACCES);
	assert_memory_equal(e.why.msg,
			    "CreateNetworkInterface: not allowed (UnauthorizedOperation); grant "
			    "ec2:CreateTags to the role "
			    "that vpcwired runs with: ",
			    118);
	(void)ec2_error_fill(&e, EC2_UNAUTHORIZED, EC2_ATTACH_NETWORK_INTERFACE,
			     "You are not authorized to perform this operation.");
	assert_non_null(strstr(e.why.msg, "grant ec2:AttachNetworkInterface to"));
	e.code[0] = 0;
	(void)ec2_error_fill(&e, EC2_TRANSIENT, EC2_DESCRIBE_SUBNETS, "");
	assert_string_equal(e.why.msg, "DescribeSubnets: EC2 cannot be reached or has a failure of its own; "
				       "tried again later; check the "
				       "route to its endpoint if it goes on");
	assert_int_equal(e.why.cni, VW_CNI_TRY_AGAIN);
	assert_int_equal(ec2_parse_error("<html/>", 7, &e, message, sizeof(message)), -EBADMSG);
	assert_int_equal(ec2_parse_error("Service Unavailable", 19, &e, message, sizeof(message)), -EBADMSG);
}

static void test_bucket(void **state)
{
	const struct ec2_rate rate = { .burst = 3, .per_s = 2 };
	struct ec2_bucket b = { 0 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(ec2_bucket_take(&b, &rate, 1000), 0);
	assert_in_range(ec2_bucket_take(&b, &rate, 1000), 500, 501);
	assert_in_range(ec2_bucket_take(&b, &rate, 1250), 250, 251);
	assert_int_equal(ec2_bucket_take(&b, &rate, 1501), 0);
	assert_true(ec2_bucket_take(&b, &rate, 1501) > 0);
	/* never more than the burst, however long it was left alone */
	for (int i = 0; i < 3; i++)
		assert_int_equal(ec2_bucket_take(&b, &rate, 1000000), 0);
	assert_true(ec2_bucket_take(&b, &rate, 1000000) > 0);
	assert_int_equal(ec2_bucket_take(&b, &rate, 1002000), 0);
	ec2_bucket_empty(&b, 1002000);
	assert_in_range(ec2_bucket_take(&b, &rate, 1002000), 500, 501);
	/* a clock that goes back gives nothing away */
	assert_true(ec2_bucket_take(&b, &rate, 5) > 0);
}

static void test_backoff(void **state)
{
	static const uint64_t caps[] = { 200, 400, 800, 1600, 3200, 5000, 5000 };

	for (unsigned int i = 0; i < VW_ARRAY_SIZE(caps); i++) {
		assert_int_equal(backoff_ms(i + 1, 200, 5000, UINT32_MAX), caps[i]);
		assert_int_equal(backoff_ms(i + 1, 200, 5000, 0), 0);
		assert_in_range(backoff_ms(i + 1, 200, 5000, UINT32_MAX / 2), caps[i] / 2 - 1, caps[i] / 2);
	}
	assert_int_equal(backoff_ms(1000000, 200, 20000, UINT32_MAX), 20000);
}

static void test_counters(void **state)
{
	static struct ec2_counters c;
	char code[32];
	uint64_t n = 0;

	ec2_count(&c, "A", "ok", 5);
	ec2_count(&c, "A", "ok", 7);
	ec2_count(&c, "B", "ok", 1);
	ec2_count(&c, "A", "RequestLimitExceeded", 2);
	assert_int_equal(c.n, 3);
	assert_int_equal(c.v[0].n, 2);
	assert_int_equal(c.v[0].total_ms, 12);
	/* codes come from outside: the table stays as large as it is and loses no request */
	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(code, sizeof(code), "code-%u", i);
		ec2_count(&c, "A", code, 1);
	}
	assert_int_equal(c.n, EC2_MAX_COUNTERS);
	for (size_t i = 0; i < c.n; i++)
		n += c.v[i].n;
	assert_int_equal(n, 1004);
	assert_string_equal(c.v[EC2_MAX_COUNTERS - 1].code, "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enis),
		cmocka_unit_test(test_bad_enis),
		cmocka_unit_test(test_created),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_subnets_and_vpc),
		cmocka_unit_test(test_assigned),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_counters),
	};

	xml_init_process();
	return cmocka_run_group_tests_name("ec2_parse", tests, NULL, NULL);
}
