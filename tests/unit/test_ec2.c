/* The typed calls of daemon/ec2.h against a script: what they send, and what they do when the answer does not
 * come. */
#include "daemon/creds.h"
#include "daemon/ec2.h"
#include "daemon/http.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/parse.h"
#include "tests/unit/cm.h"
#include "tests/unit/ec2_fixture.h"
#include "tests/unit/scripted_http.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ENI(inside)                                                                                          \
	"<item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>s</subnetId><vpcId>v</vpcId>"         \
	"<macAddress>02:00:00:00:00:01</macAddress><status>in-use</status>" inside "</item>"
#define ENIS(items)                                                                                          \
	"<DescribeNetworkInterfacesResponse><networkInterfaceSet>" items                                     \
	"</networkInterfaceSet></DescribeNetworkInterfacesResponse>"
#define ATTACHED(instance, device)                                                                           \
	"<attachment><attachmentId>eni-attach-1</attachmentId><instanceId>" instance                         \
	"</instanceId><deviceIndex>" device "</deviceIndex><status>attaching</status></attachment>"
#define CREATED                                                                                              \
	"<CreateNetworkInterfaceResponse><networkInterface><networkInterfaceId>eni-1</"                      \
	"networkInterfaceId><subnetId>s</subnetId>"                                                          \
	"<vpcId>v</vpcId><macAddress>02:00:00:00:00:01</macAddress><status>pending</"                        \
	"status><tagSet><item><key>k</key><value>v</value>"                                                  \
	"</item></tagSet></networkInterface></CreateNetworkInterfaceResponse>"
#define ATTACH_OK                                                                                            \
	"<AttachNetworkInterfaceResponse><attachmentId>eni-attach-9</attachmentId></"                        \
	"AttachNetworkInterfaceResponse>"

static void test_create(void **state)
{
	static const struct scripted_step steps[] = { { 200, CREATED } };
	static const char *const groups[] = { "sg-1", "sg-2" };
	static const struct ec2_kv tags[] = { { "node.k8s.amazonaws.com/instance_id", "i-me" },
					      { "a b", "1&2=3" } };
	const struct ec2_create what = {
		.subnet_id = "subnet-1",
		.groups = groups,
		.n_groups = 2,
		.description = "aws-K8S-i-me",
		.n_prefixes = 2,
		.tags = tags,
		.n_tags = 2,
		.token = "tok-1",
	};
	struct ec2_eni eni = { 0 };
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_create_eni(f.ec2, ec2_fx_in(&f, 30000), &what, &eni, &err), 0);
	assert_string_equal(eni.id, "eni-1");
	assert_string_equal(ec2_eni_tag(&eni, "k"), "v");
	ec2_fx_expect_form(
		&f, 0,
		"Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=subnet-1&SecurityGroupId.1=sg-"
		"1&SecurityGroupId.2=sg-2"
		"&Description=aws-K8S-i-me&Ipv4PrefixCount=2&TagSpecification.1.ResourceType=network-"
		"interface"
		"&TagSpecification.1.Tag.1.Key=node.k8s.amazonaws.com%2Finstance_id&TagSpecification.1."
		"Tag.1.Value=i-me"
		"&TagSpecification.1.Tag.2.Key=a%20b&TagSpecification.1.Tag.2.Value=1%262%3D3&"
		"ClientToken=tok-1");
	assert_int_equal(ec2_fx_counted(&f, "CreateNetworkInterface", "ok"), 1);
	ec2_eni_done(&eni);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

