/*
 * Credentials from JSON (metadata service, container endpoint), from STS's XML, and the check of container
 * URIs. A set that is accepted has both keys, without a line break that would end up in a header.
 */
#include "daemon/creds.h"
#include "lib/base/err.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, struct creds_set *set, const struct vw_err *err)
{
	if (r == 0 && (!set->key_id[0] || !secret_is_set(&set->secret_key) ||
		       set->key_id[strcspn(set->key_id, "\r\n")] ||
		       (set->token.text && set->token.text[strcspn(set->token.text, "\r\n")])))
		abort();
	if (r != 0 && (secret_is_set(&set->secret_key) || !err->msg[0]))
		abort();
	creds_set_done(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct creds_set set = { 0 };
	struct vw_err err = { 0 };
	char *text = strndup((const char *)data, size);
	int r;

	if (!text)
		return 0;
	r = creds_parse_json((const char *)data, size, "input", &set, &err);
	check(r, &set, &err);
	r = creds_parse_sts((const char *)data, size, &set, &err);
	check(r, &set, &err);
	(void)creds_uri_allowed(text);
	free(text);
	return 0;
}
