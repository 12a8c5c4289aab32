/* vpcwirectl policy: what is in force, why a connection is allowed or denied, what other manifests would change. */
#include "cli/cli.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#define NEARLY_FULL_PERCENT 80

/* --- status */

void cli_print_refused(const struct vw_json *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct vw_json *r = vw_json_at(list, i);

		printf("REFUSED %s: %s%s%s%s%s\n", cli_str(r, "file"), cli_str(r, "object"), *cli_str(r, "object") ? ": " : "",
		       cli_str(r, "path"), *cli_str(r, "path") ? ": " : "", cli_str(r, "reason"));
	}
}

static void print_warnings(const struct vw_json *list)
{
	for (size_t i = 0; i < vw_json_len(list); i++) {
		const struct vw_json *w = vw_json_at(list, i);

		printf("warning %s: %s%s%s\n", cli_str(w, "file"), cli_str(w, "object"), *cli_str(w, "object") ? ": " : "", cli_str(w, "text"));
	}
}

static bool is_nearly_full(const struct vw_json *map)
{
	long long used = cli_int(map, "used"), max = cli_int(map, "max");

	return max && used * 100 >= max * NEARLY_FULL_PERCENT;
}

static bool wants_attention(const struct vw_json *s)
{
	const struct vw_json *maps = vw_json_get(s, "maps");
	bool full = false;

	for (size_t i = 0; i < vw_json_len(maps); i++)
		full |= is_nearly_full(vw_json_at(maps, i));
	return vw_json_len(vw_json_get(s, "refused")) || *cli_str(s, "failed") || full;
}

static void print_maps(const struct vw_json *maps)
{
	printf("\n%-12s %10s %10s\n", "TABLE", "USED", "MAX");
	for (size_t i = 0; i < vw_json_len(maps); i++) {
		const struct vw_json *m = vw_json_at(maps, i);

		printf("%-12s %10lld %10lld%s\n", cli_str(m, "name"), cli_int(m, "used"), cli_int(m, "max"), is_nearly_full(m) ? "  NEARLY FULL" : "");
	}
}

static void print_object(const char *title, const struct vw_json *o)
{
	const struct vw_json *v;
	void *iter = NULL;

	if (!vw_json_len(o))
		return;
	printf("%s:", title);
	for (const char *k; (k = vw_json_each(o, &iter, &v));)
		printf(" %s %lld", k, cli_int(o, k));
	putchar('\n');
}

static void print_pods(const struct vw_json *pods)
{
	printf("\n%-40s %-16s %-8s %-8s %7s %6s\n", "POD", "ADDRESS", "INGRESS", "EGRESS", "FLOWS", "TABLE");
	for (size_t i = 0; i < vw_json_len(pods); i++) {
		const struct vw_json *p = vw_json_at(pods, i);

		printf("%-40s %-16s %-8s %-8s %7lld %6lld\n", *cli_str(p, "pod") ? cli_str(p, "pod") : "-",
		       *cli_str(p, "address") ? cli_str(p, "address") : cli_str(p, "address6"),
		       cli_bool(p, "isolated_ingress") ? "isolated" : "open", cli_bool(p, "isolated_egress") ? "isolated" : "open",
		       cli_int(p, "flows"), cli_int(p, "table"));
	}
}

static void print_rules(const struct vw_json *rules)
{
	if (!vw_json_len(rules))
		return;
	printf("\n%-14s %-7s %-6s %10s %12s  %s\n", "TIER", "DIR", "ACTION", "PACKETS", "BYTES", "POLICY AND RULE");
	for (size_t i = 0; i < vw_json_len(rules); i++) {
		const struct vw_json *r = vw_json_at(rules, i);

		printf("%-14s %-7s %-6s %10lld %12lld  %s %s %s\n", cli_str(r, "tier"), cli_str(r, "dir"), cli_str(r, "action"),
		       cli_int(r, "packets"), cli_int(r, "bytes"), cli_str(r, "kind"), cli_str(r, "policy"),
		       *cli_str(r, "rule") ? cli_str(r, "rule") : "(default)");
	}
}

