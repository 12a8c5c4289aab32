/*
 * What the daemon needs around accept(): the lock that makes it the only one, the socket, and who its peers
 * are. The lock comes first and outlives the socket's file, so a stale socket may be unlinked without a look
 * at it.
 */
#include "lib/rpc/rpc.h"

#include "lib/base/cleanup.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/rpc/address.h"

#include <fcntl.h>
#include <sys/file.h>
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
