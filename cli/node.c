/* vpcwirectl status, pods, enis: the node as its daemon sees it. */
#include "cli/cli.h"

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#include <stdio.h>
#include <string.h>

#define REFUSED_SHOWN 5
#define ERRORS_SHOWN 5

enum cli_exit cli_query_node(const struct cli *c, bool pods, struct vw_json **ret)
{
	struct vw_json *args = vw_json_new_object();

	if (vw_json_set_bool(args, "pods", pods) < 0) {
		vw_json_free(args);
		args = NULL;    /* then with them */
	}
	return cli_query(c, "node", args, ret);
}

/* the query's answer, already printed when JSON is wanted */
static enum cli_exit ask(const struct cli *c, const char *command, int argc, bool pods, struct vw_json **ret, const char *member)
{
	enum cli_exit r;

	if (argc > 1)
		return cli_usage("%s takes no arguments", command);
	r = cli_query_node(c, pods, ret);
	if (r == CLI_OK && c->json)
		r = cli_print_json(member ? vw_json_get(*ret, member) : *ret);
	return r;
}

/* --- status */

static void print_state(const struct vw_json *n)
{
	printf("vpcwired %s on %s (%s, %s): %s\n", cli_str(n, "version"), cli_or_dash(cli_str(n, "instance_id")),
	       cli_or_dash(cli_str(n, "instance_type")), cli_or_dash(cli_str(n, "zone")),
	       cli_int(n, "cni") ? "NEEDS ATTENTION" : "serving");
}

static void print_todo(const struct vw_json *o, const char *indent)
{
	if (*cli_str(o, "todo"))
		printf("%s-> %s\n", indent, cli_str(o, "todo"));
}

/* what the runtime is told comes first; what the daemon last heard of the cloud may be wrong with a pool that still has addresses */
static void print_troubles(const struct vw_json *n)
{
	const struct vw_json *troubles = vw_json_get(n, "troubles");

	if (!troubles && cli_int(n, "cni"))     /* an older daemon */
		printf("WHY %s\n", cli_str(n, "why"));
	for (size_t i = 0; i < vw_json_len(troubles); i++) {
		const struct vw_json *t = vw_json_at(troubles, i);

		printf("%s %s\n", !i && cli_int(n, "cni") ? "WHY" : "TROUBLE", cli_str(t, "what"));
		print_todo(t, "    ");
	}
}

static void print_policy(const struct vw_json *n)
{
	const struct vw_json *p = vw_json_get(n, "policy"), *refused = vw_json_get(p, "refused");
	size_t shown = vw_json_len(refused) > REFUSED_SHOWN ? REFUSED_SHOWN : vw_json_len(refused);

	if (!p)
		return;
	printf("network policy: %s, generation %lld%s, %zu manifests refused\n", cli_str(p, "mode"), cli_int(p, "generation"),
	       cli_bool(p, "pending") ? " (a change is being put into force)" : " in force", vw_json_len(refused));
	if (*cli_str(p, "failed"))
		printf("TROUBLE the former policy stays in force: %s\n", cli_str(p, "failed"));
	cli_print_refused(refused, shown);
	if (vw_json_len(refused) > shown)
		printf("and %zu more: vpcwirectl policy status\n", vw_json_len(refused) - shown);
}

/* who brings the API server's objects here; nothing where nobody does */
static void print_feed(const struct vw_json *n)
{
	const struct vw_json *f = vw_json_get(n, "feed");

	if (!f)
		return;
	printf("API server: heard %lld s ago%s%s\n", cli_int(f, "heard_s"), cli_bool(f, "listed") ? "" : ", not all is listed yet",
	       cli_bool(f, "runs") ? "" : ", and vpcwire-feed does not run");
}

static void print_errors(const struct vw_json *n)
{
	const struct vw_json *errors = vw_json_get(n, "errors");

	for (size_t i = 0; i < vw_json_len(errors) && i < ERRORS_SHOWN; i++) {
		const struct vw_json *e = vw_json_at(errors, i);

		if (!i)
			puts("\nlast errors and warnings (vpcwirectl events has what came before and between):");
		printf("  %s %-5s %s", cli_str(e, "ts"), cli_str(e, "kind"), cli_str(e, "text"));
		if (cli_int(e, "times") > 1)
			printf(" (%lld times)", cli_int(e, "times"));
		putchar('\n');
		print_todo(e, "      ");
	}
}

static void print_pool(const struct vw_json *n)
{
	const struct vw_json *p = vw_json_get(n, "pool");

	printf("%lld pods; IPv4 addresses: %lld with pods, %lld free, %lld cooling down, %lld in all", cli_int(n, "n_pods"),
	       cli_int(p, "assigned"), cli_int(p, "available"), cli_int(p, "cooling"), cli_int(p, "total"));
	if (cli_int(p, "prefixes"))
		printf("; %lld prefixes, %lld of them unused", cli_int(p, "prefixes"), cli_int(p, "free_prefixes"));
	putchar('\n');
	if (vw_json_get(p, "warm_low"))
		printf("the pool follows demand: it grows below %lld free addresses to %lld, and gives back above %lld\n",
		       cli_int(p, "warm_low"), cli_int(p, "warm_fill"), cli_int(p, "warm_keep"));
	if (cli_int(p, "waiting") || cli_int(p, "actions_under_way"))
		printf("%lld pods wait, %lld changes at EC2 are under way\n", cli_int(p, "waiting"), cli_int(p, "actions_under_way"));
}