/* No answer, half an answer: the same request again, because of its ClientToken. */
static void test_create_unknown(void **state)
{
	static const struct scripted_step steps[] = {
		{ .how = SCRIPTED_DROP },
		{ .how = SCRIPTED_CUT, .status = 200, .body = CREATED },
		{ 200, "<CreateNetworkInterfaceResponse><networkInterface><networkInterfaceId>eni-1" },
		{ 200, CREATED },
	};
	const struct ec2_create what = { .subnet_id = "subnet-1", .token = "tok-1" };
	struct ec2_eni eni = { 0 };
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_create_eni(f.ec2, ec2_fx_in(&f, 30000), &what, &eni, &err), 0);
	assert_string_equal(eni.id, "eni-1");
	for (size_t i = 0; i < 4; i++)
		ec2_fx_expect_form(
			&f, i,
			"Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=subnet-1&ClientToken="
			"tok-1");
	assert_int_equal(f.n_waits, 3);
	assert_int_equal(f.waits[0], 200);
	assert_int_equal(f.waits[1], 400);
	assert_int_equal(f.waits[2], 800);
	assert_int_equal(ec2_fx_counted(&f, "CreateNetworkInterface", "no-answer"), 2);
	assert_int_equal(ec2_fx_counted(&f, "CreateNetworkInterface", "bad-answer"), 1);
	ec2_eni_done(&eni);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_create_gives_up(void **state)
{
	static const struct scripted_step steps[] = {
		{ .how = SCRIPTED_DROP },
		{ 500, "" },
		{ 500, EC2_FX_ERROR("InternalError", "x") },
		{ 503, "" },
		{ 500, "" },
		/* and when what is missing is not the end of the text, another try would not help */
		{ 200, "<CreateNetworkInterfaceResponse/>" },
		{ 200, "<SomethingElse/>" },
	};
	const struct ec2_create what = { .subnet_id = "subnet-1", .token = "tok-1" },
				no_token = { .subnet_id = "subnet-1" };
	struct ec2_eni eni = { 0 };
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_create_eni(f.ec2, ec2_fx_in(&f, 60000), &what, &eni, &err), -EAGAIN);
	assert_int_equal(err.kind, EC2_TRANSIENT);
	assert_true(err.unknown);
	assert_int_equal(err.http_status, 500);
	assert_int_equal(ec2_create_eni(f.ec2, ec2_fx_in(&f, 60000), &what, &eni, &err), -EBADMSG);
	assert_int_equal(err.kind, EC2_PROTOCOL);
	assert_true(err.unknown);
	assert_non_null(strstr(err.why.msg, "<networkInterface> is missing"));
	assert_int_equal(ec2_create_eni(f.ec2, ec2_fx_in(&f, 60000), &what, &eni, &err), -EBADMSG);
	assert_int_equal(ec2_create_eni(f.ec2, ec2_fx_in(&f, 60000), &no_token, &eni, &err), -EINVAL);
	assert_int_equal(err.kind, EC2_INVALID);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_attach(void **state)
{
	static const struct scripted_step steps[] = {
		/* plain, after a moment in which EC2 did not know the new interface */
		{ 400, EC2_FX_ERROR("InvalidNetworkInterfaceID.NotFound", "x") },
		{ 200, ATTACH_OK },
		/* no answer, but it happened */
		{ .how = SCRIPTED_DROP },
		{ 200, ENIS(ENI(ATTACHED("i-me", "2"))) },
		/* no answer, and it did not happen: once more */
		{ .how = SCRIPTED_DROP },
		{ 200, ENIS(ENI("")) },
		{ 200, ATTACH_OK },
		/* somebody attached it already, here */
		{ 400, EC2_FX_ERROR("InvalidNetworkInterface.InUse", "x") },
		{ 200, ENIS(ENI(ATTACHED("i-me", "2"))) },
		/* or elsewhere */
		{ 400, EC2_FX_ERROR("InvalidNetworkInterface.InUse", "x") },
		{ 200, ENIS(ENI(ATTACHED("i-you", "2"))) },
		/* the device index is taken */
		{ 400,
		  EC2_FX_ERROR("InvalidParameterValue",
			       "Instance 'i-me' already has an interface attached at device index '2'.") },
		{ 200, ENIS(ENI("")) },
		/* the limit is reached: no look, no repetition */
		{ 400, EC2_FX_ERROR("AttachmentLimitExceeded", "x") },
		/* no answer, and no look either */
		{ .how = SCRIPTED_DROP },
		{ 403, EC2_FX_ERROR("UnauthorizedOperation", "x") },
	};
	char id[EC2_ID_LEN];
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 1, id, &err), 0);
	assert_string_equal(id, "eni-attach-9");
	ec2_fx_expect_form(
		&f, 1,
		"Action=AttachNetworkInterface&Version=2016-11-15&NetworkInterfaceId=eni-1&InstanceId=i-"
		"me&DeviceIndex=2&NetworkCardIndex=1");
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), 0);
	assert_string_equal(id, "eni-attach-1");
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), 0);
	assert_string_equal(id, "eni-attach-9");
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), 0);
	assert_string_equal(id, "eni-attach-1");
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), -EBUSY);
	assert_int_equal(err.kind, EC2_IN_USE);
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), -EBUSY);
	assert_int_equal(err.kind, EC2_DEVICE_IN_USE);
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), -ENOSPC);
	assert_int_equal(err.kind, EC2_ATTACH_LIMIT);
	assert_false(err.unknown);
	assert_int_equal(ec2_attach(f.ec2, ec2_fx_in(&f, 60000), "eni-1", 2, 0, id, &err), -EAGAIN);
	assert_true(err.unknown);
	assert_int_equal(err.kind, EC2_TRANSIENT);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

