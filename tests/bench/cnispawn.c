/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs CNI plugins and times each from just before exec to its end, so that the driver's own cost (Python's fork of a large
 * process, pipes it reads late) stays out of the figures.
 *
 * One request a line on stdin: PLUGIN CONF COMMAND CONTAINERID NETNS IFNAME (CONF is a file that becomes the plugin's
 * stdin). One answer a line on stdout: nanoseconds, exit status, the file that holds what the plugin printed, and the most KiB that it
 * had in memory (of two such figures the kernel tells the larger, and posix_spawn's child begins with ours: so it is 1,500 at least).
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIELDS 6
#define ENV_LEN 512

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int split(char *line, char *field[FIELDS])
{
	int n = 0;
	char *word;

	line[strcspn(line, "\n")] = '\0';
	while ((word = strsep(&line, " ")) && n < FIELDS)
		field[n++] = word;
	return n == FIELDS && !word ? 0 : -1;
}

static int spawn(char *field[FIELDS], const char *cni_path, const char *out, int *ret_status, long long *ret_ns, long *ret_kib)
{
	char env[5][ENV_LEN];
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";      /* Debian's plugins run iptables */
	char *envp[] = { env[0], env[1], env[2], env[3], env[4], path, NULL };
	char *argv[] = { field[0], NULL };
	posix_spawn_file_actions_t fa;
	struct rusage used = { 0 };
	long long start;
	pid_t pid;
	int r;

	snprintf(env[0], ENV_LEN, "CNI_COMMAND=%s", field[2]);
	snprintf(env[1], ENV_LEN, "CNI_CONTAINERID=%s", field[3]);
	snprintf(env[2], ENV_LEN, "CNI_NETNS=%s", field[4]);
	snprintf(env[3], ENV_LEN, "CNI_IFNAME=%s", field[5]);
	snprintf(env[4], ENV_LEN, "CNI_PATH=%s", cni_path);

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, field[1], O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	start = now_ns();
	r = posix_spawn(&pid, field[0], &fa, NULL, argv, envp);
	if (r == 0) {
		while (wait4(pid, ret_status, 0, &used) < 0 && errno == EINTR)
			;
		*ret_ns = now_ns() - start;
		*ret_kib = used.ru_maxrss;
	}
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

int main(int argc, char **argv)
{
	char *line = NULL, *field[FIELDS];
	size_t cap = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: cnispawn CNI_PATH OUTPUT-FILE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (getline(&line, &cap, stdin) > 0) {
		long long ns = 0;
		long kib = 0;
		int status = 0, r;

		if (split(line, field) < 0) {
			fprintf(stderr, "cnispawn: a request has %d words\n", FIELDS);
			free(line);
			return 2;
		}
		r = spawn(field, argv[1], argv[2], &status, &ns, &kib);
		if (r < 0)
			printf("0 %d %s 0\n", -r, argv[2]);
		else
			printf("%lld %d %s %ld\n", ns, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), argv[2],
			       kib);
	}
	free(line);
	return 0;
}
