/* aws-node's checkpoint: whatever the text, there is a sentence why not, or what we print of it reads the same. */
#include "daemon/aws_ipam.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	if (aws_ipam_print(all, n, 1, &b, &err) < 0 || aws_ipam_parse(vw_buf_str(&b), b.len, &again, &m, &err) < 0 || m != n ||
	    memcmp(all, again, n * sizeof(*all)))
		abort();
	free(all);
	free(again);
	return 0;
}