#define ADDR(a) "<item><privateIpAddress>" a "</privateIpAddress></item>"
#define ASSIGNED(items)                                                                                      \
	"<AssignPrivateIpAddressesResponse><assignedPrivateIpAddressesSet>" items                            \
	"</assignedPrivateIpAddressesSet></AssignPrivateIpAddressesResponse>"
#define HOLDS(items) ENIS(ENI("<privateIpAddressesSet>" items "</privateIpAddressesSet>"))

static void test_assign(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, ASSIGNED(ADDR("10.0.0.5") ADDR("10.0.0.6")) },
		/* no answer; the describe shows one that was not known: it happened */
		{ .how = SCRIPTED_DROP },
		{ 200, HOLDS(ADDR("10.0.0.4") ADDR("10.0.0.7")) },
		/* an answer cut short; nothing new: it did not happen; once more */
		{ 200, "<AssignPrivateIp" },
		{ 200, HOLDS(ADDR("10.0.0.4")) },
		{ 200, ASSIGNED(ADDR("10.0.0.8")) },
		{ 200, "<AssignIpv6AddressesResponse><assignedIpv6PrefixSet><item>2001:db8::/80</item></"
		       "assignedIpv6PrefixSet>"
		       "</AssignIpv6AddressesResponse>" },
		{ 400, EC2_FX_ERROR("InsufficientCidrBlocks", "x") },
		{ 200, ASSIGNED("") },
		{ 200, HOLDS("") },
		{ 200, ASSIGNED("") },
		{ 200, HOLDS("") },
		{ 200, ASSIGNED("") },
		{ 200, HOLDS("") },
	};
	struct ec2_assign what = { .eni_id = "eni-1", .family = AF_INET, .n_addrs = 2 };
	struct ec2_assigned got = { .n = 0 };
	struct vw_cidr known;
	struct ec2_error err;
	struct ec2_fixture f;
	char s[VW_CIDR_STRLEN];

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(vw_cidr_parse("10.0.0.4/32", &known), 0);
	what.known = &known;
	what.n_known = 1;
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), 0);
	assert_int_equal(got.n, 2);
	assert_false(got.unsure);
	assert_string_equal(vw_cidr_str(&got.v[1], s), "10.0.0.6/32");
	ec2_fx_expect_form(&f, 0,
			   "Action=AssignPrivateIpAddresses&Version=2016-11-15&NetworkInterfaceId=eni-1&"
			   "SecondaryPrivateIpAddressCount=2");
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), 0);
	assert_int_equal(got.n, 1);
	assert_string_equal(vw_cidr_str(&got.v[0], s), "10.0.0.7/32");
	assert_true(got.unsure);
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), 0);
	assert_string_equal(vw_cidr_str(&got.v[0], s), "10.0.0.8/32");
	assert_true(got.unsure);        /* sent again: the first may have been carried out all the same */

	what.family = AF_INET6;
	what.n_addrs = 0;
	what.n_prefixes = 1;
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), 0);
	assert_string_equal(vw_cidr_str(&got.v[0], s), "2001:db8::/80");
	ec2_fx_expect_form(
		&f, 6,
		"Action=AssignIpv6Addresses&Version=2016-11-15&NetworkInterfaceId=eni-1&Ipv6PrefixCount=1");
	what.family = AF_INET;
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), -ENOSPC);
	assert_int_equal(err.kind, EC2_SUBNET_NO_PREFIX);
	ec2_fx_expect_form(&f, 7,
			   "Action=AssignPrivateIpAddresses&Version=2016-11-15&NetworkInterfaceId=eni-1&"
			   "Ipv4PrefixCount=1");
	/* an empty answer is not understood, whatever the describes say */
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), -EBADMSG);
	assert_int_equal(err.kind, EC2_PROTOCOL);
	assert_false(err.unknown);
	what.n_addrs = 1;
	assert_int_equal(ec2_assign(f.ec2, ec2_fx_in(&f, 60000), &what, &got, &err), -EINVAL);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_unassign(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, EC2_FX_OK("UnassignPrivateIpAddresses") },
		/* no answer, repeated; refused, because it happened */
		{ .how = SCRIPTED_DROP },
		{ 400, EC2_FX_ERROR("InvalidParameterValue", "not assigned to interface") },
		{ 200, HOLDS("") },
		/* one of two has gone: the other alone */
		{ 400, EC2_FX_ERROR("InvalidParameterValue", "not assigned to interface") },
		{ 200, HOLDS(ADDR("10.0.0.6")) },
		{ 200, EC2_FX_OK("UnassignPrivateIpAddresses") },
		/* both are there: EC2 means something else, or this is old */
		{ 400, EC2_FX_ERROR("InvalidParameterValue", "no") },
		{ 200, HOLDS(ADDR("10.0.0.5") ADDR("10.0.0.6")) },
		/* no answer, and a describe that is old: nobody knows what became of them */
		{ .how = SCRIPTED_DROP },
		{ 400, EC2_FX_ERROR("InvalidParameterValue", "not assigned to interface") },
		{ 200, HOLDS(ADDR("10.0.0.6")) },
		{ 400, EC2_FX_ERROR("InvalidParameterValue", "not assigned to interface") },
		/* the interface is gone */
		{ 400, EC2_FX_ERROR("InvalidNetworkInterfaceID.NotFound", "x") },
		{ 200, EC2_FX_OK("UnassignPrivateIpAddresses") },
		{ 200, EC2_FX_OK("UnassignIpv6Addresses") },
	};
	struct vw_cidr two[2], prefix, mixed[2], six;
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(vw_cidr_parse("10.0.0.5", &two[0]) | vw_cidr_parse("10.0.0.6", &two[1]), 0);
	assert_int_equal(vw_cidr_parse("10.0.0.16/28", &prefix) | vw_cidr_parse("2001:db8::/80", &six), 0);
	mixed[0] = two[0];
	mixed[1] = prefix;
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 2, &err), 0);
	ec2_fx_expect_form(&f, 0,
			   "Action=UnassignPrivateIpAddresses&Version=2016-11-15&NetworkInterfaceId=eni-1&"
			   "PrivateIpAddress.1=10.0.0.5"
			   "&PrivateIpAddress.2=10.0.0.6");
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 2, &err), 0);
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 2, &err), 0);
	ec2_fx_expect_form(&f, 6,
			   "Action=UnassignPrivateIpAddresses&Version=2016-11-15&NetworkInterfaceId=eni-1&"
			   "PrivateIpAddress.1=10.0.0.6");
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 2, &err), -EINVAL);
	assert_true(err.unknown);
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 2, &err), -EINVAL);
	assert_true(err.unknown);
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 2, &err), 0);
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", &prefix, 1, &err), 0);
	ec2_fx_expect_form(&f, 14,
			   "Action=UnassignPrivateIpAddresses&Version=2016-11-15&NetworkInterfaceId=eni-1&"
			   "Ipv4Prefix.1=10.0.0.16%2F28");
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", &six, 1, &err), 0);
	ec2_fx_expect_form(
		&f, 15,
		"Action=UnassignIpv6Addresses&Version=2016-11-15&NetworkInterfaceId=eni-1&Ipv6Prefix.1="
		"2001%3Adb8%3A%3A%2F80");
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", mixed, 2, &err), -EINVAL);
	assert_int_equal(ec2_unassign(f.ec2, ec2_fx_in(&f, 60000), "eni-1", two, 0, &err), -EINVAL);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_gone(void **state)
{
	static const struct scripted_step steps[] = {
		{ 400, EC2_FX_ERROR("InvalidNetworkInterfaceID.NotFound", "x") },
		{ 400, EC2_FX_ERROR("InvalidAttachmentID.NotFound", "x") },
		{ 400, EC2_FX_ERROR("IncorrectState", "detaching") },
		{ 400, EC2_FX_ERROR("InvalidParameterValue", "Network interface is currently in use.") },
		{ 400, EC2_FX_ERROR("OperationNotPermitted", "x") },
		{ 200, EC2_FX_OK("ModifyNetworkInterfaceAttribute") },
	};
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), 0);
	assert_int_equal(ec2_detach(f.ec2, ec2_fx_in(&f, 30000), "a", false, &err), 0);
	assert_int_equal(ec2_detach(f.ec2, ec2_fx_in(&f, 30000), "a", false, &err), 0);
	assert_int_equal(ec2_delete_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &err), -EBUSY);
	assert_int_equal(err.kind, EC2_IN_USE);
	assert_int_equal(ec2_detach(f.ec2, ec2_fx_in(&f, 30000), "a", false, &err), -EBUSY);
	assert_int_equal(ec2_delete_on_termination(f.ec2, ec2_fx_in(&f, 30000), "eni-1", "a", true, &err), 0);
	ec2_fx_expect_form(
		&f, 5,
		"Action=ModifyNetworkInterfaceAttribute&Version=2016-11-15&NetworkInterfaceId=eni-1&"
		"Attachment.AttachmentId=a"
		"&Attachment.DeleteOnTermination=true");
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

