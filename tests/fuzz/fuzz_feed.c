/* SPDX-License-Identifier: Apache-2.0 */
/* Any object from an API server: what is handed on of it is one line of JSON in a file of the folder, whose name is the object's alone. */
#include "feed/folder.h"
#include "feed/kinds.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(const struct feed_kind *k, const struct vw_json *obj)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT_MAX(FEED_FILE_MAX_BYTES), twice = VW_BUF_INIT_MAX(FEED_FILE_MAX_BYTES);
	vw_auto_json struct vw_json *again = NULL;
	char file[256], file2[256];
	struct vw_err err;

	if (feed_kind_take(k, obj, file, &text, &err) < 0) {
		if (!err.msg[0])
			abort();
		return;
	}
	if (strchr(file, '/') || file[0] == '.' || strncmp(file, k->name, strlen(k->name)) || file[strlen(k->name)] != '_' || strlen(file) > 255)
		abort();
	if (memchr(text.data, '\n', text.len) != text.data + text.len - 1)
		abort();
	/* what is in the file is an object of that kind, of which the same would be handed on */
	if (vw_json_parse(text.data, text.len, NULL, "the file", &again, &err) < 0 || strcmp(vw_json_string(vw_json_get(again, "kind")), k->kind))
		abort();
	vw_json_del(again, "kind");
	vw_json_del(again, "apiVersion");
	if (feed_kind_take(k, again, file2, &twice, &err) < 0 || strcmp(file, file2) || text.len != twice.len || memcmp(text.data, twice.data, text.len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	vw_auto_json struct vw_json *obj = NULL;
	struct vw_err err;
	size_t n;
	const struct feed_kind *k = feed_kinds(&n);

	if (size > 65536 || vw_json_parse((const char *)data, size, NULL, "input", &obj, &err) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		take(&k[i], obj);
	return 0;
}
