/*
 * What the daemon needs around accept(): the lock that makes it the only one, the socket, and who its peers
 * are. The lock comes first and outlives the socket's file, so a stale socket may be unlinked without a look
 * at it.
 */
#include "lib/rpc/rpc.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/rpc/address.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 1024 /* a node's whole set of pods may start at once */

int vw_rpc_address(const char *socket_path, struct sockaddr_un *ret_sun, struct vw_err *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (vw_fmt(sun.sun_path, sizeof(sun.sun_path), "%s", socket_path) < 0)
		return vw_err_set(err, ENAMETOOLONG, VW_CNI_INVALID_CONFIG,
				  "socket path '%s' is longer than the %zu bytes that the kernel takes",
				  socket_path, sizeof(sun.sun_path) - 1);
	*ret_sun = sun;
	return 0;
}

static int take_lock(const char *socket_path, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	char path[VW_PATH_MAX];

	if (vw_fmt(path, sizeof(path), "%s.lock", socket_path) < 0)
		return vw_err_sys(err, ENAMETOOLONG, 0, "locking '%s'", socket_path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vw_err_sys(err, errno, 0, "opening '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return vw_err_set(err, EADDRINUSE, 0, "another vpcwired serves '%s' (it holds '%s')",
					  socket_path, path);
		return vw_err_sys(err, errno, 0, "locking '%s'", path);
	}
	return VW_TAKE_FD(fd);
}

int vw_rpc_listen(const char *socket_path, int *ret_lock_fd, struct vw_err *err)
{
	vw_auto_close int lock = -EBADF, fd = -EBADF;
	struct sockaddr_un sun;

	if (vw_rpc_address(socket_path, &sun, err) < 0)
		return -err->eno;
	lock = take_lock(socket_path, err);
	if (lock < 0)
		return lock;
	if (unlink(socket_path) < 0 && errno != ENOENT)
		return vw_err_sys(err, errno, 0, "removing the old socket '%s'", socket_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vw_err_sys(err, errno, 0, "making a socket");
	/* An unbound socket's mode is what its file is born with: at no moment may others connect. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return vw_err_sys(err, errno, 0, "listening at '%s'", socket_path);
	*ret_lock_fd = VW_TAKE_FD(lock);
	return VW_TAKE_FD(fd);
}

bool vw_rpc_peer_is_root(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof(cred))
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static int send_packet(int fd, const void *data, size_t len, int pass_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (pass_fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &pass_fd, sizeof(pass_fd));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int send_large(int fd, const struct vw_buf *message)
{
	static const char note[] = "{\"v\":1,\"large\":true}";
	vw_auto_close int mem = memfd_create("vpcwire-answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (mem < 0)
		return -errno;
	for (size_t at = 0; at < message->len;) {
		ssize_t n = write(mem, vw_buf_str(message) + at, message->len - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n < 0 ? 0 : (size_t)n;
	}
	if (fcntl(mem, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return send_packet(fd, note, sizeof(note) - 1, mem);
}

int vw_rpc_send(int fd, const struct vw_buf *message)
{
	if (message->len > VW_RPC_MAX)
		return send_large(fd, message);
	return send_packet(fd, vw_buf_str(message), message->len, -EBADF);
}
