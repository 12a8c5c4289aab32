// SPDX-License-Identifier: Apache-2.0
/*
 * A node's holder: makes the network, mount and UTS namespaces that are the node, arranges its files, says so
 * on fd 3, and then only exists. The lab's init runs the mount steps that both share through lab_mount_*().
 *
 * What a node sees: its own /run (with netns and vpcwire in it), /sys with a bpffs of its own, /etc and /opt
 * as overlays whose changes stay in the lab's tmpfs, so that a runtime finds /etc/cni/net.d and /opt/cni/bin
 * and the machine's are untouched.
 */
#include "sim/lab_priv.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/net/link.h"
#include "lib/net/nl.h"
#include "sim/cmd.h"
#include "sim/lab_cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int do_mount(const char *src, const char *dst, const char *type, unsigned long flags, const char *data,
		    struct vw_err *err)
{
	if (mount(src, dst, type, flags, data) < 0)
		return vw_err_sys(err, errno, 0, "mounting %s on %s", type ? type : src, dst);
	return 0;
}

static int bind_fd(int fd, const char *dst, unsigned long flags, struct vw_err *err)
{
	char src[64];

	/* Not the path: what was there may be covered by now; the fd still is the old place. */
	if (vw_fmt(src, sizeof(src), "/proc/self/fd/%d", fd) < 0)
		return -EINVAL;
	return do_mount(src, dst, NULL, MS_BIND | flags, NULL, err);
}

int lab_mount_private(struct vw_err *err)
{
	return do_mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL, err);
}

