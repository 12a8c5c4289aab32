/*
 * One call: connect, check who listens, send, wait, receive, close. The socket blocks, with its send timeout
 * set to what is left of the deadline: a full backlog makes a non-blocking connect fail at once and offers
 * nothing to poll for.
 */
#include "lib/rpc/rpc.h"

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/parse.h"
#include "lib/json/json.h"
#include "lib/rpc/address.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#define AWAY_PAUSE_MS 10

static int timed_out(const char *socket_path, struct vw_err *err)
{
	return vw_err_set(err, ETIMEDOUT, VW_CNI_TRY_AGAIN,
			  "vpcwired at '%s' did not answer in time; it is busy or stuck: see its log",
			  socket_path);
}

static int no_connection(int eno, const char *socket_path, struct vw_err *err)
{
	switch (eno) {
	case ENOENT:
	case ECONNREFUSED:
	case ENOTDIR:
		return vw_err_set(err, ECONNREFUSED, VW_CNI_TRY_AGAIN,
				  "nothing listens at '%s': is vpcwired running?", socket_path);
	case EAGAIN:
		return timed_out(socket_path, err);
	case EPROTOTYPE:
	case ENOTSOCK:
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON, "'%s' is not vpcwired's socket", socket_path);
	default:
		return vw_err_sys(err, eno, VW_CNI_DAEMON, "connecting to vpcwired at '%s'", socket_path);
	}
}

static int connect_to(const char *socket_path, uint64_t deadline_ms, struct vw_err *err)
{
	vw_auto_close int fd = -EBADF;
	int left = vw_deadline_left(deadline_ms);
	struct timeval tv = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
	struct sockaddr_un sun;
	int r = vw_rpc_address(socket_path, &sun, err);

	if (r < 0)
		return r;
	if (!left) /* as a timeout, zero would mean "for ever" */
		return timed_out(socket_path, err);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return vw_err_sys(err, errno, 0, "making a socket");
	do {
		r = connect(fd, (const struct sockaddr *)&sun, sizeof(sun));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return no_connection(errno, socket_path, err);
	if (!vw_rpc_peer_is_root(fd))
		return vw_err_set(err, EPERM, VW_CNI_DAEMON,
				  "'%s' belongs to a process that is not root: not used", socket_path);
	return VW_TAKE_FD(fd);
}

/** receive() - a packet and the fd that came with it, -EBADF if none. */
static ssize_t receive(int fd, char *packet, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = packet, .iov_len = VW_RPC_MAX + 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	*ret_fd = -EBADF;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return n;
}

/* @packet has room for one byte more than any packet may have. Return: bytes, -errno. */
static ssize_t await(int fd, const char *socket_path, uint64_t deadline_ms, char *packet, int *ret_fd,
		     struct vw_err *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;
	int r;

	do {
		r = poll(&p, 1, vw_deadline_left(deadline_ms));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return vw_err_sys(err, errno, 0, "waiting for vpcwired");
	if (r == 0)
		return timed_out(socket_path, err);
	n = receive(fd, packet, ret_fd);
	if (n < 0 && errno != ECONNRESET)
		return vw_err_sys(err, errno, 0, "reading vpcwired's answer");
	if (n <= 0)
		return vw_err_set(err, ECONNRESET, VW_CNI_TRY_AGAIN,
				  "vpcwired at '%s' hung up without an answer: did it stop?", socket_path);
	if (n > VW_RPC_MAX)
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON, "vpcwired's answer is larger than %d bytes",
				  VW_RPC_MAX);
	return n;
}

static int decode_large(int fd, struct vw_json **ret_reply, struct vw_err *err)
{
	struct stat st;
	void *text;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > VW_RPC_LARGE_MAX)
		return vw_err_set(err, EPROTO, VW_CNI_DAEMON, "vpcwired's answer is empty or larger than %d bytes",
				  VW_RPC_LARGE_MAX);
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return vw_err_sys(err, errno, 0, "reading vpcwired's answer");
	r = vw_rpc_reply_decode(text, (size_t)st.st_size, ret_reply, err);
	(void)munmap(text, (size_t)st.st_size);
	return r;
}

/* What a daemon that is there says of others (EC2, the kernel) must not look as if there were none. Return: @r, or its place. */
static int said(int r, struct vw_err *err)
{
	switch (-r) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ETIMEDOUT:
	case EPERM:
		err->cni = vw_err_cni(err);
		err->eno = EREMOTEIO;
		return -EREMOTEIO;
	default:
		return r;
	}
}

int vw_rpc_call(const char *socket_path, const struct vw_rpc_req *req, uint64_t deadline_ms,
		struct vw_json **ret_reply, struct vw_err *err)
{
	vw_auto_buf struct vw_buf message = VW_BUF_INIT;
	vw_auto_close int fd = -EBADF, large = -EBADF;
	char packet[VW_RPC_MAX + 1];
	ssize_t n;
	int r = vw_rpc_req_encode(req, &message, err);

	if (r < 0)
		return r;
	fd = connect_to(socket_path, deadline_ms, err);
	if (fd < 0)
		return fd;
	do {
		n = send(fd, vw_buf_str(&message), message.len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return timed_out(socket_path, err);
	if (n < 0)
		return vw_err_sys(err, errno, VW_CNI_TRY_AGAIN, "sending to vpcwired at '%s'", socket_path);
	n = await(fd, socket_path, deadline_ms, packet, &large, err);
	if (n < 0)
		return (int)n;
	return said(large >= 0 ? decode_large(large, ret_reply, err) : vw_rpc_reply_decode(packet, (size_t)n, ret_reply, err), err);
}

/* nobody there, or gone without a word: it may be between two lives */
static bool is_away(int eno)
{
	return eno == ECONNREFUSED || eno == ECONNRESET || eno == EPIPE;
}

int vw_rpc_call_again(const char *socket_path, const struct vw_rpc_req *req, uint64_t deadline_ms, unsigned int away_ms,
		      struct vw_json **ret_reply, struct vw_err *err)
{
	static const struct timespec pause = {.tv_nsec = AWAY_PAUSE_MS * 1000000};
	uint64_t until = 0;

	for (;;) {
		int r = vw_rpc_call(socket_path, req, deadline_ms, ret_reply, err);
		uint64_t now;

		if (r == 0 || !is_away(err->eno))
			return r;
		now = vw_mono_ms();
		until = until ? until : now + away_ms;
		if (now >= until || now + AWAY_PAUSE_MS >= deadline_ms)
			return r;
		(void)nanosleep(&pause, NULL);
	}
}
