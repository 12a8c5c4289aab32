/* SPDX-License-Identifier: Apache-2.0 */
/* Packets: any bytes as a request and as each kind of reply, and as what vpcwire-feed says of itself. What is accepted is written the same again. */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "lib/rpc/feed_state.h"
#include "lib/rpc/rpc.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const char *text, size_t len)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_rpc_req one = {0}, two = {0};
	struct vw_err err;

	if (vw_rpc_req_decode(text, len, &one, &err) < 0)
		return;
	if (vw_rpc_req_encode(&one, &b, &err) == 0) {
		if (vw_rpc_req_decode(vw_buf_str(&b), b.len, &two, &err) < 0 || two.op != one.op ||
		    two.n_valid != one.n_valid || strcmp(two.key.container_id, one.key.container_id) ||
		    strcmp(two.key.ifname, one.key.ifname))
			abort();
	} else if (err.eno != EMSGSIZE) {
		abort();
	}
	vw_rpc_req_done(&one);
	vw_rpc_req_done(&two);
}

static void wiring(const struct vw_json *j)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	vw_auto_json struct vw_json *again = NULL;
	struct vw_rpc_wiring one, two;
	struct vw_err err;

	if (vw_rpc_wiring_decode(j, &one, &err) < 0)
		return;
	if (vw_rpc_wiring_encode(VW_RPC_VERSION_MAX, &one, &b, &err) < 0 ||
	    vw_rpc_reply_decode(vw_buf_str(&b), b.len, &again, &err) < 0 ||
	    vw_rpc_wiring_decode(again, &two, &err) < 0 || two.n_addr != one.n_addr || two.mtu != one.mtu ||
	    memcmp(two.addr, one.addr, sizeof(one.addr)) || strcmp(two.pin_from_pod, one.pin_from_pod))
		abort();
}

static void feed(const char *text, size_t len)
{
	static const uint64_t moments[] = { 0, VW_FEED_DEAD_MS, VW_FEED_SILENT_MS, INT64_MAX, UINT64_MAX };
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_feed_state one, two;
	struct vw_err err;

	if (vw_feed_state_parse(text, len, &one, &err) < 0)
		return;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		char said[64] = "";

		/* a sentence (none where it does not fit) exactly when something is wrong */
		if (vw_feed_explain(&one, moments[i], said, sizeof(said)) != (!vw_feed_runs(&one, moments[i]) || !vw_feed_hears(&one, moments[i])))
			abort();
	}
	if (vw_feed_state_print(&one, &b, &err) < 0 || vw_feed_state_parse(vw_buf_str(&b), b.len, &two, &err) < 0 || one.written_ms != two.written_ms ||
	    one.heard_ms != two.heard_ms || one.listed != two.listed || strcmp(one.why, two.why))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_rpc_status st;
	struct vw_err err;

	request((const char *)data, size);
	feed((const char *)data, size);
	if (vw_rpc_reply_decode((const char *)data, size, &reply, &err) < 0)
		return 0;
	wiring(reply);
	(void)vw_rpc_status_decode(reply, &st, &err);
	return 0;
}
