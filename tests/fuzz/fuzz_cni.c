/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a runtime sends: the first byte says what the rest is, a configuration on stdin ('D': for DEL), CNI_ARGS ('A'), or both ('W':
 * CNI_ARGS is the first line), which say together what a pod wishes: addresses, MAC, bandwidth, ports, by capability, args.cni or CNI_ARGS. A result
 * that was accepted as prevResult prints in every version, and what prints in the newest reads back.
 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/conf.h"
#include "lib/cni/env.h"
#include "lib/cni/main.h"
#include "lib/cni/result.h"
#include "lib/cni/wish.h"
#include "lib/json/json.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_and_read_back(const struct vw_cni_result *r)
{
	for (int v = 0; v < VW_CNI_VERSIONS; v++) {
		vw_auto_cni_result struct vw_cni_result again = VW_CNI_RESULT_INIT;
		vw_auto_buf struct vw_buf b = VW_BUF_INIT;
		vw_auto_json struct vw_json *j = NULL;
		struct vw_err err;

		if (vw_cni_result_print(r, (enum vw_cni_version)v, &b, &err) < 0) {
			if (r->n_ips || v > VW_CNI_0_2_0)
				abort();
			continue;
		}
		if (vw_json_parse(vw_buf_str(&b), b.len, NULL, "printed", &j, &err) < 0) {
			if (b.len <= VW_CNI_CONF_MAX_BYTES)
				abort();
			continue;
		}
		if (vw_cni_result_parse(j, VW_CNI_NEWEST, &again, &err) < 0)
			abort();
		if (v > VW_CNI_0_2_0 && (again.n_ips != r->n_ips || again.n_routes != r->n_routes ||
					 again.n_ifaces != r->n_ifaces))
			abort();
	}
}

static void conf(const char *text, size_t len, bool tolerant)
{
	vw_auto_free struct vw_cni_attachment *list = NULL;
	vw_auto_cni_result struct vw_cni_result r = VW_CNI_RESULT_INIT;
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_cni_args args = {0};
	struct vw_cni_wish wish;
	struct vw_cni_conf c;
	struct vw_err err;
	bool unknown;
	size_t n;

	if (vw_cni_conf_parse(text, len, tolerant, &c, &err) < 0) {
		if (err.eno <= 0 || !err.cni || !err.msg[0] ||
		    vw_cni_error_print(&err, VW_CNI_NEWEST, &b) < 0)
			abort();
		return;
	}
	if (c.prev_result && vw_cni_result_parse(c.prev_result, c.version, &r, &err) == 0)
		print_and_read_back(&r);
	if (vw_cni_wish_parse(&c, &args, len & 15, &wish, &err) < 0 && (!err.cni || !err.msg[0]))
		abort();
	(void)vw_cni_conf_attachments(&c, &list, &n, &unknown, &err);
	vw_cni_result_done(&r); /* before what it borrows from */
	vw_cni_conf_done(&c);
}

/* what is wished for is a family once, a MAC that a link may have, rates and ports in range; or there is a sentence */
static void wish(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);
	const size_t first = end ? (size_t)(end - text) : 0;
	struct vw_cni_args args = {0};
	struct vw_cni_wish w = {0};
	struct vw_cni_conf c;
	struct vw_err err = {0};
	char *line;

	if (!end || vw_cni_conf_parse(end + 1, len - first - 1, false, &c, &err) < 0)
		return;
	line = strndup(text, first);
	for (unsigned int caps = 0; line && vw_cni_args_parse(line, NULL, &args, &err) == 0 && caps < 16; caps++) {
		err = (struct vw_err){0};
		if (vw_cni_wish_parse(&c, &args, caps, &w, &err) < 0) {
			if (!err.cni || !err.msg[0])
				abort();
		} else if (w.n_ip > 2 || (w.n_ip == 2 && w.ip[0].family == w.ip[1].family) || (w.has_mac && w.mac.b[0] & 1)) {
			abort();
		}
	}
	free(line);
	vw_cni_conf_done(&c);
}

static void own(const char *text)
{
	static const char *const keys[] = {"VlanID", "MAC", NULL};
	struct vw_cni_args args;
	struct vw_err err;
	char value[16];

	if (vw_cni_args_parse(text, keys, &args, &err) < 0)
		return;
	for (size_t i = 0; keys[i]; i++) {
		if (vw_cni_arg(&args, keys[i], value, sizeof(value), &err) > 0 && !strstr(text, value))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	if (data[0] == 'W') {
		wish((const char *)data + 1, size - 1);
		return 0;
	}
	if (data[0] != 'A') {
		conf((const char *)data + 1, size - 1, data[0] == 'D');
		return 0;
	}
	text = strndup((const char *)data + 1, size - 1);
	if (text)
		own(text);
	free(text);
	return 0;
}
