/* vpcwirectl doctor: what the node looks like, then what the daemon says of itself and of EC2. */
#include "cli/cli.h"

#include "cli/look.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <stdio.h>

#define PATIENCE_MS 30000       /* each permission is asked of EC2 */

static int no_daemon(struct vw_json *checks, const struct vw_err *err)
{
	struct vw_json *o = vw_json_new_object();

	if (vw_json_set_str(o, "part", "daemon") < 0 || vw_json_set_bool(o, "ok", false) < 0 || vw_json_set_str(o, "what", err->msg) < 0 ||
	    vw_json_set_str(o, "todo", "systemctl status vpcwired (in Kubernetes: kubectl logs of its pod) says why it does not run") < 0) {
		vw_json_free(o);
		return -1;
	}
	return vw_json_append(checks, o);
}

enum cli_exit cli_doctor(const struct cli *c, int argc, char **argv)
{
	vw_auto_json struct vw_json *root = vw_json_new_object(), *s = NULL;
	struct vw_json *checks = vw_json_new_array();
	struct cli patient = *c;
	const struct vw_json *theirs;
	struct vw_err err;
	enum cli_exit r;
	unsigned int bad;
	int failed;

	(void)argv;
	if (argc > 1) {
		vw_json_free(checks);
		return cli_usage("doctor takes no arguments");
	}
	if (patient.timeout_ms < PATIENCE_MS)
		patient.timeout_ms = PATIENCE_MS;
	failed = look_at_node(checks);
	r = cli_try_query(&patient, "doctor", NULL, &s, &err);
	if (r != CLI_OK)
		failed |= no_daemon(checks, &err);
	theirs = vw_json_get(s, "checks");
	for (size_t i = 0; i < vw_json_len(theirs); i++)
		failed |= vw_json_append(checks, vw_json_copy(vw_json_at(theirs, i)));
	bad = cli_checks_bad(checks);
	failed |= vw_json_set(root, "checks", checks);
	if (failed) {
		fputs("vpcwirectl: out of memory\n", stderr);
		return CLI_FAILED;
	}
	if (c->json) {
		failed = cli_print_json(root);
	} else {
		cli_print_checks(vw_json_get(root, "checks"), "BAD");
		printf("%u of %zu want attention\n", bad, vw_json_len(vw_json_get(root, "checks")));
	}
	return failed ? CLI_FAILED : r != CLI_OK ? r : bad ? CLI_FINDINGS : CLI_OK;
}
