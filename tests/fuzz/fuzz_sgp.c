/* SPDX-License-Identifier: Apache-2.0 */
/* The annotation that names a pod's branch ENI: a branch that the kernel can be told of, or a sentence and nothing filled. */
#include "daemon/sgp_pods.h"
#include "lib/base/err.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
	if (!yes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct store_branch untouched;
	char *text = strndup((const char *)data, size);
	struct store_branch b = untouched;
	struct vw_err err = { 0 };

	if (!text)
		return 0;
	if (sgp_annotation_parse(text, &b, &err) < 0) {
		must(err.msg[0] && err.cni && memcmp(&b, &untouched, sizeof(b)) == 0);
	} else {
		must(b.vlan >= 1 && b.vlan <= 4094 && strncmp(b.eni_id, "eni-", 4) == 0 && strnlen(b.eni_id, sizeof(b.eni_id)) < sizeof(b.eni_id));
		must(!(b.mac.b[0] & 1) && (b.ip4.family == AF_INET || b.ip6.family == AF_INET6));
		must((b.ip4.family == AF_INET) == (b.gw4.family == AF_INET));
	}
	free(text);
	return 0;
}
