/* vpcwirectl drain: the one command that changes something. */
#include "cli/cli.h"

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"

#include <getopt.h>
#include <stdio.h>

#define LOOK_MS 1000            /* pods that go are no events */
#define MARGIN_MS 10000         /* for the answer, behind that */

static enum cli_exit set(const struct cli *c, bool off)
{
	struct vw_rpc_req req = { .op = VW_RPC_DRAIN, .off = off };
	vw_auto_json struct vw_json *reply = NULL;
	struct vw_err err;

	if (vw_rpc_call(c->socket_path, &req, vw_mono_ms() + c->timeout_ms, &reply, &err) == 0)
		return CLI_OK;
	fprintf(stderr, "vpcwirectl: %s\n", err.msg);
	return cli_exit_of(&err);
}

static bool is_empty(const struct vw_json *node)
{
	return !cli_int(node, "n_pods") && !cli_int(vw_json_get(node, "pool"), "total") && vw_json_len(vw_json_get(node, "enis")) <= 1;
}

/* the daemon holds the question back until something has happened */
static enum cli_exit pause_for(const struct cli *c, uint64_t until_ms, long long *after)
{
	vw_auto_json struct vw_json *s = NULL, *args = vw_json_new_object();
	int left = vw_deadline_left(until_ms), wait = left < LOOK_MS ? left : LOOK_MS;
	struct cli patient = *c;
	enum cli_exit r;

	if (vw_json_set_int(args, "after", *after) < 0 || vw_json_set_int(args, "wait_ms", wait) < 0)
		return CLI_FAILED;
	patient.timeout_ms = LOOK_MS + MARGIN_MS;
	r = cli_query(&patient, "events", vw_json_copy(args), &s);
	*after = cli_int(s, "next");
	return r;
}

static enum cli_exit print_state(const struct cli *c, const struct vw_json *node)
{
	vw_auto_json struct vw_json *o = vw_json_new_object();

	if (!c->json) {
		printf("%s: %lld pods, %lld addresses, %zu ENIs\n", cli_bool(node, "draining") ? "draining" : "not draining", cli_int(node, "n_pods"),
		       cli_int(vw_json_get(node, "pool"), "total"), vw_json_len(vw_json_get(node, "enis")));
		return CLI_OK;
	}
	if (vw_json_set_bool(o, "draining", cli_bool(node, "draining")) < 0 || vw_json_set_int(o, "n_pods", cli_int(node, "n_pods")) < 0 ||
	    vw_json_set_int(o, "addresses", cli_int(vw_json_get(node, "pool"), "total")) < 0 ||
	    vw_json_set_int(o, "enis", (long long)vw_json_len(vw_json_get(node, "enis"))) < 0 || vw_json_set_bool(o, "empty", is_empty(node)) < 0)
		return CLI_FAILED;
	return cli_print_json(o);
}

/* Return: CLI_OK: empty, or nobody wanted to wait; CLI_FINDINGS: time is over */
static enum cli_exit watch(const struct cli *c, bool wait)
{
	uint64_t until = vw_mono_ms() + c->timeout_ms;
	long long after = 0;
	enum cli_exit r, shown;
	bool over;

	do {
		vw_auto_json struct vw_json *node = NULL;

		r = cli_query_node(c, false, &node);
		if (r != CLI_OK)
			return r;
		over = !wait || is_empty(node) || vw_mono_ms() >= until;
		if (over) {
			shown = print_state(c, node);
			return shown != CLI_OK ? shown : wait && !is_empty(node) ? CLI_FINDINGS : CLI_OK;
		}
		r = pause_for(c, until, &after);
	} while (r == CLI_OK);
	return r;
}

enum cli_exit cli_drain(const struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "off", no_argument, NULL, 'o' }, { "wait", no_argument, NULL, 'w' }, { 0 } };
	bool off = false, wait = false;
	enum cli_exit r;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o != 'o' && o != 'w')
			return CLI_USAGE;
		off |= o == 'o';
		wait |= o == 'w';
	}
	if (optind < argc || (off && wait))
		return cli_usage("drain takes --off or --wait");
	r = set(c, off);
	return r == CLI_OK ? watch(c, wait) : r;
}
