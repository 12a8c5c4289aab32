/* aws-node's checkpoint: what it writes is read, what we write it reads, and nothing else is believed. */
#include "daemon/aws_ipam.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define POD(id, ifname, address, name, more) \
	"{\"networkName\":\"aws-cni\",\"containerID\":\"" id "\",\"ifName\":\"" ifname "\"," address ",\"allocationTimestamp\":1700000000000000000," \
	"\"metadata\":{\"k8sPodNamespace\":\"default\",\"k8sPodName\":\"" name "\"" more "}}"
#define FILE_OF(...) "{\"version\":\"vpc-cni-ipam/1\",\"allocations\":[" __VA_ARGS__ "]}"
#define ONE POD("c1", "eth0", "\"ipv4\":\"10.0.1.2\"", "a", ",\"interfacesCount\":1")

static void what_it_writes_is_read(void **state)
{
	/* 1.8 knew neither interfaces nor their names of pods that it had from the runtime */
	static const char text[] = FILE_OF(ONE "," POD("c2", "unknown", "\"ipv4\":\"10.0.1.3\"", "b", ""));
	vw_auto_free struct aws_alloc *all = NULL;
	struct vw_err err;
	size_t n = 0;

	assert_int_equal(aws_ipam_parse(text, strlen(text), &all, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(all[0].key.container_id, "c1");
	assert_string_equal(all[0].pod_name, "a");
	assert_string_equal(all[0].pod_namespace, "default");
	assert_int_equal(vw_ip4_u32(&all[0].addr), 0x0a000102);
	assert_string_equal(all[1].key.ifname, "eth0");
}

static void what_we_write_is_the_same_file(void **state)
{
	static const char text[] = FILE_OF(ONE);
	vw_auto_free struct aws_alloc *all = NULL, *again = NULL;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	size_t n = 0, m = 0;

	assert_int_equal(aws_ipam_parse(text, strlen(text), &all, &n, &err), 0);
	assert_int_equal(aws_ipam_print(all, n, 1700000000000000000u, &b, &err), 0);
	assert_int_equal(aws_ipam_parse(vw_buf_str(&b), b.len, &again, &m, &err), 0);
	assert_int_equal(m, n);
	assert_memory_equal(all, again, sizeof(*all));
	assert_non_null(strstr(vw_buf_str(&b), "\"networkName\":\"aws-cni\""));
	assert_non_null(strstr(vw_buf_str(&b), "\"allocationTimestamp\":1700000000000000000"));
	assert_non_null(strstr(vw_buf_str(&b), "\"interfacesCount\":1"));
	vw_buf_reset(&b);
	assert_int_equal(aws_ipam_print(NULL, 0, 1, &b, &err), 0);
	assert_string_equal(vw_buf_str(&b), "{\"version\":\"vpc-cni-ipam/1\",\"allocations\":[]}");
}

static void pods_of_an_ipv6_cluster(void **state)
{
	/* Go leaves an empty ipv4 out; older releases wrote it */
	static const char text[] = FILE_OF(POD("c1", "eth0", "\"ipv6\":\"2001:db8:7600:0:1::\"", "a", "") ","
					   POD("c2", "eth0", "\"ipv4\":\"\",\"ipv6\":\"2001:db8:7600:0:1::1\"", "b", ""));
	vw_auto_free struct aws_alloc *all = NULL, *again = NULL;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	char ip[VW_IP_STRLEN];
	struct vw_err err;
	size_t n = 0, m = 0;

	assert_int_equal(aws_ipam_parse(text, strlen(text), &all, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(vw_ip_str(&all[0].addr, ip), "2001:db8:7600:0:1::");
	assert_int_equal(aws_ipam_print(all, n, 1, &b, &err), 0);
	assert_non_null(strstr(vw_buf_str(&b), "\"ipv6\":\"2001:db8:7600:0:1::1\""));
	assert_null(strstr(vw_buf_str(&b), "ipv4"));
	assert_int_equal(aws_ipam_parse(vw_buf_str(&b), b.len, &again, &m, &err), 0);
	assert_int_equal(m, n);
	assert_true(vw_ip_eq(&again[1].addr, &all[1].addr));
}

static void what_is_not_believed(void **state)
{
	static const struct {
		const char *text, *why;
		int eno;
	} rows[] = {
		{ "", "checkpoint", EBADMSG },
		{ "{}", "version", EBADMSG },
		{ "{\"version\":\"vpc-cni-ipam/2\",\"allocations\":[]}", "vpc-cni-ipam/2", EBADMSG },
		{ "{\"version\":\"vpc-cni-ipam/1\",\"allocations\":7}", "allocations", EBADMSG },
		{ FILE_OF("7"), "allocation 0", EBADMSG },
		{ FILE_OF(POD("../c", "eth0", "\"ipv4\":\"10.0.1.2\"", "a", "")), "containerID", EBADMSG },
		{ FILE_OF(POD("c1", "eth0", "\"ipv4\":\"10.0.1.2/24\"", "a", "")), "no IPv4 address", EBADMSG },
		{ FILE_OF(POD("c1", "eth0", "\"ipv4\":\"2001:db8::1\"", "a", "")), "no IPv4 address", EBADMSG },
		{ FILE_OF(POD("c1", "eth0", "\"ipv6\":\"10.0.1.2\"", "a", "")), "no IPv6 address", EBADMSG },
		{ FILE_OF(POD("c1", "eth0", "\"ipv6\":\"2001:db8::1/128\"", "a", "")), "no IPv6 address", EBADMSG },
		{ FILE_OF(POD("c1", "eth0", "\"ipv4\":\"10.0.1.2\",\"ipv6\":\"2001:db8::1\"", "a", "")), "both", EOPNOTSUPP },
		{ FILE_OF(POD("c1", "eth0", "\"ipv4\":\"10.0.1.2\"", "a", ",\"interfacesCount\":2")), "several interfaces", EOPNOTSUPP },
		{ FILE_OF(POD("c1", "net1", "\"ipv4\":\"10.0.1.2\"", "a", "")), "several interfaces", EOPNOTSUPP },
		{ FILE_OF(ONE "," POD("c2", "eth0", "\"ipv4\":\"10.0.1.2\"", "b", "")), "twice", EBADMSG },
		{ FILE_OF(ONE "," POD("c1", "eth0", "\"ipv4\":\"10.0.1.3\"", "b", "")), "twice", EBADMSG },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct aws_alloc *all = NULL;
		struct vw_err err = { 0 };
		size_t n = 99;

		if (aws_ipam_parse(rows[i].text, strlen(rows[i].text), &all, &n, &err) != -rows[i].eno || !strstr(err.msg, rows[i].why))
			fail_msg("row %zu: errno %d, %s", i, err.eno, err.msg);
		assert_null(all);
		assert_int_equal(n, 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_writes_is_read),
		cmocka_unit_test(what_we_write_is_the_same_file),
		cmocka_unit_test(pods_of_an_ipv6_cluster),
		cmocka_unit_test(what_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
