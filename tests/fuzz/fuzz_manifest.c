/* Kubernetes objects: whatever the text, either all of it is taken, and is sane, or there is a sentence why not. */
#include "daemon/manifest.h"

#include "lib/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct manifest_want want = { "", "i-1", "host1", "k8s.amazonaws.com/eniConfig", "k8s.amazonaws.com/eniConfig" };
	struct manifests m = { 0 };
	struct vw_err err = { 0 };
	int r = manifests_take(&m, &want, (const char *)data, size, "input", &err);

	if (r < 0 && !err.msg[0])
		abort();
	for (size_t i = 0; i < m.n; i++)
		if (!m.v[i].name[0] || strncmp(m.v[i].subnet, "subnet-", 7) || m.v[i].n_groups > EC2_MAX_GROUPS)
			abort();
	if (r == 0 && !manifests_eniconfig(&m, &err) && !err.msg[0])
		abort();
	manifests_done(&m);
	return 0;
}
