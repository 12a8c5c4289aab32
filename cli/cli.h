#pragma once

#include <stdbool.h>
#include <stddef.h>

struct vw_err;
struct vw_json;

/**
 * DOC: vpcwirectl
 *
 * One query to the daemon, one answer on stdout; doctor and dump also look at the node themselves. A command is a row of a table (main.c): its words, what stands behind
 * them, and the function that runs it. Exit codes:
 */
enum cli_exit {
	CLI_OK,
	CLI_FAILED,     /* the daemon refused or could not; stderr says why */
	CLI_USAGE,      /* the command line is wrong */
	CLI_NO_DAEMON,  /* nobody answers at the socket */
	CLI_FINDINGS,   /* it worked, and what it found wants attention: refused manifests, verdicts that would change */
};

/** struct cli - what all commands share. @json: print the answer as it came. */
struct cli {
	const char *socket_path;
	bool json;
	unsigned int timeout_ms;
};

/**
 * cli_query() - ask the daemon. @take_args: an object or NULL. *ret_answer is the caller's.
 * Return: CLI_OK; else it has printed why, and the code to exit with.
 */
enum cli_exit cli_query(const struct cli *c, const char *what, struct vw_json *take_args, struct vw_json **ret_answer);
/** cli_try_query() - likewise, without a word: @err says why. cli_exit_of() - the code for a failed call. */
enum cli_exit cli_try_query(const struct cli *c, const char *what, struct vw_json *take_args, struct vw_json **ret_answer, struct vw_err *err);
enum cli_exit cli_exit_of(const struct vw_err *err);
/** cli_query_node() - query "node", with the list of its pods or without. */
enum cli_exit cli_query_node(const struct cli *c, bool pods, struct vw_json **ret_answer);
/** cli_print_json() - @j, indented, and a newline. cli_print_json_line() - on one line. */
enum cli_exit cli_print_json(const struct vw_json *j);
enum cli_exit cli_print_json_line(const struct vw_json *j);
/** cli_usage() - one line on stderr. Return: CLI_USAGE. */
enum cli_exit cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** cli_str(), cli_int() - a member of an answer, "" and 0 when it is not there. */
const char *cli_str(const struct vw_json *j, const char *key);
long long cli_int(const struct vw_json *j, const char *key);

/** cli_bool() - a member of an answer, false when it is not there. */
bool cli_bool(const struct vw_json *j, const char *key);

/** cli_or_dash() - @s, "-" when it is empty. */
const char *cli_or_dash(const char *s);
/**
 * cli_print_checks() - a list of {part, ok, what, todo}, a line each, and below what is to be done. @bad: the word for what is not ok.
 * cli_checks_bad() - how many are not.
 */
void cli_print_checks(const struct vw_json *checks, const char *bad);
unsigned int cli_checks_bad(const struct vw_json *checks);

/** cli_print_refused() - the first @n of a list of {file, object, path, reason}, a line each. */
void cli_print_refused(const struct vw_json *list, size_t n);

/* --- commands; @argv: what follows the command's words */
enum cli_exit cli_status(const struct cli *c, int argc, char **argv);
enum cli_exit cli_pods(const struct cli *c, int argc, char **argv);
enum cli_exit cli_enis(const struct cli *c, int argc, char **argv);
enum cli_exit cli_explain_pod(const struct cli *c, int argc, char **argv);
enum cli_exit cli_pool_plan(const struct cli *c, int argc, char **argv);
enum cli_exit cli_doctor(const struct cli *c, int argc, char **argv);
enum cli_exit cli_events(const struct cli *c, int argc, char **argv);
enum cli_exit cli_drain(const struct cli *c, int argc, char **argv);
enum cli_exit cli_dump(const struct cli *c, int argc, char **argv);
enum cli_exit cli_policy_status(const struct cli *c, int argc, char **argv);
enum cli_exit cli_policy_explain(const struct cli *c, int argc, char **argv);
enum cli_exit cli_policy_simulate(const struct cli *c, int argc, char **argv);
