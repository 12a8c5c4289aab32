/*
 * Filling a struct vw_err. Everything happens in the caller's storage; a message that is too long loses its
 * end, which is where the least important part stands.
 */
#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int positive_errno(int eno)
{
	if (eno == 0)
		return EINVAL;
	return eno < 0 ? -eno : eno;
}

static void fill(struct vw_err *err, int eno, int cni, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

static void fill(struct vw_err *err, int eno, int cni, const char *fmt, va_list ap)
{
	char msg[sizeof(err->msg)];

	/* Composed aside: the arguments may point into err->msg itself. */
	if (vsnprintf(msg, sizeof(msg), fmt, ap) < 0)
		msg[0] = '\0';
	err->eno = positive_errno(eno);
	err->cni = cni;
	memcpy(err->msg, msg, sizeof(msg));
}

int vw_err_set(struct vw_err *err, int eno, int cni, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, eno, cni, fmt, ap);
	va_end(ap);
	return -err->eno;
}

int vw_err_sys(struct vw_err *err, int eno, int cni, const char *fmt, ...)
{
	const char *why;
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	fill(err, eno, cni, fmt, ap);
	va_end(ap);
	why = vw_err_text(err->eno);
	len = strlen(err->msg);
	if (why)
		snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", why);
	else
		snprintf(err->msg + len, sizeof(err->msg) - len, ": errno %d", err->eno);
	return -err->eno;
}

int vw_err_wrap(struct vw_err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	size_t len;
	va_list ap;

	memcpy(old, err->msg, sizeof(old));
	old[sizeof(old) - 1] = '\0';
	va_start(ap, fmt);
	fill(err, err->eno, err->cni, fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", old);
	return -err->eno;
}

void vw_err_gather(struct vw_err *all, const struct vw_err *err, const char *fmt, ...)
{
	char what[80], so_far[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(so_far, sizeof(so_far), "%.299s", all->eno ? all->msg : "");
	if (!all->eno)
		*all = *err;
	snprintf(all->msg, sizeof(all->msg), "%s%s%s: %.120s", so_far, so_far[0] ? "; " : "", what, err->msg);
}

int vw_err_cni(const struct vw_err *err)
{
	if (err->cni)
		return err->cni;
	switch (err->eno) {
	case EAGAIN:
	case ETIMEDOUT:
	case EBUSY:
	case ENOBUFS:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return VW_CNI_TRY_AGAIN;
	case EIO:
	case EPIPE:
	case ENOSPC:
		return VW_CNI_IO;
	case EBADMSG:
		return VW_CNI_DECODE;
	case EINVAL:
	case ERANGE:
		return VW_CNI_INVALID_CONFIG;
	case EEXIST:
		return VW_CNI_INTERFACE_EXISTS;
	case EPROTO:
	case ECONNREFUSED:
		return VW_CNI_DAEMON;
	default:
		return VW_CNI_KERNEL;
	}
}