/* what the daemon may do to this machine; why, says --json */
static void print_confinement(const struct vw_json *n)
{
	const struct vw_json *c = vw_json_get(n, "confinement"), *caps = vw_json_get(c, "capabilities");

	if (!c)
		return;         /* an older daemon */
	fputs("vpcwired has", stdout);
	for (size_t i = 0; i < vw_json_len(caps); i++)
		printf("%s %s", i ? "," : "", cli_str(vw_json_at(caps, i), "name"));
	printf("; system calls that are not on its list: %s\n", cli_str(c, "system_calls"));
}

static void print_eni(const struct vw_json *e)
{
	printf("%-8s %-22s device %lld card %lld  %-15s %s%s%s\n", cli_or_dash(cli_str(e, "ifname")), cli_str(e, "id"), cli_int(e, "device"),
	       cli_int(e, "card"), cli_or_dash(cli_str(e, "address")), cli_or_dash(cli_str(e, "subnet_id")), cli_bool(e, "primary") ? "  primary" : "",
	       cli_bool(e, "wired") ? "" : "  NO LINK");
}

/* prefixes a line each; single addresses, which have one character, together */
static void print_use(const struct vw_json *e)
{
	const struct vw_json *slots = vw_json_get(e, "slots"), *use = vw_json_get(e, "use");
	size_t singles = 0;

	for (size_t i = 0; i < vw_json_len(slots); i++) {
		const char *text = vw_json_string(vw_json_at(use, i));

		if (!text || strlen(text) < 2)
			singles++;
		else
			printf("    %-18s %s\n", vw_json_string(vw_json_at(slots, i)), text);
	}
	if (singles)
		printf("    %-18s ", "single addresses");
	for (size_t i = 0; i < vw_json_len(slots); i++) {
		const char *text = vw_json_string(vw_json_at(use, i));

		if (text && strlen(text) == 1)
			fputs(text, stdout);
	}
	if (singles)
		putchar('\n');
	if (*cli_str(e, "ipv6_prefix"))
		printf("    %s\n", cli_str(e, "ipv6_prefix"));
}

static void print_enis(const struct vw_json *enis, bool use)
{
	for (size_t i = 0; i < vw_json_len(enis); i++) {
		print_eni(vw_json_at(enis, i));
		if (use)
			print_use(vw_json_at(enis, i));
	}
}

enum cli_exit cli_status(const struct cli *c, int argc, char **argv)
{
	vw_auto_json struct vw_json *n = NULL;
	const struct vw_json *policy;
	enum cli_exit r = ask(c, "status", argc, c->json, &n, NULL);

	if (r != CLI_OK)
		return r;
	if (!c->json) {
		print_state(n);
		print_troubles(n);
		print_pool(n);
		print_policy(n);
		print_feed(n);
		print_confinement(n);
		puts("\n# a pod has it  ~ cooling down  . free");
		print_enis(vw_json_get(n, "enis"), true);
		print_errors(n);
	}
	policy = vw_json_get(n, "policy");
	return cli_int(n, "cni") || *cli_str(n, "trouble") || *cli_str(vw_json_get(n, "placement"), "trouble") ||
	       vw_json_len(vw_json_get(n, "troubles")) || vw_json_len(vw_json_get(policy, "refused")) || *cli_str(policy, "failed") ?
		       CLI_FINDINGS : CLI_OK;
}

/* --- lists */

enum cli_exit cli_enis(const struct cli *c, int argc, char **argv)
{
	vw_auto_json struct vw_json *n = NULL;
	enum cli_exit r = ask(c, "enis", argc, false, &n, "enis");

	if (r == CLI_OK && !c->json)
		print_enis(vw_json_get(n, "enis"), false);
	return r;
}

static void print_pod(const struct vw_json *p)
{
	char name[520];

	(void)snprintf(name, sizeof(name), "%s/%s", cli_str(p, "pod_namespace"), cli_str(p, "pod_name"));
	printf("%-40s %-15s %-26s %-8s %-15s %.12s\n", *cli_str(p, "pod_name") ? name : "-", cli_or_dash(cli_str(p, "address")),
	       cli_or_dash(cli_str(p, "address6")), cli_str(p, "ifname"), cli_str(p, "host_ifname"), cli_str(p, "container_id"));
}

enum cli_exit cli_pods(const struct cli *c, int argc, char **argv)
{
	vw_auto_json struct vw_json *n = NULL;
	const struct vw_json *pods;
	enum cli_exit r = ask(c, "pods", argc, true, &n, "pods");

	if (r != CLI_OK || c->json)
		return r;
	pods = vw_json_get(n, "pods");
	printf("%-40s %-15s %-26s %-8s %-15s %s\n", "POD", "ADDRESS", "IPV6", "IN POD", "ON NODE", "CONTAINER");
	for (size_t i = 0; i < vw_json_len(pods); i++)
		print_pod(vw_json_at(pods, i));
	return CLI_OK;
}
