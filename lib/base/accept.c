// SPDX-License-Identifier: Apache-2.0
#include "lib/base/accept.h"

#include "lib/base/log.h"

#include <errno.h>
#include <string.h>

enum vw_accept_turn vw_accept_turn(struct vw_accept *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	if (a->ops->has_place && !a->ops->has_place(a->arg))
		return VW_ACCEPT_FULL;
	fd = accept4(a->listen_fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return VW_ACCEPT_NONE;
		/* EMFILE, ENFILE, ENOBUFS, ENOMEM */
		if (!a->is_short)
			vw_warn("a connection cannot be taken, retrying until it can", "of=\"%s\" err=\"%s\"", a->what, strerror(errno));
		a->is_short = true;
		return VW_ACCEPT_SHORT;
	}
	a->is_short = false;
	a->ops->take(fd, (struct sockaddr *)&ss, len, a->arg);
	return VW_ACCEPT_TAKEN;
}
