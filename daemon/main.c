/* vpcwired: command line, then daemon_new(), daemon_run(), daemon_free(). */
#include "daemon/advice.h"
#include "daemon/aws_ipam.h"
#include "daemon/cleanup.h"
#include "daemon/config.h"
#include "daemon/confine.h"
#include "daemon/daemon.h"
#include "daemon/http.h"
#include "daemon/migrate.h"
#include "daemon/trim.h"
#include "daemon/xml.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONFIG "/etc/vpcwire/vpcwired.json"

static const char usage[] =
	"usage: vpcwired [--config FILE] [--run-dir DIR] [--bpf-dir DIR]\n"
	"\n"
	"The node daemon of vpcwire: keeps ENIs, addresses and host routing, and serves the CNI plugin.\n"
	"\n"
	"  --config FILE   settings (default " DEFAULT_CONFIG "); docs/CONFIG.md names them all\n"
	"  --run-dir DIR   socket, store and lock (default /run/vpcwire)\n"
	"  --bpf-dir DIR   where programs and maps are pinned, on a bpffs (default /sys/fs/bpf/vpcwire)\n"
	"  --cleanup       for good: remove all that vpcwired and its pods have left in the kernel, the pins, the state; and exit\n"
	"  --from-aws-node[=FILE]  aws-node and vpcwired stopped: take over aws-node's pods (FILE: " AWS_IPAM_PATH ")\n"
	"  --from-aws-node-done    vpcwired serving: take away aws-node's rules and routes\n"
	"  --to-aws-node[=FILE]    vpcwired stopped: put aws-node's routes, rules and FILE back\n"
	"  --to-aws-node-done      aws-node serving: take away all of vpcwire's but the pods' interfaces\n"
	"                  docs/MIGRATION.md has all the steps\n"
	"  --print-config-docs  docs/CONFIG.md\n"
	"  --print-symptoms     the table of docs/OPERATIONS.md\n"
	"  --check         read the configuration, say what is wrong with it, and exit\n"
	"  --version, --help\n";

static int check_config(const char *path)
{
	struct vwired_config *cfg = NULL;
	struct vw_err err;

	if (vwired_config_load(path, &cfg, &err) < 0) {
		fprintf(stderr, "vpcwired: %s\n", err.msg);
		return 1;
	}
	printf("%s: ok\n", path);
	vwired_config_free(cfg);
	return 0;
}

static int clean_up(const char *path)
{
	struct vwired_config *cfg = NULL;
	struct vw_err err;
	int r = vwired_config_load(path, &cfg, &err);

	if (r == 0)
		r = cleanup(cfg, &err);
	if (r < 0)
		fprintf(stderr, "vpcwired: %s\n", err.msg);
	vwired_config_free(cfg);
	return r < 0 ? 1 : 0;
}

enum migration { NO_MIGRATION, FROM, FROM_DONE, TO, TO_DONE };

static int migrate(enum migration which, const char *config, const char *file)
{
	struct migrate_report n = { 0 };
	struct vwired_config *cfg = NULL;
	struct vw_err err;
	int r = vwired_config_load(config, &cfg, &err);

	if (r == 0 && which == FROM)
		r = migrate_from(cfg, file, &n, &err);
	else if (r == 0 && which == FROM_DONE)
		r = migrate_from_done(cfg, &n, &err);
	else if (r == 0 && which == TO)
		r = migrate_to(cfg, file, &n, &err);
	else if (r == 0)
		r = migrate_to_done(cfg, &n, &err);
	vwired_config_free(cfg);
	if (r < 0) {
		fprintf(stderr, "vpcwired: %s\n", err.msg);
		return 1;
	}
	if (which == FROM)
		printf("%zu pods taken over, %zu were before, %zu left out: they have no interface\n", n.done, n.known, n.gone);
	else if (which == TO)
		printf("%zu pods given to aws-node, %zu left out: they have no interface\n", n.done, n.gone);
	else if (which == FROM_DONE)
		printf("%zu routes and rules of aws-node removed, and of its policy agent %zu filters and %zu pins\n", n.done, n.filters, n.pins);
	else
		printf("%zu pods let go\n", n.done);
	return 0;
}

