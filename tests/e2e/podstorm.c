/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods that start and stop, one after another, by the real plugin as a runtime calls it.
 *
 *   podstorm PLUGIN CONF CNI_PATH NAMESPACE COUNT
 *   podstorm PLUGIN CONF CNI_PATH NAMESPACE COUNT COLLECTOR COLLECTOR6|- NEXT6|- NETNS CIDR...
 *
 * CONF is the plugin's stdin, NAMESPACE the Kubernetes namespace of the pods. The second form is a race. In each new network namespace a
 * process sends, without pause and from before there is a link, to the COLLECTOR's address: past the stack and by it, to a port that
 * policy denies and to one that it allows. From NETNS, another pod's, two more processes flood every address where the pod may come
 * up (CIDRs; the IPv6 addresses from NEXT6 on, one for each pod), on a port that is denied and one that is not, and collect what comes
 * out. A pod is deleted when what is allowed has passed both ways, and fires on meanwhile.
 *
 * The last line of stdout is JSON: the sums of storm_report, and what was collected. Whoever sees packets at other places counts himself.
 */
#include "tests/e2e/podstorm.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ENV_LEN 512
#define PROVEN_MS 20000         /* for what is allowed to pass; a busy machine has been seen to take two seconds */

struct run {
	const char *plugin, *conf, *cni_path, *ns;
	uint64_t count;
	struct storm storm;
	bool race;
	struct storm_report sum;
};

static int plugin(const struct run *r, const char *command, uint64_t serial, pid_t pod)
{
	char env[6][ENV_LEN];
	char *envp[] = { env[0], env[1], env[2], env[3], env[4], env[5], NULL }, *argv[] = { (char *)r->plugin, NULL };
	posix_spawn_file_actions_t fa;
	int status = -1;
	pid_t pid;

	snprintf(env[0], ENV_LEN, "CNI_COMMAND=%s", command);
	snprintf(env[1], ENV_LEN, "CNI_CONTAINERID=storm%llu", (unsigned long long)serial);
	snprintf(env[2], ENV_LEN, "CNI_NETNS=/proc/%d/ns/net", (int)pod);
	snprintf(env[3], ENV_LEN, "CNI_IFNAME=eth0");
	snprintf(env[4], ENV_LEN, "CNI_PATH=%s", r->cni_path);
	snprintf(env[5], ENV_LEN, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=storm%llu;K8S_POD_INFRA_CONTAINER_ID=x", r->ns,
		 (unsigned long long)serial);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, r->conf, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, r->plugin, &fa, NULL, argv, envp) == 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	posix_spawn_file_actions_destroy(&fa);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/** child() - a process that ends with us, with one end of a pair of sockets. Return: 0 in the child. */
static pid_t child(int *ret_fd)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid = fork();
	close(pair[pid != 0]);
	*ret_fd = pair[pid == 0];
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static bool hears(int fd, void *data, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, PROVEN_MS) == 1 && recv(fd, data, len, 0) == (ssize_t)len;
}

static pid_t pod_start(const struct run *r, int *ret_fd)
{
	pid_t pid = child(ret_fd);
	char byte;

	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		if (r->race) {
			storm_pod(&r->storm, *ret_fd);
		} else if (write(*ret_fd, "r", 1) == 1) {
			(void)recv(*ret_fd, &byte, 1, 0);
		}
		_exit(0);
	}
	return pid > 0 && hears(*ret_fd, &byte, 1) ? pid : -1;
}

static void add_up(struct storm_report *sum, const struct storm_report *one)
{
	sum->raw += one->raw;
	sum->udp += one->udp;
	sum->denied_in += one->denied_in;
	sum->allowed_in += one->allowed_in;
	sum->answered4 += one->answered4;
	sum->answered6 += one->answered6;
}

/** one_pod() - from before its link until after its DEL. Return: what went wrong, or NULL. */
static const char *one_pod(struct run *r, uint64_t serial)
{
	vw_auto_close int fd = -EBADF;
	struct storm_report got = { 0 };
	const char *wrong = NULL;
	pid_t pid = pod_start(r, &fd);

	if (pid < 0)
		return "no process for a pod";
	if (plugin(r, "ADD", serial, pid) != 0)
		wrong = "ADD failed";
	if (!wrong && r->race && !hears(fd, &got, sizeof(got)))
		wrong = "what is allowed did not pass";
	if (plugin(r, "DEL", serial, pid) != 0 && !wrong)
		wrong = "DEL failed";
	r->storm.books->next6++;
	if (write(fd, "e", 1) != 1 || (r->race && !hears(fd, &got, sizeof(got))))
		wrong = wrong ? wrong : "the pod's process is gone";
	add_up(&r->sum, &got);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return wrong;
}

