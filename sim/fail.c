/* SPDX-License-Identifier: Apache-2.0 */
/* Error answers: EC2's codes and the HTTP status each comes with. */
#include "sim/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"

/* EC2 API reference, "Error codes": client errors are 400 except these. */
static const struct {
	const char *code;
	int status;
} statuses[] = {
	{ "AuthFailure", 401 },
	{ "DryRunOperation", 412 },
	{ "InternalError", 500 },
	{ "InternalFailure", 500 },
	{ "MissingAuthenticationToken", 403 },
	{ "InvalidClientTokenId", 403 },
	{ "SignatureDoesNotMatch", 403 },
	{ "IncompleteSignature", 400 },
	{ "ExpiredToken", 403 },
	{ "AccessDenied", 403 },
	{ "UnauthorizedOperation", 403 },
	{ "OptInRequired", 403 },
	{ "RequestLimitExceeded", 503 },
	{ "Throttling", 400 },
	{ "ServiceUnavailable", 503 },
	{ "Unavailable", 503 },
	{ "InsufficientInstanceCapacity", 500 },
};

int sim_fail_status(const char *code)
{
	size_t i;

	for (i = 0; i < VW_ARRAY_SIZE(statuses); i++)
		if (strcmp(statuses[i].code, code) == 0)
			return statuses[i].status;
	return 400;
}

int sim_fail(struct sim_fail *f, const char *code, const char *fmt, ...)
{
	va_list ap;

	f->status = sim_fail_status(code);
	snprintf(f->code, sizeof(f->code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

int sim_fail_nomem(struct sim_fail *f)
{
	return sim_fail(f, "InternalError", "An internal error has occurred");
}
