/* Lists as instance metadata gives them: bounded, typed, or refused with a sentence. */
#include "daemon/imds.h"
#include "lib/base/err.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int r, size_t n, size_t max, const struct vw_err *err)
{
	if (r == 0 ? n > max : r > 0 || !err->msg[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vw_mac macs[IMDS_MAX_MACS];
	struct vw_cidr cidrs[IMDS_MAX_CIDRS];
	struct vw_ip ips[IMDS_MAX_ADDRS];
	struct vw_err err = { 0 };
	size_t n = 0;
	char *text = strndup((const char *)data, size);
	int r;

	if (!text)
		return 0;
	r = imds_parse_macs(text, macs, &n, &err);
	expect(r, n, IMDS_MAX_MACS, &err);
	for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0) {
		r = imds_parse_ips(text, "input", family, ips, IMDS_MAX_ADDRS, &n, &err);
		expect(r, n, IMDS_MAX_ADDRS, &err);
		r = imds_parse_cidrs(text, "input", family, cidrs, IMDS_MAX_CIDRS, &n, &err);
		expect(r, n, IMDS_MAX_CIDRS, &err);
		for (size_t i = 0; r == 0 && i < n; i++) {
			if (!vw_cidr_is_masked(&cidrs[i]) || cidrs[i].ip.family != family)
				abort();
		}
	}
	free(text);
	return 0;
}
