/* aws-node's checkpoint: whatever the text, there is a sentence why not, or what we print of it reads the same. */
#include "daemon/aws_ipam.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* by what they mean: behind the end of a text there may be anything */
static int same(const struct aws_alloc *a, const struct aws_alloc *b)
{
	return !strcmp(a->key.container_id, b->key.container_id) && !strcmp(a->key.ifname, b->key.ifname) &&
	       !strcmp(a->pod_namespace, b->pod_namespace) && !strcmp(a->pod_name, b->pod_name) && vw_ip_eq(&a->addr, &b->addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct aws_alloc *all = NULL, *again = NULL;
	struct vw_err err = { 0 };
	size_t n = 0, m = 0;

	if (aws_ipam_parse((const char *)data, size, &all, &n, &err) < 0) {
		if (!err.msg[0] || all)
			abort();
		return 0;
	}
	if (aws_ipam_print(all, n, 1, &b, &err) < 0 || aws_ipam_parse(vw_buf_str(&b), b.len, &again, &m, &err) < 0 || m != n)
		abort();
	for (size_t i = 0; i < n; i++)
		if (!same(&all[i], &again[i]))
			abort();
	free(all);
	free(again);
	return 0;
}
