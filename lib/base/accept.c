// SPDX-License-Identifier: Apache-2.0
#include "lib/base/accept.h"

#include <errno.h>

int vw_accept(int listen_fd, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = accept4(listen_fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
	*ret_addr = ss;
	*ret_len = len;
	return fd;
}
