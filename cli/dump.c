/*
 * vpcwirectl dump: what the daemon says, what the kernel and the journal say, in one archive. All of it goes through redact.c. Manifests are left
 * out: Pods carry their environments. What cannot be had is a line in the archive, not a failure.
 */
#include "cli/cli.h"

#include "cli/archive.h"
#include "cli/look.h"
#include "cli/redact.h"
#include "cli/run.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM_MS 10000
#define PROGRAM_MAX (16u * 1024 * 1024)

static const char *const queries[] = { "node", "doctor", "pool-plan", "policy-status", "drift", "denied", "events" };

static const struct {
	const char *file;
	const char *argv[12];
} programs[] = {
	{ "uname", { "uname", "-a" } },
	{ "link", { "ip", "-d", "-s", "link" } },
	{ "address", { "ip", "address" } },
	{ "rule", { "ip", "rule" } },
	{ "rule6", { "ip", "-6", "rule" } },
	{ "route", { "ip", "route", "show", "table", "all" } },
	{ "route6", { "ip", "-6", "route", "show", "table", "all" } },
	{ "neighbour", { "ip", "neighbour" } },
	{ "nft", { "nft", "list", "ruleset" } },
	{ "qdisc", { "tc", "-s", "qdisc" } },
	{ "bpf-net", { "bpftool", "net" } },
	{ "bpf-prog", { "bpftool", "prog" } },
	{ "sysctl", { "sysctl", "net.ipv4.conf", "net.ipv6.conf", "net.ipv4.ip_forward", "net.netfilter" } },
	{ "cni-net.d", { "ls", "-l", "/etc/cni/net.d", "/opt/cni/bin" } },
	{ "journal", { "journalctl", "-u", "vpcwired", "--no-pager", "-n", "5000", "-o", "short-iso-precise" } },
};

