/* vpcwirectl events: what has happened, and with -f what happens. One event a line. */
#include "cli/cli.h"

#include "lib/json/json.h"

#include <getopt.h>
#include <stdio.h>

#define WAIT_MS 60000

static struct vw_json *question(long long after, long long wait_ms)
{
	struct vw_json *args = vw_json_new_object();

	if (vw_json_set_int(args, "after", after) == 0 && vw_json_set_int(args, "wait_ms", wait_ms) == 0)
		return args;
	vw_json_free(args);
	return NULL;
}

static enum cli_exit print_all(const struct cli *c, const struct vw_json *answer)
{
	const struct vw_json *events = vw_json_get(answer, "events");
	enum cli_exit r = CLI_OK;

	if (cli_int(answer, "lost"))
		fprintf(stderr, "vpcwirectl: %lld events came faster than they were read\n", cli_int(answer, "lost"));
	for (size_t i = 0; i < vw_json_len(events) && r == CLI_OK; i++) {
		const struct vw_json *e = vw_json_at(events, i);

		if (c->json)
			r = cli_print_json_line(e);
		else
			printf("%s %-6s %s\n", cli_str(e, "ts"), cli_str(e, "kind"), cli_str(e, "text"));
	}
	return fflush(stdout) ? CLI_FAILED : r;
}

enum cli_exit cli_events(const struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "follow", no_argument, NULL, 'f' }, { 0 } };
	struct cli patient = *c;
	long long after = 0;
	bool follow = false;
	enum cli_exit r;
	int o;

	while ((o = getopt_long(argc, argv, "f", options, NULL)) != -1) {
		if (o != 'f')
			return CLI_USAGE;
		follow = true;
	}
	if (optind < argc)
		return cli_usage("events takes no arguments but -f");
	do {
		vw_auto_json struct vw_json *s = NULL;

		/* the first time: what there is */
		patient.timeout_ms = c->timeout_ms + (after ? WAIT_MS : 0);
		r = cli_query(&patient, "events", question(after, after ? WAIT_MS : 0), &s);
		if (r == CLI_OK)
			r = print_all(c, s);
		after = cli_int(s, "next");
	} while (follow && r == CLI_OK);
	return r;
}