enum cli_exit cli_policy_status(const struct cli *c, int argc, char **argv)
{
	vw_auto_json struct vw_json *s = NULL;
	const struct vw_json *refused;
	enum cli_exit r;

	if (argc > 1)
		return cli_usage("policy status takes no arguments");
	r = cli_query(c, "policy-status", NULL, &s);
	if (r != CLI_OK)
		return r;
	refused = vw_json_get(s, "refused");
	if (c->json) {
		r = cli_print_json(s);
		return r == CLI_OK && wants_attention(s) ? CLI_FINDINGS : r;
	}
	printf("mode %s%s, changed policies %s flows, folder %s\n", cli_str(s, "mode"), cli_bool(s, "audit") ? ", AUDIT (nothing is dropped)" : "",
	       cli_str(s, "flows_of_changed_policies"), cli_str(s, "policy_dir"));
	printf("generation %lld, applied %lld%s; the last change took %lld ms; %lld classes of peers, %lld of ports, %lld tables\n",
	       cli_int(s, "generation"), cli_int(s, "applied"), cli_bool(s, "pending") ? " (one is being applied)" : "",
	       cli_int(s, "last_apply_ms"), cli_int(s, "classes"), cli_int(s, "port_classes"), cli_int(s, "tables"));
	if (*cli_str(s, "failed"))
		printf("FAILED %s\n", cli_str(s, "failed"));
	cli_print_refused(refused, vw_json_len(refused));
	print_warnings(vw_json_get(s, "warnings"));
	print_object("objects", vw_json_get(s, "objects"));
	print_object("drops", vw_json_get(s, "drops"));
	print_object("events", vw_json_get(s, "events"));
	print_maps(vw_json_get(s, "maps"));
	print_pods(vw_json_get(s, "pods"));
	print_rules(vw_json_get(s, "rules"));
	return wants_attention(s) ? CLI_FINDINGS : CLI_OK;
}

/* --- explain */

static void print_walk(const struct vw_json *walk)
{
	for (size_t i = 0; i < vw_json_len(walk); i++) {
		const struct vw_json *w = vw_json_at(walk, i);

		printf("    %-14s %s %s%s%s: %s\n", cli_str(w, "tier"), cli_str(w, "kind"), cli_str(w, "policy"), *cli_str(w, "rule") ? " " : "",
		       cli_str(w, "rule"), cli_str(w, "outcome"));
	}
}

static void print_end(const char *dir, const struct vw_json *e)
{
	if (vw_json_is_null(e))
		return;
	if (*cli_str(e, "note")) {
		printf("  %s: %s\n", dir, cli_str(e, "note"));
		return;
	}
	printf("  %s of %s: %s by %s%s%s%s%s\n", dir, cli_str(e, "pod"), cli_str(e, "verdict"),
	       *cli_str(e, "kind") ? cli_str(e, "kind") : "default", *cli_str(e, "policy") ? " " : "", cli_str(e, "policy"),
	       *cli_str(e, "rule") ? " " : "", cli_str(e, "rule"));
	if (*cli_str(e, "reason"))
		printf("    %s\n", cli_str(e, "reason"));
	print_walk(vw_json_get(e, "walk"));
	printf("    tables: class %lld x port class %lld = %s; kernel: %s\n", cli_int(e, "class"), cli_int(e, "port_class"),
	       cli_str(e, "verdict"), cli_str(e, "kernel"));
}