static int add(struct archive_file *a, const char *name, const char *text, size_t len, struct vw_err *err)
{
	vw_auto_buf struct vw_buf clean = VW_BUF_INIT;

	redact(text, len, &clean);
	if (vw_buf_err(&clean) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for %s", name);
	return archive_add(a, name, vw_buf_str(&clean), clean.len, err);
}

static int add_json(struct archive_file *a, const char *name, const struct vw_json *j, struct vw_err *err)
{
	vw_auto_json struct vw_json *clean = redact_json(j);
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	if (!clean || vw_json_print(clean, 2, &b) < 0 || vw_buf_err(&b) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for %s", name);
	return archive_add(a, name, vw_buf_str(&b), b.len, err);
}

static int add_query(const struct cli *c, struct archive_file *a, const char *what, struct vw_json **ret, struct vw_err *err)
{
	vw_auto_json struct vw_json *s = NULL;
	char name[64];
	struct vw_err why;
	int r;

	if (cli_try_query(c, what, NULL, &s, &why) != CLI_OK) {
		(void)!vw_fmt(name, sizeof(name), "daemon/%s.error", what);
		return add(a, name, why.msg, strlen(why.msg), err);
	}
	(void)!vw_fmt(name, sizeof(name), "daemon/%s.json", what);
	r = add_json(a, name, s, err);
	if (ret)
		*ret = VW_TAKE_PTR(s);
	return r;
}

static int add_metrics(const struct cli *c, struct archive_file *a, struct vw_err *err)
{
	vw_auto_json struct vw_json *s = NULL;
	const char *text;
	struct vw_err why;

	if (cli_try_query(c, "metrics", NULL, &s, &why) != CLI_OK)
		return 0;
	text = cli_str(s, "text");
	return add(a, "daemon/metrics.txt", text, strlen(text), err);
}

static int add_settings(struct archive_file *a, const struct vw_json *node, struct vw_err *err)
{
	const char *path = cli_str(vw_json_get(node, "config"), "path");
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	vw_auto_json struct vw_json *settings = NULL;
	struct vw_err why;

	if (!*path)
		return 0;
	if (vw_read_file(path, PROGRAM_MAX, &b, &why) < 0)
		return add(a, "vpcwired.json.error", why.msg, strlen(why.msg), err);
	if (vw_json_parse(vw_buf_str(&b), b.len, NULL, path, &settings, &why) == 0)
		return add_json(a, "vpcwired.json", settings, err);
	/* the daemon refuses it, and that may be what the report is about */
	return add(a, "vpcwired.json", vw_buf_str(&b), b.len, err);
}

static int add_program(struct archive_file *a, size_t i, struct vw_err *err)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT_MAX(PROGRAM_MAX);
	struct vw_err why;
	char name[64];
	int r = run_program(programs[i].argv, vw_mono_ms() + PROGRAM_MS, &out, &why);

	if (r < 0)
		vw_buf_printf(&out, "%s\n", why.msg);
	else if (r > 0)
		vw_buf_printf(&out, "\nexit %d\n", r);
	(void)!vw_fmt(name, sizeof(name), "node/%s.txt", programs[i].file);
	return add(a, name, vw_buf_str(&out), out.len, err);
}

static int add_look(struct archive_file *a, struct vw_err *err)
{
	vw_auto_json struct vw_json *checks = vw_json_new_array();

	if (look_at_node(checks) < 0)
		return vw_err_set(err, ENOMEM, 0, "no memory for a look at the node");
	return add_json(a, "node/look.json", checks, err);
}

static int fill(const struct cli *c, struct archive_file *a, struct vw_err *err)
{
	static const char about[] = "vpcwirectl " VW_VERSION " dump\ndaemon/: what vpcwired answers (docs/RPC.md), its metrics\nnode/: what the "
				    "node's own programs say\nvpcwired.json: its settings\nWhat could be a secret is replaced; manifests are not "
				    "here.\n";
	vw_auto_json struct vw_json *node = NULL;
	struct cli patient = *c;
	int r = archive_add(a, "README", about, sizeof(about) - 1, err);

	patient.timeout_ms = patient.timeout_ms < 30000 ? 30000 : patient.timeout_ms;   /* doctor asks EC2 */
	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(queries); i++)
		r = add_query(&patient, a, queries[i], i ? NULL : &node, err);
	if (r == 0)
		r = add_metrics(c, a, err);
	if (r == 0)
		r = add_settings(a, node, err);
	if (r == 0)
		r = add_look(a, err);
	for (size_t i = 0; r == 0 && i < VW_ARRAY_SIZE(programs); i++)
		r = add_program(a, i, err);
	return r;
}

static void default_name(char ret[128])
{
	char when[VW_TIME_STRLEN], host[65] = "node";

	(void)gethostname(host, sizeof(host) - 1);
	vw_time_str(vw_unix_s(), when);
	for (char *x = when; *x; x++)
		if (*x == ':')
			*x = '-';
	(void)!vw_fmt(ret, 128, "vpcwire-dump-%s-%s.tar.gz", host, when);
}

enum cli_exit cli_dump(const struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "output", required_argument, NULL, 'o' }, { 0 } };
	vw_auto_json struct vw_json *said = vw_json_new_object();
	struct archive_file *a = NULL;
	const char *path = NULL;
	char name[128];
	struct vw_err err;
	int o, r;

	while ((o = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (o != 'o')
			return CLI_USAGE;
		path = optarg;
	}
	if (optind < argc)
		return cli_usage("dump takes --output FILE");
	default_name(name);
	path = path ? path : name;
	r = archive_begin(path, &a, &err);
	if (r == 0)
		r = fill(c, a, &err);
	if (r < 0)
		archive_drop(a);
	else
		r = archive_end(a, &err);
	if (r < 0) {
		fprintf(stderr, "vpcwirectl: %s\n", err.msg);
		return CLI_FAILED;
	}
	if (!c->json)
		return puts(path) < 0 ? CLI_FAILED : CLI_OK;
	return vw_json_set_str(said, "archive", path) < 0 ? CLI_FAILED : cli_print_json(said);
}
