/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs of vpcwire-eni and vpcwire-bridge: a network configuration with the keys of one or the other, or the file of an
 * attachment. The first byte says which.
 * What a file is decoded to is written and read back unchanged.
 */
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/cni/main.h"
#include "lib/eni/state.h"
#include "plugins/vpcwire-bridge/bridge_conf.h"
#include "plugins/vpcwire-eni/eni_conf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void conf(const char *text, size_t len)
{
	struct vw_cni_call call = {0};
	struct eni_conf c;
	struct vw_err err;

	if (vw_cni_conf_parse(text, len, false, &call.conf, &err) < 0)
		return;
	(void)eni_conf_mac(&call);
	if (eni_conf_state_dir(&call)[0] != '/')
		abort();
	if (eni_conf_parse(&call, &c, &err) < 0) {
		if ((vw_err_cni(&err) != VW_CNI_INVALID_CONFIG && vw_err_cni(&err) != VW_CNI_UNSUPPORTED_FIELD) || !err.msg[0])
			abort();
	} else if (c.vlan && (c.vlan > 4094 || vw_mac_is_zero(&c.branch_mac))) {
		abort();
	} else if ((!c.eni_name[0] && vw_mac_is_zero(&c.eni_mac)) || (!c.addrs.n && !c.stay_down && c.iface == ENI_IFACE_VLAN)) {
		abort();
	}
	vw_cni_conf_done(&call.conf);
}

static void bridge(const char *text, size_t len)
{
	struct vw_cni_call call = {0};
	struct br_conf c;
	struct vw_err err;

	if (vw_cni_conf_parse(text, len, false, &call.conf, &err) < 0)
		return;
	if (br_conf_state_dir(&call)[0] != '/')
		abort();
	if (br_conf_parse(&call, &c, &err) < 0) {
		if ((vw_err_cni(&err) != VW_CNI_INVALID_CONFIG && vw_err_cni(&err) != VW_CNI_UNSUPPORTED_FIELD) || !err.msg[0])
			abort();
	} else if ((!c.eni_name[0] && vw_mac_is_zero(&c.eni_mac)) || c.ports.n > ENI_MAX_PORTS || c.n_gw > 2) {
		abort();
	}
	vw_cni_conf_done(&call.conf);
}

static void state(const char *text, size_t len)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct eni_state st, again;
	struct vw_err err;

	if (eni_state_decode(text, len, &st, &err) < 0)
		return;
	if (eni_state_encode(&st, &b) < 0 || eni_state_decode(vw_buf_str(&b), b.len, &again, &err) < 0 ||
	    memcmp(&st, &again, sizeof(st)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] == 'S')
		state((const char *)data + 1, size - 1);
	else if (data[0] == 'B')
		bridge((const char *)data + 1, size - 1);
	else
		conf((const char *)data + 1, size - 1);
	return 0;
}
