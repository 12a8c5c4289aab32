/* SPDX-License-Identifier: Apache-2.0 */
/* Signed requests: four lines (Authorization, X-Amz-Date, target, session token), then the body. None may
 * pass. */
#include "sim/sigv4.h"

#include "lib/base/err.h"
#include "sim/cloud.h"
#include "sim/fail.h"
#include "sim/loop.h"
#include "sim/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AUTH, DATE, TARGET, TOKEN, N_LINES };

static const char *lookup(void *arg, const char *name)
{
	char **line = arg;

	if (strcmp(name, "authorization") == 0)
		return line[AUTH];
	if (strcmp(name, "x-amz-date") == 0)
		return line[DATE];
	if (strcmp(name, "x-amz-security-token") == 0)
		return line[TOKEN];
	return strcmp(name, "host") == 0 ? "127.0.0.1" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *rest = text, *line[N_LINES] = { NULL };
	struct sim_sig_req req = { .method = "POST", .header = lookup, .arg = line };
	const struct sim_cred *who = NULL;
	struct sim_cloud *cloud;
	struct sim_loop *loop;
	struct sim_creds creds;
	struct sim_fail f = { 0 };
	struct vw_err err;
	size_t i;

	if (!text || sim_loop_new(&loop) < 0 || sim_cloud_new(loop, NULL, &cloud, &err) < 0)
		abort();
	for (i = 0; i < N_LINES && rest; i++)
		line[i] = strsep(&rest, "\n");
	req.target = line[TARGET] ? line[TARGET] : "/";
	req.body = rest ? rest : "";
	req.body_len = strlen(req.body);
	sim_creds_init(&creds, sim_cloud_world(cloud));
	/* any date is in time, so that the rest of the verification is reached too */
	creds.max_skew_s = UINT32_MAX;
	if (!sim_cred_add(&creds, "AKIDEXAMPLE", "a secret no input knows", "", 0, sim_role_add(&creds, "r"),
			  "u"))
		abort();
	if (sim_sigv4_verify(&req, &creds, "ec2", &who, &f) == 0 || !f.code[0] || !f.msg[0] || who)
		abort();
	sim_creds_done(&creds);
	sim_cloud_free(cloud);
	sim_loop_free(loop);
	free(text);
	return 0;
}
