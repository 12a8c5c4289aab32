/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's part of an ADD and of a DEL, and nothing else: no configuration, no daemon, no result. Makes what plugins/vpcwire makes, by the
 * very code (wire.c), of a wiring that is built in; started like a plugin (CNI_COMMAND, CNI_NETNS, CNI_CONTAINERID). The number in the
 * container's id ("pod12-...") chooses address and interface. Its pods have programs, and no slot: they reach nobody.
 */
#include "plugins/vpcwire/wire.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/net/netns.h"
#include "netpolicy-bpf/abi/np_abi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOT 3000u        /* the daemon counts from 0 */
#define TABLE 22104u            /* beside the pods' */
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define PINS "/sys/fs/bpf/vpcwire/v" TEXT(NP_ABI) "/"

/* not the daemon's mark: what it does not know it would take away */
void alias_of(const struct vw_attach_key *key, char ret[VW_IFALIAS_MAX])
{
	(void)!vw_fmt(ret, VW_IFALIAS_MAX, "floor:%s", key->container_id);
}

static int number_of(const char *id, unsigned int *ret)
{
	char digits[12] = "";
	size_t first = strcspn(id, "0123456789"), n = strspn(id + first, "0123456789");
	uint64_t v;

	if (n == 0 || n >= sizeof(digits))
		return -1;
	memcpy(digits, id + first, n);
	if (vw_parse_u64(digits, 0, 1000, &v) < 0)
		return -1;
	*ret = (unsigned int)v;
	return 0;
}

static struct vw_rpc_wiring wiring_of(unsigned int n)
{
	const uint8_t hi = (uint8_t)(n >> 8), lo = (uint8_t)n;
	struct vw_rpc_wiring w = { .addr = { { { AF_INET, { 100, 127, hi, lo } }, 32 } }, .gateway = { { AF_INET, { 169, 254, 1, 1 } } }, .n_addr = 1,
				   .mtu = 9001, .host_ifindex = VW_IFINDEX_BASE + FIRST_SLOT + n, .slot = FIRST_SLOT + n, .pods_table = TABLE,
				   .host_mac = { { 0xee, 0x58, 0, 0, hi, lo } }, .pod_mac = { { 0xee, 0x59, 0, 0, hi, lo } },
				   .pin_from_pod = PINS "from_pod", .pin_to_pod = PINS "to_pod" };

	(void)!vw_fmt(w.host_ifname, sizeof(w.host_ifname), "floor%u", n);
	return w;
}

static int add(const struct vw_rpc_wiring *w, const char *netns, struct vw_err *err)
{
	vw_auto_close int fd = vw_netns_open(netns, err);
	struct wiring_job job = { .w = w, .netns_path = netns, .netns_fd = fd, .host = VW_NL_INIT, .pod = VW_NL_INIT,
				  .key = { "floor", "eth0" } };
	int r = fd < 0 ? fd : vw_nl_open(&job.host, err);

	if (r == 0)
		r = wire(&job, err);
	vw_nl_close(&job.pod);
	vw_nl_close(&job.host);
	return r;
}

static int del(const struct vw_rpc_wiring *w, struct vw_err *err)
{
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;

	if (vw_nl_open(&nl, err) < 0)
		return -err->eno;
	(void)vw_link_del_name(&b, w->host_ifname);
	return vw_nl_commit(&nl, &b, err);
}

int main(void)
{
	const char *command = getenv("CNI_COMMAND"), *netns = getenv("CNI_NETNS"), *id = getenv("CNI_CONTAINERID");
	struct vw_rpc_wiring w;
	struct vw_err err;
	unsigned int n;

	if (!command || !netns || !id || number_of(id, &n) < 0) {
		fprintf(stderr, "floor: started like a CNI plugin, with a number in CNI_CONTAINERID\n");
		return 2;
	}
	w = wiring_of(n);
	if ((strcmp(command, "ADD") ? del(&w, &err) : add(&w, netns, &err)) < 0) {
		fprintf(stderr, "floor: %s\n", err.msg);
		return 1;
	}
	return 0;
}
