// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct vw_err;

/** enum sim_ns - the namespaces a lab makes. SIM_NS_PID only takes effect on a child. */
enum sim_ns { SIM_NS_NET, SIM_NS_MNT, SIM_NS_UTS, SIM_NS_PID, SIM_N_NS };

/** struct sim_nsfds - borrowed or owned fds of namespaces; -1 = stay in the current one. */
struct sim_nsfds {
	int fd[SIM_N_NS];
};

#define SIM_NSFDS_INIT { { -1, -1, -1, -1 } }
/** sim_nsfds_close() - closes what is there; a scope-exit cleanup too. */
void sim_nsfds_close(struct sim_nsfds *ns);
/**
 * sim_nsfds_of() - open the namespaces of process @pid (as /proc of the caller numbers it). Return: 0,
 * -errno.
 */
int sim_nsfds_of(pid_t pid, struct sim_nsfds *ret_ns, struct vw_err *err);

/**
 * struct sim_spawn - a program to start.
 * @path:        absolute, or a name to look for in @envp's PATH, after entering the namespaces.
 * @envp:        NULL: the caller's environment.
 * @ns:          entered before the program starts, NULL = none.
 * @new_ns:      CLONE_NEW* to make.
 * @stdio:       fds that become 0, 1, 2; -1 = inherited.
 * @pass_fd:     becomes fd 3; -1 = none. Every other fd of the caller is close-on-exec and stays behind.
 * @cwd:         changed to after entering the namespaces; where it is not there, "/". NULL = stay.
 * @new_session: setsid(): no terminal's signals reach it.
 * @die_with_us: SIGKILL when the caller's thread ends (PR_SET_PDEATHSIG).
 */
struct sim_spawn {
	const char *path;
	const char *const *argv;
	const char *const *envp;
	const struct sim_nsfds *ns;
	int new_ns;
	int stdio[3];
	int pass_fd;
	const char *cwd;
	bool new_session;
	bool die_with_us;
};

#define SIM_SPAWN_INIT { .stdio = { -1, -1, -1 }, .pass_fd = -1 }

/**
 * sim_spawn() - start it, with default signal handling and nothing blocked. Returns when exec has happened.
 * Return: pid, -errno (also when the program could not be executed).
 */
pid_t sim_spawn(const struct sim_spawn *s, struct vw_err *err);
/** sim_self_path() - absolute path of the running program. Return: 0, -errno. */
int sim_self_path(char *buf, size_t size, struct vw_err *err);
