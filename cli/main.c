/* vpcwirectl: finds the command, runs it. */
#include "cli/cli.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/rpc/rpc.h"

#include <getopt.h>
#include <string.h>

#define TIMEOUT_MS 10000

static const struct {
	const char *words, *args, *help;
	enum cli_exit (*run)(const struct cli *c, int argc, char **argv);
} commands[] = {
	{ "status", "", "the node: does it serve, addresses, prefixes as a picture, policy in force, last errors, and what to do", cli_status },
	{ "pods", "", "who has which address, on which interface", cli_pods },
	{ "enis", "", "the node's ENIs and what they hold", cli_enis },
	{ "explain pod", "POD|IP", "address, ENI, prefix, veth, routes, rules, filters and policy of a pod, each compared with the kernel",
	  cli_explain_pod },
	{ "pool plan", "", "what the planner would ask of EC2 now, and why; nothing is asked", cli_pool_plan },
	{ "doctor", "", "what keeps this node from serving pods, and how to mend it: kernel, other CNIs, MTU, metadata, permissions", cli_doctor },
	{ "events", "[-f]", "what has happened: the daemon's log and denied connections; -f goes on with what happens", cli_events },
	{ "drain", "[--off] [--wait]", "no new pods, and addresses that none uses go back to EC2; --wait until no pod and nothing more is held",
	  cli_drain },
	{ "dump", "[--output FILE]", "one archive for a bug report, without secrets", cli_dump },
	{ "policy status", "", "network policy: what is in force, what was refused, how full the tables are", cli_policy_status },
	{ "policy explain", "--from POD|IP|node --to POD|IP|node [--port N/PROTO] [--name DNS]",
	  "why a connection is allowed or denied, policy by policy", cli_policy_explain },
	{ "policy simulate", "--with FILE [--with FILE ...]", "which connections would change if these manifests were there too",
	  cli_policy_simulate },
};

static void help(FILE *to)
{
	fputs("usage: vpcwirectl [--socket PATH] [--json] [--timeout SECONDS] COMMAND [ARGUMENTS]\n"
	      "       vpcwirectl --version | --help\n\n",
	      to);
	for (size_t i = 0; i < VW_ARRAY_SIZE(commands); i++)
		fprintf(to, "  %s%s%s\n      %s\n", commands[i].words, *commands[i].args ? " " : "", commands[i].args,
			commands[i].help);
	fputs("\nPOD is NAMESPACE/NAME, node this one; PROTO is tcp, udp, sctp, icmp or icmpv6; without --port it is icmp.\n"
	      "Exit codes: 0 fine, 1 the daemon refused, 2 wrong usage, 3 no daemon answers, 4 something wants attention.\n",
	      to);
}

enum cli_exit cli_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("vpcwirectl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputs(" (see vpcwirectl --help)\n", stderr);
	va_end(ap);
	return CLI_USAGE;
}

const char *cli_str(const struct vw_json *j, const char *key)
{
	const char *s = vw_json_string(vw_json_get(j, key));

	return s ? s : "";
}

long long cli_int(const struct vw_json *j, const char *key)
{
	struct vw_err err;
	int64_t v = 0;

	return vw_json_get_int(j, key, INT64_MIN, INT64_MAX, &v, &err) > 0 ? (long long)v : 0;
}

bool cli_bool(const struct vw_json *j, const char *key)
{
	struct vw_err err;
	bool v = false;

	return vw_json_get_bool(j, key, &v, &err) > 0 && v;
}

static enum cli_exit print_json(const struct vw_json *j, unsigned int indent)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	if (vw_json_print(j, indent, &b) < 0 || vw_buf_err(&b) < 0) {
		fputs("vpcwirectl: out of memory\n", stderr);
		return CLI_FAILED;
	}
	puts(vw_buf_str(&b));
	return CLI_OK;
}

enum cli_exit cli_print_json(const struct vw_json *j)
{
	return print_json(j, 2);
}

enum cli_exit cli_print_json_line(const struct vw_json *j)
{
	return print_json(j, 0);
}

enum cli_exit cli_try_query(const struct cli *c, const char *what, struct vw_json *take_args, struct vw_json **ret_answer, struct vw_err *err)
{
	struct vw_rpc_req req = { .op = VW_RPC_QUERY, .args = take_args };
	vw_auto_json struct vw_json *reply = NULL;
	int r;

	(void)VW_COPY(req.what, what);
	r = vw_rpc_call(c->socket_path, &req, vw_mono_ms() + c->timeout_ms, &reply, err);
	vw_rpc_req_done(&req);
	if (r == 0) {
		*ret_answer = vw_json_copy(vw_json_get(reply, "result"));
		if (*ret_answer)
			return CLI_OK;
		vw_err_set(err, EPROTO, 0, "vpcwired's answer has no 'result'");
	}
	return cli_exit_of(err);
}

enum cli_exit cli_exit_of(const struct vw_err *err)
{
	return err->eno == ECONNREFUSED || err->eno == ETIMEDOUT ? CLI_NO_DAEMON : CLI_FAILED;
}

enum cli_exit cli_query(const struct cli *c, const char *what, struct vw_json *take_args, struct vw_json **ret_answer)
{
	struct vw_err err;
	enum cli_exit r = cli_try_query(c, what, take_args, ret_answer, &err);

	if (r != CLI_OK)
		fprintf(stderr, "vpcwirectl: %s\n", err.msg);
	return r;
}

/* an answer that did not get out, on a full disk for instance, is none */
static enum cli_exit written(enum cli_exit r)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return r;
	fputs("vpcwirectl: what it has to say cannot be written\n", stderr);
	return CLI_FAILED;
}

/** match() - how many words of argv a command's name takes, 0 = not this one. */
static int match(const char *words, int argc, char **argv)
{
	int n = 0;

	for (const char *w = words; *w; n++) {
		size_t len = strcspn(w, " ");

		if (n >= argc || strlen(argv[n]) != len || memcmp(argv[n], w, len) != 0)
			return 0;
		w += len + (w[len] == ' ');
	}
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },       { 0 },
	};
	const char *env = getenv("VPCWIRE_SOCKET");
	struct cli c = { .socket_path = env && *env ? env : VW_RPC_DEFAULT_SOCKET, .timeout_ms = TIMEOUT_MS };
	uint64_t seconds;
	int o;

	while ((o = getopt_long(argc, argv, "+s:jt:hV", options, NULL)) != -1) {
		switch (o) {
		case 's':
			c.socket_path = optarg;
			break;
		case 'j':
			c.json = true;
			break;
		case 't':
			if (vw_parse_u64(optarg, 1, 3600, &seconds) < 0)
				return cli_usage("--timeout '%s' is not a number of seconds from 1 to 3600", optarg);
			c.timeout_ms = (unsigned int)seconds * 1000;
			break;
		case 'h':
			help(stdout);
			return written(CLI_OK);
		case 'V':
			puts("vpcwirectl " VW_VERSION);
			return written(CLI_OK);
		default:
			return CLI_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	for (size_t i = 0; i < VW_ARRAY_SIZE(commands); i++) {
		int n = match(commands[i].words, argc, argv);

		if (n) {
			/* getopt starts anew behind the command's words, of which the last stands for the program's name */
			optind = 0;
			return written(commands[i].run(&c, argc - n + 1, argv + n - 1));
		}
	}
	if (argc == 0) {
		help(stderr);
		return CLI_USAGE;
	}
	return cli_usage("there is no command '%s%s%s'", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
}