#define ENI_N(n)                                                                                             \
	"<item><networkInterfaceId>eni-" n "</networkInterfaceId><subnetId>s</subnetId><vpcId>v</vpcId>"     \
	"<macAddress>02:00:00:00:00:01</macAddress><status>in-use</status></item>"
#define PAGE(items, next)                                                                                    \
	"<DescribeNetworkInterfacesResponse><networkInterfaceSet>" items                                     \
	"</networkInterfaceSet><nextToken>" next "</nextToken></DescribeNetworkInterfacesResponse>"

static void test_pages(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, PAGE(ENI_N("1") ENI_N("2"), "t/1") },
		/* a page that fails half-way is read again and counted once */
		{ 200, "<DescribeNetworkInterfacesResponse><networkInterfaceSet>" ENI_N("3") },
		{ 503, "" },
		{ 200, PAGE(ENI_N("3"), "t2") },
		{ 200, PAGE("", "") },
		/* more than expected */
		{ 200, PAGE(ENI_N("1") ENI_N("2"), "t1") },
		{ 200, PAGE(ENI_N("3"), "") },
	};
	const struct ec2_kv filters[] = { { "attachment.instance-id", "i-me" }, { "tag:a", "b" } };
	struct ec2_find find = { .filters = filters, .n_filters = 2 };
	struct ec2_enis l = { 0 };
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_describe_enis(f.ec2, ec2_fx_in(&f, 60000), &find, &l, &err), 0);
	assert_int_equal(l.n, 3);
	assert_string_equal(l.v[0].id, "eni-1");
	assert_string_equal(l.v[2].id, "eni-3");
	ec2_fx_expect_form(
		&f, 0,
		"Action=DescribeNetworkInterfaces&Version=2016-11-15&Filter.1.Name=attachment.instance-"
		"id&Filter.1.Value.1=i-me"
		"&Filter.2.Name=tag%3Aa&Filter.2.Value.1=b&MaxResults=1000");
	ec2_fx_expect_form(
		&f, 1,
		"Action=DescribeNetworkInterfaces&Version=2016-11-15&Filter.1.Name=attachment.instance-"
		"id&Filter.1.Value.1=i-me"
		"&Filter.2.Name=tag%3Aa&Filter.2.Value.1=b&MaxResults=1000&NextToken=t%2F1");
	ec2_enis_done(&l);
	find.max = 2;
	assert_int_equal(ec2_describe_enis(f.ec2, ec2_fx_in(&f, 60000), &find, &l, &err), -EBADMSG);
	assert_int_equal(err.kind, EC2_PROTOCOL);
	assert_false(err.unknown);
	assert_null(l.v);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_describes(void **state)
{
	static const struct scripted_step steps[] = {
		{ 200, ENIS(ENI("")) },
		{ 200, ENIS("") },
		{ 400, EC2_FX_ERROR("InvalidNetworkInterfaceID.NotFound", "x") },
		{ 200, "<DescribeInstanceTypesResponse><instanceTypeSet><item><instanceType>m5.large</"
		       "instanceType><networkInfo>"
		       "<maximumNetworkInterfaces>3</maximumNetworkInterfaces><ipv4AddressesPerInterface>10</"
		       "ipv4AddressesPerInterface>"
		       "</networkInfo></item></instanceTypeSet></DescribeInstanceTypesResponse>" },
		{ 200, "<DescribeInstanceTypesResponse><instanceTypeSet/></DescribeInstanceTypesResponse>" },
		{ 200, "<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId><cidrBlock>10.0.0.0/16</"
		       "cidrBlock></item></vpcSet>"
		       "</DescribeVpcsResponse>" },
		{ 200, "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-1</subnetId><vpcId>v</"
		       "vpcId><availableIpAddressCount>9"
		       "</availableIpAddressCount></item></subnetSet></DescribeSubnetsResponse>" },
		{ 200, "<DescribeSubnetsResponse/>" },
	};
	static const char *const ids[] = { "subnet-1" };
	const struct ec2_find find = { .ids = ids, .n_ids = 1 };
	struct ec2_subnets subnets = { 0 };
	struct ec2_limits limits;
	struct ec2_eni eni = { 0 };
	struct ec2_vpc vpc;
	struct ec2_error err;
	struct ec2_fixture f;

	ec2_fx_start(&f, steps, VW_ARRAY_SIZE(steps));
	assert_int_equal(ec2_describe_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &eni, &err), 0);
	ec2_fx_expect_form(&f, 0,
			   "Action=DescribeNetworkInterfaces&Version=2016-11-15&NetworkInterfaceId.1=eni-1");
	ec2_eni_done(&eni);
	assert_int_equal(ec2_describe_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &eni, &err), -EBADMSG);
	assert_int_equal(ec2_describe_eni(f.ec2, ec2_fx_in(&f, 30000), "eni-1", &eni, &err), -ENOENT);
	assert_int_equal(err.kind, EC2_NOT_FOUND);
	assert_string_equal(err.request_id, "r-1");
	assert_int_equal(ec2_describe_limits(f.ec2, ec2_fx_in(&f, 30000), "m5.large", &limits, &err), 0);
	assert_int_equal(limits.max_enis, 3);
	assert_int_equal(limits.ipv4_per_eni, 10);
	assert_int_equal(ec2_describe_limits(f.ec2, ec2_fx_in(&f, 30000), "m5.nope", &limits, &err), -ENOENT);
	assert_non_null(strstr(err.why.msg, "there is no 'm5.nope'"));
	assert_int_equal(ec2_describe_vpc(f.ec2, ec2_fx_in(&f, 30000), "vpc-1", &vpc, &err), 0);
	assert_int_equal(vpc.n_cidrs, 1);
	assert_int_equal(ec2_describe_subnets(f.ec2, ec2_fx_in(&f, 30000), &find, &subnets, &err), 0);
	assert_int_equal(subnets.n, 1);
	assert_int_equal(subnets.v[0].free4, 9);
	ec2_subnets_done(&subnets);
	assert_int_equal(ec2_describe_subnets(f.ec2, ec2_fx_in(&f, 30000), &find, &subnets, &err), -EBADMSG);
	ec2_fx_stop(&f, VW_ARRAY_SIZE(steps));
}

static void test_new(void **state)
{
	const struct creds_options keys = { .access_key_id = "AKIA", .secret_access_key = "s" };
	const struct ec2_options no_region = { .endpoint = "http://x" },
				 bad = { .region = "r", .endpoint = "ec2" };
	const struct ec2_options plain = { .region = "eu-north-1" };
	struct ec2 *e = NULL;
	struct ec2_fixture f;
	struct vw_err err;

	ec2_fx_start_with(&f, NULL, 0, &keys, (struct ec2_rate){ 0 });
	assert_int_equal(ec2_new(&no_region, f.http, f.creds, &e, &err), -EINVAL);
	assert_int_equal(ec2_new(&bad, f.http, f.creds, &e, &err), -EINVAL);
	assert_int_equal(ec2_new(&plain, f.http, f.creds, &e, &err), 0);
	ec2_free(e);
	ec2_fx_stop(&f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_unknown),
		cmocka_unit_test(test_create_gives_up),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_unassign),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_describes),
		cmocka_unit_test(test_new),
	};

	if (http_init_process() < 0)
		return 1;
	xml_init_process();
	return cmocka_run_group_tests_name("ec2", tests, NULL, NULL);
}