int lab_mount_run(const char *const *keep, size_t n, struct vw_err *err)
{
	int fds[4] = { -EBADF, -EBADF, -EBADF, -EBADF };
	int r = 0;

	/* The last may be elsewhere: then it is not covered. */
	if (n && strncmp(keep[n - 1], "/run/", 5) != 0)
		n--;
	for (size_t i = 0; r >= 0 && i < n && i < VW_ARRAY_SIZE(fds); i++) {
		fds[i] = open(keep[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[i] < 0)
			r = vw_err_sys(err, errno, 0, "opening %s", keep[i]);
	}
	if (r >= 0)
		r = do_mount("vpcwire", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=512m", err);
	for (size_t i = 0; r >= 0 && i < n && i < VW_ARRAY_SIZE(fds); i++) {
		r = vw_mkdir_p(keep[i], 0755, err);
		if (r >= 0)
			r = bind_fd(fds[i], keep[i], 0, err);
	}
	for (size_t i = 0; i < VW_ARRAY_SIZE(fds); i++)
		vw_close_fd(&fds[i]);
	return r;
}

int lab_mount_sys(struct vw_err *err)
{
	/*
	 * A new sysfs shows this network namespace's devices; what was mounted inside the old one is still
	 * wanted.
	 */
	static const char *const inner[] = {
		"/sys/fs/cgroup", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security",
	};
	int fds[VW_ARRAY_SIZE(inner)];
	struct stat sys, st;
	int r;

	if (stat("/sys", &sys) < 0)
		return vw_err_sys(err, errno, 0, "looking at /sys");
	for (size_t i = 0; i < VW_ARRAY_SIZE(inner); i++) {
		fds[i] = open(inner[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[i] >= 0 && (fstat(fds[i], &st) < 0 || st.st_dev == sys.st_dev))
			vw_close_fd(&fds[i]);           /* not a mount */
	}
	r = do_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
	for (size_t i = 0; i < VW_ARRAY_SIZE(inner); i++) {
		if (r >= 0 && fds[i] >= 0)
			r = bind_fd(fds[i], inner[i], MS_REC, err);
		vw_close_fd(&fds[i]);
	}
	if (r < 0)
		return r;
	return do_mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700", err);
}

int lab_mount_proc(struct vw_err *err)
{
	return do_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
}

static int overlay(const char *dir, const char *store, struct vw_err *err)
{
	char upper[LAB_PATH_LEN], work[LAB_PATH_LEN], data[LAB_PATH_LEN * 3];
	int r;

	if (vw_fmt(upper, sizeof(upper), "%s/overlay%s/upper", store, dir) < 0 ||
	    vw_fmt(work, sizeof(work), "%s/overlay%s/work", store, dir) < 0 ||
	    vw_fmt(data, sizeof(data), "lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the lab's folder has too long a name");
	r = vw_mkdir_p(upper, 0755, err);
	if (r >= 0)
		r = vw_mkdir_p(work, 0755, err);
	return r < 0 ? r : do_mount("vpcwire", dir, "overlay", 0, data, err);
}

/** write_text() - a small file and its folders. */
static int write_text(const char *path, const char *text, struct vw_err *err)
{
	char dir[LAB_PATH_LEN];
	int r = vw_fmt(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);

	if (r >= 0)
		r = vw_mkdir_p(dir, 0755, err);
	return r < 0 ? r : vw_replace_file(path, text, strlen(text), 0644, err);
}

static int write_conflist(const char *run_dir, struct vw_err *err)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;
	vw_auto_json struct vw_json *list = vw_json_new_object();
	struct vw_json *plugin = vw_json_new_object(), *plugins = vw_json_new_array();
	char socket[LAB_PATH_LEN];

	lab_socket_path(run_dir, socket);
	vw_json_set_str(plugin, "type", "vpcwire");
	vw_json_set_str(plugin, "socket", socket);
	vw_json_append(plugins, plugin);
	vw_json_set_str(list, "cniVersion", "1.0.0");
	vw_json_set_str(list, "name", "vpcwire");
	vw_json_set(list, "plugins", plugins);
	if (!list || vw_json_print(list, 2, &text) < 0)
		return vw_err_set(err, ENOMEM, 0, "out of memory");
	return write_text(LAB_CONFLIST, vw_buf_str(&text), err);
}

/** link_into() - a link in LAB_CNI_BIN to dir/name, unless there is something already. */
static int link_into(const char *dir, const char *name, struct vw_err *err)
{
	char target[LAB_PATH_LEN * 2], path[LAB_PATH_LEN * 2];

	if (vw_fmt(target, sizeof(target), "%s/%s", dir, name) < 0 ||
	    vw_fmt(path, sizeof(path), LAB_CNI_BIN "/%s", name) < 0)
		return vw_err_set(err, ENAMETOOLONG, 0, "the path of %s is too long", name);
	if (symlink(target, path) < 0 && errno != EEXIST)
		return vw_err_sys(err, errno, 0, "linking %s", path);
	return 0;
}

static int link_plugins(const char *bin_dir, struct vw_err *err)
{
	static const char *const ours[] = { "vpcwire", "vpcwire-eni", "vpcwire-bridge" };
	int r = vw_mkdir_p(LAB_CNI_BIN, 0755, err);
	struct dirent *d;
	DIR *dir;

	for (size_t i = 0; r >= 0 && i < VW_ARRAY_SIZE(ours); i++) {
		char built[LAB_PATH_LEN * 2], path[LAB_PATH_LEN];

		if (vw_fmt(built, sizeof(built), "%s/%s", bin_dir, ours[i]) < 0 ||
		    vw_fmt(path, sizeof(path), LAB_CNI_BIN "/%s", ours[i]) < 0 || access(built, X_OK) < 0)
			continue;
		unlink(path); /* the machine's own, in this overlay only: tested is what was built here */
		r = link_into(bin_dir, ours[i], err);
	}
	dir = opendir(LAB_DEBIAN_CNI);          /* not installed: then only ours */
	while (r >= 0 && dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			r = link_into(LAB_DEBIAN_CNI, d->d_name, err);
	if (dir)
		closedir(dir);
	return r;
}

static int node_files(const char *id, const char *name, const char *run_dir, const char *bin_dir,
		      const char *daemon_config, struct vw_err *err)
{
	const char *keep[] = { LAB_STATE, lab_dir() };
	vw_auto_buf struct vw_buf config = VW_BUF_INIT;
	int r = lab_mount_private(err);

	if (r >= 0)
		r = vw_read_file(daemon_config, 1 << 20, &config, err);
	if (r >= 0)
		r = lab_mount_sys(err);
	if (r >= 0)
		r = lab_cgroup_cover(id, name, err);
	if (r >= 0)
		r = lab_mount_run(keep, VW_ARRAY_SIZE(keep), err);
	if (r >= 0)
		r = vw_mkdir_p("/run/netns", 0755, err);
	if (r >= 0 && symlink(run_dir, "/run/vpcwire") < 0)
		r = vw_err_sys(err, errno, 0, "linking /run/vpcwire");
	if (r >= 0)
		r = overlay("/etc", run_dir, err);
	if (r >= 0)
		r = overlay("/opt", run_dir, err);
	if (r >= 0)
		r = write_text("/etc/hostname", name, err);
	if (r >= 0)
		r = write_text(LAB_DAEMON_CONFIG, vw_buf_str(&config), err);
	/* the machine's own conflists (podman comes with one) are none of the node's */
	if (r >= 0)
		r = vw_mkdir_p(LAB_CONF_DIR, 0755, err);
	if (r >= 0)
		r = do_mount("vpcwire", LAB_CONF_DIR, "tmpfs", 0, "mode=0755", err);
	if (r >= 0)
		r = write_conflist(run_dir, err);
	return r < 0 ? r : link_plugins(bin_dir, err);
}

static int lo_up(struct vw_err *err)
{
	vw_auto_nl struct vw_nl nl = VW_NL_INIT;
	vw_auto_nl_batch struct vw_nl_batch b = VW_NL_BATCH_INIT;
	int r = vw_nl_open(&nl, err);

	vw_link_set_up(&b, 1, "lo");
	return r < 0 ? r : vw_nl_commit(&nl, &b, err);
}

/** let_go_of_stdio() - a lab that is kept must not hold its creator's streams open. */
static int let_go_of_stdio(void)
{
	vw_auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			return -errno;
	return 0;
}

/* argv: lab-node ID NAME RUN_DIR BIN_DIR DAEMON_CONFIG; fd 3: the report to the init. */
int sim_cmd_lab_node(int argc, char **argv)
{
	vw_auto_json struct vw_json *report = vw_json_new_object();
	struct vw_err err = { 0 };
	ssize_t n;
	char c;
	int r;

	if (argc != 6 || fcntl(LAB_PASSED_FD, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr, "vpcwire-sim lab-node: only for use by 'vpcwire-sim lab'\n");
		return 2;
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS) < 0)
		r = vw_err_sys(&err, errno, 0, "making the namespaces of node %s", argv[2]);
	else if (sethostname(argv[2], strlen(argv[2])) < 0)
		r = vw_err_sys(&err, errno, 0, "setting the host name");
	else
		r = node_files(argv[1], argv[2], argv[3], argv[4], argv[5], &err);
	if (r >= 0)
		r = lo_up(&err);
	vw_json_set_bool(report, "ok", r >= 0);
	if (r < 0)
		vw_json_set_str(report, "error", err.msg);
	if (lab_send(LAB_PASSED_FD, report, NULL, 0, &err) < 0 || r < 0 || let_go_of_stdio() < 0)
		return 1;
	do {
		n = read(LAB_PASSED_FD, &c, 1);         /* ends with the init, which never writes */
	} while (n > 0 || (n < 0 && errno == EINTR));
	return 0;
}
