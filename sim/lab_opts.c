// SPDX-License-Identifier: Apache-2.0
/* The command line of `lab`. The init parses the same one again. */
#include "sim/lab.h"

#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

static const char help[] =
	"vpcwire-sim lab [OPTIONS] [-- CMD...]\n"
	"A VPC with its nodes in namespaces of its own; runs CMD (default: a shell) in the first node\n"
	"and takes everything down.\n"
	"\n"
	"  --nodes N              how many nodes (default: what --config has, at least 1)\n"
	"  --instance-type T      of the nodes that --config does not name (default m5.large)\n"
	"  --prefix-delegation    the daemons delegate /28 prefixes to ENIs\n"
	"  --ipv6                 pods have IPv6 (ENABLE_IPv6); nodes have an IPv6 address where their subnet has IPv6\n"
	"  --config FILE          the VPC (docs/SIM.md)\n"
	"  --daemon-config FILE   /etc/vpcwire/vpcwired.json of every node\n"
	"  --no-daemon            nodes without vpcwired\n"
	"  --keep                 leave the lab running after CMD (without CMD: at once)\n"
	"  --verbose              say more\n"
	"  --cleanup              remove what labs left whose process is gone, and end kept labs\n";

enum {
	OPT_NODES = 256,
	OPT_TYPE,
	OPT_PD,
	OPT_IPV6,
	OPT_CONFIG,
	OPT_DCONFIG,
	OPT_NODAEMON,
	OPT_KEEP,
	OPT_CLEANUP,
	OPT_VERBOSE
};

static const struct option options[] = {
	{ "nodes", required_argument, NULL, OPT_NODES },
	{ "instance-type", required_argument, NULL, OPT_TYPE },
	{ "prefix-delegation", no_argument, NULL, OPT_PD },
	{ "ipv6", no_argument, NULL, OPT_IPV6 },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "daemon-config", required_argument, NULL, OPT_DCONFIG },
	{ "no-daemon", no_argument, NULL, OPT_NODAEMON },
	{ "keep", no_argument, NULL, OPT_KEEP },
	{ "cleanup", no_argument, NULL, OPT_CLEANUP },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int take(int opt, struct lab_opts *o, struct vw_err *err)
{
	uint64_t n;

	switch (opt) {
	case OPT_NODES:
		if (vw_parse_u64(optarg, 1, LAB_MAX_NODES, &n) < 0)
			return vw_err_set(err, EINVAL, 0, "--nodes wants a number from 1 to %d, not '%s'",
					  LAB_MAX_NODES, optarg);
		o->n_nodes = (unsigned int)n;
		return 0;
	case OPT_TYPE:
		o->instance_type = optarg;
		return 0;
	case OPT_PD:
		o->prefix_delegation = true;
		return 0;
	case OPT_IPV6:
		o->ipv6 = true;
		return 0;
	case OPT_CONFIG:
		o->config = optarg;
		return 0;
	case OPT_DCONFIG:
		o->daemon_config = optarg;
		return 0;
	case OPT_NODAEMON:
		o->no_daemon = true;
		return 0;
	case OPT_KEEP:
		o->keep = true;
		return 0;
	case OPT_CLEANUP:
		o->cleanup = true;
		return 0;
	case OPT_VERBOSE:
		o->verbose = true;
		return 0;
	case 'h':
		fputs(help, stdout);
		return 1;
	default:
		return vw_err_set(err, EINVAL, 0, "see 'vpcwire-sim lab --help'");
	}
}

int lab_opts_parse(int argc, char **argv, struct lab_opts *ret_opts, struct vw_err *err)
{
	struct lab_opts o = { .n_nodes = 1, .instance_type = "m5.large" };
	int opt, r;

	optind = 0;     /* glibc: start over */
	while ((opt = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		r = take(opt, &o, err);
		if (r)
			return r;
	}
	if (optind < argc)
		o.cmd = &argv[optind];
	*ret_opts = o;
	return 0;
}
