/* vpcwirectl pool plan: what the planner would ask of EC2 now, and why. */
#include "cli/cli.h"

#include "lib/json/json.h"

#include <stdio.h>
#include <string.h>

static void print_action(const char *mark, const struct vw_json *a)
{
	const struct vw_json *cidrs = vw_json_get(a, "cidrs");

	printf("  %s %s", mark, cli_str(a, "action"));
	if (*cli_str(a, "eni"))
		printf(" %s", cli_str(a, "eni"));
	if (*cli_str(a, "subnet"))
		printf(" in %s", cli_str(a, "subnet"));
	if (cli_int(a, "prefixes"))
		printf(", %lld prefixes", cli_int(a, "prefixes"));
	if (cli_int(a, "addresses"))
		printf(", %lld addresses", cli_int(a, "addresses"));
	for (size_t i = 0; i < vw_json_len(cidrs); i++)
		printf("%s%s", i ? " " : ": ", vw_json_string(vw_json_at(cidrs, i)));
	putchar('\n');
}

static void print_held(const struct vw_json *h)
{
	printf("  held up: %s: %s\n", cli_str(h, "action"), cli_str(h, "why"));
}

static void each(const struct vw_json *list, const char *title, const char *mark)
{
	if (vw_json_len(list))
		printf("%s\n", title);
	for (size_t i = 0; i < vw_json_len(list); i++)
		print_action(mark, vw_json_at(list, i));
}

enum cli_exit cli_pool_plan(const struct cli *c, int argc, char **argv)
{
	vw_auto_json struct vw_json *s = NULL;
	const struct vw_json *held, *unmet, *limits;
	enum cli_exit r;

	(void)argv;
	if (argc > 1)
		return cli_usage("pool plan takes no arguments");
	r = cli_query(c, "pool-plan", NULL, &s);
	if (r != CLI_OK)
		return r;
	unmet = vw_json_get(s, "unmet_because");
	if (c->json) {
		r = cli_print_json(s);
		return r == CLI_OK && unmet ? CLI_FINDINGS : r;
	}
	held = vw_json_get(s, "held_up");
	limits = vw_json_get(s, "limits");
	printf("%s\n", cli_str(s, "reason"));
	printf("the node may have %lld ENIs with %lld %s each, %lld addresses in all\n", cli_int(limits, "enis"), cli_int(limits, "slots_per_eni"),
	       !strcmp(cli_str(s, "mode"), "prefixes") ? "prefixes" : "addresses", cli_int(limits, "addresses"));
	each(vw_json_get(s, "under_way"), "under way:", "-");
	each(vw_json_get(s, "actions"), "would be asked of EC2 now:", "+");
	if (!vw_json_len(vw_json_get(s, "actions")))
		puts("nothing would be asked of EC2 now");
	for (size_t i = 0; i < vw_json_len(held); i++)
		print_held(vw_json_at(held, i));
	if (unmet)
		printf("%lld addresses cannot be had: %s\n", cli_int(s, "unmet"), cli_str(unmet, "why"));
	if (vw_json_get(s, "again_in_ms"))
		printf("looked at again in %.1f s, or when something changes\n", (double)cli_int(s, "again_in_ms") / 1000);
	return unmet ? CLI_FINDINGS : CLI_OK;
}