static int print_docs(int (*print)(struct vw_buf *b))
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;

	if (print(&b) < 0)
		return 1;
	fputs(vw_buf_str(&b), stdout);
	return 0;
}

/* a kernel without filters is a reason to say so, not to leave a node without addresses; who asked for `kill` means it */
static int filter_calls(enum config_calls mode, enum confine_phase phase, struct vw_err *err)
{
	int r = confine_calls(mode, phase, err);

	if (r == 0 || mode == CONFIG_CALLS_KILL)
		return r;
	vw_warn("system calls are not filtered, ignoring", "err=\"%s\"", err->msg);
	return 0;
}

static int start(const char *path, struct daemon **ret_daemon, struct vw_err *err)
{
	struct vwired_config *cfg = NULL;
	enum config_calls mode;
	int r = vwired_config_load(path, &cfg, err);

	if (r < 0)
		return r;
	mode = cfg->system_calls;
	r = filter_calls(mode, CONFINE_START, err);
	if (r < 0)
		vwired_config_free(cfg);
	else
		r = daemon_new(path, cfg, ret_daemon, err);
	return r < 0 ? r : filter_calls(mode, CONFINE_SERVING, err);
}

static int run(const char *path)
{
	struct daemon *d = NULL;
	struct vw_err err;
	int r = start(path, &d, &err);

	if (r == 0) {
		vw_info("serving", "socket=%s version=%s", d->socket_path, VW_VERSION);
		r = daemon_run(d, &err);
	}
	if (r < 0)
		vw_error("vpcwired ends", "err=\"%s\"", err.msg);
	daemon_free(d);
	return r < 0 ? 1 : 0;
}

/* one that comes before the loop has a handler would end the daemon; it waits, until loop_signal() lets it in */
static void hold_reload(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "run-dir", required_argument, NULL, 'r' },
		{ "bpf-dir", required_argument, NULL, 'b' }, { "check", no_argument, NULL, 'k' },
		{ "cleanup", no_argument, NULL, 'x' },
		{ "from-aws-node", optional_argument, NULL, 'F' }, { "from-aws-node-done", no_argument, NULL, 'f' },
		{ "to-aws-node", optional_argument, NULL, 'T' }, { "to-aws-node-done", no_argument, NULL, 't' },
		{ "print-config-docs", no_argument, NULL, 'd' }, { "print-symptoms", no_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'v' },      { "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *config = DEFAULT_CONFIG, *file = AWS_IPAM_PATH;
	enum migration migration = NO_MIGRATION;
	bool check = false, clean = false;
	struct vw_err err;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case 'r':       /* an environment name wins over the file; so does the command line */
			setenv("VPCWIRE_RUN_DIR", optarg, 1);
			break;
		case 'b':
			setenv("VPCWIRE_BPF_DIR", optarg, 1);
			break;
		case 'k':
			check = true;
			break;
		case 'F':
		case 'T':
			file = optarg ? optarg : file;
			migration = c == 'F' ? FROM : TO;
			break;
		case 'f':
			migration = FROM_DONE;
			break;
		case 't':
			migration = TO_DONE;
			break;
		case 'x':
			clean = true;
			break;
		case 'd':
			return print_docs(vwired_config_print_docs);
		case 's':
			return print_docs(advice_print_docs);
		case 'v':
			printf("vpcwired %s\n", VW_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "vpcwired: unexpected argument '%s'\n%s", argv[optind], usage);
		return 2;
	}
	if (check)
		return check_config(config);
	if (migration)
		return migrate(migration, config, file);
	if (!clean)
		hold_reload();
	if (confine_process(&err) < 0) {
		fprintf(stderr, "vpcwired: %s\n", err.msg);
		return 1;
	}
	if (clean)
		return clean_up(config);
	trim_init_process();
	if (http_init_process() < 0) {
		fputs("vpcwired: libcurl could not be started\n", stderr);
		return 1;
	}
	xml_init_process();
	return run(config);
}
