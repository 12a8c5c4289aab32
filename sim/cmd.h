/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * DOC: subcommands of vpcwire-sim
 *
 * Each gets argc/argv with argv[0] = its own name and returns the exit status. sim/main.c holds the table.
 */
int sim_cmd_serve(int argc, char **argv);
int sim_cmd_ctl(int argc, char **argv);
int sim_cmd_lab(int argc, char **argv);
int sim_cmd_exec(int argc, char **argv);
int sim_cmd_daemon(int argc, char **argv);
/* Started by `lab` only. */
int sim_cmd_lab_init(int argc, char **argv);
int sim_cmd_lab_node(int argc, char **argv);
