/* The annotation of pods' branch ENIs, and the manifests that it stands in. */
#include "daemon/sgp_pods.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "tests/unit/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOTE "[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"ipv6Addr\":\"\",\"vlanId\":3," \
	     "\"subnetCidr\":\"10.0.16.0/20\",\"subnetV6Cidr\":\"\",\"associationID\":\"trunk-assoc-1\"}]"

static void test_the_annotation(void **state)
{
	static const char *const bad[] = {
		"", "{", "{}", "5", "[5]", "[{}]", "[{\"vlanId\":3}]",
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"vlanId\":3}]",
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"::1\",\"vlanId\":3,\"subnetCidr\":\"10.0.16.0/20\"}]",
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"ipv6Addr\":\"10.0.0.1\",\"vlanId\":3}]",
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"vlanId\":4095,\"subnetCidr\":\"10.0.16.0/20\"}]",
		/* the tables of 100 + vlan are the kernel's: compat, default, main, local */
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"vlanId\":152,\"subnetCidr\":\"10.0.16.0/20\"}]",
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"vlanId\":154,\"subnetCidr\":\"10.0.16.0/20\"}]",
		"[{\"eniId\":\"eni-0a\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"vlanId\":155,\"subnetCidr\":\"10.0.16.0/20\"}]",
		"[{\"eniId\":\"x\",\"ifAddress\":\"02:00:00:00:00:07\",\"privateIp\":\"10.0.17.9\",\"vlanId\":3,\"subnetCidr\":\"10.0.16.0/20\"}]",
	};
	struct store_branch b, untouched;
	struct vw_err err;

	(void)state;
	assert_int_equal(sgp_annotation_parse(NOTE, &b, &err), 0);
	assert_string_equal(b.eni_id, "eni-0a");
	assert_int_equal(b.vlan, 3);
	assert_memory_equal(b.gw4.b, ((uint8_t[]){ 10, 0, 16, 1 }), 4);
	assert_int_equal(b.ip6.family, 0);
	assert_int_equal(sgp_annotation_parse("[{\"ENIID\":\"eni-0a\",\"IFADDRESS\":\"02:00:00:00:00:07\",\"ipv6addr\":\"2001:db8::9\",\"VLANID\":\"3\"}]",
					      &b, &err), 0);
	assert_int_equal(b.ip6.family, AF_INET6);
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < VW_ARRAY_SIZE(bad); i++) {
		memset(&b, 0x5a, sizeof(b));
		assert_true(sgp_annotation_parse(bad[i], &b, &err) < 0);
		assert_memory_equal(&b, &untouched, sizeof(b));
	}
	assert_int_equal(sgp_annotation_parse("[]", &b, &err), -ENODATA);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[256], tmp[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(tmp, sizeof(tmp), "%s/.new", dir);
	f = fopen(tmp, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(tmp, path), 0);
}

#define POD(meta, spec) "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"" meta "},\"spec\":{" spec "}}"
#define WANTS "\"containers\":[{},{\"resources\":{\"limits\":{\"" SGP_ANNOTATION "\":\"1\"}}}]"
#define NOTED ",\"uid\":\"u\",\"annotations\":{\"" SGP_ANNOTATION "\":\"[{\\\"eniId\\\":\\\"eni-0a\\\",\\\"ifAddress\\\":\\\"02:00:00:00:00:07\\\"," \
	      "\\\"ipv6Addr\\\":\\\"2001:db8::9\\\",\\\"vlanId\\\":3}]\"}"

static void test_the_manifests(void **state)
{
	char dir[] = "/tmp/test_sgp.XXXXXX", path[256];
	struct sgp_pods *p = sgp_pods_new();
	struct store_branch b = { 0 };
	struct vw_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(sgp_pods_find(p, "/nonexistent", "n", "p", "", &b, &err), -ENODATA);
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "", &b, &err), -ENODATA);
	assert_int_equal(err.cni, VW_CNI_TRY_AGAIN);
	put(dir, "a.json", POD("", ""));
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "", &b, &err), 0);
	assert_int_equal(sgp_pods_find(p, dir, "other", "p", "", &b, &err), -ENODATA);
	put(dir, "a.json", POD("", WANTS));
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "", &b, &err), -ENODATA);
	put(dir, "a.json", POD(NOTED, WANTS));
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "", &b, &err), 1);
	assert_int_equal(b.vlan, 3);
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "u", &b, &err), 1);
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "another", &b, &err), -ENODATA);
	/* what cannot be read keeps what it said before; a file behind it wins; what is gone says nothing */
	put(dir, "a.json", "{");
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "u", &b, &err), 1);
	put(dir, "b.json", POD("", ""));
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "u", &b, &err), 0);
	for (const char *const *name = (const char *const[]){ "a.json", "b.json", NULL }; *name; name++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *name);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(sgp_pods_find(p, dir, "n", "p", "u", &b, &err), -ENODATA);
	assert_int_equal(rmdir(dir), 0);
	sgp_pods_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_annotation), cmocka_unit_test(test_the_manifests) };

	return cmocka_run_group_tests_name("sgp", tests, NULL, NULL);
}
