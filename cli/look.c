/* Each look is a function; all of them go on where one cannot see. */
#include "cli/look.h"

#include "cli/look_priv.h"
#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/nl.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#define KERNEL_MAJOR 5          /* docs/ARCHITECTURE.md: nothing is asked of a kernel that 5.10 has not */
#define KERNEL_MINOR 10
#define CONF_MAX (1024 * 1024)
#define CONNTRACK "/proc/sys/net/netfilter/nf_conntrack_"
#define NEARLY_FULL_PERCENT 80
#define BLANKS " \t\r"

/* --- kernel */

static uint64_t number_at(const char **text)
{
	size_t n = strspn(*text, "0123456789");
	char digits[12];
	uint64_t v = 0;

	if (vw_fmt(digits, sizeof(digits), "%.*s", (int)n, *text) > 0)
		(void)vw_parse_u64(digits, 0, UINT32_MAX, &v);
	*text += n + ((*text)[n] == '.');
	return v;
}

static void kernel(struct look *l)
{
	struct utsname u;
	const char *at;
	uint64_t major, minor;

	if (uname(&u) < 0)
		return;
	at = u.release;
	major = number_at(&at);
	minor = number_at(&at);
	check(l, "kernel", major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR), "boot a kernel from 5.10 on: the eBPF programs need it",
	      "Linux %s", u.release);
}

static void bpffs(struct look *l)
{
	struct statfs fs;
	bool there = statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC;

	check(l, "bpffs", there, "mount -t bpf bpf /sys/fs/bpf (in a container: a hostPath volume of it)", "/sys/fs/bpf is %s",
	      there ? "mounted" : "no bpffs: programs and maps cannot be pinned");
}

static int read_number(const char *path, uint64_t *ret)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;

	if (vw_read_file(path, 64, &b, &err) < 0 || !b.len)
		return -ENOENT;
	b.data[strcspn(b.data, "\n")] = 0;
	return vw_parse_u64(b.data, 0, UINT64_MAX, ret);
}

static void conntrack(struct look *l)
{
	uint64_t count, max;

	if (read_number(CONNTRACK "count", &count) < 0 || read_number(CONNTRACK "max", &max) < 0 || !max)
		return;
	check(l, "conntrack", count * 100 < max * NEARLY_FULL_PERCENT, "raise net.netfilter.nf_conntrack_max: a full table drops new connections",
	      "%llu of %llu connections", (unsigned long long)count, (unsigned long long)max);
}

/* not to be seen outside the host's own network namespace, nor in a kernel that always compiles them (CONFIG_BPF_JIT_ALWAYS_ON: then it is 1) */
static void jit(struct look *l)
{
	uint64_t on;

	if (read_number("/proc/sys/net/core/bpf_jit_enable", &on) == 0)
		check(l, "eBPF compiler", on != 0, "sysctl -w net.core.bpf_jit_enable=1, and the same in /etc/sysctl.d: each packet of a pod runs through two programs",
		      on ? "on" : "net.core.bpf_jit_enable is 0: programs are interpreted, which is several times slower");
}

/* --- what the runtime reads */

static int is_conf(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return e->d_name[0] != '.' && dot && (!strcmp(dot, ".conf") || !strcmp(dot, ".conflist") || !strcmp(dot, ".json"));
}

static bool is_type_ours(const struct vw_json *conf)
{
	const char *type = vw_json_string(vw_json_get(conf, "type"));

	return type && !strncmp(type, "vpcwire", 7);
}

/* the file configures one of our plugins: alone, or first in a list */
static bool is_ours(const char *dir, const char *name)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	vw_auto_json struct vw_json *j = NULL;
	char path[1024];
	struct vw_err err;

	if (vw_fmt(path, sizeof(path), "%s/%s", dir, name) < 0 || vw_read_file(path, CONF_MAX, &b, &err) < 0 ||
	    vw_json_parse(vw_buf_str(&b), b.len, NULL, path, &j, &err) < 0)
		return false;
	return is_type_ours(j) || is_type_ours(vw_json_at(vw_json_get(j, "plugins"), 0));
}

/* containerd and CRI-O take the first file by name */
static void conflist(struct look *l)
{
	const char *dir = getenv("NETCONFPATH");
	struct dirent **found = NULL;
	int n;

	dir = dir && *dir ? dir : "/etc/cni/net.d";
	n = scandir(dir, &found, is_conf, alphasort);
	if (n <= 0)
		check(l, "conflist", false, "copy /usr/share/doc/vpcwire/examples/10-vpcwire.conflist there", "%s has no CNI configuration", dir);
	else if (is_ours(dir, found[0]->d_name))
		check(l, "conflist", true, NULL, "%s/%s", dir, found[0]->d_name);
	else
		check(l, "conflist", false, "remove it, or give ours a name before it: runtimes take the first", "%s/%s comes first and is not vpcwire's", dir,
		      found[0]->d_name);
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
}

/* --- who removes what is not its own */

static bool says_no(const char *path, const char *key)
{
	vw_auto_buf struct vw_buf b = VW_BUF_INIT;
	struct vw_err err;
	bool no = false;

	if (vw_read_file(path, CONF_MAX, &b, &err) < 0)
		return false;
	for (char *line = b.data, *next; line && *line; line = next) {
		char *value = line + strspn(line, BLANKS);
		size_t n = strlen(key);
		bool on = true;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (strncmp(value, key, n))
			continue;
		value += n + strspn(value + n, BLANKS);
		if (*value++ != '=')
			continue;
		value += strspn(value, BLANKS);
		value[strcspn(value, BLANKS)] = 0;
		no = !strcasecmp(value, "n") || (vw_parse_bool(value, &on) == 0 && !on);
	}
	return no;
}

static bool networkd_says_no(const char *key)
{
	static const char *const dirs[] = { "/usr/lib/systemd/networkd.conf.d", "/run/systemd/networkd.conf.d", "/etc/systemd/networkd.conf.d" };
	bool no = says_no("/etc/systemd/networkd.conf", key);

	for (size_t i = 0; i < VW_ARRAY_SIZE(dirs); i++) {
		struct dirent **found = NULL;
		int n = scandir(dirs[i], &found, is_conf, alphasort);

		for (int k = 0; k < n; k++) {
			char path[1024];

			if (vw_fmt(path, sizeof(path), "%s/%s", dirs[i], found[k]->d_name) > 0)
				no |= says_no(path, key);
			free(found[k]);
		}
		free(found);
	}
	return no;
}

static void networkd(struct look *l)
{
	bool leaves;

	if (access("/run/systemd/netif/state", F_OK) < 0)
		return;
	leaves = networkd_says_no("ManageForeignRoutes") && networkd_says_no("ManageForeignRoutingPolicyRules");
	check(l, "systemd-networkd", leaves,
	      "write ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no below [Network] in /etc/systemd/networkd.conf.d/vpcwire.conf, and "
	      "restart it", leaves ? "runs, and leaves foreign routes and rules alone" : "runs, and removes routes and rules that are not its own");
}

int look_at_node(struct vw_json *checks)
{
	struct look l = { .checks = checks };
	struct vw_nl nl = VW_NL_INIT;
	struct vw_err err;

	kernel(&l);
	bpffs(&l);
	jit(&l);
	conntrack(&l);
	look_at_features(&l);
	conflist(&l);
	if (vw_nl_open(&nl, &err) == 0)
		look_at_others(&l, &nl);
	vw_nl_close(&nl);
	networkd(&l);
	return l.failed ? -ENOMEM : 0;
}
