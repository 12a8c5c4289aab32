/* YAML: whatever the text, documents that print and read back as JSON, or a sentence why not. */
#include "lib/yaml/yaml.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_read_back(const struct vw_json *json)
{
	static const struct vw_json_limits wide = { .max_bytes = 64 << 20, .max_depth = 128 };
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	vw_auto_json struct vw_json *again = NULL;
	struct vw_err err = { 0 };

	if (vw_json_print(json, 0, &text) < 0 || vw_json_parse(vw_buf_str(&text), text.len, &wide, "", &again, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vw_json *json;
	struct vw_err err = { 0 };
	struct vw_yaml *y;
	int r = vw_yaml_new((const char *)data, size, NULL, "input", &y, &err);

	if (r < 0)
		return 0;
	while ((r = vw_yaml_next(y, &json, &err)) > 0) {
		must_read_back(json);
		vw_json_free(json);
	}
	if (r < 0 && !err.msg[0])
		abort();
	vw_yaml_free(y);
	return 0;
}
