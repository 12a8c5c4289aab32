/*
 * A plugin's life: environment -> stdin -> versions -> the verb -> one JSON document on stdout.
 * Nothing but emit() writes to stdout, once, at the end: whatever happens before cannot leave half a document
 * there. An error is told twice, on purpose: as the error object for the runtime, and as one log line for
 * whoever reads the node's journal.
 */
#include "lib/cni/main.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/json/json.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#define STDIN_WAIT_MS   10000 /* runtimes write their few KiB and close; this one is broken or a terminal */
#define VERSION_WAIT_MS 1000  /* VERSION does not need what it asks for there */

#ifndef VW_VERSION
#define VW_VERSION "unversioned"
#endif

/* Everything up to EOF. Return: 0, -EFBIG, -ETIMEDOUT, -errno. */
static int read_stdin(struct vw_buf *buf, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char chunk[16384];

	for (;;) {
		ssize_t n;
		int r = poll(&p, 1, vw_deadline_left(deadline_ms));

		if (r == 0)
			return -ETIMEDOUT;
		if (r > 0 && (p.revents & POLLNVAL))
			return -EBADF;
		n = r < 0 ? -1 : read(STDIN_FILENO, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		vw_buf_add(buf, chunk, (size_t)n);
		if (vw_buf_err(buf))
			return vw_buf_err(buf);
	}
}

static int emit(const struct vw_buf *buf)
{
	const char *p = vw_buf_str(buf);
	size_t left = buf->len;

	while (left) {
		ssize_t n = write(STDOUT_FILENO, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

int vw_cni_error_print(const struct vw_err *err, enum vw_cni_version version, struct vw_buf *buf)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	vw_auto_free char *msg = strndup(err->msg, sizeof(err->msg) - 1);
	char *details = msg ? strchr(msg, '\n') : NULL;
	int failed;

	if (!msg)
		return -ENOMEM;
	if (details)
		*details++ = '\0';
	failed = vw_json_set_str(j, "cniVersion", vw_cni_version_str(version));
	failed |= vw_json_set_int(j, "code", vw_err_cni(err));
	failed |= vw_json_set_str(j, "msg", msg);
	failed |= vw_json_set_str(j, "details", details ? details : "");
	return failed ? -ENOMEM : vw_json_print(j, 0, buf);
}

int vw_cni_version_print(enum vw_cni_version version, struct vw_buf *buf)
{
	vw_auto_json struct vw_json *j = vw_json_new_object();
	int failed = vw_json_set_str(j, "cniVersion", vw_cni_version_str(version));

	failed |= vw_json_set(j, "supportedVersions", vw_cni_versions_json());
	return failed ? -ENOMEM : vw_json_print(j, 0, buf);
}

static int fail(const struct vw_cni_plugin *plugin, const struct vw_cni_call *call, const struct vw_err *err)
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT;

	vw_error("request failed", "plugin=%s command=%s container_id=%.64s ifname=%.16s cni=%d err=\"%s\"",
		 plugin->name, vw_cni_cmd_str(call->env.cmd), call->env.container_id, call->env.ifname,
		 vw_err_cni(err), err->msg);
	/* Should this fail too, libcni falls back on what stands on stderr. */
	if (vw_cni_error_print(err, call->conf.version, &out) == 0) {
		vw_buf_putc(&out, '\n');
		(void)emit(&out);
	}
	return 1;
}

static int introduce(const struct vw_cni_plugin *plugin)
{
	vw_auto_buf struct vw_buf text = VW_BUF_INIT;

	vw_buf_printf(&text, "%s\nCNI protocol versions supported: ", plugin->about);
	for (int v = 0; v < VW_CNI_VERSIONS; v++)
		vw_buf_printf(&text, "%s%s", v ? ", " : "", vw_cni_version_str((enum vw_cni_version)v));
	vw_buf_putc(&text, '\n');
	(void)!write(STDERR_FILENO, vw_buf_str(&text), text.len);
	return 0;
}

/* The answer is the same whatever stands on stdin, but for the version that it is worded in. */
static int answer_version(struct vw_cni_call *call, struct vw_err *err)
{
	vw_auto_buf struct vw_buf in = VW_BUF_INIT_MAX(VW_CNI_CONF_MAX_BYTES);
	vw_auto_json struct vw_json *j = NULL;
	enum vw_cni_version version = VW_CNI_NEWEST;
	const char *text = NULL;
	struct vw_err ignored;

	if (read_stdin(&in, call->start_ms + VERSION_WAIT_MS) == 0 && in.len &&
	    vw_json_parse(vw_buf_str(&in), in.len, NULL, "stdin", &j, &ignored) == 0 &&
	    vw_json_get_str(j, "cniVersion", &text, &ignored) > 0 && *text)
		(void)vw_cni_version_parse(text, &version);
	if (vw_cni_version_print(version, call->out) < 0)
		return vw_err_sys(err, ENOMEM, 0, "printing versions");
	return 0;
}

static int read_conf(struct vw_cni_call *call, bool tolerant, struct vw_err *err)
{
	int r = read_stdin(call->in, call->start_ms + STDIN_WAIT_MS);

	if (r == -EFBIG)
		return vw_err_set(err, EFBIG, VW_CNI_DECODE,
				  "the network configuration on stdin is larger than %d bytes",
				  VW_CNI_CONF_MAX_BYTES);
	if (r == -ETIMEDOUT)
		return vw_err_set(err, ETIMEDOUT, VW_CNI_IO, "stdin was not closed within %d s",
				  STDIN_WAIT_MS / 1000);
	if (r < 0)
		return vw_err_sys(err, r, VW_CNI_IO, "error reading from stdin");
	return vw_cni_conf_parse(vw_buf_str(call->in), call->in->len, tolerant, &call->conf, err);
}

static int check_version(const struct vw_cni_call *call, struct vw_err *err)
{
	enum vw_cni_version since = vw_cni_cmd_since(call->env.cmd);

	if (call->conf.version >= since)
		return 0;
	return vw_err_set(err, EINVAL, VW_CNI_INCOMPATIBLE_VERSION,
			  "config version does not allow %s\nconfig is \"%s\", %s needs %s or newer",
			  vw_cni_cmd_str(call->env.cmd), vw_cni_version_str(call->conf.version),
			  vw_cni_cmd_str(call->env.cmd), vw_cni_version_str(since));
}

/* Return: the log file's fd, -EBADF for none. One that cannot be opened costs its lines, not the pod. */
static int start_log(const struct vw_cni_conf *conf)
{
	int fd;

	vw_log_level_set(conf->log_file ? conf->log_level : VW_LOG_ERROR);
	if (!conf->log_file)
		return -EBADF;
	fd = open(conf->log_file,
		  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0600);
	if (fd < 0)
		vw_log_level_set(VW_LOG_ERROR);
	else
		vw_log_fd_set(fd);
	return fd < 0 ? -EBADF : fd;
}

/* Everything that comes before the verb and is the same for all. */
static int prepare(const struct vw_cni_plugin *plugin, struct vw_cni_call *call, struct vw_err *err)
{
	bool tolerant = call->env.cmd == VW_CNI_CMD_DEL || call->env.cmd == VW_CNI_CMD_GC;
	struct vw_err ignored;

	if (call->env.cmd == VW_CNI_CMD_VERSION)
		return 0;
	if (read_conf(call, tolerant, err) < 0 || check_version(call, err) < 0)
		return -err->eno;
	/* Only ADD needs to know the pod; the others must not fail for the way it is named. */
	if (vw_cni_args_parse(call->env.args, plugin->args, &call->args,
			      call->env.cmd == VW_CNI_CMD_ADD ? err : &ignored) < 0 &&
	    call->env.cmd == VW_CNI_CMD_ADD)
		return -err->eno;
	if ((call->env.cmd == VW_CNI_CMD_ADD || call->env.cmd == VW_CNI_CMD_CHECK) &&
	    vw_cni_wish_parse(&call->conf, &call->args, plugin->caps, &call->wish, err) < 0)
		return -err->eno;
	return 0;
}

static int carry_out(const struct vw_cni_plugin *plugin, struct vw_cni_call *call, struct vw_err *err)
{
	switch (call->env.cmd) {
	case VW_CNI_CMD_VERSION:
		return answer_version(call, err);
	case VW_CNI_CMD_ADD:
		return plugin->add(call, err);
	case VW_CNI_CMD_DEL:
		return plugin->del(call, err);
	case VW_CNI_CMD_CHECK:
		return plugin->check(call, err);
	case VW_CNI_CMD_STATUS:
		return plugin->status(call, err);
	default:
		return plugin->gc(call, err);
	}
}

static int run(const struct vw_cni_plugin *plugin, struct vw_cni_call *call)
{
	vw_auto_close int log_fd = -EBADF;
	struct vw_err err = {0};
	int status = 0, r = prepare(plugin, call, &err);

	/* what a verb has to say besides its result goes to the log file or nowhere: a runtime reads stderr */
	log_fd = start_log(&call->conf);
	if (r == 0)
		r = carry_out(plugin, call, &err);
	if (r < 0)
		status = fail(plugin, call, &err);
	else if (call->conf.log_file)
		vw_info("request served", "plugin=%s command=%s container_id=%.64s ifname=%.16s dur_ms=%d",
			plugin->name, vw_cni_cmd_str(call->env.cmd), call->env.container_id, call->env.ifname,
			(int)(vw_mono_ms() - call->start_ms));
	vw_log_fd_set(STDERR_FILENO);
	if (status)
		return status;
	if (call->out->len)
		vw_buf_putc(call->out, '\n');
	if (call->env.cmd == VW_CNI_CMD_ADD)
		signal(SIGPIPE, SIG_IGN); /* a runtime that went away must not keep us from cleaning up */
	if (vw_buf_err(call->out) || emit(call->out) < 0) {
		if (call->env.cmd == VW_CNI_CMD_ADD)
			plugin->undo(call);
		return 1;
	}
	return 0;
}

int vw_cni_main(const struct vw_cni_plugin *plugin, int argc, char *const argv[], char *const envp[])
{
	vw_auto_buf struct vw_buf out = VW_BUF_INIT, in = VW_BUF_INIT_MAX(VW_CNI_CONF_MAX_BYTES);
	struct vw_cni_call call = {
		.env = {.container_id = "", .netns = "", .ifname = "", .args = "", .path = ""},
		.conf = {.version = VW_CNI_NEWEST, .name = "", .type = "", .ipam = ""},
		.start_ms = vw_mono_ms(),
		.out = &out,
		.in = &in,
		.envp = envp,
	};
	struct vw_err err;
	int status;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		vw_buf_printf(&out, "%s %s\n", plugin->name, VW_VERSION);
		return emit(&out) < 0;
	}
	if (argc > 1 && plugin->capabilities && !strcmp(argv[1], "--capabilities")) {
		vw_buf_printf(&out, "%s\n", plugin->capabilities);
		return emit(&out) < 0;
	}
	if (vw_cni_env_parse(envp, &call.env, &err) < 0)
		return fail(plugin, &call, &err);
	if (call.env.cmd == VW_CNI_CMD_NONE)
		return introduce(plugin);
	status = run(plugin, &call);
#ifndef __GLIBC__
	/* what was printed is the last that is done; musl unmaps what is freed. With glibc leaks are looked for, and coverage is written. */
	_exit(status);
#endif
	vw_cni_conf_done(&call.conf);
	return status;
}
