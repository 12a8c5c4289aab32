/* SPDX-License-Identifier: Apache-2.0 */
/* vpcwire-sim: a VPC on one machine. Dispatch of the subcommands. */
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "sim/cmd.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;              /* NULL: only started by the lab itself */
} commands[] = {
	{ "serve", sim_cmd_serve, "EC2, IMDS, STS and credentials over HTTP, without packets" },
	{ "ctl", sim_cmd_ctl, "ask or disturb a running simulator" },
	{ "lab", sim_cmd_lab, "a whole VPC with its nodes, in namespaces; run a command in it" },
	{ "exec", sim_cmd_exec, "run a command in a node of a lab" },
	{ "daemon", sim_cmd_daemon, "start, stop, kill a node's vpcwired" },
	{ "lab-init", sim_cmd_lab_init, NULL },
	{ "lab-node", sim_cmd_lab_node, NULL },
};

static int usage(FILE *f, int status)
{
	size_t i;

	fputs("Usage: vpcwire-sim COMMAND [OPTION...]\n", f);
	for (i = 0; i < VW_ARRAY_SIZE(commands); i++)
		if (commands[i].about)
			fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].about);
	fputs("`vpcwire-sim COMMAND --help` says more.\n", f);
	return status;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return usage(stderr, 2);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout, 0);
	if (strcmp(argv[1], "--version") == 0)
		return puts("vpcwire-sim " VW_VERSION) < 0;
	for (i = 0; i < VW_ARRAY_SIZE(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "vpcwire-sim: there is no command '%s'\n", argv[1]);
	return usage(stderr, 2);
}