static int enter(const char *netns)
{
	vw_auto_close int fd = open(netns, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && setns(fd, CLONE_NEWNET) == 0 ? 0 : -1;
}

static pid_t other_pod(const struct run *r, const char *netns, bool flood)
{
	int fd;
	pid_t pid = child(&fd);
	char byte;

	if (pid == 0) {
		if (enter(netns) < 0)
			_exit(1);
		if (flood && write(fd, "r", 1) == 1)
			storm_flood(&r->storm);
		else if (!flood)
			storm_collect(&r->storm, fd);
		_exit(0);
	}
	return pid > 0 && hears(fd, &byte, 1) ? pid : -1;
}

/* --- words */

static int add_net(struct storm *s, const char *text)
{
	struct vw_cidr c;
	struct vw_ip ip;

	if (vw_cidr_parse(text, &c) < 0 || c.ip.family != AF_INET || c.len < 24)
		return -1;
	for (ip = vw_cidr_masked(&c).ip; vw_cidr_has(&c, &ip); ip = vw_ip_add(&ip, 1)) {
		if (s->n_addr == STORM_ADDRS)
			return -1;
		s->addr[s->n_addr++] = ip;
	}
	return 0;
}

static int ip_or_none(const char *text, struct vw_ip *ret)
{
	return strcmp(text, "-") ? vw_ip_parse(text, ret) : 0;
}

static int words(struct run *r, int argc, char **argv)
{
	if (argc < 6 || (argc > 6 && argc < 11) || vw_parse_u64(argv[5], 1, 1000000, &r->count) < 0)
		return -1;
	r->plugin = argv[1];
	r->conf = argv[2];
	r->cni_path = argv[3];
	r->ns = argv[4];
	r->race = argc > 6;
	if (!r->race)
		return 0;
	if (vw_ip_parse(argv[6], &r->storm.collector) < 0 || ip_or_none(argv[7], &r->storm.collector6) < 0 ||
	    ip_or_none(argv[8], &r->storm.base6) < 0)
		return -1;
	for (int i = 10; i < argc; i++)
		if (add_net(&r->storm, argv[i]) < 0)
			return -1;
	return 0;
}

static void tell(const struct run *r, uint64_t done)
{
	const struct storm_report *s = &r->sum;
	const struct storm_books *b = r->storm.books;

	printf("{\"pods\": %llu, \"sent_raw\": %llu, \"sent\": %llu, \"denied_in\": %llu, \"allowed_in\": %llu, \"answered4\": %llu, "
	       "\"answered6\": %llu, \"flooded\": %llu, \"collected_denied\": %llu, \"collected_allowed\": %llu}\n",
	       (unsigned long long)done, (unsigned long long)s->raw, (unsigned long long)s->udp, (unsigned long long)s->denied_in,
	       (unsigned long long)s->allowed_in, (unsigned long long)s->answered4, (unsigned long long)s->answered6,
	       (unsigned long long)b->flooded, (unsigned long long)b->collected_denied, (unsigned long long)b->collected_allowed);
}

static int go(struct run *r, const char *netns)
{
	const char *wrong = NULL;
	pid_t others[2] = { 0 };
	uint64_t i = 0;

	if (r->race) {
		others[0] = other_pod(r, netns, false);
		others[1] = other_pod(r, netns, true);
		if (others[0] < 0 || others[1] < 0)
			wrong = "no process in the other pod";
	}
	for (; i < r->count && !wrong; i++)
		wrong = one_pod(r, i);
	r->storm.books->stop = true;
	for (int n = 0; n < 2; n++)
		if (others[n] > 0)
			(void)waitpid(others[n], NULL, 0);
	tell(r, i);
	if (wrong)
		fprintf(stderr, "podstorm: pod %llu: %s\n", (unsigned long long)i, wrong);
	return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct run r;

	if (words(&r, argc, argv) < 0) {
		fprintf(stderr, "usage: podstorm PLUGIN CONF CNI_PATH NAMESPACE COUNT "
				"[COLLECTOR COLLECTOR6|- NEXT6|- NETNS CIDR...]\n");
		return 2;
	}
	r.storm.books = mmap(NULL, sizeof(*r.storm.books), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r.storm.books == MAP_FAILED)
		return 1;
	return go(&r, r.race ? argv[9] : NULL);
}
