/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: the caps hold, and what was accepted prints, and reads back, the same. */
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void visit(const struct vw_json *j, unsigned int depth)
{
	const struct vw_json *v;
	struct vw_err err;
	const char *key, *s;
	void *it = NULL;
	int64_t n;
	bool b;

	if (depth > 64)
		abort();
	while (vw_json_type(j) == VW_JSON_OBJECT && (key = vw_json_each(j, &it, &v))) {
		if (vw_json_get(j, key) != v)
			abort();
		(void)vw_json_get_int(j, key, -5, 70000, &n, &err);
		(void)vw_json_get_bool(j, key, &b, &err);
		(void)vw_json_get_str(j, key, &s, &err);
		visit(v, depth + 1);
	}
	for (size_t i = 0; vw_json_type(j) == VW_JSON_ARRAY && i < vw_json_len(j); i++)
		visit(vw_json_at(j, i), depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vw_auto_json struct vw_json *j = NULL, *again = NULL;
	vw_auto_buf struct vw_buf one = VW_BUF_INIT, two = VW_BUF_INIT;
	static const struct vw_json_limits roomy = {.max_bytes = (size_t)64 << 20};
	struct vw_err err;

	if (vw_json_parse((const char *)data, size, NULL, "input", &j, &err) < 0)
		return 0;
	visit(j, 0);
	if (vw_json_print(j, 0, &one) < 0)
		abort();
	if (vw_json_parse(vw_buf_str(&one), one.len, &roomy, "printed", &again, &err) < 0)
		abort();
	if (vw_json_print(again, 0, &two) < 0 || one.len != two.len || memcmp(one.data, two.data, one.len))
		abort();
	return 0;
}