enum cli_exit cli_policy_explain(const struct cli *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'f' }, { "to", required_argument, NULL, 't' },
		{ "port", required_argument, NULL, 'p' }, { "name", required_argument, NULL, 'n' },
		{ 0 },
	};
	struct vw_json *args = vw_json_new_object();
	vw_auto_json struct vw_json *s = NULL;
	bool from = false, to = false;
	enum cli_exit r;
	int o, failed = 0;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const char *key = o == 'f' ? "from" : o == 't' ? "to" : o == 'p' ? "port" : o == 'n' ? "name" : NULL;

		if (!key) {
			vw_json_free(args);
			return CLI_USAGE;
		}
		from |= o == 'f';
		to |= o == 't';
		failed |= vw_json_set_str(args, key, optarg);
	}
	if (failed || !from || !to || optind < argc) {
		vw_json_free(args);
		return cli_usage("policy explain wants --from and --to");
	}
	r = cli_query(c, "policy-explain", args, &s);
	if (r != CLI_OK)
		return r;
	if (c->json) {
		r = cli_print_json(s);
		return r == CLI_OK && *cli_str(s, "disagreement") ? CLI_FINDINGS : r;
	}
	printf("%s -> %s %s: %s\n", cli_str(s, "from"), cli_str(s, "to"), cli_str(s, "port"), cli_str(s, "verdict"));
	print_end("egress", vw_json_get(s, "egress"));
	print_end("ingress", vw_json_get(s, "ingress"));
	if (*cli_str(s, "disagreement")) {
		printf("DISAGREEMENT %s\n", cli_str(s, "disagreement"));
		return CLI_FINDINGS;
	}
	return CLI_OK;
}

/* --- simulate */

#define LIST_MAX 8

/* "a, b and 3 more" */
static void print_list(const struct vw_json *change, const char *key, const char *count)
{
	const struct vw_json *list = vw_json_get(change, key);
	size_t shown = vw_json_len(list) < LIST_MAX ? vw_json_len(list) : LIST_MAX;
	long long more = cli_int(change, count) - (long long)shown;

	for (size_t i = 0; i < shown; i++)
		printf("%s%s", i ? ", " : "", vw_json_string(vw_json_at(list, i)));
	if (more > 0)
		printf(" and %lld more", more);
}

static int add_file(struct vw_json *files, const char *path)
{
	char full[PATH_MAX];

	/* the daemon reads it: its idea of the current folder is another one */
	if (!realpath(path, full)) {
		fprintf(stderr, "vpcwirectl: '%s': %s\n", path, strerror(errno));
		return -1;
	}
	return vw_json_append(files, vw_json_new_string(full));
}

enum cli_exit cli_policy_simulate(const struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "with", required_argument, NULL, 'w' }, { 0 } };
	struct vw_json *args = vw_json_new_object(), *files = vw_json_new_array();
	vw_auto_json struct vw_json *s = NULL;
	const struct vw_json *changes;
	enum cli_exit r = CLI_OK;
	int o;

	while (r == CLI_OK && (o = getopt_long(argc, argv, "", options, NULL)) != -1)
		r = o != 'w' ? CLI_USAGE : add_file(files, optarg) < 0 ? CLI_FAILED : CLI_OK;
	if (r == CLI_OK && (optind < argc || !vw_json_len(files)))
		r = cli_usage("policy simulate wants --with FILE");
	if (vw_json_set(args, "with", files) < 0 || r != CLI_OK) {
		vw_json_free(args);
		return r != CLI_OK ? r : CLI_FAILED;
	}
	r = cli_query(c, "policy-simulate", args, &s);
	if (r != CLI_OK)
		return r;
	changes = vw_json_get(s, "changes");
	if (c->json) {
		r = cli_print_json(s);
		return r == CLI_OK && vw_json_len(changes) ? CLI_FINDINGS : r;
	}
	for (size_t i = 0; i < vw_json_len(changes); i++) {
		const struct vw_json *d = vw_json_at(changes, i);

		print_list(d, "pods", "n_pods");
		printf(" %s ", !strcmp(cli_str(d, "dir"), "egress") ? "to" : "from");
		print_list(d, "peers", "n_peers");
		printf(", ");
		print_list(d, "ports", "n_ports");
		printf(": %s -> %s (%s)\n", cli_str(d, "before"), cli_str(d, "after"), cli_str(d, "because"));
	}
	printf("%zu changes%s\n", vw_json_len(changes), cli_bool(s, "cut") ? " shown, there are more" : "");
	return vw_json_len(changes) ? CLI_FINDINGS : CLI_OK;
}
